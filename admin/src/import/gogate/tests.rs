use proptest::prelude::*;
use serde_json::{Value, json};

use super::rows::{AccessControl, App, GrpcRule, HttpRule, LoadBalance, ServiceInfo, TcpRule};
use super::*;

fn service(id: i64, load_type: i64, name: &str) -> ServiceInfo {
    ServiceInfo { id, load_type, service_name: name.into(), ..ServiceInfo::default() }
}

fn balance(service_id: i64, ip_list: &str) -> LoadBalance {
    LoadBalance { service_id, ip_list: ip_list.into(), round_type: 1, ..LoadBalance::default() }
}

fn prefix(service_id: i64, rule: &str) -> HttpRule {
    HttpRule { service_id, rule: rule.into(), need_websocket: 1, ..HttpRule::default() }
}

fn item<'a>(outcome: &'a Outcome, kind: Kind, name: &str) -> &'a Value {
    let found = outcome.items.iter().find(|item| item.kind == kind && item.name == name);
    &found.unwrap_or_else(|| panic!("no {kind} {name} in {:?}", outcome.items)).body
}

fn told<'a>(outcome: &'a Outcome, place: &str) -> Vec<&'a str> {
    outcome.warnings.iter().filter(|it| it.place == place).map(|it| &*it.message).collect()
}

fn assert_checks(outcome: &Outcome) {
    if let Err(report) = coregate_config::parse_dynamic_json(&outcome.document().to_string(), "test") {
        panic!("{report}\n{:#}", outcome.document());
    }
}

#[test]
fn a_service_by_prefix_is_carried_over_whole() {
    let rows = Rows {
        services: vec![ServiceInfo { service_desc: "说明".into(), ..service(1, 0, "api") }],
        http_rules: vec![HttpRule {
            need_strip_uri: 1,
            url_rewrite: "^/old/(.*) /new/$1".into(),
            header_transfor: "add x-from gogate,del x-secret x".into(),
            ..prefix(1, "/api/")
        }],
        access_controls: vec![AccessControl {
            service_id: 1,
            open_auth: 1,
            black_list: "10.0.0.9".into(),
            service_flow_limit: 100,
            clientip_flow_limit: 10,
            ..AccessControl::default()
        }],
        load_balances: vec![LoadBalance {
            round_type: 2,
            weight_list: "3,1".into(),
            upstream_connect_timeout: 5,
            ..balance(1, "10.0.0.1:80,10.0.0.2:80")
        }],
        ..Rows::default()
    };
    let outcome = convert(&rows, &Options::default());
    assert_checks(&outcome);
    assert_eq!(
        *item(&outcome, Kind::Service, "api"),
        json!({
            "name": "api", "description": "说明", "enabled": true,
            "routes": [{ "path_prefix": "/api", "strip_prefix": true,
                         "rewrites": [{ "pattern": "^/old/(.*)", "replacement": "/new/$1" }] }],
            "headers": { "request": [{ "set": "x-from", "value": "gogate" }, { "remove": "x-secret" }] },
            "access": { "deny": ["10.0.0.9"], "require_tenant": true },
            "limits": { "requests_per_second": 100.0, "burst": 300.0,
                        "per_client_ip": { "requests_per_second": 10.0, "burst": 30.0 } },
            "load_balancer": { "policy": "weighted_round_robin" },
            "nodes": [{ "address": "10.0.0.1:80", "weight": 3, "enabled": true },
                      { "address": "10.0.0.2:80", "weight": 1, "enabled": true }],
            "health_check": { "kind": "tcp", "interval": "5s", "timeout": "2s" },
            "timeouts": { "connect": "5s", "response_header": "30s", "idle": "10s" },
            "pool": { "max_idle_per_node": 500 },
        })
    );
    assert_eq!(told(&outcome, "service \"api\""), <[&str; 0]>::default());
    assert!(told(&outcome, "gogate").iter().any(|it| it.contains("burst = 3 x rate")));
    let open = Options { require_tenants: false, ..Options::default() };
    assert!(item(&convert(&rows, &open), Kind::Service, "api")["access"]["require_tenant"].is_null());
}

#[test]
fn tcp_and_grpc_services_get_listeners_and_a_port_is_taken_once() {
    let rows = Rows {
        services: vec![
            service(1, 1, "db"),
            service(2, 2, "rpc"),
            service(3, 1, "late"),
            service(4, 1, "no port"),
        ],
        tcp_rules: vec![
            TcpRule { service_id: 1, port: 5000 },
            TcpRule { service_id: 3, port: 5000 },
            TcpRule { service_id: 4, port: 70_000 },
        ],
        grpc_rules: vec![GrpcRule { service_id: 2, port: 5001, header_transfor: "add a b".into() }],
        load_balances: vec![balance(1, "10.0.0.1:80"), balance(2, "10.0.0.1:81"), balance(3, "10.0.0.1:82")],
        ..Rows::default()
    };
    let outcome = convert(&rows, &Options::default());
    assert_checks(&outcome);
    assert_eq!(
        *item(&outcome, Kind::Listener, "db"),
        json!({ "name": "db", "enabled": true, "address": "0.0.0.0:5000", "protocol": "tcp", "service": "db" })
    );
    assert_eq!(item(&outcome, Kind::Listener, "rpc")["enabled"], true);
    assert!(told(&outcome, "service \"rpc\"")[0].contains("header_transfor"));
    assert_eq!(item(&outcome, Kind::Listener, "late")["enabled"], false);
    assert!(told(&outcome, "service \"late\"")[0].contains("that of service \"db\""));
    assert!(told(&outcome, "service \"no-port\"").iter().any(|it| it.contains("70000")));
    assert!(!outcome.items.iter().any(|it| it.kind == Kind::Listener && it.name == "no-port"));
}

#[test]
fn what_looks_wrong_is_told() {
    let rows = Rows {
        services: vec![
            service(1, 0, "empty prefix"),
            service(2, 0, "a"),
            service(3, 0, "a"),
            ServiceInfo { is_delete: 1, ..service(4, 0, "gone") },
            service(5, 9, "odd"),
            service(6, 0, "host"),
        ],
        http_rules: vec![
            prefix(1, ""),
            prefix(2, "/a"),
            prefix(3, "/a"),
            prefix(2, "/again"),
            prefix(4, "/gone"),
            prefix(77, "/nobody"),
            HttpRule { rule_type: 1, ..prefix(6, "API.Example.com:8080") },
        ],
        ..Rows::default()
    };
    let outcome = convert(&rows, &Options::default());
    assert_checks(&outcome);
    let first = told(&outcome, "service \"empty-prefix\"");
    assert!(
        first[0].contains("was \"empty prefix\"") && first[1].contains("path prefix is empty"),
        "{first:?}"
    );
    assert_eq!(item(&outcome, Kind::Service, "a-2")["enabled"], false, "its route is that of a");
    assert!(told(&outcome, "gateway_service_info")[0].starts_with("1 deleted"));
    let rules = told(&outcome, "gateway_service_http_rule");
    assert!(
        rules[0].contains("service_id 2")
            && rules[1].starts_with("1 rows are of services that are not there")
    );
    assert_eq!(item(&outcome, Kind::Service, "odd")["enabled"], false);
    assert_eq!(item(&outcome, Kind::Service, "host")["routes"], json!([{ "hosts": ["api.example.com"] }]));
}

#[test]
fn prefixes_that_begin_with_others_are_told() {
    let rows = Rows {
        services: vec![service(1, 0, "one"), service(2, 0, "two"), service(3, 0, "three")],
        http_rules: vec![prefix(1, "/ab"), prefix(2, "/a"), prefix(3, "/b")],
        ..Rows::default()
    };
    let outcome = convert(&rows, &Options::default());
    assert!(told(&outcome, "gogate").iter().any(|it| it.contains("\"/a and /ab\"")));
}

#[test]
fn what_the_check_refuses_is_taken_out_and_the_rest_stays() {
    let rows = Rows {
        services: vec![service(1, 0, "rewrites"), service(2, 0, "nodes"), service(3, 0, "prefix")],
        http_rules: vec![
            HttpRule {
                url_rewrite: "^/( /x,^/y /z,^/n /$3".into(),
                header_transfor: "add connection close,add x-ok 1".into(),
                ..prefix(1, "/r")
            },
            prefix(2, "/n"),
            prefix(3, "/p//q"),
        ],
        load_balances: vec![balance(2, "10.0.0.300:80,10.0.0.1:80,a b:1")],
        ..Rows::default()
    };
    let outcome = convert(&rows, &Options::default());
    assert_checks(&outcome);
    let rewrites = item(&outcome, Kind::Service, "rewrites");
    assert_eq!(rewrites["routes"][0]["rewrites"], json!([{ "pattern": "^/y", "replacement": "/z" }]));
    assert_eq!(rewrites["headers"]["request"], json!([{ "set": "x-ok", "value": "1" }]));
    let told_of = told(&outcome, "service \"rewrites\"");
    assert_eq!(told_of.iter().filter(|it| it.contains("left out")).count(), 3, "{told_of:?}");
    assert_eq!(item(&outcome, Kind::Service, "nodes")["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(item(&outcome, Kind::Service, "prefix")["routes"], json!([]));
}

#[test]
fn tenants_keep_no_secret() {
    let app =
        |app_id: &str, secret: &str| App { app_id: app_id.into(), secret: secret.into(), ..App::default() };
    let rows = Rows {
        apps: vec![
            App {
                name: "One".into(),
                white_ips: "10.0.0.1\n10.0.0.2".into(),
                qpd: 1000,
                qps: 5,
                ..app("one", "449441eb5e72dca9c42a12f3924ea3a2")
            },
            app("weak", "abc"),
            app("none", ""),
            App { white_ips: "office".into(), ..app("closed", "449441eb5e72dca9c42a12f3924ea3a2") },
            App { is_delete: 1, ..app("gone", "x") },
        ],
        ..Rows::default()
    };
    let outcome = convert(&rows, &Options::default());
    assert_checks(&outcome);
    assert_eq!(
        *item(&outcome, Kind::Tenant, "one"),
        json!({
            "app_id": "one", "name": "One", "allow": ["10.0.0.1", "10.0.0.2"], "requests_per_day": 1000,
            "requests_per_second": 5.0, "enabled": true,
            "secret_sha256": sha256("449441eb5e72dca9c42a12f3924ea3a2"),
        })
    );
    assert_eq!(item(&outcome, Kind::Tenant, "closed")["enabled"], false);
    assert_eq!(outcome.items.len(), 3);
    assert!(told(&outcome, "tenant \"none\"")[0].contains("no secret"));
    assert!(told(&outcome, "gateway_app").iter().any(|it| it.contains("\"weak\"")));
    assert!(!format!("{outcome:?}{rows:?}").contains("449441eb"));
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0i64..4, 2 => -2i64..70_000, 1 => any::<i64>()]
}

/// Texts that are near what gogate has in its columns.
fn text() -> BoxedStrategy<String> {
    let word = prop_oneof![
        "[a-c/]{0,6}".prop_map(|it| format!("/{it}")),
        Just("10.0.0.1:80".to_owned()),
        Just("10.0.0.1".to_owned()),
        Just("10.0.0.0/8".to_owned()),
        Just("a.test".to_owned()),
        proptest::sample::select(vec!["add", "edit", "del", "x-a", "host", "connection", "^/(.*)", "/b/$1"])
            .prop_map(str::to_owned),
        "[0-9]{1,6}",
        any::<String>(),
    ];
    (proptest::collection::vec(word, 0..5), prop_oneof![Just(" "), Just(","), Just("\n"), Just("")])
        .prop_map(|(words, separator)| words.join(separator))
        .boxed()
}

prop_compose! {
    fn services()(id in 0i64..4, load_type in -1i64..4, name in text(), desc in text(), is_delete in 0i64..2) -> ServiceInfo {
        ServiceInfo { id, load_type, service_name: name, service_desc: desc, is_delete }
    }
}

prop_compose! {
    fn http_rules()(
        service_id in 0i64..5, rule_type in -1i64..3, rule in text(), need_strip_uri in 0i64..2,
        url_rewrite in text(), header_transfor in text(),
    ) -> HttpRule {
        HttpRule { service_id, rule_type, rule, need_strip_uri, url_rewrite, header_transfor, ..HttpRule::default() }
    }
}

prop_compose! {
    fn access_controls()(
        service_id in 0i64..5, open_auth in 0i64..2, black_list in text(), white_list in text(),
        clientip_flow_limit in number(), service_flow_limit in number(),
    ) -> AccessControl {
        AccessControl {
            service_id, open_auth, black_list, white_list, clientip_flow_limit, service_flow_limit,
            ..AccessControl::default()
        }
    }
}

prop_compose! {
    fn load_balances()(
        service_id in 0i64..5, round_type in -1i64..5, ip_list in text(), weight_list in text(), forbid_list in text(),
        numbers in proptest::array::uniform7(number()),
    ) -> LoadBalance {
        let [check_method, check_timeout, check_interval, connect, header, idle, max_idle] = numbers;
        LoadBalance {
            service_id, round_type, ip_list, weight_list, forbid_list, check_method, check_timeout, check_interval,
            upstream_connect_timeout: connect, upstream_header_timeout: header, upstream_idle_timeout: idle,
            upstream_max_idle: max_idle,
        }
    }
}

prop_compose! {
    fn apps()(app_id in text(), name in text(), secret in text(), white_ips in text(), qpd in number(), qps in number()) -> App {
        App { app_id, name, secret, white_ips, qpd, qps, is_delete: 0 }
    }
}

prop_compose! {
    pub(in crate::import) fn rows()(
        services in proptest::collection::vec(services(), 0..5),
        http_rules in proptest::collection::vec(http_rules(), 0..5),
        ports in proptest::collection::vec((0i64..5, number()), 0..5),
        access_controls in proptest::collection::vec(access_controls(), 0..5),
        load_balances in proptest::collection::vec(load_balances(), 0..5),
        apps in proptest::collection::vec(apps(), 0..4),
    ) -> Rows {
        let tcp_rules = ports.iter().map(|&(service_id, port)| TcpRule { service_id, port }).collect();
        let grpc_rules = ports.iter()
            .map(|&(service_id, port)| GrpcRule { service_id, port, header_transfor: String::new() }).collect();
        Rows { services, http_rules, tcp_rules, grpc_rules, access_controls, load_balances, apps }
    }
}

proptest! {
    #[test]
    fn whatever_the_rows_say_the_outcome_checks(rows in rows(), http in any::<bool>(), require_tenants in any::<bool>()) {
        let http_listener = http.then(|| "0.0.0.0:8080".to_owned());
        let outcome = convert(&rows, &Options { http_listener, require_tenants, ..Options::default() });
        let checked = coregate_config::parse_dynamic_json(&outcome.document().to_string(), "test");
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }

    #[test]
    fn nobody_whom_a_list_kept_out_comes_in(row in access_controls()) {
        let rows = Rows {
            services: vec![service(row.service_id, 0, "a")],
            http_rules: vec![prefix(row.service_id, "/")],
            access_controls: vec![row.clone()],
            load_balances: vec![balance(row.service_id, "10.0.0.1:80")],
            ..Rows::default()
        };
        let options = Options { require_tenants: false, ..Options::default() };
        let gateway = coregate_config::parse_dynamic_json(&convert(&rows, &options).document().to_string(), "test").unwrap();
        let service = &gateway.services[0];
        let list = coregate::access::AccessList::build(&service.access.allow, &service.access.deny);
        for client in ["10.0.0.1", "192.0.2.1"] {
            let stands_in = |list: &str| lists::split(list).any(|it| it == client);
            let white = lists::split(&row.white_list).next().is_some();
            let refused = row.open_auth == 1
                && if white { !stands_in(&row.white_list) } else { stands_in(&row.black_list) };
            // What was written as a network is meant as one here; that is told.
            let widened = row.white_list.contains('/');
            if refused && service.enabled && !widened {
                prop_assert!(!list.permits(client.parse().unwrap()), "{client} {row:?}");
            }
        }
    }
}
