//! An HTTP/2 connection's life: it goes on over reloads, ends with a drain and not before its streams, and is logged.

use coregate_tests::{Gateway, H2, Origin, PATIENCE, eventually, get, post, service};
use rustix::process::Signal;

#[test]
fn a_drain_lets_streams_in_flight_finish() {
    let origin = Origin::that(|x| {
        if x.target() == "/slow" {
            x.stall();
        }
        x.answer(200, "a");
    });
    let mut gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let mut idle = H2::connect(gateway.address());
    idle.get("/").expect(200, "a");
    let slow: Vec<_> = (0..5).map(|_| client.start(&get("/slow"))).collect();
    origin.expect_count(6);
    gateway.signal(Signal::TERM);
    assert_eq!(idle.ended(), Ok(()), "one without streams ends at once, without an error");
    eventually("no new stream is taken", PATIENCE, || client.try_start(&get("/")).is_err());
    assert!(!client.is_ended());
    origin.release();
    slow.into_iter().for_each(|stream| {
        stream.read().expect(200, "a");
    });
    assert_eq!(client.ended(), Ok(()));
    assert!(gateway.wait_exit(PATIENCE).success());
}

#[test]
fn a_reload_changes_what_the_next_stream_gets() {
    let (one, other) = (Origin::named("one"), Origin::named("other"));
    let gateway = Gateway::before(&one).start();
    let mut client = H2::connect(gateway.address());
    client.get("/").expect(200, "one");
    gateway.reload(&Gateway::before(&other));
    eventually("the new configuration is in force", PATIENCE, || client.get("/").text() == "other");
    assert!(!client.is_ended());
}

#[test]
fn each_request_has_its_line_and_is_counted() {
    let origin = Origin::digesting();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let gateway = Gateway::before(&origin).server(&format!("access_log.path = {path:?}")).start();
    let mut client = H2::connect(gateway.address());
    client.ask(&post("/a?b").field("user-agent", "test agent").field("x-request-id", "the-id").body("12345"));
    client.get("/%00").expect_error(400, "bad_request");
    let lines = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    eventually("both lines", PATIENCE, || lines().len() == 2);
    let line = &lines()[0];
    for (name, value) in [
        ("method", "POST"),
        ("target", "/a?b"),
        ("version", "HTTP/2.0"),
        ("host", "test"),
        ("request_id", "the-id"),
        ("user_agent", "test agent"),
        ("cause", "done"),
        ("service", "site"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!(line["status"], 200);
    assert!(line["bytes_in"].as_u64().unwrap() > 5 && line["bytes_out"].as_u64().unwrap() > 20, "{line}");
    assert_eq!((&lines()[1]["status"], &lines()[1]["cause"]), (&400.into(), &"client_error".into()));
    eventually("counted", PATIENCE, || {
        gateway.metric("coregate_requests_total", &[]) == 2.0
            && gateway.metric("coregate_shard_http2_connections_total", &[]) == 1.0
    });
}

#[test]
fn tenants_and_limits_hold_for_each_stream() {
    let origin = Origin::named("a");
    let tenant = "[[tenants]]\napp_id = \"app\"\nsecret = \"a secret\"\n";
    let site = service("site").route("/").node(&origin).with("access.require_tenant = true");
    let limited = service("limited")
        .route("/limited")
        .node(&origin)
        .with("limits.per_client_ip = { requests_per_second = 0.01, burst = 2 }");
    let gateway = Gateway::with(site).and(limited).text(tenant).start();
    let mut client = H2::connect(gateway.address());
    client.get("/").expect_error(401, "tenant_required");
    let body = "grant_type=client_credentials&client_id=app&client_secret=a%20secret";
    let form = post("/oauth/token").field("content-type", "application/x-www-form-urlencoded");
    let answer = client.ask(&form.clone().body(body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    client.ask(&get("/").field("authorization", &format!("Bearer {token}"))).expect(200, "a");
    assert_eq!(client.ask(&form.body("grant_type=nonsense")).status, 400);
    for _ in 0..2 {
        client.get("/limited").expect(200, "a");
    }
    let refused = client.get("/limited");
    refused.expect_error(429, "rate_limited");
    assert!(refused.field("retry-after").is_some() && refused.field("ratelimit").is_some());
    let options =
        client.open(http::Request::options("*").header("host", "test").body(()).unwrap(), true).read();
    assert_eq!((options.status, options.field("allow").is_some()), (204, true));
}
