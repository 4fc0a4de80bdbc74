//! A report out of the control thread's state: what has changed since the admin last took one.
//!
//! Sent hours are those since the hour that was last sent, so a change of an older one (a late delta) comes with the next
//! change of its subject. What was collected counts as sent only once the admin has taken it ([`Collector::on_taken`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use coregate_config::checked::{Node, NodeAddress, Service};
use jiff::Timestamp;

use super::{Flow, Latency, NAMES_MAX, NODES_MAX, NodeState, Nodes, NotUp, Report, Series, Want};
use crate::account::{CLASSES, Cause, Counters, LimitKind, Timing};
use crate::control::engine::Engine;
use crate::control::flow;
use crate::metrics::VERSION;

/// Who reports.
#[derive(Debug, Clone)]
pub struct Identity {
    /// This engine's name among the admin's.
    pub instance: String,
    /// This start of the process.
    pub boot: String,
    /// The machine's name.
    pub hostname: String,
    /// When the process began.
    pub started_at: Timestamp,
}

/// What the admin knows.
pub struct Collector {
    identity: Identity,
    services: Known,
    tenants: Known,
    /// The next report begins anew.
    full: bool,
    site: Sent,
    /// Becomes true of `site` once the report is taken.
    site_next: Sent,
}

/// What was sent of the subjects of one kind.
#[derive(Default)]
struct Known {
    sent: BTreeMap<Arc<str>, Sent>,
    /// In the report that is under way.
    under_way: Vec<(Arc<str>, Sent)>,
    /// The last name of that report if there was no room for more.
    stopped_at: Option<Arc<str>>,
}

/// What was sent of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Sent {
    requests: u64,
    requests_per_second: f64,
    /// When the youngest hour began.
    hour: Option<Timestamp>,
}

impl Sent {
    fn of(series: &flow::Series) -> Self {
        Self {
            requests: series.total.requests,
            requests_per_second: series.requests_per_second,
            hour: series.hours.last_key_value().map(|(hour, _)| hour.began),
        }
    }
}

impl Collector {
    /// The admin knows nothing yet.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            services: Known::default(),
            tenants: Known::default(),
            full: true,
            site: Sent::default(),
            site_next: Sent::default(),
        }
    }

    /// The next report.
    pub fn collect(&mut self, engine: &Engine) -> Report {
        let applied = engine.shards.applied();
        let remote = engine.remote.as_ref();
        let in_force = remote.and_then(|remote| remote.in_force(applied));
        let not_ready = engine.not_ready();
        let Identity { instance, boot, hostname, started_at } = self.identity.clone();
        Report {
            instance,
            boot,
            hostname,
            version: VERSION.to_owned(),
            schema: coregate_config::SCHEMA,
            started_at,
            shards: engine.shards.count(),
            revision_applied: in_force.map_or(0, |taken| taken.revision),
            etag: in_force.and_then(|taken| taken.etag.as_deref().map(str::to_owned)),
            refused: remote.and_then(|remote| remote.refused.clone()),
            ready: not_ready.is_none(),
            not_ready,
            connections: engine.flow.shards.iter().map(|shard| shard.connections).sum(),
            flow: self.flow(engine),
            nodes: nodes(engine),
            full: self.full,
        }
    }

    /// The admin has taken what was collected last, and wants this of the next.
    pub fn on_taken(&mut self, want: Want) {
        self.full = want == Want::Full;
        if self.full {
            (self.services, self.tenants, self.site) = (Known::default(), Known::default(), Sent::default());
            return;
        }
        self.site = self.site_next;
        self.services.on_taken();
        self.tenants.on_taken();
    }

    /// Whether there was no room for all names.
    pub fn has_rest(&self) -> bool {
        self.services.stopped_at.is_some() || self.tenants.stopped_at.is_some()
    }

    fn flow(&mut self, engine: &Engine) -> Flow {
        let flow = &engine.flow;
        let total = &flow.site.total;
        self.site_next = Sent::of(&flow.site);
        let services = self.services.changed(&flow.services, NAMES_MAX);
        let tenants = self.tenants.changed(&flow.tenants, NAMES_MAX - services.len());
        Flow {
            timezone: engine.snapshot.gateway.stats.timezone.clone(),
            site: series(&flow.site, self.site),
            answers: CLASSES.iter().map(ToString::to_string).zip(total.answers).collect(),
            causes: causes(total),
            limited: LimitKind::ALL.iter().map(|kind| kind.as_str().to_owned()).zip(total.limited).collect(),
            latency: total.latency.as_deref().map(|latency| Latency {
                total: histogram(&latency.total),
                upstream: histogram(&latency.upstream),
                own: histogram(&latency.own),
            }),
            services,
            tenants,
        }
    }
}

impl Known {
    /// Subjects of which something is not known yet, at most so many; those that there was no room for come first next
    /// time.
    fn changed(&mut self, all: &BTreeMap<Arc<str>, flow::Series>, max: usize) -> BTreeMap<String, Series> {
        self.under_way.clear();
        let mut changed = BTreeMap::new();
        let begin = self.stopped_at.take();
        let after = begin.iter().flat_map(|begin| {
            all.range::<str, _>((std::ops::Bound::Excluded(&**begin), std::ops::Bound::Unbounded))
        });
        let first = all.iter().take_while(|(name, _)| begin.as_ref().is_none_or(|begin| *name <= begin));
        for (name, now) in after.chain(first) {
            let before = self.sent.get(name).copied().unwrap_or_default();
            let sent = Sent::of(now);
            if sent == before {
                continue;
            }
            if changed.len() == max {
                self.stopped_at = self.under_way.last().map(|(name, _)| Arc::clone(name)).or(begin);
                break;
            }
            changed.insert(name.to_string(), series(now, before));
            self.under_way.push((Arc::clone(name), sent));
        }
        if self.sent.len() > all.len() {
            self.sent.retain(|name, _| all.contains_key(name));
        }
        changed
    }

    fn on_taken(&mut self) {
        self.sent.extend(self.under_way.drain(..));
    }
}

fn series(series: &flow::Series, sent: Sent) -> Series {
    let is_new = |hour: &flow::calendar::Hour| sent.hour.is_none_or(|sent| hour.began >= sent);
    let hours = series.hours.iter().filter(|(hour, _)| is_new(hour));
    Series {
        requests_per_second: series.requests_per_second,
        requests: series.total.requests,
        hours: hours.map(|(hour, count)| (hour.began.as_second(), *count)).collect(),
    }
}

fn causes(total: &Counters) -> BTreeMap<String, u64> {
    let counts = total.endings.iter().map(|phases| phases.iter().sum::<u64>());
    let all = Cause::ALL.into_iter().zip(counts);
    all.filter(|(_, count)| *count > 0).map(|(cause, count)| (cause.as_str().to_owned(), count)).collect()
}

fn histogram(timing: &Timing) -> Vec<(u64, u64)> {
    timing.histogram.iter_recorded().map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
}

fn nodes(engine: &Engine) -> Nodes {
    let mut nodes = Nodes::default();
    for plan in engine.snapshot.services.iter().filter(|plan| plan.config.enabled) {
        let service = &plan.config.name;
        let mut add = |address: String, state: NodeState, why: &str| {
            if nodes.not_up.len() < NODES_MAX {
                let why = why.to_owned();
                nodes.not_up.push(NotUp { service: service.to_string(), address, state, why });
            }
        };
        for node in &plan.nodes {
            let health = engine.checker.node(service, node.address);
            if health.is_none_or(|health| health.live) {
                nodes.up += 1;
                continue;
            }
            nodes.down += 1;
            let error = health.and_then(|health| health.last_error.as_ref());
            let why = error.map_or("", |(_, why)| why);
            match named(engine, &plan.config, node.address) {
                Some(name) => add(name, NodeState::Down, &format!("{}: {why}", node.address)),
                None => add(node.address.to_string(), NodeState::Down, why),
            }
        }
        for node in plan.config.nodes.iter().filter(|node| node.enabled) {
            if let NodeAddress::Name(host, port) = &node.address
                && engine.addresses_of(&node.address).is_empty()
            {
                nodes.unknown += 1;
                add(format!("{host}:{port}"), NodeState::Unknown, "the name is not resolved");
            }
        }
    }
    nodes
}

/// The name under which the configuration has a node, unless that is its address.
fn named(engine: &Engine, service: &Service, address: SocketAddr) -> Option<String> {
    let has = |node: &&Node| engine.addresses_of(&node.address).contains(&address);
    match &service.nodes.iter().find(has)?.address {
        NodeAddress::Ip(_) => None,
        NodeAddress::Name(host, port) => Some(format!("{host}:{port}")),
    }
}
