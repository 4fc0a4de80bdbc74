//! Which service and node a request goes to, and with what path.

use coregate_tests::{Gateway, Origin, get, post, request, route, service};

#[test]
fn the_longest_prefix_wins_whatever_the_order() {
    let (root, api, deep) = (Origin::named("root"), Origin::named("api"), Origin::named("deep"));
    let gateway = Gateway::with(service("root").route("/").node(&root))
        .and(service("deep").route("/api/v1/deep").node(&deep))
        .and(service("api").route("/api").node(&api))
        .start();
    let mut client = gateway.client();
    client.get("/").expect(200, "root");
    client.get("/other/api").expect(200, "root");
    client.get("/api").expect(200, "api");
    client.get("/api/v1").expect(200, "api");
    client.get("/api/v1/deep").expect(200, "deep");
    client.get("/api/v1/deep/x?y=/api").expect(200, "deep");
}

#[test]
fn prefixes_match_whole_segments() {
    let (one, root) = (Origin::named("one"), Origin::named("root"));
    let gateway = Gateway::with(service("one").route("/test_http_1").node(&one))
        .and(service("root").route("/").node(&root))
        .start();
    let mut client = gateway.client();
    client.get("/test_http_1").expect(200, "one");
    client.get("/test_http_1/").expect(200, "one");
    client.get("/test_http_1?x").expect(200, "one");
    client.get("/test_http_10").expect(200, "root");
    client.get("/test_http_1x/a").expect(200, "root");
}

#[test]
fn an_exact_host_goes_before_a_wildcard_before_any() {
    let (exact, long, wild, any) =
        (Origin::named("exact"), Origin::named("long"), Origin::named("wild"), Origin::named("any"));
    let gateway = Gateway::with(service("any").route("/").node(&any))
        .and(service("any-deep").route("/deep/path").node(&any))
        .and(service("wild").route(route("/").host("*.example.com")).node(&wild))
        .and(service("long").route(route("/").host("*.a.example.com")).node(&long))
        .and(service("exact").route(route("/only").host("www.example.com")).node(&exact))
        .start();
    let mut client = gateway.client();
    let mut to = |host: &str, path: &str| client.ask(&get(path).field("Host", host)).text();
    assert_eq!(to("www.example.com", "/only/x"), "exact");
    assert_eq!(to("WWW.Example.COM:8080", "/only"), "exact");
    assert_eq!(to("www.example.com", "/else"), "wild", "no route of the exact host takes it");
    assert_eq!(to("b.example.com", "/deep/path"), "wild", "a host counts more than a longer path");
    assert_eq!(to("x.a.example.com", "/"), "long");
    assert_eq!(to("x.y.a.example.com", "/"), "long");
    assert_eq!(to("example.com", "/"), "any", "a wildcard does not match the name itself");
    assert_eq!(to("elsewhere.org", "/deep/path"), "any");
}

#[test]
fn a_stripped_prefix_leaves_a_path() {
    let origin = Origin::named("a");
    let gateway = Gateway::with(service("api").route(route("/api").strip()).node(&origin)).start();
    let mut client = gateway.client();
    for (asked, forwarded) in [
        ("/api", "/"),
        ("/api/", "/"),
        ("/api?x=1", "/?x=1"),
        ("/api/a/b?c=/api&d=%2F#", "/a/b?c=/api&d=%2F"),
        ("/api/%7Euser/%e4", "/%7Euser/%e4"),
        ("/api/api/x", "/api/x"),
    ] {
        client.ask(&get(asked.trim_end_matches('#'))).expect(200, "a");
        assert_eq!(origin.last().line(), format!("GET {forwarded}"), "for {asked}");
    }
}

#[test]
fn a_path_that_is_not_stripped_goes_on_as_it_was_spelled() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for target in ["/a%7Eb/c", "/x?q=a%20b&&c", "/x?", "/;p=1/,/@:!$&'()*+="] {
        client.get(target).expect(200, "a");
        assert_eq!(origin.last().line(), format!("GET {target}"));
    }
}

#[test]
fn escapes_and_dot_segments_do_not_lead_past_a_route() {
    let (open, shut) = (Origin::named("open"), Origin::named("shut"));
    let gateway = Gateway::with(service("open").route("/open").node(&open))
        .and(service("shut").route("/shut").node(&shut))
        .start();
    let mut client = gateway.client();
    for target in ["/open/../shut/x", "/open/%2e%2E/shut/x", "/%73hut/x", "/open/./../shut/x"] {
        assert_eq!(client.get(target).text(), "shut", "{target}");
    }
    client.get("/open/a/../b").expect(200, "open");
    client.get("/open/..").expect_error(404, "no_route");
    client.get("/open/../..").expect_error(400, "bad_request");
}

#[test]
fn an_ambiguous_path_is_refused() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    for target in ["/a%2Fb", "/a%2fb", "/a%00b", "/a\\b", "/a%5Cb", "/a%zz", "/a%2"] {
        gateway.get(target).expect_error(400, "bad_request");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn rewrites_apply_in_order_after_stripping() {
    let origin = Origin::named("a");
    let rewrites = [("^/old/(.*)$", "/new/$1"), ("^/new/(\\d+)$", "/number/${1}")];
    let gateway =
        Gateway::with(service("api").route(route("/api").strip().rewrites(&rewrites)).node(&origin)).start();
    let mut client = gateway.client();
    for (asked, forwarded) in [
        ("/api/old/page?x=1", "/new/page?x=1"),
        ("/api/old/17", "/number/17"),
        ("/api/older/17", "/older/17"),
        ("/api/new/5", "/number/5"),
    ] {
        client.get(asked).expect(200, "a");
        assert_eq!(origin.last().line(), format!("GET {forwarded}"), "for {asked}");
    }
}

#[test]
fn a_route_for_other_methods_refuses_and_says_which_it_takes() {
    let origin = Origin::named("a");
    let api = service("api").route(route("/api").methods(&["GET", "PUT"])).node(&origin);
    let gateway = Gateway::with(api).start();
    let mut client = gateway.client();
    client.get("/api").expect(200, "a");
    client.ask(&request("PUT", "/api").body("x")).expect(200, "a");
    let refused = client.ask(&post("/api").body("x"));
    refused.expect_error(405, "method_not_allowed");
    assert!(refused.fields.lists("allow", "GET") && refused.fields.lists("allow", "PUT"), "{refused:?}");
    assert_eq!(origin.count(), 2);
}

#[test]
fn methods_share_a_prefix_between_services() {
    let (reads, writes) = (Origin::named("reads"), Origin::named("writes"));
    let gateway = Gateway::with(service("reads").route(route("/x").methods(&["GET"])).node(&reads))
        .and(service("writes").route(route("/x").methods(&["POST"])).node(&writes))
        .start();
    gateway.get("/x").expect(200, "reads");
    gateway.client().ask(&post("/x").body("1")).expect(200, "writes");
}

#[test]
fn a_service_that_is_off_has_no_routes() {
    let (on, off) = (Origin::named("on"), Origin::named("off"));
    let gateway = Gateway::with(service("on").route("/").node(&on))
        .and(service("off").route("/x").node(&off).with("enabled = false"))
        .start();
    gateway.get("/x").expect(200, "on");
}

#[test]
fn an_absolute_target_names_the_host() {
    let (a, any) = (Origin::named("a"), Origin::named("any"));
    let gateway = Gateway::with(service("a").route(route("/").host("a.example")).node(&a))
        .and(service("any").route("/").node(&any))
        .start();
    let answer = gateway.client().ask(&get("http://a.example/x?y=1").field("Host", "other.example"));
    answer.expect(200, "a");
    assert_eq!(a.only().line(), "GET /x?y=1");
    assert_eq!(a.only().field("host"), Some("a.example"));
    gateway.client().ask(&get("http://a.example").field("Host", "a.example")).expect(200, "a");
    assert_eq!(a.last().line(), "GET /");
}
