//! What engines report, as lists and details of the configuration show it.

use std::sync::Arc;

use coregate::control::remote::report::NodeState;

use super::services::NodeHealth;
use crate::app::App;
use crate::live::NodesOnInstance;
use crate::live::figures::{Figure, Sums};

/// A look at the figures; a second old at most.
pub struct LiveView {
    sums: Arc<Sums>,
}

impl App {
    /// What engines report.
    pub fn figures(&self) -> LiveView {
        LiveView { sums: self.live.sums() }
    }

    /// How engines see a service's nodes. An engine that does not have the service's version yet cannot know.
    pub fn node_health(&self, service: &str, version: u64) -> NodeHealths {
        NodeHealths { instances: self.live.nodes_of(service), version }
    }
}

impl LiveView {
    /// Requests a second of a service; `None` if no engine reports.
    pub fn service_rate(&self, name: &str) -> Option<f64> {
        self.figure(self.sums.services.get(name)).map(|figure| figure.requests_per_second)
    }

    /// Nodes of a service that are not up on at least one engine; `None` if none reports.
    pub fn nodes_down(&self, name: &str) -> Option<u64> {
        let count = self.sums.not_up.get(name).map_or(0, |nodes| nodes.len() as u64);
        self.sums.reporting.then_some(count)
    }

    /// Requests a second of a tenant; `None` if no engine reports.
    pub fn tenant_rate(&self, name: &str) -> Option<f64> {
        self.figure(self.sums.tenants.get(name)).map(|figure| figure.requests_per_second)
    }

    /// A tenant's requests of today; `None` if no engine reports.
    pub fn tenant_today(&self, name: &str) -> Option<u64> {
        self.figure(self.sums.tenants.get(name)).map(|figure| figure.today)
    }

    /// Those without traffic have no figure: nothing came.
    fn figure(&self, found: Option<&Figure>) -> Option<Figure> {
        const NOTHING: Figure = Figure { requests_per_second: 0.0, today: 0 };
        self.sums.reporting.then(|| found.copied().unwrap_or(NOTHING))
    }
}

/// How engines see a service's nodes.
pub struct NodeHealths {
    instances: Vec<NodesOnInstance>,
    version: u64,
}

impl NodeHealths {
    /// One node, on each engine.
    pub fn of(&self, address: &str) -> Vec<NodeHealth> {
        let seen = |on: &NodesOnInstance| {
            let instance = on.instance.clone();
            let not_up = on.not_up.iter().find(|it| it.address == address);
            match not_up {
                Some(node) => {
                    let state = match node.state {
                        NodeState::Down => "down",
                        NodeState::Unknown => "unknown",
                    };
                    NodeHealth { instance, state, why: Some(node.why.clone()) }
                }
                None if on.revision < self.version => NodeHealth { instance, state: "unknown", why: None },
                None => NodeHealth { instance, state: "up", why: None },
            }
        };
        self.instances.iter().map(seen).collect()
    }
}
