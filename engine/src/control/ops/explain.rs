//! `/api/v1/explain`: what would become of a request, and why, without sending it.
//!
//! Input: [`Params`] of the query. Output: [`Explained`]: the route with every host level and prefix that was tried,
//! the checks in the order in which the request path makes them, the nodes and which of them would be chosen. Limits
//! are told, not spent. The same code as on the request path answers ([`RouteTable::explain`], [`Balancer`]).
//!
//! [`RouteTable::explain`]: crate::route::RouteTable::explain

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use coregate_config::checked::{Policy, Route, Service};
use serde::{Deserialize, Serialize};

mod checks;

use super::nodes::policy_name;
use crate::balance::{Balancer, NodeWeight};
use crate::control::engine::Engine;
use crate::control::snapshot::ServicePlan;
use crate::http::target::{self, Target};
use crate::route::{Explanation, Outcome};
use checks::Check;

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

/// A request that could be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    method: String,
    /// Empty = none, as of an HTTP/1.0 request.
    host: String,
    /// As it was asked for.
    path: String,
    /// What routes are matched on.
    normalised_path: String,
    client: IpAddr,
    /// `app_id` of the tenant whose valid credentials it presents; `None` = none.
    tenant: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Explained {
    revision: u64,
    request: Request,
    /// What the client would get, apart from what the node answers.
    verdict: Verdict,
    routing: Explanation,
    route: Option<RouteView>,
    checks: Vec<Check>,
    balancing: Option<Balancing>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Verdict {
    /// `forwarded` or the code of the error answer.
    outcome: &'static str,
    /// Status of the error answer; `None` if the request is forwarded.
    status: Option<u16>,
    why: String,
}

#[derive(Debug, Serialize)]
struct RouteView {
    service: String,
    /// Index into the service's routes.
    route: u32,
    hosts: Vec<String>,
    path_prefix: String,
    methods: Vec<String>,
    strip_prefix: bool,
    rewrites: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Balancing {
    policy: &'static str,
    /// The node, where the policy alone decides.
    chosen: Option<SocketAddr>,
    why: String,
    nodes: Vec<Candidate>,
}

#[derive(Debug, Serialize)]
struct Candidate {
    address: SocketAddr,
    weight: u32,
    live: bool,
    /// Share of the service's traffic, 0 to 1.
    share: f64,
}

impl Request {
    /// Reads the query. The error says which parameter is wrong and what would be right.
    pub fn parse(params: &Params) -> Result<Self, String> {
        let method = params.method.clone().unwrap_or_else(|| "GET".to_owned());
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if method.is_empty() || !method.bytes().all(is_token) {
            return Err(format!("method = {method:?}: not a method; right would be GET"));
        }
        let client = match params.client.as_deref() {
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(text) => text
                .parse::<IpAddr>()
                .map_err(|_| format!("client = {text:?}: not an IP address; right would be 192.0.2.1"))?
                .to_canonical(),
        };
        let given = params.url.as_deref().ok_or("url is missing")?;
        let url = given.split('#').next().unwrap_or_default();
        let wrong = |error: target::TargetError| {
            format!(
                "url = {given:?}: {error}; right would be http://example.com/path or /path, percent-encoded"
            )
        };
        let parsed = Target::parse(url, method == "OPTIONS").map_err(wrong)?;
        let host = match parsed {
            Target::Absolute { authority, .. } => authority,
            Target::Origin { .. } | Target::Asterisk => "",
        };
        let mut scratch = String::new();
        let normalised = target::normalise(parsed.path(), &mut scratch).map_err(wrong)?.path.to_owned();
        Ok(Self {
            method,
            host: host.to_owned(),
            path: parsed.path().to_owned(),
            normalised_path: normalised,
            client,
            tenant: params.tenant.clone(),
        })
    }
}

/// Goes the way of a request: route, admission, balancing.
pub fn explain(engine: &Engine, request: &Request, now: Instant) -> Explained {
    let snapshot = &engine.snapshot;
    let routing = snapshot.routes.explain(&request.host, &request.normalised_path, &request.method);
    let mut explained = Explained {
        revision: snapshot.revision,
        request: request.clone(),
        verdict: Verdict::refused(404, "no_route", "no route matches host and path"),
        routing,
        route: None,
        checks: Vec::new(),
        balancing: None,
    };
    let found = match &explained.routing.outcome {
        Outcome::NoRoute => return explained,
        Outcome::MethodNotAllowed { allow } => {
            let why = format!("the longest matching prefix allows {allow} only");
            explained.verdict = Verdict::refused(405, "method_not_allowed", &why);
            return explained;
        }
        Outcome::Found(found) => *found,
    };
    let plan = snapshot.services.get(found.service as usize);
    let route = plan.and_then(|plan| plan.config.routes.get(found.route as usize));
    let (Some(plan), Some(route)) = (plan, route) else { return explained };
    explained.route = Some(RouteView::new(&plan.config, found.route, route));
    explained.checks = checks::all(snapshot, plan, request, now);
    let refusal = explained.checks.iter().find_map(Check::refusal);
    let balancing = balance(engine, plan, request.client);
    explained.verdict = match refusal {
        Some(refusal) => refusal,
        None if balancing.nodes.iter().any(|node| node.live) => Verdict::forwarded(&plan.config.name),
        None => Verdict::refused(503, "no_healthy_node", &balancing.why),
    };
    explained.balancing = Some(balancing);
    explained
}

impl Verdict {
    fn refused(status: u16, outcome: &'static str, why: &str) -> Self {
        Self { outcome, status: Some(status), why: why.to_owned() }
    }

    fn forwarded(service: &str) -> Self {
        let why = format!("goes to a node of service \"{service}\"");
        Self { outcome: "forwarded", status: None, why }
    }
}

impl RouteView {
    fn new(service: &Service, index: u32, route: &Route) -> Self {
        use coregate_config::checked::HostPattern;
        let host = |host: &HostPattern| match host {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Wildcard(suffix) => format!("*.{suffix}"),
        };
        Self {
            service: service.name.to_string(),
            route: index,
            hosts: route.hosts.iter().map(host).collect(),
            path_prefix: route.path_prefix.clone(),
            methods: route.methods.iter().cloned().collect(),
            strip_prefix: route.strip_prefix,
            rewrites: route
                .rewrites
                .iter()
                .map(|rewrite| format!("{} -> {}", rewrite.pattern, rewrite.replacement))
                .collect(),
        }
    }
}

fn balance(engine: &Engine, plan: &ServicePlan, client: IpAddr) -> Balancing {
    let policy = plan.config.policy;
    let live: Vec<bool> =
        plan.nodes.iter().map(|node| engine.checker.is_live(&plan.config.name, node.address)).collect();
    let left = live.iter().filter(|&&live| live).count();
    let chosen = match policy {
        Policy::IpHash => pick(plan, &live, client),
        // With one node left it does not matter whose turn it is.
        _ if left == 1 => plan.nodes.iter().zip(&live).find(|(_, live)| **live).map(|(node, _)| node.address),
        Policy::Random | Policy::RoundRobin | Policy::WeightedRoundRobin => None,
    };
    let weight = |weight: u32| if policy == Policy::RoundRobin { 1.0 } else { f64::from(weight) };
    let total: f64 =
        plan.nodes.iter().zip(&live).filter(|(_, live)| **live).map(|(node, _)| weight(node.weight)).sum();
    let candidate = |(node, &live): (&crate::control::snapshot::NodePlan, &bool)| Candidate {
        address: node.address,
        weight: node.weight,
        live,
        share: if live { weight(node.weight) / total } else { 0.0 },
    };
    Balancing {
        policy: policy_name(policy),
        chosen,
        why: why(policy, left, live.len()),
        nodes: plan.nodes.iter().zip(&live).map(candidate).collect(),
    }
}

fn pick(plan: &ServicePlan, live: &[bool], client: IpAddr) -> Option<SocketAddr> {
    let weights: Vec<NodeWeight> =
        plan.nodes.iter().map(|node| NodeWeight { weight: node.weight, address: node.address }).collect();
    let mut balancer = Balancer::new(plan.config.policy, &weights, 0);
    balancer.set_live(live);
    let index = balancer.pick(client, &[])?;
    plan.nodes.get(index).map(|node| node.address)
}

fn why(policy: Policy, live: usize, of: usize) -> String {
    let how = match (live, policy) {
        (0, _) if of == 0 => return "the service has no node that is enabled and resolved".to_owned(),
        (0, _) => return format!("none of {of} nodes is live"),
        (1, _) => "the only live node",
        (_, Policy::Random) => "at random, by weight",
        (_, Policy::RoundRobin) => "in turn; each shard has a turn of its own",
        (_, Policy::WeightedRoundRobin) => "in turn, by weight; each shard has a turn of its own",
        (_, Policy::IpHash) => "the hash of the client's address; it stays while the node is live",
    };
    format!("{how} ({live} of {of} nodes live)")
}

#[cfg(test)]
mod tests;
