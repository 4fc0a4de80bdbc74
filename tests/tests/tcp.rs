//! TCP services: bytes between a listener and the nodes of a service.

use std::net::{IpAddr, Ipv4Addr};

use coregate_tests::certs::{Authority, certificates, s_client};
use coregate_tests::gateway::Builder;
use coregate_tests::ports::Port;
use coregate_tests::{Client, Gateway, Origin, PATIENCE, eventually, service, tcp_listener};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A gateway with a TCP listener before that service.
fn before(port: &Port, keys: &[&str], origin: &Origin) -> Builder {
    let cache = keys.iter().fold(service("cache").node(origin), |cache, line| cache.with(line));
    let listener = tcp_listener(port, "service = \"cache\"");
    Gateway::with(cache).text(&listener)
}

#[test]
fn bytes_go_both_ways_and_are_counted() {
    let (port, origin) = (Port::free(), Origin::named("a"));
    let gateway = before(&port, &[], &origin).start();
    let mut client = Client::connect(port.address());
    client.get("/").expect(200, "a");
    client.get("/").expect(200, "a");
    assert_eq!(origin.accepted(), 1, "one connection carries it all");
    drop(client);
    let sent = || gateway.metric("coregate_service_sent_bytes_total", &["service=\"cache\""]);
    eventually("the connection is counted", PATIENCE, || sent() > 10.0);
}

#[test]
fn a_client_that_ends_its_side_still_gets_the_rest() {
    let (port, origin) = (
        Port::free(),
        Origin::that(|x| {
            x.stall();
            x.answer(200, "late");
        }),
    );
    let _gateway = before(&port, &[], &origin).start();
    let mut client = Client::connect(port.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    origin.expect_count(1);
    client.half_close();
    origin.release();
    client.read().expect(200, "late");
}

#[test]
fn a_denied_client_is_turned_away() {
    let (port, origin) = (Port::free(), Origin::named("a"));
    let gateway = before(&port, &["access.deny = [\"127.0.0.0/8\"]"], &origin).start();
    assert!(Client::answered_from(LOCALHOST, port.address()).is_none());
    let refused =
        || gateway.metric("coregate_service_endings_total", &["service=\"cache\"", "cause=\"refused\""]);
    eventually("the refusal is counted", PATIENCE, || refused() > 0.5);
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn a_service_has_its_most_connections_at_once() {
    let (port, origin) = (Port::free(), Origin::named("a"));
    let gateway = before(&port, &["limits.max_connections = 2"], &origin).start();
    let open = || {
        let mut client = Client::connect(port.address());
        client.get("/").expect(200, "a");
        client
    };
    let (first, _second) = (open(), open());
    assert!(Client::answered_from(LOCALHOST, port.address()).is_none(), "three are too many");
    let count = || gateway.metric("coregate_service_connections", &["service=\"cache\""]);
    assert!((count() - 2.0).abs() < 0.1, "{}", count());
    drop(first);
    eventually("a place is free again", PATIENCE, || count() < 1.5);
    open();
    let refused = || gateway.metric("coregate_limited_requests_total", &["service_connections"]);
    eventually("what was refused is counted", PATIENCE, || refused() > 0.5);
}

#[test]
fn a_client_address_has_its_most_connections_at_once() {
    let (port, origin) = (Port::free(), Origin::named("a"));
    let gateway = before(&port, &["limits.max_connections_per_client_ip = 2"], &origin).start();
    let open = |last: u8| Client::answered_from(IpAddr::from([127, 0, 0, last]), port.address());
    let (first, _second) = (open(1).expect("one"), open(1).expect("two"));
    assert!(open(1).is_none(), "three are too many");
    let _other = open(2).expect("another address");
    gateway.reload(&before(
        &port,
        &["limits.max_connections_per_client_ip = 2", "description = \"new\""],
        &origin,
    ));
    let revision = || gateway.metric("coregate_config_revision", &[]);
    eventually("the new configuration", PATIENCE, || revision() > 1.5);
    assert!(open(1).is_none(), "what is open counts on");
    drop(first);
    eventually("a place is free again", PATIENCE, || open(1).is_some());
}

#[test]
fn a_silent_connection_is_closed() {
    let (port, origin) = (Port::free(), Origin::named("a"));
    let _gateway = before(&port, &["timeouts.tunnel = \"300ms\""], &origin).start();
    let mut client = Client::connect(port.address());
    client.get("/").expect(200, "a");
    client.expect_close();
}

#[test]
fn tls_may_end_at_a_tcp_listener_with_a_certificate_for_each_name() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let pairs = [authority.sign("one", &["one.test"]), authority.sign("two", &["two.test"])];
    let listener =
        tcp_listener(&port, &format!("service = \"cache\"\n{}", certificates(&[&pairs[0], &pairs[1]])));
    let gateway = Gateway::with(service("cache").node(&origin)).text(&listener).start();
    for name in ["one.test", "two.test"] {
        authority.curl(name, port.address(), "/", &["--http1.1"]).expect(200, "a");
        assert_eq!(
            origin.last().field("host"),
            Some(&*format!("{name}:{}", port.number())),
            "nothing is added"
        );
        let shown = s_client(port.address(), &["-servername", name], b"");
        assert!(shown.contains(&format!("CN = {}", &name[..3])), "{shown}");
    }
    let mut clear = Client::connect(port.address());
    let _ = clear.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(clear.try_read().is_err(), "bytes in clear are not passed on");
    drop(gateway);
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_listener_comes_and_goes_with_its_service_and_open_connections_stay() {
    let (port, origin) = (Port::free(), Origin::named("a"));
    let without = || Gateway::with(service("site").route("/").node(&origin));
    let listener = tcp_listener(&port, "service = \"cache\"");
    let gateway = without().start();
    gateway.reload(&without().and(service("cache").node(&origin)).text(&listener));
    let mut open = None;
    eventually("the listener takes connections", PATIENCE, || {
        open = Client::answered_from(LOCALHOST, port.address());
        open.is_some()
    });
    gateway.reload(&without());
    eventually("it is closed again", PATIENCE, || Client::try_connect(port.address()).is_err());
    open.expect("a connection").get("/").expect(200, "a");
    gateway.get("/").expect(200, "a");
}
