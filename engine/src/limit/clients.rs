//! Token buckets of client addresses: one table for all services and shards of the process.
//!
//! One table and not one a shard, because the kernel spreads a client's connections over the shards: with tables of
//! their own, N shards would let one client have up to N times its rate, and leases would not help, since a client's
//! rate is so small that a batch is one token. So a request of a limited service costs one hash, one or two cache lines
//! and one atomic operation, on a line that another shard wants only while the same client uses both.
//!
//! Layout: sets of eight entries; an entry is a hash of service and address, and the time at which the bucket will be
//! full. Memory: 16 bytes an entry, 16 MiB for a million, taken at the start and never more.
//!
//! Room: a client that is not there takes the entry in its set that has been full longest. A full bucket and none are
//! the same, so this loses nothing while fewer than eight clients of a set have spent tokens that have not come back
//! yet. When all eight have, the one closest to full is pushed out and starts anew when it comes again: an attacker
//! gains at most what a new address would have got him too. He has to keep a million addresses busy for that; a
//! request costs us the same as ever. IPv6 addresses count by /64, which is what one subscriber has (RFC 6177).
//!
//! Errors: shards that make room in one set at the same moment may admit one request too many each; clients whose
//! 64-bit hashes are equal share a bucket (one pair in a million clients with a chance of 1 in 37 million). The hash is
//! keyed, so that nobody can look for such pairs.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use coregate_config::checked::Rate;
use foldhash::quality::RandomState;

use super::bucket::nanoseconds;
use super::pace::Pace;
use super::{Decision, Quota};

/// Entries in a set: two cache lines.
const WAYS: usize = 8;

/// Bits of an IPv6 address that make a client.
const IPV6_CLIENT_BITS: u32 = 64;

/// The limit that a service has for each of its clients.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimit {
    service: u64,
    pace: Pace,
}

impl ClientLimit {
    /// `service` tells the limits of a table apart. It should outlive reconfigurations, as a hash of the name does.
    pub fn new(service: u64, rate: Rate) -> ClientLimit {
        ClientLimit { service, pace: Pace::new(rate) }
    }
}

/// The buckets of all clients that have spent tokens lately.
#[derive(Debug)]
pub struct ClientTable {
    pub(super) sets: Box<[[Entry; WAYS]]>,
    hash: RandomState,
    /// Time 0.
    made: Instant,
}

/// One client's bucket.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Hash of service and address; 0 = free.
    client: AtomicU64,
    /// When it will be full; see [`Pace`].
    full_at_ns: AtomicU64,
}

impl ClientTable {
    /// A table for at least this many clients.
    pub fn new(entries: usize, now: Instant) -> ClientTable {
        let sets = std::iter::repeat_with(Default::default).take(entries.div_ceil(WAYS).max(1)).collect();
        ClientTable { sets, hash: RandomState::default(), made: now }
    }

    /// Spends a token of this client, if there is one.
    pub fn admit(&self, limit: &ClientLimit, ip: IpAddr, now: Instant) -> Decision {
        let client = self.hash(limit, ip);
        let now_ns = nanoseconds(self.made, now);
        let entry = self.find(client).or_else(|| self.make_room(client, now_ns));
        // Without an entry, because other shards were quicker in taking every place, the request goes through.
        match entry.map(|entry| limit.pace.take(&entry.full_at_ns, 1, now_ns)) {
            Some(Err(retry_after)) => Decision::Refuse { retry_after },
            Some(Ok(_)) | None => Decision::Admit,
        }
    }

    /// How this client's limit stands.
    pub fn quota(&self, limit: &ClientLimit, ip: IpAddr, now: Instant) -> Quota {
        let entry = self.find(self.hash(limit, ip));
        let full_at = entry.map_or(0, |entry| entry.full_at_ns.load(Ordering::Relaxed));
        limit.pace.quota(full_at, 0, nanoseconds(self.made, now))
    }

    fn find(&self, client: u64) -> Option<&Entry> {
        self.set(client).iter().find(|entry| entry.client.load(Ordering::Acquire) == client)
    }

    /// Gives `client` the entry in its set that is full or will be first. `None`: lost the race for it too often.
    fn make_room(&self, client: u64, now_ns: u64) -> Option<&Entry> {
        for _ in 0..WAYS {
            let full_at = |entry: &&Entry| entry.full_at_ns.load(Ordering::Relaxed);
            let entry = self.set(client).iter().min_by_key(full_at)?;
            let before = entry.client.load(Ordering::Acquire);
            if before == client {
                return Some(entry);
            }
            let busy_until = entry.full_at_ns.load(Ordering::Relaxed);
            let claimed = entry.client.compare_exchange(before, client, Ordering::AcqRel, Ordering::Acquire);
            if claimed.is_ok() || claimed == Err(client) {
                if claimed.is_ok() && busy_until > now_ns {
                    let _ = entry.full_at_ns.compare_exchange(
                        busy_until,
                        0,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                }
                return Some(entry);
            }
        }
        self.find(client)
    }

    fn set(&self, client: u64) -> &[Entry] {
        let sets = self.sets.len() as u128;
        let index = usize::try_from((u128::from(client) * sets) >> 64).unwrap_or(0);
        self.sets.get(index).map_or(&[], |set| set.as_slice())
    }

    /// Never 0.
    fn hash(&self, limit: &ClientLimit, ip: IpAddr) -> u64 {
        self.hash.hash_one((limit.service, client_bits(ip))).max(1)
    }
}

/// What makes a client.
pub(super) fn client_bits(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        // Bit 63 keeps ::/64 apart from IPv4.
        IpAddr::V6(v6) => v6.to_bits() >> (128 - IPV6_CLIENT_BITS) << (128 - IPV6_CLIENT_BITS) | 1 << 63,
    }
}
