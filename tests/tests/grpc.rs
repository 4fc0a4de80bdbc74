//! gRPC end to end, with grpcio on both sides: HTTP/2 from the client and to the node.

use coregate_tests::peers::{Peer, python, succeeded};
use coregate_tests::ports::Port;
use coregate_tests::{Gateway, service};

struct Calls {
    server: Option<Peer>,
    gateway: Gateway,
}

impl Calls {
    fn new() -> Calls {
        let port = Port::free();
        let mut command = python("grpc_server.py");
        command.arg(port.address().port().to_string());
        let server = Peer::start(command);
        server.expect_line("ready");
        let site = service("echo").route("/test.Echo").node_at(port.address()).with("http2 = true");
        Calls { server: Some(server), gateway: Gateway::with(site).start() }
    }

    #[track_caller]
    fn make(&self, calls: &str) {
        let mut command = python("grpc_client.py");
        command.arg(self.gateway.address().port().to_string()).arg(calls);
        succeeded(command);
    }
}

#[test]
fn all_four_kinds_of_calls_with_their_metadata() {
    Calls::new().make("kinds");
}

#[test]
fn large_messages() {
    Calls::new().make("large");
}

#[test]
fn errors_of_the_server() {
    Calls::new().make("errors");
}

#[test]
fn a_deadline_reaches_the_server_and_ends_the_call() {
    let calls = Calls::new();
    calls.make("deadlines");
    calls.server.as_ref().unwrap().expect_line("cancelled");
}

#[test]
fn a_call_that_is_cancelled_is_cancelled_at_the_server() {
    let calls = Calls::new();
    calls.make("cancel");
    calls.server.as_ref().unwrap().expect_line("cancelled");
}

#[test]
fn many_calls_at_once() {
    Calls::new().make("many");
}

#[test]
fn a_server_that_is_gone_is_unavailable() {
    let mut calls = Calls::new();
    calls.server = None;
    calls.make("unavailable");
}
