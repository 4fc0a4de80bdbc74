//! Explain and compare by the API: what would become of requests under what is in force, a revision, changes or a draft.

use coregate_tests::{Admin, AdminClient, Gateway, Origin, PATIENCE, eventually};
use serde_json::{Value, json};

/// Bytes of a body that `POST /explain` takes, and `POST /compare`.
const BODIES: [(&str, usize); 2] = [("/explain", 2 << 20), ("/compare", 32 << 20)];

fn service(name: &str, deny: &[&str]) -> Value {
    json!({
        "name": name,
        "routes": [{ "path_prefix": format!("/{name}"), "hosts": ["shop.example"], "strip_prefix": true }],
        "nodes": [{ "address": "127.0.0.1:9000" }],
        "access": { "deny": deny },
    })
}

fn changed(name: &str, body: &Value, based_on: u64) -> Value {
    json!([{ "kind": "service", "name": name, "body": body, "based_on": based_on }])
}

/// An admin with the services `cart` (revision 1) and `search` (revision 2), and a browser.
fn shop() -> (Admin, AdminClient) {
    let admin = Admin::start();
    let alice = admin.set_up();
    for name in ["cart", "search"] {
        alice.post("/services", &json!({ "body": service(name, &[]) })).expect(201);
    }
    (admin, alice)
}

#[test]
fn a_request_is_explained_step_by_step_to_whoever_may_read() {
    let (admin, _) = shop();
    let viewer = admin.program("viewer");
    let told =
        viewer.post("/explain", &json!({ "url": "http://shop.example/cart/1?x=y" })).expect(200).json();
    assert_eq!((&told["outcome"], &told["service"]), (&json!("forwarded"), &json!("cart")), "{told}");
    assert_eq!((&told["path_upstream"], &told["node"]), (&json!("/1"), &json!("127.0.0.1:9000")), "{told}");
    assert_eq!((&told["revision"], &told["route"]["path_prefix"]), (&json!(2), &json!("/cart")), "{told}");
    let stages: Vec<&str> =
        told["steps"].as_array().expect("steps").iter().filter_map(|it| it["stage"].as_str()).collect();
    assert!(stages.contains(&"route") && stages.contains(&"balance"), "{told}");
    let nowhere = viewer.post("/explain", &json!({ "url": "http://other.example/cart" })).expect(200).json();
    assert_eq!((&nowhere["outcome"], &nowhere["code"]), (&json!("refused"), &json!("no_route")), "{nowhere}");
    assert_eq!(nowhere["status"], 404);
}

#[test]
fn what_cannot_be_a_request_is_told_beside_its_field() {
    let (admin, _) = shop();
    let viewer = admin.program("viewer");
    let cases = [
        (json!({ "url": "not a url" }), "url", "not a url", "right would be http://example.com/path"),
        (json!({ "url": "/", "method": "G E T" }), "method", "G E T", "right would be GET"),
        (json!({ "url": "/", "client": "here" }), "client", "here", "right would be 192.0.2.1"),
        (json!({ "url": "/", "headers": [["Host", "a b"]] }), "headers", "a b", "host: "),
    ];
    for (asked, key, value, right) in cases {
        let error = viewer.post("/explain", &asked).refused(422, "invalid");
        let problem = &error["problems"][0];
        assert_eq!((&problem["key"], &problem["value"]), (&json!(key), &json!(value)), "{error}");
        assert!(problem["message"].as_str().is_some_and(|it| it.contains(right)), "{error}");
    }
    let error = viewer.post("/explain", &json!({ "url": "/", "hedaers": [] })).refused(400, "bad_request");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("hedaers")), "{error}");
    viewer.post("/explain", &json!({})).refused(400, "bad_request");
}

#[test]
fn any_revision_and_ones_own_draft_can_be_asked() {
    let (admin, alice) = shop();
    let asked = |what: Value| {
        let mut asked = json!({ "url": "http://shop.example/search", "client": "192.0.2.7" });
        asked.as_object_mut().expect("an object").extend(what.as_object().expect("an object").clone());
        asked
    };
    let outcome = |what: Value| {
        let told = alice.post("/explain", &asked(what)).expect(200).json();
        (told["outcome"].clone(), told["code"].clone())
    };
    assert_eq!(outcome(json!({})), (json!("forwarded"), Value::Null));
    assert_eq!(outcome(json!({ "revision": 1 })), (json!("refused"), json!("no_route")));
    let denied = service("search", &["192.0.2.0/24"]);
    alice.put("/draft", &json!({ "changes": changed("search", &denied, 2) })).expect(200);
    assert_eq!(outcome(json!({ "draft": true })), (json!("refused"), json!("ip_denied")));
    assert_eq!(outcome(json!({})), (json!("forwarded"), Value::Null), "a draft is not in force");
    let error = alice.post("/explain", &asked(json!({ "revision": 7 }))).refused(404, "not_found");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("revision 7")), "{error}");
    alice.post("/explain", &asked(json!({ "revision": 1, "draft": true }))).refused(400, "bad_request");
    let program = admin.program("operator");
    program.post("/explain", &asked(json!({ "draft": true }))).refused(400, "bad_request");
}

#[test]
fn a_draft_is_compared_with_what_is_in_force_request_by_request() {
    let (_admin, alice) = shop();
    let denied = service("search", &["192.0.2.0/24"]);
    alice.put("/draft", &json!({ "changes": changed("search", &denied, 2) })).expect(200);
    let from =
        |client: &str, path: &str| json!({ "url": format!("http://shop.example{path}"), "client": client });
    let requests = [
        from("192.0.2.7", "/search"),
        from("192.0.2.7", "/search"),
        from("198.51.100.7", "/search"),
        from("192.0.2.7", "/cart"),
        json!({ "url": "nonsense" }),
    ];
    let told = alice.post("/compare", &json!({ "draft": true, "requests": requests })).expect(200).json();
    assert_eq!((&told["compared"], &told["skipped"], &told["differing"]), (&json!(4), &json!(1), &json!(2)));
    assert_eq!((told["results"].as_array().map(Vec::len), &told["truncated"]), (Some(1), &json!(false)));
    let one = &told["results"][0];
    assert_eq!((&one["count"], &one["request"]["client"]), (&json!(2), &json!("192.0.2.7")), "{told}");
    assert_eq!(
        (&one["before"]["outcome"], &one["after"]["code"]),
        (&json!("forwarded"), &json!("ip_denied"))
    );
    // The same by changes that nobody has saved, and two revisions.
    let changes = json!({ "changes": changed("search", &denied, 2), "requests": requests });
    assert_eq!(alice.post("/compare", &changes).expect(200).json(), told);
    let revisions = json!({ "revision": 2, "against": 1, "requests": requests });
    assert_eq!(alice.post("/compare", &revisions).expect(200).json()["differing"], 3);
}

#[test]
fn a_comparison_that_makes_no_sense_is_told_what_would_be_right() {
    let (_admin, alice) = shop();
    let one = json!([{ "url": "/" }]);
    let refused = |asked: Value, status, code, words: &str| {
        let error = alice.post("/compare", &asked).refused(status, code);
        assert!(error["message"].as_str().is_some_and(|it| it.contains(words)), "{error}");
        error
    };
    refused(json!({ "requests": one }), 400, "bad_request", "exactly one of");
    refused(json!({ "draft": true, "revision": 1, "requests": one }), 400, "bad_request", "exactly one of");
    refused(json!({ "revision": 1 }), 400, "bad_request", "requests or access_log");
    refused(
        json!({ "revision": 1, "requests": one, "access_log": "x" }),
        400,
        "bad_request",
        "requests or access_log",
    );
    refused(json!({ "revision": 9, "requests": one }), 404, "not_found", "revision 9");
    refused(json!({ "revision": 1, "against": 9, "requests": one }), 404, "not_found", "revision 9");
    let many = vec![json!({ "url": "/" }); 10_001];
    refused(json!({ "revision": 1, "requests": many }), 400, "bad_request", "at most 10000");
    let mut wrong = service("search", &[]);
    wrong["nodes"][0]["weight"] = json!(0);
    let error = alice.post("/compare", &json!({ "changes": changed("search", &wrong, 2), "requests": one }));
    let error = error.refused(422, "invalid");
    assert!(
        error["problems"][0]["key"].as_str().is_some_and(|it| it.ends_with("nodes[0].weight")),
        "{error}"
    );
    let stale = json!({ "changes": changed("search", &service("search", &[]), 1), "requests": one });
    let error = alice.post("/compare", &stale).refused(409, "stale");
    assert_eq!(error["conflicts"][0]["version"], 2, "{error}");
}

/// What a real engine logs of three requests, in that format.
fn logged(format: &str) -> String {
    let (origin, folder) = (Origin::named("shop"), tempfile::tempdir().expect("a temporary folder"));
    let path = folder.path().join("access.log");
    let gateway = Gateway::before(&origin)
        .server(&format!("access_log = {{ path = {:?}, format = {format:?} }}", path.display().to_string()))
        .start();
    for target in ["/cart/1", "/search?q=%22a%20b%22", "/search?q=%22a%20b%22"] {
        let asked = coregate_tests::get(target).field("Host", "shop.example");
        gateway.client().ask(&asked).expect(200, "shop");
    }
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("three lines", PATIENCE, || read().lines().count() == 3);
    read()
}

#[test]
fn an_access_log_of_an_engine_is_compared_in_both_formats() {
    let (_admin, alice) = shop();
    let denied = changed("search", &service("search", &["127.0.0.0/8"]), 2);
    for format in ["json", "combined"] {
        let mut log = logged(format);
        log.push_str("this is no line of an access log\n");
        let mut asked = json!({ "changes": denied, "access_log": log });
        if format == "combined" {
            let without = alice.post("/compare", &asked).expect(200).json();
            assert_eq!(without["differing"], 0, "without a host it is nobody's: {without}");
            asked["host"] = json!("shop.example");
        }
        let told = alice.post("/compare", &asked).expect(200).json();
        let counts = (&told["compared"], &told["skipped"], &told["differing"]);
        assert_eq!(counts, (&json!(3), &json!(1), &json!(2)), "{format}: {told}");
        let one = &told["results"][0];
        assert_eq!(one["request"]["url"], "/search?q=%22a%20b%22", "{format}: {told}");
        assert_eq!(
            (&one["count"], &one["after"]["code"]),
            (&json!(2), &json!("ip_denied")),
            "{format}: {told}"
        );
    }
}

#[test]
fn bodies_have_limits() {
    let (admin, _) = shop();
    let viewer = admin.program("viewer");
    let sized = |path: &str, bytes: usize| {
        let start = r#"{"revision":1,"access_log":""#;
        let filled = format!("{start}{}\"}}", "a".repeat(bytes - start.len() - 2));
        viewer.send(&viewer.request("POST", path).field("Content-Type", "application/json").body(filled))
    };
    for (path, most) in BODIES {
        let error = sized(path, most + 1).refused(413, "body_too_large");
        assert!(error["message"].as_str().is_some_and(|it| it.contains("larger")), "{error}");
    }
    assert_eq!(sized("/compare", 32 << 20).expect(200).json()["skipped"], 1);
}

#[test]
fn who_may_ask() {
    let (admin, _) = shop();
    let explain = json!({ "url": "/" });
    let compare = json!({ "revision": 1, "requests": [{ "url": "/" }] });
    for (role, expected) in [("viewer", 200), ("operator", 200), ("admin", 200), ("engine", 403)] {
        let program = admin.program(role);
        let told = [program.post("/explain", &explain), program.post("/compare", &compare)];
        assert_eq!(told.map(|it| it.answer.status), [expected; 2], "{role}");
    }
    let nobody = admin.client();
    nobody.post("/explain", &explain).refused(401, "unauthenticated");
    nobody.post("/compare", &compare).refused(401, "unauthenticated");
}
