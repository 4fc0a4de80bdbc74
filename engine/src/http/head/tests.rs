//! Heads: what is accepted and what it means; what is refused, and as what; splits, limits, arbitrary bytes.

use std::mem::MaybeUninit;

use proptest::prelude::*;

use super::HeadError::*;
use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes_max: 16 << 10, target_bytes_max: 8 << 10, fields_max: 100 };

fn with_request<T>(
    bytes: &[u8],
    limits: &HeadLimits,
    then: impl FnOnce(Result<Option<RequestHead>, HeadError>) -> T,
) -> T {
    let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    then(parse_request(bytes, limits, &mut slots))
}

/// Parses and interprets; panics if the head is incomplete.
fn request<T>(bytes: &[u8], then: impl FnOnce(RequestHead, RequestMeta) -> T) -> Result<T, HeadError> {
    with_request(bytes, &LIMITS, |head| {
        let head = head?.expect("a whole head");
        let meta = request_meta(&head)?;
        Ok(then(head, meta))
    })
}

fn refused(bytes: &[u8]) -> HeadError {
    match request(bytes, |_, _| ()) {
        Err(error) => error,
        Ok(()) => panic!("accepted: {}", bytes.escape_ascii()),
    }
}

fn assert_malformed(bytes: &[u8]) {
    let error = refused(bytes);
    assert!(matches!(error, Malformed(_)), "{error:?}: {}", bytes.escape_ascii());
}

/// A POST with these field lines after its Host.
fn post(fields: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
}

fn with_response<T>(
    bytes: &[u8],
    method: Method,
    then: impl FnOnce(ResponseHead, ResponseMeta) -> T,
) -> Result<T, HeadError> {
    let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let head = parse_response(bytes, &LIMITS, &mut slots)?.expect("a whole head");
    let meta = response_meta(&head, method)?;
    Ok(then(head, meta))
}

const ACCEPTED: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"\r\n\r\nGET /a?b=c HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\n\r\n",
    b"PATCH /%2e/[x]?a[]=1&b=/? HTTP/1.1\r\nhost:[::1]:8080\r\nx:\r\ny: \t v \t\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"M-SEARCH http://a.b/c?d HTTP/1.1\r\nHost: x\r\nUser-Agent: \xc3\xa9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\nConnection: close, x-a,,\r\nX-A: 1\r\n\r\n",
];

#[test]
fn a_plain_head_is_taken_apart() {
    let bytes = b"GET /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nAccept:  */* \r\n\r\nnext";
    request(bytes, |head, meta| {
        assert_eq!((head.method, head.target, head.version), ("GET", "/a/b?c=d", Version::Http11));
        assert_eq!(head.len, bytes.len() - 4);
        assert_eq!((head.fields[1].name, head.fields[1].value), ("Accept", &b"*/*"[..]));
        assert_eq!((meta.method, meta.host), (Method::Get, "example.com:8080"));
        assert_eq!((meta.target.path(), meta.target.query()), ("/a/b", Some("c=d")));
        assert_eq!(meta.body, BodyFraming::None);
        assert!(meta.keep_alive && !meta.upgrade && !meta.expect_continue && !meta.takes_trailers);
    })
    .unwrap();
}

#[test]
fn every_prefix_of_an_accepted_head_is_incomplete_and_a_trickle_ends_the_same() {
    for bytes in ACCEPTED {
        for len in 0..bytes.len() {
            with_request(&bytes[..len], &LIMITS, |head| {
                assert!(head.unwrap().is_none(), "{} at {len}", bytes.escape_ascii());
            });
        }
        // As a connection does it: parse at first, then only when the head may have ended.
        for step in 1..bytes.len() {
            let mut parsed_at = 0;
            let mut ends = (step..bytes.len()).step_by(step).chain([bytes.len()]);
            let whole = ends.find(|&end| {
                if parsed_at != 0 && !has_head_end(&bytes[..end], parsed_at) {
                    return false;
                }
                parsed_at = end;
                with_request(&bytes[..end], &LIMITS, |head| head.unwrap().is_some())
            });
            assert_eq!(whole, Some(bytes.len()), "{} by {step}", bytes.escape_ascii());
        }
        request(bytes, |head, _| assert_eq!(head.len, bytes.len())).unwrap();
    }
}

#[test]
fn malformed_start_lines_are_refused() {
    let table: &[&[u8]] = &[
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\r\nHost: a\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?\"a\" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://u:p@a/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.11\r\nHost: a\r\n\r\n",
        b"GET / HTTP/11\r\nHost: a\r\n\r\n",
        b"GET / HTTP/ 1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01",
    ];
    for bytes in table {
        assert_malformed(bytes);
    }
}

#[test]
fn malformed_field_lines_are_refused() {
    let table = [
        " x: y\r\n",
        "\tx: y\r\n",
        "x : y\r\n",
        "x\t: y\r\n",
        "x: a\r\n b\r\n",
        "x: a\r\n\tb\r\n",
        "x: a\nb: c\r\n",
        "x: a\rb: c\r\n",
        "x: a\r\rb\r\n",
        "x: a\r\r\n",
        "x: a\n",
        "\nx: a\r\n",
        "x: a\0b\r\n",
        "x: \u{1}\r\n",
        "x: \u{7f}\r\n",
        "x\0: a\r\n",
        ": a\r\n",
        "x\r\n",
        "x(y): a\r\n",
        "\"x\": a\r\n",
        "é: a\r\n",
    ];
    for fields in table {
        assert_malformed(&post(fields));
        // First, where httparse has options of its own.
        assert_malformed(format!("GET / HTTP/1.1\r\n{fields}Host: a\r\n\r\n").as_bytes());
    }
}

#[test]
fn every_byte_is_allowed_exactly_where_the_grammar_allows_it() {
    for byte in 0..=255u8 {
        let with = |before: &str, after: &str| [before.as_bytes(), &[byte], after.as_bytes()].concat();
        let accepted = |bytes: Vec<u8>| request(&bytes, |_, _| ()).is_ok();
        use crate::http::syntax::{TARGET, TOKEN, VALUE, is};
        let token = is(byte, TOKEN);
        assert_eq!(accepted(with("G", "T / HTTP/1.1\r\nHost: a\r\n\r\n")), token, "method {byte:#x}");
        assert_eq!(
            accepted(with("GET /?x", "y HTTP/1.1\r\nHost: a\r\n\r\n")),
            is(byte, TARGET),
            "query {byte:#x}"
        );
        assert_eq!(accepted(with("GET / HTTP/1.1\r\nHost: a\r\nx", "y: b\r\n\r\n")), token || byte == b':');
        assert_eq!(
            accepted(with("GET / HTTP/1.1\r\nHost: a\r\nx: y", "z\r\n\r\n")),
            is(byte, VALUE),
            "{byte:#x}"
        );
    }
}

#[test]
fn other_versions_are_told_from_noise_and_the_preface() {
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/9.9"] {
        let bytes = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert_eq!(refused(bytes.as_bytes()), VersionNotSupported, "{version}");
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for len in 0..preface.len() {
        with_request(&preface[..len], &LIMITS, |head| assert!(head.unwrap().is_none(), "{len}"));
    }
    assert_eq!(refused(preface), Http2Preface);
    assert_eq!(refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04"), Http2Preface);
    assert_eq!(refused(b"PRI * HTTP/2.0\r\n\r\nXX"), VersionNotSupported);
    assert!(request(b"PRI / HTTP/1.1\r\nHost: a\r\n\r\n", |_, _| ()).is_ok());
}

#[test]
fn limits_hold_at_n_minus_one_n_and_n_plus_one() {
    let bytes = b"GET /target HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\n\r\n";
    let parse =
        |bytes: &[u8], limits: HeadLimits| with_request(bytes, &limits, |head| head.map(|h| h.is_some()));
    let n = bytes.len();
    for (bytes_max, expected) in [(n - 1, Err(HeadersTooLarge)), (n, Ok(true)), (n + 1, Ok(true))] {
        assert_eq!(parse(bytes, HeadLimits { bytes_max, ..LIMITS }), expected);
        let more = [bytes, &b"body"[..]].concat();
        assert_eq!(parse(&more, HeadLimits { bytes_max, ..LIMITS }), expected);
    }
    for (fields_max, expected) in [(2, Err(HeadersTooLarge)), (3, Ok(true)), (4, Ok(true))] {
        assert_eq!(parse(bytes, HeadLimits { fields_max, ..LIMITS }), expected);
    }
    for (target_bytes_max, expected) in [(6, Err(UriTooLong)), (7, Ok(true)), (8, Ok(true))] {
        assert_eq!(parse(bytes, HeadLimits { target_bytes_max, ..LIMITS }), expected);
    }
}

#[test]
fn a_partial_head_beyond_its_limits_is_refused_at_once() {
    let parse =
        |bytes: &[u8], limits: HeadLimits| with_request(bytes, &limits, |head| head.map(|h| h.is_some()));
    let limits = HeadLimits { bytes_max: 40, target_bytes_max: 8, fields_max: 4 };
    assert_eq!(parse(b"GET /1234567", limits), Ok(false));
    assert_eq!(parse(b"GET /12345678", limits), Err(UriTooLong));
    let limits = HeadLimits { target_bytes_max: 100, ..limits };
    let line = [b"GET /".as_slice(), &[b'a'; 60]].concat();
    assert_eq!(parse(&line[..39], limits), Ok(false));
    assert_eq!(parse(&line[..40], limits), Err(UriTooLong));
    let fields = b"GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789012345";
    assert_eq!(parse(&fields[..39], limits), Ok(false));
    assert_eq!(parse(&fields[..40], limits), Err(HeadersTooLarge));
    assert_eq!(parse(&[b'A'; 64], limits), Err(UriTooLong));
    assert_eq!(parse(b"", HeadLimits { bytes_max: 0, ..limits }), Err(UriTooLong));
}

#[test]
fn more_fields_than_a_set_holds_are_refused() {
    let fields = [Field { name: "x", value: b"" }; FIELDS_MAX + 1];
    let head = |fields| RequestHead { method: "GET", target: "/", version: Version::Http10, fields, len: 0 };
    assert!(request_meta(&head(&fields[..FIELDS_MAX])).is_ok());
    assert_eq!(request_meta(&head(&fields)).unwrap_err(), HeadersTooLarge);
}

#[test]
fn bodies_are_framed_in_one_way_or_refused() {
    let ok = [
        ("", BodyFraming::None),
        ("Content-Length: 0\r\n", BodyFraming::Length(0)),
        ("content-length:42\r\n", BodyFraming::Length(42)),
        ("Content-Length: 007\r\n", BodyFraming::Length(7)),
        ("Content-Length: 9999999999999999999\r\n", BodyFraming::Length(9_999_999_999_999_999_999)),
        ("Transfer-Encoding: chunked\r\n", BodyFraming::Chunked),
        ("TRANSFER-ENCODING: \tChunked \r\n", BodyFraming::Chunked),
        ("Connection: content-length\r\nContent-Length: 3\r\n", BodyFraming::Length(3)),
        ("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", BodyFraming::Chunked),
    ];
    for (fields, body) in ok {
        assert_eq!(request(&post(fields), |_, meta| meta.body), Ok(body), "{fields}");
    }
    let malformed = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: 5;\r\n",
        "Content-Length: \"5\"\r\n",
        "Content-Length: \r\n",
        "Content-Length: five\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;a=b\r\n",
        "Transfer-Encoding: chunked foo\r\n",
    ];
    for fields in malformed {
        assert_malformed(&post(fields));
    }
    for fields in
        ["xchunked", "identity", "gzip", "gzip, chunked", "chunke", "gzip;q=1, chunked", "chunked-x"]
    {
        let fields = format!("Transfer-Encoding: {fields}\r\n");
        assert_eq!(refused(&post(&fields)), TransferCodingNotImplemented, "{fields}");
    }
    let split = "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(refused(&post(split)), TransferCodingNotImplemented);
    assert_malformed(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn hosts_are_one_and_valid() {
    let host = |bytes: &str| request(bytes.as_bytes(), |_, meta| meta.host.to_owned());
    assert_eq!(host("GET / HTTP/1.1\r\nHost: A.example:1\r\n\r\n").unwrap(), "A.example:1");
    assert_eq!(host("GET / HTTP/1.1\r\nHost: [2001:db8::1]:1\r\n\r\n").unwrap(), "[2001:db8::1]:1");
    assert_eq!(host("GET / HTTP/1.1\r\nHost: \r\n\r\n").unwrap(), "");
    assert_eq!(host("GET / HTTP/1.0\r\n\r\n").unwrap(), "");
    assert_eq!(host("GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap(), "a");
    assert_eq!(host("GET http://t:8/ HTTP/1.1\r\nHost: h\r\n\r\n").unwrap(), "t:8");
    assert_eq!(host("GET http://t:8/ HTTP/1.0\r\n\r\n").unwrap(), "t:8");
    for bytes in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: é\r\n\r\n",
        "GET http://t/ HTTP/1.1\r\nHost: a b\r\n\r\n",
    ] {
        assert_malformed(bytes.as_bytes());
    }
}

#[test]
fn connections_persist_as_version_and_options_say() {
    let keeps = |version: &str, option: &str| {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {option}\r\n\r\n");
        request(bytes.as_bytes(), |_, meta| meta.keep_alive).unwrap()
    };
    for (version, option, expected) in [
        ("1.1", "", true),
        ("1.1", "close", false),
        ("1.1", "Keep-Alive", true),
        ("1.1", "keep-alive, CLOSE", false),
        ("1.1", "x-close", true),
        ("1.0", "", false),
        ("1.0", "keep-alive", true),
        ("1.0", "close, keep-alive", false),
    ] {
        assert_eq!(keeps(version, option), expected, "{version} {option}");
    }
    assert_malformed(&post("Connection: a b\r\n"));
    assert_malformed(&post("Connection: \"close\"\r\n"));
    let options = |n: usize| post(&format!("Connection: {}\r\n", vec!["x"; n].join(",")));
    assert!(request(&options(16), |_, _| ()).is_ok());
    assert_malformed(&options(17));
}

#[test]
fn upgrades_are_passed_on_only_where_safe() {
    let upgrades = |fields: &str| request(&post(fields), |_, meta| meta.upgrade).unwrap();
    assert!(upgrades("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    assert!(upgrades("Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\nContent-Length: 0\r\n"));
    for fields in [
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade:\r\n",
        "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: upgrade\r\nUpgrade: websocket, H2C\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
        "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n",
        "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert!(!upgrades(fields), "{fields}");
    }
    let old = b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert!(!request(old, |_, meta| meta.upgrade).unwrap());
}

#[test]
fn expectations_methods_and_ids() {
    let expects = |fields: &str| request(&post(fields), |_, meta| meta.expect_continue);
    assert_eq!(expects("Expect: 100-Continue\r\nContent-Length: 5\r\n"), Ok(true));
    assert_eq!(expects("Expect: 100-continue\r\n"), Ok(false));
    assert_eq!(expects("Expect: 200-ok\r\n"), Err(ExpectationFailed));
    assert_eq!(expects("Expect: 100-continue, x\r\n"), Err(ExpectationFailed));
    let old = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(request(old, |_, meta| meta.expect_continue), Ok(false));

    assert_eq!(refused(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), MethodNotAllowed);
    assert_eq!(refused(b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), MethodNotAllowed);
    assert_eq!(request(b"get / HTTP/1.1\r\nHost: a\r\n\r\n", |_, meta| meta.method), Ok(Method::Other));

    let id = |fields: &str| request(&post(fields), |_, meta| meta.request_id.map(str::to_owned)).unwrap();
    let long = "x".repeat(129);
    assert_eq!(id("X-Request-ID: a-1\r\n").as_deref(), Some("a-1"));
    assert_eq!(id(&format!("X-Request-ID: {}\r\n", &long[1..])).as_deref(), Some(&long[1..]));
    for fields in [
        "",
        "X-Request-ID:\r\n",
        "X-Request-ID: a b\r\n",
        "X-Request-ID: é\r\n",
        "X-Request-ID: a\r\nX-Request-ID: b\r\n",
        "X-Request-ID: a\r\nX-Request-ID: b\r\nX-Request-ID: c\r\n",
        &format!("X-Request-ID: {long}\r\n"),
    ] {
        assert_eq!(id(fields), None, "{fields}");
    }
    assert!(request(&post("TE: gzip, trailers\r\n"), |_, meta| meta.takes_trailers).unwrap());
    assert!(!request(&post("TE: gzip\r\n"), |_, meta| meta.takes_trailers).unwrap());
}

#[test]
fn http2_heads_follow_their_own_rules() {
    let meta = |target, fields: &[(&'static str, &'static [u8])]| {
        let fields: Vec<_> = fields.iter().map(|&(name, value)| Field { name, value }).collect();
        let head = RequestHead { method: "GET", target, version: Version::H2, fields: &fields, len: 0 };
        request_meta(&head).map(|meta| (meta.host, meta.body, meta.keep_alive))
    };
    let host = ("host", &b"a"[..]);
    assert_eq!(meta("/", &[host]), Ok(("a", BodyFraming::None, true)));
    assert_eq!(meta("/", &[host, ("content-length", b"3")]), Ok(("a", BodyFraming::Length(3), true)));
    assert!(meta("/", &[host, ("te", b"trailers")]).is_ok());
    for (target, fields) in [
        ("/", &[][..]),
        ("http://a/", &[host]),
        ("/\r\nx: y", &[host]),
        ("/", &[host, ("connection", b"close")]),
        ("/", &[host, ("keep-alive", b"1")]),
        ("/", &[host, ("upgrade", b"websocket")]),
        ("/", &[host, ("transfer-encoding", b"chunked")]),
        ("/", &[host, ("te", b"gzip")]),
        ("/", &[host, ("X", b"")]),
        ("/", &[host, ("a b", b"")]),
        ("/", &[host, ("x", b"a\r\nb: c")]),
        ("/", &[host, ("x", b" a")]),
    ] {
        assert!(matches!(meta(target, fields), Err(Malformed(_))), "{target} {fields:?}");
    }
}

#[test]
fn responses_are_framed_as_status_and_method_say() {
    use BodyFraming::{Chunked, Length, UntilClose};
    let framed = |method, status: &str, fields: &str| {
        let bytes = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        with_response(bytes.as_bytes(), method, |_, meta| (meta.body, meta.content_length, meta.keep_alive))
    };
    let five = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (method, status, fields, expected) in [
        (Method::Get, "200 OK", five, (Length(5), Some(5), true)),
        (Method::Get, "200 OK", chunked, (Chunked, None, true)),
        (Method::Get, "200 OK", "", (UntilClose, None, false)),
        (Method::Get, "200 OK", "Connection: close\r\nContent-Length: 5\r\n", (Length(5), Some(5), false)),
        (Method::Head, "200 OK", five, (BodyFraming::None, Some(5), true)),
        (Method::Head, "200 OK", chunked, (BodyFraming::None, None, true)),
        (Method::Get, "304 Not Modified", five, (BodyFraming::None, Some(5), true)),
        (Method::Get, "204 No Content", "", (BodyFraming::None, None, true)),
        (Method::Get, "100 Continue", "", (BodyFraming::None, None, true)),
        (Method::Get, "999", five, (Length(5), Some(5), true)),
    ] {
        assert_eq!(framed(method, status, fields), Ok(expected), "{method:?} {status} {fields}");
    }
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: x\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
    ] {
        assert!(matches!(framed(Method::Get, "200 OK", fields), Err(Malformed(_))), "{fields}");
        assert!(matches!(framed(Method::Head, "200 OK", fields), Err(Malformed(_))), "{fields}");
    }
    let gzip = "Transfer-Encoding: gzip\r\n";
    assert_eq!(framed(Method::Get, "200 OK", gzip), Err(TransferCodingNotImplemented));
    let old = |fields: &str| {
        let bytes = format!("HTTP/1.0 200 OK\r\n{fields}\r\n");
        with_response(bytes.as_bytes(), Method::Get, |_, meta| meta.keep_alive)
    };
    assert_eq!(old(five), Ok(false));
    assert_eq!(old("Connection: keep-alive\r\nContent-Length: 5\r\n"), Ok(true));
    assert_eq!(old("Connection: keep-alive\r\n"), Ok(false));
    assert!(matches!(old(chunked), Err(Malformed(_))));
}

#[test]
fn switching_protocols_names_a_protocol() {
    let upgrade = |fields: &str| {
        let bytes = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
        with_response(bytes.as_bytes(), Method::Get, |_, meta| (meta.upgrade, meta.keep_alive))
    };
    assert_eq!(upgrade("Connection: upgrade\r\nUpgrade: websocket\r\n"), Ok((true, false)));
    assert!(matches!(upgrade(""), Err(Malformed(_))));
}

#[test]
fn response_heads_are_parsed_strictly() {
    with_response(b"HTTP/1.1 404 Not Here\r\nA: b\r\n\r\nbody", Method::Get, |head, _| {
        assert_eq!((head.status, head.reason, head.len), (404, "Not Here", 31));
    })
    .unwrap();
    for bytes in [&b"HTTP/1.1 200\r\n\r\n"[..], b"HTTP/1.1 200 \r\n\r\n", b"HTTP/1.1 200 \xe9\r\n\r\n"] {
        with_response(bytes, Method::Get, |head, _| assert_eq!((head.status, head.reason), (200, "")))
            .unwrap();
    }
    let table: &[&[u8]] = &[
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\r\n",
        b"HTTP/1.1 200 OK\r\n\n",
        b"HTTP/1.1 200 O\rK\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for bytes in table {
        let error = with_response(bytes, Method::Get, |_, _| ()).unwrap_err();
        assert!(matches!(error, Malformed(_)), "{error:?} {}", bytes.escape_ascii());
    }
    assert_eq!(with_response(b"HTTP/2.0 200 OK\r\n\r\n", Method::Get, |_, _| ()), Err(VersionNotSupported));
    let bytes = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    let parse = |bytes: &[u8], bytes_max| {
        let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        parse_response(bytes, &HeadLimits { bytes_max, ..LIMITS }, &mut slots).map(|head| head.is_some())
    };
    for len in 0..bytes.len() {
        assert_eq!(parse(&bytes[..len], 100), Ok(false));
    }
    assert_eq!(parse(bytes, bytes.len() - 1), Err(HeadersTooLarge));
    assert_eq!(parse(bytes, bytes.len()), Ok(true));
    assert_eq!(parse(bytes, bytes.len() + 1), Ok(true));
}

#[test]
fn the_end_of_a_head_is_seen_wherever_it_was_split() {
    let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
    for from in 0..bytes.len() {
        assert!(has_head_end(bytes, from), "{from}");
        assert!(!has_head_end(&bytes[..bytes.len() - 1], from), "{from}");
    }
    assert!(has_head_end(b"GET / HTTP/1.1\nHost", 0));
    assert!(!has_head_end(b"", 9));
}

/// Bytes that are like a head more often than not.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Connection: close, x\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_no_split_changes_what_is_accepted(bytes in head_like(), cut in 0usize..200) {
        let accepted = with_request(&bytes, &LIMITS, |head| match head {
            Ok(Some(head)) => {
                let _ = request_meta(&head);
                Some(head.len)
            }
            _ => None,
        });
        let cut = cut.min(bytes.len());
        let early = with_request(&bytes[..cut], &LIMITS, |head| head.map(|head| head.map(|head| head.len)));
        match accepted {
            Some(len) if cut < len => prop_assert_eq!(early, Ok(None)),
            Some(len) => prop_assert_eq!(early, Ok(Some(len))),
            None => prop_assert!(!matches!(early, Ok(Some(_)))),
        }
        let _ = with_request(&bytes, &LIMITS, |head| head.map(|head| head.is_some()));
        let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        if let Ok(Some(head)) = parse_response(&bytes, &LIMITS, &mut slots) {
            let _ = response_meta(&head, Method::Get);
        }
    }
}
