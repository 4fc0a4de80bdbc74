//! Tests of the route table: a table of cases, a naive matcher that scans all routes, and ten thousand services.

use std::time::Duration;

use coregate_config::checked::{
    Access, HeaderRules, LimitMode, LimitScope, Limits, Policy, Pool, Route, Service, Timeouts,
};
use proptest::prelude::*;

use super::*;

fn service(routes: Vec<Route>) -> Service {
    let second = Duration::from_secs(1);
    Service {
        name: "s".into(),
        description: String::new(),
        enabled: true,
        routes,
        headers: HeaderRules::default(),
        policy: Policy::RoundRobin,
        nodes: Vec::new(),
        tls: None,
        http2: false,
        send_proxy_protocol: None,
        health_check: None,
        timeouts: Timeouts {
            connect: second,
            response_header: second,
            body: second,
            idle: second,
            tunnel: second,
        },
        pool: Pool { max_idle_per_node: 1, max_connections_per_node: 0 },
        max_body_bytes: 0,
        limits: Limits {
            service: None,
            service_mode: LimitMode::Enforce,
            per_client_ip: None,
            per_client_ip_mode: LimitMode::Enforce,
            scope: LimitScope::Process,
            max_connections: None,
            max_connections_per_client_ip: None,
        },
        access: Access::default(),
    }
}

fn route(hosts: &[&str], prefix: &str, methods: &[&str]) -> Route {
    let host = |host: &&str| match host.strip_prefix("*.") {
        Some(suffix) => HostPattern::Wildcard(suffix.to_owned()),
        None => HostPattern::Exact((*host).to_owned()),
    };
    Route {
        hosts: hosts.iter().map(host).collect(),
        path_prefix: prefix.to_owned(),
        methods: methods.iter().map(|&method| method.to_owned()).collect(),
        strip_prefix: false,
        rewrites: Vec::new(),
    }
}

/// One service a route.
fn table(routes: &[(&[&str], &str, &[&str])]) -> RouteTable {
    let services: Vec<Service> = routes.iter().map(|&(h, p, m)| service(vec![route(h, p, m)])).collect();
    RouteTable::build(&services)
}

/// The service found, or what stands for it.
fn outcome(lookup: Lookup) -> String {
    match lookup {
        Lookup::Found(found) => format!("{}/{}", found.service, found.prefix_segments),
        Lookup::MethodNotAllowed(allow) => format!("405 {}", allow.as_str()),
        Lookup::NotFound => "404".to_owned(),
    }
}

#[test]
fn longest_match_wins() {
    let table = table(&[
        (&[], "/", &[]),                                     // 0
        (&[], "/a", &[]),                                    // 1
        (&[], "/a/b", &["GET", "POST"]),                     // 2
        (&["x.test"], "/a", &[]),                            // 3
        (&["*.x.test"], "/", &["PUT"]),                      // 4
        (&["*.y.x.test"], "/y", &[]),                        // 5
        (&["[::1]", "127.0.0.1"], "/v6", &[]),               // 6
        (&[], "/a/b", &["DELETE"]),                          // 7
        (&["m.test"], "/m", &["GET"]),                       // 8
        (&["m.test"], "/m", &[]),                            // 9
        (&["m.test"], "/m", &["GET", "HEAD"]),               // 10: GET is taken, HEAD is not
        (&["one.test", "two.test", "*.test"], "/many", &[]), // 11
        (&["deep.test"], "/1/2/3/4/5/6", &[]),               // 12
    ]);
    let long_label = format!("{}.x.test", "a".repeat(248));
    let too_long = format!("{}.x.test", "a".repeat(249));
    for (host, path, method, expected) in [
        ("any.org", "/", "GET", "0/0"),
        ("any.org", "/ab", "GET", "0/0"),
        ("any.org", "/a", "GET", "1/1"),
        ("any.org", "/a/", "GET", "1/1"),
        ("any.org", "/a//b", "GET", "1/1"),
        ("any.org", "//a", "GET", "0/0"),
        ("any.org", "/a/bc", "GET", "1/1"),
        ("any.org", "/A", "GET", "0/0"),
        ("any.org", "/a/b", "GET", "2/2"),
        ("any.org", "/a/b/c/d/e", "HEAD", "2/2"),
        ("any.org", "/a/b", "DELETE", "7/2"),
        ("any.org", "/a/b", "PUT", "405 DELETE, GET, HEAD, POST"),
        ("any.org", "/a/b", "get", "405 DELETE, GET, HEAD, POST"),
        ("x.test", "/a", "GET", "3/1"),
        ("X.TeSt:8080", "/a", "GET", "3/1"),
        ("x.test.", "/a", "GET", "3/1"),
        ("x.test.:80", "/a", "GET", "3/1"),
        ("x.test..", "/a", "GET", "1/1"),
        ("x.test", "/b", "GET", "0/0"),
        ("x.test", "/a/b", "GET", "3/1"),
        ("w.x.test", "/a/b", "PUT", "4/0"),
        ("w.x.test", "/a/b", "GET", "405 PUT"),
        ("v.w.x.test:1", "/", "PUT", "4/0"),
        (".x.test", "/a", "PUT", "1/1"),
        ("..x.test", "/a", "PUT", "4/0"),
        ("q.y.x.test", "/y/z", "GET", "5/1"),
        ("q.y.x.test", "/z", "PUT", "4/0"),
        ("y.x.test", "/y", "PUT", "4/0"),
        ("[::1]:443", "/v6", "GET", "6/1"),
        ("[::1]", "/v6", "GET", "6/1"),
        ("[::1", "/v6", "GET", "0/0"),
        ("127.0.0.1:80", "/v6", "GET", "6/1"),
        ("m.test", "/m", "GET", "8/1"),
        ("m.test", "/m", "PUT", "9/1"),
        ("m.test", "/m", "HEAD", "10/1"),
        ("two.test", "/many/x", "GET", "11/1"),
        ("three.test", "/many", "GET", "11/1"),
        ("deep.test", "/1/2/3/4/5/6", "GET", "12/6"),
        ("deep.test", "/1/2/3/4/5/6/7", "GET", "12/6"),
        ("deep.test", "/1/2/3/4/5/67", "GET", "0/0"),
        ("deep.test", "/1/2/3/4/5", "GET", "0/0"),
        ("", "/", "GET", "0/0"),
        (":80", "/", "GET", "0/0"),
        (".", "/", "GET", "0/0"),
        ("any.org", "", "GET", "404"),
        ("any.org", "*", "OPTIONS", "404"),
        (&long_label, "/", "PUT", "4/0"),
        (&too_long, "/", "PUT", "0/0"),
    ] {
        assert_eq!(outcome(table.lookup(host, path, method)), expected, "{method} {host} {path}");
    }
}

#[test]
fn nothing_configured_is_not_found() {
    let table = table(&[]);
    assert_eq!(table.lookup("x", "/", "GET"), Lookup::NotFound);
    assert_eq!(table.explain("x", "/", "GET").outcome, Outcome::NoRoute);
}

#[test]
fn disabled_services_are_skipped_and_keep_their_index() {
    let mut off = service(vec![route(&[], "/", &[])]);
    off.enabled = false;
    let on = service(vec![route(&["a"], "/b", &[]), route(&[], "/a", &[])]);
    let table = RouteTable::build(&[off, on]);
    assert_eq!(
        table.lookup("x", "/a", "GET"),
        Lookup::Found(RouteRef { service: 1, route: 1, prefix_segments: 1 })
    );
    assert_eq!(table.lookup("x", "/b", "GET"), Lookup::NotFound);
}

#[test]
fn a_lookup_is_explained_step_by_step() {
    let table = table(&[(&["*.test"], "/a/b", &["GET"]), (&[], "/", &["GET"])]);
    let explained = table.explain("W.Test:80", "/a/c", "PUT");
    let tried = |prefix: &str, matched| PrefixTried { prefix: prefix.to_owned(), matched };
    assert_eq!(
        explained,
        Explanation {
            host: "w.test".to_owned(),
            levels: vec![
                LevelTried {
                    kind: LevelKind::Exact,
                    pattern: "w.test".to_owned(),
                    configured: false,
                    prefixes: vec![]
                },
                LevelTried {
                    kind: LevelKind::Wildcard,
                    pattern: "*.test".to_owned(),
                    configured: true,
                    prefixes: vec![tried("/a/c", false), tried("/a", false), tried("/", false)],
                },
                LevelTried {
                    kind: LevelKind::Any,
                    pattern: "*".to_owned(),
                    configured: true,
                    prefixes: vec![tried("/", true)],
                },
            ],
            outcome: Outcome::MethodNotAllowed { allow: "GET, HEAD".to_owned() },
        }
    );
    let json = serde_json::to_value(&explained).unwrap();
    assert_eq!(json["outcome"]["method_not_allowed"]["allow"], "GET, HEAD");
}

/// What the design says, in the plainest words: look at every route and keep the best.
fn naive(services: &[Service], host: &str, path: &str, method: &str) -> String {
    let host = host.split(':').next().unwrap().to_lowercase();
    let mut best: Option<(usize, usize)> = None;
    let mut there = Vec::new();
    for (index, service) in services.iter().enumerate().filter(|(_, service)| service.enabled) {
        for route in &service.routes {
            let prefix = route.path_prefix.as_str();
            if prefix != "/" && path != prefix && !path.starts_with(&format!("{prefix}/")) {
                continue;
            }
            let host_rank = |pattern: &HostPattern| match pattern {
                HostPattern::Exact(name) => (*name == host).then_some(usize::MAX),
                HostPattern::Wildcard(suffix) => {
                    let below = host.strip_suffix(suffix.as_str()).and_then(|rest| rest.strip_suffix('.'));
                    below.filter(|rest| !rest.is_empty()).map(|_| suffix.len())
                }
            };
            let any = if route.hosts.is_empty() { Some(0) } else { None };
            let Some(host_rank) = route.hosts.iter().filter_map(host_rank).max().or(any) else { continue };
            let rank = (host_rank, prefix.len());
            if best.is_none_or(|best| rank > best) {
                best = Some(rank);
                there.clear();
            }
            if best == Some(rank) {
                there.push((index, route));
            }
        }
    }
    if there.is_empty() {
        return "404".to_owned();
    }
    let naming = |method: &str| there.iter().find(|(_, route)| route.methods.contains(method));
    let by_get = if method == "HEAD" { naming("GET") } else { None };
    let any = there.iter().find(|(_, route)| route.methods.is_empty());
    match naming(method).or(by_get).or(any) {
        Some((index, route)) => {
            format!("{index}/{}", route.path_prefix.split('/').filter(|s| !s.is_empty()).count())
        }
        None => {
            let mut allow: BTreeSet<&str> =
                there.iter().flat_map(|(_, route)| route.methods.iter().map(String::as_str)).collect();
            if allow.contains("GET") {
                allow.insert("HEAD");
            }
            format!("405 {}", allow.into_iter().collect::<Vec<_>>().join(", "))
        }
    }
}

fn any_host() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b", "test"], 1..4).prop_map(|labels| labels.join("."))
}

fn any_path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b", "ab", "é"], 0..5)
        .prop_map(|segments| format!("/{}", segments.join("/")))
}

fn any_service() -> impl Strategy<Value = Service> {
    let host = (any::<bool>(), any_host())
        .prop_map(|(wild, host)| if wild { HostPattern::Wildcard(host) } else { HostPattern::Exact(host) });
    let methods = proptest::collection::btree_set(prop_oneof!["GET", "HEAD", "PUT"], 0..3);
    let routes = (proptest::collection::vec(host, 0..3), any_path(), methods)
        .prop_map(|(hosts, path_prefix, methods)| Route { hosts, methods, ..route(&[], &path_prefix, &[]) });
    (proptest::collection::vec(routes, 0..4), 0..10)
        .prop_map(|(routes, off)| Service { enabled: off > 0, ..service(routes) })
}

proptest! {
    #[test]
    fn agrees_with_a_scan_of_all_routes(
        services in proptest::collection::vec(any_service(), 0..12),
        requests in proptest::collection::vec(
            (any_host(), prop_oneof!["", ":80"], any_path(), prop_oneof!["", "/"],
             prop_oneof!["GET", "HEAD", "PUT", "POST"], any::<bool>()), 1..20),
    ) {
        let table = RouteTable::build(&services);
        for (mut host, port, mut path, slash, method, upper) in requests {
            path += &slash;
            if upper {
                host.make_ascii_uppercase();
            }
            host += &port;
            let found = outcome(table.lookup(&host, &path, &method));
            prop_assert_eq!(&found, &naive(&services, &host, &path, &method), "{} {} {}", method, host, path);
            let explained = match table.explain(&host, &path, &method).outcome {
                Outcome::Found(route) => format!("{}/{}", route.service, route.prefix_segments),
                Outcome::MethodNotAllowed { allow } => format!("405 {allow}"),
                Outcome::NoRoute => "404".to_owned(),
            };
            prop_assert_eq!(found, explained);
        }
    }

    #[test]
    fn survives_anything(host in ".{0,300}", path in ".{0,40}", slashes in "[/a.]{0,40}", method in ".{0,8}") {
        let table = table(&[(&["a.b", "*.b", "*.a.b"], "/a/a", &[]), (&[], "/a", &["GET"])]);
        for path in [&path, &slashes, &format!("/{path}")] {
            table.lookup(&host, path, &method);
            table.explain(&host, path, &method);
        }
    }
}

/// A third by exact host, a third by wildcard, a third by prefix for any host; all below one host too.
fn many(count: usize) -> Vec<Service> {
    let route = |n: usize| match n % 3 {
        0 => route(&[&format!("host-{n}.example.com")], "/", &[]),
        1 => route(&[&format!("*.zone-{n}.example.com")], "/api/v1", &["GET"]),
        _ => route(&[], &format!("/service-{n}/api"), &[]),
    };
    (0..count).map(|n| service(vec![route(n)])).collect()
}

fn request_for(n: usize) -> (String, String) {
    match n % 3 {
        0 => (format!("Host-{n}.example.com:8080"), "/index.html".to_owned()),
        1 => (format!("www.zone-{n}.example.com"), "/api/v1/users".to_owned()),
        _ => ("gateway.example.com".to_owned(), format!("/service-{n}/api/users/17")),
    }
}

#[test]
fn each_of_ten_thousand_services_is_found() {
    let table = RouteTable::build(&many(10_000));
    for n in 0..10_000 {
        let (host, path) = request_for(n);
        match table.lookup(&host, &path, "GET") {
            Lookup::Found(found) => assert_eq!(found.service as usize, n),
            other => panic!("service {n}: {other:?}"),
        }
    }
}

/// Lookups in hash tables, which are what a lookup costs.
#[derive(Default)]
struct Count(usize);

impl Trace for Count {
    fn level(&mut self, _: LevelKind, _: &[u8], _: bool) {
        self.0 += 1;
    }
    fn prefix(&mut self, _: &str, _: bool) {
        self.0 += 1;
    }
}

#[test]
fn cost_does_not_grow_with_services_nor_with_what_clients_send() {
    let steps = |table: &RouteTable, host: &str, path: &str| {
        let mut count = Count::default();
        table.endpoint(host, path, &mut count);
        count.0
    };
    let (few, all) = (RouteTable::build(&many(10)), RouteTable::build(&many(10_000)));
    for n in 0..10 {
        let (host, path) = request_for(n);
        assert_eq!(steps(&few, &host, &path), steps(&all, &host, &path));
    }
    let (hostile_host, hostile_path) = ("a.".repeat(127), "/a".repeat(8_000));
    assert!(steps(&all, &hostile_host, &hostile_path) <= 9);
}

/// `cargo test --release -- --ignored --nocapture lookup_time`
#[test]
#[ignore = "measures; run it in release"]
fn lookup_time() {
    let requests: Vec<_> = (0..10_000).map(request_for).collect();
    for count in [10, 10_000] {
        let table = RouteTable::build(&many(count));
        let mut best = Duration::MAX;
        for _ in 0..100 {
            let started = crate::clock::read();
            // A stride that visits the services out of order, as traffic does.
            let picked = (0..10_000).map(|n| &requests[n * 7_919 % count]);
            let found = picked
                .filter(|(host, path)| matches!(table.lookup(host, path, "GET"), Lookup::Found(_)))
                .count();
            best = best.min(started.elapsed() / 10_000);
            assert_eq!(found, 10_000);
        }
        println!("{count} services: {best:?} a lookup");
    }
}
