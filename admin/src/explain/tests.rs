use serde_json::{Value, json};

use super::compare::{Comparison, Sample, compare};
use super::*;

fn document() -> Value {
    json!({
        "certificates": [{ "name": "site", "chain": "sealed", "key": "enc:v1:AAAA" }],
        "listeners": [
            { "name": "https", "address": "0.0.0.0:443", "protocol": "https", "certificates": [{ "certificate": "site" }] },
            { "name": "db", "address": "0.0.0.0:5432", "protocol": "tcp", "service": "db" },
        ],
        "services": [
            { "name": "api", "routes": [{ "hosts": ["api.test"], "path_prefix": "/v1", "strip_prefix": true,
                                          "rewrites": [{ "pattern": "^/old", "replacement": "/new" }] }],
              "nodes": [{ "address": "10.0.0.1:80" }, { "address": "name.test:80", "enabled": false }],
              "access": { "deny": ["192.0.2.0/24"] },
              "limits": { "requests_per_second": 10, "burst": 30 } },
            { "name": "tenants", "routes": [{ "path_prefix": "/t" }], "nodes": [{ "address": "name.test:80" }],
              "access": { "require_tenant": true } },
            { "name": "db", "nodes": [{ "address": "10.0.0.2:5432" }], "limits": { "max_connections_per_client_ip": 3 } },
        ],
        "tenants": [{ "app_id": "one", "secret": "a long secret", "requests_per_second": 5, "requests_per_day": 100 }],
    })
}

fn ground(document: &Value) -> Ground {
    Ground::compile(7, document).unwrap_or_else(|report| panic!("{report}"))
}

fn asked(url: &str) -> Asked {
    Asked { method: "GET".into(), url: url.into(), client: None, headers: Vec::new(), tenant: None }
}

fn answer(ground: &Ground, asked: &Asked) -> Answer {
    let request = asked.request(ground.snapshot(), 0).unwrap();
    Answer::of(ground, ground.ask(&request, |_, address| address != "10.0.0.2:80"))
}

#[test]
fn a_request_goes_the_way_that_the_engine_would_take() {
    let ground = ground(&document());
    let told = answer(&ground, &asked("http://api.test/v1/old/x?q=1"));
    assert_eq!((told.outcome.outcome, told.outcome.status), ("forwarded", None));
    assert_eq!(told.outcome.service.as_deref(), Some("api"));
    assert_eq!(told.outcome.path_upstream.as_deref(), Some("/new/x"));
    assert_eq!(told.node.as_deref(), Some("10.0.0.1:80"));
    let stages: Vec<&str> = told.steps.iter().map(|step| &*step.stage).collect();
    assert_eq!(stages, ["route", "access", "tenant", "service limit", "path", "balance"]);
    let limit = told.outcome.limits.service.unwrap();
    assert_eq!((limit.requests_per_second, limit.burst, limit.mode), (10.0, 30.0, "enforce"));
}

#[test]
fn refusals_are_told_with_their_status() {
    let ground = ground(&document());
    let denied = Asked { client: Some("192.0.2.7".parse().unwrap()), ..asked("http://api.test/v1") };
    let told = answer(&ground, &denied).outcome;
    assert_eq!((told.outcome, told.code, told.status), ("refused", Some("ip_denied"), Some(403)));
    let told = answer(&ground, &asked("http://other.test/v1")).outcome;
    assert_eq!((told.code, told.status, told.service), (Some("no_route"), Some(404), None));
    assert_eq!(answer(&ground, &asked("http://other.test/oauth/token")).outcome.outcome, "answered");
}

#[test]
fn credentials_are_looked_at_as_the_engine_does() {
    use base64::Engine as _;
    let ground = ground(&document());
    let basic = |text: &str| {
        let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
        Asked { headers: vec![("Authorization".into(), value)], ..asked("/t") }
    };
    let told = answer(&ground, &basic("one:a long secret")).outcome;
    assert_eq!((told.outcome, told.tenant.as_deref()), ("forwarded", Some("one")), "names need no look-up");
    assert_eq!(told.limits.tenant.unwrap().requests_per_second, 5.0);
    assert_eq!(told.limits.tenant_requests_per_day, Some(100));
    assert_eq!(answer(&ground, &basic("one:wrong")).outcome.code, Some("invalid_token"));
    assert_eq!(answer(&ground, &asked("/t")).outcome.code, Some("tenant_required"));
}

#[test]
fn what_there_cannot_be_is_said() {
    let ground = ground(&document());
    let wrong = |asked: Asked| asked.request(ground.snapshot(), 0).unwrap_err();
    assert_eq!(wrong(asked("api.test/v1")).key, "url");
    assert_eq!(wrong(Asked { method: "G T".into(), ..asked("/") }).key, "method");
    let host = vec![("host".to_owned(), "a b".to_owned())];
    assert_eq!(wrong(Asked { headers: host, ..asked("/") }).key, "headers");
    assert!(Ground::compile(1, &json!({ "services": [{ "name": "a b" }] })).is_err());
}

fn differences(before: &Value, after: &Value, sample: &Sample) -> Comparison {
    compare(&ground(before), &ground(after), sample, 0)
}

#[test]
fn only_what_differs_is_told() {
    let mut after = document();
    after["services"][0]["limits"]["burst"] = json!(40);
    after["services"][0]["routes"][0]["path_prefix"] = json!("/v2");
    after["services"][0]["nodes"][0]["address"] = json!("10.0.0.9:80");
    let sample = [
        asked("http://api.test/v1/a"),
        asked("http://api.test/v1/a?again"),
        asked("http://api.test/v2/a"),
        asked("/t"),
        asked("nonsense"),
    ];
    let told = differences(&document(), &after, &Sample::Typed(&sample));
    assert_eq!((told.compared, told.skipped, told.differing, told.results.len()), (4, 1, 3, 2));
    assert_eq!(told.results[0].count, 2);
    assert_eq!((told.results[0].before.outcome, told.results[0].after.code), ("forwarded", Some("no_route")));
    assert_eq!(differences(&document(), &document(), &Sample::Typed(&sample)).differing, 0);

    let mut limits = document();
    limits["services"][0]["limits"]["burst"] = json!(40);
    let told = differences(&document(), &limits, &Sample::Typed(&sample));
    let burst = |outcome: &Outcome| outcome.limits.service.as_ref().unwrap().burst;
    assert_eq!((burst(&told.results[0].before), burst(&told.results[0].after)), (30.0, 40.0));
}

#[test]
fn another_route_to_the_same_is_no_difference() {
    let mut after = document();
    for service in after["services"].as_array_mut().unwrap() {
        if service["name"] == "tenants" {
            service["routes"].as_array_mut().unwrap().push(json!({ "path_prefix": "/t/x" }));
        }
    }
    let sample = [asked("/t/x/1"), asked("/t/y")];
    let told = differences(&document(), &after, &Sample::Typed(&sample));
    assert_eq!((told.compared, told.differing), (2, 0));
}

#[test]
fn a_log_in_either_format_is_a_sample() {
    let mut after = document();
    after["services"][0]["access"]["deny"] = json!(["192.0.2.0/24", "10.0.0.9"]);
    let log = "10.0.0.9 - - [26/Nov/2026:02:00:00 +0000] \"GET /v1/a HTTP/1.1\" 200 2 \"-\" \"-\"\n\
               nonsense\n\n\
               {\"client\":\"10.0.0.9\",\"method\":\"GET\",\"target\":\"/v1/a\",\"host\":\"api.test\"}\n\
               {\"client\":\"10.0.0.8\",\"method\":\"GET\",\"target\":\"/v1/a\",\"host\":\"api.test\"}\n";
    let told = differences(&document(), &after, &Sample::Log(log, Some("api.test")));
    assert_eq!((told.compared, told.skipped, told.differing), (3, 1, 2));
    assert_eq!(told.results[0].after.code, Some("ip_denied"));
}

#[test]
fn a_sample_of_many_is_bounded_and_counted() {
    let log: String =
        (0..2000).map(|i| format!("10.0.0.9 - - [t] \"GET /v1/{i} HTTP/1.1\" 200 2 \"-\" \"-\"\n")).collect();
    let told = differences(&document(), &json!({}), &Sample::Log(&log, Some("api.test")));
    assert_eq!((told.differing, told.results.len(), told.truncated), (2000, compare::RESULTS_MAX, true));
}
