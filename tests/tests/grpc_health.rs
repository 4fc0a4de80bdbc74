//! `health_check.kind = "grpc"`, with grpcio's own health service on the other side.

use std::net::SocketAddr;

use coregate_tests::config::Service;
use coregate_tests::peers::{Peer, python};
use coregate_tests::ports::Port;
use coregate_tests::{Gateway, H2, Origin, PATIENCE, eventually, post, service};

/// A gRPC server; with a name, by which it answers, it has a health service.
fn server(name: &str) -> (Peer, SocketAddr) {
    let address = Port::free().address();
    let mut command = python("grpc_server.py");
    command.arg(address.port().to_string()).arg(name);
    let peer = Peer::start(command);
    peer.expect_line("ready");
    (peer, address)
}

fn site(nodes: &[SocketAddr], asked_about: &str) -> Service {
    let site = service("echo").route("/test.Echo").policy("round_robin").with("http2 = true");
    nodes
        .iter()
        .fold(site, |site, node| site.node_at(*node))
        .with("health_check.kind = \"grpc\"")
        .with("health_check.interval = \"300ms\"")
        .with("health_check.timeout = \"300ms\"")
        .with(&format!("health_check.grpc_service = {asked_about:?}"))
}

/// The names of the servers that answer calls now.
fn answering(gateway: &Gateway) -> Vec<&'static str> {
    let call = post("/test.Echo/Name").field("content-type", "application/grpc").field("te", "trailers");
    let call = call.body([0, 0, 0, 0, 0]);
    let mut client = H2::connect(gateway.address());
    let answers: Vec<String> = (0..20).map(|_| client.ask(&call).text()).collect();
    let named = |name: &&str| answers.iter().any(|answer| answer.ends_with(*name));
    ["a", "b"].into_iter().filter(named).collect()
}

#[track_caller]
fn expect_down(gateway: &Gateway, why: &str) {
    eventually(&format!("a node down by {why:?}"), PATIENCE, || {
        gateway.ops("/api/v1/nodes").text().contains(why) && answering(gateway).is_empty()
    });
}

#[test]
fn a_server_that_says_not_serving_is_taken_out_and_put_back_without_a_failed_call() {
    let ((_a, a), (mut b, b_address)) = (server("a"), server("b"));
    let gateway = Gateway::with(site(&[a, b_address], "test.Echo")).start();
    let mut calls = python("grpc_client.py");
    calls.arg(gateway.address().port().to_string()).arg("steady");
    let calls = Peer::start(calls);
    calls.expect_line("under way");
    eventually("answers of both", PATIENCE, || answering(&gateway) == ["a", "b"]);
    b.tell("NOT_SERVING");
    eventually("answers of a alone", PATIENCE, || answering(&gateway) == ["a"]);
    let nodes = gateway.ops("/api/v1/nodes").text();
    assert!(nodes.contains("NOT_SERVING"), "{nodes}");
    b.tell("SERVING");
    eventually("answers of both again", PATIENCE, || answering(&gateway) == ["a", "b"]);
    calls.finish();
}

#[test]
fn the_whole_server_is_asked_about_where_no_service_is_named() {
    let (mut a, address) = server("a");
    let gateway = Gateway::with(site(&[address], "")).start();
    a.tell("NOT_SERVING");
    // The status of one service is another's: a check of that one would take the node out.
    let checked = gateway_of_the_service(address);
    expect_down(&checked, "NOT_SERVING");
    assert_eq!(answering(&gateway), ["a"]);
}

fn gateway_of_the_service(address: SocketAddr) -> Gateway {
    Gateway::with(site(&[address], "test.Echo")).start()
}

#[test]
fn a_service_that_the_server_does_not_know_has_failed() {
    let (_a, address) = server("a");
    let gateway = Gateway::with(site(&[address], "test.Other")).start();
    expect_down(&gateway, "grpc-status 5 (NOT_FOUND); the node does not know the service");
}

#[test]
fn a_server_without_a_health_service_has_failed() {
    let (_a, address) = server("");
    let gateway = Gateway::with(site(&[address], "test.Echo")).start();
    expect_down(&gateway, "grpc-status 12 (UNIMPLEMENTED); the node does not offer grpc.health.v1.Health");
}

#[test]
fn a_node_that_speaks_http_1_alone_has_failed() {
    let origin = Origin::named("a");
    let gateway = Gateway::with(site(&[origin.address()], "test.Echo")).start();
    expect_down(&gateway, "HTTP/2: ");
}
