//! What is known of one exchange as it goes along its path, and what is accounted of it at its end.
//!
//! Made when its first byte is there; each stage adds what it finds out; [`Record::end`] is the account stage. Whoever
//! makes a record ends it once.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::access_log::{Asked, Draft, Ended, Requested};
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
    peer: IpAddr,
    /// Its line of the access log, if it gets one.
    line: Cell<Option<Draft>>,
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
    /// Of those, bytes of body.
    pub body_bytes_out: u64,
}

impl Record {
    /// Of an exchange with `peer`.
    pub fn new(started: Instant, peer: IpAddr) -> Self {
        let observed = LimitSet::default();
        Self { started, client: peer, service: None, tenant: None, observed, peer, line: Cell::default() }
    }

    /// Begins its line of the access log, once the real client is known. `asked`: what its head says, if that could be
    /// read. What does not apply is empty.
    pub fn begin_line(&mut self, shard: &Shard, asked: Option<Asked>, host: &str, request_id: &str) {
        let Self { client, peer, .. } = *self;
        let requested = Requested { now: shard.net.now(), client, peer, asked, host, request_id };
        self.line = Cell::new(shard.access_log.draft(&requested));
    }

    /// Accounts for its end.
    pub fn end(&self, shard: &Shard, outcome: &Outcome, moved: Moved) {
        let ending = Ending {
            cause: match &outcome.error {
                None => Cause::Done,
                Some(_) if shard.cutting() => Cause::Shutdown,
                Some(error) => error.cause(),
            },
            phase: outcome.phase,
            status: moved.status,
            bytes_in: moved.bytes_in,
            bytes_out: moved.bytes_out,
            total_us: micros(shard.net.now() - self.started),
            upstream_us: micros(outcome.upstream),
            limited: outcome.error.as_ref().and_then(Error::limited),
            observed: self.observed,
        };
        let (service, tenant) = (self.service.as_deref(), self.tenant.as_deref());
        shard.account(service, tenant, &ending);
        if let Some(line) = self.line.take() {
            let ended = Ended {
                ending: &ending,
                body_bytes_out: moved.body_bytes_out,
                service: service.map(|service| &*service.plan.config.name),
                node: outcome.node,
                tenant: tenant.map(|tenant| &*tenant.plan.config.app_id),
                retried: outcome.retried,
            };
            shard.access_log.write(line, &ended);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
