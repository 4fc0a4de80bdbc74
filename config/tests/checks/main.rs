//! What each check refuses, and in which words.
//!
//! A case is a fragment of a file and the one error that it must give, as `KEY[ = VALUE]: MESSAGE`. The message may be
//! cut: it is compared up to the length that the case gives.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use coregate_config::checked::LimitMode;
use coregate_config::{Gateway, Report, parse_json, parse_toml};

mod certificates;
mod listeners;
mod routes;
mod services;

#[test]
fn the_process() {
    refused(&[
        ("[server]\nshards = -1", "server.shards = -1: must be 0 to 1024"),
        ("[server]\nshards = 1025", "server.shards = 1025: must be 0 to 1024"),
        (
            "[server]\nshards = 3\ncpus = [0, 1]",
            "server.shards = 3: must be 0 or 2, the number of server.cpus",
        ),
        ("[server]\ncpus = [1, 1]", "server.cpus[1] = 1: is the same as server.cpus[0] (line 2)"),
        ("[server]\ncpus = [-1]", "server.cpus[0] = -1: must be 0 to 8191"),
        ("[server]\nmax_connections = 0", "server.max_connections = 0: must be 1 to 10000000"),
        (
            "[server]\nclient_limit_entries = 999",
            "server.client_limit_entries = 999: must be 1000 to 100000000",
        ),
        (
            "[server]\nclient_limit_entries = 100000001",
            "server.client_limit_entries = 100000001: must be 1000 to 100000000",
        ),
        ("[server]\nops_address = \"localhost:1\"", r#"server.ops_address = "localhost:1": must be IP:PORT"#),
        ("[server]\ndrain_timeout = \"2d\"", r#"server.drain_timeout = "2d": must be 0s to 1d"#),
        ("[server]\ndrain_timeout = 30", "server.drain_timeout = 30: has no unit; for seconds write \"30s\""),
        (
            "[server]\ntrusted_proxies = [\"x\"]",
            r#"server.trusted_proxies[0] = "x": must be a network such as"#,
        ),
        ("[server.access_log]\nsample = 1.1", "server.access_log.sample = 1.1: must be 0.0"),
        ("[server.access_log]\nsample = nan", "server.access_log.sample = NaN: must be 0.0"),
        ("[server.access_log]\npath = \"\"", r#"server.access_log.path = "": must not be empty"#),
        (
            "[server.access_log]\nformat = \"jsn\"",
            r#"server.access_log.format = "jsn": must be one of "json", "combined"; did you mean "json"?"#,
        ),
        (
            "[stats]\ntimezone = \"Asia/Shangai\"",
            r#"stats.timezone = "Asia/Shangai": must be the IANA name of a time zone; did you mean "Asia/Shanghai"?"#,
        ),
        ("[stats]\ninterval = \"1ms\"", r#"stats.interval = "1ms": must be 10ms to 1h"#),
        ("[stats]\nretention = \"1m\"", r#"stats.retention = "1m": must be 1h to 3660d"#),
        (
            "[stats]\nkey_prefix = \"a b\"",
            r#"stats.key_prefix = "a b": must be at most 128 visible ASCII characters"#,
        ),
        (
            "[stats]\nredis_url = \"http://a\"",
            r#"stats.redis_url = "http://a": must begin with one of redis://"#,
        ),
        ("[stats]\nredis_url = \"redis://:6379\"", r#"stats.redis_url = "redis://:6379": must name a host"#),
        (
            "[control]\nadmin_url = \"http://a\"",
            "control.admin_url = \"http://a\": is for control.source = \"admin\" alone",
        ),
        (&admin("ftp://a"), "control.admin_url = \"ftp://a\": must begin with http:// or https://"),
        (&admin("http://u:p@a"), "control.admin_url = \"http://u:***@a\": must not hold credentials"),
        (&admin("http://:80"), "control.admin_url = \"http://:80\": must name a host"),
        (
            &format!("{}\n[[services]]\nname = \"a\"", admin("http://a")),
            "services: come from the admin, as control.source = \"admin\"",
        ),
    ]);
    refused(&[(
        "[control]\nsource = \"admin\"\nadmin_url = \"http://a\"\ntoken_file = \"t\"",
        "control.cache_path: is missing and must be given, as control.source = \"admin\"",
    )]);
    accepted(&[
        &admin("https://admin.example.com/base/"),
        "[server]\nshards = 2\ncpus = [0, 1]",
        "[stats]\nredis_url = \"rediss-cluster://user:p/w@a:1,b:2/0\"",
    ]);
}

#[test]
fn unknown_keys_get_the_nearest_known_one() {
    refused(&[
        ("serber = 1", "serber: unknown key; did you mean `server`?"),
        ("[[service]]", "service: unknown key; did you mean `services`?"),
        (
            &service("[[services.node]]"),
            "services[0].node: unknown key; did you mean `nodes`? (service \"svc\")",
        ),
        (&service("healthcheck = {}"), "services[0].healthcheck: unknown key; did you mean `health_check`?"),
        (
            &service("[services.request]\nmax-body-bytes = 1"),
            "services[0].request.max-body-bytes: unknown key; did you mean `max_body_bytes`?",
        ),
        (
            "[control]\nxyzzy = 1",
            "control.xyzzy: unknown key; here are known: source, admin_url, token_file, cache_path",
        ),
        ("\"a b\\n\" = 1", r#""a b\n": unknown key; here are known: server, stats"#),
    ]);
}

#[test]
fn values_of_the_wrong_kind() {
    refused(&[
        ("server = 5", "server = 5: must be a table, not an integer"),
        ("services = {}", "services: must be a list, not a table"),
        ("services = [5]", "services[0] = 5: must be a table, not an integer"),
        (
            &service("enabled = \"yes\""),
            r#"services[0].enabled = "yes": must be true or false, not a string"#,
        ),
        (
            &service("nodes = [{ address = \"a:1\", weight = 1.0 }]"),
            "services[0].nodes[0].weight = 1: must be a whole number, not a number",
        ),
        (
            &service("description = 2024-01-01"),
            "services[0].description = 2024-01-01: must be a string, not a date",
        ),
        (
            &listener("idle_timeout = \"10 s\""),
            r#"listeners[0].idle_timeout = "10 s": must be a duration: a whole number and one of ms, s, m, h, d"#,
        ),
        (
            &listener("max_header_bytes = \"16KB\""),
            r#"listeners[0].max_header_bytes = "16KB": must be a size: a whole number and one of B, KiB, MiB, GiB"#,
        ),
        (
            &listener("protocol = 5"),
            "listeners[0].protocol = 5: must be one of \"http\", \"https\", \"tcp\", not an integer",
        ),
    ]);
}

#[test]
fn counts_are_bounded() {
    let many =
        |count: usize, text: &dyn Fn(usize) -> String| (0..count).map(text).collect::<Vec<_>>().join(", ");
    let too_many = |what: &str, count: usize| {
        format!("services[0].{what}: has {} elements, at most {count} are allowed", count + 1)
    };
    refused(&[
        (
            &service(&format!("nodes = [{}]", many(1025, &|n| format!("{{ address = \"n{n}:1\" }}")))),
            &too_many("nodes", 1024),
        ),
        (
            &service(&format!("routes = [{}]", many(257, &|n| format!("{{ path_prefix = \"/{n}\" }}")))),
            &too_many("routes", 256),
        ),
        (
            &service(&format!(
                "[services.headers]\nrequest = [{}]",
                many(65, &|_| "{ remove = \"a\" }".to_owned())
            )),
            &too_many("headers.request", 64),
        ),
    ]);
}

#[test]
fn syntax_errors_have_their_place_and_no_text() {
    let report = parse_toml("[server]\nshards = = 1\n\n[stats\n", "gateway.toml").unwrap_err();
    let lines: Vec<_> = report.errors.iter().map(|it| it.line).collect();
    assert!(lines.contains(&Some(2)) && lines.contains(&Some(4)), "{report}");
    let report = parse_toml("[[tenants]]\nsecret = \"hunter2\" oops\n", "gateway.toml").unwrap_err();
    assert!(!report.to_string().contains("hunter2"), "{report}");

    let cases = [
        ("{\n  \"server\": {,}\n}", "g.json:2:14: "),
        ("{\"server\": {}, \"server\": {}}", "g.json:1:16: the key is given twice"),
        (
            "{\"server\": {\"shards\": 99999999999999999999}}",
            "g.json:1:23: the integer does not fit into 64 bits",
        ),
        ("", "g.json:1:1: EOF while parsing a value"),
        ("{\"a\": \"\\ud800\"}", "g.json:1:"),
        ("[]", "g.json:1:1: must be a table, not a list"),
    ];
    for (text, start) in cases {
        let report = parse_json(text, "g.json").unwrap_err().to_string();
        assert!(report.starts_with(start), "{text}: {report}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    const DEPTH: usize = 100_000;
    let lists = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
    assert!(parse_json(&lists, "g.json").unwrap_err().to_string().contains("levels deep"));
    let dotted = vec!["a"; DEPTH].join(".");
    for text in [
        format!("a = {lists}"),
        format!("{dotted} = 1"),
        format!("[{dotted}]"),
        format!("a = {{ {dotted} = 1 }}"),
    ] {
        let report = parse_toml(&text, "g.toml").unwrap_err();
        assert!(!report.errors.is_empty());
    }
}

#[test]
fn json_is_the_same_schema_and_null_is_nothing() {
    let text = r#"{"listeners": null, "services": [{"name": "a", "health_check": null, "pool": {"max_idle_per_node": 7}}]}"#;
    let gateway = parse_json(text, "g.json").unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(gateway.services[0].pool.max_idle_per_node, 7);
    assert!(gateway.services[0].health_check.is_none());

    let text =
        "{\"services\": [\n {\"name\": \"a\", \"nodes\": [{\"address\": \"b:1\", \"weight\": 70000}]}]}";
    let report = parse_json(text, "revision 7").unwrap_err();
    let expected =
        "revision 7:2:55: services[0].nodes[0].weight = 70000: must be 1 to 65535 (service \"a\")\n1 error";
    assert_eq!(report.to_string(), expected);
}

/// A file with one listener that has these keys, too.
fn listener(keys: &str) -> String {
    format!("[[listeners]]\nname = \"web\"\naddress = \"127.0.0.1:80\"\n{keys}")
}

/// A file with one service that has these keys, too.
fn service(keys: &str) -> String {
    format!("[[services]]\nname = \"svc\"\n{keys}")
}

/// A file with an admin at this URL.
fn admin(url: &str) -> String {
    format!("[control]\nsource = \"admin\"\nadmin_url = \"{url}\"\ntoken_file = \"t\"\ncache_path = \"c\"")
}

#[track_caller]
fn refused(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let report = match parse_toml(text, "gateway.toml") {
            Ok(_) => panic!("accepted:\n{text}"),
            Err(report) => report,
        };
        assert_eq!(report.errors.len(), 1, "{text}\n{report}");
        let told = without_place(&report);
        assert!(told.starts_with(expected), "{text}\nexpected {expected}\n    told {told}");
    }
}

/// The first error without `FILE:LINE:COLUMN: `.
fn without_place(report: &Report) -> String {
    let problem = &report.errors[0];
    let place = format!("gateway.toml:{}:{}: ", problem.line.unwrap(), problem.column.unwrap());
    problem.to_string().strip_prefix(&place).unwrap().to_owned()
}

#[track_caller]
fn accepted(texts: &[&str]) {
    for text in texts {
        loaded(text);
    }
}

#[track_caller]
fn loaded(text: &str) -> Gateway {
    parse_toml(text, "gateway.toml").unwrap_or_else(|report| panic!("{text}\n{report}"))
}
