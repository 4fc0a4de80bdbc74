//! What lists and searches need of each item, ready to be looked through.
//!
//! Built from a [`State`]: an entry is made once for each version of an item, by looking into its JSON, and shared with the
//! index of the next state, so a revision costs what it changed. A list or search then reads no JSON at all. Invariant:
//! entries of a kind are in the order of their names, one for each item.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::certificate_facts::CertificateFacts;
use crate::model::{Item, Kind};
use crate::store::{State, Store};

/// The entries of all items of a state.
pub struct Index {
    /// Whose.
    pub state: Arc<State>,
    /// `services`
    pub services: Vec<Arc<Entry<Service>>>,
    /// `tenants`
    pub tenants: Vec<Arc<Entry<Tenant>>>,
    /// `listeners`
    pub listeners: Vec<Arc<Entry<Listener>>>,
    /// `certificates`
    pub certificates: Vec<Arc<Entry<CertificateFacts>>>,
}

/// What is kept of an item.
pub struct Entry<T> {
    /// The item.
    pub item: Arc<Item>,
    /// What is shown of it.
    pub facts: T,
    /// What is searched, in lower case.
    words: String,
}

/// Something that is read out of an item's JSON.
pub trait Facts: Sized {
    /// Reads it.
    fn read(item: &Item) -> Self;
    /// Adds what it can be found by, besides the name.
    fn words(&self, words: &mut Vec<String>);
}

/// A service in a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// For people.
    pub description: String,
    /// Whether it is in use.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its routes.
    routes: Vec<Route>,
    /// Its nodes.
    pub nodes: Vec<Node>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Route {
    hosts: Vec<String>,
    path_prefix: Option<String>,
}

/// A node of a service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Where.
    pub address: String,
    /// Whether it takes requests.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its share.
    #[serde(default = "one")]
    pub weight: i64,
}

impl Service {
    /// Hosts of all routes, each once, in their order.
    pub fn hosts(&self) -> Vec<String> {
        unique(self.routes.iter().flat_map(|route| route.hosts.iter()))
    }

    /// Prefixes of all routes, each once, in their order.
    pub fn path_prefixes(&self) -> Vec<String> {
        const DEFAULT: &str = "/";
        unique(self.routes.iter().map(|route| route.path_prefix.as_deref().unwrap_or(DEFAULT)))
    }

    /// Whether only a tcp listener can lead to it.
    pub fn is_tcp(&self) -> bool {
        self.routes.is_empty()
    }
}

impl Facts for Service {
    fn read(item: &Item) -> Self {
        parsed(item)
    }

    fn words(&self, words: &mut Vec<String>) {
        words.push(self.description.clone());
        words.extend(self.hosts());
        words.extend(self.path_prefixes());
        words.extend(self.nodes.iter().map(|node| node.address.clone()));
    }
}

/// A tenant in a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tenant {
    /// For people.
    pub name: String,
    /// Whether it may call.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its limit.
    pub requests_per_second: f64,
    /// Its limit.
    pub requests_per_day: i64,
}

impl Facts for Tenant {
    fn read(item: &Item) -> Self {
        parsed(item)
    }

    fn words(&self, words: &mut Vec<String>) {
        words.push(self.name.clone());
    }
}

/// A listener in a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// Where it listens.
    pub address: String,
    /// What it speaks.
    #[serde(default = "http")]
    pub protocol: String,
    /// Whether it is open.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whose nodes get the bytes.
    pub service: Option<String>,
    sni_routes: Vec<SniRoute>,
    certificates: Vec<ListenerCertificate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SniRoute {
    hosts: Vec<String>,
    service: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListenerCertificate {
    certificate: Option<String>,
    chain: Option<String>,
}

impl Listener {
    /// Names of the certificates, or the files of those that are not kept here.
    pub fn certificates(&self) -> Vec<String> {
        let name = |it: &ListenerCertificate| it.certificate.clone().or_else(|| it.chain.clone());
        self.certificates.iter().filter_map(name).collect()
    }

    /// Whether it presents that certificate.
    pub fn presents(&self, certificate: &str) -> bool {
        self.certificates.iter().any(|it| it.certificate.as_deref() == Some(certificate))
    }

    /// Whether it leads to that service by name.
    pub fn leads_to(&self, service: &str) -> bool {
        self.service.as_deref() == Some(service)
            || self.sni_routes.iter().any(|route| route.service == service)
    }
}

impl Facts for Listener {
    fn read(item: &Item) -> Self {
        parsed(item)
    }

    fn words(&self, words: &mut Vec<String>) {
        words.push(self.address.clone());
        words.push(self.protocol.clone());
        words.extend(self.service.clone());
        words.extend(self.certificates());
        words.extend(
            self.sni_routes.iter().flat_map(|route| route.hosts.iter().chain([&route.service])).cloned(),
        );
    }
}

impl<T: Facts> Entry<T> {
    fn new(item: &Arc<Item>) -> Self {
        let facts = T::read(item);
        let mut words = vec![item.name.clone()];
        facts.words(&mut words);
        // A line for each, so that no term is found across two of them.
        Self { item: Arc::clone(item), facts, words: words.join("\n").to_lowercase() }
    }

    /// Whether all terms are found in it.
    pub fn matches(&self, terms: &Terms) -> bool {
        terms.0.iter().all(|term| self.words.contains(term.as_str()))
    }
}

/// What is searched for: words, all of which must be found.
pub struct Terms(Vec<String>);

impl Terms {
    /// Of what somebody typed.
    pub fn new(text: &str) -> Self {
        Self(text.split_whitespace().take(16).map(str::to_lowercase).collect())
    }
}

impl Index {
    /// Of a state, with what another state's index knows already.
    fn new(state: &Arc<State>, before: Option<&Index>) -> Self {
        Self {
            state: Arc::clone(state),
            services: entries(state, Kind::Service, before.map_or(&[], |before| &before.services)),
            tenants: entries(state, Kind::Tenant, before.map_or(&[], |before| &before.tenants)),
            listeners: entries(state, Kind::Listener, before.map_or(&[], |before| &before.listeners)),
            certificates: entries(
                state,
                Kind::Certificate,
                before.map_or(&[], |before| &before.certificates),
            ),
        }
    }

    /// A service's entry.
    pub fn service(&self, name: &str) -> Option<&Arc<Entry<Service>>> {
        find(&self.services, name)
    }

    /// A certificate's entry.
    pub fn certificate(&self, name: &str) -> Option<&Arc<Entry<CertificateFacts>>> {
        find(&self.certificates, name)
    }
}

fn find<'a, T>(entries: &'a [Arc<Entry<T>>], name: &str) -> Option<&'a Arc<Entry<T>>> {
    let at = entries.binary_search_by(|entry| entry.item.name.as_str().cmp(name)).ok()?;
    entries.get(at)
}

/// Both lists are in order, so one walk over the two finds what stayed.
fn entries<T: Facts>(state: &State, kind: Kind, before: &[Arc<Entry<T>>]) -> Vec<Arc<Entry<T>>> {
    let mut before = before.iter().peekable();
    state
        .list(kind)
        .map(|item| {
            while before.next_if(|entry| entry.item.name < item.name).is_some() {}
            match before.peek() {
                Some(entry) if Arc::ptr_eq(&entry.item, item) => Arc::clone(entry),
                _ => Arc::new(Entry::new(item)),
            }
        })
        .collect()
}

/// The index of the state in force, made when it is asked for first.
#[derive(Default)]
pub struct Indexes {
    latest: Mutex<Option<Arc<Index>>>,
}

impl Indexes {
    /// The one of the state in force.
    pub async fn current(&self, store: &Store) -> Arc<Index> {
        let mut latest = self.latest.lock().await;
        let state = store.state();
        if let Some(index) = latest.as_ref().filter(|index| Arc::ptr_eq(&index.state, &state)) {
            return Arc::clone(index);
        }
        let before = latest.clone();
        let made = tokio::task::spawn_blocking(move || Arc::new(Index::new(&state, before.as_deref()))).await;
        match made {
            Ok(index) => {
                *latest = Some(Arc::clone(&index));
                index
            }
            // The runtime is ending.
            Err(_) => Arc::new(Index::new(&store.state(), None)),
        }
    }

    /// Keeps the index up with the state, so that nobody waits for it.
    pub async fn follow(&self, store: &Store) {
        let mut states = store.watch();
        loop {
            self.current(store).await;
            if states.changed().await.is_err() {
                return;
            }
        }
    }
}

fn parsed<T: DeserializeOwned + Default>(item: &Item) -> T {
    // What is in force has been checked.
    serde_json::from_str(item.body.text()).unwrap_or_default()
}

fn unique<'a, T: AsRef<str> + ?Sized + 'a>(texts: impl Iterator<Item = &'a T>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for text in texts {
        if !all.iter().any(|it| it == text.as_ref()) {
            all.push(text.as_ref().to_owned());
        }
    }
    all
}

fn yes() -> bool {
    true
}

fn one() -> i64 {
    1
}

fn http() -> String {
    "http".to_owned()
}
