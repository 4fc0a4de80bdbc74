//! Admission: whether a request that has found its service may go on. The checks between *route* and *balance*, wired
//! once for HTTP and for TCP.
//!
//! Input: the service, the client and what it presents. Output: nothing, or the [`Error`] to answer with; what is found
//! out on the way (the tenant, limits that only observe) goes into the [`Record`].
//!
//! The order is fixed: the service's address lists, the client's limit, the tenant and its own address list, the
//! tenant's limits, the service's limit. What can be told from an address alone comes first, and an abuser is stopped
//! before it drains the bucket that all others share. Each limit that admits has given a token away, also when a later
//! one refuses. A limit in observe mode notes what it would have refused and refuses nothing.

use std::time::Instant;

use coregate_config::checked::LimitMode;

use crate::account::LimitKind;
use crate::clock;
use crate::error::{Error, Limited};
use crate::http::record::Record;
use crate::limit::{ClientConnection, Connection, Decision, Quota};
use crate::shard::{ServiceState, Shard, TenantState};
use crate::tenant::Refusal;

/// Checks a request with these Authorization fields. They mean something to the gateway only where a service requires
/// a tenant; elsewhere they are between the client and the origin.
///
/// # Errors
/// Why it is refused.
pub fn admit<'a>(
    shard: &Shard,
    service: &ServiceState,
    authorization: impl IntoIterator<Item = &'a [u8]>,
    record: &mut Record,
) -> Result<(), Error> {
    let now = shard.net.now();
    address(service, record)?;
    client_limit(shard, service, record, now)?;
    if service.plan.config.access.require_tenant {
        tenant(shard, authorization, record, now)?;
    }
    service_limit(shard, service, record, now)
}

/// Checks a TCP connection, and counts it until what is returned is dropped.
///
/// # Errors
/// Why it is refused.
pub fn admit_connection(
    shard: &Shard,
    service: &ServiceState,
    record: &mut Record,
) -> Result<(Option<ClientConnection>, Connection), Error> {
    let now = shard.net.now();
    address(service, record)?;
    let limits = &service.plan.config.limits;
    let of_client = match (limits.max_connections_per_client_ip, &shard.live().snapshot.client_connections) {
        (Some(max), Some(clients)) => {
            let taken = clients.take(&service.plan.config.name, record.client, max);
            Some(taken.map_err(Error::TooManyConnections)?)
        }
        _ => None,
    };
    client_limit(shard, service, record, now)?;
    let of_service = count_connection(service)?;
    service_limit(shard, service, record, now)?;
    Ok((of_client, of_service))
}

/// Counts a TCP or upgraded connection of a service until what is returned is dropped.
///
/// # Errors
/// The service has its most.
pub fn count_connection(service: &ServiceState) -> Result<Connection, Error> {
    let max = service.plan.config.limits.max_connections;
    service.plan.connections.take(max).map_err(Error::TooManyConnections)
}

fn address(service: &ServiceState, record: &Record) -> Result<(), Error> {
    if service.plan.access.permits(record.client) { Ok(()) } else { Err(Error::IpDenied) }
}

fn client_limit(
    shard: &Shard,
    service: &ServiceState,
    record: &mut Record,
    now: Instant,
) -> Result<(), Error> {
    let Some(limit) = &service.plan.client_rate else { return Ok(()) };
    let live = shard.live();
    let Some(clients) = &live.snapshot.clients else { return Ok(()) };
    let client = record.client;
    let decision = clients.admit(limit, client, now);
    let mode = service.plan.config.limits.per_client_ip_mode;
    obey(decision, LimitKind::Client, mode, record, || clients.quota(limit, client, now))
}

fn service_limit(
    shard: &Shard,
    service: &ServiceState,
    record: &mut Record,
    now: Instant,
) -> Result<(), Error> {
    let Some(rate) = &service.rate else { return Ok(()) };
    let decision = rate.admit(&shard.leases, now);
    obey(decision, LimitKind::Service, service.plan.config.limits.service_mode, record, || rate.quota(now))
}

/// Identifies the tenant and checks what it may.
fn tenant<'a>(
    shard: &Shard,
    authorization: impl IntoIterator<Item = &'a [u8]>,
    record: &mut Record,
    now: Instant,
) -> Result<(), Error> {
    let live = shard.live();
    let callers = &live.snapshot.callers;
    let index = callers.identify(authorization, clock::unix_seconds())?;
    let (Some(caller), Some(tenant)) = (callers.get(index), shard.tenant(index)) else {
        return Err(Error::Tenant(Refusal::UnknownOrWrong));
    };
    record.tenant = Some(tenant.clone());
    if !caller.allow.is_empty() && !caller.allow.contains(record.client) {
        return Err(Error::IpDenied);
    }
    tenant_limits(shard, &tenant, record, now)
}

fn tenant_limits(
    shard: &Shard,
    tenant: &TenantState,
    record: &mut Record,
    now: Instant,
) -> Result<(), Error> {
    let mode = tenant.plan.config.limits_mode;
    if let Some(rate) = &tenant.rate {
        let decision = rate.admit(&shard.leases, now);
        obey(decision, LimitKind::TenantRate, mode, record, || rate.quota(now))?;
    }
    if let Some(quota) = &tenant.day {
        let day = shard.day();
        let decision = quota.admit(&shard.leases, day, now);
        obey(decision, LimitKind::TenantDay, mode, record, || quota.quota(day, now))?;
    }
    Ok(())
}

fn obey(
    decision: Decision,
    kind: LimitKind,
    mode: LimitMode,
    record: &mut Record,
    quota: impl FnOnce() -> Quota,
) -> Result<(), Error> {
    match (decision, mode) {
        (Decision::Admit, _) => Ok(()),
        (Decision::Refuse { .. }, LimitMode::Observe) => {
            record.observed.add(kind);
            Ok(())
        }
        (Decision::Refuse { retry_after }, LimitMode::Enforce) => {
            Err(Error::Limited(Box::new(Limited { kind, retry_after, quota: quota() })))
        }
    }
}
