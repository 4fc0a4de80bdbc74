//! What would become of a request, and why, without sending it: for the ops address and for the admin process.
//!
//! Input: a [`Snapshot`], a [`Request`], and what is known of the nodes. Output: [`Explained`]: the route with every host
//! level and prefix that was tried, the checks in the order in which the request path makes them, what the path becomes,
//! the nodes and which of them would be chosen. Limits are told, not spent. The same code as on the request path answers
//! ([`RouteTable::explain`], [`path_upstream`], [`Balancer`](crate::balance::Balancer)).
//!
//! [`RouteTable::explain`]: crate::route::RouteTable::explain
//! [`path_upstream`]: crate::http::target::path_upstream

mod balancing;
mod checks;

use std::net::IpAddr;
use std::time::Instant;

use coregate_config::checked::{HostPattern, Route, Service};
use serde::Serialize;

pub use balancing::{Balancing, Candidate, NodeView, balance, policy_name};
pub use checks::Check;

use crate::control::snapshot::{ServicePlan, Snapshot};
use crate::http::target::{self, Target, TargetError};
use crate::route::{Explanation, Outcome, RouteRef};
use crate::tenant::endpoint;

/// A request that could be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Request {
    /// A token.
    pub method: String,
    /// Empty = none, as of an HTTP/1.0 request.
    pub host: String,
    /// As it was asked for.
    pub path: String,
    /// What routes are matched on.
    pub normalised_path: String,
    /// Where it comes from.
    pub client: IpAddr,
    /// `app_id` of the tenant whose valid credentials it presents; `None` = none.
    pub tenant: Option<String>,
}

/// Why there can be no such request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRequest {
    /// That is no method.
    Method,
    /// The gateway would answer 400.
    Url(TargetError),
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// Of the configuration that answers.
    pub revision: u64,
    /// What was asked about.
    pub request: Request,
    /// What the client would get, apart from what the node answers.
    pub verdict: Verdict,
    /// How the route was looked for.
    pub routing: Explanation,
    /// The route; `None` = there is none.
    pub route: Option<RouteView>,
    /// In their order.
    pub checks: Vec<Check>,
    /// The path that the node is asked for, without the query.
    pub path_upstream: Option<String>,
    /// Which nodes there are.
    pub balancing: Option<Balancing>,
}

/// What the client would get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// `forwarded`, `answered` (by the gateway itself) or the code of the error answer.
    pub outcome: &'static str,
    /// Status of the error answer; `None` if it is none.
    pub status: Option<u16>,
    /// In words.
    pub why: String,
}

/// The route that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteView {
    /// Whose it is.
    pub service: String,
    /// Index into the service's routes.
    pub route: u32,
    /// Empty = any.
    pub hosts: Vec<String>,
    /// Of the path.
    pub path_prefix: String,
    /// Empty = any.
    pub methods: Vec<String>,
    /// Whether the prefix comes off.
    pub strip_prefix: bool,
    /// `pattern -> replacement`
    pub rewrites: Vec<String>,
}

impl Request {
    /// Makes one of a URL, or of a path with whatever query.
    ///
    /// # Errors
    /// There can be no such request.
    pub fn new(method: &str, url: &str, client: IpAddr, tenant: Option<String>) -> Result<Self, NoRequest> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if method.is_empty() || !method.bytes().all(is_token) {
            return Err(NoRequest::Method);
        }
        let url = url.split('#').next().unwrap_or_default();
        let parsed = Target::parse(url, method == "OPTIONS").map_err(NoRequest::Url)?;
        let host = match parsed {
            Target::Absolute { authority, .. } => authority,
            Target::Origin { .. } | Target::Asterisk => "",
        };
        let mut scratch = String::new();
        let normalised =
            target::normalise(parsed.path(), &mut scratch).map_err(NoRequest::Url)?.path.to_owned();
        Ok(Self {
            method: method.to_owned(),
            host: host.to_owned(),
            path: parsed.path().to_owned(),
            normalised_path: normalised,
            client: client.to_canonical(),
            tenant,
        })
    }
}

/// Goes the way of a request: route, admission, path, balancing. `nodes` tells what is known of a service's nodes.
pub fn explain(
    snapshot: &Snapshot,
    request: &Request,
    now: Instant,
    nodes: impl FnOnce(&ServicePlan) -> Vec<NodeView>,
) -> Explained {
    let routing = snapshot.routes.explain(&request.host, &request.normalised_path, &request.method);
    let mut explained = Explained {
        revision: snapshot.revision,
        request: request.clone(),
        verdict: Verdict::refused(404, "no_route", "no route matches host and path"),
        routing,
        route: None,
        checks: Vec::new(),
        path_upstream: None,
        balancing: None,
    };
    if let Some(verdict) = Verdict::of_the_gateway(snapshot, request) {
        explained.verdict = verdict;
        return explained;
    }
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
    let path = path(request, found, route);
    let balancing = balance(plan.config.policy, nodes(plan), request.client);
    explained.verdict = match (refusal, &path) {
        (Some(refusal), _) => refusal,
        (None, Err(error)) => Verdict::refused(400, "bad_request", error.0),
        (None, Ok(_)) if balancing.nodes.iter().any(|node| node.live) => {
            Verdict::forwarded(&plan.config.name)
        }
        (None, Ok(_)) => Verdict::refused(503, "no_healthy_node", &balancing.why),
    };
    explained.path_upstream = path.ok();
    explained.balancing = Some(balancing);
    explained
}

fn path(request: &Request, found: RouteRef, route: &Route) -> Result<String, TargetError> {
    let mut scratch = String::new();
    let normalised = target::normalise(&request.path, &mut scratch)?;
    let path = target::path_upstream(&request.path, &normalised, found.prefix_segments, route)?;
    Ok(path.into_owned())
}

impl Verdict {
    fn refused(status: u16, outcome: &'static str, why: &str) -> Self {
        Self { outcome, status: Some(status), why: why.to_owned() }
    }

    fn forwarded(service: &str) -> Self {
        let why = format!("goes to a node of service \"{service}\"");
        Self { outcome: "forwarded", status: None, why }
    }

    /// What the gateway answers itself, before it looks for a route.
    fn of_the_gateway(snapshot: &Snapshot, request: &Request) -> Option<Self> {
        let answered = |why: &str| Some(Self { outcome: "answered", status: None, why: why.to_owned() });
        match request.method.as_str() {
            "CONNECT" | "TRACE" => Some(Self::refused(405, "method_not_allowed", "is never forwarded")),
            _ if request.path == "*" => answered("asks about the gateway itself, which answers"),
            _ if request.path == endpoint::PATH && !snapshot.callers.is_empty() => {
                answered("is the gateway's own token endpoint, as there are tenants")
            }
            _ => None,
        }
    }
}

impl RouteView {
    fn new(service: &Service, index: u32, route: &Route) -> Self {
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
