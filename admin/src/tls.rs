//! TLS of the admin's own address: files, read again when they change.
//!
//! A pair that cannot be used is refused at start; later it changes nothing, and the log says why.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::settings::TlsFiles;

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// What connections shake hands by.
#[derive(Clone)]
pub struct ServerTls {
    current: watch::Receiver<Arc<ServerConfig>>,
}

impl ServerTls {
    /// Reads the files, and reads them again as they change, for as long as the runtime lives.
    pub fn start(files: TlsFiles) -> Result<Self, String> {
        let seen = stamp(&files);
        let (set, current) = watch::channel(read(&files)?);
        tokio::spawn(follow(files, seen, set));
        Ok(Self { current })
    }

    /// For one handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.borrow()))
    }
}

async fn follow(files: TlsFiles, mut seen: Stamp, set: watch::Sender<Arc<ServerConfig>>) {
    loop {
        sleep(POLL).await;
        let now = stamp(&files);
        if now == seen {
            continue;
        }
        match read(&files) {
            Ok(config) => {
                info!(certificate = %files.certificate.display(), "certificate read again");
                set.send_replace(config);
            }
            // One file may be replaced before the other: it is looked at again when the next one changes.
            Err(why) => warn!("the certificate in use stays: {why}"),
        }
        seen = now;
    }
}

/// When the files last changed, and their sizes.
type Stamp = [Option<(SystemTime, u64)>; 2];

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.certificate, &files.key].map(|path| {
        let data = fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len()))
    })
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let chain: Vec<CertificateDer<'static>> =
        read_pem(&files.certificate, "--tls-certificate").and_then(|pem| {
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| {
                format!("--tls-certificate {}: {error}; right would be PEM", files.certificate.display())
            })
        })?;
    if chain.is_empty() {
        return Err(format!(
            "--tls-certificate {}: there is no certificate in it",
            files.certificate.display()
        ));
    }
    let key = read_pem(&files.key, "--tls-key").and_then(|pem| {
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            format!("--tls-key {}: there is no private key in it; right would be PEM", files.key.display())
        })
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| {
            format!(
                "--tls-certificate {} and --tls-key {}: {error}",
                files.certificate.display(),
                files.key.display()
            )
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read_pem(path: &Path, flag: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{flag} {}: {error}", path.display()))
}
