//! Heads that go over: what passes, what is made, what strangers cannot say, what rules can and cannot do.

use std::mem::MaybeUninit;

use coregate_config::checked::{HeaderRule, HeaderRules};
use proptest::prelude::*;

use super::super::head::{
    FIELDS_MAX, FieldSlots, HeadError, HeadLimits, parse_request, parse_response, request_meta, response_meta,
};
use super::forwarding::IpText;
use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes_max: 64 << 10, target_bytes_max: 8 << 10, fields_max: 256 };
const STRANGER: &str = "192.0.2.1";

fn add(name: &str, value: &str) -> HeaderRule {
    HeaderRule::Add(name.into(), value.into())
}

fn set(name: &str, value: &str) -> HeaderRule {
    HeaderRule::Set(name.into(), value.into())
}

fn remove(name: &str) -> HeaderRule {
    HeaderRule::Remove(name.into())
}

/// One request on its way, as an exchange would send it.
struct Sent<'a> {
    peer: &'a str,
    trusted: bool,
    https: bool,
    rules: Vec<HeaderRule>,
    body: Option<BodyFraming>,
    tenant: Option<&'a str>,
}

impl Default for Sent<'_> {
    fn default() -> Self {
        Sent { peer: STRANGER, trusted: false, https: false, rules: Vec::new(), body: None, tenant: None }
    }
}

impl Sent<'_> {
    fn try_write(&self, bytes: &[u8]) -> Result<Vec<u8>, HeadError> {
        let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let Some(head) = parse_request(bytes, &LIMITS, &mut slots)? else { return Ok(Vec::new()) };
        let meta = request_meta(&head)?;
        let to = RequestOut {
            path: meta.target.path(),
            query: meta.target.query(),
            body: self.body.unwrap_or(meta.body),
            expect_continue: meta.expect_continue,
        };
        let hop = Hop {
            peer: self.peer.parse().unwrap(),
            trusted: self.trusted,
            https: self.https,
            host: meta.host,
            request_id: meta.request_id.unwrap_or("made"),
            tenant: self.tenant,
            subject: None,
        };
        let rules = Rules::from(&HeaderRules { request: self.rules.clone(), response: Vec::new() });
        let mut out = Vec::new();
        write_request(&mut out, &head, &meta, &to, &rules, &hop);
        Ok(out)
    }

    /// What a GET with these field lines becomes, without the request line and the blank line.
    fn get(&self, fields: &str) -> String {
        self.write(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    }

    fn write(&self, head: &str) -> String {
        let out = String::from_utf8(self.try_write(head.as_bytes()).unwrap()).unwrap();
        let fields = out.split_once("\r\n").unwrap().1;
        fields.strip_suffix("\r\n").unwrap().to_owned()
    }
}

/// What the gateway itself says of a GET by a stranger to host `a`.
const MADE: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\
                    Forwarded: for=192.0.2.1;host=\"a\";proto=http\r\nX-Request-Id: made\r\nVia: 1.1 coregate\r\n";

fn get(fields: &str) -> String {
    Sent::default().get(fields)
}

#[test]
fn only_the_gateway_says_which_tenant_a_request_is_from() {
    let sent = Sent { trusted: true, tenant: Some("app_a"), ..Sent::default() };
    let forged = "X-Coregate-App-Id: forged\r\nx_coregate_app_id: forged\r\n";
    assert!(sent.get(forged).contains("\r\nX-Coregate-App-Id: app_a\r\n"));
    assert!(!sent.get(forged).contains("forged"));
    assert!(!Sent::default().get(forged).to_lowercase().contains("app-id"));
}

#[test]
fn what_is_withheld_does_not_pass_unless_a_rule_adds_it() {
    let rules = |request| Rules::from(&HeaderRules { request, response: Vec::new() });
    let plain = rules(Vec::new()).withholding("authorization");
    assert!(plain.request.takes("Authorization") && !plain.request.takes("authorizatiom"));
    let own = rules(vec![set("authorization", "Basic xyz")]).withholding("authorization");
    assert!(own.request.takes("Authorization") && own.request.lines.ends_with(b"Basic xyz\r\n"));
}

#[test]
fn a_request_goes_over_in_its_order_and_spelling() {
    let bytes =
        b"GET /a?b HTTP/1.1\r\nuser-AGENT:  x \r\nHost: a\r\nCookie: 1\r\nCookie: 2\r\nAccept:\r\n\r\n";
    let out = Sent::default().try_write(bytes).unwrap();
    let expected = "GET /a?b HTTP/1.1\r\nHost: a\r\nuser-AGENT: x\r\nCookie: 1\r\nCookie: 2\r\nAccept: \r\n";
    assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}{MADE}\r\n"));
}

#[test]
fn hop_by_hop_fields_and_those_that_connection_names_stay_behind() {
    let gone = "Connection: close, X-Gone, x-also-GONE\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
                X-Gone: 1\r\nX-Also-Gone: 2\r\nx-gone: 3\r\nTE: gzip\r\nUpgrade: websocket\r\nProxy: http://evil\r\n\
                Proxy-Authorization: Basic x\r\nHTTP2-Settings: x\r\n";
    assert_eq!(get(gone), format!("Host: a\r\n{MADE}"));
    let kept = "Trailer: x\r\nAuthorization: Basic x\r\nVia: 1.0 x\r\nX-Goner: 1\r\n";
    assert_eq!(get(kept), format!("Host: a\r\n{kept}{MADE}"));
}

#[test]
fn connection_cannot_talk_the_gateway_out_of_its_own_fields() {
    let fields = "Connection: host, content-length, x-forwarded-for, forwarded, via, x-request-id, connection\r\n\
                  Content-Length: 3\r\nX-Forwarded-For: 9.9.9.9\r\nX-Request-Id: mine\r\n";
    let made = MADE.replace("made", "mine");
    assert_eq!(get(fields), format!("Host: a\r\nContent-Length: 3\r\n{made}"));
}

#[test]
fn framing_is_made_anew() {
    let with = |body, fields| Sent { body, ..Sent::default() }.get(fields);
    assert_eq!(with(None, "Content-Length: 007\r\n"), format!("Host: a\r\nContent-Length: 7\r\n{MADE}"));
    let chunked = format!("Host: a\r\nTransfer-Encoding: chunked\r\n{MADE}");
    assert_eq!(with(None, "Transfer-Encoding: Chunked\r\n"), chunked);
    assert_eq!(with(Some(BodyFraming::Chunked), "Content-Length: 3\r\n"), chunked);
    assert_eq!(with(Some(BodyFraming::None), "Content-Length: 3\r\n"), format!("Host: a\r\n{MADE}"));
    let post = |fields: &str| Sent::default().write(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert_eq!(post(""), format!("Host: a\r\nContent-Length: 0\r\n{MADE}"));
    let expect = "Content-Length: 3\r\nExpect: 100-continue\r\n";
    assert_eq!(post(expect), format!("Host: a\r\n{expect}{MADE}"));
}

#[test]
fn a_stranger_cannot_say_where_it_came_from() {
    let fields = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
                  X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /x\r\nX-Real-IP: 9.9.9.9\r\nX_Forwarded_For: 9.9.9.9\r\n\
                  Forwarded: for=9.9.9.9\r\n";
    assert_eq!(get(fields), format!("Host: a\r\n{MADE}"));
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    let fields = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8,7.7.7.7\r\nX-Forwarded-Proto: https\r\n\
                  X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nForwarded: for=9.9.9.9\r\n";
    let trusted = Sent { trusted: true, ..Sent::default() };
    let expected = "Host: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n\
                    X-Forwarded-For: 9.9.9.9, 8.8.8.8,7.7.7.7, 192.0.2.1\r\n\
                    Forwarded: for=9.9.9.9, for=192.0.2.1;host=\"a\";proto=http\r\nX-Request-Id: made\r\n\
                    Via: 1.1 coregate\r\n";
    assert_eq!(trusted.get(fields), expected);
    assert_eq!(trusted.get(""), format!("Host: a\r\n{MADE}"));
}

#[test]
fn ipv6_peers_https_and_missing_hosts() {
    let sent = Sent { peer: "2001:db8::1", https: true, ..Sent::default() };
    let out = sent.write("GET / HTTP/1.0\r\n\r\n");
    let expected = "Host: \r\nX-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: https\r\n\
                    Forwarded: for=\"[2001:db8::1]\";proto=https\r\nX-Request-Id: made\r\nVia: 1.0 coregate\r\n";
    assert_eq!(out, expected);
    let mapped = Sent { peer: "::ffff:192.0.2.1", ..Sent::default() };
    assert_eq!(mapped.get(""), format!("Host: a\r\n{MADE}"));
}

#[test]
fn addresses_are_written_as_the_standard_library_writes_them() {
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    for text in
        ["0.0.0.0", "9.10.99.100", "255.199.200.101", "::", "::1", "::1.2.3.4", "2001:db8::a:0:1", longest]
    {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(IpText::new(address).as_bytes(), address.to_string().as_bytes());
    }
    for octet in 0..=255u8 {
        let address = IpAddr::from([octet, 0, octet, 1]);
        assert_eq!(IpText::new(address).as_bytes(), address.to_string().as_bytes());
    }
}

#[test]
fn upgrades_and_trailers_are_named_in_a_connection_of_our_own() {
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    let expected = format!("Host: a\r\n{MADE}Connection: upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(get(upgrade), expected);
    let trailers = format!("Host: a\r\n{MADE}Connection: TE\r\nTE: trailers\r\n");
    assert_eq!(get("TE: gzip;q=1, trailers\r\nConnection: TE\r\n"), trailers);
    let both = format!("Host: a\r\n{MADE}Connection: upgrade, TE\r\nTE: trailers\r\nUpgrade: websocket\r\n");
    assert_eq!(get("TE: trailers\r\nConnection: TE, upgrade\r\nUpgrade: websocket\r\n"), both);
}

#[test]
fn the_host_of_an_absolute_target_replaces_the_field() {
    let out = Sent::default().try_write(b"GET http://t:8/x?y HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("GET /x?y HTTP/1.1\r\nHost: t:8\r\nX-Forwarded-For"), "{out}");
    assert!(out.contains("X-Forwarded-Host: t:8\r\n"), "{out}");
}

#[test]
fn rules_apply_in_their_order() {
    let with =
        |rules: &[HeaderRule], fields: &str| Sent { rules: rules.to_vec(), ..Sent::default() }.get(fields);
    let expect = |rules: &[HeaderRule], fields: &str, kept: &str, added: &str| {
        assert_eq!(with(rules, fields), format!("Host: a\r\n{kept}{MADE}{added}"), "{rules:?}");
    };
    expect(&[add("x", "1")], "X: 0\r\n", "X: 0\r\n", "x: 1\r\n");
    expect(&[set("x", "1")], "X: 0\r\nY: 0\r\nx: 2\r\n", "Y: 0\r\n", "x: 1\r\n");
    expect(&[remove("x")], "X: 0\r\nXY: 0\r\n", "XY: 0\r\n", "");
    expect(&[add("x", "1"), remove("x")], "X: 0\r\n", "", "");
    expect(&[remove("x"), add("x", "1"), add("x", "2")], "X: 0\r\n", "", "x: 1\r\nx: 2\r\n");
    expect(&[add("x", "1"), set("x", "2")], "X: 0\r\n", "", "x: 2\r\n");
    let long = "x".repeat(80);
    expect(
        &[remove(&long)],
        &format!("{}: 0\r\n", "y".repeat(90)),
        &format!("{}: 0\r\n", "y".repeat(90)),
        "",
    );
    expect(&[remove(&long)], &format!("{long}: 0\r\n"), "", "");
}

#[test]
fn rules_win_over_what_the_gateway_makes_but_not_over_framing() {
    let with =
        |rules: &[HeaderRule], fields: &str| Sent { rules: rules.to_vec(), ..Sent::default() }.get(fields);
    let all =
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-request-id", "via"];
    assert_eq!(with(&all.map(remove), "Via: 1.1 x\r\n"), "Host: a\r\n");
    assert_eq!(
        with(&all.map(|name| set(name, "v")), ""),
        "Host: a\r\n".to_owned() + &all.map(|n| format!("{n}: v\r\n")).concat()
    );
    let host = with(&[set("host", "b")], "");
    assert!(
        host.starts_with("Host: b\r\nX-Forwarded-For") && host.contains("X-Forwarded-Host: a\r\n"),
        "{host}"
    );
    assert_eq!(with(&[remove("host")], ""), format!("Host: a\r\n{MADE}"));
    let framing =
        ["content-length", "transfer-encoding", "connection", "upgrade", "te", "keep-alive", "expect"];
    for rules in [framing.map(remove), framing.map(|name| add(name, "9")), framing.map(|name| set(name, "9"))]
    {
        assert_eq!(with(&rules, "Content-Length: 3\r\n"), format!("Host: a\r\nContent-Length: 3\r\n{MADE}"));
    }
    let trusted = Sent { trusted: true, rules: vec![set("x-forwarded-proto", "v")], ..Sent::default() };
    let out = trusted.get("X-Forwarded-Proto: https\r\n");
    assert_eq!(out.matches("roto: ").count(), 1, "{out}");
}

fn response_with(
    bytes: &str,
    method: Method,
    to: impl FnOnce(&ResponseMeta) -> ResponseOut<'static>,
    rules: Vec<HeaderRule>,
) -> String {
    let mut slots: FieldSlots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let head = parse_response(bytes.as_bytes(), &LIMITS, &mut slots).unwrap().unwrap();
    let meta = response_meta(&head, method).unwrap();
    let rules = Rules::from(&HeaderRules { request: Vec::new(), response: rules });
    let mut out = Vec::new();
    write_response(&mut out, &head, &meta, &to(&meta), &rules);
    String::from_utf8(out).unwrap()
}

fn as_it_came(meta: &ResponseMeta) -> ResponseOut<'static> {
    let connection = if meta.upgrade { ConnectionOut::Upgrade } else { ConnectionOut::KeepAlive };
    ResponseOut {
        connection,
        body: meta.body,
        client_version: Version::Http11,
        date: Some("now"),
        hsts: None,
    }
}

fn response(bytes: &str) -> String {
    response_with(bytes, Method::Get, as_it_came, Vec::new())
}

#[test]
fn a_response_goes_over_without_what_was_for_the_gateway_alone() {
    let bytes = "HTTP/1.1 200 Fine\r\nServer: s\r\nDate: then\r\nConnection: close, x\r\nX: 1\r\nKeep-Alive: 5\r\n\
                 Content-Length: 05\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nProxy-Authenticate: Basic\r\nX-Forwarded-For: y\r\n\
                 Upgrade: h2c\r\nTrailer: t\r\nHost: h\r\n\r\n";
    let expected = "HTTP/1.1 200 Fine\r\nServer: s\r\nDate: then\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\
                    X-Forwarded-For: y\r\nTrailer: t\r\nHost: h\r\nContent-Length: 5\r\nVia: 1.1 coregate\r\n\r\n";
    assert_eq!(response(bytes), expected);
}

#[test]
fn responses_are_framed_anew_and_bodiless_ones_keep_their_length() {
    let via = "Date: now\r\nVia: 1.1 coregate\r\n";
    let chunked = "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(response(chunked), format!("HTTP/1.1 200 \r\n{via}Transfer-Encoding: chunked\r\n\r\n"));
    let five = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let head = response_with(five, Method::Head, as_it_came, Vec::new());
    assert_eq!(head, format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{via}\r\n"));
    assert_eq!(
        response("HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n"),
        format!("HTTP/1.1 304 N\r\nContent-Length: 5\r\n{via}\r\n")
    );
    assert_eq!(
        response("HTTP/1.1 204 N\r\nContent-Length: 0\r\n\r\n"),
        format!("HTTP/1.1 204 N\r\n{via}\r\n")
    );
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n";
    assert_eq!(response(&format!("{hints}\r\n")), format!("{hints}Via: 1.1 coregate\r\n\r\n"));
    let to_old = |meta: &ResponseMeta| ResponseOut {
        connection: ConnectionOut::Close,
        body: BodyFraming::UntilClose,
        client_version: Version::Http10,
        ..as_it_came(meta)
    };
    let out = response_with(chunked, Method::Get, to_old, Vec::new());
    assert_eq!(out, format!("HTTP/1.1 200 \r\n{via}Connection: close\r\n\r\n"));
    let keep_old = |meta: &ResponseMeta| ResponseOut { client_version: Version::Http10, ..as_it_came(meta) };
    let out = response_with(five, Method::Get, keep_old, Vec::new());
    assert_eq!(out, format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{via}Connection: keep-alive\r\n\r\n"));
}

#[test]
fn an_upgrade_is_passed_on() {
    let bytes =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\n";
    let expected = "HTTP/1.1 101 Switching Protocols\r\nX: y\r\nVia: 1.1 coregate\r\nConnection: upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
    assert_eq!(response(bytes), expected);
}

#[test]
fn response_rules_win_over_the_origin_and_the_gateway() {
    let bytes = "HTTP/1.0 200 OK\r\nServer: s\r\nDate: then\r\nContent-Length: 5\r\n\r\n";
    let rules =
        vec![remove("server"), set("date", "d"), remove("via"), remove("content-length"), add("host", "h")];
    let out = response_with(bytes, Method::Get, as_it_came, rules);
    assert_eq!(out, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\ndate: d\r\nhost: h\r\n\r\n");
    assert!(response(bytes).contains("Via: 1.0 coregate\r\n"));
}

#[test]
fn the_real_client_is_the_first_stranger_from_the_right() {
    let client = |peer: &str, lines: &[&str]| {
        let fields: Vec<Field> =
            lines.iter().map(|line| Field { name: "X-Forwarded-For", value: line.as_bytes() }).collect();
        let trusted =
            |address: IpAddr| address.to_string().starts_with("10.") || address.to_string() == "fd00::1";
        real_client(peer.parse().unwrap(), trusted, &fields).to_string()
    };
    for (peer, lines, expected) in [
        ("192.0.2.1", &["9.9.9.9"][..], "192.0.2.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
        ("10.0.0.1", &["8.8.8.8, 9.9.9.9"], "9.9.9.9"),
        ("10.0.0.1", &["8.8.8.8, 9.9.9.9 , 10.0.0.2"], "9.9.9.9"),
        ("10.0.0.1", &["8.8.8.8, 9.9.9.9", "10.0.0.3,10.0.0.2"], "9.9.9.9"),
        ("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", &["9.9.9.9, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["9.9.9.9, , 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["\u{e9}"], "10.0.0.1"),
        ("10.0.0.1", &["9.9.9.9:1234"], "9.9.9.9"),
        ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
        ("10.0.0.1", &["[2001:db8::1"], "10.0.0.1"),
        ("fd00::1", &["::ffff:9.9.9.9"], "9.9.9.9"),
        ("::ffff:10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
    ] {
        assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
    }
}

fn request_like() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("Content-Length: 5".to_owned()),
        Just("Transfer-Encoding: chunked".to_owned()),
        Just("Connection: close, x-a, host, content-length, transfer-encoding, te, via".to_owned()),
        Just("Connection: upgrade".to_owned()),
        Just("Upgrade: websocket".to_owned()),
        Just("TE: trailers".to_owned()),
        Just("Forwarded: for=1.1.1.1".to_owned()),
        Just("Expect: 100-continue".to_owned()),
        "X-(A|Forwarded-For|Forwarded-Proto|Forwarded-Host|Request-Id|Real-IP): [ -~]{0,9}",
        "[A-Za-z-]{1,12}: [ -~\t]{0,20}",
    ];
    let start = prop_oneof![
        Just("POST /a/b?c HTTP/1.1"),
        Just("GET / HTTP/1.1"),
        Just("GET http://t/ HTTP/1.1"),
        Just("POST / HTTP/1.0"),
    ];
    (start, proptest::collection::vec(line, 0..8)).prop_map(|(start, lines)| {
        format!("{start}\r\nHost: a\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    })
}

proptest! {
    #[test]
    fn what_goes_over_is_accepted_and_means_the_same(bytes in request_like(), trusted: bool) {
        let sent = Sent { trusted, ..Sent::default() };
        let Ok(out) = sent.try_write(&bytes) else { return Ok(()) };
        prop_assume!(!out.is_empty());
        let (mut first, mut second) = (
            [const { MaybeUninit::uninit() }; FIELDS_MAX],
            [const { MaybeUninit::uninit() }; FIELDS_MAX],
        );
        let head = parse_request(&bytes, &LIMITS, &mut first).unwrap().unwrap();
        let meta = request_meta(&head).unwrap();
        let head_over = parse_request(&out, &LIMITS, &mut second).unwrap().unwrap();
        let over = request_meta(&head_over).unwrap();
        prop_assert_eq!(head_over.len, out.len());
        prop_assert_eq!(over.host, meta.host);
        prop_assert_eq!(over.upgrade, meta.upgrade);
        let none = |body| if body == BodyFraming::Length(0) { BodyFraming::None } else { body };
        prop_assert_eq!(none(over.body), none(meta.body));
        prop_assert_eq!((over.target.path(), over.target.query()), (meta.target.path(), meta.target.query()));
        prop_assert!(over.keep_alive);
    }
}
