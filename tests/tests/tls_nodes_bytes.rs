//! TLS to nodes for whatever is not a plain request: WebSockets, TCP services, PROXY headers, large bodies both ways.

use std::net::SocketAddr;

use coregate_tests::body::{self, pattern_name};
use coregate_tests::certs::Authority;
use coregate_tests::nginx::Nginx;
use coregate_tests::peers::Running;
use coregate_tests::ports::Port;
use coregate_tests::{
    Client, Gateway, MIB, Origin, PATIENCE, Service, eventually, get, service, tcp_listener,
};

fn trusting(authority: &Authority, node: SocketAddr) -> Service {
    let ca = format!("upstream_tls.ca = {:?}", authority.certificate());
    service("site").node_at(node).with("tls = true").with(&ca)
}

/// A gateway with a TCP listener before that service.
fn tcp(site: Service, port: &Port) -> Gateway {
    let listener = tcp_listener(port, "service = \"site\"");
    Gateway::with(site).text(&listener).start()
}

#[test]
fn a_websocket_passes_and_offers_http_1_1_alone() {
    let (authority, port) = (Authority::new(), Port::free());
    let origin = Origin::that(|x| x.upgrade_and_echo());
    let pair = authority.sign("node", &["127.0.0.1"]);
    // It refuses who offers anything else.
    let only = "ssl_alpn http/1.1;";
    let _nginx = Nginx::tls_before(&port, &pair, origin.address(), "", only);
    for http2 in ["http2 = false", "http2 = true"] {
        let site = trusting(&authority, port.address()).route("/").with(http2);
        let gateway = Gateway::with(site).start();
        let mut client = gateway.client();
        let upgrade = get("/ws").field("Connection", "Upgrade").field("Upgrade", "websocket");
        client.send(
            upgrade
                .field("Sec-WebSocket-Version", "13")
                .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
                .bytes(),
        );
        assert_eq!(client.read_head().0, 101);
        for piece in vec![7_u8; 300_000].chunks(30_000) {
            client.send(piece);
            assert_eq!(client.read_exact(piece.len()), piece);
        }
    }
}

#[test]
fn bodies_of_any_size_go_both_ways() {
    let (authority, port) = (Authority::new(), Port::free());
    let origin = Origin::that(|x| match x.target().trim_start_matches('/').parse() {
        Ok(length) => x.answer_pattern(length),
        Err(_) => {
            let name = x.read_body().name();
            x.answer(200, &name);
        }
    });
    let pair = authority.sign("node", &["127.0.0.1"]);
    let _nginx = Nginx::tls_before(&port, &pair, origin.address(), "", "");
    let gateway = Gateway::with(trusting(&authority, port.address()).route("/")).server("shards = 1").start();
    let mut client = gateway.client();
    for length in [1, 16_383, 16_384, 16_385, 100_000, 5 * MIB] {
        client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        body::pattern(length, |piece| client.try_send(piece)).expect("the gateway takes the body");
        client.read().expect(200, &pattern_name(length));
        let answer = client.get(&format!("/{length}"));
        assert_eq!(answer.body.name(), pattern_name(length));
    }
    assert_eq!(origin.accepted(), 1, "one connection carries them all");
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole_only_with_a_close_notify() {
    let (authority, port) = (Authority::new(), Port::free());
    let pair = authority.sign("node", &["127.0.0.1"]);
    let origin = Origin::that(|x| {
        x.send("HTTP/1.1 200 OK\r\n\r\nall of it");
        x.close();
    });
    let _nginx = Nginx::tls_before(&port, &pair, origin.address(), "", "");
    let gateway = Gateway::with(trusting(&authority, port.address()).route("/")).start();
    gateway.get("/").expect(200, "all of it");
}

#[test]
fn a_tcp_service_speaks_tls_to_its_nodes_and_offers_nothing_by_alpn() {
    let (authority, port, web) = (Authority::new(), Port::free(), Port::free());
    let pair = authority.sign("node", &["127.0.0.1"]);
    let _nginx = Nginx::tls_origin(&web, &pair, "", "");
    let gateway = tcp(trusting(&authority, web.address()), &port);
    let mut client = Client::connect(port.address());
    let text = client.get("/").text();
    assert!(text.contains("alpn= ") && text.contains("version=TLSv1.3"), "{text}");
    assert_eq!(client.get("/").text(), text, "one connection");
    client.half_close();
    client.expect_close();
    drop(client);
    let done = || gateway.metric("coregate_service_endings_total", &["service=\"site\"", "cause=\"done\""]);
    eventually("the connection is counted", PATIENCE, || done() > 0.5);
}

#[test]
fn a_tcp_client_of_a_node_that_cannot_be_verified_is_reset() {
    let (authority, other, port, web) = (Authority::new(), Authority::new(), Port::free(), Port::free());
    let _nginx = Nginx::tls_origin(&web, &other.sign("node", &["127.0.0.1"]), "", "");
    let gateway = tcp(trusting(&authority, web.address()), &port);
    let mut client = Client::connect(port.address());
    // It may be reset already.
    let _ = client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_read().is_err());
    let counted =
        || gateway.metric("coregate_service_endings_total", &["service=\"site\"", "cause=\"upstream_tls\""]);
    eventually("the ending is counted", PATIENCE, || counted() > 0.5);
}

#[test]
fn a_tcp_service_that_is_refused_after_the_handshake_says_why() {
    let (authority, clients, port, web) = (Authority::new(), Authority::new(), Port::free(), Port::free());
    let node = authority.sign("node", &["127.0.0.1"]);
    let mut server = std::process::Command::new("openssl");
    server.args(["s_server", "-accept", &web.address().to_string(), "-quiet"]);
    server.args(["-Verify", "1", "-verify_return_error"]).arg("-CAfile").arg(clients.certificate());
    let _server = Running::start(server.arg("-cert").arg(&node.chain).arg("-key").arg(&node.key), &web);
    let gateway = tcp(trusting(&authority, web.address()), &port);
    let mut client = Client::connect(port.address());
    let _ = client.try_send("hello");
    assert!(client.try_read().is_err());
    gateway.expect_output("no TLS with the node: received fatal alert: CertificateRequired");
    let counted =
        || gateway.metric("coregate_service_endings_total", &["service=\"site\"", "cause=\"upstream_tls\""]);
    eventually("the ending is counted", PATIENCE, || counted() > 0.5);
    let up = || gateway.metric("coregate_node_up", &["service=\"site\""]);
    eventually("the node is left alone", PATIENCE, || up() < 0.5);
}

#[test]
fn a_proxy_header_stands_before_the_handshake() {
    let (authority, pair_of) =
        (Authority::new(), |authority: &Authority| authority.sign("node", &["127.0.0.1"]));
    let pair = pair_of(&authority);
    for version in ["v1", "v2"] {
        let (port, web) = (Port::free(), Port::free());
        let location = "location /who { return 200 \"$proxy_protocol_addr $proxy_protocol_server_port\"; }";
        let _nginx = Nginx::tls_origin(&web, &pair, "proxy_protocol", location);
        let site = trusting(&authority, web.address()).with(&format!("send_proxy_protocol = \"{version}\""));
        let _gateway = tcp(site, &port);
        let mut client = Client::connect(port.address());
        client.get("/who").expect(200, &format!("127.0.0.1 {}", port.number()));
    }
}
