//! A token bucket of the process, and the leases that shards take from it.
//!
//! A bucket that all processes of a cluster share has a second source, its [`Stock`]: while that is leased, tokens come
//! from there and not by the bucket's own pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coregate_config::checked::Rate;

use super::cluster::Stock;
use super::pace::Pace;
use super::{Decision, FlowsBack, LEASE_IDLE, Quota};

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
    /// For a limit of the cluster: what this process has leased of it.
    stock: Option<Arc<Stock>>,
}

impl Bucket {
    /// A full bucket, to be leased from by this many shards.
    pub fn new(rate: Rate, shards: usize, now: Instant) -> Bucket {
        let pace = Pace::new(rate);
        let batch = pace.batch(shards);
        Bucket { rate, pace, batch, made: now, full_at_ns: AtomicU64::new(0), stock: None }
    }

    /// A bucket of the cluster. Until the first lease it holds what comes in one [`cluster::LEASE`](super::cluster::LEASE)
    /// and goes by the whole rate.
    pub fn new_shared(rate: Rate, shards: usize, now: Instant) -> Bucket {
        let bucket = Bucket::new(rate, shards, now);
        bucket.set_tokens(super::cluster::of_one_lease(rate), 1, now);
        Bucket { stock: Some(Arc::new(Stock::new(now))), ..bucket }.with_shared_batch(shards)
    }

    /// [`Bucket::renew`] for a limit of the cluster: what is leased stays leased.
    pub fn renew_shared(old: Option<&Arc<Bucket>>, rate: Rate, shards: usize, now: Instant) -> Arc<Bucket> {
        let Some((old, stock)) = old.and_then(|old| Some((old, old.stock.as_ref()?))) else {
            return Arc::new(Bucket::new_shared(rate, shards, now));
        };
        if old.rate == rate {
            return old.clone();
        }
        let bucket = Bucket::replacing(old, rate, shards, now);
        Arc::new(Bucket { stock: Some(stock.clone()), ..bucket }.with_shared_batch(shards))
    }

    /// What all processes' shards hold is to be below a lease's tokens too, so each holds less.
    fn with_shared_batch(self, shards: usize) -> Bucket {
        Bucket { batch: self.pace.batch(shards.saturating_mul(super::cluster::BATCHES)), ..self }
    }

    /// The bucket of a limit that was `old` before: the same if its rate is.
    pub fn renew(old: Option<&Arc<Bucket>>, rate: Rate, shards: usize, now: Instant) -> Arc<Bucket> {
        match old {
            Some(old) if old.rate == rate && old.stock.is_none() => old.clone(),
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

    /// Its rate and size.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// For a limit of the cluster: what this process has leased of it.
    pub fn stock(&self) -> Option<&Arc<Stock>> {
        self.stock.as_ref()
    }

    /// Tokens that are there by the bucket's own pace, as one of so many processes.
    pub(super) fn tokens_by_pace(&self, processes: u32, now: Instant) -> f64 {
        self.pace.share(processes).available(self.full_at_ns.load(Ordering::Relaxed), self.since_made(now))
    }

    /// Lets the bucket hold so many tokens by its own pace, as one of so many processes.
    pub(super) fn set_tokens(&self, tokens: f64, processes: u32, now: Instant) {
        let full_at = self.pace.share(processes).full_at(tokens, self.since_made(now));
        self.full_at_ns.store(full_at, Ordering::Relaxed);
    }

    fn take(&self, now: Instant) -> Result<u32, Duration> {
        let Some(stock) = &self.stock else {
            return self.pace.take(&self.full_at_ns, self.batch, self.since_made(now));
        };
        match stock.sharing() {
            None => stock.take(self.batch, now),
            Some(processes) => {
                let pace = self.pace.share(processes);
                let taken = pace.take(&self.full_at_ns, self.batch, self.since_made(now));
                if let Ok(taken) = taken {
                    stock.taken_by_pace(taken);
                }
                taken
            }
        }
    }

    fn give_back(&self, tokens: u32) {
        match &self.stock {
            Some(stock) if stock.sharing().is_none() => stock.add(u64::from(tokens)),
            stock => {
                let processes = stock.as_ref().and_then(|stock| stock.sharing()).unwrap_or(1);
                self.pace.share(processes).give_back(&self.full_at_ns, tokens);
            }
        }
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
            match self.bucket.take(now) {
                Ok(taken) => self.tokens = taken,
                Err(retry_after) => {
                    // What the cluster grants comes at any time.
                    if self.bucket.stock.is_none() {
                        self.empty_until = now.checked_add(retry_after).unwrap_or(now);
                    }
                    return Decision::Refuse { retry_after };
                }
            }
        }
        self.tokens = self.tokens.saturating_sub(1);
        self.spent = now;
        Decision::Admit
    }

    /// How the limit stands. Reads shared memory: for answers that say so, not for every request.
    pub fn quota(&self, now: Instant) -> Quota {
        let bucket = &*self.bucket;
        let sharing = bucket.stock.as_ref().map(|stock| (stock, stock.sharing()));
        if let Some((stock, None)) = sharing {
            return bucket.pace.quota_of(stock.in_sight().saturating_add(u64::from(self.tokens)));
        }
        let pace = bucket.pace.share(sharing.and_then(|(_, processes)| processes).unwrap_or(1));
        pace.quota(bucket.full_at_ns.load(Ordering::Relaxed), self.tokens, bucket.since_made(now))
    }

    fn give_back(&mut self) {
        self.bucket.give_back(std::mem::take(&mut self.tokens));
    }
}

impl FlowsBack for Lease {
    fn holds(&self) -> bool {
        self.tokens > 0
    }

    fn flow_back(&mut self, now: Instant) {
        if self.tokens > 0 && now.saturating_duration_since(self.spent) >= LEASE_IDLE {
            self.give_back();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.tokens > 0 {
            self.give_back();
        }
    }
}
