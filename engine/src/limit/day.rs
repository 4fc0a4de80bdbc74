//! Requests a day: a number that is counted down, leased to the shards like a [`Bucket`](super::Bucket) and never
//! exceeded.
//!
//! When a day begins is the caller's to say (it depends on a time zone): each call names the day. A new number starts a
//! new quota; a shard whose clock is behind is counted to the newer day. Leases shrink as the quota does, so that the
//! last requests of a day do not hang in the leases of shards that have no traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Decision, FlowsBack, LEASE_IDLE, Quota};

/// Bits of the state that count requests: 10^12 of them. Those above hold the day.
const USED_BITS: u32 = 40;
const USED_MAX: u64 = (1 << USED_BITS) - 1;
const DAY_MAX: u64 = u64::MAX >> USED_BITS;

/// Largest lease of a shard.
const BATCH_MAX: u64 = 1000;

/// A day, as the caller counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Larger each day, below 2^24.
    pub number: u32,
    /// When the next one begins.
    pub ends: Instant,
}

/// How many requests a day may still have, for the process.
#[derive(Debug)]
pub struct DayQuota {
    limit: u64,
    shards: u64,
    /// The day's number and, in the lower [`USED_BITS`], what is leased or used of its quota.
    state: AtomicU64,
}

impl DayQuota {
    /// A quota of which `used` are used on day `number`: what is known from before a restart or another limit.
    pub fn new(limit: u64, shards: usize, number: u32, used: u64) -> DayQuota {
        let state = AtomicU64::new(pack(day_of(number), used));
        DayQuota { limit: limit.min(USED_MAX), shards: shards.max(1) as u64, state }
    }

    /// The quota of a limit that was `old` before: what is used of it stays used.
    pub fn renew(old: Option<&Arc<DayQuota>>, limit: u64, shards: usize) -> Arc<DayQuota> {
        match old {
            Some(old) if old.limit == limit.min(USED_MAX) => old.clone(),
            Some(old) => {
                let (day, used) = unpack(old.state.load(Ordering::Relaxed));
                Arc::new(DayQuota::new(limit, shards, u32::try_from(day).unwrap_or(0), used))
            }
            None => Arc::new(DayQuota::new(limit, shards, 0, 0)),
        }
    }

    /// Learns that at least so many are used on day `number`: by other processes, or before a restart.
    pub fn learn(&self, number: u32, used: u64) {
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            let (day, known) = unpack(seen);
            let newer = day_of(number) > day || (day_of(number) == day && used > known);
            newer.then(|| pack(day_of(number), used))
        });
    }

    /// How many are used, or leased by shards, on day `number`.
    pub fn used(&self, number: u32) -> u64 {
        let (day, used) = unpack(self.state.load(Ordering::Relaxed));
        if day == day_of(number) { used } else { 0 }
    }

    /// Takes a lease: the day that it is for, and how many.
    fn take(&self, number: u32) -> (u64, u64) {
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            let (mut day, mut used) = unpack(seen);
            if day_of(number) > day {
                (day, used) = (day_of(number), 0);
            }
            let left = self.limit.saturating_sub(used);
            let batch = (left / (100 * self.shards)).clamp(1, BATCH_MAX).min(left);
            if batch == 0 {
                return (day, 0);
            }
            let after = pack(day, used + batch);
            match self.state.compare_exchange_weak(seen, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return (day, batch),
                Err(changed) => seen = changed,
            }
        }
    }

    fn give_back(&self, day: u64, unused: u64) {
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            let (now, used) = unpack(seen);
            (now == day).then(|| pack(day, used.saturating_sub(unused)))
        });
    }
}

fn day_of(number: u32) -> u64 {
    u64::from(number).min(DAY_MAX)
}

fn pack(day: u64, used: u64) -> u64 {
    day << USED_BITS | used.min(USED_MAX)
}

fn unpack(state: u64) -> (u64, u64) {
    (state >> USED_BITS, state & USED_MAX)
}

/// One shard's share of a [`DayQuota`]. Dropped, it gives back what is unused.
#[derive(Debug)]
pub struct DayLease {
    quota: Arc<DayQuota>,
    /// The day that `left` is for.
    day: u64,
    left: u64,
    /// When the last one was used.
    used: Instant,
}

impl DayLease {
    /// An empty lease.
    pub fn new(quota: Arc<DayQuota>, now: Instant) -> DayLease {
        DayLease { quota, day: 0, left: 0, used: now }
    }

    /// Uses one of the day's requests, if one is left.
    pub fn admit(&mut self, day: Day, now: Instant) -> Decision {
        if self.left == 0 || day_of(day.number) > self.day {
            (self.day, self.left) = self.quota.take(day.number);
        }
        if self.left == 0 {
            return Decision::Refuse { retry_after: day.ends.saturating_duration_since(now) };
        }
        self.left -= 1;
        self.used = now;
        Decision::Admit
    }

    /// How the quota stands. Reads shared memory: for answers that say so, not for every request.
    pub fn quota(&self, day: Day, now: Instant) -> Quota {
        let held = if self.day == day_of(day.number) { self.left } else { 0 };
        let remaining = self.quota.limit.saturating_sub(self.quota.used(day.number)) + held;
        let reset = day.ends.saturating_duration_since(now);
        Quota { limit: self.quota.limit, remaining, reset, window: Duration::from_secs(86_400) }
    }

    fn give_back(&mut self) {
        self.quota.give_back(self.day, std::mem::take(&mut self.left));
    }
}

impl FlowsBack for DayLease {
    fn holds(&self) -> bool {
        self.left > 0
    }

    fn flow_back(&mut self, now: Instant) {
        if self.left > 0 && now.saturating_duration_since(self.used) >= LEASE_IDLE {
            self.give_back();
        }
    }
}

impl Drop for DayLease {
    fn drop(&mut self) {
        if self.left > 0 {
            self.give_back();
        }
    }
}
