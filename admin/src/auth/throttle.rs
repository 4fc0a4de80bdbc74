//! How often a login may be tried: for each address, and for names that have no account.
//!
//! Sans-io, with `now` passed in. An address has [`ADDRESS_BURST`] tries, and one more each [`ADDRESS_REFILL`]; an IPv6
//! client counts by its /64, which is what one customer gets. Accounts keep their failures in the database, so that
//! several admins count together; [`lock_for`] says how long one is locked after how many. A name without an account is
//! counted here by the same rule, so that nobody learns by the answers which names exist.
//!
//! Both tables are bounded ([`ENTRIES_MAX`]); when one is full, what is over goes first, then the oldest.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use jiff::{SignedDuration, Timestamp};

/// Tries of an address at once.
pub const ADDRESS_BURST: u32 = 10;
/// One more try of an address each.
const ADDRESS_REFILL: SignedDuration = SignedDuration::from_secs(6);
/// Failures of an account until it is locked.
pub const FAILURES_FREE: u32 = 5;
const LOCK_FIRST: SignedDuration = SignedDuration::from_secs(60);
const LOCK_MAX: SignedDuration = SignedDuration::from_secs(15 * 60);
/// A name without an account is forgotten after this without a try.
const FORGET: SignedDuration = SignedDuration::from_secs(3600);
/// Entries of each table.
const ENTRIES_MAX: usize = 10_000;

/// For how long an account is locked after so many failures in a row: a minute from the fifth, twice as long each time,
/// a quarter of an hour at most, so that nobody can lock an account for good from outside.
pub fn lock_for(failures: u32) -> Option<SignedDuration> {
    let doublings = failures.checked_sub(FAILURES_FREE)?;
    let factor = 1 << doublings.min(8);
    Some(LOCK_FIRST.checked_mul(factor).map_or(LOCK_MAX, |lock| lock.min(LOCK_MAX)))
}

/// The tables.
#[derive(Default)]
pub struct Throttle {
    /// When an address' tries are all there again.
    addresses: HashMap<IpAddr, Timestamp>,
    /// By digest, since it may be a password typed into the wrong field.
    unknown: HashMap<String, Unknown>,
}

struct Unknown {
    failures: u32,
    at: Timestamp,
    locked_until: Timestamp,
}

impl Throttle {
    /// Takes a try of an address; an error is how long until the next one.
    pub fn address(&mut self, address: IpAddr, now: Timestamp) -> Result<(), SignedDuration> {
        let key = customer(address);
        let full_at = self.addresses.get(&key).copied().unwrap_or(now).max(now);
        let next = later(full_at, ADDRESS_REFILL);
        let over =
            next.duration_since(now) - ADDRESS_REFILL * i32::try_from(ADDRESS_BURST).unwrap_or(i32::MAX);
        if over.is_positive() {
            return Err(over);
        }
        make_room(&mut self.addresses, &key, |full_at| *full_at, now);
        self.addresses.insert(key, next);
        Ok(())
    }

    /// Whether a name without an account counts as locked, and for how long.
    pub fn unknown_locked(&self, name_digest: &str, now: Timestamp) -> Option<SignedDuration> {
        let until = self.unknown.get(name_digest)?.locked_until;
        (until > now).then(|| until.duration_since(now))
    }

    /// A try of a name without an account.
    pub fn unknown_failed(&mut self, name_digest: String, now: Timestamp) {
        make_room(&mut self.unknown, &name_digest, |entry| later(entry.at, FORGET), now);
        let entry =
            self.unknown.entry(name_digest).or_insert(Unknown { failures: 0, at: now, locked_until: now });
        if now.duration_since(entry.at) > FORGET {
            entry.failures = 0;
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.at = now;
        entry.locked_until = lock_for(entry.failures).map_or(now, |lock| later(now, lock));
    }
}

/// Makes room for a key. `over_at`: when an entry says nothing any more.
fn make_room<K: Hash + Eq + Clone, V>(
    table: &mut HashMap<K, V>,
    key: &K,
    over_at: impl Fn(&V) -> Timestamp,
    now: Timestamp,
) {
    if table.len() < ENTRIES_MAX || table.contains_key(key) {
        return;
    }
    table.retain(|_, entry| over_at(entry) > now);
    // Several at once, so that a flood of addresses does not pay for a walk each.
    let excess = (table.len() + ENTRIES_MAX / 10).saturating_sub(ENTRIES_MAX);
    if excess == 0 {
        return;
    }
    let mut order: Vec<(Timestamp, K)> =
        table.iter().map(|(key, entry)| (over_at(entry), key.clone())).collect();
    order.select_nth_unstable_by_key(excess - 1, |(at, _)| *at);
    for (_, key) in order.into_iter().take(excess) {
        table.remove(&key);
    }
}

/// Never beyond the end of time.
pub fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn an_address_has_its_tries_and_gets_one_back_at_a_time() {
        let mut throttle = Throttle::default();
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..ADDRESS_BURST {
            assert_eq!(throttle.address(address, at(0)), Ok(()));
        }
        assert_eq!(throttle.address(address, at(0)), Err(ADDRESS_REFILL));
        assert_eq!(throttle.address("192.0.2.2".parse().unwrap(), at(0)), Ok(()));
        assert!(throttle.address(address, at(5)).is_err());
        assert_eq!(throttle.address(address, at(6)), Ok(()));
        assert!(throttle.address(address, at(6)).is_err());
        for _ in 0..ADDRESS_BURST {
            assert_eq!(throttle.address(address, at(1000)), Ok(()));
        }
        assert!(throttle.address(address, at(1000)).is_err());
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let mut throttle = Throttle::default();
        for host in 0..ADDRESS_BURST {
            assert!(throttle.address(format!("2001:db8::{host:x}").parse().unwrap(), at(0)).is_ok());
        }
        assert!(throttle.address("2001:db8::ffff".parse().unwrap(), at(0)).is_err());
        assert!(throttle.address("2001:db8:0:1::1".parse().unwrap(), at(0)).is_ok());
    }

    #[test]
    fn locks_get_longer_up_to_a_bound() {
        let seconds = |failures| lock_for(failures).map(|lock| lock.as_secs());
        assert_eq!(
            [0, 4, 5, 6, 8, 9, 50].map(seconds),
            [None, None, Some(60), Some(120), Some(480), Some(900), Some(900)]
        );
        assert_eq!(seconds(u32::MAX), Some(900));
    }

    #[test]
    fn a_name_without_an_account_is_locked_like_an_account() {
        let mut throttle = Throttle::default();
        for _ in 1..FAILURES_FREE {
            throttle.unknown_failed("x".to_owned(), at(0));
            assert_eq!(throttle.unknown_locked("x", at(0)), None);
        }
        throttle.unknown_failed("x".to_owned(), at(0));
        assert_eq!(throttle.unknown_locked("x", at(10)), Some(SignedDuration::from_secs(50)));
        assert_eq!(throttle.unknown_locked("x", at(60)), None);
        assert_eq!(throttle.unknown_locked("y", at(0)), None);
    }

    #[test]
    fn the_tables_stay_within_their_bounds_and_keep_who_tried_last() {
        let mut throttle = Throttle::default();
        let count = u32::try_from(ENTRIES_MAX).unwrap() * 3;
        for number in 0..count {
            let seconds = i64::from(number) / 1000;
            throttle.address(IpAddr::from(number.to_be_bytes()), at(seconds)).unwrap();
            throttle.unknown_failed(number.to_string(), at(seconds));
            assert!(throttle.addresses.len() <= ENTRIES_MAX && throttle.unknown.len() <= ENTRIES_MAX);
        }
        assert!(throttle.unknown.contains_key(&(count - 1).to_string()));
    }
}
