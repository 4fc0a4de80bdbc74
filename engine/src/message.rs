//! What crosses threads between the control thread and the shards, and nothing else does.
//!
//! Control -> shard: a bounded tokio mpsc channel a shard, received by one detached task of the shard. Shard ->
//! control: one bounded tokio mpsc channel for all shards; a shard only ever uses `try_send`, so it never waits for the
//! control thread, and what must not be lost (a delta) stays with the shard until a send succeeds.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use crate::account::Delta;
use crate::control::snapshot::Snapshot;

/// Orders from the control thread to one shard.
#[derive(Debug)]
pub enum ToShard {
    /// A new configuration. Listeners that stay keep their sockets; `opened` has this shard's sockets of those that
    /// are new (name, listening SO_REUSEPORT socket); those that the snapshot no longer has are drained and closed.
    Snapshot {
        /// The compiled configuration.
        snapshot: Arc<Snapshot>,
        /// This shard's sockets of the new listeners, by listener name.
        opened: Vec<(Arc<str>, OwnedFd)>,
    },
    /// The set of live nodes of one service has changed.
    Nodes {
        /// Where the service is in the snapshot that was sent last.
        index: usize,
        /// Which of its nodes are live.
        changed: Arc<NodesChanged>,
    },
    /// Hand over what was counted since the last delta, now.
    Report,
    /// Nothing: that it comes is what it is for. See [`crate::control::shards::Shards::wake`].
    Wake,
    /// Stop accepting; end what is idle; finish what is in flight until then; send [`FromShard::Drained`].
    Drain {
        /// When what is still in flight is cut.
        deadline: Instant,
    },
}

/// Which nodes of a service are live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodesChanged {
    /// The service.
    pub service: Arc<str>,
    /// Each of its enabled nodes: address, and whether it takes traffic.
    pub live: Vec<(SocketAddr, bool)>,
}

/// Reports from a shard to the control thread.
#[derive(Debug)]
pub enum FromShard {
    /// A node refused a connection or did not accept it in time.
    NodeFailed {
        /// The service.
        service: Arc<str>,
        /// The node.
        node: SocketAddr,
    },
    /// What a shard counted since its last delta.
    Delta {
        /// Which shard.
        shard: usize,
        /// What it counted.
        delta: Box<Delta>,
    },
    /// A snapshot is in force on this shard.
    Applied {
        /// Which shard.
        shard: usize,
        /// Its revision.
        revision: u64,
    },
    /// Nothing is in flight any more after [`ToShard::Drain`], or its deadline has passed.
    Drained {
        /// Which shard.
        shard: usize,
        /// Exchanges that the deadline cut.
        cut: u64,
    },
}
