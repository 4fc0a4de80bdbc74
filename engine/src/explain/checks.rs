//! The checks of [`crate::admission`], in its order, told and not spent.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coregate_config::checked::{LimitMode, LimitScope, Service};
use ipnet::IpNet;
use serde::Serialize;

use super::{Request, Verdict};
use crate::account::LimitKind;
use crate::clock::DayClock;
use crate::control::snapshot::{ServicePlan, Snapshot, TenantPlan};
use crate::limit::{DayLease, Lease, Quota};

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Which.
    pub check: &'static str,
    /// Whether the request goes on.
    pub passed: bool,
    /// In words.
    pub why: String,
    /// Status and code of the answer if it does not pass.
    #[serde(skip)]
    answer: (u16, &'static str),
}

impl Check {
    /// What the client gets if this does not pass.
    pub(super) fn refusal(&self) -> Option<Verdict> {
        (!self.passed).then(|| Verdict::refused(self.answer.0, self.answer.1, &self.why))
    }
}

/// All of them. Those behind the first that does not pass are told as well.
pub(super) fn all(snapshot: &Snapshot, plan: &ServicePlan, request: &Request, now: Instant) -> Vec<Check> {
    let mut checks = vec![access(&plan.config, request.client)];
    checks.extend(client_limit(snapshot, plan, request.client, now));
    let tenant = tenant(snapshot, &plan.config, request);
    let caller = tenant.1;
    checks.push(tenant.0);
    if let Some(caller) = caller {
        checks.extend(tenant_limits(snapshot, &caller, now));
    }
    checks.extend(service_limit(plan, now));
    checks
}

fn access(service: &Service, client: IpAddr) -> Check {
    let holding = |networks: &[IpNet]| networks.iter().find(|network| network.contains(&client)).copied();
    let (deny, allow) = (&service.access.deny, &service.access.allow);
    let (passed, why) = if let Some(network) = holding(deny) {
        (false, format!("{client} is in access.deny ({network})"))
    } else if allow.is_empty() {
        (true, format!("{client} is not in access.deny, and access.allow is empty"))
    } else if let Some(network) = holding(allow) {
        (true, format!("{client} is in access.allow ({network})"))
    } else {
        (false, format!("{client} is not in access.allow"))
    };
    Check { check: "access", passed, why, answer: (403, "ip_denied") }
}

fn client_limit(snapshot: &Snapshot, plan: &ServicePlan, client: IpAddr, now: Instant) -> Option<Check> {
    let quota = snapshot.clients.as_ref()?.quota(plan.client_rate.as_ref()?, client, now);
    let mode = plan.config.limits.per_client_ip_mode;
    Some(limit(LimitKind::Client, mode, quota, &format!("{client} in this process")))
}

fn service_limit(plan: &ServicePlan, now: Instant) -> Option<Check> {
    let quota = Lease::new(Arc::clone(plan.rate.as_ref()?), now).quota(now);
    let over = match plan.config.limits.scope {
        LimitScope::Process => "the service in this process",
        LimitScope::Cluster => "the service in this process, of what it has leased from the cluster",
    };
    Some(limit(LimitKind::Service, plan.config.limits.service_mode, quota, over))
}

/// Whether the tenant may call, and which it is.
fn tenant(snapshot: &Snapshot, service: &Service, request: &Request) -> (Check, Option<Arc<TenantPlan>>) {
    let check = |passed, why, answer| Check { check: "tenant", passed, why, answer };
    if !service.access.require_tenant {
        return (check(true, "no tenant is required".to_owned(), (0, "")), None);
    }
    let Some(app_id) = &request.tenant else {
        let why = "a tenant is required and none is named; of one that is, it is supposed that it presents its credentials";
        return (check(false, why.to_owned(), (401, "tenant_required")), None);
    };
    let index = snapshot.callers.index_of(app_id);
    let found = index.and_then(|index| Some((snapshot.callers.get(index)?, snapshot.tenants.get(index)?)));
    let Some((caller, plan)) = found else {
        return (check(false, format!("there is no tenant \"{app_id}\""), (401, "invalid_token")), None);
    };
    if !caller.enabled {
        let why = format!("tenant \"{app_id}\" is disabled");
        return (check(false, why, (401, "invalid_token")), None);
    }
    if !caller.allow.is_empty() && !caller.allow.contains(request.client) {
        let why = format!("{} is not in the allow list of tenant \"{app_id}\"", request.client);
        return (check(false, why, (403, "ip_denied")), None);
    }
    (check(true, format!("tenant \"{app_id}\" may call"), (0, "")), Some(Arc::clone(plan)))
}

fn tenant_limits(snapshot: &Snapshot, tenant: &TenantPlan, now: Instant) -> Vec<Check> {
    let (app_id, mode) = (&tenant.config.app_id, tenant.config.limits_mode);
    let rate = tenant.rate.as_ref().map(|rate| {
        let quota = Lease::new(Arc::clone(rate), now).quota(now);
        limit(LimitKind::TenantRate, mode, quota, &format!("tenant \"{app_id}\" in this process"))
    });
    let day = tenant.day.as_ref().map(|day| {
        let today = DayClock::new(&snapshot.gateway.stats.timezone).at(now);
        let quota = DayLease::new(Arc::clone(day), now).quota(today, now);
        limit(LimitKind::TenantDay, mode, quota, &format!("tenant \"{app_id}\" today"))
    });
    rate.into_iter().chain(day).collect()
}

fn limit(kind: LimitKind, mode: LimitMode, quota: Quota, of: &str) -> Check {
    let Quota { limit, remaining, window, .. } = quota;
    let over = remaining == 0;
    let observed = if mode == LimitMode::Observe { "; it only observes" } else { "" };
    let window = Duration::from_millis(u64::try_from(window.as_millis()).unwrap_or(u64::MAX));
    let why = format!("{remaining} of {limit} left for {of}, all of which come in {window:?}{observed}");
    let code = if kind == LimitKind::TenantDay { "quota_exhausted" } else { "rate_limited" };
    let check = match kind {
        LimitKind::Client => "client limit",
        LimitKind::Service => "service limit",
        LimitKind::TenantRate => "tenant limit",
        LimitKind::TenantDay => "tenant day",
        LimitKind::ServiceConnections | LimitKind::ClientConnections => "connections at once",
    };
    Check { check, passed: !over || mode == LimitMode::Observe, why, answer: (429, code) }
}
