//! The ops address: health, readiness, metrics that Prometheus accepts, and the read-only JSON API.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

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
    eventually("a service's histogram", PATIENCE, || {
        gateway.ops("/metrics").text().contains("coregate_service_own_duration_seconds_bucket{")
    });
    gateway.client().send("bad\r\n\r\n").read_until_gone();
    let answer = gateway.ops("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.field("content-type").unwrap_or_default().starts_with("text/plain"));
    let text = answer.text();
    assert!(text.contains("coregate_"), "{text}");
    if let Err(why) = judge(&text) {
        panic!("{why}\n{text}");
    }
}

#[test]
fn what_prometheus_would_not_accept_is_noticed() {
    for broken in [
        "# TYPE a_total counter\na_total one\n",
        "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"1} 1\n",
        "# HELP a-total Help.\n# TYPE a-total counter\na-total 1\n",
    ] {
        assert!(judge(broken).is_err(), "{broken}");
    }
}

/// What `promtool check metrics` says of a page; where it is not installed, what a look at each line does.
fn judge(text: &str) -> Result<(), String> {
    let Some(promtool) = promtool() else {
        eprintln!("promtool is not installed: the text was only looked at, not checked");
        return look_at(text);
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
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn look_at(text: &str) -> Result<(), String> {
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').ok_or(line)?;
        let name = series.split('{').next().unwrap_or_default();
        let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !named || value.parse::<f64>().is_err() || series.matches('"').count() % 2 != 0 {
            return Err(format!("{line:?}"));
        }
    }
    Ok(())
}

#[test]
fn durations_of_the_site_and_of_each_service_are_histograms() {
    let origin = Origin::that(|x| {
        x.delay(Duration::from_millis(60));
        x.answer(200, "a");
    });
    let idle = service("idle").route("/idle").node(&origin);
    let gateway = Gateway::before(&origin).and(idle).start();
    for _ in 0..5 {
        gateway.get("/").expect(200, "a");
    }
    gateway.client().send("bad\r\n\r\n").read_until_gone();
    let site = |part: &str, labels: &[&str]| gateway.metric(&format!("coregate_{part}"), labels);
    eventually("six are counted", PATIENCE, || site("request_duration_seconds_count", &[]) > 5.5);
    for (family, label, count) in [
        ("coregate_request_duration_seconds", "", 6),
        ("coregate_upstream_duration_seconds", "", 5),
        ("coregate_own_duration_seconds", "", 6),
        ("coregate_service_request_duration_seconds", "service=\"site\"", 5),
        ("coregate_service_upstream_duration_seconds", "service=\"site\"", 5),
        ("coregate_service_own_duration_seconds", "service=\"site\"", 5),
    ] {
        let buckets = buckets(&gateway, family, label);
        assert!(buckets.len() > 10 && buckets.is_sorted(), "{family}: {buckets:?}");
        assert_eq!(buckets.last(), Some(&count), "{family}: the last bucket has all");
        let counted = gateway.metric(&format!("{family}_count"), &[label]);
        assert!((counted - f64::from(count)).abs() < 0.1, "{family}: {counted}");
    }
    // The origin takes at least 60 ms for each, and that is neither lost nor the gateway's.
    assert!(site("upstream_duration_seconds_sum", &[]) >= 0.3);
    let (all, own) = (site("request_duration_seconds_sum", &[]), site("own_duration_seconds_sum", &[]));
    let upstream = site("upstream_duration_seconds_sum", &[]);
    assert!((all - own - upstream).abs() < 1e-4, "{all} is not {own} and {upstream}");
    assert!(site("upstream_duration_seconds_bucket", &["le=\"0.05\""]) < 0.1);
    let text = gateway.ops("/metrics").text();
    assert!(!text.contains("_duration_seconds_count{service=\"idle\"}"), "it has counted nothing");
}

/// The buckets of a histogram in the order of the page.
fn buckets(gateway: &Gateway, family: &str, label: &str) -> Vec<u32> {
    let text = gateway.ops("/metrics").text();
    let wanted = format!("{family}_bucket{{");
    let lines = text.lines().filter(|line| line.starts_with(&wanted) && line.contains(label));
    lines.map(|line| line.rsplit_once(' ').expect("a value").1.parse().expect("a count")).collect()
}

#[test]
fn what_limits_refuse_and_would_refuse_is_counted_by_kind() {
    let origin = Origin::named("a");
    let limited = service("limited")
        .route("/")
        .node(&origin)
        .with("limits = { requests_per_second = 0.01, burst = 2 }");
    let watched = service("watched")
        .route("/watched")
        .node(&origin)
        .with("limits.per_client_ip = { requests_per_second = 0.01, burst = 2, mode = \"observe\" }");
    let gateway = Gateway::with(limited).and(watched).start();
    let refused = (0..20).filter(|_| gateway.get("/").status == 429).count();
    for _ in 0..20 {
        gateway.get("/watched").expect(200, "a");
    }
    assert!(refused > 0);
    let metric = |name: &str, labels: &[&str]| gateway.metric(&format!("coregate_{name}"), labels);
    eventually("all are counted", PATIENCE, || metric("requests_total", &[]) > 39.5);
    let of = ["service=\"limited\"", "limit=\"service\""];
    for (name, labels) in [("service_limited_requests_total", &of[..]), ("limited_requests_total", &of[1..])]
    {
        let counted = metric(name, labels);
        assert!((counted - refused as f64).abs() < 0.1, "{name}: {counted} of {refused}");
    }
    let observed =
        metric("service_limit_observed_requests_total", &["service=\"watched\"", "limit=\"client\""]);
    assert!(observed > 0.0);
    assert!((metric("limit_observed_requests_total", &["limit=\"client\""]) - observed).abs() < 0.1);
    assert!(metric("service_limited_requests_total", &["service=\"watched\""]) < 0.1);
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
