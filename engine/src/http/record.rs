//! What is known of one exchange as it goes along its path, and what is accounted of it at its end.
//!
//! Made when its first byte is there; each stage adds what it finds out; [`Record::end`] is the account stage. Whoever
//! makes a record ends it once.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::account::{Cause, Ending, LimitSet};
use crate::error::Error;
use crate::http::exchange::Outcome;
use crate::shard::{ServiceState, Shard, TenantState};

/// One exchange, so far.
pub struct Record {
    /// When it began.
    pub started: Instant,
    /// The real client; the peer until the head was read.
    pub client: IpAddr,
    /// The service that it is for.
    pub service: Option<Rc<ServiceState>>,
    /// The tenant that it is from.
    pub tenant: Option<Rc<TenantState>>,
    /// Limits in observe mode that would have refused it.
    pub observed: LimitSet,
}

/// What was sent to the client, and received from it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moved {
    /// Status that was sent; 0 = none.
    pub status: u16,
    /// Bytes of head and body from the client.
    pub bytes_in: u64,
    /// Bytes of head and body to the client.
    pub bytes_out: u64,
}

impl Record {
    /// Of an exchange with `peer`.
    pub fn new(started: Instant, peer: IpAddr) -> Self {
        Self { started, client: peer, service: None, tenant: None, observed: LimitSet::default() }
    }

    /// Accounts for its end.
    pub fn end(&self, shard: &Shard, outcome: &Outcome, moved: Moved) {
        let ending = Ending {
            cause: outcome.error.as_ref().map_or(Cause::Done, Error::cause),
            phase: outcome.phase,
            status: moved.status,
            bytes_in: moved.bytes_in,
            bytes_out: moved.bytes_out,
            total_us: micros(shard.net.now() - self.started),
            upstream_us: micros(outcome.upstream),
            limited: outcome.error.as_ref().and_then(Error::limited),
            observed: self.observed,
        };
        shard.account(self.service.as_deref(), self.tenant.as_deref(), &ending);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
