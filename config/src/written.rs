//! From [`checked`](crate::checked) back to [`raw`]: a configuration as it is in force, every default filled in, to be
//! shown to people and programs.
//!
//! Output: JSON in the schema's own key names that [`parse_json`](crate::parse_json) takes, as long as there is no
//! private key in it; secrets are `"***"`.

use serde_json::Value;

use crate::check::shown;
use crate::checked::{
    self, AccessLog, AccessLogFormat, AccessLogPath, Control, Gateway, HeaderRule, HealthCheck,
    HealthCheckKind, LimitMode, LimitScope, Limits, Listener, ListenerProtocol, Node, NodeAddress, Policy,
    ProxyVersion, Rate, Route, Server, Service, Stats, Tenant, UpstreamTls,
};
use crate::raw;
use crate::redact::{self, REDACTED};
use crate::units::{Size, Time};

/// The whole configuration without secrets: tenants' secrets, certificates' keys, passwords in `stats.redis_url`, and the values of header
/// rules whose names tell that they hold credentials. Keys that have no value are left out.
pub fn redacted_json(gateway: &Gateway) -> Value {
    let written = raw::Gateway {
        server: server(&gateway.server),
        stats: stats(&gateway.stats),
        control: control(&gateway.control),
        listeners: gateway.listeners.iter().map(listener).collect(),
        certificates: gateway.certificates.iter().map(|it| named_certificate(it)).collect(),
        services: gateway.services.iter().map(|it| service(it)).collect(),
        tenants: gateway.tenants.iter().map(tenant).collect(),
    };
    // Nothing in the raw types can fail to serialise: no maps with odd keys, no errors of their own.
    let mut json = serde_json::to_value(written).unwrap_or_default();
    remove_nulls(&mut json);
    json
}

fn remove_nulls(json: &mut Value) {
    match json {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub fn server(server: &Server) -> raw::Server {
    raw::Server {
        shards: count(server.shards),
        cpus: server.cpus.iter().map(|cpu| count(*cpu)).collect(),
        ops_address: server.ops_address.map(|address| address.to_string()),
        drain_timeout: Time(server.drain_timeout),
        max_connections: count(server.max_connections),
        trusted_proxies: texts(&server.trusted_proxies),
        client_limit_entries: count(server.client_limit_entries),
        access_log: access_log(&server.access_log),
    }
}

fn access_log(access_log: &AccessLog) -> raw::AccessLog {
    raw::AccessLog {
        path: match &access_log.path {
            AccessLogPath::None => "none".to_owned(),
            AccessLogPath::Stdout => "stdout".to_owned(),
            AccessLogPath::File(path) => path.display().to_string(),
        },
        format: match access_log.format {
            AccessLogFormat::Json => raw::AccessLogFormat::Json,
            AccessLogFormat::Combined => raw::AccessLogFormat::Combined,
        },
        sample: access_log.sample,
    }
}

fn stats(stats: &Stats) -> raw::Stats {
    raw::Stats {
        interval: Time(stats.interval),
        timezone: stats.timezone.clone(),
        redis_url: stats.redis_url.as_deref().map(redact::url),
        key_prefix: stats.key_prefix.clone(),
        retention: Time(stats.retention),
    }
}

fn control(control: &Control) -> raw::Control {
    match control {
        Control::File => raw::Control::default(),
        Control::Admin { url, token_file, cache_path } => raw::Control {
            source: raw::ControlSource::Admin,
            admin_url: Some(url.clone()),
            token_file: Some(token_file.display().to_string()),
            cache_path: Some(cache_path.display().to_string()),
        },
    }
}

fn listener(listener: &Listener) -> raw::Listener {
    let default = raw::Listener::default();
    let (protocol, service, sni_routes) = match &listener.protocol {
        ListenerProtocol::Http => (raw::Protocol::Http, None, &[][..]),
        ListenerProtocol::Https => (raw::Protocol::Https, None, &[][..]),
        ListenerProtocol::Tcp { service, sni_routes } => {
            (raw::Protocol::Tcp, service.as_ref(), sni_routes.as_slice())
        }
    };
    let sni_route = |it: &checked::SniRoute| raw::SniRoute {
        hosts: it.hosts.iter().map(shown).collect(),
        service: it.service.to_string(),
    };
    let speaks_http = protocol != raw::Protocol::Tcp;
    raw::Listener {
        name: listener.name.to_string(),
        enabled: listener.enabled,
        address: listener.address.to_string(),
        protocol,
        service: service.map(|service| service.to_string()),
        sni_routes: sni_routes.iter().map(sni_route).collect(),
        certificates: listener.tls.iter().flat_map(|tls| &tls.certificates).map(certificate).collect(),
        tls: listener.tls.as_ref().map(tls),
        http2: speaks_http.then(|| http2(listener.http2)),
        https_redirect: listener.https_redirect.is_some(),
        https_redirect_port: listener.https_redirect.map_or(default.https_redirect_port, i64::from),
        header_timeout: Time(listener.header_timeout),
        idle_timeout: Time(listener.idle_timeout),
        max_header_bytes: Size(listener.max_header_bytes as u64),
        max_header_fields: count(listener.max_header_fields),
        proxy_protocol: listener.proxy_protocol,
    }
}

fn certificate(certificate: &checked::Certificate) -> raw::Certificate {
    match certificate {
        checked::Certificate::Files(files) => raw::Certificate {
            chain: Some(path(&files.chain)),
            key: Some(path(&files.key)),
            ocsp: files.ocsp.as_deref().map(path),
            certificate: None,
        },
        checked::Certificate::Named(named) => {
            raw::Certificate { certificate: Some(named.name.to_string()), ..raw::Certificate::default() }
        }
    }
}

fn named_certificate(certificate: &checked::NamedCertificate) -> raw::NamedCertificate {
    raw::NamedCertificate {
        name: certificate.name.to_string(),
        chain: certificate.chain.clone(),
        key: raw::Secret(REDACTED.to_owned()),
    }
}

fn tls(tls: &checked::ListenerTls) -> raw::ListenerTls {
    let default = raw::ListenerTls::default();
    let clients = tls.clients.as_ref();
    raw::ListenerTls {
        min_version: match tls.min_version {
            checked::TlsVersion::V1_2 => raw::TlsVersion::V1_2,
            checked::TlsVersion::V1_3 => raw::TlsVersion::V1_3,
        },
        client_certificates: match clients.map(|clients| clients.required) {
            None => raw::ClientCertificates::Off,
            Some(false) => raw::ClientCertificates::Optional,
            Some(true) => raw::ClientCertificates::Required,
        },
        client_ca: clients.map(|clients| path(&clients.ca)),
        client_subject_header: clients
            .map_or(default.client_subject_header, |clients| clients.subject_header.clone()),
        handshake_timeout: Time(tls.handshake_timeout),
        max_handshakes: count(tls.max_handshakes),
        session_tickets: tls.session_tickets,
        hsts_max_age: tls.hsts.map_or(default.hsts_max_age, |hsts| Time(hsts.max_age)),
        hsts_include_subdomains: tls.hsts.is_some_and(|hsts| hsts.include_subdomains),
    }
}

fn http2(http2: Option<checked::Http2>) -> raw::Http2 {
    match http2 {
        None => raw::Http2 { enabled: false, ..raw::Http2::default() },
        Some(http2) => raw::Http2 {
            enabled: true,
            max_concurrent_streams: i64::from(http2.max_concurrent_streams),
            max_resets_per_second: i64::from(http2.max_resets_per_second),
        },
    }
}

fn service(service: &Service) -> raw::Service {
    raw::Service {
        name: service.name.to_string(),
        description: service.description.clone(),
        enabled: service.enabled,
        routes: service.routes.iter().map(route).collect(),
        headers: raw::Headers {
            request: service.headers.request.iter().map(header_rule).collect(),
            response: service.headers.response.iter().map(header_rule).collect(),
        },
        load_balancer: raw::LoadBalancer { policy: policy(service.policy) },
        nodes: service.nodes.iter().map(node).collect(),
        tls: service.tls.is_some(),
        upstream_tls: service.tls.as_ref().map(upstream_tls),
        http2: service.http2,
        send_proxy_protocol: match service.send_proxy_protocol {
            None => raw::SendProxyProtocol::Off,
            Some(ProxyVersion::V1) => raw::SendProxyProtocol::V1,
            Some(ProxyVersion::V2) => raw::SendProxyProtocol::V2,
        },
        health_check: service.health_check.as_ref().map(health_check),
        timeouts: raw::Timeouts {
            connect: Time(service.timeouts.connect),
            response_header: Time(service.timeouts.response_header),
            body: Time(service.timeouts.body),
            idle: Time(service.timeouts.idle),
            tunnel: Time(service.timeouts.tunnel),
        },
        pool: raw::Pool {
            max_idle_per_node: count(service.pool.max_idle_per_node),
            max_connections_per_node: count(service.pool.max_connections_per_node),
        },
        request: raw::Request { max_body_bytes: Size(service.max_body_bytes) },
        limits: limits(&service.limits),
        access: raw::Access {
            allow: texts(&service.access.allow),
            deny: texts(&service.access.deny),
            require_tenant: service.access.require_tenant,
        },
    }
}

fn route(route: &Route) -> raw::Route {
    let rewrite = |it: &crate::checked::Rewrite| raw::Rewrite {
        pattern: it.pattern.as_str().to_owned(),
        replacement: it.replacement.clone(),
    };
    raw::Route {
        hosts: route.hosts.iter().map(shown).collect(),
        path_prefix: route.path_prefix.clone(),
        methods: route.methods.iter().cloned().collect(),
        strip_prefix: route.strip_prefix,
        rewrites: route.rewrites.iter().map(rewrite).collect(),
    }
}

fn header_rule(rule: &HeaderRule) -> raw::HeaderRule {
    let value = |name: &str, value: &str| {
        let value = if redact::is_credential_header(name) { REDACTED } else { value };
        Some(value.to_owned())
    };
    let none = raw::HeaderRule::default();
    match rule {
        HeaderRule::Add(name, text) => {
            raw::HeaderRule { add: Some(name.clone()), value: value(name, text), ..none }
        }
        HeaderRule::Set(name, text) => {
            raw::HeaderRule { set: Some(name.clone()), value: value(name, text), ..none }
        }
        HeaderRule::Remove(name) => raw::HeaderRule { remove: Some(name.clone()), ..none },
    }
}

fn policy(policy: Policy) -> raw::Policy {
    match policy {
        Policy::Random => raw::Policy::Random,
        Policy::RoundRobin => raw::Policy::RoundRobin,
        Policy::WeightedRoundRobin => raw::Policy::WeightedRoundRobin,
        Policy::IpHash => raw::Policy::IpHash,
    }
}

fn node(node: &Node) -> raw::ServiceNode {
    raw::ServiceNode {
        address: match &node.address {
            NodeAddress::Ip(address) => address.to_string(),
            NodeAddress::Name(name, port) => format!("{name}:{port}"),
        },
        weight: i64::from(node.weight),
        enabled: node.enabled,
    }
}

fn upstream_tls(tls: &UpstreamTls) -> raw::UpstreamTls {
    raw::UpstreamTls {
        ca: tls.ca.as_deref().map(path),
        server_name: tls.server_name.clone(),
        certificate: tls
            .certificate
            .as_ref()
            .map(|it| raw::ClientCertificate { chain: path(&it.chain), key: path(&it.key) }),
        danger_accept_any_certificate: tls.accept_any_certificate,
    }
}

fn health_check(check: &HealthCheck) -> raw::HealthCheck {
    let written = raw::HealthCheck {
        interval: Time(check.interval),
        timeout: Time(check.timeout),
        unhealthy_after: i64::from(check.unhealthy_after),
        healthy_after: i64::from(check.healthy_after),
        ..raw::HealthCheck::default()
    };
    match &check.kind {
        HealthCheckKind::Tcp => raw::HealthCheck { kind: raw::HealthCheckKind::Tcp, ..written },
        HealthCheckKind::Http { path, host, expect_status } => raw::HealthCheck {
            kind: raw::HealthCheckKind::Http,
            path: Some(path.clone()),
            host: host.clone(),
            expect_status: expect_status.iter().map(|status| i64::from(*status)).collect(),
            ..written
        },
        HealthCheckKind::Grpc { service, host } => raw::HealthCheck {
            kind: raw::HealthCheckKind::Grpc,
            grpc_service: service.clone(),
            host: host.clone(),
            ..written
        },
    }
}

fn limits(limits: &Limits) -> raw::Limits {
    let (requests_per_second, burst) = rate(limits.service);
    let (per_ip, per_ip_burst) = rate(limits.per_client_ip);
    raw::Limits {
        requests_per_second,
        burst,
        mode: mode(limits.service_mode),
        per_client_ip: raw::Rate {
            requests_per_second: per_ip,
            burst: per_ip_burst,
            mode: mode(limits.per_client_ip_mode),
        },
        scope: match limits.scope {
            LimitScope::Process => raw::Scope::Process,
            LimitScope::Cluster => raw::Scope::Cluster,
        },
        max_connections: limits.max_connections.map_or(0, count),
        max_connections_per_client_ip: limits.max_connections_per_client_ip.map_or(0, count),
    }
}

fn rate(rate: Option<Rate>) -> (f64, f64) {
    rate.map_or((0.0, 0.0), |rate| (rate.requests_per_second, rate.burst))
}

fn mode(mode: LimitMode) -> raw::LimitMode {
    match mode {
        LimitMode::Enforce => raw::LimitMode::Enforce,
        LimitMode::Observe => raw::LimitMode::Observe,
    }
}

fn tenant(tenant: &Tenant) -> raw::Tenant {
    raw::Tenant {
        app_id: tenant.app_id.to_string(),
        name: tenant.name.clone(),
        // However it was written; and a hash is not shown either.
        secret: Some(raw::Secret(REDACTED.to_owned())),
        secret_sha256: None,
        allow: texts(&tenant.allow),
        requests_per_second: tenant.requests_per_second.unwrap_or(0.0),
        requests_per_day: tenant.requests_per_day.map_or(0, |limit| i64::try_from(limit).unwrap_or(i64::MAX)),
        limits_mode: mode(tenant.limits_mode),
        enabled: tenant.enabled,
    }
}

/// Counts here came from an i64 within bounds.
fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}
