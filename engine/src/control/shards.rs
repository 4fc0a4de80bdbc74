//! The control thread's links to the shards.
//!
//! Orders go through a bounded channel a shard. A shard that does not take them does not hold the control thread up:
//! what does not fit waits in the link's backlog, in order, and is sent when there is room ([`Shards::flush`]).

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use coregate_config::checked::Server;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::warn;

use super::Event;
use super::listeners::OpenListener;
use super::snapshot::Snapshot;
use crate::access_log::Writer;
use crate::boot::SpawnShard;
use crate::limits::ORDERS_QUEUED_MAX;
use crate::message::{FromShard, ToShard};
use crate::shard::ShardSeed;

/// A new listener's sockets, as one shard gets them.
pub type Opened = Vec<(Arc<str>, OwnedFd)>;

/// All shards.
pub struct Shards {
    links: Vec<Link>,
}

struct Link {
    orders: mpsc::Sender<ToShard>,
    backlog: VecDeque<ToShard>,
    thread: JoinHandle<()>,
    /// Revision in force; 0 = none yet.
    applied: u64,
    drained: bool,
}

/// What all shards are started with.
pub struct Seed<'a> {
    /// Starts a shard.
    pub spawn: &'a SpawnShard,
    /// One for each shard: its CPU.
    pub seats: &'a [Option<usize>],
    /// The process's settings.
    pub server: &'a Server,
    /// The first snapshot.
    pub snapshot: &'a Arc<Snapshot>,
    /// The sockets of each shard.
    pub opened: Vec<Opened>,
    /// The access log, if there is one.
    pub access_log: Option<&'a Writer>,
    /// Where shards report to.
    pub reports: &'a mpsc::Sender<FromShard>,
    /// Where it is told that a shard is gone.
    pub events: &'a mpsc::Sender<Event>,
}

impl Shards {
    /// Starts all shards.
    pub fn spawn(seed: Seed) -> io::Result<Self> {
        let shards = seed.seats.len();
        let mut links = Vec::with_capacity(shards);
        for ((index, &cpu), listeners) in seed.seats.iter().enumerate().zip(seed.opened) {
            let (orders, receiver) = mpsc::channel(ORDERS_QUEUED_MAX);
            watch(index, orders.clone(), seed.events.clone());
            let thread = (seed.spawn)(ShardSeed {
                index,
                cpu,
                shards,
                max_connections: share(seed.server.max_connections, index, shards),
                snapshot: Arc::clone(seed.snapshot),
                listeners,
                access_log: seed.access_log.map(Writer::seed),
                orders: receiver,
                reports: seed.reports.clone(),
            })?;
            links.push(Link { orders, backlog: VecDeque::new(), thread, applied: 0, drained: false });
        }
        Ok(Self { links })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.links.len()
    }

    /// Gives each shard a new configuration and its sockets of the new listeners.
    pub fn send_snapshot(&mut self, snapshot: &Arc<Snapshot>, opened: Vec<Opened>) {
        for (index, (link, opened)) in self.links.iter_mut().zip(opened).enumerate() {
            link.send(index, ToShard::Snapshot { snapshot: Arc::clone(snapshot), opened });
        }
    }

    /// Gives each shard the same order.
    pub fn send_all(&mut self, order: impl Fn() -> ToShard) {
        for (index, link) in self.links.iter_mut().enumerate() {
            link.send(index, order());
        }
    }

    /// Gets an executor going that went to sleep with tasks that could run. The shards' settings keep glommio 0.9 from
    /// that but for one case: a message of another thread whose waker was taken just before its notice came.
    pub fn wake(&mut self) {
        for link in self.links.iter().filter(|link| link.backlog.is_empty()) {
            // One that does not take its orders has enough to wake it.
            let _ = link.orders.try_send(ToShard::Wake);
        }
    }

    /// Sends what had to wait, as far as there is room.
    pub fn flush(&mut self) {
        self.links.iter_mut().for_each(Link::flush);
    }

    /// A shard has this revision in force.
    pub fn on_applied(&mut self, shard: usize, revision: u64) {
        if let Some(link) = self.links.get_mut(shard) {
            link.applied = link.applied.max(revision);
        }
    }

    /// A shard has nothing in flight any more.
    pub fn on_drained(&mut self, shard: usize) {
        if let Some(link) = self.links.get_mut(shard) {
            link.drained = true;
        }
    }

    /// The shards that have no configuration in force yet.
    pub fn not_ready(&self) -> Vec<usize> {
        self.which(|link| link.applied == 0)
    }

    /// The oldest revision that a shard has in force.
    pub fn applied(&self) -> u64 {
        self.links.iter().map(|link| link.applied).min().unwrap_or(0)
    }

    /// The shards that still have something in flight after they were told to drain.
    pub fn not_drained(&self) -> Vec<usize> {
        self.which(|link| !link.drained)
    }

    /// A shard whose thread has ended before it was drained.
    pub fn dead(&self) -> Option<usize> {
        self.links.iter().position(|link| link.thread.is_finished() && !link.drained)
    }

    fn which(&self, wanted: impl Fn(&Link) -> bool) -> Vec<usize> {
        self.links.iter().enumerate().filter(|(_, link)| wanted(link)).map(|(index, _)| index).collect()
    }
}

impl Link {
    fn send(&mut self, shard: usize, order: ToShard) {
        if !self.backlog.is_empty() {
            self.backlog.push_back(order);
            return;
        }
        // A shard that is gone is noticed elsewhere.
        if let Err(TrySendError::Full(order)) = self.orders.try_send(order) {
            warn!(shard, "the shard does not take its orders; they wait");
            self.backlog.push_back(order);
        }
    }

    fn flush(&mut self) {
        while let Ok(permit) = self.orders.try_reserve() {
            let Some(order) = self.backlog.pop_front() else { return };
            permit.send(order);
        }
    }
}

/// Tells when a shard does not receive any more, which is at once when its thread ends.
fn watch(shard: usize, orders: mpsc::Sender<ToShard>, events: mpsc::Sender<Event>) {
    tokio::spawn(async move {
        orders.closed().await;
        let _ = events.send(Event::ShardGone(shard)).await;
    });
}

/// Shares a number out so that the shares add up to it; none is 0.
pub fn share(total: usize, index: usize, shards: usize) -> usize {
    (total / shards + usize::from(index < total % shards)).max(1)
}

/// Deals each listener's sockets out to the shards.
pub fn deal(listeners: Vec<OpenListener>, shards: usize) -> Vec<Opened> {
    let mut dealt: Vec<Opened> = (0..shards).map(|_| Vec::new()).collect();
    for listener in listeners {
        for (opened, socket) in dealt.iter_mut().zip(listener.sockets) {
            opened.push((Arc::clone(&listener.name), socket));
        }
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (total, shards) in [(100_000, 3), (10, 4), (7, 7)] {
            assert_eq!((0..shards).map(|index| share(total, index, shards)).sum::<usize>(), total);
        }
        assert_eq!(share(1, 1, 2), 1, "a shard that may have no connection at all is of no use");
    }
}
