//! `[[listeners]]`, checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::HostPattern;

/// `[[listeners]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Unique name.
    pub name: Arc<str>,
    /// Off listeners are checked but not opened.
    pub enabled: bool,
    /// Address to listen on.
    pub address: SocketAddr,
    /// What is spoken on it.
    pub protocol: ListenerProtocol,
    /// TLS ends here. Always there for https, never for http; for tcp if it has certificates.
    pub tls: Option<ListenerTls>,
    /// HTTP/2; `None` = off, and for tcp.
    pub http2: Option<Http2>,
    /// Every request is answered 308 to https on this port; for http alone.
    pub https_redirect: Option<u16>,
    /// A request head must be complete within this time from its first byte (or from accept); so must a PROXY header
    /// and the ClientHello that `sni_routes` look into.
    pub header_timeout: Duration,
    /// An idle keep-alive client connection is closed after this.
    pub idle_timeout: Duration,
    /// Largest request head in bytes (request line, fields, blank line).
    pub max_header_bytes: usize,
    /// Most header fields in a request.
    pub max_header_fields: usize,
    /// Every connection begins with a PROXY protocol header and comes from a trusted peer.
    pub proxy_protocol: bool,
}

impl Listener {
    /// Strict-Transport-Security, where it is sent.
    pub fn hsts(&self) -> Option<Hsts> {
        self.tls.as_ref().and_then(|tls| tls.hsts)
    }
}

/// What a listener speaks.
#[derive(Debug, Clone, PartialEq)]
pub enum ListenerProtocol {
    /// HTTP in clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// Bytes to a service's nodes.
    Tcp {
        /// Name of the service, which exists; `None` only where there are `sni_routes`.
        service: Option<Arc<str>>,
        /// TLS is passed through, by the name that a client asks for. Empty if the listener has certificates.
        sni_routes: Vec<SniRoute>,
    },
}

/// `[[listeners.sni_routes]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SniRoute {
    /// Names, never addresses; not empty. No two routes of a listener have the same.
    pub hosts: Vec<HostPattern>,
    /// Name of the service, which exists.
    pub service: Arc<str>,
}

/// `[[listeners.certificates]]`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Certificate {
    /// It stands in files.
    Files(CertificateFiles),
    /// It is one of `[[certificates]]`.
    Named(Arc<NamedCertificate>),
}

/// A certificate in files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// PEM file with the chain, leaf first. From a file, relative paths are already joined to its folder.
    pub chain: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
    /// DER file with an OCSP response to staple.
    pub ocsp: Option<PathBuf>,
}

/// `[[certificates]]`
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NamedCertificate {
    /// Unique name.
    pub name: Arc<str>,
    /// The chain in PEM, leaf first. Blocks are whole; what they hold has not been looked at.
    pub chain: String,
    /// The private key in PEM. The same holds for it.
    pub key: String,
}

impl std::fmt::Debug for NamedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "NamedCertificate({:?}, ***)", self.name)
    }
}

/// `[listeners.tls]` and the listener's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// The first is the default. At least one if the listener is enabled.
    pub certificates: Vec<Certificate>,
    /// Oldest version that is spoken.
    pub min_version: TlsVersion,
    /// Client certificates; `None` = none is asked for.
    pub clients: Option<ClientAuth>,
    /// A handshake must be complete within this time.
    pub handshake_timeout: Duration,
    /// Handshakes in flight in the whole process, shared out to the shards; at least 1.
    pub max_handshakes: usize,
    /// Sessions are resumed by tickets.
    pub session_tickets: bool,
    /// Strict-Transport-Security; `None` = not sent, and for tcp.
    pub hsts: Option<Hsts>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// Clients are asked for certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    /// A client without one is refused.
    pub required: bool,
    /// PEM file with the certificates of those that may sign them.
    pub ca: PathBuf,
    /// Lower case name of the request header that tells an origin the subject; a client's own is removed.
    pub subject_header: String,
}

/// Strict-Transport-Security (RFC 6797).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// Above 0.
    pub max_age: Duration,
    /// For all names below, too.
    pub include_subdomains: bool,
}

/// `[listeners.http2]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    /// Requests of a connection at once, at least 1.
    pub max_concurrent_streams: u32,
    /// Streams in a second that a client may reset before they are answered, at least 1.
    pub max_resets_per_second: u32,
}
