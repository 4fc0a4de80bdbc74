//! Rate limits: a service and each of its clients get their rate, no more and no less, wherever the traffic lands.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use coregate_tests::ports::Port;
use coregate_tests::wait::now;
use coregate_tests::{Client, Gateway, Origin, PATIENCE, eventually, service, tcp_listener};

fn from(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

#[test]
fn over_its_rate_a_service_answers_429_and_says_when_to_come_again() {
    let origin = Origin::named("a");
    let limits = "limits = { requests_per_second = 0.01, burst = 3 }";
    let gateway = Gateway::with(service("site").route("/").node(&origin).with(limits)).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        client.get("/").expect(200, "a");
    }
    let refused = client.get("/");
    refused.expect_error(429, "rate_limited");
    let wait: u64 = refused.field("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..=100).contains(&wait), "{wait}");
    assert_eq!(refused.field("ratelimit-policy"), Some("\"service\";q=3;w=300"));
    assert_eq!(refused.field("ratelimit"), Some(format!("\"service\";r=0;t={wait}").as_str()));
    client.get("/").expect_error(429, "rate_limited");
    assert_eq!(origin.count(), 3, "nothing of what was refused went on");
}

#[test]
fn each_client_has_a_rate_of_its_own_on_whatever_connection() {
    let origin = Origin::named("a");
    let limits = "limits.per_client_ip = { requests_per_second = 0.01, burst = 2 }";
    let gateway = Gateway::with(service("site").route("/").node(&origin).with(limits)).start();
    let ask = |last| Client::connect_from(from(last), gateway.address()).expect("connect").get("/");
    for last in [3, 4, 5] {
        ask(last).expect(200, "a");
        ask(last).expect(200, "a");
        let refused = ask(last);
        refused.expect_error(429, "rate_limited");
        assert_eq!(refused.field("ratelimit-policy"), Some("\"client\";q=2;w=200"));
    }
}

#[test]
fn who_is_refused_for_itself_takes_nothing_from_the_others() {
    let origin = Origin::named("a");
    let site = service("site")
        .route("/")
        .node(&origin)
        .with("limits = { requests_per_second = 0.01, burst = 5, per_client_ip = { requests_per_second = 0.01, burst = 1 } }")
        .with("access.deny = [\"127.0.0.9\"]");
    let gateway = Gateway::with(site).start();
    let ask = |last| Client::connect_from(from(last), gateway.address()).expect("connect").get("/");
    for _ in 0..10 {
        ask(9).expect_error(403, "ip_denied");
    }
    ask(2).expect(200, "a");
    for _ in 0..10 {
        ask(2).expect_error(429, "rate_limited");
    }
    for last in 3..7 {
        ask(last).expect(200, "a");
    }
    let refused = ask(7);
    refused.expect_error(429, "rate_limited");
    assert!(refused.field("ratelimit").is_some_and(|it| it.starts_with("\"service\"")), "five are gone");
}

#[test]
fn a_limit_that_observes_refuses_nothing_and_counts_what_it_would_have() {
    let origin = Origin::named("a");
    let limits = "limits = { requests_per_second = 0.01, burst = 2, mode = \"observe\", \
                  per_client_ip = { requests_per_second = 0.01, burst = 3, mode = \"observe\" } }";
    let gateway = Gateway::with(service("site").route("/").node(&origin).with(limits)).start();
    let mut client = gateway.client();
    for _ in 0..5 {
        client.get("/").expect(200, "a");
    }
    eventually("it is counted", PATIENCE, || {
        let observed = |limit| {
            gateway.metric("coregate_service_limit_observed_requests_total", &["service=\"site\"", limit])
        };
        observed("limit=\"service\"") == 3.0 && observed("limit=\"client\"") == 2.0
    });
    assert_eq!(
        gateway.metric("coregate_service_limited_requests_total", &["service=\"site\"", "limit=\"service\""]),
        0.0
    );
}

#[test]
fn a_reload_gives_no_tokens_away() {
    let origin = Origin::named("a");
    let limited = |burst| {
        let limits = format!("limits = {{ requests_per_second = 0.01, burst = {burst} }}");
        Gateway::with(service("site").route("/").node(&origin).with(&limits))
    };
    let gateway = limited(4).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        client.get("/").expect(200, "a");
    }
    gateway.reload(&limited(4).and(service("other").route("/other").node(&origin)));
    gateway.expect_output("applied revision=2");
    client.get("/").expect(200, "a");
    client.get("/").expect_error(429, "rate_limited");
    gateway.reload(&limited(8));
    gateway.expect_output("applied revision=3");
    client.get("/").expect_error(429, "rate_limited");
    gateway.reload(&Gateway::before(&origin));
    gateway.expect_output("applied revision=4");
    client.get("/").expect(200, "a");
}

#[test]
fn a_tcp_service_takes_as_many_connections_as_its_rate_allows() {
    let origin = Origin::named("a");
    let port = Port::free();
    let cache = service("cache").node(&origin).with("limits = { requests_per_second = 0.01, burst = 2 }");
    let listener = tcp_listener(&port, "service = \"cache\"");
    let gateway = Gateway::with(cache).text(&listener).start();
    let address = port.address();
    for _ in 0..2 {
        Client::connect(address).get("/").expect(200, "a");
    }
    assert!(Client::answered_from(from(1), address).is_none(), "the connection is reset");
    drop(gateway);
}

/// Where the requests of a test go.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Traffic {
    OneShard,
    Alternating,
    Spread,
}

#[test]
fn whichever_shards_the_traffic_lands_on_the_rate_is_given_and_not_exceeded() {
    const RATE: f64 = 300.0;
    const BURST: f64 = 300.0;
    let time = Duration::from_secs(2);
    for traffic in [Traffic::OneShard, Traffic::Alternating, Traffic::Spread] {
        let origin = Origin::named("a");
        let limits = format!("limits = {{ requests_per_second = {RATE}, burst = {BURST} }}");
        let gateway = Gateway::with(service("site").route("/").node(&origin).with(&limits))
            .text("[stats]\ninterval = \"20ms\"")
            .start();
        let mut clients = gateway.client_on_each_shard();
        let (mut admitted, mut refused, mut asked) = (0.0, 0, 0_usize);
        let began = now();
        while began.elapsed() < time {
            let shard = match traffic {
                Traffic::OneShard => 0,
                Traffic::Alternating => began.elapsed().as_millis() as usize / 30 % 2,
                Traffic::Spread => asked % 2,
            };
            asked += 1;
            match clients[shard].get("/").status {
                200 => admitted += 1.0,
                429 => refused += 1,
                other => panic!("{other}"),
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        assert!(refused > 0, "{traffic:?}: there must be more demand than the rate ({admitted} admitted)");
        // The error that limit.rs states: 1% of the rate, or a token for each shard.
        let error = (RATE / 100.0).max(2.0);
        let most = BURST + RATE * seconds + error;
        let least = BURST + 0.99 * RATE * seconds - error - 1.0;
        assert!(
            (least..=most).contains(&admitted),
            "{traffic:?}: {admitted} admitted in {seconds} s, expected {least} to {most}"
        );
    }
}
