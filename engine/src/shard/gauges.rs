//! The shard's own counters, in place.

use std::cell::Cell;
use std::rc::Rc;

use super::{ListenerState, Shard};
use crate::account::{HANDSHAKES, HTTP2_CUTS, Handshake, Http2Cut, ShardCounters};
use crate::net::Net;
use crate::pool::Pools;

/// The shard's own counters, in place.
#[derive(Default)]
pub struct Gauges {
    pub(super) connections: Cell<u64>,
    accepted: Cell<u64>,
    rejected: Cell<u64>,
    opened: Cell<u64>,
    reused: Cell<u64>,
    retries: Cell<u64>,
    panics: Cell<u64>,
    http2: Cell<u64>,
    http2_cut: [Cell<u64>; HTTP2_CUTS],
    proxy_refused: Cell<u64>,
    exhausted_before: Cell<u64>,
    pub(super) handshakes_under_way: Cell<u64>,
    handshakes: [Cell<u64>; HANDSHAKES],
    node_handshakes: [Cell<u64>; HANDSHAKES],
}

fn bump(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

impl Gauges {
    /// A client connection was taken; it counts until the guard is dropped.
    pub fn connection(shard: &Rc<Shard>) -> OpenConnection {
        bump(&shard.counters.accepted);
        bump(&shard.counters.connections);
        OpenConnection(shard.clone())
    }

    /// A client connection was turned away.
    pub fn rejected(&self) {
        bump(&self.rejected);
    }

    /// An upstream connection was opened.
    pub fn pool_opened(&self) {
        bump(&self.opened);
    }

    /// An idle upstream connection was used again.
    pub fn pool_reused(&self) {
        bump(&self.reused);
    }

    /// A request was sent again.
    pub fn retried(&self) {
        bump(&self.retries);
    }

    /// A client connection speaks HTTP/2.
    pub fn http2_begun(&self) {
        bump(&self.http2);
    }

    /// An HTTP/2 connection was ended because of what its client did.
    pub fn http2_cut(&self, why: Http2Cut) {
        bump(&self.http2_cut[why as usize]);
    }

    /// A connection had no PROXY header that is believed.
    pub fn proxy_refused(&self) {
        bump(&self.proxy_refused);
    }

    /// A connection's task panicked.
    pub fn panicked(&self) {
        bump(&self.panics);
    }

    /// A handshake with a client ended.
    pub fn handshake(&self, result: Handshake) {
        bump(&self.handshakes[result as usize]);
    }

    /// A handshake with a node ended.
    pub fn node_handshake(&self, result: Handshake) {
        bump(&self.node_handshakes[result as usize]);
    }

    pub(super) fn take(&self, net: &Net, pools: &Pools) -> ShardCounters {
        let stats = net.stats();
        let exhausted_before = self.exhausted_before.replace(stats.buffers_exhausted);
        ShardCounters {
            connections: self.connections.get(),
            accepted: self.accepted.take(),
            rejected: self.rejected.take(),
            pool_idle: pools.idle_count() as u64,
            pool_opened: self.opened.take(),
            pool_reused: self.reused.take(),
            retries: self.retries.take(),
            panics: self.panics.take(),
            http2: self.http2.take(),
            http2_cut: std::array::from_fn(|index| self.http2_cut[index].take()),
            proxy_refused: self.proxy_refused.take(),
            buffers_exhausted: stats.buffers_exhausted - exhausted_before,
            buffers: stats.buffers as u64,
            buffers_lent: stats.buffers_lent as u64,
            handshakes_under_way: self.handshakes_under_way.get(),
            handshakes: std::array::from_fn(|index| self.handshakes[index].take()),
            node_handshakes: std::array::from_fn(|index| self.node_handshakes[index].take()),
        }
    }
}

/// A client connection that is open.
pub struct OpenConnection(Rc<Shard>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let connections = &self.0.counters.connections;
        connections.set(connections.get() - 1);
    }
}

/// A TLS handshake that is under way.
pub struct OpenHandshake(Rc<Shard>, Rc<ListenerState>);

impl OpenHandshake {
    pub(super) fn new(shard: &Rc<Shard>, listener: &Rc<ListenerState>) -> Self {
        bump(&shard.counters.handshakes_under_way);
        listener.handshakes.set(listener.handshakes.get() + 1);
        Self(shard.clone(), listener.clone())
    }
}

impl Drop for OpenHandshake {
    fn drop(&mut self) {
        let under_way = &self.0.counters.handshakes_under_way;
        under_way.set(under_way.get() - 1);
        self.1.handshakes.set(self.1.handshakes.get() - 1);
    }
}
