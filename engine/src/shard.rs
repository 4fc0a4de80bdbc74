//! One shard: a thread pinned to a CPU that owns everything its requests touch.
//!
//! Listeners, connections, pools, balancers, counters: all `Rc` and `Cell`, nothing shared, no lock and no atomic on
//! the request path. What comes from the control thread comes as messages ([`ToShard`]) to one task; what goes to it
//! ([`FromShard`]) is tried and never waited for.
//!
//! The stages of a request in the order of its path: [`crate::accept`], [`crate::http::h1`] (parse),
//! [`crate::http::exchange`] (route, [`crate::admission`], headers), [`crate::upstream`] (balance, [`crate::pool`], connect),
//! [`crate::relay`], and [`Shard::account`].

mod counted;
mod gauges;
mod leases;
mod subjects;

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
use crate::access_log::{self, AccessLog};
use crate::account::{Delta, Ending};
use crate::clock::{self, DayClock, HttpDate};
use crate::control::shards::share;
use crate::control::snapshot::Snapshot;
use crate::limit::Day;
use crate::message::{FromShard, NodesChanged, ToShard};
use crate::net::{self, Net};
use crate::pool::Pools;
use crate::request_id::RequestIds;
use crate::tls::listeners::TlsListener;
use counted::Counted;
pub use gauges::{Gauges, OpenConnection, OpenHandshake};
pub use leases::{Leases, Lent};
pub use subjects::{ServiceState, TenantState};

/// How often idle pools are swept and the access log's lines are handed over.
const SWEEP: Duration = Duration::from_secs(1);
/// How often idle connections give way to those that other shards want.
const GIVE_WAY: Duration = Duration::from_millis(100);
/// Executor settings: our own ring does the networking, the executor's are hardly used.
const EXECUTOR_IO_MEMORY: usize = 64 << 10;
const EXECUTOR_RING_DEPTH: usize = 128;

/// How long connections that are cut may take to end.
const CUT_GRACE: Duration = Duration::from_millis(500);

/// The end of a drain that has taken too long.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// Connections that were open then.
    connections: u64,
    /// How long they are waited for.
    until: Instant,
}

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
    /// What it makes its part of the access log of, if there is a log.
    pub access_log: Option<access_log::Seed>,
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
    /// What it holds of limits that all shards share.
    pub leases: Leases,
    /// The shard's part of the access log.
    pub access_log: AccessLog,
    index: usize,
    max_connections: usize,
    live: RefCell<Rc<Live>>,
    pools: Pools,
    listeners: RefCell<HashMap<Arc<str>, OpenListener>>,
    /// The tenants that called lately, by their index in the snapshot.
    tenants: RefCell<HashMap<usize, Rc<TenantState>>>,
    counted: Counted,
    /// Revision that was put in force and not yet told of.
    unreported: Cell<Option<u64>>,
    draining: Cell<bool>,
    drain_deadline: Cell<Option<Instant>>,
    cut: Cell<Option<Cut>>,
    reports: mpsc::Sender<FromShard>,
    /// When the counting for the next delta began.
    began: Cell<Instant>,
    date: HttpDate,
    day: DayClock,
}

/// The configuration in force on a shard.
#[derive(Clone)]
pub struct Live {
    /// As the control thread compiled it.
    pub snapshot: Arc<Snapshot>,
    /// Parallel to `snapshot.services`.
    pub services: Vec<Rc<ServiceState>>,
}

/// One listener's state on a shard. Its connections keep it, so it does not keep the socket open.
pub struct ListenerState {
    config: RefCell<Rc<Listener>>,
    tls: RefCell<Option<Arc<TlsListener>>>,
    /// TLS handshakes under way.
    handshakes: Cell<usize>,
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

    /// What its TLS needs as it is now, if it has certificates.
    pub fn tls(&self) -> Option<Arc<TlsListener>> {
        self.tls.borrow().clone()
    }

    /// Counts a handshake for as long as what is returned lives; `None` if the shard's part of `max` is under way.
    pub fn begin_handshake(self: &Rc<Self>, shard: &Rc<Shard>, max: usize) -> Option<OpenHandshake> {
        let may_have = share(max, shard.index, shard.shards);
        (self.handshakes.get() < may_have).then(|| OpenHandshake::new(shard, self))
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
        if let Err(error) = net::slice::shorten() {
            tracing::debug!(shard = index, %error, "the shard may wait for its CPU where others run on it");
        }
        let executor = patiently(|| {
            LocalExecutorBuilder::new(Placement::Unbound)
                .name(&format!("shard-{index}"))
                .io_memory(EXECUTOR_IO_MEMORY)
                .ring_depth(EXECUTOR_RING_DEPTH)
                .preempt_timer(net::EXECUTOR_PREEMPT)
                .make()
        });
        match executor {
            Ok(executor) => executor.run(run(seed)),
            Err(error) => tracing::error!(shard = index, %error, "the shard's executor could not be made"),
        }
    })
}

/// Makes what pins memory. The kernel may refuse that for a moment while it moves pages about (ENOMEM), so it is asked
/// again for a second.
#[expect(clippy::disallowed_methods, reason = "the thread serves nobody yet")]
fn patiently<T, E>(make: impl Fn() -> Result<T, E>) -> Result<T, E> {
    for pause_ms in [1, 9, 90, 900] {
        if let Ok(made) = make() {
            return Ok(made);
        }
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
    make()
}

async fn run(seed: ShardSeed) {
    let index = seed.index;
    // Whatever ends it is told before the seed is dropped, by which the control thread knows of the end.
    match patiently(Net::new) {
        Ok(net) => {
            if let Err(error) = serve(seed, net).await {
                tracing::error!(shard = index, %error, "the shard's ring failed");
            }
        }
        Err(error) => tracing::error!(shard = index, %error, "the shard's ring could not be made"),
    }
}

async fn serve(seed: ShardSeed, net: Rc<Net>) -> io::Result<()> {
    let shard = Rc::new(Shard {
        shards: seed.shards,
        request_ids: RequestIds::new(seed.index),
        counters: Gauges::default(),
        leases: Leases::default(),
        access_log: AccessLog::new(seed.access_log),
        index: seed.index,
        max_connections: seed.max_connections,
        live: RefCell::new(Rc::new(Live { snapshot: seed.snapshot.clone(), services: Vec::new() })),
        pools: Pools::default(),
        listeners: RefCell::default(),
        tenants: RefCell::default(),
        counted: Counted::default(),
        unreported: Cell::new(None),
        draining: Cell::new(false),
        drain_deadline: Cell::new(None),
        cut: Cell::new(None),
        reports: seed.reports,
        began: Cell::new(clock::read()),
        date: HttpDate::default(),
        day: DayClock::new(&seed.snapshot.gateway.stats.timezone),
        net: net.clone(),
    });
    let interval = seed.snapshot.gateway.stats.interval;
    shard.apply(seed.snapshot, seed.listeners);
    glommio::spawn_local(take_orders(shard.clone(), seed.orders)).detach();
    glommio::spawn_local(report(shard.clone(), interval)).detach();
    glommio::spawn_local(sweep(shard.clone())).detach();
    glommio::spawn_local(give_way(shard.clone())).detach();
    glommio::spawn_local(async move { shard.leases.keep_flowing(&shard.net).await }).detach();
    net.drive().await
}

/// Obeys the control thread.
async fn take_orders(shard: Rc<Shard>, mut orders: mpsc::Receiver<ToShard>) {
    while let Some(order) = orders.recv().await {
        match order {
            ToShard::Snapshot { snapshot, opened } => shard.apply(snapshot, opened),
            ToShard::Nodes { index, changed } => shard.nodes_changed(index, &changed),
            ToShard::Report => {
                shard.report();
            }
            ToShard::Wake => {}
            ToShard::Drain { deadline } => {
                shard.drain(deadline);
                glommio::spawn_local(end_drain(shard.clone())).detach();
            }
        }
    }
    shard.net.stop();
}

/// Hands the counters over each interval.
async fn report(shard: Rc<Shard>, interval: Duration) {
    let timer = shard.net.timer();
    let mut due = shard.net.now() + interval;
    loop {
        timer.set(due);
        timer.wait().await;
        shard.report();
        due = (due + interval).max(shard.net.now());
    }
}

/// Hands the last counters over and says that a drain is done, once it is.
async fn end_drain(shard: Rc<Shard>) {
    let timer = shard.net.timer();
    loop {
        // First, as the accept tasks still hand out what the backlog holds.
        timer.set(shard.net.now() + net::timer::TICK);
        timer.wait().await;
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
        shard.access_log.flush();
    }
}

/// Lets other shards have places at nodes that this one has idle connections to.
async fn give_way(shard: Rc<Shard>) {
    let timer = shard.net.timer();
    loop {
        let limited = shard.live().snapshot.limits_connections;
        timer.set(shard.net.now() + if limited { GIVE_WAY } else { SWEEP });
        timer.wait().await;
        if limited {
            shard.pools.give_way();
        }
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

    /// The day of `stats.timezone`.
    pub fn day(&self) -> Day {
        self.day.at(self.net.now())
    }

    /// The state of a tenant in the snapshot in force; `None` if it has no such tenant.
    pub fn tenant(&self, index: usize) -> Option<Rc<TenantState>> {
        let plan = self.live.borrow().snapshot.tenants.get(index)?.clone();
        let mut tenants = self.tenants.borrow_mut();
        let state = tenants.entry(index);
        Some(state.or_insert_with(|| Rc::new(TenantState::new(self, &plan, self.net.now()))).clone())
    }

    /// Counts one ending.
    pub fn account(&self, service: Option<&ServiceState>, tenant: Option<&TenantState>, ending: &Ending) {
        match service {
            Some(service) => self.counted.services.count(&service.tally, ending),
            None => self.counted.rest.borrow_mut().count(ending),
        }
        if let Some(tenant) = tenant {
            self.counted.tenants.count(&tenant.tally, ending);
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
        let none = Live { snapshot: snapshot.clone(), services: Vec::new() };
        // Seldom somebody who waits for a client still has it.
        let before = Rc::unwrap_or_clone(self.live.replace(Rc::new(none)));
        let services = subjects::services(self, before, &snapshot);
        if !self.tenants.take().is_empty() {
            self.counted.tenants.forget_gone();
        }
        let revision = snapshot.revision;
        self.live.replace(Rc::new(Live { services, snapshot: snapshot.clone() }));
        self.apply_listeners(&snapshot, opened);
        // Idle connections to who is not a node any more, or not by the same settings of TLS, do not keep its place.
        self.pools.sweep(self.net.now());
        self.unreported.set(Some(revision));
        self.report();
    }

    fn apply_listeners(self: &Rc<Self>, snapshot: &Snapshot, opened: Vec<(Arc<str>, OwnedFd)>) {
        let mut opened: HashMap<Arc<str>, OwnedFd> = opened.into_iter().collect();
        let mut kept = HashMap::new();
        let mut old = self.listeners.take();
        for config in snapshot.gateway.listeners.iter().filter(|listener| listener.enabled) {
            let config = Rc::new(config.clone());
            let tls = snapshot.tls.listeners.get(&config.name).cloned();
            // A socket that was opened anew replaces one of the same name (its address has changed).
            if let Some(fd) = opened.remove(&config.name) {
                let socket = Rc::new(net::Listener::adopt(&self.net, fd));
                let state = Rc::new(ListenerState {
                    config: RefCell::new(config.clone()),
                    tls: RefCell::new(tls),
                    handshakes: Cell::new(0),
                });
                glommio::spawn_local(accept::accept(self.clone(), socket.clone(), state.clone())).detach();
                if let Some(replaced) = kept.insert(config.name.clone(), OpenListener { state, socket }) {
                    replaced.socket.stop();
                }
            } else if let Some(open) = old.remove(&config.name) {
                open.state.config.replace(config.clone());
                open.state.tls.replace(tls);
                kept.insert(config.name.clone(), open);
            }
        }
        old.values().for_each(|gone| gone.socket.stop());
        self.listeners.replace(kept);
    }

    fn nodes_changed(&self, index: usize, changed: &NodesChanged) {
        let live = self.live();
        let service = live.services.get(index).filter(|it| it.plan.config.name == changed.service);
        service.into_iter().for_each(|service| service.set_live(&changed.live));
    }

    fn drain(&self, deadline: Instant) {
        self.draining.set(true);
        self.drain_deadline.set(Some(deadline));
        // The accept task hands out what the backlog holds, then drops the socket.
        self.listeners.take().values().for_each(|listener| listener.socket.stop());
        self.net.wake_receivers();
    }

    /// Whether what is in flight is being cut, because a drain has taken too long.
    pub fn cutting(&self) -> bool {
        self.cut.get().is_some()
    }

    /// Whether a drain has come to its end, which is then reported.
    fn drained(&self) -> bool {
        let (Some(deadline), now) = (self.drain_deadline.get(), self.net.now()) else { return false };
        let open = self.counters.connections.get();
        if open > 0 {
            let waits = match self.cut.get() {
                None if now >= deadline => {
                    // Their exchanges end by that, and are accounted for.
                    self.cut.set(Some(Cut { connections: open, until: now + CUT_GRACE }));
                    self.net.fail_sockets();
                    true
                }
                None => true,
                Some(cut) => now < cut.until,
            };
            if waits {
                return false;
            }
        }
        self.pools.clear();
        self.access_log.flush();
        let cut = self.cut.get().map_or(0, |cut| cut.connections);
        self.report() && self.reports.try_send(FromShard::Drained { shard: self.index, cut }).is_ok()
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
        let gone = self.tenants.borrow_mut().extract_if(|_, tenant| tenant.is_idle()).count();
        if gone > 0 {
            self.counted.tenants.forget_gone();
        }
        let (services, tenants) = (self.counted.services.hand_over(), self.counted.tenants.hand_over());
        // What reached a service is counted there alone; the site is that and the rest.
        let mut site = self.counted.rest.borrow_mut().hand_over().unwrap_or_default();
        services.iter().for_each(|(_, counters)| site.merge(counters));
        let shard = self.counters.take(&self.net, &self.pools);
        // The clock itself, not the turn's time: an hour that has ended before the order to report has ended here too.
        let began = Some(self.began.replace(clock::read()));
        let delta = Delta { began, site, services, tenants, shard };
        permit.send(FromShard::Delta { shard: self.index, delta: Box::new(delta) });
        true
    }
}
