//! Another site's page cannot make a browser change anything.

use coregate_tests::Admin;
use serde_json::json;

const SERVICE: &str = r#"{"body":{"name":"a"}}"#;

#[test]
fn a_change_by_cookie_needs_the_csrf_token_of_that_session() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let mut without = alice.clone();
    without.csrf = None;
    without.post("/services", &json!({ "body": { "name": "a" } })).refused(403, "csrf");
    without.delete("/draft").refused(403, "csrf");
    let mut strange = alice.clone();
    strange.csrf = admin.client().log_in().csrf;
    strange.post("/services", &json!({ "body": { "name": "a" } })).refused(403, "csrf");
    without.get("/services").expect(200);
    assert_eq!(alice.get("/services").expect(200).json()["total"], 0);
    alice.post("/services", &json!({ "body": { "name": "a" } })).expect(201);
}

#[test]
fn a_change_from_another_origin_is_refused_even_with_the_token() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let from = |origin: &str| {
        let asked = alice.request("POST", "/services").field("Content-Type", "application/json");
        alice.send(&asked.field("Origin", origin).body(SERVICE))
    };
    for origin in ["http://evil.example", "null", &format!("http://127.0.0.1:{}0", admin.address().port())] {
        from(origin).refused(403, "csrf");
    }
    from(&admin.url()).expect(201);
}

#[test]
fn nobody_is_logged_in_from_another_origin() {
    let admin = Admin::start();
    admin.set_up();
    let client = admin.client();
    let asked = client.request("POST", "/login").field("Content-Type", "application/json");
    let body = json!({ "name": "alice", "password": "correct horse battery" }).to_string();
    let told = client.send(&asked.field("Origin", "http://evil.example").body(body));
    assert!(told.answer.field("set-cookie").is_none());
    told.refused(403, "csrf");
}

#[test]
fn a_form_of_another_site_is_no_json() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let asked = alice.request("POST", "/services").field("Content-Type", "text/plain").body(SERVICE);
    alice.send(&asked).refused(415, "unsupported_media_type");
}

#[test]
fn the_cookie_is_for_http_alone_and_for_this_site_alone() {
    let admin = Admin::start();
    admin.set_up();
    let told = admin.client().try_log_in("alice", "correct horse battery").expect(200);
    let cookie = told.answer.field("set-cookie").expect("a cookie");
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
}
