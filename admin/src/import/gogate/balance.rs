//! `gateway_service_load_balance`: nodes, policy, checks, time limits.

use std::collections::{HashMap, HashSet};

use coregate_config::limits::{CONNECTIONS_MAX, TIME_MAX, WEIGHT_MAX};
use serde_json::{Map, Value, json};

use super::lists::{quoted, shown, split};
use super::rows::LoadBalance;

/// gogate's defaults, which stand in for 0: seconds, and idle connections.
const CONNECT_SECONDS: i64 = 30;
const HEADER_SECONDS: i64 = 30;
const IDLE_SECONDS: i64 = 10;
const IDLE_CONNECTIONS: i64 = 500;
/// Of a limit from here on nobody meant seconds.
const LOOKS_LIKE_MILLISECONDS: i64 = 300;

/// Whether a service's nodes are asked by HTTP or get bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// A node without a port has port 80.
    Http,
    /// A node has a port.
    Bytes,
}

/// Writes what the row says into a service.
pub fn convert(
    row: &LoadBalance,
    kind: Nodes,
    service: &mut Map<String, Value>,
    tell: &mut impl FnMut(String),
) {
    let (policy, weights_count) = match row.round_type {
        0 => ("random", false),
        1 => ("round_robin", false),
        2 => ("weighted_round_robin", true),
        3 => ("ip_hash", false),
        other => {
            tell(format!(
                "round_type = {other}: gogate knows 0 random, 1 round robin, 2 weighted round robin and 3 IP hash, and \
                 took another for random: so it is here"
            ));
            ("random", false)
        }
    };
    service.insert("load_balancer".into(), json!({ "policy": policy }));
    service.insert("nodes".into(), Value::Array(nodes(row, kind, weights_count, tell)));
    service.insert("health_check".into(), health_check(row, tell));
    service.insert("timeouts".into(), timeouts(row, tell));
    let idle = match row.upstream_max_idle {
        0 => IDLE_CONNECTIONS,
        idle if (0..=CONNECTIONS_MAX).contains(&idle) => idle,
        odd => {
            tell(format!(
                "upstream_max_idle = {odd}: must be 0 to {CONNECTIONS_MAX}; {IDLE_CONNECTIONS} is taken"
            ));
            IDLE_CONNECTIONS
        }
    };
    service.insert("pool".into(), json!({ "max_idle_per_node": idle }));
}

fn nodes(row: &LoadBalance, kind: Nodes, weights_count: bool, tell: &mut impl FnMut(String)) -> Vec<Value> {
    let addresses: Vec<&str> = split(&row.ip_list).collect();
    let weights: Vec<&str> = split(&row.weight_list).collect();
    if addresses.is_empty() {
        tell("ip_list is empty: the service has no nodes and answers 503".to_owned());
    } else if weights_count && weights.len() != addresses.len() {
        tell(format!(
            "weight_list has {} weights for {} nodes; a node without one gets 1",
            weights.len(),
            addresses.len()
        ));
    }
    if !weights_count && weights.iter().collect::<HashSet<_>>().len() > 1 {
        tell(format!(
            "weight_list {}: gogate's policy did not look at weights; all nodes have 1",
            quoted(&row.weight_list)
        ));
    }
    let mut forbidden: HashMap<String, bool> =
        split(&row.forbid_list).map(|node| (with_port(node, kind), false)).collect();
    let mut seen = HashSet::new();
    let mut nodes = Vec::new();
    for (index, written) in addresses.iter().enumerate() {
        let address = with_port(written, kind);
        if !written.contains(&*address) && !written.contains("://") {
            tell(format!(
                "node {}: it has no port, which was 80 in gogate: it is {address}",
                quoted(written)
            ));
        }
        if written.starts_with("https://") {
            tell(format!("node {}: it speaks TLS: set tls = true and look at upstream_tls", quoted(written)));
        }
        if !seen.insert(address.clone()) {
            tell(format!("ip_list has {} twice: it stands once", quoted(&address)));
            continue;
        }
        let mut enabled = !forbidden.get_mut(&address).is_some_and(|used| {
            *used = true;
            true
        });
        let mut weight = 1;
        if weights_count && let Some(text) = weights.get(index) {
            (weight, enabled) = weigh(text, &address, enabled, tell);
        }
        nodes.push(json!({ "address": address, "weight": weight, "enabled": enabled }));
    }
    let mut strangers: Vec<String> =
        forbidden.into_iter().filter(|(_, used)| !used).map(|(node, _)| node).collect();
    strangers.sort();
    if !strangers.is_empty() {
        tell(format!("forbid_list has {}, which ip_list does not have: left out", shown(&strangers)));
    }
    nodes
}

/// A node's weight, and whether it gets anything.
fn weigh(text: &str, address: &str, enabled: bool, tell: &mut impl FnMut(String)) -> (i64, bool) {
    match text.parse::<i64>() {
        Ok(weight @ 1..=WEIGHT_MAX) => (weight, enabled),
        Ok(weight) if weight <= 0 => {
            tell(format!(
                "node {address} has the weight {weight}, so that it got nothing: it is switched off"
            ));
            (1, false)
        }
        Ok(weight) => {
            tell(format!(
                "node {address} has the weight {weight}, and {WEIGHT_MAX} is the most: it has that"
            ));
            (WEIGHT_MAX, enabled)
        }
        Err(_) => {
            tell(format!("node {address} has the weight {}, which is no number: it has 1", quoted(text)));
            (1, enabled)
        }
    }
}

/// `host:port` of what may be a URL or lack its port.
fn with_port(written: &str, kind: Nodes) -> String {
    let bare = written.strip_prefix("http://").or_else(|| written.strip_prefix("https://"));
    let bare = bare.unwrap_or(written).trim_end_matches('/');
    let has_port = match bare.rsplit_once(':') {
        Some((host, port)) => {
            (!host.contains(':') || host.ends_with(']')) && port.bytes().all(|it| it.is_ascii_digit())
        }
        None => false,
    };
    if has_port || kind == Nodes::Bytes {
        return bare.to_owned();
    }
    let port = if written.starts_with("https://") { 443 } else { 80 };
    if bare.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{bare}]:{port}")
    } else {
        format!("{bare}:{port}")
    }
}

fn health_check(row: &LoadBalance, tell: &mut impl FnMut(String)) -> Value {
    if row.check_method != 0 {
        tell(format!(
            "check_method = {}: gogate knows 0 (a connection is opened) alone, and so it is here",
            row.check_method
        ));
    }
    let mut check = Map::from_iter([("kind".to_owned(), json!("tcp"))]);
    let interval = seconds(row.check_interval, 5, "check_interval", tell);
    let mut timeout = seconds(row.check_timeout, 2, "check_timeout", tell);
    if timeout > interval {
        if row.check_timeout != 0 {
            tell(format!(
                "check_timeout = {timeout} s is longer than check_interval = {interval} s: the checks would overlap, so it \
                 is {interval} s"
            ));
        }
        timeout = interval;
    }
    check.insert("interval".into(), json!(format!("{interval}s")));
    check.insert("timeout".into(), json!(format!("{timeout}s")));
    Value::Object(check)
}

fn timeouts(row: &LoadBalance, tell: &mut impl FnMut(String)) -> Value {
    let mut time = |value, default, column| format!("{}s", seconds(value, default, column, tell));
    json!({
        "connect": time(row.upstream_connect_timeout, CONNECT_SECONDS, "upstream_connect_timeout"),
        "response_header": time(row.upstream_header_timeout, HEADER_SECONDS, "upstream_header_timeout"),
        "idle": time(row.upstream_idle_timeout, IDLE_SECONDS, "upstream_idle_timeout"),
    })
}

/// A time in seconds; 0 stands for the default.
fn seconds(value: i64, default: i64, column: &str, tell: &mut impl FnMut(String)) -> i64 {
    let max = i64::try_from(TIME_MAX.as_secs()).unwrap_or(i64::MAX);
    if value == 0 {
        return default;
    }
    if value < 0 {
        tell(format!("{column} = {value}: a time is not negative; {default} s is taken"));
        return default;
    }
    let taken = value.min(max);
    if value >= LOOKS_LIKE_MILLISECONDS {
        let cut = if taken < value { format!(" {taken} s is the most and is taken.") } else { String::new() };
        tell(format!(
            "{column} = {value} counts seconds and looks like milliseconds: carried over as {taken} s.{cut} If milliseconds \
             were meant, write \"{value}ms\""
        ));
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(row: &LoadBalance, kind: Nodes) -> (Value, Vec<String>) {
        let (mut service, mut told) = (Map::new(), Vec::new());
        convert(row, kind, &mut service, &mut |message| told.push(message));
        (Value::Object(service), told)
    }

    #[test]
    fn zero_stands_for_gogates_defaults() {
        let row = LoadBalance { ip_list: "10.0.0.1:80".into(), round_type: 1, ..LoadBalance::default() };
        let (service, told) = converted(&row, Nodes::Http);
        assert_eq!(service["timeouts"], json!({ "connect": "30s", "response_header": "30s", "idle": "10s" }));
        assert_eq!(service["pool"], json!({ "max_idle_per_node": 500 }));
        assert_eq!(service["health_check"], json!({ "kind": "tcp", "interval": "5s", "timeout": "2s" }));
        assert_eq!(service["load_balancer"], json!({ "policy": "round_robin" }));
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn times_that_look_like_milliseconds_are_told_and_kept() {
        let row = LoadBalance {
            ip_list: "10.0.0.1:80".into(),
            upstream_connect_timeout: 299,
            upstream_header_timeout: 300,
            upstream_idle_timeout: 1_000_000,
            check_timeout: -1,
            ..LoadBalance::default()
        };
        let (service, told) = converted(&row, Nodes::Http);
        assert_eq!(
            service["timeouts"],
            json!({ "connect": "299s", "response_header": "300s", "idle": "86400s" })
        );
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told.iter().any(|it| it.contains("upstream_header_timeout = 300") && it.contains("\"300ms\""))
        );
    }

    #[test]
    fn weights_count_where_gogate_looked_at_them() {
        let row = LoadBalance {
            round_type: 2,
            ip_list: "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80,10.0.0.4:80,10.0.0.1:80".into(),
            weight_list: "50,0,x,70000".into(),
            forbid_list: "10.0.0.3:80,10.0.0.9:80".into(),
            ..LoadBalance::default()
        };
        let (service, told) = converted(&row, Nodes::Http);
        let shown: Vec<_> = service["nodes"].as_array().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                r#"{"address":"10.0.0.1:80","enabled":true,"weight":50}"#,
                r#"{"address":"10.0.0.2:80","enabled":false,"weight":1}"#,
                r#"{"address":"10.0.0.3:80","enabled":false,"weight":1}"#,
                r#"{"address":"10.0.0.4:80","enabled":true,"weight":65535}"#,
            ]
        );
        assert_eq!(told.len(), 6, "{told:?}");
        let (service, told) = converted(&LoadBalance { round_type: 3, ..row }, Nodes::Http);
        assert!(service["nodes"].as_array().unwrap().iter().all(|node| node["weight"] == 1));
        assert!(told.iter().any(|it| it.contains("did not look at weights")));
    }

    #[test]
    fn a_node_without_a_port_has_that_of_http() {
        assert_eq!(with_port("10.0.0.1", Nodes::Http), "10.0.0.1:80");
        assert_eq!(with_port("https://a.test", Nodes::Http), "a.test:443");
        assert_eq!(with_port("::1", Nodes::Http), "[::1]:80");
        assert_eq!(with_port("[::1]:8080", Nodes::Http), "[::1]:8080");
        assert_eq!(with_port("10.0.0.1", Nodes::Bytes), "10.0.0.1");
    }
}
