//! Limits that all processes of a cluster share: tokens leased from one bucket in Redis.
//!
//! Input: what shards take from a [`Stock`], the time, and answers of Redis. Output: what to ask ([`Ask`]), and tokens
//! in the stock. [`Limiter`] is sans-io; `control/cluster_limits.rs` carries its questions, the script `lease.lua`
//! answers them. Shards take from the stock as they do from a bucket of the process and never wait.
//!
//! Redis holds for each limit its free tokens, when they were last refilled, and what each process has *leased*: tokens
//! in its stock as it last said. An ask tells what is in the stock now, gives back what is too much, and is granted what
//! the process is expected to need until the next one, or its share of the burst if that is more and nobody else goes
//! short. A process asks every [`PERIOD`], sooner if the bucket is small, while it spends, after [`PERIOD_SHORT`] if its shards had to refuse, and after
//! [`EARLY`] if its stock is half spent and Redis has more. A process that has spent nothing for [`IDLE`] says so once
//! and from then on only every [`KEEPALIVE`] that it still has its share, so that it can admit at once when requests
//! come again. What it does not use it gives back if others go short.
//!
//! **Error.** Admitted over any window <= burst + rate x window + one token or a lease's tokens (rate x [`LEASE`]),
//! whichever is more. Proof: let L be the free tokens and all leased ones as Redis knows them. The script adds to L only
//! by refilling, by rate x time, and only up to burst + [`slack`], counting the leases as they were *before* it takes in
//! what was spent since; granting and giving back leave L as it is; hearing what was spent lowers it. What processes
//! really have is never more than Redis thinks, since a stock grows only by what an answer brings, and a lost answer
//! only loses tokens; but for what shards hold, taken from a stock and not spent, which is less than rate / (100 x
//! [`BATCHES`]) a process and 0 while that is below a token a shard. So over any window no more is admitted than the
//! most that L and the shards' hold can be, burst + slack + hold, and what is refilled. Slack is the larger of one token
//! and 80% of a lease's; the rest is for the hold of up to 16 processes.
//!
//! The slack is there so that nothing is lost in between, however small the burst and whatever idle processes keep of
//! it: after an ask, what was granted for the last period still counts as leased while the tokens of the next one come,
//! and 80% of a lease's tokens are two periods of [`PERIOD_SHORTEST`] and what an answer takes. So a single process gets
//! all of the rate. (In larger buckets periods are longer.)
//!
//! Beyond the error are the cases in which the cluster cannot be asked:
//! - A new process, or limit, goes by its own pace until its first answer, from a lease's tokens on; what it admitted is
//!   subtracted then.
//! - When Redis is down ([`DOWN`]), each process goes on by its own pace with its last share: rate / processes, burst /
//!   processes, beginning with what it has leased. A process that has never had an answer counts as the only one, and
//!   processes started meanwhile come on top. When Redis is back, with or without its data, leases go on from there.
//! - A process that stands still for longer than its lease is valid is counted as gone; waking, it may spend what it
//!   had. A process that crashed keeps its share of the burst for as long; the rate goes on.
//! - Redis's clock set back grants nothing, set forward it may fill the bucket once.
//!
//! Invariants: one question of a limiter is under way at a time. One key a limit, so on a Redis Cluster each limit is on
//! one node. Rates may change at any time, and differ between processes for a while: each refills by its own. Units:
//! tokens are requests; time in Redis is its own, in microseconds. Owner: stocks belong to the process, limiters to the
//! control thread.

mod limiter;
#[cfg(test)]
pub(crate) mod model;
mod stock;
#[cfg(test)]
mod tests;

use std::time::Duration;

use coregate_config::checked::Rate;

pub use self::limiter::{Limiter, State};
pub use self::stock::Stock;

/// The script that answers an [`Ask`]; its keys and arguments are said at its head.
pub const SCRIPT: &str = include_str!("cluster/lease.lua");

/// The error, as a time: see above.
pub const LEASE: Duration = Duration::from_millis(100);
/// Between two asks of a process that spends.
pub const PERIOD: Duration = Duration::from_millis(70);
/// The same when its shards had to refuse and Redis had no more.
pub const PERIOD_SHORT: Duration = Duration::from_millis(50);
/// The same when the bucket is so small that the tokens of longer ones would not fit.
pub const PERIOD_SHORTEST: Duration = Duration::from_millis(35);
/// The same of a process that has stopped spending, until it is idle.
pub const PERIOD_UNSPENT: Duration = Duration::from_millis(200);
/// Soonest after an ask, if Redis had more.
pub const EARLY: Duration = Duration::from_millis(5);
/// Longest between asks of a process that refuses, however far away the next token is.
pub const PERIOD_LONG: Duration = Duration::from_secs(1);
/// Between attempts while Redis is down.
pub const RETRY: Duration = Duration::from_millis(100);
/// The same before the first answer.
pub const RETRY_STARTING: Duration = Duration::from_millis(20);
/// A limit whose questions were not answered for this long goes on alone.
pub const DOWN: Duration = Duration::from_secs(1);
/// A process that has spent nothing for this long is idle.
pub const IDLE: Duration = Duration::from_secs(1);
/// Between two asks of an idle process.
pub const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long a lease is valid without another ask.
pub const VALID: Duration = Duration::from_secs(10);
/// The same for an idle process.
pub const VALID_IDLE: Duration = Duration::from_secs(35);
/// By how much a shard's batch is smaller than that of a bucket of the process.
pub const BATCHES: usize = 8;

const _: () = {
    assert!(PERIOD_SHORTEST.as_millis() + EARLY.as_millis() == LEASE.as_millis() * 8 / 10 / 2);
    assert!(PERIOD_SHORTEST.as_millis() <= PERIOD_SHORT.as_millis());
    assert!(PERIOD_SHORT.as_millis() <= PERIOD.as_millis());
    assert!(IDLE.as_millis() < VALID.as_millis() && DOWN.as_millis() < VALID.as_millis());
    assert!(KEEPALIVE.as_millis() * 3 < VALID_IDLE.as_millis());
};

impl Ask {
    /// The script's arguments after the process.
    pub fn arguments(&self) -> [String; 10] {
        [
            self.stock.to_string(),
            self.returned.to_string(),
            self.need.to_string(),
            u8::from(self.short).to_string(),
            self.valid.as_micros().to_string(),
            self.owed.to_string(),
            self.most.to_string(),
            self.rate.requests_per_second.to_string(),
            self.rate.burst.to_string(),
            slack(self.rate).to_string(),
        ]
    }
}

impl Answer {
    /// From the script's numbers; `None` if they are not that.
    pub fn from_numbers(numbers: [i64; 6]) -> Option<Answer> {
        let [granted, left, processes, others_short, next, fit] = numbers;
        Some(Answer {
            granted: u64::try_from(granted).ok()?,
            left: u64::try_from(left).ok()?,
            processes: u32::try_from(processes).ok()?,
            others_short: u32::try_from(others_short).ok()?,
            next: Duration::from_micros(u64::try_from(next).ok()?),
            fit: u64::try_from(fit).ok()?,
        })
    }
}

/// By how many tokens the bucket is larger than its burst.
pub fn slack(rate: Rate) -> f64 {
    (rate.requests_per_second * LEASE.as_secs_f64() * 0.8).max(1.0)
}

/// Tokens of one [`LEASE`], at least one and at most the burst.
pub(super) fn of_one_lease(rate: Rate) -> f64 {
    (rate.requests_per_second * LEASE.as_secs_f64()).max(1.0).min(rate.burst)
}

/// What a process tells and asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ask {
    /// Tokens in its stock.
    pub stock: u64,
    /// Tokens taken out of its stock to be given back.
    pub returned: u64,
    /// Tokens that it needs to have.
    pub need: u64,
    /// Its shards had to refuse.
    pub short: bool,
    /// How long the lease is valid; zero: it leaves.
    pub valid: Duration,
    /// Tokens admitted without a lease, to be subtracted.
    pub owed: u64,
    /// Free tokens at most: what a process knows that went on alone while nobody was counting.
    pub most: f64,
    /// The limit.
    pub rate: Rate,
}

/// What it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Tokens for its stock.
    pub granted: u64,
    /// Free tokens that are left.
    pub left: u64,
    /// Processes that have a lease, this one included.
    pub processes: u32,
    /// Other processes whose shards had to refuse.
    pub others_short: u32,
    /// Until there is a free token, if there is none.
    pub next: Duration,
    /// Tokens that fit into the bucket beside what others have leased.
    pub fit: u64,
}
