//! TLS to nodes: who is asked for, who is believed, and what becomes of a request when there is no TLS with a node.

use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use coregate_tests::certs::{Authority, Pair};
use coregate_tests::nginx::Nginx;
use coregate_tests::peers::Running;
use coregate_tests::ports::Port;
use coregate_tests::{Gateway, PATIENCE, Service, eventually, get, post, service};

fn site() -> Service {
    service("site").route("/").with("tls = true")
}

fn trusting(authority: &Authority) -> Service {
    site().with(&format!("upstream_tls.ca = {:?}", authority.certificate()))
}

/// The request is answered 502, counted as TLS that came to nothing, and the log says why.
#[track_caller]
fn expect_no_tls(gateway: &Gateway, why: &str) {
    gateway.get("/").expect_error(502, "upstream_unreachable");
    gateway.expect_output(why);
    let counted =
        || gateway.metric("coregate_endings_total", &["cause=\"upstream_tls\"", "phase=\"connect\""]);
    eventually("the ending is counted", PATIENCE, || counted() > 0.5);
}

#[test]
fn the_host_in_a_node_s_address_is_asked_for_and_must_be_in_its_certificate() {
    let (authority, port) = (Authority::new(), Port::free());
    let pair = authority.sign("node", &["localhost", "127.0.0.1"]);
    let _nginx = Nginx::tls_origin(&port, &pair, "", "");
    let gateway = Gateway::with(trusting(&authority).node_named("localhost", port.number())).start();
    let text = gateway.get("/").text();
    assert!(text.contains("sni=localhost alpn=http/1.1 reused=. client= version=TLSv1.3"), "{text}");
    drop(gateway);
    let gateway = Gateway::with(trusting(&authority).node_at(port.address())).start();
    let text = gateway.get("/").text();
    assert!(text.contains("sni= alpn"), "addresses are not asked for (RFC 6066): {text}");
}

#[test]
fn another_name_may_be_asked_for() {
    let (authority, port) = (Authority::new(), Port::free());
    let pair = authority.sign("node", &["node.test"]);
    let _nginx = Nginx::tls_origin(&port, &pair, "", "ssl_protocols TLSv1.2;");
    let site = trusting(&authority).with("upstream_tls.server_name = \"node.test\"");
    let gateway = Gateway::with(site.node_named("localhost", port.number())).start();
    let text = gateway.get("/").text();
    assert!(text.contains("sni=node.test") && text.contains("version=TLSv1.2"), "{text}");
}

#[test]
fn a_node_that_cannot_be_verified_gets_no_request() {
    let (authority, other) = (Authority::new(), Authority::new());
    let cases = [
        (other.sign("node", &["127.0.0.1"]), "not by an authority that is trusted"),
        (authority.sign("wrong", &["other.test"]), "its certificate is not for 127.0.0.1"),
        (authority.sign_for("old", &["127.0.0.1"], "/CN=old", "-1"), "its certificate has expired"),
    ];
    for (pair, why) in &cases {
        let port = Port::free();
        let nginx = Nginx::tls_origin(&port, pair, "", "");
        let gateway = Gateway::with(trusting(&authority).node_at(port.address())).start();
        expect_no_tls(&gateway, why);
        let refused =
            gateway.metric("coregate_upstream_tls_handshakes_total", &["result=\"refused\"", "version=\"\""]);
        assert!(refused > 0.5, "{refused}");
        eventually("nginx has read the alert", PATIENCE, || nginx.log().contains("SSL alert number"));
    }
}

#[test]
fn the_system_s_roots_are_trusted_where_no_others_are_named() {
    let (authority, port) = (Authority::new(), Port::free());
    let _nginx = Nginx::tls_origin(&port, &authority.sign("node", &["127.0.0.1"]), "", "");
    let builder = Gateway::with(site().node_at(port.address()));
    expect_no_tls(&builder.start(), "not by an authority that is trusted");
    let roots = format!("export SSL_CERT_FILE={}", authority.certificate().display());
    assert_eq!(builder.clone().after(&roots).start().get("/").status, 200);
    let none = builder.after("export SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/nonexistent").start_and_finish();
    assert_eq!(none.code, Some(1));
    assert!(
        none.output.contains("service \"site\": ") && none.output.contains("upstream_tls.ca"),
        "{none:?}"
    );
}

#[test]
fn whatever_a_node_presents_is_accepted_where_that_is_asked_for_and_said_aloud() {
    let (authority, port) = (Authority::new(), Port::free());
    let pair = authority.sign_for("old", &["other.test"], "/CN=old", "-1");
    let _nginx = Nginx::tls_origin(&port, &pair, "", "");
    let any = site().with("upstream_tls.danger_accept_any_certificate = true").node_at(port.address());
    let gateway = Gateway::with(any).start();
    assert_eq!(gateway.get("/").status, 200);
    let warning = "service \"site\": upstream_tls.danger_accept_any_certificate";
    gateway.expect_output(warning);
    let unverified = gateway.metric("coregate_upstream_tls_unverified", &["service=\"site\""]);
    assert!((unverified - 1.0).abs() < 0.1, "{unverified}");
}

fn asking_for_certificates(authority: &Authority) -> String {
    format!("ssl_verify_client on; ssl_client_certificate {};", authority.certificate().display())
}

fn presenting(pair: &Pair) -> String {
    format!("upstream_tls.certificate = {{ chain = {:?}, key = {:?} }}", pair.chain, pair.key)
}

#[test]
fn a_client_certificate_is_presented_to_nodes_that_ask() {
    let (authority, clients, port) = (Authority::new(), Authority::new(), Port::free());
    let node = authority.sign("node", &["127.0.0.1"]);
    let _nginx = Nginx::tls_origin(&port, &node, "", &asking_for_certificates(&clients));
    let client = clients.sign("gateway", &["gateway.test"]);
    let with = trusting(&authority).with(&presenting(&client)).node_at(port.address());
    let gateway = Gateway::with(with).start();
    let text = gateway.get("/").text();
    assert!(text.contains("client=CN=gateway,O=Example,C=DE"), "{text}");
    let expiry =
        gateway.metric("coregate_upstream_tls_certificate_expiry_timestamp_seconds", &["service=\"site\""]);
    assert!(expiry > 1e9, "{expiry}");
    drop(gateway);
    let without = Gateway::with(trusting(&authority).node_at(port.address())).start();
    let answer = without.get("/");
    assert!(answer.status == 400 && answer.text().contains("No required SSL certificate"), "{answer:?}");
}

/// In TLS 1.3 that comes after the handshake, in place of an answer.
#[test]
fn a_node_that_refuses_the_gateway_by_an_alert_is_told_of() {
    let (authority, port) = (Authority::new(), Port::free());
    let node = authority.sign("node", &["127.0.0.1"]);
    let server = OpensslServer::start(&port, &node, &["-Verify", "1", "-verify_return_error", "-www"]);
    let gateway = Gateway::with(trusting(&authority).node_at(port.address())).start();
    let up = || gateway.metric("coregate_node_up", &["service=\"site\""]);
    assert!(up() > 0.5);
    gateway.get("/").expect_error(502, "upstream_unreachable");
    gateway.expect_output("no TLS with the node: received fatal alert: CertificateRequired");
    eventually("the node is left alone", PATIENCE, || up() < 0.5);
    let counted = || gateway.metric("coregate_endings_total", &["cause=\"upstream_tls\""]);
    eventually("the ending is counted", PATIENCE, || counted() > 0.5);
    drop((gateway, server));
    let strict = ["-Verify", "1", "-verify_return_error", "-alpn", "h2"];
    let _server = OpensslServer::start(&port, &node, &strict);
    let site = trusting(&authority).with("http2 = true").node_at(port.address());
    expect_no_tls(&Gateway::with(site).start(), "received fatal alert: CertificateRequired");
}

#[test]
fn what_a_node_refuses_by_an_alert_goes_to_another_whatever_it_is() {
    let (authority, strict, good) = (Authority::new(), Port::free(), Port::free());
    let pair = authority.sign("node", &["127.0.0.1"]);
    let verify = ["-Verify", "1", "-verify_return_error", "-www"];
    let _strict = OpensslServer::start(&strict, &pair, &verify);
    let _nginx = Nginx::tls_origin(&good, &pair, "", "");
    let site = trusting(&authority).with("load_balancer.policy = \"round_robin\"");
    let site = site.node_at(strict.address()).node_at(good.address());
    let gateway = Gateway::with(site).server("shards = 1").start();
    let mut client = gateway.client();
    for request in [post("/").body("once"), get("/"), post("/").body("twice")] {
        assert_eq!(client.ask(&request).status, 200);
    }
    gateway.expect_output("no TLS with the node: received fatal alert: CertificateRequired");
    let handshakes = |result: &str| gateway.metric("coregate_upstream_tls_handshakes_total", &[result]);
    // The last of it, by which the rest has been counted.
    eventually("both were asked", PATIENCE, || handshakes("version=\"1.3\"") > 1.5);
    let (refused, retries) =
        (handshakes("result=\"refused\""), gateway.metric("coregate_shard_retries_total", &[]));
    assert_eq!((refused.round(), retries.round()), (1.0, 1.0), "the one that refuses was asked once");
}

#[test]
fn sessions_are_resumed_on_every_shard() {
    let (authority, port) = (Authority::new(), Port::free());
    let pair = authority.sign("node", &["127.0.0.1"]);
    for version in ["TLSv1.2", "TLSv1.3"] {
        // Each answer ends its connection.
        let keys = format!("ssl_protocols {version}; keepalive_timeout 0; ssl_session_cache shared:s:1m;");
        let _nginx = Nginx::tls_origin(&port, &pair, "", &keys);
        let gateway =
            Gateway::with(trusting(&authority).node_at(port.address())).server("shards = 2").start();
        assert!(gateway.get("/").text().contains("reused=."));
        let resumed = (0..40).filter(|_| gateway.get("/").text().contains("reused=r")).count();
        assert!(resumed >= 38, "{version}: {resumed} of 40");
    }
}

#[test]
fn http2_is_agreed_on_by_alpn_and_by_nothing_else() {
    let (authority, port) = (Authority::new(), Port::free());
    let pair = authority.sign("node", &["127.0.0.1"]);
    let site = || trusting(&authority).with("http2 = true").node_at(port.address());
    let nginx = Nginx::tls_origin(&port, &pair, "http2", "");
    let gateway = Gateway::with(site()).server("shards = 1").start();
    let text = gateway.get("/").text();
    assert!(text.contains("alpn=h2") && text.contains("http=HTTP/2.0"), "{text}");
    let again = gateway.get("/").text();
    assert_eq!(text, again, "one connection");
    drop((nginx, gateway));
    // nginx without HTTP/2 refuses a client that offers nothing else; openssl ignores ALPN.
    let nginx = Nginx::tls_origin(&port, &pair, "", "");
    expect_no_tls(&Gateway::with(site()).start(), "NoApplicationProtocol");
    drop(nginx);
    let _server = OpensslServer::start(&port, &pair, &["-www"]);
    expect_no_tls(&Gateway::with(site()).start(), "it does not choose HTTP/2 by ALPN");
}

#[test]
fn nghttpd_takes_requests_over_tls() {
    let (authority, port, folder) = (Authority::new(), Port::free(), tempfile::tempdir().expect("a folder"));
    let pair = authority.sign("node", &["127.0.0.1"]);
    std::fs::write(folder.path().join("a.txt"), "a".repeat(300_000)).expect("write");
    let mut nghttpd = std::process::Command::new("nghttpd");
    nghttpd
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .arg("-a")
        .arg("127.0.0.1")
        .arg("-d")
        .arg(folder.path())
        .arg(port.number().to_string());
    let _server = Running::start(nghttpd.arg(&pair.key).arg(&pair.chain), &port);
    let gateway = Gateway::with(trusting(&authority).with("http2 = true").node_at(port.address())).start();
    let mut client = gateway.client();
    for _ in 0..20 {
        client.get("/a.txt").expect(200, &"a".repeat(300_000));
    }
}

#[test]
fn a_node_that_does_not_speak_tls_gets_no_request() {
    let (authority, port) = (Authority::new(), Port::free());
    let server = format!("server {{ listen {}; location / {{ return 200 \"clear\"; }} }}", port.address());
    let _nginx = Nginx::http(&server, &port);
    let gateway = Gateway::with(trusting(&authority).node_at(port.address())).start();
    expect_no_tls(&gateway, "what it sent is not TLS");
}

#[test]
fn a_node_that_stalls_in_the_handshake_has_the_time_of_a_connect() {
    let (authority, listener) = (Authority::new(), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let address = listener.local_addr().expect("its address");
    let stalled = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut sent = Vec::new();
        stream.read_to_end(&mut sent).ok();
        sent.first().copied()
    });
    let site = trusting(&authority).node_at(address).with("timeouts.connect = \"300ms\"");
    let gateway = Gateway::with(site).start();
    gateway.get("/").expect_error(504, "upstream_timeout");
    assert_eq!(stalled.join().expect("it ends"), Some(22), "a handshake was begun, and given up");
}

#[test]
fn the_next_node_is_tried_and_the_bad_one_is_left_alone() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, bad) = (Port::free(), Port::free());
    let _good = Nginx::tls_origin(&good, &authority.sign("good", &["127.0.0.1"]), "", "");
    let _bad = Nginx::tls_origin(&bad, &other.sign("bad", &["127.0.0.1"]), "", "");
    let site = trusting(&authority).node_at(bad.address()).node_at(good.address());
    let gateway = Gateway::with(site).server("shards = 1").start();
    for _ in 0..20 {
        // A POST too: nothing of it has reached the wire.
        assert_eq!(gateway.client().ask(&get("/")).status, 200);
        assert_eq!(gateway.client().ask(&coregate_tests::post("/").body("a")).status, 200);
    }
    gateway.expect_output("not by an authority that is trusted");
    gateway.expect_output("node down");
}

#[test]
fn each_node_that_stalls_has_that_time() {
    let authority = Authority::new();
    let listeners: Vec<TcpListener> =
        (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let site = listeners.iter().fold(trusting(&authority), |site, listener| {
        site.node_at(listener.local_addr().expect("its address"))
    });
    let gateway = Gateway::with(site.with("timeouts.connect = \"200ms\"")).server("shards = 1").start();
    let asked = coregate_tests::wait::now();
    gateway.get("/").expect_error(504, "upstream_timeout");
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(380) && took < PATIENCE / 2, "{took:?}");
}

/// `openssl s_server`.
struct OpensslServer;

impl OpensslServer {
    fn start(port: &Port, pair: &Pair, arguments: &[&str]) -> Running {
        let mut command = std::process::Command::new("openssl");
        command.args(["s_server", "-accept", &port.address().to_string()]).args(arguments);
        Running::start(command.arg("-cert").arg(&pair.chain).arg("-key").arg(&pair.key), port)
    }
}
