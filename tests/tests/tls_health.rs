//! Health checks of a service whose nodes speak TLS, or want a PROXY header: they connect as its traffic does.

use coregate_tests::certs::{Authority, Pair};
use coregate_tests::nginx::{Nginx, certificate};
use coregate_tests::peers::{Peer, python};
use coregate_tests::ports::Port;
use coregate_tests::{Client, Gateway, Origin, PATIENCE, Service, eventually, service, tcp_listener};

fn checked(authority: &Authority, kind: &str, port: &Port) -> Service {
    let site = service("site").route("/").with("tls = true");
    check(site.with(&format!("upstream_tls.ca = {:?}", authority.certificate())), kind, port)
}

/// Time enough for a handshake on a busy machine.
fn check(site: Service, kind: &str, port: &Port) -> Service {
    let site = site
        .node_at(port.address())
        .with(&format!("health_check.kind = {kind:?}"))
        .with("health_check.interval = \"500ms\"")
        .with("health_check.timeout = \"500ms\"");
    if kind == "http" { site.with("health_check.path = \"/\"") } else { site }
}

/// What is said of the nodes.
fn nodes(gateway: &Gateway) -> String {
    gateway.ops("/api/v1/nodes").text()
}

#[track_caller]
fn expect_down(gateway: &Gateway, why: &str) {
    gateway.expect_output("node down");
    eventually(&format!("a node down by {why:?}"), PATIENCE, || nodes(gateway).contains(why));
}

/// nginx that tells what it is asked over TLS.
fn told(port: &Port, pair: &Pair) -> Nginx {
    let server = format!(
        "log_format told \"$ssl_protocol $request $http_user_agent\"; \
         server {{ access_log FOLDER/told told; listen {} ssl; {} location / {{ return 200; }} }}",
        port.address(),
        certificate(pair)
    );
    Nginx::http(&server, port)
}

#[test]
fn a_node_is_asked_over_tls() {
    let (authority, port) = (Authority::new(), Port::free());
    let nginx = told(&port, &authority.sign("node", &["127.0.0.1"]));
    let gateway = Gateway::with(checked(&authority, "http", &port)).start();
    let asked = "TLSv1.3 GET / HTTP/1.1 coregate-health/";
    eventually("nginx was asked", PATIENCE, || nginx.file("told").matches(asked).count() >= 3);
    assert!(!nodes(&gateway).contains("TLS"), "{}", nodes(&gateway));
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_node_that_cannot_be_verified_is_down_whatever_is_checked() {
    let (authority, other) = (Authority::new(), Authority::new());
    let old = || authority.sign_for("old", &["127.0.0.1"], "/CN=old", "-1");
    let cases = [
        ("http", old(), "TLS: its certificate has expired"),
        ("tcp", old(), "TLS: its certificate has expired"),
        ("tcp", authority.sign("wrong", &["other.test"]), "TLS: its certificate is not for 127.0.0.1"),
        ("http", other.sign("node", &["127.0.0.1"]), "not by an authority that is trusted"),
    ];
    for (kind, pair, why) in &cases {
        let port = Port::free();
        let _nginx = told(&port, pair);
        let gateway = Gateway::with(checked(&authority, kind, &port)).start();
        expect_down(&gateway, why);
        eventually("the shards know", PATIENCE, || gateway.get("/").status == 503);
        gateway.get("/").expect_error(503, "no_healthy_node");
    }
}

#[test]
fn a_node_that_gets_a_good_certificate_is_up_again() {
    let (authority, port) = (Authority::new(), Port::free());
    let bad = told(&port, &authority.sign("wrong", &["other.test"]));
    let gateway = Gateway::with(checked(&authority, "tcp", &port)).start();
    expect_down(&gateway, "is not for 127.0.0.1");
    drop(bad);
    let _good = told(&port, &authority.sign("node", &["127.0.0.1"]));
    gateway.expect_output("node up");
    eventually("the shards know", PATIENCE, || gateway.get("/").status == 200);
}

#[test]
fn grpc_is_asked_over_tls() {
    let (authority, port) = (Authority::new(), Port::free());
    let pair = authority.sign("node", &["127.0.0.1"]);
    let mut command = python("grpc_server.py");
    command.arg(port.number().to_string()).arg("a").arg(&pair.chain).arg(&pair.key);
    let mut server = Peer::start(command);
    server.expect_line("ready");
    let site = checked(&authority, "grpc", &port)
        .with("http2 = true")
        .with("health_check.grpc_service = \"test.Echo\"");
    let gateway = Gateway::with(site).start();
    server.tell("NOT_SERVING");
    expect_down(&gateway, "NOT_SERVING");
    server.tell("SERVING");
    gateway.expect_output("node up");
}

#[test]
fn a_server_that_does_not_choose_http2_fails_a_check_by_grpc() {
    let (authority, port, origin) = (Authority::new(), Port::free(), Origin::named("a"));
    let pair = authority.sign("node", &["127.0.0.1"]);
    let _nginx = Nginx::tls_before(&port, &pair, origin.address(), "", "");
    let gateway = Gateway::with(checked(&authority, "grpc", &port).with("http2 = true")).start();
    expect_down(&gateway, "HTTP/2 by ALPN");
}

#[test]
fn checks_of_nodes_that_want_a_proxy_header_send_one() {
    for version in ["v1", "v2"] {
        let port = Port::free();
        let server = format!(
            "log_format told \"$request $http_user_agent\"; \
             server {{ access_log FOLDER/told told; listen {} proxy_protocol; location / {{ return 200; }} }}",
            port.address()
        );
        let nginx = Nginx::http(&server, &port);
        let site = service("bytes").with(&format!("send_proxy_protocol = \"{version}\""));
        let entry = Port::free();
        let listener = tcp_listener(&entry, "service = \"bytes\"");
        let gateway = Gateway::with(check(site, "http", &port)).text(&listener).start();
        let asked = "GET / HTTP/1.1 coregate-health/";
        eventually("nginx was asked", PATIENCE, || nginx.file("told").matches(asked).count() >= 3);
        assert!(!nodes(&gateway).contains("status 4"), "{}", nodes(&gateway));
        Client::connect(entry.address()).get("/").expect(200, "");
    }
}
