//! Pool: idle upstream connections of one shard, by the full identity of the peer.
//!
//! HTTP/1.1: last in, first out, so that what traffic needs stays warm and the rest times out. An idle connection keeps its
//! receive armed: when the node closes it, the pool knows without asking, and drops it. The limits of a node hold over
//! all shards: idle ones by giving each shard its share, all of them by a count that is touched when a connection opens
//! or closes, never by a request.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::control::snapshot::{NodePlan, NodeShared};
use crate::error::Error;
use crate::http::h1_upstream::Connection;
use crate::http::h2_upstream::{Multiplexed, Seat};
use crate::limits::POOL_WAITERS_MAX;
use crate::tls::nodes::NodeTls;

/// Who is at the other end: connections to equal peers may stand in for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerId {
    /// Where it is.
    pub address: SocketAddr,
    /// How TLS is spoken to it. What is spoken inside is not part of it: HTTP/1.1 and HTTP/2 lie apart in the pool, and
    /// connections that carry bytes are never put there.
    pub tls: Option<NodeTls>,
}

impl PeerId {
    /// That of a node.
    pub fn of(node: &NodePlan) -> Self {
        Self { address: node.address, tls: node.tls.clone() }
    }
}

/// All pools of a shard. What is done to all of them now and then costs what has connections, not what is configured: the
/// shard serves nobody meanwhile.
#[derive(Default)]
pub struct Pools {
    by_peer: RefCell<HashMap<PeerId, Weak<NodePool>>>,
    /// Peers at which those that are gone are forgotten.
    clean_at: Cell<usize>,
    stocked: Rc<Stocked>,
}

/// The pools that have connections, or had some when they were last looked at.
type Stocked = RefCell<Vec<Rc<NodePool>>>;

impl Pools {
    /// The pool of a peer; made if there is none. Nodes that stay over a reconfiguration find theirs again.
    pub fn of(&self, peer: PeerId) -> Rc<NodePool> {
        let mut by_peer = self.by_peer.borrow_mut();
        if let Some(known) = by_peer.get(&peer).and_then(Weak::upgrade) {
            return known;
        }
        if by_peer.len() >= self.clean_at.get() {
            by_peer.retain(|_, pool| pool.strong_count() > 0);
            self.clean_at.set((by_peer.len() * 2).max(64));
        }
        let made = NodePool::new(self.stocked.clone());
        by_peer.insert(peer, Rc::downgrade(&made));
        made
    }

    /// Drops connections that have ended or are idle for too long, and all that are in pools that nobody has any more.
    pub fn sweep(&self, now: Instant) {
        let mut pools = self.stocked.take();
        pools.retain(|pool| {
            pool.sweep(now);
            let stays = Rc::strong_count(pool) > 1 && !pool.is_empty();
            pool.listed.set(stays);
            stays
        });
        self.stocked.borrow_mut().append(&mut pools);
    }

    /// Drops an idle connection of each node that has its most, where exchanges on other shards wait for one: they would
    /// wait until it times out.
    pub fn give_way(&self) {
        for pool in &*self.stocked.borrow() {
            pool.give_way();
        }
    }

    /// Idle connections of all peers.
    pub fn idle_count(&self) -> usize {
        self.stocked.borrow().iter().map(|pool| pool.idle_count()).sum()
    }

    /// Drops all idle connections.
    pub fn clear(&self) {
        for pool in &*self.stocked.borrow() {
            pool.idle.borrow_mut().clear();
            pool.multiplexed.borrow_mut().clear();
        }
    }
}

/// The connections to one peer that can carry another request.
pub struct NodePool {
    me: Weak<Self>,
    stocked: Rc<Stocked>,
    /// It is among the stocked.
    listed: Cell<bool>,
    /// Of HTTP/1.1; the one used last at the end.
    idle: RefCell<Vec<Idle>>,
    /// Of HTTP/2; busy ones too. The first that has room is used, so that the last fall idle.
    multiplexed: RefCell<Vec<Rc<Multiplexed>>>,
    /// An exchange opens a connection for all to use.
    connecting: Cell<bool>,
    /// How and when the last attempt at that failed.
    failed: RefCell<Option<(Instant, Error)>>,
    /// When it was last said that TLS with the node comes to nothing.
    complained: Cell<Option<Instant>>,
    /// Exchanges that wait for a connection because the node has its most.
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
    /// Those, and the ones that were woken and have not run yet.
    waiting: Cell<usize>,
    /// Connections kept while other shards wait, modulo [`TURNS`].
    turns: Cell<u32>,
}

/// How often it is said that TLS with a node comes to nothing, at most.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(10);

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
    fn new(stocked: Rc<Stocked>) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            me: me.clone(),
            stocked,
            listed: Cell::default(),
            idle: RefCell::default(),
            multiplexed: RefCell::default(),
            connecting: Cell::default(),
            failed: RefCell::default(),
            complained: Cell::default(),
            waiters: RefCell::default(),
            waiting: Cell::default(),
            turns: Cell::default(),
        })
    }

    /// Notes that it has connections.
    fn list(&self) {
        if !self.listed.replace(true) {
            self.stocked.borrow_mut().extend(self.me.upgrade());
        }
    }

    fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.multiplexed.borrow().is_empty()
    }

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
        if !connection.is_fresh() || !room || (keep.limited && self.owes_a_place(&connection.node)) {
            drop(connection);
        } else {
            connection.rest();
            self.idle.borrow_mut().push(Idle { connection, expires: now + keep.idle_timeout });
            self.list();
        }
        self.wake_one()
    }

    /// Whether exchanges on other shards wait for a place at a node that has its most connections, and it is their
    /// turn: one in [`TURNS`], so that each shard keeps most of what it has warm.
    fn owes_a_place(&self, node: &NodeShared) -> bool {
        if !self.is_awaited_elsewhere(node) {
            return false;
        }
        self.turns.set((self.turns.get() + 1) % TURNS);
        self.turns.get() == 0
    }

    fn is_awaited_elsewhere(&self, node: &NodeShared) -> bool {
        node.waiting.load(Ordering::Relaxed) > self.waiting.get()
    }

    /// See [`Pools::give_way`]. The connection that has been idle for longest goes.
    fn give_way(&self) {
        let mut idle = self.idle.borrow_mut();
        if idle.first().is_some_and(|first| self.is_awaited_elsewhere(&first.connection.node)) {
            idle.remove(0);
        }
        self.multiplexed.borrow_mut().retain(|connection| {
            let goes = connection.is_idle() && self.is_awaited_elsewhere(&connection.node);
            if goes {
                connection.retire();
            }
            !goes
        });
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

    /// Waits until a connection may be had, which may turn out to be too early. `false`, at once: too many wait already.
    pub async fn wait(&self) -> bool {
        self.waiting.set(self.waiting.get() + 1);
        let waiter = GivesUp { pool: self, waiter: Rc::new(Waiter::default()) };
        let asked = Cell::new(false);
        poll_fn(|cx| {
            let mut waiters = self.waiters.borrow_mut();
            if asked.get() && waiter.waiter.borrow().is_none() {
                return Poll::Ready(true);
            }
            if !asked.get() && waiters.len() >= POOL_WAITERS_MAX {
                return Poll::Ready(false);
            }
            waiter.waiter.replace(Some(cx.waker().clone()));
            if !asked.replace(true) {
                waiters.push_back(waiter.waiter.clone());
            }
            Poll::Pending
        })
        .await
    }

    /// A stream's place on an HTTP/2 connection; with `heard_after`, on one that was alive after that.
    pub fn take_seat(&self, heard_after: Option<Instant>) -> Option<Seat> {
        let mut multiplexed = self.multiplexed.borrow_mut();
        multiplexed.retain(|connection| connection.is_open());
        let mut alive = multiplexed
            .iter()
            .filter(|connection| heard_after.is_none_or(|after| connection.heard() > after));
        alive.find_map(|connection| connection.seat(true))
    }

    /// Adds a connection that others may have streams on.
    pub fn add_multiplexed(&self, connection: Rc<Multiplexed>) {
        self.multiplexed.borrow_mut().push(connection);
        self.list();
    }

    /// Keeps an HTTP/2 connection on which an exchange has ended, or lets it end with its last stream. Whether one that
    /// waited was woken.
    pub fn keep_multiplexed(&self, connection: &Rc<Multiplexed>, idle_max: usize, limited: bool) -> bool {
        let mut multiplexed = self.multiplexed.borrow_mut();
        let idle = || multiplexed.iter().filter(|connection| connection.is_idle()).count();
        let too_many = connection.is_idle() && idle() > idle_max;
        if too_many || (limited && self.owes_a_place(&connection.node)) {
            connection.retire();
            multiplexed.retain(|kept| !Rc::ptr_eq(kept, connection));
        }
        drop(multiplexed);
        self.wake_one()
    }

    /// Whether an exchange is opening a connection for all to use.
    pub fn is_connecting(&self) -> bool {
        self.connecting.get()
    }

    /// Notes that one does, until the guard is dropped: then all that wait are woken.
    pub fn connect(self: &Rc<Self>) -> Connecting {
        self.connecting.set(true);
        Connecting { pool: self.clone(), wake: true }
    }

    /// Notes that it could not be opened.
    pub fn set_failed(&self, now: Instant, error: Error) {
        self.failed.replace(Some((now, error)));
    }

    /// Why none could be opened, if that was after `since`.
    pub fn failed_since(&self, since: Instant) -> Option<Error> {
        self.failed.borrow().as_ref().filter(|(at, _)| *at >= since).map(|(_, error)| error.clone())
    }

    /// Whether it is time to say (again) that TLS with the node comes to nothing.
    pub fn may_complain(&self, now: Instant) -> bool {
        let due = self.complained.get().is_none_or(|last| now >= last + COMPLAINT_PERIOD);
        if due {
            self.complained.set(Some(now));
        }
        due
    }

    fn idle_count(&self) -> usize {
        let multiplexed = self.multiplexed.borrow();
        self.idle.borrow().len() + multiplexed.iter().filter(|connection| connection.is_idle()).count()
    }

    fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|idle| idle.expires > now && idle.connection.is_fresh());
        self.multiplexed
            .borrow_mut()
            .retain(|connection| connection.is_open() && !connection.is_overdue(now));
    }
}

/// See [`NodePool::connect`].
pub struct Connecting {
    pool: Rc<NodePool>,
    wake: bool,
}

impl Connecting {
    /// Nothing was tried: who waits need not try either.
    pub fn dismiss(mut self) {
        self.wake = false;
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.pool.connecting.set(false);
        while self.wake && self.pool.wake_one() {}
    }
}

/// Takes a waiter that is no longer there out of the running, so that it is nobody's turn lost.
struct GivesUp<'a> {
    pool: &'a NodePool,
    waiter: Rc<Waiter>,
}

impl Drop for GivesUp<'_> {
    fn drop(&mut self) {
        self.pool.waiting.set(self.pool.waiting.get() - 1);
        if self.waiter.take().is_some() {
            // They give up in the order in which they came: it is near the front.
            let mut waiters = self.pool.waiters.borrow_mut();
            let place = waiters.iter().position(|waiter| Rc::ptr_eq(waiter, &self.waiter));
            place.map(|place| waiters.remove(place));
        }
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
