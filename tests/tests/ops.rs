//! The ops address: health, readiness, metrics that Prometheus accepts, and the read-only JSON API.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use coregate_tests::{Gateway, Origin, PATIENCE, eventually, get, post, request, route, service};

#[test]
fn a_running_gateway_is_healthy_and_ready() {
    let gateway = Gateway::empty().start();
    assert_eq!(gateway.ops("/healthz").status, 200);
    assert_eq!(gateway.ops("/readyz").status, 200);
    assert_eq!(gateway.ops("/nowhere").status, 404);
}

#[test]
fn the_ops_address_is_not_on_the_listener() {
    let gateway = Gateway::empty().start();
    gateway.get("/metrics").expect_error(404, "no_route");
    gateway.get("/api/v1/config").expect_error(404, "no_route");
}

#[test]
fn the_api_is_read_only() {
    let gateway = Gateway::empty().start();
    for method in ["POST", "PUT", "DELETE"] {
        let answer =
            coregate_tests::Client::connect(gateway.ops_address()).ask(&request(method, "/api/v1/nodes"));
        assert_eq!(answer.status, 405, "{method}");
    }
}

/// `promtool`, where it is installed.
fn promtool() -> Option<PathBuf> {
    let tools = coregate_tests::gateway::binary().parent()?.parent()?.join("tools/bin/promtool");
    let found = |name: &PathBuf| Command::new(name).arg("--version").output().is_ok();
    [tools, PathBuf::from("promtool")].into_iter().find(found)
}

#[test]
fn metrics_are_what_prometheus_accepts() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    for _ in 0..10 {
        gateway.get("/").expect(200, "a");
    }
    gateway.client().send("bad\r\n\r\n").read_until_gone();
    let answer = gateway.ops("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.field("content-type").unwrap_or_default().starts_with("text/plain"));
    let text = answer.text();
    assert!(text.contains("coregate_"), "{text}");
    let Some(promtool) = promtool() else {
        eprintln!("promtool is not installed: the text was only looked at, not checked");
        return expect_well_formed(&text);
    };
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    check.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = check.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

fn expect_well_formed(text: &str) {
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let value = line.rsplit(' ').next().unwrap_or_default();
        assert!(value.parse::<f64>().is_ok(), "{line:?}");
    }
}

#[test]
fn metrics_count_every_request_once() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    for _ in 0..100 {
        gateway.get("/").expect(200, "a");
    }
    eventually("100 requests are counted", PATIENCE, || requests(&gateway) >= 100.0);
    // One more interval must not count anything again.
    gateway.get("/").expect(200, "a");
    eventually("101 requests are counted", PATIENCE, || requests(&gateway) >= 101.0);
    assert!((requests(&gateway) - 101.0).abs() < 0.1, "{}", gateway.ops("/metrics").text());
}

fn requests(gateway: &Gateway) -> f64 {
    gateway.metric("coregate_requests_total", &[])
}

#[test]
fn nodes_lists_every_node_with_its_state() {
    let (a, mut b) = (Origin::named("a"), Origin::named("b"));
    let site = service("site").route("/").node(&a).weighted(&b, 7).checked("tcp");
    let gateway = Gateway::with(site).start();
    let nodes = gateway.ops("/api/v1/nodes").json();
    let text = nodes.to_string();
    assert!(text.contains("site"), "{text}");
    for origin in [&a, &b] {
        assert!(text.contains(&origin.address().to_string()), "{text}");
    }
    b.stop();
    eventually("the change shows", PATIENCE, || gateway.ops("/api/v1/nodes").json() != nodes);
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let origin = Origin::named("a");
    let tenant = "[[tenants]]\napp_id = \"app\"\nname = \"Tenant\"\nsecret = \"hunter2-tenant\"\n";
    let stats = "[stats]\nredis_url = \"redis://user:hunter2-redis@127.0.0.1:1/0\"\n";
    let gateway = Gateway::before(&origin).text(tenant).text(stats).start();
    let answer = gateway.ops("/api/v1/config");
    assert_eq!(answer.status, 200);
    let text = answer.json().to_string();
    assert!(text.contains(&origin.address().to_string()) && text.contains("app"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!gateway.output().contains("hunter2"), "nor are they logged");
}

#[test]
fn explain_tells_the_route_and_the_node() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let api = service("api-service").route(route("/api").host("a.example").strip()).node(&a);
    let gateway = Gateway::with(api).and(service("other-service").route("/").node(&b)).start();
    let explain = |query: &str| gateway.ops(&format!("/api/v1/explain?{query}"));
    let told = explain("url=http%3A%2F%2Fa.example%2Fapi%2Fx&method=GET&client=203.0.113.7");
    assert_eq!(told.status, 200, "{}", told.text());
    let text = told.json().to_string();
    assert!(text.contains("api-service") && text.contains("/api"), "{text}");
    assert!(text.contains(&a.address().to_string()), "{text}");
    let told = explain("url=http://b.example/api/x&method=GET&client=203.0.113.7").json().to_string();
    assert!(told.contains("other-service"), "{told}");
    assert_eq!((a.count(), b.count()), (0, 0), "explaining sends nothing");
}

#[test]
fn explain_tells_why_there_is_no_answer() {
    let origin = Origin::named("a");
    let api = service("api").route(route("/api").methods(&["GET"])).node(&origin);
    let gateway = Gateway::with(api).start();
    let explain = |url: &str, method: &str| {
        gateway.ops(&format!("/api/v1/explain?url={url}&method={method}&client=203.0.113.7"))
    };
    let told = explain("http://a.example/nowhere", "GET").text();
    assert!(told.contains("no_route") || told.contains("404"), "{told}");
    let told = explain("http://a.example/api", "POST").text();
    assert!(told.contains("method_not_allowed") || told.contains("405"), "{told}");
    assert_eq!(explain("", "GET").status, 400);
    assert_eq!(gateway.ops("/api/v1/explain").status, 400);
}

#[test]
fn endings_are_counted_by_cause() {
    let origin = Origin::that(|x| match x.target() {
        "/fault" => {
            x.read_body();
            x.close();
        }
        _ => x.answer(200, "a"),
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.ask(&get("/ok")).expect(200, "a");
    client.ask(&post("/fault").body("x")).expect_error(502, "upstream_unreachable");
    gateway.client().send("bad\r\n\r\n").read_until_gone();
    for cause in ["done", "upstream_gone", "client_error"] {
        eventually(&format!("an ending by {cause}"), PATIENCE, || {
            gateway.ops("/metrics").text().lines().any(|line| {
                line.contains(&format!("\"{cause}\"")) && !line.starts_with('#') && !line.ends_with(" 0")
            })
        });
    }
}
