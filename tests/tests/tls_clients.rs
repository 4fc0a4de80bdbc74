//! Client certificates: who is refused, and how origins are told who it is.

use coregate_tests::certs::{Authority, Pair, certificates};
use coregate_tests::ports::Port;
use coregate_tests::{Gateway, Origin, PATIENCE, eventually};

fn https(port: &Port, pair: &Pair, ca: &Authority, mode: &str) -> String {
    format!(
        "[[listeners]]\nname = \"{mode}\"\naddress = \"{}\"\nprotocol = \"https\"\n{}\n\
         [listeners.tls]\nclient_certificates = \"{mode}\"\nclient_ca = {:?}\nclient_subject_header = \"x-who\"",
        port.address(),
        certificates(&[pair]),
        ca.certificate()
    )
}

fn with<'a>(pair: &'a Pair, more: &[&'a str]) -> Vec<&'a str> {
    let path = |path: &'a std::path::Path| path.to_str().expect("UTF-8");
    [&["--cert", path(&pair.chain), "--key", path(&pair.key)], more].concat()
}

#[test]
fn only_clients_with_a_valid_certificate_are_let_in_where_it_is_required() {
    let (authority, stranger, origin, port) =
        (Authority::new(), Authority::new(), Origin::named("a"), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let gateway = Gateway::before(&origin).text(&https(&port, &pair, &authority, "required")).start();
    let good = authority.sign("client", &["client.test"]);
    let forged = stranger.sign("client", &["client.test"]);
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let ask = |arguments: &[&str]| {
            authority.curl("one.test", port.address(), "/", &[version, arguments].concat())
        };
        ask(&with(&good, &[])).expect(200, "a");
        let seen = origin.count();
        for arguments in [vec![], with(&forged, &[])] {
            let refused = ask(&arguments);
            assert!(matches!(refused.code, Some(35 | 56 | 98)) && refused.text.is_empty(), "{refused:?}");
        }
        assert_eq!(origin.count(), seen);
    }
    let refused = || gateway.metric("coregate_tls_handshakes_total", &["result=\"refused\""]);
    eventually("the refusals are counted", PATIENCE, || refused() > 3.5);
}

#[test]
fn origins_are_told_who_the_client_is_and_believe_nobody_else() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let gateway = Gateway::before(&origin).text(&https(&port, &pair, &authority, "optional")).start();
    let subject = "/C=DE/O=Example, Inc./CN=Jörg";
    let client = authority.sign_for("client", &["client.test"], subject, "20");
    let who = || origin.last().field("x-who").map(str::to_owned);
    let ask =
        |arguments: &[&str]| authority.curl("one.test", port.address(), "/", arguments).expect(200, "a");
    for version in ["--http1.1", "--http2"] {
        ask(&with(&client, &[version, "-H", "X-Who: CN=root"]));
        let told = who().expect("a subject");
        assert!(told.starts_with("CN=J") && told.ends_with(",O=Example\\, Inc.,C=DE"), "{told}");
        ask(&[version, "-H", "X-Who: CN=root"]);
        assert_eq!(who(), None, "it has no certificate");
    }
    let mut in_clear = gateway.client();
    in_clear.send("GET / HTTP/1.1\r\nHost: a\r\nx-who: CN=root\r\n\r\n");
    in_clear.read().expect(200, "a");
    assert_eq!(who(), None, "nor by another listener");
}

#[test]
fn a_session_from_a_listener_that_asks_for_nothing_opens_no_other() {
    let (authority, origin) = (Authority::new(), Origin::named("a"));
    let (open, closed) = (Port::free(), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let plain = format!(
        "[[listeners]]\nname = \"open\"\naddress = \"{}\"\nprotocol = \"https\"\n{}",
        open.address(),
        certificates(&[&pair])
    );
    let required = https(&closed, &pair, &authority, "required");
    let _gateway = Gateway::before(&origin).text(&plain).text(&required).start();
    let session = authority.file("session.pem");
    let session = session.to_str().expect("UTF-8");
    let request = b"GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n";
    for version in ["-tls1_2", "-tls1_3"] {
        let name = ["-servername", "one.test", "-ign_eof", version];
        let first = coregate_tests::certs::s_client(
            open.address(),
            &[&name[..], &["-sess_out", session]].concat(),
            request,
        );
        assert!(first.contains("HTTP/1.1 200"), "{first}");
        let second = coregate_tests::certs::s_client(
            closed.address(),
            &[&name[..], &["-sess_in", session]].concat(),
            request,
        );
        assert!(!second.contains("HTTP/1.1 200") && !second.contains("Reused"), "{second}");
    }
}
