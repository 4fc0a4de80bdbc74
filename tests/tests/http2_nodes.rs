//! A service with `http2 = true`: requests are streams of shared connections, and what HTTP/1.1 promises holds.

use std::net::SocketAddr;
use std::sync::{Barrier, mpsc};

use coregate_tests::config::Service;
use coregate_tests::h2_origin::{INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, code, kind};
use coregate_tests::{Client, Gateway, H2Origin, Origin, PATIENCE, eventually, get, post, service};

fn to(address: SocketAddr) -> Service {
    service("site").route("/").node_at(address).with("http2 = true")
}

fn before(origin: &H2Origin) -> Gateway {
    Gateway::with(to(origin.address())).server("shards = 1").start()
}

fn clients(gateway: &Gateway, count: usize) -> Vec<Client> {
    (0..count).map(|_| gateway.client()).collect()
}

fn methods(origin: &H2Origin) -> Vec<&'static str> {
    origin.seen().iter().map(|seen| seen.method).collect()
}

#[test]
fn requests_of_many_clients_share_one_connection() {
    let origin = H2Origin::that(|connection| {
        // Answered in reverse once all are there, so that all were under way at once.
        let streams: Vec<u32> = (0..50).map_while(|_| connection.next_request()).collect();
        streams.iter().rev().for_each(|stream| connection.answer(*stream, b"ok"));
        connection.next_request();
    });
    let gateway = before(&origin);
    let mut clients = clients(&gateway, 50);
    for client in &mut clients {
        client.send(get("/").bytes());
    }
    for client in &mut clients {
        client.read().expect(200, "ok");
    }
    assert_eq!(origin.accepted(), 1);
}

#[test]
fn more_streams_than_a_node_allows_get_another_connection() {
    let all_there = Barrier::new(3);
    let origin = H2Origin::with_settings(&[(MAX_CONCURRENT_STREAMS, 2)], move |connection| {
        let streams = [connection.next_request(), connection.next_request()];
        all_there.wait();
        streams.iter().flatten().for_each(|stream| connection.answer(*stream, b"ok"));
        connection.next_request();
    });
    let gateway = before(&origin);
    let mut clients = clients(&gateway, 6);
    for client in &mut clients {
        client.send(get("/").bytes());
    }
    for client in &mut clients {
        client.read().expect(200, "ok");
    }
    assert_eq!(origin.accepted(), 3);
}

#[test]
fn requests_wait_for_a_stream_where_a_node_has_its_most_connections() {
    let origin = H2Origin::with_settings(&[(MAX_CONCURRENT_STREAMS, 2)], |connection| {
        while let Some(stream) = connection.next_request() {
            connection.answer(stream, b"ok");
        }
    });
    let site = to(origin.address()).with("pool.max_connections_per_node = 1");
    let gateway = Gateway::with(site).server("shards = 1").start();
    let mut clients = clients(&gateway, 40);
    for _ in 0..5 {
        for client in &mut clients {
            client.send(get("/").bytes());
        }
        for client in &mut clients {
            client.read().expect(200, "ok");
        }
    }
    assert_eq!(origin.accepted(), 1);
}

#[test]
fn a_refused_stream_is_sent_again_whatever_its_method() {
    let origin = H2Origin::that(|connection| {
        let mut refused = false;
        while let Some(stream) = connection.next_request() {
            if !std::mem::replace(&mut refused, true) {
                connection.reset(stream, code::REFUSED_STREAM);
            } else {
                connection.answer(stream, b"ok");
            }
        }
    });
    let gateway = before(&origin);
    gateway.client().ask(&post("/").body("money")).expect(200, "ok");
    assert_eq!((methods(&origin), origin.accepted()), (vec!["POST", "POST"], 1));
}

#[test]
fn what_a_goaway_leaves_out_is_sent_again_and_the_rest_is_finished() {
    let origin = H2Origin::that(|connection| {
        if connection.number > 0 {
            while let Some(stream) = connection.next_request() {
                connection.answer(stream, b"second");
            }
            return;
        }
        let (Some(first), Some(_)) = (connection.next_request(), connection.next_request()) else { return };
        connection.go_away(first, code::NO_ERROR);
        connection.answer(first, b"first");
        while connection.next_frame().is_some() {}
    });
    let gateway = before(&origin);
    let mut clients = clients(&gateway, 2);
    for client in &mut clients {
        let asked = origin.seen().len();
        client.send(post("/").body("money").bytes());
        eventually("the request has arrived", PATIENCE, || origin.seen().len() > asked);
    }
    clients[0].read().expect(200, "first");
    clients[1].read().expect(200, "second");
    assert_eq!(origin.accepted(), 2);
}

#[test]
fn only_an_idempotent_request_is_sent_again_when_nothing_is_known_of_it() {
    for method in ["GET", "POST"] {
        let origin = H2Origin::that(|connection| {
            let Some(stream) = connection.next_request() else { return };
            connection.answer(stream, b"ok");
            // Closes with the second one unanswered.
            connection.next_request();
        });
        let gateway = before(&origin);
        gateway.get("/").expect(200, "ok");
        if method == "GET" {
            gateway.get("/").expect(200, "ok");
            assert_eq!(methods(&origin), ["GET", "GET", "GET"]);
        } else {
            gateway.client().ask(&post("/").body("money")).expect_error(502, "upstream_unreachable");
            assert_eq!(methods(&origin), ["GET", "POST"]);
        }
    }
}

#[test]
fn a_stream_that_the_node_resets_is_an_error_and_others_go_on() {
    let origin = H2Origin::that(|connection| {
        let (Some(one), Some(other)) = (connection.next_request(), connection.next_request()) else { return };
        connection.reset(one, code::INTERNAL_ERROR);
        connection.answer(other, b"ok");
        connection.next_request();
    });
    let gateway = before(&origin);
    let mut clients = clients(&gateway, 2);
    for client in &mut clients {
        let asked = origin.seen().len();
        client.send(post("/").body("x").bytes());
        eventually("the request has arrived", PATIENCE, || origin.seen().len() > asked);
    }
    clients[0].read().expect_error(502, "upstream_unreachable");
    clients[1].read().expect(200, "ok");
    assert_eq!(origin.accepted(), 1);
}

#[test]
fn an_answer_that_is_reset_half_way_does_not_look_whole() {
    let origin = H2Origin::that(|connection| {
        let Some(stream) = connection.next_request() else { return };
        connection.head(stream, 200, &[], false);
        connection.data(stream, b"half", false);
        connection.reset(stream, code::INTERNAL_ERROR);
        connection.next_request();
    });
    let gateway = before(&origin);
    let mut client = gateway.client();
    client.send(get("/").bytes());
    assert!(client.try_read().is_err());
}

#[test]
fn a_node_that_does_not_speak_http2_counts_as_one_that_cannot_be_reached() {
    let origin = Origin::named("http/1.1");
    let gateway = Gateway::with(to(origin.address())).server("shards = 1").start();
    gateway.get("/").expect_error(502, "upstream_unreachable");
    gateway.expect_output("the node does not speak HTTP/2");
    gateway.expect_output("node down");
}

#[test]
fn a_client_that_goes_away_has_its_stream_cancelled() {
    let (tell, told) = mpsc::channel();
    let origin = H2Origin::that(move |connection| {
        connection.next_request();
        let reset = connection.next_of(kind::RST_STREAM);
        tell.send(reset.map(|frame| frame.number())).ok();
        connection.next_request();
    });
    let gateway = before(&origin);
    let mut client = gateway.client();
    client.send(get("/").bytes());
    eventually("the request has arrived", PATIENCE, || origin.seen().len() == 1);
    client.reset();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Some(code::CANCEL)));
    assert_eq!(origin.accepted(), 1);
}

#[test]
fn trailers_and_interim_answers_pass() {
    let origin = H2Origin::that(|connection| {
        while let Some(stream) = connection.next_request() {
            connection.head(stream, 103, &[("link", "</style.css>")], false);
            connection.head(stream, 200, &[("trailer", "x-sum")], false);
            connection.data(stream, b"content", false);
            connection.trailers(stream, &[("x-sum", "42")]);
        }
    });
    let gateway = before(&origin);
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "content"));
    assert_eq!(answer.interim, [103]);
    assert_eq!(answer.trailers.get("x-sum"), Some("42"));
}

#[test]
fn a_body_waits_for_the_node_s_window() {
    let (tell, told) = mpsc::channel();
    let origin = H2Origin::with_settings(&[(INITIAL_WINDOW_SIZE, 10)], move |connection| {
        let Some(stream) = connection.next_request() else { return };
        let mut got = Vec::new();
        loop {
            let Some(frame) = connection.next_of(kind::DATA) else { return };
            tell.send(frame.payload.len()).ok();
            got.extend_from_slice(&frame.payload);
            if frame.ends() {
                break;
            }
            connection.open_window(stream, 7);
        }
        connection.answer(stream, &got);
        connection.next_request();
    });
    let gateway = before(&origin);
    let body = "0123456789abcdefghijklmnopqrstuvwxyz";
    gateway.client().ask(&post("/").body(body)).expect(200, body);
    let pieces: Vec<usize> = told.try_iter().collect();
    assert!(
        pieces.iter().all(|piece| *piece <= 10) && pieces.iter().sum::<usize>() == body.len(),
        "{pieces:?}"
    );
}

#[test]
fn a_node_may_answer_before_it_has_read_the_request() {
    let origin = H2Origin::with_settings(&[(INITIAL_WINDOW_SIZE, 0)], |connection| {
        while let Some(stream) = connection.next_request() {
            connection.head(stream, 413, &[], false);
            connection.data(stream, b"too much", true);
            connection.reset(stream, code::NO_ERROR);
        }
    });
    let gateway = before(&origin);
    for _ in 0..3 {
        let answer = gateway.client().ask(&post("/").body("x".repeat(100_000)));
        assert_eq!((answer.status, answer.text().as_str()), (413, "too much"));
    }
    assert_eq!(origin.accepted(), 1);
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else() {
    let origin = H2Origin::that(|connection| {
        // One stream's window full of content, and no end.
        let Some(slow) = connection.next_request() else { return };
        connection.head(slow, 200, &[], false);
        for _ in 0..8 {
            connection.data(slow, &[b'x'; 16 << 10], false);
        }
        while let Some(stream) = connection.next_request() {
            connection.answer(stream, &[b'y'; 16 << 10]);
        }
    });
    let gateway = before(&origin);
    let mut slow = gateway.client();
    slow.send(get("/").bytes());
    eventually("the request has arrived", PATIENCE, || origin.seen().len() == 1);
    let mut quick = gateway.client();
    for _ in 0..200 {
        assert_eq!(quick.get("/").body.bytes.len(), 16 << 10);
    }
    assert_eq!(origin.accepted(), 1);
}

#[test]
fn an_idle_connection_ends_with_a_goaway() {
    let (tell, told) = mpsc::channel();
    let origin = H2Origin::that(move |connection| {
        if let Some(stream) = connection.next_request() {
            connection.answer(stream, b"ok");
        }
        tell.send(connection.next_of(kind::GOAWAY).map(|frame| frame.payload[4..8].to_vec())).ok();
        tell.send(connection.next_frame().map(|frame| frame.payload)).ok();
    });
    let site = to(origin.address()).with("timeouts.idle = \"200ms\"");
    let gateway = Gateway::with(site).server("shards = 1").start();
    gateway.get("/").expect(200, "ok");
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Some(vec![0; 4])), "GOAWAY with NO_ERROR");
    assert_eq!(told.recv_timeout(PATIENCE), Ok(None), "then it is closed");
}

#[test]
fn a_connection_on_which_nothing_comes_any_more_is_left() {
    let origin = H2Origin::that(|connection| {
        while let Some(stream) = connection.next_request() {
            if connection.number > 0 {
                connection.answer(stream, b"ok");
            }
        }
    });
    let site = to(origin.address()).with("timeouts.response_header = \"200ms\"");
    let gateway = Gateway::with(site).server("shards = 1").start();
    gateway.get("/").expect_error(504, "upstream_timeout");
    gateway.get("/").expect(200, "ok");
    assert_eq!(origin.accepted(), 2);
}

#[test]
fn an_upgrade_goes_over_a_connection_of_http_1_1() {
    let origin = Origin::that(|x| {
        x.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello");
        x.close();
    });
    let gateway = Gateway::with(to(origin.address())).server("shards = 1").start();
    let mut client = gateway.client();
    client.send(get("/").field("Connection", "upgrade").field("Upgrade", "websocket").bytes());
    let (status, fields) = client.read_head();
    assert_eq!((status, fields.get("upgrade")), (101, Some("websocket")));
    assert_eq!(client.read_until_gone(), b"hello");
}

#[test]
fn a_node_that_is_started_again_under_load_fails_no_get() {
    // The connection ends after so many requests, some of them unanswered.
    let origin = H2Origin::that(|connection| {
        for _ in 0..40 {
            let Some(stream) = connection.next_request() else { return };
            connection.answer(stream, b"ok");
        }
        connection.next_request();
        connection.end();
    });
    let gateway = before(&origin);
    let mut clients = clients(&gateway, 16);
    for _ in 0..30 {
        for client in &mut clients {
            client.send(get("/").bytes());
        }
        for client in &mut clients {
            client.read().expect(200, "ok");
        }
    }
    assert!(origin.accepted() > 5);
}

#[test]
fn an_idle_connection_gives_way_to_another_shard_that_may_not_open_one() {
    let origin = H2Origin::that(|connection| {
        while let Some(stream) = connection.next_request() {
            connection.answer(stream, b"ok");
        }
    });
    let site =
        to(origin.address()).with("pool.max_connections_per_node = 1").with("timeouts.connect = \"5s\"");
    let gateway = Gateway::with(site).server("shards = 2").start();
    let mut clients = gateway.client_on_each_shard();
    for turn in 0..6 {
        clients[turn % 2].get("/").expect(200, "ok");
    }
}
