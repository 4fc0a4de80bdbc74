//! One shard: a thread pinned to a CPU that owns everything its requests touch.
//!
//! Listeners, connections, pools, balancers, counters: all `Rc` and `Cell`, nothing shared, no lock and no atomic on
//! the request path. What comes from the control thread comes as messages ([`ToShard`]) to one task; what goes to it
//! ([`FromShard`]) is tried and never waited for.
//!
//! The stages of a request in the order of its path: [`crate::accept`], [`crate::http::h1`] (parse),
//! [`crate::http::exchange`] (route, limits, headers), [`crate::upstream`] (balance, [`crate::pool`], connect),
//! [`crate::relay`], and [`Shard::account`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coregate_config::checked::Listener;
use glommio::{LocalExecutorBuilder, Placement};
use tokio::sync::mpsc;

use crate::accept;
use crate::account::{Counters, Delta, Ending, ShardCounters};
use crate::balance::{Balancer, NodeWeight};
use crate::clock::HttpDate;
use crate::control::snapshot::{ServicePlan, Snapshot};
use crate::message::{FromShard, NodesChanged, ToShard};
use crate::net::{self, Net};
use crate::pool::{NodePool, PeerId, Pools};
use crate::request_id::RequestIds;

/// How often idle pools are swept.
const SWEEP: Duration = Duration::from_secs(1);
/// Executor settings: our own ring does the networking, the executor's are hardly used.
const EXECUTOR_IO_MEMORY: usize = 64 << 10;
const EXECUTOR_RING_DEPTH: usize = 128;
/// How often the executor looks at its own rings while the driver is hot.
const EXECUTOR_PREEMPT: Duration = Duration::from_millis(10);

/// What a shard is started with.
pub struct ShardSeed {
    /// Its number, from 0.
    pub index: usize,
    /// The CPU to pin it to.
    pub cpu: Option<usize>,
    /// How many shards there are.
    pub shards: usize,
    /// Client connections that this shard may have.
    pub max_connections: usize,
    /// The configuration to start with.
    pub snapshot: Arc<Snapshot>,
    /// This shard's listening sockets, by listener name.
    pub listeners: Vec<(Arc<str>, OwnedFd)>,
    /// From the control thread.
    pub orders: mpsc::Receiver<ToShard>,
    /// To the control thread.
    pub reports: mpsc::Sender<FromShard>,
}

/// A shard's state, shared by its tasks.
pub struct Shard {
    /// The network ring.
    pub net: Rc<Net>,
    /// How many shards there are.
    pub shards: usize,
    /// Makes request ids.
    pub request_ids: RequestIds,
    /// The shard's own counters.
    pub counters: Gauges,
    index: usize,
    max_connections: usize,
    live: RefCell<Rc<Live>>,
    pools: Pools,
    listeners: RefCell<HashMap<Arc<str>, OpenListener>>,
    /// Of what reached no service.
    site: RefCell<Counters>,
    /// Counters of each service, kept over reconfigurations; those of services that are gone until they are reported.
    service_counters: RefCell<HashMap<Arc<str>, Rc<RefCell<Counters>>>>,
    /// Revision that was put in force and not yet told of.
    unreported: Cell<Option<u64>>,
    draining: Cell<bool>,
    drain_deadline: Cell<Option<Instant>>,
    reports: mpsc::Sender<FromShard>,
    date: HttpDate,
}

/// The configuration in force on a shard.
pub struct Live {
    /// As the control thread compiled it.
    pub snapshot: Arc<Snapshot>,
    /// Parallel to `snapshot.services`.
    pub services: Vec<Rc<ServiceState>>,
}

/// One service's state on a shard.
pub struct ServiceState {
    /// As the control thread compiled it.
    pub plan: Arc<ServicePlan>,
    /// Picks its nodes.
    pub balancer: RefCell<Balancer>,
    /// Idle connections of each node, parallel to `plan.nodes`.
    pub pools: Vec<Rc<NodePool>>,
    /// Which nodes take traffic, parallel to `plan.nodes`.
    live: RefCell<Vec<bool>>,
    counters: Rc<RefCell<Counters>>,
}

/// One listener's state on a shard. Its connections keep it, so it does not keep the socket open.
pub struct ListenerState {
    config: RefCell<Rc<Listener>>,
}

/// A listener that takes connections.
struct OpenListener {
    state: Rc<ListenerState>,
    socket: Rc<net::Listener>,
}

impl ListenerState {
    /// Its settings as they are now.
    pub fn config(&self) -> Rc<Listener> {
        self.config.borrow().clone()
    }
}

/// Starts a shard's thread.
///
/// # Errors
/// The thread could not be made.
pub fn spawn(seed: ShardSeed) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("shard-{}", seed.index)).spawn(move || {
        let index = seed.index;
        if let Some(cpu) = seed.cpu
            && !core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
        {
            tracing::warn!(shard = index, cpu, "could not pin the shard to its CPU");
        }
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .name(&format!("shard-{index}"))
            .io_memory(EXECUTOR_IO_MEMORY)
            .ring_depth(EXECUTOR_RING_DEPTH)
            .preempt_timer(EXECUTOR_PREEMPT)
            .make();
        let result = match executor {
            Ok(executor) => executor.run(run(seed)).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = result {
            tracing::error!(shard = index, %error, "shard failed");
        }
    })
}

async fn run(seed: ShardSeed) -> io::Result<()> {
    let net = Net::new()?;
    let shard = Rc::new(Shard {
        shards: seed.shards,
        request_ids: RequestIds::new(seed.index),
        counters: Gauges::default(),
        index: seed.index,
        max_connections: seed.max_connections,
        live: RefCell::new(Rc::new(Live { snapshot: seed.snapshot.clone(), services: Vec::new() })),
        pools: Pools::default(),
        listeners: RefCell::default(),
        site: RefCell::default(),
        service_counters: RefCell::default(),
        unreported: Cell::new(None),
        draining: Cell::new(false),
        drain_deadline: Cell::new(None),
        reports: seed.reports,
        date: HttpDate::default(),
        net: net.clone(),
    });
    let interval = seed.snapshot.gateway.stats.interval;
    shard.apply(seed.snapshot, seed.listeners);
    glommio::spawn_local(take_orders(shard.clone(), seed.orders)).detach();
    glommio::spawn_local(report(shard.clone(), interval)).detach();
    glommio::spawn_local(sweep(shard)).detach();
    net.drive().await
}

/// Obeys the control thread.
async fn take_orders(shard: Rc<Shard>, mut orders: mpsc::Receiver<ToShard>) {
    while let Some(order) = orders.recv().await {
        match order {
            ToShard::Snapshot { snapshot, opened } => shard.apply(snapshot, opened),
            ToShard::Nodes(change) => shard.nodes_changed(&change),
            ToShard::Report => {
                shard.report();
            }
            ToShard::Drain { deadline } => shard.drain(deadline),
        }
    }
    shard.net.stop();
}

/// Hands the counters over each interval, and says when a drain is done.
async fn report(shard: Rc<Shard>, interval: Duration) {
    let timer = shard.net.timer();
    let mut due = shard.net.now() + interval;
    loop {
        timer.set(if shard.draining() { shard.net.now() + net::timer::TICK } else { due });
        timer.wait().await;
        if shard.net.now() >= due {
            shard.report();
            due = (due + interval).max(shard.net.now());
        }
        if shard.drained() {
            return;
        }
    }
}

async fn sweep(shard: Rc<Shard>) {
    let timer = shard.net.timer();
    loop {
        timer.set(shard.net.now() + SWEEP);
        timer.wait().await;
        shard.pools.sweep(shard.net.now());
    }
}

impl Shard {
    /// The configuration in force.
    pub fn live(&self) -> Rc<Live> {
        self.live.borrow().clone()
    }

    /// Whether the gateway is shutting down: answers close their connections.
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    /// The date for answers that have none.
    pub fn date(&self) -> Rc<str> {
        self.date.at(self.net.now())
    }

    /// Whether another client connection fits.
    pub fn has_room(&self) -> bool {
        self.counters.connections.get() < self.max_connections as u64
    }

    /// Counts one ending.
    pub fn account(&self, service: Option<&Rc<ServiceState>>, ending: &Ending) {
        match service {
            Some(service) => service.counters.borrow_mut().count(ending),
            None => self.site.borrow_mut().count(ending),
        }
    }

    /// A node refused a connection: it gets no more until the control thread has seen it well.
    pub fn node_failed(&self, service: &ServiceState, node: usize) {
        let config = &service.plan.config;
        let address = service.plan.nodes[node].address;
        let report = FromShard::NodeFailed { service: config.name.clone(), node: address };
        // Untold, the control thread would never bring it back; so it stays, and the next failure tells.
        if self.reports.try_send(report).is_ok() {
            service.set_live(&[(address, false)]);
        }
    }

    /// Puts a configuration in force. What belongs to services, nodes and listeners that stay is kept.
    fn apply(self: &Rc<Self>, snapshot: Arc<Snapshot>, opened: Vec<(Arc<str>, OwnedFd)>) {
        let old = self.live();
        let kept: HashMap<&str, &Rc<ServiceState>> =
            old.services.iter().map(|service| (&*service.plan.config.name, service)).collect();
        let services = snapshot
            .services
            .iter()
            .map(|plan| Rc::new(self.service_state(plan, kept.get(&*plan.config.name).copied())))
            .collect();
        let revision = snapshot.revision;
        self.live.replace(Rc::new(Live { services, snapshot: snapshot.clone() }));
        self.apply_listeners(&snapshot, opened);
        self.unreported.set(Some(revision));
        self.report();
    }

    fn service_state(&self, plan: &Arc<ServicePlan>, old: Option<&Rc<ServiceState>>) -> ServiceState {
        let nodes: Vec<NodeWeight> =
            plan.nodes.iter().map(|node| NodeWeight { weight: node.weight, address: node.address }).collect();
        let mut balancer = Balancer::new(plan.config.policy, &nodes, self.index as u64);
        // What this shard has seen fail since the control thread made the snapshot still counts.
        let live: Vec<bool> = plan
            .nodes
            .iter()
            .map(|node| node.live && old.and_then(|old| old.is_live(node.address)).unwrap_or(true))
            .collect();
        balancer.set_live(&live);
        let counters =
            self.service_counters.borrow_mut().entry(plan.config.name.clone()).or_default().clone();
        ServiceState {
            plan: plan.clone(),
            balancer: RefCell::new(balancer),
            pools: plan.nodes.iter().map(|node| self.pools.of(PeerId { address: node.address })).collect(),
            live: RefCell::new(live),
            counters,
        }
    }

    fn apply_listeners(self: &Rc<Self>, snapshot: &Snapshot, opened: Vec<(Arc<str>, OwnedFd)>) {
        let mut opened: HashMap<Arc<str>, OwnedFd> = opened.into_iter().collect();
        let mut kept = HashMap::new();
        let mut old = self.listeners.take();
        for config in snapshot.gateway.listeners.iter().filter(|listener| listener.enabled) {
            let config = Rc::new(config.clone());
            // A socket that was opened anew replaces one of the same name (its address has changed).
            if let Some(fd) = opened.remove(&config.name) {
                let socket = Rc::new(net::Listener::adopt(&self.net, fd));
                let state = Rc::new(ListenerState { config: RefCell::new(config.clone()) });
                glommio::spawn_local(accept::accept(self.clone(), socket.clone(), state.clone())).detach();
                if let Some(replaced) = kept.insert(config.name.clone(), OpenListener { state, socket }) {
                    replaced.socket.stop();
                }
            } else if let Some(open) = old.remove(&config.name) {
                open.state.config.replace(config.clone());
                kept.insert(config.name.clone(), open);
            }
        }
        old.values().for_each(|gone| gone.socket.stop());
        self.listeners.replace(kept);
    }

    fn nodes_changed(&self, change: &NodesChanged) {
        let live = self.live();
        let service = live.services.iter().find(|service| service.plan.config.name == change.service);
        service.into_iter().for_each(|service| service.set_live(&change.live));
    }

    fn drain(&self, deadline: Instant) {
        self.draining.set(true);
        self.drain_deadline.set(Some(deadline));
        // The accept task hands out what the backlog holds, then drops the socket.
        self.listeners.take().values().for_each(|listener| listener.socket.stop());
        self.net.wake_receivers();
    }

    /// Whether a drain has come to its end, which is then reported.
    fn drained(&self) -> bool {
        let Some(deadline) = self.drain_deadline.get() else { return false };
        let open = self.counters.connections.get();
        if open > 0 && self.net.now() < deadline {
            return false;
        }
        self.pools.clear();
        self.report() && self.reports.try_send(FromShard::Drained { shard: self.index, cut: open }).is_ok()
    }

    /// Hands over what was counted since the last time. If the control thread is too busy it is kept for the next, and
    /// the answer is no.
    fn report(&self) -> bool {
        if let Some(revision) = self.unreported.get() {
            let applied = FromShard::Applied { shard: self.index, revision };
            if self.reports.try_send(applied).is_err() {
                return false;
            }
            self.unreported.set(None);
        }
        let Ok(permit) = self.reports.try_reserve() else { return false };
        let services = hand_over(&mut self.service_counters.borrow_mut());
        // What reached a service is counted there alone; the site is that and the rest.
        let mut site = self.site.borrow_mut().hand_over();
        services.iter().for_each(|(_, counters)| site.merge(counters));
        let shard = self.counters.take(&self.net, &self.pools);
        let delta = Delta { site, services, tenants: Vec::new(), shard };
        permit.send(FromShard::Delta { shard: self.index, delta: Box::new(delta) });
        true
    }
}

/// What each subject has counted since the last time. Those that are gone are forgotten once they have reported.
fn hand_over(subjects: &mut HashMap<Arc<str>, Rc<RefCell<Counters>>>) -> Vec<(Arc<str>, Counters)> {
    let mut counted = Vec::new();
    subjects.retain(|name, counters| {
        let counters_now = counters.borrow_mut().hand_over();
        let idle = counters_now.requests == 0;
        if !idle {
            counted.push((name.clone(), counters_now));
        }
        Rc::strong_count(counters) > 1 || !idle
    });
    counted
}

impl ServiceState {
    /// Notes which of its nodes take traffic; nodes that are not named stay as they are.
    fn set_live(&self, changed: &[(std::net::SocketAddr, bool)]) {
        let mut live = self.live.borrow_mut();
        for (node, live) in self.plan.nodes.iter().zip(live.iter_mut()) {
            if let Some((_, now)) = changed.iter().find(|(address, _)| *address == node.address) {
                *live = *now;
            }
        }
        self.balancer.borrow_mut().set_live(&live);
    }

    fn is_live(&self, address: std::net::SocketAddr) -> Option<bool> {
        let index = self.plan.nodes.iter().position(|node| node.address == address)?;
        self.live.borrow().get(index).copied()
    }
}

/// The shard's own counters, in place.
#[derive(Default)]
pub struct Gauges {
    connections: Cell<u64>,
    accepted: Cell<u64>,
    rejected: Cell<u64>,
    opened: Cell<u64>,
    reused: Cell<u64>,
    retries: Cell<u64>,
    panics: Cell<u64>,
    exhausted_before: Cell<u64>,
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

    /// A connection's task panicked.
    pub fn panicked(&self) {
        bump(&self.panics);
    }

    fn take(&self, net: &Net, pools: &Pools) -> ShardCounters {
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
            buffers_exhausted: stats.buffers_exhausted - exhausted_before,
            buffers: stats.buffers as u64,
            buffers_lent: stats.buffers_lent as u64,
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
