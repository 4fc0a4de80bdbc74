//! Connections at once: of a service, and of each of its clients, counted over all shards.
//!
//! Input: a connection that begins. Output: a guard that counts until it is dropped, or which limit is reached. The counts
//! are atomics that are touched when a connection opens or closes, never in between.
//!
//! Clients: one table for all services, of words that hold a tag (40 bits of a keyed hash of service and address) and a
//! count. A client's word is in one of [`WAYS`] neighbouring places; a count of 0 frees it. There are at least two places
//! for each connection that the process may have. Errors: where all places of a neighbourhood are taken by others, a
//! connection is let in uncounted; two shards that bring a limit's last connection at the same moment may both be
//! refused. A limit is never exceeded otherwise. IPv6 addresses count by /64, as in [`super::ClientTable`].

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use foldhash::quality::RandomState;

use crate::account::LimitKind;

/// Places that a client's word may be in.
const WAYS: usize = 16;
/// Bits of a word that are the count.
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// Connections of one service; the same one in each snapshot for as long as the service stays.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicUsize,
}

impl Connections {
    /// Those that are open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts one more.
    ///
    /// # Errors
    /// There are `max` already.
    pub fn take(self: &Arc<Self>, max: Option<usize>) -> Result<Connection, LimitKind> {
        let connection = Connection { service: self.clone() };
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        if max.is_some_and(|max| before >= max) { Err(LimitKind::ServiceConnections) } else { Ok(connection) }
    }
}

/// A connection of a service, counted until it is dropped.
#[derive(Debug)]
pub struct Connection {
    service: Arc<Connections>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.service.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connections of all clients.
#[derive(Debug)]
pub struct ClientConnections {
    words: Box<[AtomicU64]>,
    hash: RandomState,
}

impl ClientConnections {
    /// For a process that may have so many connections.
    pub fn new(connections_max: usize) -> Self {
        let places = connections_max.saturating_mul(2).max(WAYS).next_power_of_two();
        let words = std::iter::repeat_with(AtomicU64::default).take(places).collect();
        Self { words, hash: RandomState::default() }
    }

    /// Counts one more of this client and service.
    ///
    /// # Errors
    /// There are `max` already.
    pub fn take(
        self: &Arc<Self>,
        service: &str,
        ip: IpAddr,
        max: usize,
    ) -> Result<ClientConnection, LimitKind> {
        let hash = self.hash.hash_one((service, super::clients::client_bits(ip)));
        let start = usize::try_from(hash & (self.words.len() as u64 - 1)).unwrap_or(0);
        // Never 0, which is a free place.
        let tag = (hash >> COUNT_BITS).max(1) << COUNT_BITS;
        let place = self.count_up(start, tag);
        let connection = ClientConnection { table: self.clone(), place };
        if place.is_some() && self.count(start, tag) > max as u64 {
            return Err(LimitKind::ClientConnections);
        }
        Ok(connection)
    }

    /// Where it was counted.
    fn count_up(&self, start: usize, tag: u64) -> Option<usize> {
        let add = |wanted: &dyn Fn(u64) -> bool| {
            self.places(start).find(|&place| {
                let up = |word| wanted(word).then_some(if word == 0 { tag | 1 } else { word + 1 });
                self.words[place].fetch_update(Ordering::Relaxed, Ordering::Relaxed, up).is_ok()
            })
        };
        add(&|word| word & !COUNT == tag && word & COUNT < COUNT).or_else(|| add(&|word| word == 0))
    }

    /// Connections of a client. Shards that are new to it at the same moment may have counted it in two places.
    fn count(&self, start: usize, tag: u64) -> u64 {
        let words = self.places(start).map(|place| self.words[place].load(Ordering::Relaxed));
        words.filter(|word| word & !COUNT == tag).map(|word| word & COUNT).sum()
    }

    fn places(&self, start: usize) -> impl Iterator<Item = usize> + use<> {
        let mask = self.words.len() - 1;
        (0..WAYS).map(move |way| (start + way) & mask)
    }
}

/// A connection of a client, counted until it is dropped.
#[derive(Debug)]
pub struct ClientConnection {
    table: Arc<ClientConnections>,
    place: Option<usize>,
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let down = |word: u64| Some(if word & COUNT <= 1 { 0 } else { word - 1 });
            let _ = self.table.words[place].fetch_update(Ordering::Relaxed, Ordering::Relaxed, down);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_its_most() {
        let service = Arc::new(Connections::default());
        let first = service.take(Some(2)).unwrap();
        let _second = service.take(Some(2)).unwrap();
        assert_eq!(service.take(Some(2)).unwrap_err(), LimitKind::ServiceConnections);
        assert_eq!(service.open(), 2, "what is refused does not count");
        drop(first);
        let _third = service.take(Some(2)).unwrap();
        assert!(service.take(None).is_ok());
        assert!(service.take(Some(0)).is_err());
    }

    #[test]
    fn each_client_of_each_service_has_its_own() {
        let table = Arc::new(ClientConnections::new(100));
        let ip = |text: &str| text.parse().unwrap();
        let take = |service: &str, client: &str| table.take(service, ip(client), 2);
        let one = take("a", "10.0.0.1").unwrap();
        let _two = take("a", "::ffff:10.0.0.1").unwrap();
        assert_eq!(take("a", "10.0.0.1").unwrap_err(), LimitKind::ClientConnections);
        let _others = (take("b", "10.0.0.1").unwrap(), take("a", "10.0.0.2").unwrap());
        drop(one);
        assert!(take("a", "10.0.0.1").is_ok());
        let _v6 = (take("a", "2001:db8::1").unwrap(), take("a", "2001:db8::2").unwrap());
        assert!(take("a", "2001:db8::3").is_err(), "a /64 is one client");
        assert!(take("a", "2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn everything_is_given_back() {
        let table = Arc::new(ClientConnections::new(64));
        let mut held = Vec::new();
        for client in 0..64_u32 {
            for _ in 0..3 {
                held.push(table.take("a", IpAddr::from(client.to_be_bytes()), 3).unwrap());
            }
        }
        held.clear();
        assert!(table.words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn threads_never_get_more_than_there_is() {
        let table = Arc::new(ClientConnections::new(64));
        let held: Vec<_> = std::thread::scope(|scope| {
            let work = || {
                let take = |_| table.take("a", IpAddr::from([10, 0, 0, 1]), 10).ok();
                (0..100).filter_map(take).collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(held.len() <= 10, "{}", held.len());
        drop(held);
        assert!(
            (0..10)
                .map(|_| table.take("a", IpAddr::from([10, 0, 0, 1]), 10))
                .collect::<Result<Vec<_>, _>>()
                .is_ok()
        );
    }
}
