//! Account: the last stage of a request's path. Every exchange ends here once, by cause and phase.
//!
//! Input: an [`Ending`]. Output: a shard's plain counters ([`Counters`]), handed to the control thread as a [`Delta`]
//! each interval; the shard's own counters then restart at zero. Nothing here is shared or atomic. Latencies are
//! microseconds.

use std::sync::Arc;

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
}

/// What was counted of one subject (the site, a service) since the last delta.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Exchanges that ended.
    pub requests: u64,
    /// Answers sent by class: 1xx (101 only) to 5xx.
    pub answers: [u64; 5],
    /// Endings by cause and phase.
    pub endings: [[u64; PHASES]; CAUSES],
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { requests: 0, answers: [0; 5], endings: [[0; PHASES]; CAUSES], bytes_in: 0, bytes_out: 0 }
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
        self.bytes_in += ending.bytes_in;
        self.bytes_out += ending.bytes_out;
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.answers.iter_mut().zip(other.answers).for_each(|(to, from)| *to += from);
        for (to, from) in self.endings.iter_mut().flatten().zip(other.endings.iter().flatten()) {
            *to += from;
        }
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
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
    /// Times that the receive buffers ran out since the last delta.
    pub buffers_exhausted: u64,
    /// Receive buffers that exist now.
    pub buffers: u64,
    /// Of those, lent to connections now.
    pub buffers_lent: u64,
}

/// What one shard counted since its last delta.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    /// Everything.
    pub site: Counters,
    /// By service; only those that counted something.
    pub services: Vec<(Arc<str>, Counters)>,
    /// The shard itself.
    pub shard: ShardCounters,
}
