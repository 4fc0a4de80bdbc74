//! Origins that fail in every way: the client gets one clear answer or a clear cut, and the next request is served.

use std::time::Duration;

use coregate_tests::{Broken, Exchange, Gateway, Origin, PATIENCE, eventually, get, post, service};

/// A gateway before an origin that does `fault` for `/fault` and answers `ok` otherwise.
fn faulty(fault: impl Fn(&mut Exchange) + Send + Sync + 'static) -> (Origin, Gateway) {
    let origin = Origin::that(move |x| match x.target() {
        "/fault" => fault(x),
        _ => x.answer(200, "ok"),
    });
    let site = service("site")
        .route("/")
        .node(&origin)
        .with("timeouts.response_header = \"500ms\"")
        .with("timeouts.body = \"500ms\"")
        .with("timeouts.connect = \"500ms\"");
    let gateway = Gateway::with(site).start();
    (origin, gateway)
}

/// After a fault a healthy request is answered (the node may be out for a moment by passive marking).
fn expect_recovery(gateway: &Gateway) {
    eventually("the next request is served", PATIENCE, || gateway.get("/ok").status == 200);
}

#[test]
fn a_close_before_the_answer_is_a_502() {
    let (_origin, gateway) = faulty(|x| {
        x.read_body();
        x.close();
    });
    gateway.get("/fault").expect_error(502, "upstream_unreachable");
    expect_recovery(&gateway);
}

#[test]
fn a_reset_before_the_answer_is_a_502() {
    let (_origin, gateway) = faulty(|x| {
        x.read_body();
        x.reset();
    });
    gateway.get("/fault").expect_error(502, "upstream_unreachable");
    expect_recovery(&gateway);
}

#[test]
fn a_reset_while_the_body_is_sent_is_a_502() {
    let (_origin, gateway) = faulty(|x| x.reset());
    let mut client = gateway.client();
    client.try_send(post("/fault").body(vec![b'x'; 1_000_000]).bytes()).ok();
    client.read().expect_error(502, "upstream_unreachable");
    expect_recovery(&gateway);
}

#[test]
fn a_stall_before_the_answer_is_a_504() {
    let (_origin, gateway) = faulty(|x| {
        x.wait_gone();
    });
    gateway.get("/fault").expect_error(504, "upstream_timeout");
    expect_recovery(&gateway);
}

#[test]
fn a_stall_in_the_head_is_a_504() {
    let (_origin, gateway) = faulty(|x| {
        x.send("HTTP/1.1 200 OK\r\ncontent-le");
        x.wait_gone();
    });
    gateway.get("/fault").expect_error(504, "upstream_timeout");
    expect_recovery(&gateway);
}

#[test]
fn a_close_in_the_head_is_a_502() {
    let (_origin, gateway) = faulty(|x| {
        x.send("HTTP/1.1 200 OK\r\ncontent-le");
        x.close();
    });
    gateway.get("/fault").expect_error(502, "upstream_unreachable");
    expect_recovery(&gateway);
}

#[test]
fn garbage_is_a_502() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 xx OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nname : space\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    ] {
        let (_origin, gateway) = faulty(move |x| {
            x.read_body();
            x.send(garbage);
            x.wait_gone();
        });
        let answer = gateway.get("/fault");
        assert_eq!(answer.status, 502, "to {garbage:?}: {}", answer.text());
        answer.expect_error(502, "upstream_unreachable");
        expect_recovery(&gateway);
    }
}

#[test]
fn an_endless_head_is_a_502() {
    let (_origin, gateway) = faulty(|x| {
        x.send("HTTP/1.1 200 OK\r\n");
        while !x.ended() {
            x.send(format!("x-filler: {}\r\n", "x".repeat(1000)));
        }
    });
    gateway.get("/fault").expect_error(502, "upstream_unreachable");
    expect_recovery(&gateway);
}

#[test]
fn a_body_that_ends_too_early_is_cut_for_the_client_too() {
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        for reset in [false, true] {
            let (_origin, gateway) = faulty(move |x| {
                x.read_body();
                x.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n"));
                if reset { x.reset() } else { x.close() }
            });
            let mut client = gateway.client();
            client.send(get("/fault").bytes());
            let broken = client.try_read().expect_err("half an answer never looks whole");
            assert!(
                matches!(broken, Broken::CutShort(..) | Broken::Failed(..) | Broken::Closed),
                "{broken:?}"
            );
            expect_recovery(&gateway);
        }
    }
}

#[test]
fn a_body_that_stalls_is_cut() {
    let (_origin, gateway) = faulty(|x| {
        x.read_body();
        x.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
        x.wait_gone();
    });
    let mut client = gateway.client();
    client.send(get("/fault").bytes());
    let broken = client.try_read().expect_err("half an answer never looks whole");
    assert!(matches!(broken, Broken::CutShort(..) | Broken::Failed(..)), "{broken:?}");
    expect_recovery(&gateway);
}

#[test]
fn a_bad_chunk_in_the_answer_cuts_it() {
    for chunk in [
        "xyz\r\nabc\r\n",
        "5\r\nhelloworld\r\n",
        "fffffffffffffffff\r\nabc\r\n",
        "-1\r\n\r\n",
        "5 5\r\nhello\r\n",
    ] {
        let (_origin, gateway) = faulty(move |x| {
            x.read_body();
            x.send(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n{chunk}"));
            x.wait_gone();
        });
        let mut client = gateway.client();
        client.send(get("/fault").bytes());
        match client.try_read() {
            Err(Broken::CutShort(..) | Broken::Failed(..)) => {}
            // The gateway may have seen the bad chunk before it sent anything.
            Ok(answer) => {
                answer.expect_error(502, "upstream_unreachable");
            }
            Err(other) => panic!("to {chunk:?}: {other:?}"),
        }
        expect_recovery(&gateway);
    }
}

#[test]
fn bytes_after_the_answer_never_reach_another_request() {
    let (origin, gateway) = faulty(|x| {
        x.read_body();
        x.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison");
    });
    let mut client = gateway.client();
    for _ in 0..10 {
        client.get("/fault").expect(200, "ok");
        client.get("/ok").expect(200, "ok");
    }
    assert!(origin.accepted() >= 10, "a connection with bytes left over is not used again");
}

#[test]
fn bytes_that_come_while_a_connection_idles_make_it_unfit() {
    let (origin, gateway) = faulty(|x| {
        x.answer(200, "ok");
        x.delay(Duration::from_millis(50));
        x.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison");
    });
    let mut client = gateway.client();
    client.get("/fault").expect(200, "ok");
    eventually("the poisoned connection is closed", PATIENCE, || origin.open() == 0);
    client.get("/ok").expect(200, "ok");
}

#[test]
fn a_204_or_a_head_answer_with_a_body_poisons_nothing() {
    let (_origin, gateway) = faulty(|x| {
        x.read_body();
        x.send("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison");
    });
    let mut client = gateway.client();
    for _ in 0..10 {
        assert_eq!(client.get("/fault").status, 204);
        client.get("/ok").expect(200, "ok");
    }
}

#[test]
fn a_slow_answer_in_drops_is_whole() {
    let (_origin, gateway) = faulty(|x| {
        x.read_body();
        for byte in "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".bytes() {
            x.send([byte]);
            x.delay(Duration::from_millis(1));
        }
    });
    let mut client = gateway.client();
    for _ in 0..3 {
        client.get("/fault").expect(200, "hello");
    }
}

#[test]
fn a_node_that_refuses_is_a_502_or_503() {
    let mut origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    origin.stop();
    let answer = gateway.get("/");
    match answer.status {
        502 => answer.expect_error(502, "upstream_unreachable"),
        _ => answer.expect_error(503, "no_healthy_node"),
    };
}

#[test]
fn a_node_that_never_accepts_is_a_504() {
    // A listening socket whose queue is full drops every further SYN: a connection attempt that hangs.
    let full = coregate_tests::origin::FullBacklog::new();
    let site = service("site").route("/").node_at(full.address()).with("timeouts.connect = \"300ms\"");
    let gateway = Gateway::with(site).start();
    let answer = gateway.get("/");
    assert!(matches!(answer.status, 502 | 504), "{}", answer.text());
    let code = if answer.status == 504 { "upstream_timeout" } else { "upstream_unreachable" };
    answer.expect_error(answer.status, code);
}
