//! `gateway_service_info` with its rules: a service for each row, and a listener for each that has a port of its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use coregate_config::limits::DESCRIPTION_BYTES_MAX;
use serde_json::{Map, Value, json};

use super::access::{self, Callers};
use super::balance::{self, Nodes};
use super::lists::quoted;
use super::names::Names;
use super::rows::{AccessControl, GrpcRule, HttpRule, LoadBalance, Rows, ServiceInfo, TcpRule};
use super::{Options, rules};
use crate::import::{Imported, Outcome};
use crate::model::Kind;

/// Rows by the service that they belong to; gogate took the first one.
struct Tables<'a> {
    http: HashMap<i64, &'a HttpRule>,
    tcp: HashMap<i64, &'a TcpRule>,
    grpc: HashMap<i64, &'a GrpcRule>,
    access: HashMap<i64, &'a AccessControl>,
    balance: HashMap<i64, &'a LoadBalance>,
}

/// What is taken so far.
struct Taken<'a> {
    listeners: &'a mut Names,
    /// Which service has a port.
    ports: HashMap<u16, String>,
    /// Which service has a rule: (is it a host, the rule).
    rules: HashMap<(bool, String), String>,
}

/// Converts all services.
pub fn convert(rows: &Rows, options: &Options, listeners: &mut Names, outcome: &mut Outcome) {
    let tables = Tables {
        http: first("gateway_service_http_rule", &rows.http_rules, |row| row.service_id, outcome),
        tcp: first("gateway_service_tcp_rule", &rows.tcp_rules, |row| row.service_id, outcome),
        grpc: first("gateway_service_grpc_rule", &rows.grpc_rules, |row| row.service_id, outcome),
        access: first("gateway_service_access_control", &rows.access_controls, |row| row.service_id, outcome),
        balance: first("gateway_service_load_balance", &rows.load_balances, |row| row.service_id, outcome),
    };
    let mut taken = Taken { listeners, ports: HashMap::new(), rules: HashMap::new() };
    if let Some(Ok(address)) = options.http_listener.as_ref().map(|it| it.parse::<SocketAddr>()) {
        taken.ports.insert(address.port(), "listener \"http\"".to_owned());
    }
    let mut names = Names::default();
    for info in rows.services.iter().filter(|info| info.is_delete == 0) {
        let name = names.take(&info.service_name);
        let place = format!("service \"{}\"", name.name);
        if let Some(why) = name.changed {
            let message = format!("was {} in gogate: {why}", quoted(&info.service_name));
            outcome.warn(&place, message);
        }
        one(info, &name.name, &place, &tables, options, &mut taken, outcome);
    }
}

fn first<'a, T>(
    table: &str,
    rows: &'a [T],
    service_id: impl Fn(&T) -> i64,
    outcome: &mut Outcome,
) -> HashMap<i64, &'a T> {
    let mut first = HashMap::with_capacity(rows.len());
    for row in rows {
        let id = service_id(row);
        match first.entry(id) {
            Entry::Occupied(_) => outcome.warn(
                table,
                format!("has a further row for service_id {id}; gogate took the first one: left out"),
            ),
            Entry::Vacant(place) => {
                place.insert(row);
            }
        }
    }
    first
}

fn one(
    info: &ServiceInfo,
    name: &str,
    place: &str,
    tables: &Tables,
    options: &Options,
    taken: &mut Taken,
    outcome: &mut Outcome,
) {
    let mut told = Vec::new();
    let mut tell = |message: String| told.push(message);
    let mut service = Map::from_iter([("name".to_owned(), json!(name))]);
    description(&info.service_desc, &mut service, &mut tell);
    let callers = match (info.load_type, options.require_tenants) {
        (0, true) => Callers::Tenants,
        (2, true) => Callers::Connections,
        _ => Callers::Anybody,
    };
    let mut fit = true;
    let mut listener = None;
    match info.load_type {
        0 => fit &= http(tables.http.get(&info.id).copied(), name, &mut service, taken, &mut tell),
        1 => {
            let port = tables.tcp.get(&info.id).map(|row| row.port);
            listener = port_listener("tcp", port, name, options, taken, &mut tell);
        }
        2 => {
            let row = tables.grpc.get(&info.id);
            if let Some(row) = row.filter(|row| !row.header_transfor.trim().is_empty()) {
                tell(format!(
                    "header_transfor {} is not carried over: the listener passes the bytes of a gRPC service on as they \
                     are. With a route by the path of its gRPC service and http2 = true it can have header rules",
                    quoted(&row.header_transfor)
                ));
            }
            listener = port_listener("grpc", row.map(|row| row.port), name, options, taken, &mut tell);
        }
        other => {
            tell(format!("load_type = {other}: gogate knows 0 HTTP, 1 TCP and 2 gRPC: it is switched off"));
            fit = false;
        }
    }
    let nodes = if info.load_type == 0 { Nodes::Http } else { Nodes::Bytes };
    match tables.balance.get(&info.id) {
        Some(row) => balance::convert(row, nodes, &mut service, &mut tell),
        None => tell("has no row in gateway_service_load_balance, so it has no nodes".to_owned()),
    }
    if let Some(row) = tables.access.get(&info.id) {
        fit &= access::convert(row, callers, &mut service, &mut tell);
    }
    service.insert("enabled".into(), json!(fit));
    outcome.items.push(Imported { kind: Kind::Service, name: name.to_owned(), body: Value::Object(service) });
    if let Some((name, mut body)) = listener {
        if !fit && let Some(enabled) = body.get_mut("enabled") {
            *enabled = json!(false);
        }
        outcome.items.push(Imported { kind: Kind::Listener, name, body });
    }
    for message in told {
        outcome.warn(place, message);
    }
}

fn description(text: &str, service: &mut Map<String, Value>, tell: &mut impl FnMut(String)) {
    let mut clean: String =
        text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c }).collect();
    if clean.len() > DESCRIPTION_BYTES_MAX {
        let end = (0..=DESCRIPTION_BYTES_MAX).rev().find(|&end| clean.is_char_boundary(end)).unwrap_or(0);
        clean.truncate(end);
        tell(format!("service_desc has more than {DESCRIPTION_BYTES_MAX} bytes: cut"));
    }
    if !clean.is_empty() {
        service.insert("description".into(), json!(clean));
    }
}

/// The route of an HTTP service; `false` if the service must not be in force.
fn http(
    row: Option<&HttpRule>,
    name: &str,
    service: &mut Map<String, Value>,
    taken: &mut Taken,
    tell: &mut impl FnMut(String),
) -> bool {
    let Some(row) = row else {
        tell("has no row in gateway_service_http_rule, so no request belongs to it".to_owned());
        return true;
    };
    let is_host = match row.rule_type {
        0 => false,
        1 => true,
        other => {
            tell(format!("rule_type = {other}: gogate knows 0 path prefix and 1 host: it gets no route"));
            return true;
        }
    };
    let mut route = if is_host {
        host_route(row.rule.trim(), &mut *tell)
    } else {
        Some(prefix_route(row.rule.trim(), &mut *tell))
    };
    let Some(route) = route.as_mut() else { return true };
    if row.need_strip_uri == 1 {
        if is_host {
            tell(
                "need_strip_uri = 1 has no meaning with a host, and had none in gogate: left out".to_owned(),
            );
        } else {
            route.insert("strip_prefix".into(), json!(true));
        }
    }
    if row.need_https == 1 {
        tell(
            "need_https = 1: it is served by every http and https listener. Have an https listener with a certificate, and \
             https_redirect = true on the http one if nobody is to come in clear; if its nodes speak TLS set tls = true"
                .to_owned(),
        );
    }
    let rewrites = rules::rewrites(&row.url_rewrite, &mut *tell);
    if !rewrites.is_empty() {
        route.insert("rewrites".into(), Value::Array(rewrites));
    }
    let headers = rules::headers(&row.header_transfor, &mut *tell);
    if !headers.is_empty() {
        service.insert("headers".into(), json!({ "request": headers }));
    }
    let key = (is_host, route[if is_host { "hosts" } else { "path_prefix" }].to_string());
    service.insert("routes".into(), json!([route]));
    match taken.rules.get(&key) {
        Some(other) => {
            tell(format!(
                "its rule {} is that of service \"{other}\", too, and one of them never got a request: it is switched off",
                quoted(&row.rule)
            ));
            false
        }
        None => {
            taken.rules.insert(key, name.to_owned());
            true
        }
    }
}

fn prefix_route(rule: &str, tell: &mut impl FnMut(String)) -> Map<String, Value> {
    let prefix = if rule.is_empty() {
        tell(
            "its path prefix is empty, so it takes every request that no other service takes: look whether that is meant"
                .to_owned(),
        );
        "/".to_owned()
    } else if rule.starts_with('/') {
        rule.to_owned()
    } else {
        tell(format!(
            "its path prefix {} did not begin with /, so nothing fitted it: it is /{rule} here",
            quoted(rule)
        ));
        format!("/{rule}")
    };
    let prefix = match prefix.trim_end_matches('/') {
        "" => "/",
        without => without,
    };
    Map::from_iter([("path_prefix".to_owned(), json!(prefix))])
}

fn host_route(rule: &str, tell: &mut impl FnMut(String)) -> Option<Map<String, Value>> {
    let mut host = rule.to_ascii_lowercase();
    if host.is_empty() {
        tell("its host is empty, so nothing fitted it: it gets no route".to_owned());
        return None;
    }
    if let Some((name, port)) = rule.rsplit_once(':')
        && !name.is_empty()
        && !name.contains(':')
        && port.bytes().all(|it| it.is_ascii_digit())
    {
        tell(format!(
            "its host {} has a port, with which nothing fitted it: it is without here",
            quoted(rule)
        ));
        host = name.to_ascii_lowercase();
    }
    if host.starts_with("*.") {
        tell(format!(
            "its host {host} fitted nothing in gogate, which compared whole names: here all names below fit"
        ));
    }
    Some(Map::from_iter([("hosts".to_owned(), json!([host]))]))
}

/// The listener of a service with a port of its own: its name and body.
fn port_listener(
    kind: &str,
    port: Option<i64>,
    service: &str,
    options: &Options,
    taken: &mut Taken,
    tell: &mut impl FnMut(String),
) -> Option<(String, Value)> {
    let Some(written) = port else {
        tell(format!("has no row in gateway_service_{kind}_rule, so it has no port"));
        return None;
    };
    let Some(port) = u16::try_from(written).ok().filter(|port| *port > 0) else {
        tell(format!("its port {written} is none from 1 to 65535, so nobody listens for it"));
        return None;
    };
    let enabled = match taken.ports.get(&port) {
        Some(other) => {
            tell(format!("its port {port} is that of {other}, too: its listener is switched off"));
            false
        }
        None => {
            taken.ports.insert(port, format!("service \"{service}\""));
            true
        }
    };
    let address = SocketAddr::new(options.bind, port).to_string();
    let name = taken.listeners.take(service).name;
    let body = json!({
        "name": name, "enabled": enabled, "address": address, "protocol": "tcp", "service": service
    });
    Some((name, body))
}
