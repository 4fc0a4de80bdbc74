//! A bug in one connection's task ends that connection and nothing else. The binary is built with `fault-injection`.

use coregate_tests::{Client, Gateway, Load, Origin, PATIENCE, eventually, get, post};

const FAULT: (&str, &str) = ("x-coregate-fault", "panic");

#[test]
fn a_panic_is_answered_500_and_leaves_all_others_untouched() {
    let origin = Origin::that(|x| {
        if x.target() == "/slow" {
            x.stall();
        }
        x.answer(200, "a");
    });
    let mut gateway = Gateway::before(&origin).start();
    // Enough connections that both shards have some: idle ones, and ones with a request in flight.
    let mut idle: Vec<Client> = (0..16)
        .map(|_| {
            let mut client = gateway.client();
            client.get("/").expect(200, "a");
            client
        })
        .collect();
    let mut busy: Vec<Client> = (0..16)
        .map(|_| {
            let mut client = gateway.client();
            client.send(get("/slow").bytes());
            client
        })
        .collect();
    origin.expect_count(32);
    for _ in 0..20 {
        let mut client = gateway.client();
        client.ask(&get("/").field(FAULT.0, FAULT.1)).expect_error(500, "internal");
        client.expect_close();
    }
    assert!(gateway.is_running());
    origin.release();
    busy.iter_mut().for_each(|client| {
        client.read().expect(200, "a");
    });
    idle.iter_mut().for_each(|client| {
        client.get("/").expect(200, "a");
    });
    eventually("the panics are counted", PATIENCE, || {
        gateway.metric("coregate_shard_panics_total", &[]) >= 20.0
    });
}

#[test]
fn panics_under_load_fail_no_other_request() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let load = Load::on(gateway.address()).connections(8).start();
    for _ in 0..100 {
        gateway.client().ask(&post("/").field(FAULT.0, FAULT.1).body("x")).expect_error(500, "internal");
    }
    let tally = load.stop();
    assert_eq!((tally.failed, tally.closed_idle), (Vec::new(), 0));
    assert!(tally.ok > 0);
}

#[test]
fn a_panic_in_a_pipelined_burst_answers_what_came_before() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    let burst = [get("/"), get("/"), get("/").field(FAULT.0, FAULT.1), get("/")];
    client.send(burst.iter().flat_map(|request| request.bytes()).collect::<Vec<u8>>());
    client.read().expect(200, "a");
    client.read().expect(200, "a");
    client.read().expect_error(500, "internal");
    client.expect_close();
}
