//! Certificates: from files, or the text in the configuration, to what a handshake presents, and the one that fits the name
//! that a client asks for.
//!
//! Input: PEM files (chain, key), a DER file (OCSP response), read on the control thread or before the start, whole; or PEM
//! in the configuration. Output: [`Loaded`], immutable, shared by all shards. Errors: [`Unusable`], which names the file and
//! says what would be right; no content of a key gets into one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use coregate_config::checked::{Certificate, NamedCertificate};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Bytes of a file with certificates, a key or an OCSP response.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Certificates in a file of authorities.
const AUTHORITIES_MAX: usize = 10_000;

/// A certificate that can be presented.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Chain, key and OCSP response.
    pub key: Arc<CertifiedKey>,
    /// What is known of it.
    pub facts: Facts,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where its chain stands, for people.
    pub place: String,
    /// DNS names that it is for, lower case; a wildcard keeps its `*.`.
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub not_before: u64,
    /// Seconds since 1970.
    pub not_after: u64,
}

impl Facts {
    /// What an operator should know although the certificate can be used: why it will be refused.
    pub fn warning(&self, now: u64) -> Option<&'static str> {
        if now > self.not_after {
            Some("has expired")
        } else if now < self.not_before {
            Some("is not valid yet")
        } else {
            None
        }
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The file, or whatever else is meant.
    pub place: String,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

impl Unusable {
    /// That is wrong with this file.
    pub fn new(path: &Path, why: impl Into<String>) -> Self {
        Self::at(path.display().to_string(), why)
    }

    /// That is wrong there.
    pub fn at(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self { place: place.into(), why: why.into() }
    }
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

/// What is wrong with the files of a listener or a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which one.
    pub whose: String,
    /// The file, and what is wrong with it.
    pub unusable: Unusable,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}: {}", self.whose, self.unusable)
    }
}

/// Reads a certificate with its key and OCSP response; from files, unless its text stands in the configuration.
///
/// # Errors
/// The first thing that is wrong.
pub fn load(certificate: &Certificate, provider: &CryptoProvider) -> Result<Loaded, Unusable> {
    match certificate {
        Certificate::Files(files) => {
            let chain = Pem::read(&files.chain)?;
            let mut key = pair(&chain, &Pem::read(&files.key)?, provider)?;
            if let Some(path) = &files.ocsp {
                let response = read(path)?;
                check_ocsp(&response).map_err(|why| Unusable::new(path, why))?;
                key.ocsp = Some(response);
            }
            loaded(chain.place, key)
        }
        Certificate::Named(named) => {
            let chain = Pem::of(named, "chain", &named.chain);
            let key = pair(&chain, &Pem::of(named, "key", &named.key), provider)?;
            loaded(chain.place, key)
        }
    }
}

fn loaded(place: String, key: CertifiedKey) -> Result<Loaded, Unusable> {
    let facts = facts(place, &key.cert[0])?;
    Ok(Loaded { key: Arc::new(key), facts })
}

/// Reads a chain and the key of its first certificate from files.
///
/// # Errors
/// The first thing that is wrong.
pub fn load_pair(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, Unusable> {
    let chain = Pem::read(chain)?;
    pair(&chain, &Pem::read(key)?, provider)
}

/// What is or should be PEM.
struct Pem<'a> {
    place: String,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Pem<'a> {
    fn read(path: &Path) -> Result<Self, Unusable> {
        Ok(Self { place: path.display().to_string(), bytes: Cow::Owned(read(path)?) })
    }

    fn of(certificate: &NamedCertificate, part: &str, text: &'a str) -> Self {
        let place = format!("certificate \"{}\": {part}", certificate.name);
        Self { place, bytes: Cow::Borrowed(text.as_bytes()) }
    }

    fn is_wrong(&self, why: impl Into<String>) -> Unusable {
        Unusable::at(&*self.place, why)
    }
}

fn pair(chain: &Pem, key: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, Unusable> {
    let (certificates, private) = (certificates_in(chain)?, key_in(key)?);
    CertifiedKey::from_der(certificates, private, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let place = &chain.place;
            key.is_wrong(format!(
                "is not the key of the first certificate in {place}, the leaf has to stand first"
            ))
        }
        Error::InvalidCertificate(why) => {
            chain.is_wrong(format!("the first certificate cannot be read ({why:?})"))
        }
        _ => key.is_wrong(
            "is not a key that TLS can use: ECDSA (P-256, P-384, P-521), Ed25519 or RSA (2048 bits or more)",
        ),
    })
}

/// Those that may sign certificates.
#[derive(Debug)]
pub struct Roots {
    /// Their certificates.
    pub store: Arc<RootCertStore>,
    /// SHA-256 of all of them.
    pub digest: [u8; 32],
}

/// Reads certificates of authorities.
///
/// # Errors
/// The first thing that is wrong.
pub fn load_roots(path: &Path) -> Result<Roots, Unusable> {
    let (mut store, mut hash) = (RootCertStore::empty(), Sha256::new());
    for (index, certificate) in certificates_in(&Pem::read(path)?)?.into_iter().enumerate() {
        if index == AUTHORITIES_MAX {
            return Err(Unusable::new(path, format!("holds more than {AUTHORITIES_MAX} certificates")));
        }
        hash.update(&certificate);
        store.add(certificate).map_err(|error| {
            Unusable::new(path, format!("certificate {} cannot be an authority's ({error})", index + 1))
        })?;
    }
    Ok(Roots { store: Arc::new(store), digest: hash.finalize().into() })
}

/// The certificates of those whom the system trusts, or of the files that SSL_CERT_FILE and SSL_CERT_DIR name.
///
/// # Errors
/// There are none, and what helps.
pub fn system_roots() -> Result<Roots, String> {
    let found = rustls_native_certs::load_native_certs();
    let (mut store, mut hash) = (RootCertStore::empty(), Sha256::new());
    // Among so many there may be one that nobody can read; the others are good.
    for certificate in found.certs {
        let bytes = certificate.clone();
        if store.add(certificate).is_ok() {
            hash.update(&bytes);
        }
    }
    if store.is_empty() {
        let why = found.errors.first().map_or_else(|| "none was found".to_owned(), ToString::to_string);
        return Err(format!(
            "no root certificate to check a server's with: {why}; install ca-certificates, or name a PEM file in \
             SSL_CERT_FILE"
        ));
    }
    Ok(Roots { store: Arc::new(store), digest: hash.finalize().into() })
}

fn read(path: &Path) -> Result<Vec<u8>, Unusable> {
    let unreadable = |error: std::io::Error| Unusable::new(path, format!("cannot be read ({error})"));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Unusable::new(path, "is not a file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(Unusable::new(path, format!("has more than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    fs::read(path).map_err(unreadable)
}

fn certificates_in(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(pem.is_wrong(no_certificate(&pem.bytes))),
        Err(error) => Err(pem.is_wrong(format!("is not whole PEM ({error})"))),
    }
}

fn no_certificate(bytes: &[u8]) -> &'static str {
    if has(bytes, b"PRIVATE KEY-----") {
        "holds a private key and no certificate; are chain and key exchanged?"
    } else if has(bytes, b"CERTIFICATE REQUEST-----") {
        "holds a signing request; the certificate is what the authority made of it"
    } else if bytes.first() == Some(&0x30) {
        "is DER, not PEM; `openssl x509 -inform der` converts it"
    } else {
        "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
    }
}

fn key_in(pem: &Pem) -> Result<PrivateKeyDer<'static>, Unusable> {
    let bytes = &pem.bytes;
    if has(bytes, b"BEGIN ENCRYPTED PRIVATE KEY-----") || has(bytes, b"Proc-Type: 4,ENCRYPTED") {
        return Err(pem.is_wrong(
            "is encrypted, and nobody is there to be asked for its password; `openssl pkey` decrypts it",
        ));
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        let why = if has(bytes, b"BEGIN CERTIFICATE-----") {
            "holds certificates and no private key; are chain and key exchanged?"
        } else if bytes.first() == Some(&0x30) {
            "is DER, not PEM; `openssl pkey -inform der` converts it"
        } else {
            "holds no whole private key in PEM (-----BEGIN PRIVATE KEY-----)"
        };
        pem.is_wrong(why)
    })
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

/// OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, ... } (RFC 6960 4.2.1): whole, and successful.
fn check_ocsp(response: &[u8]) -> Result<(), &'static str> {
    use x509_cert::der::{Header, Reader, SliceReader, Tag};
    if response.first() == Some(&b'-') {
        return Err("is PEM, not DER");
    }
    let status = || {
        let mut reader = SliceReader::new(response)?;
        let header = Header::decode(&mut reader)?;
        header.tag.assert_eq(Tag::Sequence)?;
        let whole = reader.remaining_len() == header.length;
        let status = Header::decode(&mut reader)?;
        status.tag.assert_eq(Tag::Enumerated)?;
        reader.read_byte().map(|status| (whole, status))
    };
    match status() {
        Ok((true, 0)) => Ok(()),
        Ok((true, _)) => Err("is an OCSP response that tells of an error of the responder"),
        Ok((false, _)) => Err("is not whole"),
        Err(_) => Err("is not an OCSP response in DER (`openssl ocsp -respout`)"),
    }
}

/// What a certificate says of itself; `place` is where it stands.
///
/// # Errors
/// It cannot be read.
pub fn facts(place: String, certificate: &CertificateDer) -> Result<Facts, Unusable> {
    let unreadable = |error| Unusable::at(&*place, format!("the first certificate cannot be read ({error})"));
    let parsed = x509_cert::Certificate::from_der(certificate).map_err(unreadable)?;
    let certificate = &parsed.tbs_certificate;
    let alternatives = certificate.get::<SubjectAltName>().map_err(unreadable)?;
    let names = alternatives.into_iter().flat_map(|(_, names)| names.0).filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    });
    let names = names.collect();
    let not_before = certificate.validity.not_before.to_unix_duration().as_secs();
    let not_after = certificate.validity.not_after.to_unix_duration().as_secs();
    Ok(Facts { place, names, not_before, not_after })
}

/// Chooses a certificate by the name that a client asks for: an exact name before a wildcard (of one label), else the
/// default. Of several for one name (of other key types) the first that the client can verify.
#[derive(Debug, Default)]
pub struct ByName {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what stands behind `*.`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    default: Vec<Arc<CertifiedKey>>,
}

impl ByName {
    /// The first certificate is the default, with those for the same names.
    pub fn new(certificates: &[Loaded]) -> Self {
        let mut this = Self::default();
        for Loaded { key, facts } in certificates {
            if facts.names == certificates[0].facts.names {
                this.default.push(key.clone());
            }
            for name in &facts.names {
                let keys = match name.strip_prefix("*.") {
                    Some(parent) => this.wildcard.entry(parent.to_owned()).or_default(),
                    None => this.exact.entry(name.clone()).or_default(),
                };
                keys.push(key.clone());
            }
        }
        this
    }

    /// The certificates for a name; `None` = the client asks for none.
    fn find(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let found =
            name.and_then(|name| self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1)));
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        choose(self.find(hello.server_name()), hello.signature_schemes())
    }
}

fn choose(keys: &[Arc<CertifiedKey>], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
    let fits = keys.iter().find(|key| key.key.choose_scheme(schemes).is_some());
    fits.or(keys.first()).cloned()
}

#[cfg(test)]
mod tests;
