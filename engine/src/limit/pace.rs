//! The arithmetic of a token bucket whose whole state is one number.
//!
//! The number is the *theoretical arrival time* of the generic cell rate algorithm (ITU-T I.371, annex A): the time at
//! which the bucket will be full. Taking a token moves it by one token's time; the bucket is empty when it lies a whole
//! burst ahead. A time that has passed means a full bucket, whatever it is, so 0 is a new bucket.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coregate_config::checked::Rate;

use super::Quota;

/// Longest time that is counted with, 73 years: sums of two do not overflow.
const NS_MAX: f64 = (1u64 << 61) as f64;

/// A rate and a burst, as times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Nanoseconds for one token.
    token_ns: f64,
    /// Nanoseconds for a whole burst.
    full_ns: u64,
    /// Tokens of a whole burst.
    burst: u64,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a cast from f64 saturates; what a cast to f64 loses is below a nanosecond within a month"
)]
impl Pace {
    pub(super) fn new(rate: Rate) -> Pace {
        let token_ns = (1e9 / rate.requests_per_second).clamp(0.0, NS_MAX);
        let burst = rate.burst.max(1.0);
        Pace { token_ns, full_ns: (burst * token_ns).min(NS_MAX).round() as u64, burst: burst as u64 }
    }

    /// What each of so many processes has of it: a part of the rate and of the burst, so as long until full.
    pub(super) fn share(&self, processes: u32) -> Pace {
        let processes = processes.max(1);
        if processes == 1 {
            return *self;
        }
        let token_ns = (self.token_ns * f64::from(processes)).min(NS_MAX);
        // One request must fit.
        let full_ns = self.full_ns.max(token_ns.round() as u64);
        Pace { token_ns, full_ns, burst: (self.burst / u64::from(processes)).max(1) }
    }

    /// Takes as many of `wanted` tokens as there are; none: says how long until there is one.
    pub(super) fn take(&self, full_at: &AtomicU64, wanted: u32, now_ns: u64) -> Result<u32, Duration> {
        let mut seen = full_at.load(Ordering::Relaxed);
        loop {
            let there = self.available(seen, now_ns).min(f64::from(wanted));
            if there < 1.0 {
                let missing = (seen.saturating_sub(now_ns)).saturating_add(self.token_ns.round() as u64);
                return Err(Duration::from_nanos(missing.saturating_sub(self.full_ns).max(1)));
            }
            let after = seen.max(now_ns).saturating_add(self.time_of(there));
            match full_at.compare_exchange_weak(seen, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(there as u32),
                Err(changed) => seen = changed,
            }
        }
    }

    /// Gives tokens back. What does not fit is lost.
    pub(super) fn give_back(&self, full_at: &AtomicU64, tokens: u32) {
        let time = self.time_of(f64::from(tokens));
        let _ = full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| Some(seen.saturating_sub(time)));
    }

    /// Whole tokens in a bucket. The nanosecond lets rounded times add up to the burst.
    pub(super) fn available(&self, full_at_ns: u64, now_ns: u64) -> f64 {
        let room = self.full_ns.saturating_sub(full_at_ns.saturating_sub(now_ns));
        ((room as f64 + 1.0) / self.token_ns).floor().min(self.burst as f64)
    }

    /// When a bucket with this many tokens will be full.
    pub(super) fn full_at(&self, tokens: f64, now_ns: u64) -> u64 {
        now_ns + self.full_ns.saturating_sub(self.time_of(tokens))
    }

    pub(super) fn quota(&self, full_at_ns: u64, held: u32, now_ns: u64) -> Quota {
        let there = self.available(full_at_ns, now_ns) as u64;
        let reset = Duration::from_nanos(full_at_ns.saturating_sub(now_ns));
        Quota {
            limit: self.burst,
            remaining: there.saturating_add(u64::from(held)).min(self.burst),
            reset,
            window: Duration::from_nanos(self.full_ns),
        }
    }

    /// How a limit stands that has this many tokens.
    pub(super) fn quota_of(&self, there: u64) -> Quota {
        let remaining = there.min(self.burst);
        let reset = Duration::from_nanos(self.time_of((self.burst - remaining) as f64));
        Quota { limit: self.burst, remaining, reset, window: Duration::from_nanos(self.full_ns) }
    }

    /// The batch that `shards` shards may each hold: together less than 1% of a second's tokens, or one at a time.
    pub(super) fn batch(&self, shards: usize) -> u32 {
        ((1e9 / self.token_ns / 100.0 / shards.max(1) as f64) as u32).max(1)
    }

    fn time_of(&self, tokens: f64) -> u64 {
        (tokens * self.token_ns).round() as u64
    }
}
