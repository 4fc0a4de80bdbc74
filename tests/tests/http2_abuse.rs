//! A client of HTTP/2 that means ill, or does not know better, is stopped with the right code: in bounded memory, and
//! without harm to other connections.

use coregate_tests::h2_raw::{
    ACK, END_HEADERS, END_STREAM, PREFACE, block, code, frame, get as raw_get, kind,
};
use coregate_tests::{Gateway, H2, MIB, Origin, PATIENCE, RawH2, eventually, get, process, service};

fn origin() -> Origin {
    Origin::that(|x| match x.target() {
        "/stall" => {
            x.wait_gone();
        }
        "/big" => x.answer_pattern(100 * MIB),
        _ => x.answer(200, "ok"),
    })
}

/// Runs the abuse; meanwhile and afterwards others are served, and memory stays within bounds.
#[track_caller]
fn unharmed(gateway: &Gateway, abuse: impl FnOnce()) {
    let mut other = H2::connect(gateway.address());
    other.get("/").expect(200, "ok");
    let before = process::rss_bytes(gateway.pid());
    abuse();
    other.get("/").expect(200, "ok");
    assert!(!other.is_ended());
    gateway.get("/").expect(200, "ok");
    let grown = process::rss_bytes_max(gateway.pid()).saturating_sub(before);
    // A shard's receive buffers alone may come to 80 MiB, whoever makes it need them.
    assert!(grown < 128 * MIB, "{grown} bytes more");
}

/// Whose bound is met first, the gateway's or the library's, depends on how the bytes come.
const EITHER: &str = "continuations|enhance_your_calm";

fn counts_cut(gateway: &Gateway, labels: &[&str]) -> f64 {
    gateway.metric("coregate_shard_http2_connections_cut_total", labels)
}

/// Floods a connection and expects its end.
#[track_caller]
fn calmed(what: &str, reason: &str, flood: impl FnMut(usize) -> Vec<u8> + Send + 'static) {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    unharmed(&gateway, || {
        let mut client = RawH2::connect(gateway.address());
        client.flood(2_000_000, flood);
        assert_eq!(client.expect_goaway(), code::ENHANCE_YOUR_CALM, "{what}");
        client.read_to_end();
    });
    eventually("it is counted once", PATIENCE, || {
        counts_cut(&gateway, &[]) == 1.0
            && reason.split('|').map(|it| counts_cut(&gateway, &[&format!("reason=\"{it}\"")])).sum::<f64>()
                == 1.0
    });
}

fn stream(n: usize) -> u32 {
    u32::try_from(2 * n + 1).expect("a stream id")
}

#[test]
fn streams_reset_in_rapid_succession() {
    calmed("rapid reset", "resets", |n| {
        let reset = frame(kind::RST_STREAM, 0, stream(n), &code::CANCEL.to_be_bytes());
        [raw_get(stream(n), "/stall"), reset].concat()
    });
}

#[test]
fn resets_within_the_limit_do_no_harm() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    let mut client = RawH2::connect(gateway.address());
    for n in 0..90 {
        client.send(raw_get(stream(n), "/stall"));
        client.send(frame(kind::RST_STREAM, 0, stream(n), &code::CANCEL.to_be_bytes()));
    }
    client.send(raw_get(stream(90), "/"));
    client.expect("an answer", |frame| frame.kind == kind::DATA && frame.stream == stream(90));
    eventually("nothing goes on for those that were reset", PATIENCE, || origin.open() <= 4);
}

#[test]
fn a_header_block_without_an_end() {
    let head = block("/", &[]);
    calmed("CONTINUATION flood", EITHER, move |n| match n {
        0 => frame(kind::HEADERS, END_STREAM, 1, &head),
        _ => frame(kind::CONTINUATION, 0, 1, &[]),
    });
    let head = block("/", &[]);
    calmed("CONTINUATION flood with content", EITHER, move |n| match n {
        0 => frame(kind::HEADERS, END_STREAM, 1, &head),
        // A field of its own each.
        _ => frame(kind::CONTINUATION, 0, 1, &[&[0, 1, b'a', 126][..], &[b'b'; 126]].concat()),
    });
}

#[test]
fn a_small_header_block_that_unfolds_to_a_large_one() {
    calmed("HPACK bomb", "enhance_your_calm", |n| {
        let mut bomb = block("/", &[]);
        // A field of nearly 4000 bytes into the dynamic table, then that again and again.
        bomb.extend([0x40, 1, b'a', 127, 0x99, 0x1e]);
        bomb.extend([b'b'; 127 + 0x19 + (0x1e << 7)]);
        bomb.extend([0xbe; 10_000]);
        frame(kind::HEADERS, END_STREAM | END_HEADERS, stream(n), &bomb)
    });
}

#[test]
fn frames_without_content() {
    calmed("PING flood", "idle_frames", |_| frame(kind::PING, 0, 0, &[0; 8]));
    calmed("PING acknowledgement flood", "idle_frames", |_| frame(kind::PING, ACK, 0, &[0; 8]));
    calmed("SETTINGS flood", "idle_frames", |_| frame(kind::SETTINGS, 0, 0, &[]));
    calmed("PRIORITY flood", "idle_frames", |_| frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 7]));
    calmed("WINDOW_UPDATE flood", "idle_frames", |_| frame(kind::WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes()));
    calmed("flood of unknown frames", "idle_frames", |_| frame(0x77, 0, 0, b"?"));
    let post = block("/stall", &[]);
    calmed("empty DATA flood", "enhance_your_calm", move |n| match n {
        0 => frame(kind::HEADERS, END_HEADERS, 1, &post),
        _ => frame(kind::DATA, 0, 1, &[]),
    });
}

#[test]
fn pings_at_a_reasonable_pace_and_those_that_traffic_earns() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    for n in 0..3000 {
        client.ping();
        if n % 2 == 0 {
            client.get("/").expect(200, "ok");
        }
    }
    assert!(!client.is_ended());
}

#[test]
fn answers_that_are_not_read() {
    let origin = origin();
    let site = service("site").route("/").node(&origin).with("timeouts.body = \"500ms\"");
    let gateway = Gateway::with(site).start();
    unharmed(&gateway, || {
        // No window for content at all.
        let mut stalling = RawH2::with_settings(gateway.address(), &[(4, 0)]);
        for n in 0..100 {
            stalling.send(raw_get(stream(n), "/big"));
        }
        let mut resets = 0;
        while resets < 100 {
            stalling.expect("all streams are reset", |frame| frame.kind == kind::RST_STREAM);
            resets += 1;
        }
        // The connection is none the worse for it.
        stalling.send(frame(kind::PING, 0, 0, &[1; 8]));
        stalling.expect("an answer to a ping", |frame| frame.kind == kind::PING && frame.flags == ACK);
    });
    eventually("it is the clients' fault", PATIENCE, || {
        gateway.metric("coregate_endings_total", &["cause=\"client_timeout\""]) == 100.0
    });
}

#[test]
fn a_connection_that_is_not_read_from() {
    let origin = origin();
    let site = service("site").route("/").node(&origin).with("timeouts.body = \"500ms\"");
    let gateway = Gateway::with(site).start();
    unharmed(&gateway, || {
        let mut deaf = RawH2::with_settings(gateway.address(), &[(4, 0x7fff_ffff)]);
        deaf.send(frame(kind::WINDOW_UPDATE, 0, 0, &0x7fff_0000u32.to_be_bytes()));
        for n in 0..100 {
            deaf.send(raw_get(stream(n), "/big"));
        }
        eventually("the node's connections are given up", PATIENCE, || {
            origin.count() >= 100 && origin.open() <= 4
        });
    });
}

#[test]
fn more_streams_than_are_allowed() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    let mut client = RawH2::connect(gateway.address());
    for n in 0..140 {
        client.send(raw_get(stream(n), "/stall"));
    }
    let refused = client.expect("a refusal", |frame| frame.kind == kind::RST_STREAM);
    assert_eq!((refused.stream, refused.code()), (stream(128), code::REFUSED_STREAM));
    assert!(origin.count() <= 128);
}

#[test]
fn a_header_block_that_comes_too_slowly() {
    let origin = origin();
    let gateway = Gateway::before(&origin).listener("header_timeout = \"300ms\"").start();
    let mut client = RawH2::connect(gateway.address());
    client.send(raw_get(1, "/"));
    client.expect("an answer", |frame| frame.kind == kind::DATA);
    client.send(frame(kind::HEADERS, 0, 3, &block("/", &[])));
    assert_eq!(client.expect_goaway(), code::ENHANCE_YOUR_CALM);
    // The same within one frame.
    let mut client = RawH2::connect(gateway.address());
    client.send(&raw_get(1, "/")[..12]);
    assert_eq!(client.expect_goaway(), code::ENHANCE_YOUR_CALM);
    client.read_to_end();
}

#[test]
fn a_connection_on_which_nothing_is_asked() {
    let origin = origin();
    let gateway = Gateway::before(&origin)
        .listener("header_timeout = \"300ms\"")
        .listener("idle_timeout = \"300ms\"")
        .start();
    let mut client = RawH2::connect(gateway.address());
    assert_eq!(client.expect_goaway(), code::NO_ERROR);
    client.read_to_end();
    // Nor has it all day to say who it is.
    for said in [&PREFACE[..10], PREFACE] {
        let mut silent = RawH2::silent(gateway.address());
        silent.send(said);
        silent.read_to_end();
    }
    eventually("no connection is left", PATIENCE, || {
        gateway.metric("coregate_shard_connections", &[]) == 0.0
    });
}

#[test]
fn what_is_against_the_protocol() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    let too_long = [&[0xff, 0xff, 0xff, kind::DATA, 0][..], &1u32.to_be_bytes(), &[0; 64]].concat();
    let overflow = frame(kind::WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes());
    unharmed(&gateway, || {
        for (what, bytes, expected) in [
            ("DATA on an idle stream", frame(kind::DATA, 0, 1, b"x"), code::PROTOCOL_ERROR),
            ("an even stream", raw_get(2, "/"), code::PROTOCOL_ERROR),
            ("a frame beyond the limit", too_long, code::FRAME_SIZE_ERROR),
            ("a window beyond the limit", overflow, code::FLOW_CONTROL_ERROR),
            ("bad HPACK", frame(kind::HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0xff]), code::PROTOCOL_ERROR),
            ("SETTINGS on a stream", frame(kind::SETTINGS, 0, 1, &[]), code::PROTOCOL_ERROR),
        ] {
            let mut client = RawH2::connect(gateway.address());
            client.send(bytes);
            assert_eq!(client.expect_goaway(), expected, "{what}");
            client.read_to_end();
        }
    });
    for (reason, count) in [("protocol_error", 4.0), ("frame_size_error", 1.0), ("flow_control_error", 1.0)] {
        eventually(&format!("each is counted: {reason}"), PATIENCE, || {
            counts_cut(&gateway, &[&format!("reason=\"{reason}\"")]) == count
        });
    }
}

#[test]
fn requests_that_are_malformed_are_reset_alone() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    let mut client = RawH2::connect(gateway.address());
    let head = |fields: &[(&str, &str)]| block("/", fields);
    let malformed = [
        head(&[("connection", "close")]),
        head(&[("transfer-encoding", "chunked")]),
        head(&[("te", "gzip")]),
        head(&[("content-length", "1"), ("content-length", "2")]),
        head(&[("a", "b"), (":path", "/again")]),
        // No :path, no :method, :method twice.
        vec![0x82, 0x86, 0x01, 1, b'h'],
        vec![0x86, 0x84],
        vec![0x82, 0x82, 0x86, 0x84],
    ];
    for (n, block) in malformed.iter().enumerate() {
        client.send(frame(kind::HEADERS, END_STREAM | END_HEADERS, stream(n), block));
        let reset = client.expect("a reset", |frame| frame.kind == kind::RST_STREAM);
        assert_eq!((reset.stream, reset.code()), (stream(n), code::PROTOCOL_ERROR), "{block:?}");
    }
    // Neither :path nor :authority. That is told in words.
    client.send(frame(kind::HEADERS, END_STREAM | END_HEADERS, stream(15), &[0x82, 0x86]));
    let answer = client.expect("an answer", |frame| frame.kind == kind::DATA && frame.stream == stream(15));
    assert!(String::from_utf8_lossy(&answer.payload).contains("bad_request"), "{answer:?}");
    // Content that is longer, or shorter, than was said.
    for (n, content) in [(20, "1234"), (21, "12")] {
        let head = head(&[("content-length", "3")]);
        client.send(frame(kind::HEADERS, END_HEADERS, stream(n), &head));
        client.send(frame(kind::DATA, END_STREAM, stream(n), content.as_bytes()));
        let reset = client.expect("a reset", |frame| frame.kind == kind::RST_STREAM);
        assert_eq!((reset.stream, reset.code()), (stream(n), code::PROTOCOL_ERROR), "{content}");
    }
    client.send(raw_get(stream(30), "/"));
    client.expect("an answer", |frame| frame.kind == kind::DATA && frame.stream == stream(30));
    assert_eq!(origin.malformed(), Vec::<String>::new());
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let origin = origin();
    let site = service("site").route("/").node(&origin).with("timeouts.response_header = \"1h\"");
    let gateway = Gateway::with(site).start();
    gateway.get("/").expect(200, "ok");
    let descriptors = process::descriptors(gateway.pid());
    let mut client = H2::connect(gateway.address());
    let streams: Vec<_> = (0..50).map(|_| client.start(&get("/stall"))).collect();
    origin.expect_count(51);
    drop((streams, client));
    eventually("descriptors are given back", PATIENCE, || {
        origin.cut_connections();
        process::descriptors(gateway.pid()) <= descriptors + 2
    });
    eventually("all are accounted for", PATIENCE, || {
        gateway.metric("coregate_endings_total", &["cause=\"client_gone\""]) == 50.0
    });
}
