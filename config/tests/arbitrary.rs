//! Whatever the text, reading it never panics; and whatever follows the schema loads, in both formats, and goes round.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;
use std::time::{Duration, Instant};

use coregate_config::{Size, Time, parse_json, parse_toml, raw, redacted_json};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        let _ = parse_toml(&text, "f");
        let _ = parse_json(&text, "f");
    }

    /// An example with a few places overwritten gets further than any random text.
    #[test]
    fn damaged_examples_are_read_without_panic(damage in vec((any::<Index>(), 0_usize..4, "\\PC{0,3}|[\"\\[\\]{}=\\\\\n]"), 1..6)) {
        let mut text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gateway.toml")).unwrap();
        for (place, length, with) in damage {
            let mut start = place.index(text.len());
            while !text.is_char_boundary(start) { start -= 1; }
            let mut end = (start + length).min(text.len());
            while !text.is_char_boundary(end) { end += 1; }
            text.replace_range(start..end, &with);
        }
        if let Err(report) = parse_toml(&text, "f") {
            prop_assert!(!report.errors.is_empty());
            prop_assert!(report.to_string().lines().count() > report.errors.len());
        }
    }

    /// The schema's keys in the right places with any values: every check sees odd input.
    #[test]
    fn odd_values_are_read_without_panic(value in odd_gateway()) {
        if let Err(report) = parse_json(&value.to_string(), "f") {
            prop_assert!(!report.errors.is_empty());
        }
    }

    #[test]
    fn what_follows_the_schema_loads_and_goes_round(gateway in gateway()) {
        let in_toml = parse_toml(&toml::to_string(&gateway).unwrap(), "f");
        let in_json = parse_json(&serde_json::to_string(&gateway).unwrap(), "f");
        let in_toml = in_toml.map_err(|report| TestCaseError::fail(report.to_string()))?;
        let in_json = in_json.map_err(|report| TestCaseError::fail(report.to_string()))?;
        let json = redacted_json(&in_json);
        prop_assert_eq!(&redacted_json(&in_toml), &json);
        let again = parse_json(&json.to_string(), "f");
        let again = again.map_err(|report| TestCaseError::fail(report.to_string()))?;
        prop_assert_eq!(redacted_json(&again), json);
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the time that it takes is what is tested")]
fn ten_thousand_services_are_checked_quickly() {
    let service = |n: usize| {
        format!(
            "[[services]]\nname = \"service_{n}\"\n[[services.routes]]\npath_prefix = \"/service_{n}\"\nstrip_prefix = true\n\
             [[services.nodes]]\naddress = \"10.0.0.1:{port}\"\n[[services.nodes]]\naddress = \"10.0.0.2:{port}\"\n\
             [services.timeouts]\nconnect = \"1s\"\n[services.limits]\nrequests_per_second = 100\n",
            port = 1024 + n
        )
    };
    let text: String = (0..10_000).map(service).collect();
    let start = Instant::now();
    let gateway = parse_toml(&text, "f").unwrap_or_else(|report| panic!("{report}"));
    let took = start.elapsed();
    assert_eq!(gateway.services.len(), 10_000);
    // It takes less than half a second hardly optimised; the bound leaves room for busy machines.
    assert!(took < Duration::from_secs(10), "took {took:?}");
    println!("10,000 services in {took:?}");
}

/// Any JSON, shallow.
fn odd_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(WORDS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(KEYS), inner), 0..4).prop_map(|members| Value::Object(
                members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

const WORDS: &[&str] = &[
    "",
    "http",
    "tcp",
    "0.0.0.0:80",
    "[::]:80",
    "a:1",
    "/",
    "/a/%2",
    "*.a.b",
    "10s",
    "1KiB",
    "$1",
    "(a",
    "10.0.0.1/8",
    "redis://",
];

const KEYS: &[&str] = &[
    "name",
    "address",
    "protocol",
    "service",
    "certificates",
    "tls",
    "upstream_tls",
    "ca",
    "server_name",
    "certificate",
    "danger_accept_any_certificate",
    "chain",
    "key",
    "path_prefix",
    "hosts",
    "methods",
    "rewrites",
    "pattern",
    "replacement",
    "add",
    "set",
    "remove",
    "value",
    "weight",
    "kind",
    "path",
    "expect_status",
    "interval",
    "timeout",
    "requests_per_second",
    "burst",
    "per_client_ip",
    "allow",
    "deny",
    "app_id",
    "secret",
    "cpus",
    "shards",
];

fn odd_gateway() -> impl Strategy<Value = Value> {
    let object = |keys: &'static [&'static str]| {
        vec((select(keys), odd_value()), 0..5)
            .prop_map(|members| Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
    };
    let service = (object(KEYS), object(KEYS), object(KEYS), object(KEYS), object(KEYS)).prop_map(
        |(mut service, route, node, check, rule)| {
            service["routes"] = json!([route]);
            service["nodes"] = json!([node]);
            service["health_check"] = check;
            service["headers"] = json!({ "request": [rule] });
            service
        },
    );
    (
        object(KEYS),
        object(KEYS),
        object(KEYS),
        vec(object(KEYS), 0..3),
        vec(service, 0..3),
        vec(object(KEYS), 0..3),
        vec(object(KEYS), 0..3),
    )
        .prop_map(|(server, stats, control, listeners, services, tenants, certificates)| {
            json!({
                "server": server, "stats": stats, "control": control, "certificates": certificates,
                "listeners": listeners, "services": services, "tenants": tenants,
            })
        })
}

/// A gateway that follows the schema; names, addresses and prefixes are made unique by their place.
fn gateway() -> impl Strategy<Value = raw::Gateway> {
    (vec(service(), 0..5), 0_usize..4, tenants(), 0..=1024_i64, 1..=86_400_000_u64).prop_map(
        |(mut services, listeners, tenants, shards, millis)| {
            for (index, service) in services.iter_mut().enumerate() {
                service.name = format!("service_{index}");
                for (route_index, route) in service.routes.iter_mut().enumerate() {
                    route.path_prefix = format!("/{index}/{route_index}{}", route.path_prefix);
                }
                for (node_index, node) in service.nodes.iter_mut().enumerate() {
                    node.address = format!("{}:{}", node.address, 1 + node_index);
                }
            }
            let listener = |index: usize| raw::Listener {
                name: format!("listener-{index}"),
                address: format!("127.0.0.{index}:80"),
                header_timeout: Time(Duration::from_millis(millis)),
                ..raw::Listener::default()
            };
            raw::Gateway {
                server: raw::Server { shards, ..raw::Server::default() },
                listeners: (0..listeners).map(listener).collect(),
                services,
                tenants,
                ..raw::Gateway::default()
            }
        },
    )
}

fn service() -> impl Strategy<Value = raw::Service> {
    let node =
        (select(&["127.0.0.1", "[::1]", "origin.internal"][..]), 1..=65_535_i64, any::<bool>()).prop_map(
            |(address, weight, enabled)| raw::ServiceNode { address: address.to_owned(), weight, enabled },
        );
    let rate = (0.0..1e9_f64, prop_oneof![Just(0.0), 1.0..1e9_f64]);
    (
        "\\PC{0,20}",
        any::<bool>(),
        vec(route(), 0..3),
        vec(node, 0..4),
        proptest::option::of(health_check()),
        rate,
        0..=1_u64 << 50,
        vec(any::<(u32, u8)>(), 0..4),
        proptest::option::of(proptest::option::of(upstream_tls())),
    )
        .prop_map(
            |(description, enabled, routes, nodes, health_check, (rate, burst), body, networks, tls)| {
                raw::Service {
                    description,
                    enabled,
                    routes,
                    nodes,
                    tls: tls.is_some(),
                    upstream_tls: tls.flatten(),
                    health_check,
                    request: raw::Request { max_body_bytes: Size(body) },
                    limits: raw::Limits {
                        requests_per_second: rate,
                        burst: if rate > 0.0 { burst } else { 0.0 },
                        ..raw::Limits::default()
                    },
                    access: raw::Access {
                        allow: networks.into_iter().map(network).collect(),
                        ..raw::Access::default()
                    },
                    ..raw::Service::default()
                }
            },
        )
}

fn upstream_tls() -> impl Strategy<Value = raw::UpstreamTls> {
    let file = || proptest::option::of("[a-z]{1,8}\\.pem");
    let name = proptest::option::of(select(&["node.internal", "10.0.0.1", "::1"][..]));
    (file(), name, file(), any::<bool>()).prop_map(|(ca, server_name, chain, danger)| raw::UpstreamTls {
        ca,
        server_name: server_name.map(str::to_owned),
        certificate: chain.map(|chain| raw::ClientCertificate { chain, key: "a.key".to_owned() }),
        danger_accept_any_certificate: danger,
    })
}

fn network((address, prefix): (u32, u8)) -> String {
    let prefix = prefix % 33;
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    format!("{}/{prefix}", std::net::Ipv4Addr::from(address & mask))
}

fn route() -> impl Strategy<Value = raw::Route> {
    (
        btree_set("(\\*\\.)?[a-z]{1,8}(-[a-z0-9]{1,5})?\\.(com|org)", 0..3),
        "(/[A-Za-z0-9_~-]{1,8}){0,3}/?",
        btree_set(select(&["GET", "PUT", "POST", "DELETE", "PURGE"][..]), 0..3),
        any::<bool>(),
    )
        .prop_map(|(hosts, path_prefix, methods, strip_prefix)| raw::Route {
            hosts: hosts.into_iter().collect(),
            path_prefix,
            methods: methods.into_iter().map(str::to_owned).collect(),
            strip_prefix,
            rewrites: vec![raw::Rewrite { pattern: "^/a/(.*)$".into(), replacement: "/$1".into() }],
        })
}

fn health_check() -> impl Strategy<Value = raw::HealthCheck> {
    (10..=86_400_000_u64, vec(100..=599_i64, 0..4), any::<bool>()).prop_map(
        |(millis, expect_status, http)| {
            let check = raw::HealthCheck {
                interval: Time(Duration::from_millis(millis)),
                timeout: Time(Duration::from_millis(millis)),
                ..raw::HealthCheck::default()
            };
            match http {
                true => raw::HealthCheck {
                    kind: raw::HealthCheckKind::Http,
                    path: Some("/healthz?deep=1".into()),
                    expect_status,
                    ..check
                },
                false => check,
            }
        },
    )
}

fn tenants() -> impl Strategy<Value = Vec<raw::Tenant>> {
    (btree_set("[A-Za-z0-9_.-]{1,64}", 0..4), "\\PC{1,30}", 0.0..1e9_f64, any::<u32>()).prop_map(
        |(app_ids, secret, rate, per_day)| {
            let hashed = |byte: u32| raw::Secret(format!("{byte:064x}"));
            let as_hash = per_day % 2 == 0;
            let tenant = |app_id| raw::Tenant {
                app_id,
                secret: (!as_hash).then(|| raw::Secret(secret.clone())),
                secret_sha256: as_hash.then(|| hashed(per_day)),
                limits_mode: if as_hash { raw::LimitMode::Observe } else { raw::LimitMode::Enforce },
                requests_per_second: rate,
                requests_per_day: i64::from(per_day),
                ..raw::Tenant::default()
            };
            app_ids.into_iter().map(tenant).collect()
        },
    )
}
