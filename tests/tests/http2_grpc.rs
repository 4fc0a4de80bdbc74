//! What the gateway itself says to gRPC clients, and whose deadline counts. How gRPC passes to nodes is in other files.

use std::time::Duration;

use coregate_tests::{Gateway, H2, Origin, PATIENCE, Request, eventually, post, service};

fn call(target: &str) -> Request {
    post(target).field("content-type", "application/grpc").field("te", "trailers").body([0, 0, 0, 0, 0])
}

fn origin() -> Origin {
    Origin::that(|x| match x.target() {
        "/stall" => {
            x.wait_gone();
        }
        "/begun" => {
            x.send("HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n");
            x.wait_gone();
        }
        _ => {
            x.read_body();
            x.send(
                "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n",
            );
        }
    })
}

#[test]
fn errors_are_a_grpc_status_in_a_head_of_status_200() {
    let origin = origin();
    let mut gone = Origin::named("gone");
    gone.stop();
    let gateway = Gateway::with(
        service("tenants").route("/tenants").node(&origin).with("access.require_tenant = true"),
    )
    .and(service("denied").route("/denied").node(&origin).with("access.allow = [\"192.0.2.0/24\"]"))
    .and(
        service("limited")
            .route("/limited")
            .node(&origin)
            .with("limits = { requests_per_second = 0.01, burst = 1 }"),
    )
    .and(service("gone").route("/gone").node(&gone))
    .text("[[tenants]]\napp_id = \"app\"\nsecret = \"a secret\"\n")
    .start();
    let mut client = H2::connect(gateway.address());
    client.ask(&call("/limited"));
    for (target, status, more) in [
        ("/nowhere", "12", None),
        ("/tenants", "16", Some("www-authenticate")),
        ("/denied", "7", None),
        ("/limited", "8", Some("retry-after")),
        ("/gone", "14", None),
    ] {
        let answer = client.ask(&call(target));
        assert_eq!((answer.status, answer.field("grpc-status")), (200, Some(status)), "{target}");
        assert_eq!(answer.field("content-type"), Some("application/grpc"), "{target}");
        assert!(answer.field("grpc-message").is_some_and(|message| !message.is_empty()), "{target}");
        assert_eq!((answer.body.length, answer.trailers.0.len()), (0, 0), "{target}: it is all in the head");
        assert!(more.is_none_or(|name| answer.field(name).is_some()), "{target}: {:?}", answer.fields);
    }
    // Others are told as ever.
    client
        .ask(&post("/nowhere").field("content-type", "application/grpc-web").body("x"))
        .expect_error(404, "no_route");
}

#[test]
fn trailers_and_the_deadline_are_passed_on() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let answer = client.ask(&call("/ok").field("grpc-timeout", "20S"));
    answer.expect(200, "hello");
    assert_eq!(answer.trailers.get("grpc-status"), Some("0"));
    let seen = origin.only();
    assert_eq!((seen.field("grpc-timeout"), seen.field("te")), (Some("20S"), Some("trailers")));
}

#[test]
fn a_deadline_that_passes_ends_the_call() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    let mut client = H2::connect(gateway.address());
    let answer = client.ask(&call("/stall").field("grpc-timeout", "200m"));
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("4")));
    let answer = client.ask(&call("/begun").field("grpc-timeout", "200m"));
    answer.expect(200, "ab");
    assert_eq!(answer.trailers.get("grpc-status"), Some("4"), "once content has come, it is in the trailers");
    eventually("the node's connections are closed", PATIENCE, || origin.open() == 0);
    // Whatever is not gRPC may call its fields as it likes.
    let other = post("/ok").field("grpc-timeout", "0S").body("x");
    client.ask(&other).expect(200, "hello");
}

#[test]
fn the_services_own_timeout_counts_if_it_is_sooner() {
    let origin = origin();
    let site = service("site").route("/").node(&origin).with("timeouts.response_header = \"200ms\"");
    let gateway = Gateway::with(site).start();
    let mut client = H2::connect(gateway.address());
    let began = coregate_tests::wait::now();
    let answer = client.ask(&call("/stall").field("grpc-timeout", "1H"));
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("4")));
    assert!(coregate_tests::wait::now() - began < Duration::from_secs(10));
}
