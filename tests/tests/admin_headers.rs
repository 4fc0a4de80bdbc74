//! Every answer tells browsers what they may do with it, and requests have bounds.

use std::time::Duration;

use coregate_tests::request::request;
use coregate_tests::{Admin, Client, get};
use serde_json::json;

#[test]
fn every_answer_has_the_security_headers() {
    let admin = Admin::start();
    let client = admin.client();
    for target in ["/", "/nowhere", "/api/v1/services", "/api/v1/openapi.json", "/healthz"] {
        let answer = client.send(&get(target)).answer;
        let field = |name: &str| answer.field(name).unwrap_or_default().to_owned();
        let policy = field("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(part), "{target}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(field("x-content-type-options"), "nosniff", "{target}");
        assert_eq!(field("x-frame-options"), "DENY", "{target}");
        assert_eq!(field("referrer-policy"), "no-referrer", "{target}");
    }
    let api = client.send(&get("/api/v1/services")).answer;
    assert_eq!(api.field("cache-control"), Some("no-store"));
}

#[test]
fn what_is_not_there_is_said_in_the_apis_words() {
    let admin = Admin::start();
    let client = admin.client();
    client.get("/nothing").refused(404, "not_found");
    client.send(&request("PATCH", "/api/v1/login")).refused(405, "method_not_allowed");
    client.send(&request("DELETE", "/")).refused(405, "method_not_allowed");
}

#[test]
fn a_body_and_a_head_have_their_bounds() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let large = json!({ "body": { "name": "a", "description": "x".repeat(3 << 20) } });
    alice.post("/services", &large).refused(413, "body_too_large");
    let answer = alice.send(&get("/healthz").field("x-large", &"x".repeat(64 << 10))).answer;
    assert_eq!(answer.status, 431);
    let asked = alice.request("POST", "/services").field("Content-Type", "application/json");
    let error = alice.send(&asked.body("{\"body\":{\"name\":\"a\"},")).refused(400, "bad_request");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("line 1")), "{error}");
    let error = alice.post("/services", &json!({ "body": {}, "versoin": 1 })).refused(400, "bad_request");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("versoin")), "{error}");
}

#[test]
fn whoever_is_not_logged_in_has_little_room() {
    let admin = Admin::start();
    for path in ["/login", "/setup", "/set-password"] {
        let large = json!({ "name": "a".repeat(9 << 10), "password": "b" });
        admin.client().post(path, &large).refused(413, "body_too_large");
    }
}

#[test]
fn of_many_large_bodies_a_few_are_read_at_a_time() {
    const AT_ONCE: usize = 4;
    let admin = Admin::start();
    let alice = admin.set_up();
    let begun = |path: &str| {
        let head = alice.request("POST", path).field("Content-Type", "application/json");
        let head = head.field("Content-Length", "1000000").field("Expect", "100-continue");
        let mut client = Client::connect(admin.address());
        client.send(head.bytes());
        client
    };
    let read: Vec<Client> = ["/import", "/compare"].into_iter().cycle().take(AT_ONCE).map(begun).collect();
    let is_asked_for =
        |client: Client| client.patience(Duration::from_millis(300)).try_read_next("POST").is_ok();
    let mut read: Vec<Client> = read
        .into_iter()
        .map(|mut client| {
            assert_eq!(client.try_read_next("POST").unwrap().status, 100);
            client
        })
        .collect();
    assert!(!is_asked_for(begun("/import")), "others have to end first");
    let mut next = begun("/import");
    read.pop();
    assert_eq!(next.try_read_next("POST").unwrap().status, 100);
    alice.get("/services").expect(200);
}
