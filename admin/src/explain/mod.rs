//! What would become of a request under a configuration, and how two configurations differ in that.
//!
//! Input: documents as the store has them (or with a draft's changes, or of an older revision), requests that somebody typed
//! or an access log. Output: [`Answer`], [`compare::Comparison`]. The engine's own code answers ([`coregate::explain`]), so
//! it says what an engine does. Sans-io; [`handlers`] is the API.
//!
//! What only an engine knows is not looked at: `server.trusted_proxies`, what is left of limits, addresses of node names.

pub mod answer;
pub mod compare;
pub mod handlers;
pub mod log;
pub mod request;

use std::time::Instant;

use coregate::control::resolve::Addresses;
use coregate::control::snapshot::{Process, Routed, ServicePlan, Snapshot};
use coregate::explain::{Explained, NodeView, Request};
use coregate_config::checked::NodeAddress;
use coregate_config::{Report, limits};
use serde_json::{Value, json};

pub use answer::{Answer, Outcome};
pub use request::Asked;

/// A configuration that can be asked.
pub struct Ground {
    snapshot: Snapshot,
    now: Instant,
}

impl Ground {
    /// Compiles a document of `listeners`, `services` and `tenants`; certificates do not matter here, so their keys may be
    /// sealed.
    ///
    /// # Errors
    /// It does not check.
    pub fn compile(revision: u64, document: &Value) -> Result<Self, Report> {
        let text = routing_part(document).to_string();
        let mut gateway = coregate_config::parse_dynamic_json(&text, "configuration")?;
        // Nothing is counted here, so the table of clients need not hold any.
        gateway.server.client_limit_entries =
            usize::try_from(limits::CLIENT_LIMIT_ENTRIES_MIN).unwrap_or_default();
        let now = coregate::clock::read();
        let process = Process { shards: 1, now, tls: coregate::tls::Tls::default() };
        let addresses = Addresses::default();
        let snapshot =
            Snapshot::compile(revision, Routed::new(gateway), &addresses, |_, _| true, process, None);
        Ok(Self { snapshot, now })
    }

    /// Its number.
    pub fn revision(&self) -> u64 {
        self.snapshot.revision
    }

    /// What would become of a request. `is_up` tells of a service's node whether it takes traffic.
    pub fn ask(&self, request: &Request, is_up: impl Fn(&str, &str) -> bool) -> Explained {
        let nodes = |plan: &ServicePlan| {
            let enabled = plan.config.nodes.iter().filter(|node| node.enabled);
            let view = |node: &coregate_config::checked::Node| {
                let (address, resolved) = match &node.address {
                    NodeAddress::Ip(address) => (address.to_string(), Some(*address)),
                    NodeAddress::Name(host, port) => (format!("{host}:{port}"), None),
                };
                NodeView { live: is_up(&plan.config.name, &address), address, resolved, weight: node.weight }
            };
            enabled.map(view).collect()
        };
        coregate::explain::explain(&self.snapshot, request, self.now, nodes)
    }

    /// The compiled configuration.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// Without what routing does not depend on: certificates, and listeners but those by which services are TCP services.
fn routing_part(document: &Value) -> Value {
    let listeners: Vec<Value> = document["listeners"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|listener| listener["protocol"] == "tcp")
        .cloned()
        .map(|mut listener| {
            if let Some(listener) = listener.as_object_mut() {
                listener.remove("certificates");
                listener.remove("tls");
            }
            listener
        })
        .collect();
    let part =
        |list: &str| document.get(list).filter(|it| it.is_array()).cloned().unwrap_or_else(|| json!([]));
    json!({ "listeners": listeners, "services": part("services"), "tenants": part("tenants") })
}

#[cfg(test)]
mod tests;
