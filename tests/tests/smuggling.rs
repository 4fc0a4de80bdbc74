//! Request smuggling: what two parsers could read differently is refused, and nothing of it is forwarded.

use coregate_tests::{Gateway, Origin, get};

/// What an attacker hopes to have taken for a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";

/// Sends `bytes` and a second request behind them: the answer has one of these statuses, the connection is closed, and
/// nothing has reached the origin.
#[track_caller]
fn refused(gateway: &Gateway, origin: &Origin, bytes: &[u8], statuses: &[u16]) {
    let shown = String::from_utf8_lossy(bytes);
    let mut client = gateway.client();
    let mut all = bytes.to_vec();
    all.extend_from_slice(SMUGGLED.as_bytes());
    client.send(all);
    let answer = client.try_read().unwrap_or_else(|broken| panic!("to {shown:?}: {broken:?}"));
    assert!(statuses.contains(&answer.status), "to {shown:?}: {} {}", answer.status, answer.text());
    let rest = client.read_until_gone();
    assert!(rest.is_empty(), "to {shown:?} a second answer: {:?}", String::from_utf8_lossy(&rest));
    assert_eq!(origin.count(), 0, "forwarded of {shown:?}: {:?}", origin.seen());
}

#[track_caller]
fn all_refused(requests: &[&str], statuses: &[u16]) {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    for request in requests {
        refused(&gateway, &origin, request.as_bytes(), statuses);
    }
    gateway.get("/").expect(200, "a");
}

#[test]
fn a_length_beside_a_transfer_coding() {
    all_refused(
        &[
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
            "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: t\r\ntRANSFER-eNCODING: CHUNKED\r\ncONTENT-lENGTH: 4\r\n\r\n0\r\n\r\n",
        ],
        &[400],
    );
}

#[test]
fn lengths_that_differ_or_are_no_numbers() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    for length in [
        "5\r\nContent-Length: 6",
        "5, 6",
        "+5",
        "-5",
        "0x5",
        "5 5",
        "5;",
        "",
        " ",
        "five",
        "5.0",
        "99999999999999999999",
        "18446744073709551616",
        "\u{665}",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\nhello");
        refused(&gateway, &origin, request.as_bytes(), &[400, 413]);
    }
}

#[test]
fn equal_lengths_twice_are_one_length_or_an_error() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    for length in ["5\r\nContent-Length: 5", "5, 5"] {
        let mut client = gateway.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\n\r\nhello"));
        let answer = client.read();
        match answer.status {
            400 => client.expect_close(),
            _ => {
                answer.expect(200, "a");
                assert_eq!(origin.last().field("content-length"), Some("5"));
                client.get("/").expect(200, "a");
            }
        }
    }
}

#[test]
fn transfer_codings_that_are_not_plainly_chunked() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    for coding in [
        "xchunked",
        "chunkedx",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked, identity",
        "chunked;q=1",
        "\"chunked\"",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "identity\r\nTransfer-Encoding: chunked",
        "\u{b}chunked",
        "chunked\u{c}",
        "",
        ",",
        "chunked,",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        refused(&gateway, &origin, request.as_bytes(), &[400, 501]);
    }
}

#[test]
fn a_transfer_coding_in_http_1_0() {
    all_refused(&["POST / HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], &[400]);
}

#[test]
fn line_ends_and_white_space_in_the_wrong_place() {
    all_refused(
        &[
            "GET / HTTP/1.1\r\nHost: t\r\nX-A: b\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-A: b\r\n\tfolded\r\n\r\n",
            "GET / HTTP/1.1\nHost: t\n\n",
            "GET / HTTP/1.1\r\nHost: t\nX-A: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-A: b\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-A: b\r\n\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-A: b\rX-B: c\r\n\r\n",
            "GET / HTTP/1.1\rHost: t\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-A : b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nContent-Length : 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-A\t: b\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: t\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-A\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX A: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-A: b\0c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-\0A: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-A: b\u{7f}c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX-A: b\u{1}c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: t\r\nX(A): b\r\n\r\n",
        ],
        &[400],
    );
}

#[test]
fn request_lines_that_are_not_quite_ones() {
    all_refused(
        &[
            "GET /\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: t\r\n\r\n",
            "GET\t/ HTTP/1.1\r\nHost: t\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: t\r\n\r\n",
            "G@T / HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET /a\0b HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET /a\u{7f} HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET /a\"b HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET ftp://t/ HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET http:///x HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET http://user@t/ HTTP/1.1\r\nHost: t\r\n\r\n",
            "GET / http/1.1\r\nHost: t\r\n\r\n",
            "GET / HTTP/1.10\r\nHost: t\r\n\r\n",
            "GET / HTTP/01.1\r\nHost: t\r\n\r\n",
            "GET / XHTTP/1.1\r\nHost: t\r\n\r\n",
        ],
        &[400],
    );
}

#[test]
fn versions_that_are_not_spoken_here() {
    all_refused(
        &[
            "GET / HTTP/2.0\r\nHost: t\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: t\r\n\r\n",
            "GET / HTTP/0.9\r\nHost: t\r\n\r\n",
        ],
        &[400, 505],
    );
}

#[test]
fn hosts_that_are_missing_doubled_or_wrong() {
    all_refused(
        &[
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
        ],
        &[400],
    );
}

/// Broken chunks are only seen after the head, which may have been forwarded by then; the request is cut there.
#[test]
fn chunks_that_are_not_quite_ones() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    for body in [
        "g\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a\0b\r\nabc\r\n0\r\n\r\n",
        "3\r3\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "00000000000000000000000000000003\r\nabc\r\n0\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\r\nX : y\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: a\0b\r\n\r\n",
        "3\r\nabc\r\n0\r\n folded\r\n\r\n",
    ] {
        let mut client = gateway.client();
        let head = "POST /chunks HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{body}{SMUGGLED}"));
        let answer = client.try_read().unwrap_or_else(|broken| panic!("to {body:?}: {broken:?}"));
        assert!(matches!(answer.status, 400 | 413), "to {body:?}: {} {}", answer.status, answer.text());
        let rest = client.read_until_gone();
        assert!(rest.is_empty(), "to {body:?} a second answer: {:?}", String::from_utf8_lossy(&rest));
    }
    let whole: Vec<_> = origin.seen().into_iter().filter(|seen| seen.body.is_some()).collect();
    assert!(whole.is_empty(), "taken for whole: {whole:?}");
    assert!(!origin.seen().iter().any(|seen| seen.line().contains("smuggled")));
    assert_eq!(origin.malformed(), Vec::<String>::new());
}

#[test]
fn chunk_extensions_and_forbidden_trailers_stay_here() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0;last\r\n\
         X-Fine: 1\r\nContent-Length: 5\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let answer = client.read();
    if answer.status == 200 {
        let seen = origin.only();
        assert_eq!(seen.body.as_ref().expect("a whole body").text(), "abc");
        for name in ["content-length", "host", "transfer-encoding"] {
            assert_eq!(seen.trailers.get(name), None, "{:?}", seen.trailers);
        }
        client.get("/").expect(200, "a");
    } else {
        answer.expect_error(400, "bad_request");
        client.expect_close();
    }
}

#[test]
fn what_follows_a_whole_request_is_the_next_request() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    let mut bytes = b"POST /one HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello".to_vec();
    bytes.extend(get("/two").bytes());
    client.send(bytes);
    client.read().expect(200, "a");
    client.read().expect(200, "a");
    let lines: Vec<String> = origin.seen().iter().map(|seen| seen.line().to_owned()).collect();
    assert_eq!(lines, ["POST /one", "GET /two"]);
}
