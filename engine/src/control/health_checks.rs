//! Health checks: the one checker of the process.
//!
//! Input: the services and their nodes, results of checks ([`CheckResult`]), and nodes that traffic could not reach.
//! Output: [`NodesChanged`] for the shards, and a log line, whenever the set of live nodes of a service changes. What
//! a result means is decided by [`crate::health`]; here connections are made ([`probe`]) and times are kept.
//!
//! Invariants: at most [`CHECKS_MAX`] checks are under way; each ends within its service's timeout. A service that
//! stays over a reload keeps its state. Owner: the control thread.

mod grpc;
pub mod probe;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coregate_config::checked::{HealthCheck, HealthCheckKind};
use foldhash::fast::RandomState;
use tokio::sync::{Semaphore, mpsc};
use tracing::{info, warn};

use super::Event;
use crate::health::{NodeHealth, ServiceHealth};
use crate::message::NodesChanged;
use probe::Approach;

/// Checks under way at a time; more wait for their turn.
const CHECKS_MAX: usize = 256;
/// Checks that fall due within this time are started together, so that many services do not mean many wake-ups.
const GRANULARITY: Duration = Duration::from_millis(50);
/// What the log and the API say when traffic found a node down.
const PASSIVE_CAUSE: &str = "traffic could not reach it";

/// The health of all services' nodes.
pub struct Checker {
    services: HashMap<Arc<str>, Watched, RandomState>,
    permits: Arc<Semaphore>,
    results: mpsc::Sender<Event>,
    /// When [`Checker::start_due`] is to be called next.
    next_due: Option<Instant>,
    /// Seed of the next new service, so that no two check in step.
    seed: u64,
}

/// One service: how its nodes are, and how they are connected to.
struct Watched {
    health: ServiceHealth,
    approaches: HashMap<SocketAddr, Approach, RandomState>,
}

/// How a check ended.
#[derive(Debug)]
pub struct CheckResult {
    service: Arc<str>,
    node: SocketAddr,
    result: Result<(), String>,
}

/// A service as the checker needs it.
#[derive(Debug)]
pub struct Subject {
    /// Its name.
    pub service: Arc<str>,
    /// Its check; `None` = by traffic only.
    pub check: Option<HealthCheck>,
    /// Its enabled nodes, and how they are connected to.
    pub nodes: Vec<(SocketAddr, Approach)>,
}

impl Checker {
    /// No services yet. Results are sent to `results`, to be handed back to [`Checker::on_result`].
    pub fn new(results: mpsc::Sender<Event>, seed: u64) -> Self {
        let permits = Arc::new(Semaphore::new(CHECKS_MAX));
        Self { services: HashMap::default(), permits, results, next_due: None, seed }
    }

    /// These services are new or have changed, those are gone; all others stay as they are.
    pub fn reconfigure(
        &mut self,
        changed: impl IntoIterator<Item = Subject>,
        gone: impl IntoIterator<Item = Arc<str>>,
        now: Instant,
    ) {
        for service in gone {
            self.services.remove(&service);
        }
        for Subject { service, check, nodes } in changed {
            let addresses: Vec<SocketAddr> = nodes.iter().map(|(address, _)| *address).collect();
            let approaches = nodes.into_iter().collect();
            match self.services.entry(service) {
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    known.health.reconfigure(check, &addresses, now);
                    known.approaches = approaches;
                }
                Entry::Vacant(new) => {
                    self.seed = self.seed.wrapping_add(1);
                    let health = ServiceHealth::new(check, &addresses, self.seed, now);
                    new.insert(Watched { health, approaches });
                }
            }
        }
        self.reschedule();
    }

    /// When [`Checker::start_due`] is to be called next; `None`: not before something changes.
    pub fn next_due(&self) -> Option<Instant> {
        self.next_due
    }

    /// Starts the checks that are due.
    pub fn start_due(&mut self, now: Instant) {
        for (service, Watched { health, approaches }) in &mut self.services {
            let due = health.due(now);
            let (kind, timeout) = health.check();
            for node in due {
                let approach = approaches[&node].clone();
                let check =
                    Check { service: Arc::clone(service), node, kind: kind.clone(), approach, timeout };
                tokio::spawn(run(check, Arc::clone(&self.permits), self.results.clone()));
            }
        }
        self.reschedule();
        self.next_due = self.next_due.map(|due| due.max(now + GRANULARITY));
    }

    /// Takes the result of a check. `Some` if the shards are to be told.
    pub fn on_result(&mut self, result: &CheckResult, now: Instant) -> Option<NodesChanged> {
        let CheckResult { service, node, result } = result;
        let outcome = result.as_ref().map(|&()| ()).map_err(String::as_str);
        self.change(service, *node, |health| health.on_check(*node, outcome, now))
    }

    /// Traffic could not reach a node. `Some` if the shards are to be told.
    pub fn on_passive_failure(
        &mut self,
        service: &str,
        node: SocketAddr,
        now: Instant,
    ) -> Option<NodesChanged> {
        self.change(service, node, |health| health.on_passive_failure(node, PASSIVE_CAUSE, now))
    }

    /// Whether a node takes traffic. One that nothing is known of does.
    pub fn is_live(&self, service: &str, node: SocketAddr) -> bool {
        self.node(service, node).is_none_or(|node| node.live)
    }

    /// A node's state.
    pub fn node(&self, service: &str, node: SocketAddr) -> Option<&NodeHealth> {
        self.services.get(service)?.health.nodes().iter().find(|known| known.address == node)
    }

    fn change(
        &mut self,
        service: &str,
        node: SocketAddr,
        change: impl FnOnce(&mut ServiceHealth) -> bool,
    ) -> Option<NodesChanged> {
        let name = Arc::clone(self.services.get_key_value(service)?.0);
        let health = &mut self.services.get_mut(service)?.health;
        let changed = change(health);
        self.next_due = earlier(self.next_due, health.next_due());
        if !changed {
            return None;
        }
        let live = health.live();
        if let Some(node) = health.nodes().iter().find(|known| known.address == node) {
            log_change(service, node, &live);
        }
        Some(NodesChanged { service: name, live })
    }

    fn reschedule(&mut self) {
        self.next_due = self.services.values().filter_map(|it| it.health.next_due()).min();
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

fn log_change(service: &str, node: &NodeHealth, live: &[(SocketAddr, bool)]) {
    let left = live.iter().filter(|(_, live)| *live).count();
    let of = live.len();
    if node.live {
        info!(service, node = %node.address, live = left, of, "node up");
    } else {
        let why = node.last_error.as_ref().map_or("", |(_, why)| why);
        warn!(service, node = %node.address, why, live = left, of, "node down");
    }
}

struct Check {
    service: Arc<str>,
    node: SocketAddr,
    kind: HealthCheckKind,
    approach: Approach,
    timeout: Duration,
}

async fn run(check: Check, permits: Arc<Semaphore>, results: mpsc::Sender<Event>) {
    // Closed only when the process ends.
    let Ok(_permit) = permits.acquire().await else { return };
    let result = probe::probe(&check.kind, check.node, &check.approach, check.timeout).await;
    let _ =
        results.send(Event::Checked(CheckResult { service: check.service, node: check.node, result })).await;
}

#[cfg(test)]
mod tests;
