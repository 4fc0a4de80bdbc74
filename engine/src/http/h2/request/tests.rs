use http::Request;
use proptest::prelude::*;

use super::super::super::head::FIELDS_MAX;
use super::super::super::headers::{Hop, RequestOut, Rules, write_request};
use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes_max: 4096, target_bytes_max: 256, fields_max: 32 };
const ENDED: Asks = Asks { end_stream: true, protocol: None, websocket_key: "" };
const OPEN: Asks = Asks { end_stream: false, ..ENDED };
const WEBSOCKET: Asks = Asks { end_stream: false, protocol: Some("websocket"), websocket_key: "the key" };

fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn get(fields: &[(&str, &str)]) -> Parts {
    parts("GET", "http://example.org/a?b", fields)
}

/// The head that goes to an HTTP/1.1 node.
fn written(parts: &Parts, asks: &Asks) -> Result<String, HeadError> {
    convert(parts, asks, &LIMITS, |head, meta| {
        let to = RequestOut {
            path: meta.target.path(),
            query: meta.target.query(),
            body: meta.body,
            expect_continue: meta.expect_continue,
        };
        let peer = "192.0.2.1".parse().unwrap();
        let hop = Hop {
            peer,
            trusted: false,
            https: false,
            host: meta.host,
            request_id: "id",
            tenant: None,
            subject: None,
        };
        let mut out = Vec::new();
        write_request(&mut out, head, meta, &to, &Rules::default(), &hop);
        String::from_utf8(out).unwrap()
    })
}

#[track_caller]
fn refused(parts: &Parts, asks: &Asks) -> HeadError {
    written(parts, asks).unwrap_err()
}

#[test]
fn a_request_becomes_one_of_http_1() {
    let text = written(&get(&[("accept", "*/*"), ("te", "trailers")]), &ENDED).unwrap();
    assert!(text.starts_with("GET /a?b HTTP/1.1\r\nHost: example.org\r\naccept: */*\r\n"), "{text}");
    assert!(text.contains("\r\nVia: 2.0 coregate\r\nConnection: TE\r\nTE: trailers\r\n"), "{text}");
    assert!(!text.to_ascii_lowercase().contains("transfer-encoding"), "{text}");
}

#[test]
fn a_body_of_unknown_length_is_chunked_and_one_of_known_length_is_not() {
    let text = written(&parts("POST", "http://h/", &[]), &OPEN).unwrap();
    assert!(text.contains("\r\nTransfer-Encoding: chunked\r\n"), "{text}");
    let text = written(&parts("POST", "http://h/", &[("content-length", "3")]), &OPEN).unwrap();
    assert!(text.contains("\r\nContent-Length: 3\r\n") && !text.contains("chunked"), "{text}");
    let announced = [("content-length", "3"), ("trailer", "x-sum")];
    let text = written(&parts("POST", "http://h/", &announced), &OPEN).unwrap();
    assert!(
        text.contains("\r\nTransfer-Encoding: chunked\r\n") && !text.contains("Content-Length"),
        "{text}"
    );
    for value in ["-1", "1, 1", "x", ""] {
        let parts = parts("POST", "http://h/", &[("content-length", value)]);
        assert_eq!(refused(&parts, &OPEN), HeadError::Malformed("bad Content-Length"), "{value}");
    }
}

#[test]
fn who_waits_for_100_is_known_to_wait_if_there_is_anything_to_come() {
    let expecting = parts("POST", "http://h/", &[("expect", "100-continue")]);
    assert!(written(&expecting, &OPEN).unwrap().contains("\r\nExpect: 100-continue\r\n"));
    assert!(!written(&expecting, &ENDED).unwrap().contains("Expect"));
}

#[test]
fn cookies_are_joined_in_their_order_and_nothing_else_is() {
    let crumbs = [("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("x-a", "2"), ("cookie", "c=3; d=4")];
    let text = written(&get(&crumbs), &ENDED).unwrap();
    assert!(text.contains("\r\ncookie: a=1; b=2; c=3; d=4\r\n"), "{text}");
    assert_eq!(text.matches("cookie:").count(), 1, "{text}");
    assert!(text.contains("x-a: 1\r\nx-a: 2\r\n"), "{text}");
    let one = written(&get(&[("cookie", "a=1")]), &ENDED).unwrap();
    assert!(one.contains("\r\ncookie: a=1\r\n"), "{one}");
}

#[test]
fn host_must_be_what_authority_says() {
    let same = written(&get(&[("host", "EXAMPLE.org")]), &ENDED).unwrap();
    assert_eq!(same.to_ascii_lowercase().matches("\r\nhost:").count(), 1, "{same}");
    let differs = HeadError::Malformed("Host is not what :authority says");
    assert_eq!(refused(&get(&[("host", "other.org")]), &ENDED), differs);
    assert_eq!(refused(&get(&[("host", "example.org"), ("host", "other.org")]), &ENDED), differs);
    // Without :authority, Host is all there is.
    assert!(written(&parts("GET", "/", &[("host", "h")]), &ENDED).unwrap().contains("\r\nHost: h\r\n"));
    assert_eq!(refused(&parts("GET", "/", &[]), &ENDED), HeadError::Malformed("no Host field"));
    let user = parts("GET", "http://user@example.org/", &[]);
    assert_eq!(refused(&user, &ENDED), HeadError::Malformed("bad character in the host"));
}

#[test]
fn what_belongs_to_a_connection_is_refused() {
    for (name, value) in [
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("upgrade", "h2c"),
        ("transfer-encoding", "chunked"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ] {
        let error = refused(&get(&[(name, value)]), &ENDED);
        assert!(matches!(error, HeadError::Malformed(_)), "{name}: {value}: {error:?}");
    }
}

#[test]
fn schemes_and_methods_that_are_not_served_are_refused() {
    let ftp = parts("GET", "ftp://example.org/", &[]);
    assert_eq!(refused(&ftp, &ENDED), HeadError::Malformed(":scheme is neither http nor https"));
    for asks in [ENDED, OPEN] {
        let connect = parts("CONNECT", "example.org:443", &[]);
        assert_eq!(refused(&connect, &asks), HeadError::MethodNotAllowed);
    }
    let other = Asks { protocol: Some("connect-udp"), ..OPEN };
    assert_eq!(refused(&parts("CONNECT", "http://h/", &[]), &other), HeadError::MethodNotAllowed);
    assert_eq!(refused(&parts("TRACE", "http://h/", &[]), &ENDED), HeadError::MethodNotAllowed);
}

#[test]
fn an_extended_connect_becomes_an_upgrade_under_a_key_of_our_own() {
    let fields = [("sec-websocket-version", "13"), ("sec-websocket-key", "theirs"), ("origin", "http://h")];
    let text = written(&parts("CONNECT", "https://h/chat?x", &fields), &WEBSOCKET).unwrap();
    assert!(text.starts_with("GET /chat?x HTTP/1.1\r\nHost: h\r\nsec-websocket-version: 13\r\n"), "{text}");
    assert!(text.contains("\r\nsec-websocket-key: the key\r\n") && !text.contains("theirs"), "{text}");
    assert!(text.contains("\r\nConnection: upgrade\r\nupgrade: websocket\r\n"), "{text}");
    assert_eq!(text.matches("websocket\r\n").count(), 1, "{text}");
    let ended = Asks { end_stream: true, ..WEBSOCKET };
    assert!(matches!(refused(&parts("CONNECT", "https://h/", &[]), &ended), HeadError::Malformed(_)));
    let long = parts("CONNECT", "https://h/", &[("content-length", "5")]);
    assert!(matches!(refused(&long, &WEBSOCKET), HeadError::Malformed(_)));
    let get = parts("GET", "https://h/", &[]);
    assert_eq!(refused(&get, &WEBSOCKET), HeadError::MethodNotAllowed);
}

#[test]
fn limits_are_those_of_http_1() {
    let at = |bytes: usize| HeadLimits { bytes_max: bytes, ..LIMITS };
    let parts = get(&[("x", "yz")]);
    let bytes = "GET /a?b HTTP/2.0\r\nhost: example.org\r\nx: yz\r\n\r\n".len();
    assert_eq!(head_bytes(&parts), bytes);
    assert!(convert(&parts, &ENDED, &at(bytes), |_, _| ()).is_ok());
    assert_eq!(convert(&parts, &ENDED, &at(bytes - 1), |_, _| ()), Err(HeadError::HeadersTooLarge));

    let long = |bytes: usize| parts_with_path(&"a".repeat(bytes - 1));
    assert!(written(&long(256), &ENDED).is_ok());
    assert_eq!(refused(&long(257), &ENDED), HeadError::UriTooLong);

    let many = |count: usize| get(&vec![("a", "b"); count]);
    assert!(written(&many(LIMITS.fields_max), &ENDED).is_ok());
    assert_eq!(refused(&many(LIMITS.fields_max + 1), &ENDED), HeadError::HeadersTooLarge);
}

fn parts_with_path(path: &str) -> Parts {
    parts("GET", &format!("http://h/{path}"), &[])
}

#[test]
fn the_most_fields_fit_with_a_host_of_their_own() {
    let limits = HeadLimits { bytes_max: 64 << 10, fields_max: FIELDS_MAX, ..LIMITS };
    let parts = get(&vec![("a", "b"); FIELDS_MAX - 1]);
    assert!(convert(&parts, &ENDED, &limits, |_, _| ()).is_ok());
    let parts = get(&vec![("a", "b"); FIELDS_MAX]);
    assert_eq!(convert(&parts, &ENDED, &limits, |_, _| ()), Err(HeadError::HeadersTooLarge));
}

prop_compose! {
    fn any_field()(name in "[a-z][a-z-]{0,20}|cookie|host|te|expect|content-length|x-forwarded-for|upgrade|connection",
                   value in "[ -~\t\u{80}-\u{ff}]{0,30}") -> (String, String) {
        (name, value)
    }
}

proptest! {
    /// What goes to a node has one reading: it is a head that the gateway itself would accept from a client of HTTP/1.1,
    /// with the same method, target and framing.
    #[test]
    fn what_is_written_is_a_valid_head_of_http_1(
        method in "GET|POST|HEAD|OPTIONS|DELETE|CONNECT|PURGE",
        path in "/[a-z0-9/%.?=&-]{0,40}",
        fields in prop::collection::vec(any_field(), 0..12),
        end_stream in any::<bool>(),
        protocol in prop::option::of("websocket|other"),
    ) {
        let mut request = Request::builder().method(method.as_str()).uri(format!("http://example.org{path}"));
        for (name, value) in &fields {
            request = request.header(name, value.as_bytes());
        }
        let Ok(request) = request.body(()) else { return Ok(()) };
        let parts = request.into_parts().0;
        let asks = Asks { end_stream, protocol: protocol.as_deref(), websocket_key: "key" };
        let mut framing = None;
        let out = convert(&parts, &asks, &LIMITS, |head, meta| {
            framing = Some(meta.body);
            let to = RequestOut { path: meta.target.path(), query: meta.target.query(), body: meta.body,
                                  expect_continue: meta.expect_continue };
            let peer = "::1".parse().unwrap();
            let hop = Hop { peer, trusted: true, https: true, host: meta.host, request_id: "", tenant: None, subject: None };
            let mut out = Vec::new();
            write_request(&mut out, head, meta, &to, &Rules::default(), &hop);
            out
        });
        let Ok(out) = out else { return Ok(()) };
        let limits = HeadLimits { bytes_max: 64 << 10, target_bytes_max: 8 << 10, fields_max: FIELDS_MAX };
        let mut slots = [const { std::mem::MaybeUninit::uninit() }; FIELDS_MAX];
        let head = super::super::super::head::parse_request(&out, &limits, &mut slots).unwrap().unwrap();
        let meta = request_meta(&head).unwrap();
        prop_assert_eq!(head.len, out.len());
        prop_assert_eq!(head.method, if asks.protocol.is_some() { "GET" } else { method.as_str() });
        prop_assert_eq!(head.target, path.as_str());
        let mut expected = framing.unwrap();
        if expected == BodyFraming::None && matches!(method.as_str(), "POST") {
            expected = BodyFraming::Length(0);
        }
        prop_assert_eq!(meta.body, expected);
    }
}
