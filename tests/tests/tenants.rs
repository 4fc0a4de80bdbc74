//! Tenants: a service that requires one answers those alone who prove to be one, each within its own limits.

use std::net::{IpAddr, Ipv4Addr};

use coregate_tests::gateway::Builder;
use coregate_tests::{Client, Gateway, Origin, PATIENCE, Request, eventually, get, post, request, service};

/// `app_a:secret-a`, `app_a:wrong`, `app_b:secret-b`, `nobody:secret-a` in base64.
const A: &str = "Basic YXBwX2E6c2VjcmV0LWE=";
const A_WRONG: &str = "Basic YXBwX2E6d3Jvbmc=";
const B: &str = "Basic YXBwX2I6c2VjcmV0LWI=";
const NOBODY: &str = "Basic bm9ib2R5OnNlY3JldC1h";

/// Two tenants before a service that requires one; the first one with these further keys.
fn before(origin: &Origin, keys: &str) -> Builder {
    let site = service("site").route("/").node(origin).with("access.require_tenant = true");
    Gateway::with(site).text(&format!(
        "[[tenants]]\napp_id = \"app_a\"\nsecret = \"secret-a\"\n{keys}\n\
         [[tenants]]\napp_id = \"app_b\"\nsecret = \"secret-b\""
    ))
}

fn with(authorization: &str) -> Request {
    get("/").field("Authorization", authorization)
}

fn form(body: &str) -> Request {
    post("/oauth/token").field("Content-Type", "application/x-www-form-urlencoded").body(body)
}

fn token(gateway: &Gateway, authorization: &str) -> String {
    let asked = form("grant_type=client_credentials").field("Authorization", authorization);
    let answer = gateway.client().ask(&asked);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["access_token"].as_str().expect("a token").to_owned()
}

#[test]
fn without_credentials_401_says_what_to_present_and_nothing_goes_on() {
    let origin = Origin::named("a");
    let gateway = before(&origin, "").start();
    let mut client = gateway.client();
    let refused = client.get("/");
    refused.expect_error(401, "tenant_required");
    let challenge = refused.field("www-authenticate").expect("WWW-Authenticate");
    assert!(challenge.contains("Basic realm=") && challenge.contains("Bearer realm="), "{challenge}");
    for wrong in [A_WRONG, NOBODY, "Basic !", "Basic", "Bearer a.b.c", "Bearer eyJhbGciOiJub25lIn0.e30."] {
        let refused = client.ask(&with(wrong));
        refused.expect_error(401, "invalid_token");
        assert!(refused.field("www-authenticate").is_some_and(|it| it.contains("error=\"invalid_token\"")));
    }
    client.ask(&with(A).field("Authorization", B)).expect_error(401, "invalid_token");
    assert_eq!(origin.count(), 0);
}

#[test]
fn the_origin_learns_which_tenant_it_is_and_not_its_secret() {
    let origin = Origin::named("a");
    let gateway = before(&origin, "").start();
    let asked = with(A).field("X-Coregate-App-Id", "forged");
    gateway.client().ask(&asked).expect(200, "a");
    let seen = origin.last();
    assert_eq!(seen.head.fields.all("x-coregate-app-id").collect::<Vec<_>>(), ["app_a"]);
    assert_eq!(seen.head.fields.get("authorization"), None);
}

#[test]
fn a_token_is_as_good_as_the_secret_on_every_engine_with_the_same_configuration() {
    let origin = Origin::named("a");
    let (gateway, other) = (before(&origin, "").start(), before(&origin, "").start());
    let bearer = format!("Bearer {}", token(&gateway, A));
    gateway.client().ask(&with(&bearer)).expect(200, "a");
    other.client().ask(&with(&bearer)).expect(200, "a");
    assert_eq!(origin.last().head.fields.get("x-coregate-app-id"), Some("app_a"));
    let mut forged = bearer.into_bytes();
    *forged.last_mut().expect("not empty") ^= 1;
    gateway
        .client()
        .ask(&with(&String::from_utf8(forged).expect("ASCII")))
        .expect_error(401, "invalid_token");
}

#[test]
fn the_token_endpoint_answers_as_oauth_clients_expect() {
    let origin = Origin::named("a");
    let gateway = before(&origin, "").start();
    let mut client = gateway.client();
    let in_body = "grant_type=client_credentials&client_id=app_b&client_secret=secret-b";
    let answer = client.ask(&form(in_body));
    assert_eq!((answer.status, answer.field("cache-control")), (200, Some("no-store")));
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let document = answer.json();
    assert_eq!(
        (document["token_type"].as_str(), document["expires_in"].as_u64()),
        (Some("Bearer"), Some(3600))
    );
    let denied = client.ask(&form("grant_type=client_credentials").field("Authorization", A_WRONG));
    assert_eq!((denied.status, denied.json()["error"].as_str()), (401, Some("invalid_client")));
    assert!(denied.field("www-authenticate").is_some_and(|it| it.starts_with("Basic")));
    let other = client.ask(&form("grant_type=password").field("Authorization", A));
    assert_eq!((other.status, other.json()["error"].as_str()), (400, Some("unsupported_grant_type")));
    assert_eq!(client.ask(&get("/oauth/token")).field("allow"), Some("POST"));
    let large = client.ask(&form(&"x".repeat(9000)));
    assert_eq!(large.status, 413);
    assert_eq!(origin.count(), 0, "the origin sees nothing of it");
}

#[test]
fn without_tenants_the_token_endpoint_is_a_path_like_any_other() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    gateway.client().ask(&form("grant_type=client_credentials")).expect(200, "a");
}

#[test]
fn a_tenant_calls_from_its_own_networks_only() {
    let origin = Origin::named("a");
    let gateway = before(&origin, "allow = [\"127.0.0.2\"]").start();
    let ask = |last, authorization| {
        let ip = IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
        Client::connect_from(ip, gateway.address()).expect("connect").ask(&with(authorization))
    };
    ask(2, A).expect(200, "a");
    ask(3, A).expect_error(403, "ip_denied");
    ask(3, B).expect(200, "a");
}

#[test]
fn each_tenant_has_a_rate_and_a_day_of_its_own() {
    let origin = Origin::named("a");
    let gateway = before(&origin, "requests_per_day = 3").start();
    let mut client = gateway.client();
    for _ in 0..3 {
        client.ask(&with(A)).expect(200, "a");
    }
    let refused = client.ask(&with(A));
    refused.expect_error(429, "quota_exhausted");
    let wait: u64 = refused.field("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..=86_400).contains(&wait), "{wait}");
    assert_eq!(refused.field("ratelimit-policy"), Some("\"tenant_day\";q=3;w=86400"));
    client.ask(&with(B)).expect(200, "a");
    gateway.reload(&before(&origin, "requests_per_second = 0.01"));
    gateway.expect_output("applied revision=2");
    client.ask(&with(A)).expect(200, "a");
    let refused = client.ask(&with(A));
    refused.expect_error(429, "rate_limited");
    assert_eq!(refused.field("ratelimit-policy"), Some("\"tenant_rate\";q=1;w=100"));
}

#[test]
fn a_days_quota_is_one_for_all_shards_and_survives_a_reload() {
    let origin = Origin::named("a");
    let gateway = before(&origin, "requests_per_day = 40").start();
    let ask = || gateway.client().ask(&with(A)).status;
    let admitted = |asked: usize| (0..asked).filter(|_| ask() == 200).count();
    assert_eq!(admitted(20), 20);
    gateway.reload(&before(&origin, "requests_per_day = 40\nname = \"renamed\""));
    gateway.expect_output("applied revision=2");
    // A connection each: they go to both shards.
    assert_eq!(admitted(100), 20);
}

#[test]
fn a_tenants_requests_are_counted_for_it() {
    let origin = Origin::named("a");
    let gateway = before(&origin, "requests_per_second = 0.01\nlimits_mode = \"observe\"").start();
    let mut client = gateway.client();
    for _ in 0..3 {
        client.ask(&with(A)).expect(200, "a");
    }
    client.get("/").expect_error(401, "tenant_required");
    let of_a = ["tenant=\"app_a\""];
    eventually("they are counted", PATIENCE, || {
        gateway.metric("coregate_tenant_requests_total", &of_a) == 3.0
            && gateway.metric(
                "coregate_tenant_limit_observed_requests_total",
                &["tenant=\"app_a\"", "limit=\"tenant_rate\""],
            ) == 2.0
    });
}

#[test]
fn methods_that_ask_for_no_body_are_told_too() {
    let origin = Origin::named("a");
    let gateway = before(&origin, "").start();
    let mut client = gateway.client();
    assert_eq!(client.ask(&request("HEAD", "/")).status, 401);
    client.ask(&with(A)).expect(200, "a");
}
