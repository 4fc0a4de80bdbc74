//! Pool: idle upstream connections of one shard, by the full identity of the peer.
//!
//! Last in, first out, so that what traffic needs stays warm and the rest times out. An idle connection keeps its
//! receive armed: when the node closes it, the pool knows without asking, and drops it. The limits of a node hold over
//! all shards: idle ones by giving each shard its share, all of them by a count that is touched when a connection opens
//! or closes, never by a request.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::control::snapshot::NodeShared;
use crate::http::h1_upstream::Connection;
use crate::limits::POOL_WAITERS_MAX;

/// Who is at the other end: connections to equal peers may stand in for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerId {
    /// Where it is.
    pub address: SocketAddr,
}

/// All pools of a shard.
#[derive(Default)]
pub struct Pools {
    by_peer: RefCell<HashMap<PeerId, Rc<NodePool>>>,
}

impl Pools {
    /// The pool of a peer; made if there is none. Nodes that stay over a reconfiguration find theirs again.
    pub fn of(&self, peer: PeerId) -> Rc<NodePool> {
        self.by_peer.borrow_mut().entry(peer).or_default().clone()
    }

    /// Drops connections that have ended or are idle for too long, and pools that nobody has any more.
    pub fn sweep(&self, now: Instant) {
        self.by_peer.borrow_mut().retain(|_, pool| {
            pool.sweep(now);
            Rc::strong_count(pool) > 1 || !pool.idle.borrow().is_empty()
        });
    }

    /// Idle connections of all peers.
    pub fn idle_count(&self) -> usize {
        self.by_peer.borrow().values().map(|pool| pool.idle.borrow().len()).sum()
    }

    /// Drops all idle connections.
    pub fn clear(&self) {
        self.by_peer.borrow().values().for_each(|pool| pool.idle.borrow_mut().clear());
    }
}

/// The idle connections to one peer.
#[derive(Default)]
pub struct NodePool {
    /// The one used last at the end.
    idle: RefCell<Vec<Idle>>,
    /// Exchanges that wait for a connection because the node has its most.
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
    /// Connections kept while other shards wait, modulo [`TURNS`].
    turns: Cell<u32>,
}

/// See [`NodePool::owes_a_place`].
const TURNS: u32 = 4;

/// One that waits. `None` once it was woken or has given up.
type Waiter = RefCell<Option<Waker>>;

/// What a pool keeps.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Idle connections of this shard at most.
    pub idle_max: usize,
    /// For how long.
    pub idle_timeout: Duration,
    /// The node has a limit on its connections, so exchanges may be waiting for one.
    pub limited: bool,
}

struct Idle {
    connection: Connection,
    expires: Instant,
}

impl NodePool {
    /// The connection used last that can carry another request.
    pub fn take(&self, now: Instant) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let Idle { connection, expires } = idle.pop()?;
            if expires > now && connection.is_fresh() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection that has carried an exchange to its end. Whether one that waited for it was woken.
    pub fn put(&self, mut connection: Connection, now: Instant, keep: &Keep) -> bool {
        let room = self.idle.borrow().len() < keep.idle_max;
        if !connection.is_fresh() || !room || (keep.limited && self.owes_a_place(&connection)) {
            drop(connection);
        } else {
            connection.rest();
            self.idle.borrow_mut().push(Idle { connection, expires: now + keep.idle_timeout });
        }
        self.wake_one()
    }

    /// Whether exchanges on other shards wait for a place at a node that has its most connections, and it is their
    /// turn: one in [`TURNS`], so that each shard keeps most of what it has warm.
    fn owes_a_place(&self, connection: &Connection) -> bool {
        let waiting = connection.node.waiting.load(Ordering::Relaxed);
        if waiting <= self.waiters.borrow().len() {
            return false;
        }
        self.turns.set((self.turns.get() + 1) % TURNS);
        self.turns.get() == 0
    }

    /// Lets one of those that wait for a connection try again. Whether there was one.
    pub fn wake_one(&self) -> bool {
        while let Some(waiter) = self.waiters.borrow_mut().pop_front() {
            if let Some(waker) = waiter.take() {
                waker.wake();
                return true;
            }
        }
        false
    }

    /// Waits until a connection may be had. It may come too early; at once, if too many wait already.
    pub async fn wait(&self) {
        let waiter = GivesUp(Rc::new(Waiter::default()));
        let asked = Cell::new(false);
        poll_fn(|cx| {
            let mut waiters = self.waiters.borrow_mut();
            if asked.get() && waiter.0.borrow().is_none() || waiters.len() >= POOL_WAITERS_MAX {
                return Poll::Ready(());
            }
            waiter.0.replace(Some(cx.waker().clone()));
            if !asked.replace(true) {
                waiters.push_back(waiter.0.clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|idle| idle.expires > now && idle.connection.is_fresh());
    }
}

/// Takes a waiter that is no longer there out of the running, so that it is nobody's turn lost.
struct GivesUp(Rc<Waiter>);

impl Drop for GivesUp {
    fn drop(&mut self) {
        self.0.take();
    }
}

/// A connection's place among those that its node may have. Gives it back when dropped.
pub struct Permit {
    shared: Arc<NodeShared>,
}

impl Permit {
    /// A place, unless all `max` (0 = no limit) are taken.
    pub fn take(shared: &Arc<NodeShared>, max: usize) -> Option<Self> {
        let before = shared.connections.fetch_add(1, Ordering::Relaxed);
        let permit = Self { shared: shared.clone() };
        (max == 0 || before < max).then_some(permit)
    }
}

/// An exchange that waits for a place at a node, counted over all shards.
pub struct Waiting {
    shared: Arc<NodeShared>,
}

impl Waiting {
    /// Counts one until it is dropped.
    pub fn count(shared: &Arc<NodeShared>) -> Self {
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        Self { shared: shared.clone() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
