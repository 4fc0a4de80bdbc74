//! `/api/v1/explain`: what would become of a request, and why ([`crate::explain`]), asked of the configuration in force and
//! of the nodes as they are.
//!
//! Input: [`Params`] of the query. Output: [`Explained`].

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use serde::Deserialize;

use crate::control::engine::Engine;
use crate::control::snapshot::ServicePlan;
use crate::explain::{self, Explained, NoRequest, NodeView, Request};

/// What to ask, for whoever asked wrongly.
pub const USAGE: &str = "/api/v1/explain?url=http%3A%2F%2Fexample.com%2Fpath&method=GET&client=192.0.2.1\
                         &tenant=app_id (method, client and tenant may be left out)";

/// The query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    url: Option<String>,
    method: Option<String>,
    client: Option<String>,
    tenant: Option<String>,
}

/// Reads the query. The error says which parameter is wrong and what would be right.
pub fn parse(params: &Params) -> Result<Request, String> {
    let method = params.method.as_deref().unwrap_or("GET");
    let client = match params.client.as_deref() {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => text
            .parse::<IpAddr>()
            .map_err(|_| format!("client = {text:?}: not an IP address; right would be 192.0.2.1"))?,
    };
    let url = params.url.as_deref().ok_or("url is missing")?;
    Request::new(method, url, client, params.tenant.clone()).map_err(|wrong| match wrong {
        NoRequest::Method => format!("method = {method:?}: not a method; right would be GET"),
        NoRequest::Url(error) => format!(
            "url = {url:?}: {error}; right would be http://example.com/path or /path, percent-encoded"
        ),
    })
}

/// What would become of it now.
pub fn explain(engine: &Engine, request: &Request, now: Instant) -> Explained {
    let nodes = |plan: &ServicePlan| {
        let view = |node: &crate::control::snapshot::NodePlan| NodeView {
            address: node.address.to_string(),
            resolved: Some(node.address),
            weight: node.weight,
            live: engine.checker.is_live(&plan.config.name, node.address),
        };
        plan.nodes.iter().map(view).collect()
    };
    explain::explain(&engine.snapshot, request, now, nodes)
}

#[cfg(test)]
mod tests;
