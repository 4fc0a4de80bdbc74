//! TLS ends at an https listener: versions, names, ALPN, sessions, stapling, as curl and openssl see them.

use coregate_tests::certs::{Authority, Pair, certificates, s_client};
use coregate_tests::gateway::Builder;
use coregate_tests::h2_raw::{PREFACE, frame, kind};
use coregate_tests::ports::Port;
use coregate_tests::{Gateway, Origin, PATIENCE, eventually, tcp_listener};

/// A gateway that listens for TLS, too.
fn https(origin: &Origin, port: &Port, pairs: &[&Pair], keys: &str) -> Builder {
    let (address, certificates) = (port.address(), certificates(pairs));
    Gateway::before(origin).text(&format!(
        "[[listeners]]\nname = \"https\"\naddress = \"{address}\"\nprotocol = \"https\"\n{certificates}\n\
         [listeners.tls]\n{keys}"
    ))
}

fn lines<'a>(output: &'a str, with: &str) -> Vec<&'a str> {
    output.lines().filter(|line| line.contains(with)).collect()
}

#[test]
fn both_versions_are_spoken_and_nothing_older() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let _gateway = https(&origin, &port, &[&authority.sign("one", &["one.test"])], "").start();
    for version in [["--tls-max", "1.2"], ["--tlsv1.3", "--http1.1"]] {
        authority.curl("one.test", port.address(), "/", &version).expect(200, "a");
    }
    assert_eq!(origin.last().field("x-forwarded-proto"), Some("https"));
    assert!(origin.last().field("forwarded").is_some_and(|it| it.contains("proto=https")));
    let old = s_client(port.address(), &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], b"");
    assert!(old.contains("alert") && old.contains("Cipher is (NONE)"), "{old}");
}

#[test]
fn a_listener_may_ask_for_the_newest_version() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let _gateway = https(&origin, &port, &[&pair], "min_version = \"1.3\"").start();
    authority.curl("one.test", port.address(), "/", &[]).expect(200, "a");
    let old = authority.curl("one.test", port.address(), "/", &["--tls-max", "1.2"]);
    assert_eq!(old.code, Some(35), "{old:?}");
}

#[test]
fn http2_is_agreed_on_by_alpn_where_it_is_enabled() {
    let (authority, origin) = (Authority::new(), Origin::named("a"));
    let (both, old) = (Port::free(), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let other = format!(
        "[[listeners]]\nname = \"old\"\naddress = \"{}\"\nprotocol = \"https\"\n{}\nhttp2 = {{ enabled = false }}",
        old.address(),
        certificates(&[&pair])
    );
    let _gateway = https(&origin, &both, &[&pair], "").text(&other).start();
    let ask = |port: &Port, arguments: &[&str]| authority.curl("one.test", port.address(), "/", arguments);
    assert!(ask(&both, &["--http2"]).text.starts_with("HTTP/2 200"));
    assert!(ask(&both, &["--http1.1"]).text.starts_with("HTTP/1.1 200"));
    assert!(ask(&old, &["--http2"]).text.starts_with("HTTP/1.1 200"));
    let alpn = |port: &Port, offer| s_client(port.address(), &["-alpn", offer], b"Q\n");
    assert!(alpn(&both, "http/1.1,h2").contains("ALPN protocol: h2"));
    assert!(alpn(&old, "http/1.1,h2").contains("ALPN protocol: http/1.1"));
    assert!(alpn(&old, "spdy/3").contains("no application protocol"));
}

#[test]
fn a_client_that_does_not_speak_what_was_agreed_on_is_refused_and_counted() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let gateway = https(&origin, &port, &[&authority.sign("one", &["one.test"])], "").start();
    let refused = |count| {
        eventually("the refusal is counted", PATIENCE, || {
            gateway.metric("coregate_endings_total", &["cause=\"client_error\""]) == count
        });
    };
    let say = |agreed, bytes: &[u8]| {
        let output = s_client(port.address(), &["-alpn", agreed, "-ign_eof"], bytes);
        assert!(output.lines().any(|line| line == "closed"), "{output}");
        output
    };
    let answer = say("h2", b"GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n");
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    refused(1.0);
    let preface = [PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat();
    let answer = say("http/1.1", &preface);
    assert!(answer.contains("HTTP/1.1 505") && answer.contains("version_not_supported"), "{answer}");
    refused(2.0);
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn the_certificate_is_the_one_for_the_name() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let one = authority.sign("one", &["one.test"]);
    let two = authority.sign("two", &["two.test", "*.two.test"]);
    let _gateway = https(&origin, &port, &[&one, &two], "").start();
    for host in ["one.test", "two.test", "a.two.test"] {
        authority.curl(host, port.address(), "/", &[]).expect(200, "a");
    }
    let subject = |arguments: &[&str]| s_client(port.address(), arguments, b"Q\n");
    for arguments in
        [&["-noservername"][..], &["-servername", "other.test"], &["-servername", "a.b.two.test"]]
    {
        let output = subject(arguments);
        assert!(output.contains("subject=C = DE, O = Example, CN = one"), "the default: {output}");
    }
}

#[test]
fn sessions_are_resumed_on_every_shard() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let gateway = https(&origin, &port, &[&pair], "").server("shards = 4").start();
    let old = s_client(port.address(), &["-tls1_2", "-reconnect"], b"Q\n");
    assert_eq!(lines(&old, "Reused, TLSv1.2").len(), 5, "{old}");
    // In TLS 1.3 tickets follow the handshake, so a session is kept in a file.
    let session = authority.file("session.pem");
    let session = session.to_str().expect("UTF-8");
    let request = b"GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n";
    let first = s_client(port.address(), &["-tls1_3", "-ign_eof", "-sess_out", session], request);
    assert!(first.contains("HTTP/1.1 200"), "{first}");
    for _ in 0..5 {
        let again = s_client(port.address(), &["-tls1_3", "-sess_in", session], b"Q\n");
        assert!(again.contains("Reused, TLSv1.3"), "{again}");
    }
    let resumed = |version| {
        gateway.metric("coregate_tls_handshakes_total", &["result=\"done\"", version, "resumed=\"yes\""])
    };
    eventually("they are counted", PATIENCE, || {
        (resumed("version=\"1.2\""), resumed("version=\"1.3\"")) == (5.0, 5.0)
    });
}

#[test]
fn without_tickets_nothing_is_resumed() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let _gateway = https(&origin, &port, &[&pair], "session_tickets = false").start();
    let output = s_client(port.address(), &["-tls1_2", "-reconnect"], b"Q\n");
    assert_eq!((lines(&output, "Reused").len(), lines(&output, "New, TLSv1.2").len()), (0, 6), "{output}");
}

#[test]
fn an_ocsp_response_is_stapled() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let listener = format!(
        "[[listeners]]\nname = \"https\"\naddress = \"{}\"\nprotocol = \"https\"\n\
         certificates = [{{ chain = {:?}, key = {:?}, ocsp = {:?} }}]",
        port.address(),
        pair.chain,
        pair.key,
        authority.ocsp(&pair)
    );
    let _gateway = Gateway::before(&origin).text(&listener).start();
    let output = s_client(port.address(), &["-status"], b"Q\n");
    assert!(
        output.contains("OCSP Response Status: successful") && output.contains("Cert Status: good"),
        "{output}"
    );
}

#[test]
fn answers_ask_for_tls_alone_where_that_is_set() {
    let (authority, port) = (Authority::new(), Port::free());
    let origin = Origin::that(|x| x.answer_with(200, "Strict-Transport-Security: max-age=1\r\n", "a"));
    let keys = "hsts_max_age = \"1d\"\nhsts_include_subdomains = true";
    let gateway = https(&origin, &port, &[&authority.sign("one", &["one.test"])], keys).start();
    for version in ["--http1.1", "--http2"] {
        for target in ["/", "/%00"] {
            let answer = authority.curl("one.test", port.address(), target, &[version]);
            assert_eq!(
                lines(&answer.text.to_lowercase(), "strict-transport-security").len(),
                1,
                "{answer:?}"
            );
            assert!(
                answer.has_line("strict-transport-security: max-age=86400; includeSubDomains"),
                "{answer:?}"
            );
        }
    }
    let in_clear = gateway.get("/");
    assert_eq!(in_clear.field("strict-transport-security"), Some("max-age=1"), "the origin's own");
}

#[test]
fn requests_in_clear_are_told_to_come_by_https() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("https_redirect = true").start();
    let location = |gateway: &Gateway, head: &str| {
        let mut client = gateway.client();
        client.send(format!("{head}\r\n\r\n"));
        let answer = client.read();
        assert_eq!(answer.status, 308, "{answer:?}");
        answer.field("location").map(str::to_owned)
    };
    let of = |head| location(&gateway, head).unwrap();
    assert_eq!(of("GET /a%20b?c=d HTTP/1.1\r\nHost: one.test:8080"), "https://one.test/a%20b?c=d");
    assert_eq!(of("POST http://two.test/x HTTP/1.1\r\nHost: one.test"), "https://two.test/x");
    assert_eq!(of("GET / HTTP/1.1\r\nHost: [::1]"), "https://[::1]/");
    assert_eq!(of("OPTIONS * HTTP/1.1\r\nHost: [::1]:80"), "https://[::1]/");
    let mut client = gateway.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.read().status, 400, "nobody knows where to");
    let mut client = gateway.client();
    for _ in 0..2 {
        client.get("/").expect_error(308, "https_required");
    }

    let elsewhere =
        Gateway::before(&origin).listener("https_redirect = true\nhttps_redirect_port = 8443").start();
    assert_eq!(location(&elsewhere, "GET / HTTP/1.1\r\nHost: one.test").unwrap(), "https://one.test:8443/");
    assert_eq!(origin.count(), 0);
}

#[test]
fn bodies_of_any_size_go_both_ways() {
    let (authority, origin, port) = (
        Authority::new(),
        Origin::that(|x| {
            let len = usize::try_from(x.read_body().length).expect("a length");
            x.answer(200, &"x".repeat(len));
        }),
        Port::free(),
    );
    let _gateway = https(&origin, &port, &[&authority.sign("one", &["one.test"])], "").start();
    for len in [0, 1, 16_383, 16_384, 16_385, 100_000, 3_000_000] {
        let file = authority.file("body");
        std::fs::write(&file, vec![b'y'; len]).unwrap();
        let data = format!("@{}", file.display());
        for version in ["--http1.1", "--http2"] {
            let answer = authority.curl(
                "one.test",
                port.address(),
                "/",
                &[version, "-H", "Expect:", "--data-binary", &data],
            );
            let body = answer.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            assert_eq!((answer.code, body.len()), (Some(0), len), "{version} {len}");
        }
    }
}

#[test]
fn a_tcp_service_gets_the_clear_bytes() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let listener = tcp_listener(&port, &format!("service = \"site\"\n{}", certificates(&[&pair])));
    let _gateway = Gateway::before(&origin).text(&listener).start();
    authority.curl("one.test", port.address(), "/", &["--http1.1"]).expect(200, "a");
    assert_eq!(origin.last().field("via"), None, "nobody read it on the way");
}
