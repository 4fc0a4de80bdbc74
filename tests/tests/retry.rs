//! A request that meets a stale pooled connection is sent again where that is safe, and only there.

use coregate_tests::{Gateway, Origin, PATIENCE, eventually, get, post, request, service};

/// Answers the first request of each connection and cuts it at the second, unanswered.
fn stale_after_one(reset: bool) -> Origin {
    Origin::that(move |x| {
        if x.turn() == 0 {
            x.answer(200, "ok");
            return;
        }
        x.read_body();
        if reset {
            x.reset();
        } else {
            x.close();
        }
    })
}

#[test]
fn an_idempotent_request_is_sent_again_on_a_fresh_connection() {
    for reset in [false, true] {
        let origin = stale_after_one(reset);
        let gateway = Gateway::before(&origin).start();
        let mut client = gateway.client();
        client.get("/1").expect(200, "ok");
        client.get("/2").expect(200, "ok");
        let lines: Vec<String> = origin.seen().iter().map(|seen| seen.line().to_owned()).collect();
        assert_eq!(lines, ["GET /1", "GET /2", "GET /2"]);
        assert_eq!(origin.accepted(), 2);
    }
}

#[test]
fn every_safe_method_is_sent_again() {
    for method in ["HEAD", "OPTIONS"] {
        let origin = stale_after_one(false);
        let gateway = Gateway::before(&origin).start();
        let mut client = gateway.client();
        client.get("/1").expect(200, "ok");
        assert_eq!(client.ask(&request(method, "/2")).status, 200, "{method}");
        assert_eq!(origin.count(), 3);
    }
}

#[test]
fn a_post_that_was_sent_is_never_sent_again() {
    for reset in [false, true] {
        let origin = stale_after_one(reset);
        let gateway = Gateway::before(&origin).start();
        let mut client = gateway.client();
        client.get("/1").expect(200, "ok");
        client.ask(&post("/2").body("money")).expect_error(502, "upstream_unreachable");
        let posts = origin.seen().iter().filter(|seen| seen.line() == "POST /2").count();
        assert_eq!(posts, 1);
    }
}

#[test]
fn a_post_goes_to_a_fresh_connection_when_the_pooled_one_is_known_to_be_dead() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for turn in 1..=5 {
        client.ask(&post("/").body("money")).expect(200, "ok");
        origin.cut_connections();
        eventually("the gateway has closed its end", PATIENCE, || origin.open() == 0);
        assert_eq!(origin.count(), turn);
    }
}

#[test]
fn it_is_sent_again_once_and_no_more() {
    let origin = Origin::that(|x| {
        if x.index() == 0 {
            x.answer(200, "ok");
        } else {
            x.reset();
        }
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.get("/1").expect(200, "ok");
    client.get("/2").expect_error(502, "upstream_unreachable");
    assert_eq!(origin.count(), 3, "the first try, and one more");
}

#[test]
fn a_fresh_connection_that_fails_is_not_tried_again() {
    let origin = Origin::that(|x| x.reset());
    let gateway = Gateway::before(&origin).start();
    gateway.get("/").expect_error(502, "upstream_unreachable");
    assert_eq!(origin.count(), 1);
}

#[test]
fn nothing_is_sent_again_once_an_answer_has_begun() {
    let origin = Origin::that(|x| {
        if x.turn() == 0 {
            x.answer(200, "ok");
        } else {
            x.send("HTTP/1.1 200 OK\r\ncontent-le");
            x.close();
        }
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.get("/1").expect(200, "ok");
    client.get("/2").expect_error(502, "upstream_unreachable");
    assert_eq!(origin.count(), 2);
}

#[test]
fn many_stale_connections_at_once_fail_no_get() {
    let origin = Origin::named("ok");
    let gateway = Gateway::before(&origin).start();
    let mut clients: Vec<_> = (0..50).map(|_| gateway.client()).collect();
    for round in 0..10 {
        for client in &mut clients {
            client.send(get(&format!("/{round}")).bytes());
        }
        for client in &mut clients {
            client.read().expect(200, "ok");
        }
        origin.cut_connections();
    }
}

#[test]
fn a_request_that_timed_out_is_not_sent_again() {
    let origin = Origin::that(|x| {
        if x.target() == "/slow" {
            x.stall();
        }
        x.answer(200, "a");
    });
    let site = service("site").route("/").node(&origin).with("timeouts.response_header = \"200ms\"");
    let gateway = Gateway::with(site).start();
    let mut client = gateway.client();
    client.get("/").expect(200, "a");
    client.get("/slow").expect_error(504, "upstream_timeout");
    assert_eq!(origin.count(), 2, "the pooled connection's request was sent once");
}
