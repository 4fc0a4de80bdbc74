//! Account: the last stage of a request's path. Every exchange ends here once, by cause and phase.
//!
//! Input: an [`Ending`]. Output: a shard's plain counters ([`Counters`]), handed to the control thread as a [`Delta`]
//! each interval; the shard's own counters then restart at zero. Nothing here is shared or atomic. Latencies are
//! microseconds ([`Latency`]).

mod handshake;
mod http2_cut;
mod latency;

use std::sync::Arc;
use std::time::Instant;

pub use self::handshake::{HANDSHAKES, Handshake};
pub use self::http2_cut::{HTTP2_CUTS, Http2Cut};
pub use self::latency::{Latency, Timing};

/// Why an exchange (or a connection) ended. As HAProxy's termination states: who or what ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cause {
    /// As it should.
    Done,
    /// The client sent something malformed or over a limit.
    ClientError,
    /// The client went away.
    ClientGone,
    /// The client was too slow.
    ClientTimeout,
    /// The gateway refused: no route, method, access, tenant.
    Refused,
    /// The gateway refused: over a rate limit or a quota.
    Limited,
    /// No live node.
    NoNode,
    /// The node refused the connection, reset it or went away.
    UpstreamGone,
    /// TLS with the node came to nothing.
    UpstreamTls,
    /// The node answered something malformed or over a limit.
    UpstreamError,
    /// The node was too slow.
    UpstreamTimeout,
    /// The gateway itself failed: a panic, or no file descriptor or buffer was to be had.
    Internal,
    /// The gateway was shutting down and the drain deadline passed.
    Shutdown,
}

/// Where in its path an exchange was when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Reading the request head.
    RequestHead,
    /// Deciding: route, access, tenant, limit, balance.
    Decide,
    /// Connecting to a node.
    Connect,
    /// Sending the request; no answer yet.
    RequestBody,
    /// Waiting for the answer's head.
    ResponseHead,
    /// Relaying the answer's body.
    ResponseBody,
    /// Tunnelling after an upgrade.
    Tunnel,
    /// All of it was relayed.
    Complete,
}

/// How many [`Cause`]s there are.
pub const CAUSES: usize = Cause::Shutdown as usize + 1;
/// How many [`Phase`]s there are.
pub const PHASES: usize = Phase::Complete as usize + 1;

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; CAUSES] = [
        Self::Done,
        Self::ClientError,
        Self::ClientGone,
        Self::ClientTimeout,
        Self::Refused,
        Self::Limited,
        Self::NoNode,
        Self::UpstreamGone,
        Self::UpstreamTls,
        Self::UpstreamError,
        Self::UpstreamTimeout,
        Self::Internal,
        Self::Shutdown,
    ];

    /// The label in metrics and the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::ClientError => "client_error",
            Self::ClientGone => "client_gone",
            Self::ClientTimeout => "client_timeout",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::NoNode => "no_node",
            Self::UpstreamGone => "upstream_gone",
            Self::UpstreamTls => "upstream_tls",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Internal => "internal",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Phase {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; PHASES] = [
        Self::RequestHead,
        Self::Decide,
        Self::Connect,
        Self::RequestBody,
        Self::ResponseHead,
        Self::ResponseBody,
        Self::Tunnel,
        Self::Complete,
    ];

    /// The label in metrics and the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestHead => "request_head",
            Self::Decide => "decide",
            Self::Connect => "connect",
            Self::RequestBody => "request_body",
            Self::ResponseHead => "response_head",
            Self::ResponseBody => "response_body",
            Self::Tunnel => "tunnel",
            Self::Complete => "complete",
        }
    }
}

/// Which of a request's limits it was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LimitKind {
    /// A service's, for each client address.
    Client,
    /// A service's.
    Service,
    /// A tenant's requests a second.
    TenantRate,
    /// A tenant's requests a day.
    TenantDay,
    /// A service's connections at once.
    ServiceConnections,
    /// A service's connections at once, for each client address.
    ClientConnections,
}

/// How many [`LimitKind`]s there are.
pub const LIMITS: usize = LimitKind::ClientConnections as usize + 1;

impl LimitKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; LIMITS] = [
        Self::Client,
        Self::Service,
        Self::TenantRate,
        Self::TenantDay,
        Self::ServiceConnections,
        Self::ClientConnections,
    ];

    /// The label in metrics and the name of the policy in the RateLimit fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Service => "service",
            Self::TenantRate => "tenant_rate",
            Self::TenantDay => "tenant_day",
            Self::ServiceConnections => "service_connections",
            Self::ClientConnections => "client_connections",
        }
    }
}

/// A set of limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitSet(u8);

impl LimitSet {
    /// Adds one.
    pub fn add(&mut self, kind: LimitKind) {
        self.0 |= 1 << kind as u8;
    }

    /// Whether it is in.
    pub fn contains(self, kind: LimitKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}

/// How one exchange ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// Why.
    pub cause: Cause,
    /// Where.
    pub phase: Phase,
    /// Status sent to the client; 0 = none was sent.
    pub status: u16,
    /// Bytes of request head and body taken from the client.
    pub bytes_in: u64,
    /// Bytes of response head and body given to the client.
    pub bytes_out: u64,
    /// From the first byte of the head to the last byte of the answer.
    pub total_us: u64,
    /// Of that, from the request sent upstream to its answer's last byte received; 0 = no upstream was asked.
    pub upstream_us: u64,
    /// The limit that refused it.
    pub limited: Option<LimitKind>,
    /// Limits in observe mode that would have refused it.
    pub observed: LimitSet,
}

/// The classes of status that [`Counters::answers`] counts by, as they are called.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What was counted of one subject (the site, a service, a tenant) since the last delta.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Exchanges that ended.
    pub requests: u64,
    /// Answers sent by class: 1xx (101 only) to 5xx.
    pub answers: [u64; 5],
    /// Endings by cause and phase.
    pub endings: [[u64; PHASES]; CAUSES],
    /// Requests that a limit refused, by [`LimitKind`].
    pub limited: [u64; LIMITS],
    /// Requests that a limit in observe mode would have refused, by [`LimitKind`].
    pub observed: [u64; LIMITS],
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// How long those that were answered took (101 apart); `None` until the first.
    pub latency: Option<Box<Latency>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: 0,
            answers: [0; 5],
            endings: [[0; PHASES]; CAUSES],
            limited: [0; LIMITS],
            observed: [0; LIMITS],
            bytes_in: 0,
            bytes_out: 0,
            latency: None,
        }
    }
}

impl Counters {
    /// Counts one ending.
    pub fn count(&mut self, ending: &Ending) {
        self.requests += 1;
        if let Some(class) = self.answers.get_mut((ending.status as usize / 100).wrapping_sub(1)) {
            *class += 1;
        }
        self.endings[ending.cause as usize][ending.phase as usize] += 1;
        if let Some(kind) = ending.limited {
            self.limited[kind as usize] += 1;
        }
        if ending.observed != LimitSet::default() {
            for kind in LimitKind::ALL {
                self.observed[kind as usize] += u64::from(ending.observed.contains(kind));
            }
        }
        self.bytes_in += ending.bytes_in;
        self.bytes_out += ending.bytes_out;
        // Tunnels and TCP sessions last as long as their users like, and what was not answered took no time to answer.
        if ending.status >= 200 {
            self.latency.get_or_insert_default().record(ending);
        }
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        // Named one by one, so that a new field cannot be forgotten.
        let Self { requests, answers, endings, limited, observed, bytes_in, bytes_out, latency } = other;
        self.requests += requests;
        add_all(&mut self.answers, answers);
        add_all(self.endings.as_flattened_mut(), endings.as_flattened());
        add_all(&mut self.limited, limited);
        add_all(&mut self.observed, observed);
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
        if let Some(latency) = latency {
            self.latency.get_or_insert_default().merge(latency);
        }
    }

    /// What was counted since the last time, if anything; counting starts anew, in the same memory while there is
    /// traffic.
    pub fn hand_over(&mut self) -> Option<Self> {
        if self.requests == 0 {
            self.latency = None;
            return None;
        }
        let counted = self.clone();
        let latency = self.latency.take().map(|mut latency| {
            latency.clear();
            latency
        });
        *self = Self { latency, ..Self::default() };
        Some(counted)
    }
}

fn add_all(to: &mut [u64], from: &[u64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// The shard's own state, as gauges and counters since the last delta.
#[derive(Debug, Clone, Default)]
pub struct ShardCounters {
    /// Client connections open now.
    pub connections: u64,
    /// Client connections accepted since the last delta.
    pub accepted: u64,
    /// Client connections refused at the connection limit since the last delta.
    pub rejected: u64,
    /// Idle upstream connections now.
    pub pool_idle: u64,
    /// Upstream connections opened since the last delta.
    pub pool_opened: u64,
    /// Exchanges that reused one since the last delta.
    pub pool_reused: u64,
    /// Requests sent again on a fresh connection since the last delta.
    pub retries: u64,
    /// Connection tasks that panicked since the last delta.
    pub panics: u64,
    /// Client connections that spoke HTTP/2 since the last delta.
    pub http2: u64,
    /// HTTP/2 connections that were ended for what the client did since the last delta, by [`Http2Cut`].
    pub http2_cut: [u64; HTTP2_CUTS],
    /// Client connections that were closed for want of a PROXY header that is believed.
    pub proxy_refused: u64,
    /// Times that the receive buffers ran out since the last delta.
    pub buffers_exhausted: u64,
    /// Receive buffers that exist now.
    pub buffers: u64,
    /// Of those, lent to connections now.
    pub buffers_lent: u64,
    /// TLS handshakes with clients under way now.
    pub handshakes_under_way: u64,
    /// Those that ended since the last delta, by [`Handshake`].
    pub handshakes: [u64; HANDSHAKES],
    /// The same of handshakes with nodes.
    pub node_handshakes: [u64; HANDSHAKES],
}

/// What one shard counted since its last delta.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    /// When counting began: at the last delta; `None` = now. Which hour it belongs to.
    pub began: Option<Instant>,
    /// Everything.
    pub site: Counters,
    /// By service; only those that counted something.
    pub services: Vec<(Arc<str>, Counters)>,
    /// By tenant (`app_id`); only those that counted something.
    pub tenants: Vec<(Arc<str>, Counters)>,
    /// The shard itself.
    pub shard: ShardCounters,
}

impl ShardCounters {
    /// Adds what came of handshakes with clients and with nodes.
    pub fn add_handshakes(&mut self, clients: &[u64; HANDSHAKES], nodes: &[u64; HANDSHAKES]) {
        add_all(&mut self.handshakes, clients);
        add_all(&mut self.node_handshakes, nodes);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One that ended well.
    pub(crate) fn ending(total_us: u64, upstream_us: u64) -> Ending {
        Ending {
            cause: Cause::Done,
            phase: Phase::Complete,
            status: 200,
            bytes_in: 10,
            bytes_out: 20,
            total_us,
            upstream_us,
            limited: None,
            observed: LimitSet::default(),
        }
    }

    #[test]
    fn latencies_are_of_the_whole_of_the_upstream_and_of_the_rest() {
        let mut counters = Counters::default();
        counters.count(&ending(1000, 900));
        counters.count(&ending(50, 0));
        counters.count(&ending(u64::MAX, 1));
        let latency = counters.latency.as_deref().unwrap();
        assert_eq!((latency.total.histogram.len(), latency.upstream.histogram.len()), (3, 2));
        assert_eq!((latency.upstream.sum_us, latency.own.histogram.min()), (901, 50));
        assert!(latency.total.histogram.max() >= 3_600_000_000, "longer than an hour counts as an hour");
    }

    #[test]
    fn tunnels_and_what_was_not_answered_have_no_latency() {
        let mut counters = Counters::default();
        counters.count(&Ending { status: 101, ..ending(1000, 900) });
        counters.count(&Ending { status: 0, ..ending(1000, 900) });
        assert_eq!((counters.requests, counters.latency.is_none()), (2, true));
    }

    #[test]
    fn handing_over_keeps_nothing_and_loses_nothing() {
        let (mut counters, mut total) = (Counters::default(), Counters::default());
        for round in 0..3 {
            for _ in 0..round {
                counters.count(&ending(100, 50));
            }
            counters.hand_over().into_iter().for_each(|counted| total.merge(&counted));
            assert_eq!(counters.requests, 0);
        }
        assert_eq!((total.requests, total.answers[1], total.bytes_in, total.bytes_out), (3, 3, 30, 60));
        let latency = total.latency.unwrap();
        assert_eq!((latency.total.histogram.len(), latency.total.sum_us), (3, 300));
        assert!(counters.latency.is_some(), "with traffic the memory is used again");
        assert!(counters.hand_over().is_none());
        assert!(counters.latency.is_none(), "without, it is given back");
    }

    #[test]
    fn refused_and_observed_are_counted_by_limit() {
        let mut observed = LimitSet::default();
        observed.add(LimitKind::Client);
        observed.add(LimitKind::TenantDay);
        let mut counters = Counters::default();
        counters.count(&Ending { limited: Some(LimitKind::Service), observed, ..ending(1, 0) });
        assert_eq!((counters.limited, counters.observed), ([0, 1, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0]));
    }
}
