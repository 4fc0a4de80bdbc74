//! A WebSocket over one stream of HTTP/2 (RFC 8441): an upgrade for the node, a tunnel for the client.

use std::time::Duration;

use coregate_tests::body::{pattern, pattern_name};
use coregate_tests::{Gateway, H2, MIB, Origin, PATIENCE, RawH2, eventually, get, h2_raw, service, wait};
use h2::Reason;
use rustix::process::Signal;

/// What the node says to a key (RFC 6455 4.2.2), by another tool than the gateway's.
fn accept(key: &str) -> String {
    let command =
        "printf '%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11' \"$1\" | openssl sha1 -binary | openssl base64";
    let output = std::process::Command::new("sh").args(["-c", command, "sh", key]).output().expect("openssl");
    String::from_utf8(output.stdout).expect("base64").trim().to_owned()
}

/// Accepts each WebSocket and sends back what comes, until its end.
fn echoing() -> Origin {
    Origin::that(|x| {
        let Some(key) = x.head().fields.get("sec-websocket-key").map(str::to_owned) else {
            return x.answer(200, "no websocket");
        };
        let accept = if x.target() == "/wrong" { "AAAA".to_owned() } else { accept(&key) };
        match x.target() {
            "/refuse" => x.answer(403, "no"),
            "/ignore" => x.answer(200, "what upgrade?"),
            _ => {
                x.send(format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
                ));
                loop {
                    let bytes = x.read_some();
                    if bytes.is_empty() {
                        break;
                    }
                    x.send(bytes);
                }
                x.half_close();
                x.close();
            }
        }
    })
}

#[test]
fn it_is_offered() {
    let origin = echoing();
    let gateway = Gateway::before(&origin).start();
    let mut raw = RawH2::connect(gateway.address());
    let settings = raw.expect("SETTINGS", |frame| frame.kind == h2_raw::kind::SETTINGS);
    let pairs: Vec<&[u8]> = settings.payload.chunks(6).collect();
    assert!(pairs.contains(&&[0, 8, 0, 0, 0, 1][..]), "SETTINGS_ENABLE_CONNECT_PROTOCOL in {pairs:?}");
}

#[test]
fn bytes_go_both_ways_until_either_end_ends() {
    let origin = echoing();
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let mut stream = client.extended_connect("websocket", "/chat?x=1");
    let (status, fields) = stream.head();
    assert_eq!((status, fields.get("sec-websocket-protocol")), (200, Some("chat")));
    for hop in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
        assert_eq!(fields.get(hop), None, "{hop}");
    }
    let seen = origin.only();
    assert_eq!(seen.line(), "GET /chat?x=1");
    assert_eq!((seen.field("upgrade"), seen.field("connection")), (Some("websocket"), Some("upgrade")));
    assert_eq!(seen.field("sec-websocket-version"), Some("13"));
    for n in 0..100 {
        let message = format!("message {n}");
        stream.send(&message);
        assert_eq!(stream.read_exact(message.len()), message.as_bytes());
        client.get("/").expect(200, "no websocket");
    }
    // Our end first; the node's follows.
    stream.end();
    assert_eq!(stream.read_some().expect("an end, not a reset"), None);
    eventually("it is accounted for", PATIENCE, || {
        gateway.metric("coregate_endings_total", &["cause=\"done\"", "phase=\"complete\""]) >= 101.0
    });
}

#[test]
fn much_goes_through_without_a_byte_lost() {
    let origin = echoing();
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let mut stream = client.websocket("/");
    let length = 8 * MIB;
    pattern(length, |piece| {
        stream.push(piece.to_vec());
        Ok::<_, ()>(())
    })
    .unwrap();
    stream.end();
    let mut body = coregate_tests::body::Body::default();
    while let Some(bytes) = stream.read_some().expect("more") {
        body.push(&bytes);
    }
    assert_eq!(body.name(), pattern_name(length));
}

#[test]
fn what_the_node_does_not_agree_to_is_not_a_tunnel() {
    let origin = echoing();
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    client.extended_connect("websocket", "/refuse").read().expect(403, "no");
    client.extended_connect("websocket", "/ignore").read().expect_error(502, "upstream_unreachable");
    client.extended_connect("websocket", "/wrong").read().expect_error(502, "upstream_unreachable");
    client.extended_connect("connect-udp", "/").read().expect_error(405, "method_not_allowed");
    client.get("/").expect(200, "no websocket");
}

#[test]
fn a_reset_ends_the_tunnel_and_nothing_else() {
    let origin = echoing();
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let (one, mut other) = (client.websocket("/"), client.websocket("/"));
    assert_eq!(origin.open(), 2);
    one.reset(Reason::CANCEL);
    eventually("the node's connection is closed", PATIENCE, || origin.open() == 1);
    other.send("still here");
    assert_eq!(other.read_exact(10), b"still here");
    origin.cut_connections();
    eventually("the client hears of the node's end", PATIENCE, || {
        other.read_some().is_ok_and(|end| end.is_none())
    });
}

#[test]
fn one_on_which_nothing_is_said_ends() {
    let origin = echoing();
    let site = service("site").route("/").node(&origin).with("timeouts.tunnel = \"400ms\"");
    let gateway = Gateway::with(site).start();
    let mut client = H2::connect(gateway.address());
    let mut stream = client.websocket("/");
    // What is said keeps it.
    for _ in 0..6 {
        wait::over(Duration::from_millis(150), || stream.send("x"));
        assert_eq!(stream.read_exact(1), b"x");
    }
    eventually("it ends in silence", PATIENCE, || !matches!(stream.read_some(), Ok(Some(_))));
    assert!(!client.is_ended());
}

#[test]
fn a_drain_lets_it_end() {
    let origin = echoing();
    let mut gateway = Gateway::before(&origin).server("drain_timeout = \"20s\"").start();
    let mut client = H2::connect(gateway.address());
    let mut stream = client.websocket("/");
    gateway.signal(Signal::TERM);
    gateway.expect_output("draining");
    stream.send("last words");
    assert_eq!(stream.read_exact(10), b"last words");
    eventually("no new stream is taken", PATIENCE, || client.try_ask(&get("/")).is_err());
    stream.end();
    assert_eq!(stream.read_some().expect("an end"), None);
    assert_eq!(client.ended(), Ok(()));
    assert!(gateway.wait_exit(PATIENCE).success());
}

#[test]
fn a_drain_that_takes_too_long_cuts_it() {
    let origin = echoing();
    let mut gateway = Gateway::before(&origin).server("drain_timeout = \"300ms\"").start();
    let mut client = H2::connect(gateway.address());
    let mut stream = client.websocket("/");
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_exit(PATIENCE).success());
    assert!(!matches!(stream.read_some(), Ok(Some(_))));
}
