//! What each listener needs for TLS, made of its settings and files. On the control thread, or before the start; blocking.
//!
//! Input: a [`Gateway`], and what was in use before. Output: a [`TlsListeners`], immutable, part of the snapshot; and what is
//! wrong with files. At the start and when the configuration is read again any [`Problem`] refuses all of it; when only
//! files have changed ([`Reading::Again`]) what was in use stays in use in place of what is bad.
//!
//! Session tickets: each listener has keys of its own, which all shards share and which rotate by themselves (six hours, then
//! accepted for as long again; rustls' ticketer, one read lock a handshake). A session is worth what its handshake
//! verified, so the keys change when the listener's rules for client certificates do.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use coregate_config::checked::{self, Certificate, ClientAuth, Gateway, ListenerProtocol, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::certificates::{self, ByName, Facts, Loaded, Problem, Roots, Unusable};
use super::provider;

/// Tickets that a client of TLS 1.3 gets; each is good for one connection.
const TICKETS: usize = 2;

/// All listeners with TLS, by name.
#[derive(Debug, Default)]
pub struct TlsListeners(HashMap<Arc<str>, Arc<TlsListener>>);

/// What one listener needs.
#[derive(Debug)]
pub struct TlsListener {
    /// For each handshake.
    pub config: Arc<ServerConfig>,
    certificates: HashMap<Certificate, Loaded>,
    /// What is known of its certificates, in the order of the configuration.
    pub facts: Vec<Facts>,
    clients: Option<Clients>,
    tickets: Option<Arc<dyn ProducesTickets>>,
}

/// Who may be a client.
#[derive(Debug, Clone)]
struct Clients {
    auth: ClientAuth,
    roots: Arc<Roots>,
}

/// Why files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// They belong to a new configuration.
    Anew,
    /// Some have changed.
    Again,
}

impl TlsListeners {
    /// That of a listener, if it has certificates.
    pub fn get(&self, listener: &str) -> Option<&Arc<TlsListener>> {
        self.0.get(listener)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &TlsListener)> {
        self.0.iter().map(|(name, listener)| (name, &**listener))
    }

    /// Reads all files of all enabled listeners. A listener that has a problem is left out, unless what `before` had for
    /// the bad file can stand in for it ([`Reading::Again`]).
    pub fn read(gateway: &Gateway, before: &Self, reading: Reading) -> (Self, Vec<Problem>) {
        let (mut this, mut problems, mut cache) = (Self::default(), Vec::new(), Cache::default());
        for listener in with_tls(gateway) {
            let before = before.get(&listener.name).map(|it| &**it);
            let (read, bad) = TlsListener::read(listener, before, reading, &mut cache);
            if let Some(read) = read {
                this.0.insert(listener.name.clone(), Arc::new(read));
            }
            let whose = || format!("listener \"{}\"", listener.name);
            problems.extend(bad.into_iter().map(|unusable| Problem { whose: whose(), unusable }));
        }
        (this, problems)
    }
}

/// Every file that [`TlsListeners::read`] reads.
pub fn files(gateway: &Gateway) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for tls in with_tls(gateway).filter_map(|listener| listener.tls.as_ref()) {
        for certificate in &tls.certificates {
            if let Certificate::Files(certificate) = certificate {
                files.extend([certificate.chain.clone(), certificate.key.clone()]);
                files.extend(certificate.ocsp.clone());
            }
        }
        files.extend(tls.clients.as_ref().map(|clients| clients.ca.clone()));
    }
    files
}

fn with_tls(gateway: &Gateway) -> impl Iterator<Item = &checked::Listener> {
    gateway.listeners.iter().filter(|listener| listener.enabled && listener.tls.is_some())
}

/// Files that several listeners share are read once.
#[derive(Default)]
struct Cache {
    certificates: HashMap<Certificate, Result<Loaded, Unusable>>,
    provider: Option<Arc<CryptoProvider>>,
}

impl Cache {
    fn provider(&mut self) -> Arc<CryptoProvider> {
        self.provider.get_or_insert_with(provider).clone()
    }

    fn load(&mut self, certificate: &Certificate) -> Result<Loaded, Unusable> {
        let provider = self.provider();
        let loaded = self.certificates.entry(certificate.clone());
        loaded.or_insert_with(|| certificates::load(certificate, &provider)).clone()
    }
}

impl TlsListener {
    fn read(
        listener: &checked::Listener,
        before: Option<&Self>,
        reading: Reading,
        cache: &mut Cache,
    ) -> (Option<Self>, Vec<Unusable>) {
        let Some(tls) = &listener.tls else { return (None, Vec::new()) };
        let stands_in = before.filter(|_| reading == Reading::Again);
        let mut problems = Vec::new();
        let mut certificates = Vec::new();
        for certificate in &tls.certificates {
            let loaded = cache.load(certificate).or_else(|unusable| {
                problems.push(unusable);
                stands_in.and_then(|before| before.certificates.get(certificate)).cloned().ok_or(())
            });
            certificates.push(loaded.ok());
        }
        let clients = tls.clients.as_ref().map(|auth| {
            Clients::read(auth).or_else(|unusable| {
                problems.push(unusable);
                stands_in.and_then(|before| before.clients.clone()).ok_or(())
            })
        });
        let (Some(certificates), Ok(clients)) =
            (certificates.into_iter().collect::<Option<Vec<_>>>(), clients.transpose())
        else {
            return (None, problems);
        };
        let rules = |clients: &Option<Clients>| {
            clients.as_ref().map(|Clients { auth, roots }| (auth.required, roots.digest))
        };
        let tickets = match before {
            _ if !tls.session_tickets => None,
            Some(before) if rules(&before.clients) == rules(&clients) && before.tickets.is_some() => {
                before.tickets.clone()
            }
            _ => rustls::crypto::aws_lc_rs::Ticketer::new().ok(),
        };
        match server_config(
            listener,
            tls,
            &certificates,
            clients.as_ref(),
            tickets.as_ref(),
            cache.provider(),
        ) {
            Ok(config) => {
                let facts = certificates.iter().map(|loaded| loaded.facts.clone()).collect();
                let certificates = tls.certificates.iter().cloned().zip(certificates).collect();
                (Some(Self { config: Arc::new(config), certificates, facts, clients, tickets }), problems)
            }
            Err(unusable) => {
                problems.push(unusable);
                (None, problems)
            }
        }
    }
}

impl Clients {
    fn read(auth: &ClientAuth) -> Result<Self, Unusable> {
        Ok(Self { auth: auth.clone(), roots: Arc::new(certificates::load_roots(&auth.ca)?) })
    }
}

fn server_config(
    listener: &checked::Listener,
    tls: &checked::ListenerTls,
    certificates: &[Loaded],
    clients: Option<&Clients>,
    tickets: Option<&Arc<dyn ProducesTickets>>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, Unusable> {
    const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
    let versions = match tls.min_version {
        TlsVersion::V1_2 => BOTH,
        TlsVersion::V1_3 => &BOTH[..1],
    };
    let verifier = match clients {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(Clients { auth, roots }) => {
            let store = roots.store.clone();
            let builder = WebPkiClientVerifier::builder_with_provider(store, provider.clone());
            let builder = if auth.required { builder } else { builder.allow_unauthenticated() };
            builder.build().map_err(|error| Unusable::new(&auth.ca, error.to_string()))?
        }
    };
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let builder = builder.map_err(|error| Unusable::at("TLS", error.to_string()))?;
    let mut config =
        builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(ByName::new(certificates)));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    if let Some(tickets) = tickets {
        config.ticketer = tickets.clone();
        config.send_tls13_tickets = TICKETS;
    }
    if listener.protocol == ListenerProtocol::Https {
        if listener.http2.is_some() {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        config.alpn_protocols.push(b"http/1.1".to_vec());
    }
    Ok(config)
}

#[cfg(test)]
mod tests;
