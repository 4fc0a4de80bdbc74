//! What is told of a request: all of it ([`Answer`]), or what two configurations can differ in ([`Outcome`]).

use coregate::explain::{Balancing, Check, Explained};
use coregate::route::Outcome as Looked;
use coregate_config::checked::{LimitMode, LimitScope, Rate, Service, Tenant};
use serde::Serialize;
use utoipa::ToSchema;

use super::Ground;

/// What would become of a request, and why.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answer {
    /// Of the configuration that was asked.
    pub revision: u64,
    /// `forwarded`, `answered` (by the gateway itself) or `refused`, and all that goes with it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// In the order of the request path.
    pub steps: Vec<Step>,
    /// How the node is chosen.
    pub balancing: Option<String>,
    /// The node, where the policy alone decides.
    pub node: Option<String>,
    /// Those that are enabled.
    pub nodes: Vec<Node>,
}

/// A stage that the request went through.
#[derive(Debug, Serialize, ToSchema)]
pub struct Step {
    /// `route`, `access`, `client limit`, `tenant`, `tenant limit`, `tenant day`, `service limit`, `path`, `balance`.
    pub stage: String,
    /// `passed` or `refused`; `tried` for hosts and prefixes that did not fit.
    pub verdict: &'static str,
    /// In words.
    pub why: String,
}

/// A node of the service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Node {
    /// As configured.
    pub address: String,
    /// Share of the traffic, as configured.
    pub weight: u32,
    /// Whether it takes traffic, by what engines report.
    pub live: bool,
    /// Share of the service's traffic, 0 to 1.
    pub share: f64,
}

/// What a client would get, and by which rules.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Outcome {
    /// `forwarded`, `answered` (by the gateway itself) or `refused`.
    pub outcome: &'static str,
    /// The code of the error answer.
    pub code: Option<&'static str>,
    /// The status of the error answer.
    pub status: Option<u16>,
    /// Whose request it is.
    pub service: Option<String>,
    /// The route that takes it.
    pub route: Option<Route>,
    /// The path that the node is asked for.
    pub path_upstream: Option<String>,
    /// Whose credentials it has.
    pub tenant: Option<String>,
    /// Which limits apply to it.
    pub limits: Limits,
    /// In words.
    pub why: String,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Route {
    /// Empty = any.
    pub hosts: Vec<String>,
    /// Of the path.
    pub path_prefix: String,
    /// Empty = any.
    pub methods: Vec<String>,
}

/// The limits that apply; `None` = no such limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Limits {
    /// Of the service.
    pub service: Option<Limit>,
    /// Of each client of the service.
    pub client: Option<Limit>,
    /// Of the tenant.
    pub tenant: Option<Limit>,
    /// Of the tenant, in a day.
    pub tenant_requests_per_day: Option<u64>,
    /// Bytes of the request's body.
    pub max_body_bytes: Option<u64>,
}

/// A rate.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Limit {
    /// Tokens that come.
    pub requests_per_second: f64,
    /// Tokens that fit.
    pub burst: f64,
    /// `enforce` or `observe`.
    pub mode: &'static str,
    /// `process` or `cluster`.
    pub scope: &'static str,
}

impl Outcome {
    /// Of what the engine's code has told.
    pub fn of(ground: &Ground, explained: &Explained) -> Self {
        let verdict = &explained.verdict;
        let (outcome, code) = match verdict.outcome {
            "forwarded" => ("forwarded", None),
            "answered" => ("answered", None),
            code => ("refused", Some(code)),
        };
        let service = explained.route.as_ref().map(|route| route.service.clone());
        let snapshot = ground.snapshot();
        let plan = match &explained.routing.outcome {
            Looked::Found(found) if service.is_some() => snapshot.services.get(found.service as usize),
            _ => None,
        };
        let requires = plan.is_some_and(|plan| plan.config.access.require_tenant);
        let tenant = explained.request.tenant.clone().filter(|_| requires);
        let known = tenant
            .as_ref()
            .and_then(|app_id| snapshot.callers.index_of(app_id))
            .and_then(|index| snapshot.tenants.get(index));
        Self {
            outcome,
            code,
            status: verdict.status,
            route: explained.route.as_ref().map(|route| Route {
                hosts: route.hosts.clone(),
                path_prefix: route.path_prefix.clone(),
                methods: route.methods.clone(),
            }),
            service,
            path_upstream: explained.path_upstream.clone(),
            tenant,
            limits: plan
                .map(|plan| Limits::of(&plan.config, known.map(|known| &known.config)))
                .unwrap_or_default(),
            why: verdict.why.clone(),
        }
    }

    /// Whether a client or the node would see a difference: words do not count, nor does which of a service's routes it is
    /// that leads to the same.
    pub fn differs_from(&self, other: &Self) -> bool {
        let what_counts = |it: &Self| Self { why: String::new(), route: None, ..it.clone() };
        what_counts(self) != what_counts(other)
    }
}

impl Limits {
    fn of(service: &Service, tenant: Option<&Tenant>) -> Self {
        let limits = &service.limits;
        let scope = match limits.scope {
            LimitScope::Process => "process",
            LimitScope::Cluster => "cluster",
        };
        let of_rate = |rate: Option<Rate>, by: LimitMode, scope| {
            rate.map(|Rate { requests_per_second, burst }| Limit {
                requests_per_second,
                burst,
                mode: mode(by),
                scope,
            })
        };
        Self {
            service: of_rate(limits.service, limits.service_mode, scope),
            client: of_rate(limits.per_client_ip, limits.per_client_ip_mode, "process"),
            tenant: tenant.and_then(|tenant| {
                let rate = tenant.requests_per_second?;
                let rate = Rate { requests_per_second: rate, burst: rate.max(1.0) };
                of_rate(Some(rate), tenant.limits_mode, "process")
            }),
            tenant_requests_per_day: tenant.and_then(|tenant| tenant.requests_per_day),
            max_body_bytes: Some(service.max_body_bytes).filter(|bytes| *bytes > 0),
        }
    }
}

fn mode(mode: LimitMode) -> &'static str {
    match mode {
        LimitMode::Enforce => "enforce",
        LimitMode::Observe => "observe",
    }
}

impl Answer {
    /// Of what the engine's code has told.
    pub fn of(ground: &Ground, explained: Explained) -> Self {
        let outcome = Outcome::of(ground, &explained);
        let mut steps = routing(&explained);
        steps.extend(explained.checks.iter().map(check));
        if let Some(path) = &explained.path_upstream {
            let why = format!("the node is asked for {path}");
            steps.push(Step { stage: "path".to_owned(), verdict: "passed", why });
        } else if explained.balancing.is_some() {
            let why = "a rewrite makes an invalid path of it".to_owned();
            steps.push(Step { stage: "path".to_owned(), verdict: "refused", why });
        }
        let nodes = |balancing: &Balancing| {
            let node = |it: &coregate::explain::Candidate| Node {
                address: it.address.clone(),
                weight: it.weight,
                live: it.live,
                share: it.share,
            };
            balancing.nodes.iter().map(node).collect::<Vec<_>>()
        };
        if let Some(balancing) = &explained.balancing {
            let live = balancing.nodes.iter().any(|node| node.live);
            let why = format!("{}: {}", balancing.policy, balancing.why);
            let verdict = if live { "passed" } else { "refused" };
            steps.push(Step { stage: "balance".to_owned(), verdict, why });
        }
        Self {
            revision: explained.revision,
            outcome,
            steps,
            balancing: explained.balancing.as_ref().map(|it| it.policy.to_owned()),
            node: explained.balancing.as_ref().and_then(|it| it.chosen.clone()),
            nodes: explained.balancing.as_ref().map(nodes).unwrap_or_default(),
        }
    }
}

fn routing(explained: &Explained) -> Vec<Step> {
    let step = |verdict, why| Step { stage: "route".to_owned(), verdict, why };
    let mut steps = Vec::new();
    let last = explained.routing.levels.len().saturating_sub(1);
    for (index, level) in explained.routing.levels.iter().enumerate() {
        let prefixes: Vec<&str> = level.prefixes.iter().map(|tried| tried.prefix.as_str()).collect();
        let matched = level.prefixes.last().filter(|tried| tried.matched);
        let host = &level.pattern;
        match matched {
            Some(tried) if index == last => {
                steps.push(step("passed", format!("host {host} has the prefix {}", tried.prefix)));
            }
            _ if !level.configured => steps.push(step("tried", format!("no route has the host {host}"))),
            _ => steps.push(step(
                "tried",
                format!("host {host}: none of the prefixes that were tried: {}", prefixes.join(", ")),
            )),
        }
    }
    if explained.route.is_none() {
        let verdict = if explained.verdict.status.is_some() { "refused" } else { "passed" };
        steps.push(step(verdict, explained.verdict.why.clone()));
    }
    steps
}

fn check(check: &Check) -> Step {
    let verdict = if check.passed { "passed" } else { "refused" };
    Step { stage: check.check.to_owned(), verdict, why: check.why.clone() }
}
