//! `/api/v1/nodes`: services, their nodes and how they are; and the listeners.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use coregate_config::checked::{HealthCheckKind, Node, NodeAddress, Service};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::clock;
use crate::control::engine::Engine;
use crate::control::snapshot::{NodePlan, ServicePlan};
use crate::explain::policy_name;

/// The answer.
#[derive(Debug, Serialize)]
pub struct Nodes {
    revision: u64,
    listeners: Vec<Listener>,
    services: Vec<ServiceView>,
}

#[derive(Debug, Serialize)]
struct Listener {
    name: String,
    address: SocketAddr,
}

#[derive(Debug, Serialize)]
struct ServiceView {
    name: String,
    enabled: bool,
    policy: &'static str,
    /// `tcp`, `http`, or `traffic` for none of its own.
    health_check: &'static str,
    live: usize,
    requests_per_second: f64,
    nodes: Vec<NodeView>,
    /// Nodes in the configuration that take no part, and why.
    absent: Vec<Absent>,
}

#[derive(Debug, Serialize)]
struct NodeView {
    address: SocketAddr,
    weight: u32,
    live: bool,
    /// Since when it is, or is not.
    since: Option<String>,
    last_check: Option<String>,
    last_error: Option<LastError>,
    /// Open connections, over all shards.
    connections: usize,
    /// Exchanges that wait for one, because the node has its most.
    waiting: usize,
}

#[derive(Debug, Serialize)]
struct LastError {
    at: String,
    message: String,
}

#[derive(Debug, Serialize)]
struct Absent {
    node: String,
    why: &'static str,
}

/// All services in the order of the configuration.
pub fn list(engine: &Engine) -> Nodes {
    let times = Times { now: clock::read(), timestamp: Timestamp::now() };
    let snapshot = &engine.snapshot;
    let listener =
        |held: &crate::control::reload::Held| Listener { name: held.name.to_string(), address: held.bound };
    Nodes {
        revision: snapshot.revision,
        listeners: engine.listeners.iter().map(listener).collect(),
        services: snapshot.services.iter().map(|plan| service(engine, plan, &times)).collect(),
    }
}

fn service(engine: &Engine, plan: &ServicePlan, times: &Times) -> ServiceView {
    let config = &plan.config;
    let nodes: Vec<NodeView> = plan.nodes.iter().map(|it| node(engine, &config.name, it, times)).collect();
    ServiceView {
        name: config.name.to_string(),
        enabled: config.enabled,
        policy: policy_name(config.policy),
        health_check: match config.health_check.as_ref().map(|check| &check.kind) {
            None => "traffic",
            Some(HealthCheckKind::Tcp) => "tcp",
            Some(HealthCheckKind::Grpc { .. }) => "grpc",
            Some(HealthCheckKind::Http { .. }) => "http",
        },
        live: nodes.iter().filter(|node| node.live).count(),
        requests_per_second: engine.flow.services.get(&config.name).map_or(0.0, |it| it.requests_per_second),
        absent: config.nodes.iter().filter_map(|it| absent(engine, config, it)).collect(),
        nodes,
    }
}

fn node(engine: &Engine, service: &str, plan: &NodePlan, times: &Times) -> NodeView {
    let health = engine.checker.node(service, plan.address);
    NodeView {
        address: plan.address,
        weight: plan.weight,
        live: health.is_none_or(|health| health.live),
        since: health.map(|health| times.of(health.since)),
        last_check: health.and_then(|health| health.last_check).map(|at| times.of(at)),
        last_error: health
            .and_then(|health| health.last_error.as_ref())
            .map(|(at, message)| LastError { at: times.of(*at), message: message.to_string() }),
        connections: plan.shared.connections.load(Ordering::Relaxed),
        waiting: plan.shared.waiting.load(Ordering::Relaxed),
    }
}

fn absent(engine: &Engine, service: &Service, node: &Node) -> Option<Absent> {
    let why = if !service.enabled {
        "the service is disabled"
    } else if !node.enabled {
        "disabled"
    } else if engine.addresses_of(&node.address).is_empty() {
        "the name is not resolved"
    } else {
        return None;
    };
    let node = match &node.address {
        NodeAddress::Ip(address) => address.to_string(),
        NodeAddress::Name(host, port) => format!("{host}:{port}"),
    };
    Some(Absent { node, why })
}

/// Tells times of the monotonic clock as times of day.
struct Times {
    now: Instant,
    timestamp: Timestamp,
}

impl Times {
    fn of(&self, at: Instant) -> String {
        let ago = SignedDuration::try_from(self.now.saturating_duration_since(at)).unwrap_or_default();
        let at = self.timestamp.checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH);
        format!("{at:.3}")
    }
}
