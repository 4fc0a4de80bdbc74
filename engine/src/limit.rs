//! Stage *limit*: whether a request is within its rate.
//!
//! Input: a limit, the time, for some limits the client's address. Output: [`Decision`], and [`Quota`] for the RateLimit
//! fields. What to do with a refusal (answer it, or only count it in observe mode) is the caller's business.
//!
//! Three kinds:
//! - [`Bucket`] and [`Lease`]: a token bucket of the process (a service's rate, a tenant's rate), from which each shard
//!   takes small batches with one atomic operation and spends them without any.
//!   With a [`cluster::Stock`] the bucket is shared with other processes, through Redis: see [`cluster`], which states
//!   the error of that.
//! - [`ClientTable`]: token buckets of client addresses, in one table of the process.
//! - [`DayQuota`] and [`DayLease`]: requests a day.
//!
//! **Error.** Admitted over any window <= burst + rate x window + error. A batch has rate / (100 x shards) tokens and
//! at least one, and a batch of one is spent at once; so what all shards hold, which is the error of a [`Bucket`], is
//! less than 1% of the rate (of one second's tokens), and nothing for rates up to 100 a second and shard. Nothing is
//! lost on the other side either: a token is in the bucket or in a lease that spends it or, idle for [`LEASE_IDLE`],
//! gives it back. Traffic on a single shard gets rate x window, less that same 1% of one second once. A
//! [`ClientTable`] has no leases, so no error, but for clients that are pushed out of a full table: see there. A
//! [`DayQuota`] is never exceeded.
//!
//! Invariants: no locks; nothing allocates after it is made; no number overflows, whatever the rate. Units: time inside
//! is nanoseconds since the bucket or table was made. Owner: buckets and tables belong to the process (`Arc`), leases to
//! one shard. Source of the bucket: the generic cell rate algorithm (ITU-T I.371, annex A).

mod bucket;
mod clients;
pub mod cluster;
mod connections;
mod day;
mod pace;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use self::bucket::{Bucket, Lease};
pub use self::clients::{ClientLimit, ClientTable};
pub use self::connections::{ClientConnection, ClientConnections, Connection, Connections};
pub use self::day::{Day, DayLease, DayQuota};

/// After this long without a request a shard's lease should flow back; what calls `flow_back` needs no finer clock.
pub const LEASE_IDLE: Duration = Duration::from_millis(100);

/// What a shard holds of a limit that all shards share.
pub trait FlowsBack {
    /// Whether it holds what could flow back.
    fn holds(&self) -> bool;

    /// Gives back what an idle shard holds. To be called every [`LEASE_IDLE`] or so.
    fn flow_back(&mut self, now: Instant);
}

/// Whether a request is within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is, and has taken its token.
    Admit,
    /// It is not.
    Refuse {
        /// When a token may be there; other requests may take it first.
        retry_after: Duration,
    },
}

/// How a limit stands: what the RateLimit fields say (draft-ietf-httpapi-ratelimit-headers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Tokens that fit.
    pub limit: u64,
    /// Tokens that are there, as far as this shard knows.
    pub remaining: u64,
    /// When all of them will be there, if no more are taken.
    pub reset: Duration,
    /// How long it takes until all of them are there when none was.
    pub window: Duration,
}
