//! PROXY protocol: who a proxy in front speaks for, and who the gateway speaks for.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use coregate_tests::certs::{Authority, certificates};
use coregate_tests::gateway::Builder;
use coregate_tests::nginx::Nginx;
use coregate_tests::ports::Port;
use coregate_tests::{Client, Gateway, Origin, PATIENCE, eventually, get, service, tcp_listener};

const V1: &str = "PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n";

/// The same in version 2, with a TLV behind it.
fn v2(command: u8) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, 0x11, 0, 16]);
    header.extend([203, 0, 113, 7, 198, 51, 100, 1]);
    header.extend(4711_u16.to_be_bytes());
    header.extend(443_u16.to_be_bytes());
    header.extend([4, 0, 1, 0]);
    header
}

/// A gateway whose listener wants PROXY headers, and believes 127.0.0.1.
fn behind_a_proxy(origin: &Origin) -> Builder {
    let site = service("site").route("/").node(origin).with("access.deny = [\"192.0.2.0/24\"]");
    let gateway = Gateway::with(site).server("trusted_proxies = [\"127.0.0.1\"]");
    gateway.listener("proxy_protocol = true").listener("header_timeout = \"300ms\"")
}

/// Takes one connection, reads so many bytes, and answers `ok`.
fn taking(length: usize) -> (TcpListener, impl FnOnce(TcpListener) -> JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let take = move |listener: TcpListener| {
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).expect("the bytes");
            stream.write_all(b"ok").expect("an answer");
            bytes
        })
    };
    (listener, take)
}

#[test]
fn the_client_in_a_header_is_the_client() {
    let origin = Origin::named("a");
    let gateway = behind_a_proxy(&origin).start();
    for header in [V1.as_bytes().to_vec(), v2(1)] {
        let mut client = gateway.client();
        client.send(header);
        client.ask(&get("/").field("X-Forwarded-For", "1.2.3.4")).expect(200, "a");
        let seen = origin.last();
        assert_eq!(seen.field("x-forwarded-for"), Some("203.0.113.7"), "the client itself is not believed");
        client.get("/").expect(200, "a");
        assert_eq!(origin.last().field("x-forwarded-for"), Some("203.0.113.7"), "for the whole connection");
    }
    let mut denied = gateway.client();
    denied.send("PROXY TCP4 192.0.2.9 198.51.100.1 4711 443\r\n");
    denied.get("/").expect_error(403, "ip_denied");
}

#[test]
fn a_proxy_that_speaks_for_itself_is_the_client() {
    let origin = Origin::named("a");
    let gateway = behind_a_proxy(&origin).start();
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0)] {
        let mut client = gateway.client();
        client.send(header);
        client.get("/").expect(200, "a");
        assert_eq!(origin.last().field("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[test]
fn a_header_may_come_byte_by_byte_and_together_with_the_request() {
    let origin = Origin::named("a");
    let gateway = behind_a_proxy(&origin).start();
    let mut client = gateway.client();
    for byte in v2(1) {
        client.send([byte]);
    }
    client.get("/").expect(200, "a");
    let mut client = gateway.client();
    client.send([V1.as_bytes(), &get("/").bytes()].concat());
    client.read().expect(200, "a");
    assert_eq!(origin.last().field("x-forwarded-for"), Some("203.0.113.7"));
}

#[test]
fn what_is_no_header_or_comes_late_is_refused() {
    let origin = Origin::named("a");
    let gateway = behind_a_proxy(&origin).start();
    let oversized = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..]].concat();
    let beginnings: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4711\r\n",
        &[b'P'; 200],
        b"\x16\x03\x01\x00\x05",
        &oversized,
        // Whatever is missing never comes.
        b"PROXY TCP4 203.0.113.7",
    ];
    for bytes in beginnings {
        let mut client = gateway.client();
        let _ = client.try_send(bytes);
        client.expect_close();
    }
    gateway.client().expect_close();
    assert_eq!(origin.accepted(), 0);
    let refused = || gateway.metric("coregate_shard_proxy_headers_refused_total", &[]);
    eventually("they are counted", PATIENCE, || refused() >= 7.0);
}

#[test]
fn only_trusted_peers_may_connect() {
    let origin = Origin::named("a");
    let gateway = behind_a_proxy(&origin).start();
    let stranger = IpAddr::from(Ipv4Addr::new(127, 0, 0, 9));
    // The reset may be there before connect(2) has returned.
    if let Ok(mut client) = Client::connect_from(stranger, gateway.address()) {
        let _ = client.try_send(V1);
        client.expect_close();
    }
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn without_trusted_peers_such_a_listener_is_an_error() {
    let origin = Origin::named("a");
    let refused = Gateway::before(&origin).listener("proxy_protocol = true").start_and_finish();
    assert_eq!(refused.code, Some(1), "{}", refused.output);
    assert!(refused.output.contains("needs server.trusted_proxies"), "{}", refused.output);
}

#[test]
fn nodes_of_a_tcp_service_are_told_the_client() {
    for version in ["v1", "v2"] {
        let (listener, take) = taking(if version == "v1" { 46 } else { 28 } + 4);
        let node = listener.local_addr().expect("an address");
        let told = take(listener);
        let port = Port::free();
        let db = service("db").node_at(node).with(&format!("send_proxy_protocol = \"{version}\""));
        let keys = "service = \"db\"\nproxy_protocol = true";
        let gateway = Gateway::with(db).server("trusted_proxies = [\"127.0.0.1\"]");
        let _gateway = gateway.text(&tcp_listener(&port, keys)).start();
        let mut client = TcpStream::connect(port.address()).expect("connect");
        client.write_all(&[V1.as_bytes(), b"ping"].concat()).expect("send");
        let mut answer = [0; 2];
        client.read_exact(&mut answer).expect("an answer");
        let told = told.join().expect("the node has what it was told");
        // What the proxy in front has said goes on, without what it has added to it.
        let expected = match version {
            "v1" => V1.as_bytes().to_vec(),
            _ => {
                let mut header = v2(1);
                header.truncate(28);
                header[15] = 12;
                header
            }
        };
        assert_eq!(told, [&expected[..], b"ping"].concat(), "{version}");
    }
}

#[test]
fn without_a_header_of_its_own_the_gateway_tells_both_ends_of_the_connection() {
    let port = Port::free();
    let (listener, take) = taking(1);
    let node = listener.local_addr().expect("an address");
    let db = service("db").node_at(node).with("send_proxy_protocol = \"v1\"");
    let _gateway = Gateway::with(db).text(&tcp_listener(&port, "service = \"db\"")).start();
    let mut client = TcpStream::connect(port.address()).expect("connect");
    let from = client.local_addr().expect("an address");
    drop(take);
    let (mut stream, _) = listener.accept().expect("a connection although the client is silent");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", from.port(), port.number());
    let mut told = vec![0; expected.len()];
    stream.read_exact(&mut told).expect("the header");
    assert_eq!(String::from_utf8_lossy(&told), expected);
    stream.write_all(b"hi").expect("send");
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).expect("the greeting");
}

/// nginx writes version 1 alone.
#[test]
fn nginx_in_front_is_believed() {
    let origin = Origin::named("a");
    let gateway = behind_a_proxy(&origin).start();
    let port = Port::free();
    let stream = format!(
        "stream {{ server {{ listen {}; proxy_pass {}; proxy_protocol on; }} }}",
        port.address(),
        gateway.address()
    );
    let _nginx = Nginx::with(&stream, &port);
    let from = IpAddr::from(Ipv4Addr::new(127, 0, 0, 9));
    let mut client = Client::connect_from(from, port.address()).expect("connect");
    client.get("/").expect(200, "a");
    assert_eq!(origin.last().field("x-forwarded-for"), Some("127.0.0.9"));
}

#[test]
fn nginx_behind_reads_both_versions() {
    for version in ["v1", "v2"] {
        let (port, web) = (Port::free(), Port::free());
        let http = format!(
            "server {{ listen {} proxy_protocol; location / {{ \
             return 200 \"$proxy_protocol_addr $proxy_protocol_server_port\"; }} }}",
            web.address()
        );
        let _nginx = Nginx::http(&http, &web);
        let site =
            service("web").node_at(web.address()).with(&format!("send_proxy_protocol = \"{version}\""));
        let _gateway = Gateway::with(site).text(&tcp_listener(&port, "service = \"web\"")).start();
        let from = IpAddr::from(Ipv4Addr::new(127, 0, 0, 9));
        let mut client = Client::connect_from(from, port.address()).expect("connect");
        client.get("/").expect(200, &format!("127.0.0.9 {}", port.number()));
    }
}

#[test]
fn a_header_may_stand_before_a_tls_handshake() {
    let (authority, origin) = (Authority::new(), Origin::named("a"));
    let (https, front) = (Port::free(), Port::free());
    let listener = format!(
        "[[listeners]]\nname = \"https\"\naddress = \"{}\"\nprotocol = \"https\"\nproxy_protocol = true\n{}",
        https.address(),
        certificates(&[&authority.sign("one", &["one.test"])])
    );
    let site = service("site").route("/").node(&origin);
    let gateway = Gateway::with(site).server("trusted_proxies = [\"127.0.0.1\"]").text(&listener);
    let _gateway = gateway.start();
    let stream = format!(
        "stream {{ server {{ listen {}; proxy_pass {}; proxy_protocol on; }} }}",
        front.address(),
        https.address()
    );
    let _nginx = Nginx::with(&stream, &front);
    let from = ["--interface", "127.0.0.9"];
    authority.curl("one.test", front.address(), "/", &from).expect(200, "a");
    assert_eq!(origin.last().field("x-forwarded-for"), Some("127.0.0.9"));
    assert_eq!(origin.last().field("x-forwarded-proto"), Some("https"));
    // Without the header there is no handshake.
    assert_ne!(authority.curl("one.test", https.address(), "/", &[]).code, Some(0));
}
