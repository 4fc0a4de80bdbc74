//! SIGTERM: stop accepting, finish what is in flight, exit 0; a second one ends it now.

use std::time::Duration;

use coregate_tests::{Broken, Client, Gateway, Load, MIB, Origin, PATIENCE, eventually, get};
use rustix::process::Signal;

fn slow() -> Origin {
    Origin::that(|x| {
        if x.target() == "/slow" {
            x.stall();
        }
        x.answer(200, "a");
    })
}

#[test]
fn a_request_in_flight_is_finished() {
    let origin = slow();
    let mut gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send(get("/slow").bytes());
    origin.expect_count(1);
    gateway.signal(Signal::TERM);
    eventually("no more connections", PATIENCE, || Client::try_connect(gateway.address()).is_err());
    assert!(gateway.is_running(), "it waits for the request");
    origin.release();
    let answer = client.read();
    answer.expect(200, "a");
    assert!(answer.fields.lists("connection", "close"), "{:?}", answer.fields);
    client.expect_close();
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_download_in_flight_is_finished() {
    let origin = Origin::that(|x| {
        x.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MIB + 5));
        x.send(b"start");
        x.stall();
        x.send(vec![b'x'; 1024 * 1024]);
    });
    let mut gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send(get("/").bytes());
    assert_eq!(client.read_head().0, 200);
    assert_eq!(client.read_exact(5), b"start");
    gateway.signal(Signal::TERM);
    eventually("no more connections", PATIENCE, || Client::try_connect(gateway.address()).is_err());
    origin.release();
    assert_eq!(client.read_exact(1024 * 1024).len(), 1024 * 1024);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn an_idle_gateway_exits_at_once() {
    let origin = Origin::named("a");
    let mut gateway = Gateway::before(&origin).start();
    let mut idle: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = gateway.client();
            client.get("/").expect(200, "a");
            client
        })
        .collect();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
    idle.iter_mut().for_each(Client::expect_close);
}

#[test]
fn sigint_drains_too() {
    let origin = Origin::named("a");
    let mut gateway = Gateway::before(&origin).start();
    gateway.get("/").expect(200, "a");
    gateway.signal(Signal::INT);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn a_drain_under_load_fails_no_request() {
    for _ in 0..3 {
        let origin = Origin::named("a");
        let mut gateway = Gateway::before(&origin).start();
        let load = Load::on(gateway.address()).connections(32).until_refused().start();
        eventually("load", PATIENCE, || load.answered() > 1000);
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
        let tally = load.join();
        assert_eq!(tally.failed, Vec::<String>::new(), "{} were fine", tally.ok);
    }
}

#[test]
fn readiness_goes_before_the_listeners_do() {
    let origin = slow();
    let mut gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send(get("/slow").bytes());
    origin.expect_count(1);
    gateway.signal(Signal::TERM);
    eventually("not ready", PATIENCE, || gateway.ops("/readyz").status == 503);
    assert_eq!(gateway.ops("/healthz").status, 200, "it is alive all the same");
    origin.release();
    client.read().expect(200, "a");
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
}

#[test]
fn what_does_not_finish_is_cut_after_the_drain_timeout_and_accounted_for() {
    let origin = slow();
    let mut gateway = Gateway::before(&origin)
        .server("drain_timeout = \"500ms\"")
        .server("access_log.path = \"stdout\"")
        .start();
    let mut client = gateway.client();
    client.send(get("/slow").bytes());
    origin.expect_count(1);
    gateway.signal(Signal::TERM);
    gateway.wait_exit(PATIENCE);
    let broken = client.try_read().err();
    assert!(matches!(broken, None | Some(Broken::Closed | Broken::Failed(..))), "{broken:?}");
    let output = gateway.output();
    let line = output.lines().find(|line| line.contains("\"target\":\"/slow\"")).expect("a line for it");
    assert!(line.contains("\"cause\":\"shutdown\""), "{line}");
}

#[test]
fn a_second_sigterm_ends_it_now() {
    let origin = slow();
    let mut gateway = Gateway::before(&origin).server("drain_timeout = \"1h\"").start();
    let mut client = gateway.client();
    client.send(get("/slow").bytes());
    origin.expect_count(1);
    gateway.signal(Signal::TERM);
    eventually("no more connections", PATIENCE, || Client::try_connect(gateway.address()).is_err());
    assert!(gateway.is_running());
    gateway.signal(Signal::TERM);
    gateway.wait_exit(Duration::from_secs(5));
}

#[test]
fn a_drain_comes_through_a_reload() {
    let origin = Origin::named("a");
    let mut gateway = Gateway::before(&origin).start();
    gateway.signal(Signal::HUP);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
}
