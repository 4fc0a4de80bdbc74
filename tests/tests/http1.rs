//! HTTP/1.1 as a proxy speaks it: connections kept, requests pipelined, every kind of message framed right.

use std::process::Command;

use coregate_tests::message::Framing;
use coregate_tests::{Gateway, Origin, get, post, request, service};

#[test]
fn one_client_connection_carries_many_requests() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for _ in 0..200 {
        let answer = client.get("/");
        answer.expect(200, "a");
        assert!(!answer.fields.lists("connection", "close"));
    }
    assert!(origin.accepted() <= 2, "{} upstream connections for one client", origin.accepted());
}

#[test]
fn connection_close_is_honoured_and_said_back() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    let answer = client.ask(&get("/").field("Connection", "close"));
    answer.expect(200, "a");
    assert!(answer.fields.lists("connection", "close"), "{:?}", answer.fields);
    client.expect_close();
}

#[test]
fn an_origin_that_closes_does_not_close_the_client() {
    let origin = Origin::that(|x| {
        x.answer_with(200, "Connection: close\r\n", "a");
        x.close();
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for _ in 0..5 {
        client.get("/").expect(200, "a");
    }
    assert_eq!(origin.accepted(), 5);
}

#[test]
fn a_pipelined_burst_of_100_is_answered_in_order() {
    let origin = Origin::that(|x| {
        let target = x.target().to_owned();
        x.answer(200, &target);
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    let burst: Vec<u8> = (0..100).flat_map(|n| get(&format!("/{n}")).bytes()).collect();
    client.send(&burst);
    for n in 0..100 {
        client.read().expect(200, &format!("/{n}"));
    }
}

#[test]
fn a_pipelined_burst_mixes_bodies_heads_and_errors() {
    let origin = Origin::digesting();
    let gateway = Gateway::with(service("api").route("/api").node(&origin)).start();
    let mut client = gateway.client();
    let mut burst = Vec::new();
    for _ in 0..25 {
        burst.extend(post("/api").body("hello").bytes());
        burst.extend(request("HEAD", "/api").bytes());
        burst.extend(post("/api").chunks(&["he", "l", "lo"], "").bytes());
        burst.extend(get("/elsewhere").bytes());
    }
    client.send(&burst);
    let name = client.read().text();
    assert!(name.starts_with("5 bytes"), "{name}");
    for n in 0..25 {
        if n > 0 {
            client.read().expect(200, &name);
        }
        assert_eq!(client.try_read_to("HEAD").expect("an answer to HEAD").status, 200);
        client.read().expect(200, &name);
        client.read().expect_error(404, "no_route");
    }
}

#[test]
fn chunked_bodies_pass_both_ways_with_trailers() {
    let origin = Origin::that(|x| {
        x.read_body();
        x.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n");
        x.send("3\r\nabc\r\n");
        x.send("A;ext=1\r\n0123456789\r\n0\r\nX-Sum: 42\r\n\r\n");
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    let asked =
        post("/").field("TE", "trailers").field("Trailer", "x-up").chunks(&["he", "llo"], "X-Up: 7\r\n");
    let answer = client.ask(&asked);
    answer.expect(200, "abc0123456789");
    assert_eq!(answer.framing, Framing::Chunked);
    assert_eq!(answer.trailers.get("x-sum"), Some("42"));
    let seen = origin.only();
    assert_eq!(seen.body.as_ref().expect("a whole body").text(), "hello");
    assert_eq!(seen.trailers.get("x-up"), Some("7"));
    assert_eq!(seen.field("content-length"), None);
    client.get("/").expect(200, "abc0123456789");
}

#[test]
fn a_chunk_is_relayed_before_the_next_one_comes() {
    let origin = Origin::that(|x| {
        x.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
        x.stall();
        x.send("3\r\ndef\r\n0\r\n\r\n");
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send(get("/").bytes());
    assert_eq!(client.read_head().0, 200);
    assert_eq!(client.read_exact(8), b"3\r\nabc\r\n");
    origin.release();
    assert_eq!(client.read_exact(13), b"3\r\ndef\r\n0\r\n\r\n");
}

#[test]
fn expect_100_continue_is_answered_before_the_body() {
    let origin = Origin::digesting();
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.try_read_next("POST").expect("an interim answer").status, 100);
    client.send("hello");
    let answer = client.read();
    assert_eq!((answer.status, answer.text().starts_with("5 bytes")), (200, true));
    assert_eq!(origin.only().body.as_ref().expect("a body").text(), "hello");
    client.get("/").expect(200, &coregate_tests::body::pattern_name(0));
}

#[test]
fn an_origin_that_refuses_before_100_is_heard() {
    let origin = Origin::that(|x| {
        if x.head().fields.lists("expect", "100-continue") || x.method() == "POST" {
            x.send("HTTP/1.1 417 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
            x.close();
        }
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read().status, 417);
}

#[test]
fn curl_uploads_with_expect() {
    let origin = Origin::digesting();
    let gateway = Gateway::before(&origin).start();
    let file = tempfile_with(300_000);
    let data = format!("@{}", file.path().display());
    let url = format!("http://{}/upload", gateway.address());
    let words = ["-sS", "-v", "--max-time", "20", "-H", "Expect: 100-continue", "--data-binary", &data, &url];
    let output = Command::new("curl").args(words).output().expect("curl runs (make test installs it)");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("HTTP/1.1 100"), "{log}");
    assert!(output.stdout.starts_with(b"300000 bytes"), "{output:?}");
}

fn tempfile_with(length: usize) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), vec![b'x'; length]).expect("write it");
    file
}

#[test]
fn interim_answers_are_passed_on() {
    let origin = Origin::that(|x| {
        x.send("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
        x.answer(200, "a");
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    let answer = client.get("/");
    answer.expect(200, "a");
    assert_eq!(answer.interim, [103, 102]);
    client.get("/").expect(200, "a");
}

#[test]
fn a_head_answer_has_fields_and_no_body() {
    let origin = Origin::that(|x| x.answer_with(200, "X-Made-By: head\r\n", "twelve bytes"));
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.ask(&request("HEAD", "/"));
        assert_eq!((answer.status, answer.field("content-length")), (200, Some("12")));
        assert_eq!(answer.field("x-made-by"), Some("head"));
        client.get("/").expect(200, "twelve bytes");
    }
    assert!(origin.accepted() <= 2, "the connections stayed in step");
}

#[test]
fn an_error_answer_to_head_has_no_body() {
    let gateway = Gateway::empty().start();
    let mut client = gateway.client();
    let answer = client.ask(&request("HEAD", "/nowhere"));
    assert_eq!((answer.status, answer.body.length), (404, 0));
    client.get("/nowhere").expect_error(404, "no_route");
}

#[test]
fn a_204_and_a_304_have_no_body() {
    let origin = Origin::that(|x| match x.target() {
        "/204" => x.send("HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n"),
        "/304" => x.send("HTTP/1.1 304 Not Modified\r\netag: \"e\"\r\ncontent-length: 1000\r\n\r\n"),
        _ => x.answer(200, "a"),
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        let none = client.get("/204");
        assert_eq!((none.status, none.field("x-a"), none.framing), (204, Some("1"), Framing::None));
        let same = client.get("/304");
        assert_eq!((same.status, same.field("etag")), (304, Some("\"e\"")));
        client.get("/").expect(200, "a");
    }
    assert!(origin.accepted() <= 2, "the connections stayed in step");
}

#[test]
fn an_answer_of_zero_length_is_whole() {
    let origin = Origin::named("");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        client.get("/").expect(200, "");
        client.ask(&post("/").body("")).expect(200, "");
    }
    assert_eq!(origin.last().field("content-length"), Some("0"));
}

#[test]
fn an_http_1_0_client_gets_a_close() {
    let origin = Origin::that(|x| {
        x.read_body();
        x.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send("GET /x HTTP/1.0\r\n\r\n");
    let answer = client.read();
    answer.expect(200, "abcde");
    assert_ne!(answer.framing, Framing::Chunked, "HTTP/1.0 knows no chunks");
    client.expect_close();
    assert!(origin.only().head.start.ends_with("HTTP/1.1"), "its own version goes upstream");
}

#[test]
fn an_http_1_0_client_may_keep_its_connection() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.read();
        answer.expect(200, "a");
        if !answer.fields.lists("connection", "keep-alive") {
            client.expect_close();
            return;
        }
    }
}

#[test]
fn an_http_1_0_origin_is_understood() {
    let origin = Origin::that(|x| {
        x.read_body();
        x.send("HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the close");
        x.close();
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.get("/");
        answer.expect(200, "until the close");
        assert_eq!(answer.version, "HTTP/1.1");
        if answer.framing == Framing::Close {
            client = gateway.client();
        }
    }
}

#[test]
fn connect_and_trace_are_refused() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    for line in ["TRACE / HTTP/1.1", "CONNECT test:80 HTTP/1.1"] {
        let mut client = gateway.client();
        client.send(format!("{line}\r\nHost: test:80\r\n\r\n"));
        let answer = client.read();
        answer.expect_error(405, "method_not_allowed");
        assert!(answer.field("allow").is_some(), "{answer:?}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn options_for_the_whole_server_is_answered() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let answer = gateway.client().ask(&request("OPTIONS", "*"));
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
}

#[test]
fn any_method_goes_through() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "X-OWN"] {
        client.ask(&request(method, "/x")).expect(200, "a");
        assert_eq!(origin.last().line(), format!("{method} /x"));
    }
}

#[test]
fn blank_lines_before_a_request_are_skipped() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send("\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n");
    client.read().expect(200, "a");
}

#[test]
fn a_half_closed_client_still_gets_its_answers() {
    let origin = Origin::that(|x| {
        x.stall();
        x.answer(200, "late");
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send(get("/").bytes());
    client.half_close();
    origin.expect_count(1);
    origin.release();
    client.read().expect(200, "late");
    client.expect_close();
}
