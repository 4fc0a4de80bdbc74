//! A token bucket of the process, and the leases that shards take from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use coregate_config::checked::Rate;

use super::pace::Pace;
use super::{Decision, LEASE_IDLE, Quota};

/// A token bucket that all shards share.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    pace: Pace,
    /// Tokens that a shard takes at a time.
    batch: u32,
    /// Time 0.
    made: Instant,
    /// When it will be full; see [`Pace`].
    full_at_ns: AtomicU64,
}

impl Bucket {
    /// A full bucket, to be leased from by this many shards.
    pub fn new(rate: Rate, shards: usize, now: Instant) -> Bucket {
        let pace = Pace::new(rate);
        Bucket { rate, pace, batch: pace.batch(shards), made: now, full_at_ns: AtomicU64::new(0) }
    }

    /// The bucket of a limit that was `old` before: the same if its rate is.
    pub fn renew(old: Option<&Arc<Bucket>>, rate: Rate, shards: usize, now: Instant) -> Arc<Bucket> {
        match old {
            Some(old) if old.rate == rate => old.clone(),
            Some(old) => Arc::new(Bucket::replacing(old, rate, shards, now)),
            None => Arc::new(Bucket::new(rate, shards, now)),
        }
    }

    /// A bucket with the tokens of `old`, as far as they fit: for a limit whose rate was changed.
    pub fn replacing(old: &Bucket, rate: Rate, shards: usize, now: Instant) -> Bucket {
        let bucket = Bucket::new(rate, shards, now);
        let tokens = old.pace.available(old.full_at_ns.load(Ordering::Relaxed), old.since_made(now));
        bucket.full_at_ns.store(bucket.pace.full_at(tokens, 0), Ordering::Relaxed);
        bucket
    }

    fn since_made(&self, now: Instant) -> u64 {
        nanoseconds(self.made, now)
    }
}

/// Nanoseconds from one instant to a later one.
pub(super) fn nanoseconds(from: Instant, to: Instant) -> u64 {
    let time = to.saturating_duration_since(from);
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos())).min(1 << 61)
}

/// One shard's share of a [`Bucket`]: a few tokens at most. Dropped, it gives them back.
#[derive(Debug)]
pub struct Lease {
    bucket: Arc<Bucket>,
    /// Taken from the bucket and not spent. Below a batch, because a batch is taken to spend one of it.
    tokens: u32,
    /// When the last one was spent.
    spent: Instant,
    /// The bucket has no token before this, so it need not be asked.
    empty_until: Instant,
}

impl Lease {
    /// An empty lease.
    pub fn new(bucket: Arc<Bucket>, now: Instant) -> Lease {
        Lease { bucket, tokens: 0, spent: now, empty_until: now }
    }

    /// Spends a token, if there is one.
    pub fn admit(&mut self, now: Instant) -> Decision {
        if self.tokens == 0 {
            if now < self.empty_until {
                return Decision::Refuse { retry_after: self.empty_until - now };
            }
            let bucket = &*self.bucket;
            match bucket.pace.take(&bucket.full_at_ns, bucket.batch, bucket.since_made(now)) {
                Ok(taken) => self.tokens = taken,
                Err(retry_after) => {
                    self.empty_until = now.checked_add(retry_after).unwrap_or(now);
                    return Decision::Refuse { retry_after };
                }
            }
        }
        self.tokens = self.tokens.saturating_sub(1);
        self.spent = now;
        Decision::Admit
    }

    /// Whether it has tokens that could flow back.
    pub fn holds(&self) -> bool {
        self.tokens > 0
    }

    /// Gives back what an idle shard holds. To be called every [`LEASE_IDLE`] or so.
    pub fn flow_back(&mut self, now: Instant) {
        if self.tokens > 0 && now.saturating_duration_since(self.spent) >= LEASE_IDLE {
            self.give_back();
        }
    }

    /// How the limit stands. Reads shared memory: for answers that say so, not for every request.
    pub fn quota(&self, now: Instant) -> Quota {
        let bucket = &*self.bucket;
        let full_at = bucket.full_at_ns.load(Ordering::Relaxed);
        bucket.pace.quota(full_at, self.tokens, bucket.since_made(now))
    }

    fn give_back(&mut self) {
        self.bucket.pace.give_back(&self.bucket.full_at_ns, std::mem::take(&mut self.tokens));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.tokens > 0 {
            self.give_back();
        }
    }
}
