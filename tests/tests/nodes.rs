//! Nodes that go and come back: found by checks and by traffic, with no request lost that could be saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use coregate_tests::{Client, Gateway, Load, Origin, PATIENCE, Service, eventually, get, service};

/// Requests that may see a dead node before traffic has marked it, on each of the two shards.
const A_FEW: usize = 5;

fn site(a: &Origin, b: &Origin) -> Service {
    service("site").route("/").node(a).node(b).policy("round_robin")
}

/// Waits until that many answers in a row all came from `name`.
#[track_caller]
fn expect_only(gateway: &Gateway, name: &str) {
    eventually(&format!("all answers from {name}"), PATIENCE, || {
        (0..20).all(|_| gateway.get("/").text() == name)
    });
}

/// Waits until answers come from that one, among others.
#[track_caller]
fn expect_some(gateway: &Gateway, name: &str) {
    eventually(&format!("answers from {name}"), PATIENCE, || {
        (0..20).any(|_| gateway.get("/").text() == name)
    });
}

#[test]
fn a_tcp_check_takes_a_node_out_and_back() {
    let (a, mut b) = (Origin::named("a"), Origin::named("b"));
    let gateway = Gateway::with(site(&a, &b).checked("tcp")).start();
    expect_some(&gateway, "b");
    b.stop();
    expect_only(&gateway, "a");
    b.restart();
    expect_some(&gateway, "b");
    expect_some(&gateway, "a");
}

#[test]
fn an_http_check_looks_at_the_status() {
    let health = Arc::new(AtomicU16::new(200));
    let reported = Arc::clone(&health);
    let b = Origin::that(move |x| match x.target() {
        "/healthz" => x.answer(reported.load(Ordering::SeqCst), "health"),
        _ => x.answer(200, "b"),
    });
    let a = Origin::named("a");
    let checks = site(&a, &b).checked("http").with("health_check.path = \"/healthz\"");
    let gateway = Gateway::with(checks.with("health_check.expect_status = [200, 204]")).start();
    expect_some(&gateway, "b");
    health.store(500, Ordering::SeqCst);
    expect_only(&gateway, "a");
    health.store(204, Ordering::SeqCst);
    expect_some(&gateway, "b");
    let check = a.seen().into_iter().find(|seen| seen.line() == "GET /healthz").expect("checks reach it");
    assert!(check.field("host").is_some(), "{check:?}");
}

#[test]
fn an_http_check_takes_a_stalling_node_out() {
    let b = Origin::that(|x| match x.target() {
        "/healthz" if x.index() > 2 => x.stall(),
        _ => x.answer(200, "b"),
    });
    let a = Origin::named("a");
    let gateway =
        Gateway::with(site(&a, &b).checked("http").with("health_check.path = \"/healthz\"")).start();
    expect_only(&gateway, "a");
}

#[test]
fn a_check_is_no_request() {
    let origin = Origin::named("a");
    let gateway = Gateway::with(service("site").route("/").node(&origin).checked("tcp")).start();
    eventually("a few checks", PATIENCE, || origin.accepted() >= 3);
    assert_eq!(origin.count(), 0);
    gateway.get("/").expect(200, "a");
    assert_eq!(origin.count(), 1);
}

#[test]
fn traffic_marks_a_dead_node_without_any_check() {
    let (a, mut b) = (Origin::named("a"), Origin::named("b"));
    let gateway = Gateway::with(site(&a, &b)).start();
    expect_some(&gateway, "b");
    b.stop();
    let failed = (0..1000).filter(|_| gateway.get("/").status != 200).count();
    assert!(failed <= A_FEW, "{failed} of 1000 requests saw the dead node");
    b.restart();
    expect_some(&gateway, "b");
}

#[test]
fn all_nodes_down_is_503_until_one_is_back() {
    let (mut a, mut b) = (Origin::named("a"), Origin::named("b"));
    let mut gateway = Gateway::with(site(&a, &b).checked("tcp")).start();
    expect_some(&gateway, "a");
    a.stop();
    b.stop();
    eventually("503 for all", PATIENCE, || (0..10).all(|_| gateway.get("/").status == 503));
    gateway.get("/").expect_error(503, "no_healthy_node");
    assert!(gateway.is_running());
    assert_eq!(gateway.ops("/healthz").status, 200, "the gateway itself is well");
    a.restart();
    expect_only(&gateway, "a");
}

#[test]
fn no_node_has_to_be_up_at_the_start() {
    for checked in [false, true] {
        let mut origin = Origin::stopped(|x| x.answer(200, "a"));
        let site = service("site").route("/").node(&origin);
        let gateway = Gateway::with(if checked { site.checked("tcp") } else { site }).start();
        let answer = gateway.get("/");
        assert!(matches!(answer.status, 502 | 503), "{answer:?}");
        origin.restart();
        eventually("the node is found", PATIENCE, || gateway.get("/").status == 200);
    }
}

#[test]
fn a_node_that_is_off_gets_nothing() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let off = service("site").route("/").node(&a).node_with(b.address(), "enabled = false").checked("tcp");
    let gateway = Gateway::with(off).start();
    let tally = Load::on(gateway.address()).requests(500).run();
    assert_eq!((tally.ok, tally.failed.len(), b.accepted()), (500, 0, 0));
}

/// A crash cuts what is in flight at that node; everything else has to be answered by the other.
#[test]
fn a_node_goes_and_comes_back_under_load_without_a_failed_request() {
    let (a, mut b) = (Origin::named("a"), Origin::named("b"));
    let gateway = Gateway::with(site(&a, &b).checked("tcp")).start();
    let connections = 16;
    let load = Load::on(gateway.address()).connections(connections).request(get("/")).start();
    eventually("load on both", PATIENCE, || b.count() > 500);
    b.stop();
    let at_the_crash = load.answered();
    eventually("load without it", PATIENCE, || load.answered() > at_the_crash + 1000);
    b.restart();
    let seen = b.count();
    eventually("load on both again", PATIENCE, || b.count() > seen + 200);
    let tally = load.stop();
    assert_eq!(tally.closed_idle, 0, "client connections stay");
    assert!(
        tally.failed.len() <= connections,
        "{} failed, more than can have been in flight: {:?}",
        tally.failed.len(),
        tally.failed
    );
    assert!(tally.failed.is_empty(), "another node could have answered: {:?}", tally.failed);
}

#[test]
fn a_node_that_restarts_again_and_again_fails_no_idempotent_request() {
    let (a, mut b) = (Origin::named("a"), Origin::named("b"));
    let gateway = Gateway::with(site(&a, &b).checked("tcp")).start();
    let load = Load::on(gateway.address()).connections(8).start();
    for _ in 0..5 {
        let seen = b.count();
        eventually("load on it", PATIENCE, || b.count() > seen + 100);
        b.stop();
        let answered = load.answered();
        eventually("load without it", PATIENCE, || load.answered() > answered + 200);
        b.restart();
    }
    let tally = load.stop();
    assert!(tally.failed.is_empty(), "{} failed: {:?}", tally.failed.len(), tally.failed);
}

#[test]
fn an_idle_upstream_connection_is_closed_after_its_time() {
    let origin = Origin::named("a");
    let gateway =
        Gateway::with(service("site").route("/").node(&origin).with("timeouts.idle = \"300ms\"")).start();
    gateway.get("/").expect(200, "a");
    assert_eq!(origin.open(), 1, "it is kept for a while");
    eventually("it is closed", Duration::from_secs(5), || origin.open() == 0);
}

#[test]
fn the_pool_keeps_no_more_than_it_may() {
    let origin = Origin::that(|x| {
        if x.target() == "/hold" {
            x.stall();
        }
        x.answer(200, "a");
    });
    let site = service("site").route("/").node(&origin).with("pool.max_idle_per_node = 4");
    let gateway = Gateway::with(site).start();
    let mut clients: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|client| {
        client.send(get("/hold").bytes());
    });
    origin.expect_count(20);
    assert_eq!(origin.open(), 20);
    origin.release();
    clients.iter_mut().for_each(|client| {
        client.read();
    });
    eventually("no more than 4 are kept", PATIENCE, || origin.open() <= 4);
}

#[test]
fn connections_to_a_node_stay_under_their_limit() {
    let origin = Origin::that(|x| {
        x.delay(Duration::from_millis(2));
        x.answer(200, "a");
    });
    let site = service("site").route("/").node(&origin).with("pool.max_connections_per_node = 4");
    let gateway = Gateway::with(site).start();
    let load = Load::on(gateway.address()).connections(32).requests(1_000).start();
    let mut open = 0;
    eventually("the load is over", PATIENCE * 3, || {
        open = open.max(origin.open());
        load.answered() >= 1_000
    });
    let tally = load.join();
    assert!(open <= 4, "{open} connections at once");
    let first = tally.failed.first();
    assert!(first.is_none(), "{} of 1000 failed where they could have waited: {first:?}", tally.failed.len());
}

#[test]
fn an_idle_connection_gives_way_to_another_shard_that_may_not_open_one() {
    let origin = Origin::named("a");
    let site = service("site")
        .route("/")
        .node(&origin)
        .with("pool.max_connections_per_node = 1")
        .with("timeouts.connect = \"5s\"");
    let gateway = Gateway::with(site).server("shards = 2").start();
    let mut clients = gateway.client_on_each_shard();
    for turn in 0..6 {
        clients[turn % 2].get("/").expect(200, "a");
    }
}

#[test]
fn requests_beyond_those_that_may_wait_for_a_connection_are_refused_at_once() {
    /// `POOL_WAITERS_MAX` of the gateway.
    const WAITING: usize = 1024;
    const BEYOND: usize = 3;
    let origin = Origin::that(|x| x.stall());
    let site = service("site")
        .route("/")
        .node(&origin)
        .with("pool.max_connections_per_node = 1")
        .with("timeouts.connect = \"60s\"");
    let gateway = Gateway::with(site).server("shards = 1").start();
    let mut clients: Vec<Client> = (0..1 + WAITING + BEYOND).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(get("/").bytes());
    }
    let refused = || gateway.metric("coregate_endings_total", &["cause=\"no_node\""]);
    eventually("some are refused", PATIENCE, || refused() > BEYOND as f64 - 0.5);
    assert!(refused() < BEYOND as f64 + 0.5, "{} are refused", refused());
    drop(clients);
    origin.release();
}
