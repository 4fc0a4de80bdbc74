//! Access lists: who may call a service, by the real client's address.

use std::net::{IpAddr, Ipv4Addr};

use coregate_tests::{Client, Gateway, Origin, get, service};

fn from(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

#[test]
fn a_denied_client_gets_403_and_nothing_of_it_goes_on() {
    let origin = Origin::named("a");
    let site = service("site").route("/").node(&origin).with("access.deny = [\"127.0.0.9/32\"]");
    let gateway = Gateway::with(site).start();
    let mut denied = Client::connect_from(from(9), gateway.address()).expect("connect");
    denied.get("/").expect_error(403, "ip_denied");
    denied.get("/").expect_error(403, "ip_denied");
    assert_eq!(origin.count(), 0);
    gateway.get("/").expect(200, "a");
}

#[test]
fn with_a_list_of_who_may_call_all_others_may_not() {
    let origin = Origin::named("a");
    let lists = "access = { allow = [\"127.0.0.0/30\"], deny = [\"127.0.0.2\"] }";
    let gateway = Gateway::with(service("site").route("/").node(&origin).with(lists)).start();
    let ask = |last| Client::connect_from(from(last), gateway.address()).expect("connect").get("/");
    ask(1).expect(200, "a");
    ask(2).expect_error(403, "ip_denied");
    ask(4).expect_error(403, "ip_denied");
}

#[test]
fn behind_a_trusted_proxy_the_real_client_counts() {
    let origin = Origin::named("a");
    let site = service("site").route("/").node(&origin).with("access.deny = [\"203.0.113.0/24\"]");
    let gateway = Gateway::with(site).server("trusted_proxies = [\"127.0.0.1\"]").start();
    let asked = get("/").field("X-Forwarded-For", "203.0.113.7");
    gateway.client().ask(&asked).expect_error(403, "ip_denied");
    let mut stranger = Client::connect_from(from(9), gateway.address()).expect("connect");
    stranger.ask(&asked).expect(200, "a");
}
