//! What a process has leased of a limit of the cluster: tokens that its shards take with one atomic operation, as they
//! do from a bucket of the process.
//!
//! Shards take, and call the control thread when the stock runs low; they never wait for it. The control thread adds
//! what it was granted, and switches to the bucket's own pace while there is nobody to ask.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::bucket::nanoseconds;

/// Tokens of this process, and what its shards and the control thread tell each other.
pub struct Stock {
    /// Tokens that shards may take.
    tokens: AtomicU64,
    /// 0: tokens come from here. Else by the bucket's pace, as one of so many processes.
    sharing: AtomicU32,
    /// Taken by pace since the control thread asked last.
    taken_by_pace: AtomicU64,
    /// A shard that leaves no more tokens than this calls the control thread.
    low: AtomicU64,
    /// It was called since it asked last.
    called: AtomicBool,
    /// A shard found nothing since then.
    refused: AtomicBool,
    /// Tokens that nobody had leased when it asked last.
    left: AtomicU64,
    /// When there may be a token again, if there is none.
    next_at_ns: AtomicU64,
    /// Time 0.
    made: Instant,
    caller: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Stock {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Stock")
            .field("tokens", &self.tokens)
            .field("sharing", &self.sharing)
            .finish_non_exhaustive()
    }
}

// Relaxed throughout: each number stands for itself, and a grant that is seen late is a grant that comes late.
impl Stock {
    pub(in crate::limit) fn new(now: Instant) -> Stock {
        Stock {
            tokens: AtomicU64::new(0),
            sharing: AtomicU32::new(1),
            taken_by_pace: AtomicU64::new(0),
            low: AtomicU64::new(0),
            called: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            left: AtomicU64::new(0),
            next_at_ns: AtomicU64::new(0),
            made: now,
            caller: OnceLock::new(),
        }
    }

    /// How shards call the control thread, from their own threads. The first one given stays.
    pub fn call_by(&self, caller: impl Fn() + Send + Sync + 'static) {
        let _ = self.caller.set(Box::new(caller));
    }

    /// `None` while tokens come from here; else as one of how many processes the bucket goes by its pace.
    pub fn sharing(&self) -> Option<u32> {
        let processes = self.sharing.load(Ordering::Relaxed);
        (processes != 0).then_some(processes)
    }

    /// Takes up to a batch. Less when there is little, so that it is not in the hands of shards without traffic.
    pub(in crate::limit) fn take(&self, batch: u32, now: Instant) -> Result<u32, Duration> {
        let mut seen = self.tokens.load(Ordering::Relaxed);
        loop {
            if seen == 0 {
                set(&self.refused);
                self.call();
                let next = self.next_at_ns.load(Ordering::Relaxed);
                let wait = next.saturating_sub(nanoseconds(self.made, now));
                return Err(Duration::from_nanos(wait.max(1_000_000)));
            }
            let few = u32::try_from(seen / 16).unwrap_or(u32::MAX).max(1);
            let taken = batch.min(few);
            let after = seen - u64::from(taken);
            match self.tokens.compare_exchange_weak(seen, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    if after <= self.low.load(Ordering::Relaxed) {
                        self.call();
                    }
                    return Ok(taken);
                }
                Err(changed) => seen = changed,
            }
        }
    }

    pub(in crate::limit) fn add(&self, tokens: u64) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
    }

    pub(in crate::limit) fn taken_by_pace(&self, tokens: u32) {
        self.taken_by_pace.fetch_add(u64::from(tokens), Ordering::Relaxed);
    }

    /// Tokens that may be there for this process.
    pub(in crate::limit) fn in_sight(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed).saturating_add(self.left.load(Ordering::Relaxed))
    }

    fn call(&self) {
        if set(&self.called)
            && let Some(caller) = self.caller.get()
        {
            caller();
        }
    }
}

/// What the control thread does.
impl Stock {
    pub(super) fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    pub(super) fn is_called(&self) -> bool {
        self.called.load(Ordering::Relaxed)
    }

    /// Whether a shard found nothing since the last time; calls are taken again from now on.
    pub(super) fn answer_call(&self) -> bool {
        self.called.store(false, Ordering::Relaxed);
        self.refused.swap(false, Ordering::Relaxed)
    }

    /// Takes tokens out of the shards' reach; as many as there are.
    pub(super) fn withdraw(&self, tokens: u64) -> u64 {
        let taken = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| Some(seen.saturating_sub(tokens)));
        taken.unwrap_or_else(|seen| seen).min(tokens)
    }

    pub(super) fn withdraw_taken_by_pace(&self) -> u64 {
        match self.taken_by_pace.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.taken_by_pace.swap(0, Ordering::Relaxed),
        }
    }

    /// Notes how the limit stands in the cluster, and from which level on to be called.
    pub(super) fn tell(&self, left: u64, next: Duration, low: u64, now: Instant) {
        let next = u64::try_from(next.as_nanos()).unwrap_or(u64::MAX);
        self.next_at_ns.store(nanoseconds(self.made, now).saturating_add(next), Ordering::Relaxed);
        self.left.store(left, Ordering::Relaxed);
        self.low.store(low, Ordering::Relaxed);
    }

    /// 0: tokens come from here. Else by the bucket's pace, as one of so many processes.
    pub(super) fn share(&self, processes: u32) {
        self.sharing.store(processes, Ordering::Relaxed);
    }
}

/// Sets a flag; whether it was not set before. Reads first, as it mostly is, and writing would take the cache line.
fn set(flag: &AtomicBool) -> bool {
    !flag.load(Ordering::Relaxed) && !flag.swap(true, Ordering::Relaxed)
}
