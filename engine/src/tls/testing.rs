//! Certificates and configurations for tests, made on the spot.

use std::path::PathBuf;
use std::sync::Arc;

use coregate_config::checked::CertificateFiles;
use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// What trusts it.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// A certificate for these names, with its key.
    pub fn sign(&self, names: &[&str]) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let issuer: &Issuer<KeyPair> = &self.0;
        let certificate = params.signed_by(&key, issuer).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

/// A folder of one test, removed with it.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new one.
    pub fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("coregate-tls-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    }

    /// Files with a certificate for these names.
    pub fn pair(&self, authority: &Authority, name: &str, names: &[&str]) -> CertificateFiles {
        self.signed(authority, name, names, &KeyPair::generate().unwrap())
    }

    /// The same with an Ed25519 key.
    pub fn ed25519(&self, authority: &Authority, name: &str, names: &[&str]) -> CertificateFiles {
        self.signed(authority, name, names, &KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap())
    }

    fn signed(&self, authority: &Authority, name: &str, names: &[&str], key: &KeyPair) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let issuer: &Issuer<KeyPair> = &authority.0;
        let certificate = CertificateParams::new(names).unwrap().signed_by(key, issuer).unwrap();
        CertificateFiles {
            chain: self.write(&format!("{name}.pem"), certificate.pem().as_bytes()),
            key: self.write(&format!("{name}.key"), key.serialize_pem().as_bytes()),
            ocsp: None,
        }
    }

    /// A file with an authority's certificate.
    pub fn authority(&self, name: &str, authority: &Authority) -> PathBuf {
        self.write(&format!("{name}.pem"), authority.0.pem().as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Configurations of both sides that trust each other, for `one.test`.
pub fn configs(
    versions: &[&'static SupportedProtocolVersion],
    suites: Vec<SupportedCipherSuite>,
) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let provider =
        Arc::new(rustls::crypto::CryptoProvider { cipher_suites: suites, ..aws_lc_rs::default_provider() });
    let authority = Authority::new();
    let (chain, key) = authority.sign(&["one.test"]);
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (Arc::new(client), Arc::new(server))
}
