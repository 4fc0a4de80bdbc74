//! HTTP/2 from clients: what is promised of HTTP/1.1 holds for each stream, and streams do not get in each other's way.

use coregate_tests::body::{pattern, pattern_name};
use coregate_tests::{Gateway, H2, MIB, Origin, PATIENCE, eventually, get, post, request, route, service};
use h2::Reason;

#[test]
fn one_connection_carries_many_requests_after_another() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    for _ in 0..200 {
        client.get("/").expect(200, "a");
    }
    assert!(origin.accepted() <= 2, "{} upstream connections for one client", origin.accepted());
}

#[test]
fn many_streams_are_served_at_once_and_a_slow_one_holds_up_none() {
    let origin = Origin::that(|x| match x.target() {
        "/stall" => x.stall(),
        target => {
            let target = target.to_owned();
            x.answer(200, &target);
        }
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let slow: Vec<_> = (0..20).map(|_| client.start(&get("/stall"))).collect();
    origin.expect_count(20);
    let quick: Vec<_> = (0..60).map(|n| (n, client.start(&get(&format!("/{n}"))))).collect();
    for (n, stream) in quick {
        stream.read().expect(200, &format!("/{n}"));
    }
    drop(slow);
    origin.release();
}

#[test]
fn requests_are_routed_by_authority_path_and_method() {
    let (here, there) = (Origin::named("here"), Origin::named("there"));
    let api = service("api").route(route("/api").methods(&["GET"]).strip()).node(&here);
    let gateway =
        Gateway::with(api).and(service("other").route(route("/").host("other.test")).node(&there)).start();
    let mut client = H2::connect(gateway.address());
    client.get("/api/x?y=1").expect(200, "here");
    assert_eq!(here.last().line(), "GET /x?y=1");
    client.ask(&get("/").field("host", "other.test")).expect(200, "there");
    let refused = client.ask(&post("/api").body("x"));
    assert_eq!(refused.expect_error(405, "method_not_allowed").field("allow"), Some("GET, HEAD"));
    client.get("/nowhere").expect_error(404, "no_route");
    let options = client.ask(&request("OPTIONS", "/api"));
    options.expect_error(405, "method_not_allowed");
}

#[test]
fn what_goes_to_the_node_says_where_it_came_from() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let crumbs = get("/").field("cookie", "a=1").field("cookie", "b=2").field("te", "trailers");
    let answer = client.ask(&crumbs.field("x-forwarded-for", "10.0.0.1"));
    answer.expect(200, "a");
    assert_eq!(answer.field("via"), Some("1.1 coregate"));
    let seen = origin.only();
    assert_eq!(seen.field("via"), Some("2.0 coregate"));
    assert_eq!(seen.field("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("host"), Some("test"));
    assert_eq!((seen.field("te"), seen.field("connection")), (Some("trailers"), Some("TE")));
}

#[test]
fn bodies_of_every_size_arrive_whole_both_ways() {
    let origin = Origin::that(|x| {
        let name = x.read_body().name();
        match x.target().trim_start_matches('/').parse() {
            Ok(length) => x.answer_pattern(length),
            Err(_) => x.answer(200, &name),
        }
    });
    let gateway =
        Gateway::with(service("site").route("/").node(&origin).with("request.max_body_bytes = 0")).start();
    let mut client = H2::connect(gateway.address());
    for length in [0, 1, 255, 256, 16_383, 16_384, 16_385, 65_535, 65_536, MIB, 20 * MIB] {
        let answer = client.get(&format!("/{length}"));
        assert_eq!((answer.status, answer.body.name()), (200, pattern_name(length)), "{length}");
        let mut stream = client.begin(&post("/up"));
        pattern(length, |piece| {
            stream.send(piece);
            Ok::<_, ()>(())
        })
        .unwrap();
        stream.end();
        stream.read().expect(200, &pattern_name(length));
    }
    assert_eq!(origin.malformed(), Vec::<String>::new());
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::that(|x| {
        x.read_body();
        x.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\ncontent-length: 9\r\n\r\n");
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let mut stream = client.begin(&post("/"));
    stream.send("abc");
    stream.end_with(&[("x-digest", "5"), ("authorization", "no")]);
    let answer = stream.read();
    answer.expect(200, "abc");
    assert_eq!((answer.trailers.get("x-sum"), answer.trailers.get("content-length")), (Some("7"), None));
    let seen = origin.only();
    assert_eq!((seen.trailers.get("x-digest"), seen.trailers.get("authorization")), (Some("5"), None));
    assert_eq!(seen.body.unwrap().text(), "abc");
}

#[test]
fn heads_interim_answers_and_answers_without_content_end_as_they_should() {
    let origin = Origin::that(|x| match x.target() {
        "/early" => {
            x.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
            x.answer(200, "late");
        }
        "/204" => x.send("HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => x.send("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        "/close" => {
            x.send("HTTP/1.1 200 OK\r\n\r\nto the end");
            x.close();
        }
        _ => x.answer(200, "abc"),
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let head = client.ask(&request("HEAD", "/"));
    assert_eq!((head.status, head.field("content-length"), head.body.length), (200, Some("3"), 0));
    let early = client.get("/early");
    early.expect(200, "late");
    assert_eq!(early.interim, [103]);
    assert_eq!(client.get("/204").status, 204);
    assert_eq!(client.get("/304").field("content-length"), Some("5"));
    client.get("/close").expect(200, "to the end");
    let expecting = post("/").field("expect", "100-continue").body("x");
    let continued = client.ask(&expecting);
    continued.expect(200, "abc");
    assert_eq!(continued.interim, [100]);
}

#[test]
fn errors_are_told_on_the_stream_and_the_connection_goes_on() {
    let origin = Origin::digesting();
    let mut gone = Origin::named("gone");
    gone.stop();
    let small = service("small").route("/small").node(&origin).with("request.max_body_bytes = 10");
    let gateway = Gateway::with(small).and(service("gone").route("/gone").node(&gone)).start();
    let mut client = H2::connect(gateway.address());
    client.get("/nowhere").expect_error(404, "no_route");
    client.get("/gone").expect_error(502, "upstream_unreachable");
    client.ask(&post("/small").body("0123456789x")).expect_error(413, "body_too_large");
    let mut stream = client.begin(&post("/small"));
    stream.send("0123456789x");
    stream.read().expect_error(413, "body_too_large");
    client.get("/small/%00").expect_error(400, "bad_request");
    client.get(&format!("/{}", "a".repeat(9000))).expect_error(414, "uri_too_long");
    let connect = http::Request::connect("test:80").body(()).unwrap();
    client.open(connect, false).read().expect_error(405, "method_not_allowed");
    client.ask(&post("/small").body("0123456789")).expect(200, &name_of("0123456789"));
    assert!(!client.is_ended());
}

fn name_of(text: &str) -> String {
    let mut body = coregate_tests::body::Body::default();
    body.push(text.as_bytes());
    body.name()
}

#[test]
fn heads_beyond_the_listeners_limits_are_answered_431() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin)
        .listener("max_header_bytes = \"2KiB\"")
        .listener("max_header_fields = 10")
        .start();
    let mut client = H2::connect(gateway.address());
    let field = |bytes: usize| get("/").field("x", &"a".repeat(bytes));
    // The line, Host and the end take some.
    client.ask(&field(1990)).expect(200, "a");
    client.ask(&field(2040)).expect_error(431, "headers_too_large");
    // So much is refused before it gets as far as that.
    assert_eq!(client.ask(&field(3000)).status, 431);
    let fields = |count| (0..count).fold(get("/"), |request, _| request.field("a", "b"));
    client.ask(&fields(9)).expect(200, "a");
    client.ask(&fields(11)).expect_error(431, "headers_too_large");
}

#[test]
fn an_answer_that_is_cut_off_is_reset_and_others_are_not() {
    let origin = Origin::that(|x| match x.target() {
        "/cut" => {
            x.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
            x.close();
        }
        _ => x.answer(200, "a"),
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let error = client.try_ask(&get("/cut")).unwrap_err();
    assert_eq!((error.reason(), error.is_remote()), (Some(Reason::INTERNAL_ERROR), true));
    client.get("/").expect(200, "a");
}

#[test]
fn a_stream_that_the_client_resets_ends_its_request_alone() {
    let origin = Origin::that(|x| match x.target() {
        "/stall" => {
            x.wait_gone();
        }
        "/endless" => {
            x.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
            while !x.ended() {
                x.send([b'x'; 1000]);
            }
        }
        _ => x.answer(200, "a"),
    });
    let site = service("site").route("/").node(&origin).with("timeouts.response_header = \"1h\"");
    let gateway = Gateway::with(site).start();
    let mut client = H2::connect(gateway.address());
    let other = client.start(&get("/stall"));
    origin.expect_count(1);
    let stalled = client.start(&get("/stall"));
    origin.expect_count(2);
    stalled.reset(Reason::CANCEL);
    let mut endless = client.start(&get("/endless"));
    assert_eq!(endless.head().0, 200);
    endless.reset(Reason::CANCEL);
    let mut uploading = client.begin(&post("/stall"));
    uploading.send("some");
    origin.expect_count(4);
    uploading.reset(Reason::CANCEL);
    eventually("the node's connections of those that were reset are closed", PATIENCE, || origin.open() <= 1);
    eventually("they are accounted for", PATIENCE, || {
        gateway.metric("coregate_endings_total", &["cause=\"client_gone\""]) >= 3.0
    });
    client.get("/").expect(200, "a");
    drop(other);
}

#[test]
fn a_request_is_sent_again_when_an_idle_connection_turns_out_to_be_closed() {
    let origin = Origin::that(|x| {
        if x.turn() == 1 {
            x.reset();
        } else {
            x.answer(200, "a");
        }
    });
    let gateway = Gateway::before(&origin).server("shards = 1").start();
    let mut client = H2::connect(gateway.address());
    client.get("/").expect(200, "a");
    client.get("/").expect(200, "a");
    eventually("it is counted", PATIENCE, || gateway.metric("coregate_shard_retries_total", &[]) == 1.0);
}

#[test]
fn a_panic_ends_its_own_stream_alone() {
    let origin = Origin::that(|x| {
        if x.target() == "/wait" {
            x.stall();
        }
        x.answer(200, "a");
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let waiting = client.start(&get("/wait"));
    origin.expect_count(1);
    client.ask(&get("/").field("x-coregate-fault", "panic")).expect_error(500, "internal");
    client.get("/").expect(200, "a");
    origin.release();
    waiting.read().expect(200, "a");
    eventually("it is counted", PATIENCE, || gateway.metric("coregate_shard_panics_total", &[]) == 1.0);
}

#[test]
fn the_window_of_a_body_is_given_back_as_the_node_takes_it() {
    let origin = Origin::that(|x| {
        x.stall();
        let name = x.read_body().name();
        x.answer(200, &name);
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let mut stream = client.begin(&post("/"));
    let length = 20 * MIB;
    pattern(length, |piece| {
        stream.push(piece.to_vec());
        Ok::<_, ()>(())
    })
    .unwrap();
    stream.end();
    origin.expect_count(1);
    client.ping();
    // What the gateway has taken of it lies in windows and socket buffers.
    origin.release();
    stream.read().expect(200, &pattern_name(length));
}

#[test]
fn http_2_can_be_switched_off_and_its_streams_limited() {
    let origin = Origin::that(|x| x.stall());
    let off = Gateway::before(&origin).listener("http2.enabled = false").start();
    let mut client = off.client();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.read().expect_error(505, "version_not_supported");
    let few = Gateway::before(&origin).listener("http2.max_concurrent_streams = 2").start();
    let mut client = H2::connect(few.address());
    client.ping();
    assert_eq!(client.max_streams(), 2);
    origin.release();
}
