//! Node names: looked up at load and again every [`INTERVAL`], off the request path.
//!
//! Input: the [`NodeAddress`]es of the enabled services. Output: [`Addresses`], from which a snapshot is compiled; a
//! changed answer makes a new snapshot. A name may stand for several nodes: each address of its answer is one, with
//! the weight of the name. IPv4 addresses are preferred: IPv6 ones are used where there are no others.
//!
//! A name that cannot be looked up keeps the addresses that it had; one that never had any is absent, which is logged
//! once and tried again. Nothing here fails a start or a reload.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use coregate_config::checked::{Gateway, NodeAddress};
use tokio::task::JoinSet;
use tracing::{info, warn};

/// Time between two look-ups of a name.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// How long one look-up may take. Under [`INTERVAL`], so that rounds never overlap.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Look-ups at a time. Each takes a thread of the blocking pool.
const CONCURRENT_MAX: usize = 16;
/// Addresses that one name may stand for; more are ignored.
const ADDRESSES_MAX: usize = 256;

const _: () = assert!(TIMEOUT.as_millis() < INTERVAL.as_millis());

/// A host name and a port.
pub type Name = (String, u16);

/// What a look-up said: addresses, sorted and without doubles, or why there are none.
pub type Answer = Result<Vec<SocketAddr>, String>;

/// The addresses of all names in use.
#[derive(Debug, Default)]
pub struct Addresses {
    known: BTreeMap<Name, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    addresses: Vec<SocketAddr>,
    /// The failure was logged and nothing has succeeded since.
    failing: bool,
}

impl Addresses {
    /// Where a node is: nowhere, if it is a name that is not resolved.
    pub fn of<'a>(&'a self, address: &'a NodeAddress) -> &'a [SocketAddr] {
        match address {
            NodeAddress::Ip(address) => std::slice::from_ref(address),
            NodeAddress::Name(host, port) => {
                self.known.get(&(host.clone(), *port)).map_or(&[], |entry| &entry.addresses)
            }
        }
    }

    /// The names in use, for the next round.
    pub fn names(&self) -> Vec<Name> {
        self.known.keys().cloned().collect()
    }

    /// Exactly the names of `gateway` are in use from now on.
    pub fn retain(&mut self, gateway: &Gateway) {
        let mut before = std::mem::take(&mut self.known);
        for name in names_of(gateway) {
            let entry = before.remove(&name).unwrap_or_default();
            self.known.entry(name).or_insert(entry);
        }
    }

    /// Takes the answers of a round. Whether any name's addresses have changed. Answers to names that are not in use
    /// any more are ignored.
    pub fn update(&mut self, answers: Vec<(Name, Answer)>) -> bool {
        let mut changed = false;
        for (name, answer) in answers {
            if let Some(entry) = self.known.get_mut(&name) {
                changed |= entry.update(&name, answer);
            }
        }
        changed
    }
}

impl Entry {
    fn update(&mut self, (host, port): &Name, answer: Answer) -> bool {
        match answer {
            Ok(addresses) => {
                self.failing = false;
                if addresses == self.addresses {
                    return false;
                }
                info!(name = %format_args!("{host}:{port}"), ?addresses, "node name resolved");
                self.addresses = addresses;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let kept = if self.addresses.is_empty() {
                        "it is absent"
                    } else {
                        "its last addresses are kept"
                    };
                    warn!(name = %format_args!("{host}:{port}"), %error, retry = ?INTERVAL, "node name not resolved: {kept}");
                }
                false
            }
        }
    }
}

/// The names of all nodes that may get traffic; a name may come twice.
pub fn names_of(gateway: &Gateway) -> impl Iterator<Item = Name> {
    let services = gateway.services.iter().filter(|service| service.enabled);
    services.flat_map(|service| &service.nodes).filter(|node| node.enabled).filter_map(|node| {
        match &node.address {
            NodeAddress::Ip(_) => None,
            NodeAddress::Name(host, port) => Some((host.clone(), *port)),
        }
    })
}

/// Looks names up, a few at a time. Takes at most [`TIMEOUT`] for each batch of [`CONCURRENT_MAX`].
pub async fn look_up(names: Vec<Name>) -> Vec<(Name, Answer)> {
    let mut waiting = names.into_iter();
    let mut running = JoinSet::new();
    let mut answers = Vec::with_capacity(waiting.len());
    loop {
        while running.len() < CONCURRENT_MAX {
            let Some(name) = waiting.next() else { break };
            running.spawn(async move {
                let answer = look_up_one(&name).await;
                (name, answer)
            });
        }
        match running.join_next().await {
            Some(Ok(answer)) => answers.push(answer),
            Some(Err(_)) => {}
            None => return answers,
        }
    }
}

async fn look_up_one((host, port): &Name) -> Answer {
    match tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host.as_str(), *port))).await {
        Ok(Ok(addresses)) => preferred(addresses.collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
    }
}

/// IPv4 if there is any; sorted, so that an answer in another order is no change.
fn preferred(mut addresses: Vec<SocketAddr>) -> Answer {
    if addresses.iter().any(SocketAddr::is_ipv4) {
        addresses.retain(SocketAddr::is_ipv4);
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() { Err("the name has no address".to_owned()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(nodes: &[&str]) -> Gateway {
        let mut toml = "[[services]]\nname = \"a\"\n[[services.routes]]\npath_prefix = \"/\"\n".to_owned();
        for node in nodes {
            toml += &format!("[[services.nodes]]\naddress = \"{node}\"\n");
        }
        coregate_config::parse_toml(&toml, "test").unwrap()
    }

    fn ip(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn name(host: &str) -> Name {
        (host.to_owned(), 80)
    }

    fn node(host: &str) -> NodeAddress {
        NodeAddress::Name(host.to_owned(), 80)
    }

    #[test]
    fn only_a_different_answer_is_a_change() {
        let mut addresses = Addresses::default();
        addresses.retain(&gateway(&["one.test:80"]));
        assert!(addresses.of(&node("one.test")).is_empty());
        assert!(addresses.update(vec![(name("one.test"), Ok(vec![ip("10.0.0.1:80")]))]));
        assert!(!addresses.update(vec![(name("one.test"), Ok(vec![ip("10.0.0.1:80")]))]));
        assert!(addresses.update(vec![(name("one.test"), Ok(vec![ip("10.0.0.2:80")]))]));
        assert_eq!(addresses.of(&node("one.test")), [ip("10.0.0.2:80")]);
    }

    #[test]
    fn a_name_that_fails_keeps_its_last_addresses() {
        let mut addresses = Addresses::default();
        addresses.retain(&gateway(&["one.test:80"]));
        assert!(!addresses.update(vec![(name("one.test"), Err("no".into()))]));
        assert!(addresses.update(vec![(name("one.test"), Ok(vec![ip("10.0.0.1:80")]))]));
        assert!(!addresses.update(vec![(name("one.test"), Err("no".into()))]));
        assert_eq!(addresses.of(&node("one.test")), [ip("10.0.0.1:80")]);
    }

    #[test]
    fn a_reload_keeps_what_stays_and_forgets_the_rest() {
        let mut addresses = Addresses::default();
        addresses.retain(&gateway(&["one.test:80", "two.test:80", "127.0.0.1:1"]));
        addresses.update(vec![(name("one.test"), Ok(vec![ip("10.0.0.1:80")]))]);
        let next = gateway(&["one.test:80", "three.test:80"]);
        addresses.retain(&next);
        assert_eq!(addresses.names(), [name("one.test"), name("three.test")]);
        assert_eq!(addresses.of(&node("one.test")), [ip("10.0.0.1:80")]);
        assert!(!addresses.update(vec![(name("two.test"), Ok(vec![ip("10.0.0.2:80")]))]));
    }

    #[test]
    fn addresses_need_no_look_up() {
        let address = NodeAddress::Ip(ip("10.0.0.1:80"));
        assert_eq!(Addresses::default().of(&address), [ip("10.0.0.1:80")]);
    }

    #[test]
    fn ipv4_first_in_any_order() {
        let answer = preferred(vec![ip("[::1]:80"), ip("10.0.0.2:80"), ip("10.0.0.1:80"), ip("10.0.0.2:80")]);
        assert_eq!(answer, Ok(vec![ip("10.0.0.1:80"), ip("10.0.0.2:80")]));
        assert_eq!(preferred(vec![ip("[::1]:80")]), Ok(vec![ip("[::1]:80")]));
        assert!(preferred(vec![]).is_err());
    }

    #[tokio::test]
    async fn looks_up_localhost_and_says_why_not() {
        let answers = look_up(vec![name("localhost"), name("no-such-name.invalid")]).await;
        let of = |host: &str| &answers.iter().find(|(name, _)| name.0 == host).unwrap().1;
        assert_eq!(of("localhost"), &Ok(vec![ip("127.0.0.1:80")]));
        assert!(of("no-such-name.invalid").is_err());
    }
}
