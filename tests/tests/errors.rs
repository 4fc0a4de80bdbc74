//! The table of errors: each cause has its status, its code and a JSON body, and leaves the connection in order.

use coregate_tests::{Gateway, Origin, get, post, request, service};

#[test]
fn a_malformed_request_is_400_bad_request_and_closes() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\n\r\n");
    let answer = client.read();
    answer.expect_error(400, "bad_request");
    assert!(answer.fields.lists("connection", "close"), "{:?}", answer.fields);
    client.expect_close();
}

#[test]
fn an_unknown_path_is_404_no_route_and_keeps_the_connection() {
    let origin = Origin::named("a");
    let gateway = Gateway::with(service("api").route("/api").node(&origin)).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        client.get("/nowhere").expect_error(404, "no_route");
        client.get("/api").expect(200, "a");
    }
}

#[test]
fn a_404_to_a_request_with_a_body_keeps_the_connection_in_step_or_closes() {
    let gateway = Gateway::empty().start();
    let mut client = gateway.client();
    let answer = client.ask(&post("/nowhere").body("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"));
    answer.expect_error(404, "no_route");
    if answer.fields.lists("connection", "close") {
        client.expect_close();
    } else {
        client.get("/again").expect_error(404, "no_route");
        client.half_close();
        client.expect_close();
    }
}

#[test]
fn a_method_that_no_proxy_takes_is_405_with_allow() {
    let gateway = Gateway::empty().start();
    let answer = gateway.client().ask(&request("TRACE", "/"));
    answer.expect_error(405, "method_not_allowed");
    assert!(!answer.field("allow").unwrap_or_default().is_empty());
}

#[test]
fn a_body_over_the_limit_is_413_body_too_large() {
    let origin = Origin::digesting();
    let site = service("site").route("/").node(&origin).with("request.max_body_bytes = \"1KiB\"");
    let gateway = Gateway::with(site).start();
    gateway.client().ask(&post("/").body([b'x'; 1025])).expect_error(413, "body_too_large");
    assert_eq!(origin.count(), 0, "a length that is known to be too large is not forwarded");
}

#[test]
fn a_target_over_the_limit_is_414_and_a_head_431() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("max_header_bytes = \"4KiB\"").start();
    gateway.client().ask(&get(&format!("/{}", "x".repeat(5000)))).expect_error(414, "uri_too_long");
    let long = get("/").field("x-long", &"x".repeat(5000));
    gateway.client().ask(&long).expect_error(431, "headers_too_large");
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_transfer_coding_other_than_chunked_is_501() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.send(post("/").field("Transfer-Encoding", "gzip, chunked").bytes());
    let answer = client.read();
    assert_eq!(answer.status, 501);
    assert!(answer.json()["error"]["code"].is_string(), "{}", answer.text());
    client.expect_close();
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_service_without_nodes_is_503_no_healthy_node() {
    let origin = Origin::named("a");
    let site = service("site").route("/").node_with(origin.address(), "enabled = false");
    let gateway = Gateway::with(site).start();
    let mut client = gateway.client();
    client.get("/").expect_error(503, "no_healthy_node");
    client.get("/").expect_error(503, "no_healthy_node");
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_refused_connection_is_an_error_of_the_upstream() {
    let origin = Origin::stopped(|x| x.answer(200, "a"));
    let gateway = Gateway::before(&origin).start();
    let answer = gateway.get("/");
    match answer.status {
        502 => answer.expect_error(502, "upstream_unreachable"),
        _ => answer.expect_error(503, "no_healthy_node"),
    };
}

#[test]
fn a_slow_origin_is_504_upstream_timeout() {
    let origin = Origin::that(|x| {
        x.wait_gone();
    });
    let site = service("site").route("/").node(&origin).with("timeouts.response_header = \"200ms\"");
    let gateway = Gateway::with(site).start();
    let mut client = gateway.client();
    client.get("/").expect_error(504, "upstream_timeout");
    client.get("/").expect_error(504, "upstream_timeout");
}

#[test]
fn the_connection_serves_on_after_an_error_of_the_upstream() {
    let origin = Origin::that(|x| match x.target() {
        "/fault" => {
            x.read_body();
            x.close();
        }
        _ => x.answer(200, "ok"),
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.get("/fault").expect_error(502, "upstream_unreachable");
    client.get("/fault").expect_error(502, "upstream_unreachable");
    client.get("/ok").expect(200, "ok");
}

#[test]
fn error_messages_never_repeat_what_the_client_sent() {
    let gateway = Gateway::empty().start();
    let answer = gateway.client().ask(&get("/<script>").field("Host", "evil\"host"));
    assert!(answer.status >= 400);
    assert!(!answer.text().contains("<script>") && !answer.text().contains("evil"), "{}", answer.text());
    let answer = gateway.get("/%3Cscript%3Ealert");
    answer.expect_error(404, "no_route");
    assert!(!answer.text().contains("<script>"), "{}", answer.text());
}
