//! What each service needs for TLS with its nodes, made of its settings and files. On the control thread, or before the
//! start; blocking.
//!
//! Input: a [`Gateway`], and what was in use before. Output: a [`TlsNodes`], immutable, part of the snapshot; and what is
//! wrong with files, by the same rules as for listeners ([`super::listeners`]).
//!
//! Services with the same settings share one [`Client`], and it stays the same one for as long as settings and files do:
//! its sessions go on, and connections that were made with it are good for whoever has it. A changed file makes another,
//! so nothing goes on that was verified by, or shown, what is not in use any more.
//!
//! Sessions: one store for each [`Client`], for all shards, with a lock (rustls' own). Only handshakes ask for it, for a
//! look-up in a table, which is nothing beside their cryptography; a store for each shard would need as many full
//! handshakes again. A name's oldest session goes first, and of names the one that was added first.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use coregate_config::checked::{Gateway, NodeAddress, Service, UpstreamTls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, Error, SignatureScheme, version};

use super::certificates::{self, Facts, Problem, Roots, Unusable};
use super::listeners::Reading;
use super::provider;

/// Sessions kept for each [`Client`]; rustls keeps at most 8 of a name, so as many names as a service may have nodes.
const SESSIONS_MAX: usize = 8 << 10;

/// All services that speak TLS to their nodes.
#[derive(Debug, Default)]
pub struct TlsNodes {
    services: HashMap<Arc<str>, ServiceTls>,
    /// By their settings, without the name.
    clients: HashMap<UpstreamTls, Arc<Client>>,
    /// The system's roots, read once.
    system: Option<Arc<Roots>>,
}

/// What one service needs.
#[derive(Debug, Clone)]
pub struct ServiceTls {
    client: Arc<Client>,
    /// `None`: each node is asked for by the host in its address.
    server_name: Option<ServerName<'static>>,
}

/// What TLS with one node needs; equal ones make connections that may stand in for each other.
#[derive(Debug, Clone)]
pub struct NodeTls {
    client: Arc<Client>,
    /// The name that is asked for, and that the certificate must be for.
    pub name: ServerName<'static>,
}

/// What is to be spoken inside; what a client offers by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// `http/1.1`. A node that knows no ALPN is taken to speak it.
    Http1,
    /// `h2`, and nothing else will do.
    Http2,
    /// Bytes that are not the gateway's business: nothing is offered.
    Bytes,
}

/// The gateway as a client of nodes, with certain settings and files.
#[derive(Debug)]
pub struct Client {
    /// `None`: whatever a node presents is accepted.
    roots: Option<Arc<Roots>>,
    certificate: Option<Presented>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    bytes: Arc<ClientConfig>,
}

/// A client certificate.
#[derive(Debug, Clone)]
struct Presented {
    key: Arc<CertifiedKey>,
    facts: Facts,
}

impl TlsNodes {
    /// What a node of a service needs; `None` = that is not known, so it is not to be connected to.
    pub fn node(&self, service: &str, address: &NodeAddress) -> Option<NodeTls> {
        let ServiceTls { client, server_name } = self.services.get(service)?;
        let name = match server_name {
            Some(name) => name.clone(),
            None => name_in(address)?,
        };
        Some(NodeTls { client: client.clone(), name })
    }

    /// The services whose nodes are not verified, sorted.
    pub fn unverified(&self) -> Vec<&str> {
        let unverified = self.services.iter().filter(|(_, tls)| tls.client.roots.is_none());
        let mut names: Vec<&str> = unverified.map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names
    }

    /// The client certificates that services present, sorted by service.
    pub fn certificates(&self) -> Vec<(&str, &Facts)> {
        let presented = self.services.iter();
        let mut presented: Vec<_> = presented
            .filter_map(|(name, tls)| Some((&**name, &tls.client.certificate.as_ref()?.facts)))
            .collect();
        presented.sort_unstable_by_key(|(name, _)| *name);
        presented
    }

    /// Reads all files of all enabled services. A service that has a problem is left out, unless what `before` had for
    /// the bad file can stand in for it ([`Reading::Again`]).
    pub fn read(gateway: &Gateway, before: &Self, reading: Reading) -> (Self, Vec<Problem>) {
        let mut reader = Reader {
            before,
            reading,
            provider: provider(),
            system: before.system.clone(),
            read: HashMap::new(),
        };
        let (mut this, mut problems) = (Self::default(), Vec::new());
        for (service, tls) in with_tls(gateway) {
            let settings = UpstreamTls { server_name: None, ..tls.clone() };
            let read = reader.client(&settings).clone();
            let mut unusable = read.unusable;
            let server_name = tls.server_name.clone().map(ServerName::try_from);
            unusable.extend(bad_names(service, tls));
            if let (Some(client), Ok(server_name)) = (read.client, server_name.transpose()) {
                this.clients.insert(settings, client.clone());
                this.services.insert(service.name.clone(), ServiceTls { client, server_name });
            }
            let whose = || format!("service \"{}\"", service.name);
            problems.extend(unusable.into_iter().map(|unusable| Problem { whose: whose(), unusable }));
        }
        this.system = reader.system;
        (this, problems)
    }
}

/// Every file that [`TlsNodes::read`] reads; the system's roots are not among them.
pub fn files(gateway: &Gateway) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (_, tls) in with_tls(gateway) {
        files.extend(tls.certificate.iter().flat_map(|it| [it.chain.clone(), it.key.clone()]));
        files.extend(tls.ca.clone().filter(|_| !tls.accept_any_certificate));
    }
    files
}

fn with_tls(gateway: &Gateway) -> impl Iterator<Item = (&Service, &UpstreamTls)> {
    let enabled = gateway.services.iter().filter(|service| service.enabled);
    enabled.filter_map(|service| Some((&**service, service.tls.as_ref()?)))
}

/// The host in a node's address, as a name to ask for.
fn name_in(address: &NodeAddress) -> Option<ServerName<'static>> {
    match address {
        NodeAddress::Ip(address) => Some(ServerName::from(address.ip().to_canonical())),
        NodeAddress::Name(host, _) => ServerName::try_from(host.clone()).ok(),
    }
}

/// The names that cannot be asked for: DNS is laxer than TLS.
fn bad_names<'a>(service: &'a Service, tls: &'a UpstreamTls) -> impl Iterator<Item = Unusable> + 'a {
    let nodes = service.nodes.iter().filter(|node| node.enabled && tls.server_name.is_none());
    let bad = nodes.filter(|node| name_in(&node.address).is_none()).filter_map(|node| match &node.address {
        NodeAddress::Name(host, _) => Some(host),
        NodeAddress::Ip(_) => None,
    });
    bad.chain(tls.server_name.iter().filter(|name| ServerName::try_from(name.as_str()).is_err())).map(
        |name| {
            let why = "is not a name that a certificate can be for; upstream_tls.server_name sets another";
            Unusable::at(name, why)
        },
    )
}

/// Reads what several services share once.
struct Reader<'a> {
    before: &'a TlsNodes,
    reading: Reading,
    provider: Arc<CryptoProvider>,
    system: Option<Arc<Roots>>,
    read: HashMap<UpstreamTls, ReadClient>,
}

/// What came of reading a [`Client`]'s files.
#[derive(Debug, Clone, Default)]
struct ReadClient {
    client: Option<Arc<Client>>,
    unusable: Vec<Unusable>,
}

impl Reader<'_> {
    fn client(&mut self, settings: &UpstreamTls) -> &ReadClient {
        if !self.read.contains_key(settings) {
            let read = self.read_client(settings);
            self.read.insert(settings.clone(), read);
        }
        &self.read[settings]
    }

    fn read_client(&mut self, settings: &UpstreamTls) -> ReadClient {
        let before = self.before.clients.get(settings);
        let stands_in = before.filter(|_| self.reading == Reading::Again);
        let mut unusable = Vec::new();
        let roots = (!settings.accept_any_certificate).then(|| {
            self.roots(settings).or_else(|bad| {
                unusable.push(bad);
                stands_in.and_then(|client| client.roots.clone()).ok_or(())
            })
        });
        let certificate = settings.certificate.as_ref().map(|files| {
            Presented::read(&files.chain, &files.key, &self.provider).or_else(|bad| {
                unusable.push(bad);
                stands_in.and_then(|client| client.certificate.clone()).ok_or(())
            })
        });
        let (Ok(roots), Ok(certificate)) = (roots.transpose(), certificate.transpose()) else {
            return ReadClient { client: None, unusable };
        };
        if let Some(client) = before.filter(|client| client.is_of(roots.as_ref(), certificate.as_ref())) {
            return ReadClient { client: Some(client.clone()), unusable };
        }
        match Client::new(roots, certificate, &self.provider) {
            Ok(client) => ReadClient { client: Some(Arc::new(client)), unusable },
            Err(error) => {
                let path = settings.ca.clone().unwrap_or_default();
                unusable.push(Unusable::new(&path, error.to_string()));
                ReadClient { client: None, unusable }
            }
        }
    }

    fn roots(&mut self, settings: &UpstreamTls) -> Result<Arc<Roots>, Unusable> {
        if let Some(path) = &settings.ca {
            return certificates::load_roots(path).map(Arc::new);
        }
        if let Some(roots) = &self.system {
            return Ok(roots.clone());
        }
        let roots = certificates::system_roots()
            .map(Arc::new)
            .map_err(|why| Unusable::at("the system's roots", format!("{why}; or set upstream_tls.ca")))?;
        Ok(self.system.insert(roots).clone())
    }
}

impl Presented {
    fn read(
        chain: &std::path::Path,
        key: &std::path::Path,
        provider: &CryptoProvider,
    ) -> Result<Self, Unusable> {
        let key = certificates::load_pair(chain, key, provider)?;
        let facts = certificates::facts(chain.display().to_string(), &key.cert[0])?;
        Ok(Self { key: Arc::new(key), facts })
    }
}

impl Client {
    fn new(
        roots: Option<Arc<Roots>>,
        certificate: Option<Presented>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
        let verifier: Arc<dyn ServerCertVerifier> = match &roots {
            Some(roots) => WebPkiServerVerifier::builder_with_provider(roots.store.clone(), provider.clone())
                .build()
                .map_err(|error| Error::General(error.to_string()))?,
            None => Arc::new(AcceptsAny(provider.clone())),
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match &certificate {
            Some(certificate) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certificate.key.clone())))
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        // They share the store and what verifies: rustls resumes a session only by the verifier that it was made by.
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
            Arc::new(config)
        };
        let (http1, http2, bytes) = (offering(&[b"http/1.1"]), offering(&[b"h2"]), offering(&[]));
        Ok(Self { roots, certificate, http1, http2, bytes })
    }

    /// Whether it was made of these. A certificate holds the key's public half, so the key is the same if it is.
    fn is_of(&self, roots: Option<&Arc<Roots>>, certificate: Option<&Presented>) -> bool {
        let digest = |roots: Option<&Arc<Roots>>| roots.map(|roots| roots.digest);
        let chain = |certificate: Option<&Presented>| certificate.map(|it| it.key.cert.clone());
        digest(self.roots.as_ref()) == digest(roots) && chain(self.certificate.as_ref()) == chain(certificate)
    }
}

impl Spoken {
    /// Whether it may be spoken after a handshake in which `agreed` was agreed on by ALPN.
    ///
    /// # Errors
    /// It may not; why, in words.
    pub fn check(self, agreed: Option<&[u8]>) -> Result<(), &'static str> {
        if self == Self::Http2 && agreed != Some(b"h2") {
            return Err("it does not choose HTTP/2 by ALPN");
        }
        Ok(())
    }
}

impl NodeTls {
    /// For a handshake.
    pub fn config(&self, spoken: Spoken) -> Arc<ClientConfig> {
        match spoken {
            Spoken::Http1 => self.client.http1.clone(),
            Spoken::Http2 => self.client.http2.clone(),
            Spoken::Bytes => self.client.bytes.clone(),
        }
    }
}

impl PartialEq for NodeTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.client, &other.client) && self.name == other.name
    }
}

impl Eq for NodeTls {}

impl Hash for NodeTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.client).hash(state);
        self.name.hash(state);
    }
}

/// Whether a node says by this that it does not accept the gateway's certificate, or that it wants one (RFC 8446 6.2).
pub fn refuses(error: &Error) -> bool {
    matches!(
        error,
        Error::AlertReceived(
            AlertDescription::AccessDenied
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRequired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate
        )
    )
}

/// What operators should know of a handshake that has failed; `name` was asked for.
pub fn explain(error: &Error, name: &ServerName) -> String {
    use rustls::CertificateError as Bad;
    match error {
        Error::InvalidMessage(_) => "what it sent is not TLS".to_owned(),
        // The latter: by another of the same name.
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "its certificate is not by an authority that is trusted (upstream_tls.ca)".to_owned()
        }
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has expired".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            format!("its certificate is not for {} (upstream_tls.server_name)", name.to_str())
        }
        other => other.to_string(),
    }
}

/// For `danger_accept_any_certificate`. Signatures are not looked at either: whoever is in the way has a certificate of
/// his own, and it may be one that cannot be read here.
#[derive(Debug)]
struct AcceptsAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptsAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer,
        _: &[CertificateDer],
        _: &ServerName,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
