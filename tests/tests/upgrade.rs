//! Upgrade: a WebSocket passes and stays open, and bytes go both ways until either end closes.

use std::time::Duration;

use coregate_tests::{Client, Gateway, Origin, PATIENCE, Request, eventually, get, service, wait};

fn handshake() -> Request {
    get("/ws")
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

fn echoing() -> Origin {
    Origin::that(|x| {
        if x.head().fields.lists("connection", "upgrade") {
            x.upgrade_and_echo();
        } else {
            x.answer(426, "upgrade, please");
        }
    })
}

fn switch(client: &mut Client) {
    client.send(handshake().bytes());
    let (status, fields) = client.read_head();
    assert_eq!(status, 101);
    assert!(fields.lists("connection", "upgrade"), "{fields:?}");
    assert_eq!(fields.get("upgrade"), Some("websocket"));
    assert_eq!(fields.get("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

#[test]
fn a_websocket_passes_both_ways() {
    let origin = echoing();
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    switch(&mut client);
    let seen = origin.only();
    assert_eq!(seen.field("upgrade"), Some("websocket"));
    assert_eq!(seen.field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    for n in 0..100 {
        let frame = format!("\u{0}\r\n\r\nframe {n}");
        client.send(&frame);
        assert_eq!(client.read_exact(frame.len()), frame.as_bytes());
    }
    let big = vec![7_u8; 300_000];
    for piece in big.chunks(30_000) {
        client.send(piece);
        assert_eq!(client.read_exact(piece.len()), piece);
    }
}

#[test]
fn a_websocket_stays_open_while_nothing_is_said() {
    let origin = echoing();
    let site = service("site")
        .route("/")
        .node(&origin)
        .with("timeouts.response_header = \"200ms\"")
        .with("timeouts.idle = \"200ms\"");
    let listener = ["idle_timeout = \"200ms\"", "header_timeout = \"200ms\""];
    let gateway = Gateway::with(site).listener(listener[0]).listener(listener[1]).start();
    let mut client = gateway.client();
    switch(&mut client);
    wait::over(Duration::from_secs(2), || client.send("still here"));
    assert_eq!(client.read_exact(10), b"still here");
}

#[test]
fn bytes_sent_right_after_the_handshake_are_not_lost() {
    let origin = echoing();
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    let mut bytes = handshake().bytes();
    bytes.extend_from_slice(b"early");
    client.send(bytes);
    assert_eq!(client.read_head().0, 101);
    assert_eq!(client.read_exact(5), b"early");
}

#[test]
fn either_end_closes_the_tunnel() {
    let origin = echoing();
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    switch(&mut client);
    origin.cut_connections();
    client.expect_close();

    let mut client = gateway.client();
    switch(&mut client);
    drop(client);
    coregate_tests::eventually("the origin's end is closed", coregate_tests::PATIENCE, || origin.open() == 0);
}

#[test]
fn an_upgrade_that_the_origin_declines_is_an_ordinary_answer() {
    let origin = Origin::that(|x| x.answer(400, "no websocket here"));
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.ask(&handshake()).expect(400, "no websocket here");
    client.get("/").expect(400, "no websocket here");
}

#[test]
fn a_101_that_nobody_asked_for_is_an_error() {
    let origin = Origin::that(|x| {
        x.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nsecret");
        x.stall();
    });
    let gateway = Gateway::before(&origin).start();
    gateway.get("/").expect_error(502, "upstream_unreachable");
}

#[test]
fn a_service_has_its_most_upgraded_connections_at_once() {
    let origin = echoing();
    let site = service("site").route("/").node(&origin).with("limits.max_connections = 1");
    let gateway = Gateway::with(site).start();
    let mut first = gateway.client();
    switch(&mut first);
    gateway.client().ask(&handshake()).expect_error(429, "rate_limited");
    gateway.get("/").expect(426, "upgrade, please");
    drop(first);
    eventually("a place is free again", PATIENCE, || {
        let mut client = gateway.client();
        client.send(handshake().bytes());
        client.read_head().0 == 101
    });
}
