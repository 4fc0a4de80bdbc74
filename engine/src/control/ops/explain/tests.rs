use std::net::SocketAddr;

use super::*;
use crate::clock;
use crate::control::testing::Rig;
use crate::message::FromShard;

const CONFIG: &str = r#"
[[services]]
name = "a"
[[services.routes]]
hosts = ["*.example.com"]
path_prefix = "/a"
methods = ["GET"]
[services.load_balancer]
policy = "ip_hash"
[services.access]
allow = ["10.0.0.0/8"]
deny = ["10.9.0.0/16"]
[[services.nodes]]
address = "10.0.0.1:80"
weight = 3
[[services.nodes]]
address = "10.0.0.2:80"
"#;

fn params(url: &str, method: Option<&str>, client: Option<&str>) -> Params {
    Params {
        url: Some(url.into()),
        method: method.map(Into::into),
        client: client.map(Into::into),
        tenant: None,
    }
}

fn ask(rig: &Rig, url: &str, method: &str, client: &str) -> Explained {
    explain(&rig.engine, &parse(&params(url, Some(method), Some(client))).unwrap(), clock::read())
}

#[test]
fn wrong_parameters_are_named() {
    let wrong = |params: Params| parse(&params).unwrap_err();
    assert!(wrong(Params::default()).contains("url is missing"));
    assert!(wrong(params("example.com/a", None, None)).contains("url = "));
    assert!(wrong(params("http:///a", None, None)).contains("url = "));
    assert!(wrong(params("/a%2Fb", None, None)).contains("url = "), "what the gateway answers 400");
    assert!(wrong(params("/a", Some("G T"), None)).contains("method = "));
    assert!(wrong(params("/a", None, Some("10.0.0"))).contains("client = "));
}

#[test]
fn a_request_is_normalised_as_on_its_path() {
    let request =
        parse(&params("http://x.Example.com:8080/b/../%61?q=1#f", None, Some("::ffff:10.0.0.1"))).unwrap();
    assert_eq!(request.host, "x.Example.com:8080");
    assert_eq!(request.normalised_path, "/a");
    assert_eq!(request.method, "GET");
    assert_eq!(request.client, IpAddr::from([10, 0, 0, 1]));
}

#[tokio::test]
async fn tells_why_there_is_no_route() {
    let rig = Rig::start(CONFIG).await;
    let explained = ask(&rig, "http://other.test/a", "GET", "10.0.0.9");
    assert_eq!((explained.verdict.outcome, explained.verdict.status), ("no_route", Some(404)));
    assert!(explained.route.is_none());
    let explained = ask(&rig, "http://x.example.com/a", "POST", "10.0.0.9");
    assert_eq!((explained.verdict.outcome, explained.verdict.status), ("method_not_allowed", Some(405)));
    assert!(explained.verdict.why.contains("GET"));
}

#[tokio::test]
async fn tells_which_network_is_denied() {
    let rig = Rig::start(CONFIG).await;
    let explained = ask(&rig, "http://x.example.com/a", "GET", "10.9.1.1");
    assert_eq!((explained.verdict.outcome, explained.verdict.status), ("ip_denied", Some(403)));
    assert!(explained.verdict.why.contains("10.9.0.0/16"), "{}", explained.verdict.why);
    let explained = ask(&rig, "http://x.example.com/a", "GET", "192.0.2.1");
    assert!(explained.verdict.why.contains("not in access.allow"));
}

#[tokio::test]
async fn tells_the_node_and_its_share() {
    let mut rig = Rig::start(CONFIG).await;
    let explained = ask(&rig, "http://x.example.com/a/b", "GET", "10.0.0.9");
    assert_eq!((explained.verdict.outcome, explained.verdict.status), ("forwarded", None));
    assert_eq!(explained.route.unwrap().hosts, ["*.example.com"]);
    let balancing = explained.balancing.unwrap();
    assert!(balancing.chosen.is_some(), "the hash alone decides");
    assert_eq!(balancing.nodes.iter().map(|node| node.share).collect::<Vec<_>>(), [0.75, 0.25]);

    for last in [1, 2] {
        let node = SocketAddr::from(([10, 0, 0, last], 80));
        rig.engine.on_report(FromShard::NodeFailed { service: "a".into(), node }, clock::read());
    }
    let explained = ask(&rig, "http://x.example.com/a/b", "GET", "10.0.0.9");
    assert_eq!((explained.verdict.outcome, explained.verdict.status), ("no_healthy_node", Some(503)));
    let balancing = explained.balancing.unwrap();
    assert_eq!(balancing.chosen, None);
    assert!(balancing.nodes.iter().all(|node| node.share == 0.0));
}

const GOVERNED: &str = r#"
[[services]]
name = "a"
routes = [{ path_prefix = "/" }]
nodes = [{ address = "10.0.0.1:80" }]
access.require_tenant = true
[services.limits]
requests_per_second = 10
burst = 20
per_client_ip = { requests_per_second = 1, burst = 2, mode = "observe" }
[[tenants]]
app_id = "app"
secret = "s"
allow = ["10.0.0.0/8"]
requests_per_day = 1
[[tenants]]
app_id = "off"
secret = "s"
enabled = false
"#;

#[tokio::test]
async fn tells_the_checks_in_their_order_and_what_is_left_of_each_limit() {
    let rig = Rig::start(GOVERNED).await;
    let ask = |tenant: Option<&str>, client: &str| {
        let params = Params { tenant: tenant.map(Into::into), ..params("/x", None, Some(client)) };
        explain(&rig.engine, &parse(&params).unwrap(), clock::read())
    };
    let explained = ask(Some("app"), "10.0.0.9");
    let checks: Vec<_> = explained.checks.iter().map(|check| check.check).collect();
    assert_eq!(checks, ["access", "client limit", "tenant", "tenant day", "service limit"]);
    assert_eq!(explained.verdict.outcome, "forwarded");
    assert!(
        explained.checks[1].why.starts_with("2 of 2 left") && explained.checks[1].why.ends_with("observes")
    );
    assert!(explained.checks[4].why.starts_with("20 of 20 left"), "{}", explained.checks[4].why);
    assert_eq!(ask(None, "10.0.0.9").verdict.outcome, "tenant_required");
    assert_eq!(ask(Some("nobody"), "10.0.0.9").verdict.outcome, "invalid_token");
    assert_eq!(ask(Some("off"), "10.0.0.9").verdict.outcome, "invalid_token");
    assert_eq!(ask(Some("app"), "192.0.2.1").verdict.outcome, "ip_denied");

    let now = clock::read();
    let today = crate::clock::DayClock::new("UTC").at(now);
    let quota = rig.engine.snapshot.tenants[0].day.as_ref().unwrap();
    quota.learn(today.number, 1);
    let explained = ask(Some("app"), "10.0.0.9");
    assert_eq!((explained.verdict.outcome, explained.verdict.status), ("quota_exhausted", Some(429)));
}
