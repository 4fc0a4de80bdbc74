//! `[[services]]`

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::headers::headers;
use super::health::health_check;
use super::node::nodes;
use super::rate::{mode, rate};
use super::route::{Claims, routes};
use super::upstream_tls::upstream_tls;
use super::values::{connections, count_is_sane, name, networks, size, text, time};
use super::{Files, unique};
use crate::checked::{Access, LimitScope, Limits, Policy, Pool, ProxyVersion, Route, Service, Timeouts};
use crate::limits::{BODY_BYTES_MAX, DESCRIPTION_BYTES_MAX, SERVICES_MAX};
use crate::path::At;
use crate::raw;
use crate::report::Problems;

/// All services, and that no two enabled ones claim the same requests.
pub fn services(
    raw: &raw::Gateway,
    files: Files,
    at: &At,
    problems: &mut Problems,
) -> Option<Vec<Arc<Service>>> {
    if !count_is_sane(raw.services.len(), SERVICES_MAX, at, problems) {
        return None;
    }
    unique(raw.services.iter().map(|it| it.name.as_str()).zip(0..), at, "name", problems);
    let mut services = Vec::with_capacity(raw.services.len());
    let mut all_routes: Vec<Vec<Option<Route>>> = Vec::with_capacity(raw.services.len());
    for (index, one) in raw.services.iter().enumerate() {
        let at = at.index(index);
        all_routes.push(routes(&one.routes, &at.key("routes"), problems));
        services.push(service(one, files, &at, problems));
    }
    what_tcp_alone_has(raw, at, problems);
    let mut claims = Claims::default();
    for (service, routes) in all_routes.iter().enumerate() {
        if raw.services.get(service).is_some_and(|service| service.enabled) {
            for (index, route) in routes.iter().enumerate() {
                if let Some(route) = route {
                    claims.add(route, service, index, at, problems);
                }
            }
        }
    }
    let with_routes = |(service, routes): (Option<Service>, Vec<Option<Route>>)| {
        Some(Arc::new(Service { routes: routes.into_iter().collect::<Option<_>>()?, ..service? }))
    };
    services.into_iter().zip(all_routes).map(with_routes).collect()
}

/// A service, as yet without its routes.
fn service(raw: &raw::Service, files: Files, at: &At, problems: &mut Problems) -> Option<Service> {
    let named = name(&raw.name, &at.key("name"), problems);
    let description = text(&raw.description, DESCRIPTION_BYTES_MAX, &at.key("description"), problems);
    let headers = headers(&raw.headers, &at.key("headers"), problems);
    let nodes = nodes(&raw.nodes, &at.key("nodes"), problems);
    let tls = upstream_tls(raw, files, at, problems);
    let health_check = match &raw.health_check {
        Some(raw) => health_check(raw, &at.key("health_check"), problems).map(Some),
        None => Some(None),
    };
    let timeouts = timeouts(&raw.timeouts, &at.key("timeouts"), problems);
    let pool = pool(&raw.pool, &at.key("pool"), problems);
    let at_body = at.key("request");
    let at_body = at_body.key("max_body_bytes");
    let max_body_bytes = size(raw.request.max_body_bytes, 0..=BODY_BYTES_MAX, &at_body, problems);
    let limits = limits(&raw.limits, &at.key("limits"), problems);
    let access = access(&raw.access, &at.key("access"), problems);
    named?;
    Some(Service {
        name: Arc::from(raw.name.as_str()),
        description: description?,
        enabled: raw.enabled,
        routes: Vec::new(),
        headers: headers?,
        policy: policy(raw.load_balancer.policy),
        nodes: nodes?,
        tls: tls?,
        http2: raw.http2,
        send_proxy_protocol: match raw.send_proxy_protocol {
            raw::SendProxyProtocol::Off => None,
            raw::SendProxyProtocol::V1 => Some(ProxyVersion::V1),
            raw::SendProxyProtocol::V2 => Some(ProxyVersion::V2),
        },
        health_check: health_check?,
        timeouts: timeouts?,
        pool: pool?,
        max_body_bytes: max_body_bytes?,
        limits: limits?,
        access: access?,
    })
}

/// Keys of a service that only TCP connections obey.
fn what_tcp_alone_has(raw: &raw::Gateway, at: &At, problems: &mut Problems) {
    if problems.is_unread(&At::root().key("listeners")) {
        return;
    }
    let mut behind_tcp = HashSet::new();
    for listener in &raw.listeners {
        behind_tcp.extend(listener.service.as_deref());
        behind_tcp.extend(listener.sni_routes.iter().map(|route| &*route.service));
    }
    for (index, service) in raw.services.iter().enumerate() {
        let at = at.index(index);
        let is_behind_tcp = behind_tcp.contains(&*service.name);
        let has_routes = !service.routes.is_empty();
        if service.limits.max_connections_per_client_ip > 0 && !is_behind_tcp {
            let message = if has_routes {
                "is for services that a tcp listener uses; requests are limited by per_client_ip.requests_per_second"
            } else {
                "is for services that a tcp listener uses, and none uses this one"
            };
            problems.add(&at.key("limits").key("max_connections_per_client_ip"), message);
        }
        if service.send_proxy_protocol != raw::SendProxyProtocol::Off && (has_routes || !is_behind_tcp) {
            let message = if has_routes {
                "is for services without routes: one connection to a node carries requests of many clients, which \
                 X-Forwarded-For tells"
            } else {
                "is for services that a tcp listener uses, and none uses this one"
            };
            problems.add(&at.key("send_proxy_protocol"), message);
        }
        if service.http2 && !has_routes && is_behind_tcp {
            problems.add(
                &at.key("http2"),
                "is for services with routes; a tcp listener passes bytes on as they are",
            );
        }
    }
}

fn policy(raw: raw::Policy) -> Policy {
    match raw {
        raw::Policy::Random => Policy::Random,
        raw::Policy::RoundRobin => Policy::RoundRobin,
        raw::Policy::WeightedRoundRobin => Policy::WeightedRoundRobin,
        raw::Policy::IpHash => Policy::IpHash,
    }
}

fn timeouts(raw: &raw::Timeouts, at: &At, problems: &mut Problems) -> Option<Timeouts> {
    let [connect, response_header, body, idle, tunnel]: [Option<Duration>; 5] = [
        ("connect", raw.connect),
        ("response_header", raw.response_header),
        ("body", raw.body),
        ("idle", raw.idle),
        ("tunnel", raw.tunnel),
    ]
    .map(|(key, value)| time(value, &at.key(key), problems));
    Some(Timeouts {
        connect: connect?,
        response_header: response_header?,
        body: body?,
        idle: idle?,
        tunnel: tunnel?,
    })
}

fn pool(raw: &raw::Pool, at: &At, problems: &mut Problems) -> Option<Pool> {
    let max_idle = connections(raw.max_idle_per_node, 0, &at.key("max_idle_per_node"), problems);
    let max_connections =
        connections(raw.max_connections_per_node, 0, &at.key("max_connections_per_node"), problems);
    Some(Pool { max_idle_per_node: max_idle?, max_connections_per_node: max_connections? })
}

fn limits(raw: &raw::Limits, at: &At, problems: &mut Problems) -> Option<Limits> {
    let service = rate(raw.requests_per_second, raw.burst, at, problems);
    let per_client_ip = rate(
        raw.per_client_ip.requests_per_second,
        raw.per_client_ip.burst,
        &at.key("per_client_ip"),
        problems,
    );
    let at_most = |value: i64, key: &'static str, problems: &mut Problems| {
        connections(value, 0, &at.key(key), problems).map(|count| (count > 0).then_some(count))
    };
    let max_connections = at_most(raw.max_connections, "max_connections", problems);
    let max_connections_per_client_ip =
        at_most(raw.max_connections_per_client_ip, "max_connections_per_client_ip", problems);
    let scope = match raw.scope {
        raw::Scope::Process => LimitScope::Process,
        raw::Scope::Cluster => LimitScope::Cluster,
    };
    Some(Limits {
        service: service?,
        service_mode: mode(raw.mode),
        per_client_ip: per_client_ip?,
        per_client_ip_mode: mode(raw.per_client_ip.mode),
        scope,
        max_connections: max_connections?,
        max_connections_per_client_ip: max_connections_per_client_ip?,
    })
}

fn access(raw: &raw::Access, at: &At, problems: &mut Problems) -> Option<Access> {
    let allow = networks(&raw.allow, &at.key("allow"), problems);
    let deny = networks(&raw.deny, &at.key("deny"), problems);
    Some(Access { allow: allow?, deny: deny?, require_tenant: raw.require_tenant })
}
