//! Limits hold at n-1, n and n+1; slow heads and slow bodies are cut; heads may come in any pieces.

use std::time::Duration;

use coregate_tests::{Gateway, Origin, Request, get, post, service, wait};

const HEAD: usize = 4096;

/// A request whose head is exactly so many bytes.
fn head_of(length: usize) -> Vec<u8> {
    let bare = get("/").field("x-fill", "").bytes().len();
    let bytes = get("/").field("x-fill", &"x".repeat(length - bare)).bytes();
    assert_eq!(bytes.len(), length);
    bytes
}

#[test]
fn max_header_bytes_at_its_edge() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("max_header_bytes = \"4KiB\"").start();
    for length in [HEAD - 1, HEAD] {
        let mut client = gateway.client();
        client.send(head_of(length));
        client.read().expect(200, "a");
        client.get("/").expect(200, "a");
    }
    let mut client = gateway.client();
    client.send(head_of(HEAD + 1));
    client.read().expect_error(431, "headers_too_large");
    client.expect_close();
}

#[test]
fn max_header_bytes_holds_for_heads_in_pieces_and_behind_others() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("max_header_bytes = \"4KiB\"").start();
    let mut client = gateway.client();
    let both = [head_of(HEAD), head_of(HEAD), head_of(HEAD + 1)].concat();
    for piece in both.chunks(1000) {
        client.send(piece);
    }
    client.read().expect(200, "a");
    client.read().expect(200, "a");
    client.read().expect_error(431, "headers_too_large");
    client.expect_close();
}

#[test]
fn a_head_without_an_end_is_cut_at_the_limit() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("max_header_bytes = \"4KiB\"").start();
    let mut client = gateway.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: t\r\nX: {}", "x".repeat(HEAD)));
    client.read().expect_error(431, "headers_too_large");
    client.read_until_gone();
}

#[test]
fn max_header_fields_at_its_edge() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("max_header_fields = 20").start();
    let with = |fields: usize| -> Request {
        (1..fields).fold(get("/"), |request, n| request.field(&format!("x-{n}"), "1"))
    };
    for fields in [19, 20] {
        gateway.client().ask(&with(fields)).expect(200, "a");
    }
    gateway.client().ask(&with(21)).expect_error(431, "headers_too_large");
}

#[test]
fn max_body_bytes_at_its_edge() {
    let origin = Origin::digesting();
    let site = service("site").route("/").node(&origin).with("request.max_body_bytes = \"64KiB\"");
    let gateway = Gateway::with(site).start();
    let limit = 65_536;
    for length in [limit - 1, limit] {
        let answer = gateway.client().ask(&post("/").body(vec![b'x'; length]));
        assert!(answer.text().starts_with(&format!("{length} bytes")), "{}", answer.text());
    }
    let over = vec![b'x'; limit + 1];
    let mut client = gateway.client();
    client.try_send(post("/").body(&over).bytes()).ok();
    client.read().expect_error(413, "body_too_large");
    assert_eq!(origin.count(), 2);
}

#[test]
fn max_body_bytes_counts_chunked_content_at_its_edge() {
    let origin = Origin::digesting();
    let site = service("site").route("/").node(&origin).with("request.max_body_bytes = \"1KiB\"");
    let gateway = Gateway::with(site).start();
    let (half, rest) = ("x".repeat(512), "x".repeat(511));
    for (pieces, length) in [([half.as_str(), rest.as_str()], 1023), ([&half, &half], 1024)] {
        let answer = gateway.client().ask(&post("/").chunks(&pieces, ""));
        assert!(answer.text().starts_with(&format!("{length} bytes")), "{}", answer.text());
    }
    let mut client = gateway.client();
    client.try_send(post("/").chunks(&[&half, &half, "x"], "").bytes()).ok();
    client.read().expect_error(413, "body_too_large");
    client.read_until_gone();
    let whole = origin.seen().iter().filter(|seen| seen.body.is_some()).count();
    assert_eq!(whole, 2, "a body that was cut never looks whole");
}

#[test]
fn a_head_split_at_every_byte_is_read() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let bytes = post("/x?y=1").field("x-a", "b").chunks(&["he", "llo"], "x-t: 1\r\n").bytes();
    let mut client = gateway.client();
    for at in 1..bytes.len() {
        let (first, second) = bytes.split_at(at);
        client.send(first);
        // The gateway is to read the first part alone.
        wait::over(Duration::from_millis(1), || client.send(second));
        client.read().expect(200, "a");
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), bytes.len() - 1);
    assert!(seen.iter().all(|seen| seen.line() == "POST /x?y=1" && seen.field("x-a") == Some("b")));
    assert!(seen.iter().all(|seen| seen.body.as_ref().is_some_and(|body| body.text() == "hello")));
}

#[test]
fn an_answer_split_at_every_byte_is_read() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-a: b\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n\
                          0\r\nx-t: 1\r\n\r\n";
    let origin = Origin::that(|x| {
        let (first, second) = ANSWER.split_at(x.index() + 1);
        x.send(first);
        x.delay(Duration::from_millis(1));
        x.send(second);
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for _ in 1..ANSWER.len() {
        let answer = client.get("/");
        answer.expect(200, "hello");
        assert_eq!((answer.field("x-a"), answer.trailers.get("x-t")), (Some("b"), Some("1")));
    }
}

#[test]
fn a_slow_head_is_408() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("header_timeout = \"300ms\"").start();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX-A: ");
    let answer = client.read();
    answer.expect_error(408, "request_timeout");
    assert!(answer.fields.lists("connection", "close"), "{:?}", answer.fields);
    client.expect_close();
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_head_that_drips_does_not_win_time() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("header_timeout = \"500ms\"").start();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX-A: ");
    let began = wait::now();
    // Sending fails once the gateway has closed; a gateway that never does fails the assertion below.
    let drips = (0..200)
        .take_while(|_| wait::over(Duration::from_millis(50), || client.try_send("x")).is_ok())
        .count();
    assert!(drips < 200, "still open after {:?}", began.elapsed());
}

#[test]
fn a_second_head_has_its_own_time() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("header_timeout = \"300ms\"").start();
    let mut client = gateway.client();
    client.get("/").expect(200, "a");
    wait::over(Duration::from_millis(600), || client.get("/")).expect(200, "a");
    client.send("GET / HT");
    client.read().expect_error(408, "request_timeout");
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let gateway = Gateway::empty().listener("header_timeout = \"300ms\"").start();
    let mut client = gateway.client();
    client.read_until_gone();
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("idle_timeout = \"300ms\"").start();
    let mut client = gateway.client();
    client.get("/").expect(200, "a");
    client.expect_close();
}

#[test]
fn a_slow_body_is_408() {
    let origin = Origin::digesting();
    let site = service("site").route("/").node(&origin).with("timeouts.body = \"300ms\"");
    let gateway = Gateway::with(site).start();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello");
    let answer = client.read();
    answer.expect_error(408, "request_timeout");
    client.read_until_gone();
    assert!(origin.seen().iter().all(|seen| seen.body.is_none()), "half a body never looks whole");
}

#[test]
fn a_body_that_comes_steadily_may_take_its_time() {
    let origin = Origin::digesting();
    let site = service("site")
        .route("/")
        .node(&origin)
        .with("timeouts.body = \"500ms\"")
        .with("timeouts.response_header = \"500ms\"");
    let gateway = Gateway::with(site).start();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n\r\n");
    for _ in 0..20 {
        wait::over(Duration::from_millis(60), || client.send("x"));
    }
    assert!(client.read().text().starts_with("20 bytes"));
}

#[test]
fn max_connections_holds_and_recovers() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).server("max_connections = 8").start();
    // More than fit in all shards together: some are turned away, whatever the spread over shards.
    let mut clients: Vec<_> = (0..32).map(|_| gateway.client()).collect();
    let served = clients
        .iter_mut()
        .filter_map(|client| {
            client.try_send(get("/").bytes()).ok()?;
            client.try_read().ok().filter(|answer| answer.status == 200)
        })
        .count();
    assert!((1..=8).contains(&served), "{served} of 32 were served");
    drop(clients);
    coregate_tests::eventually("there is room again", coregate_tests::PATIENCE, || {
        let mut client = gateway.client();
        client.try_send(get("/").bytes()).is_ok()
            && client.try_read().is_ok_and(|answer| answer.status == 200)
    });
}
