//! Each role may do what it is for, and nothing else.

use coregate_tests::Admin;
use serde_json::{Value, json};

/// Status of each role, in the order of `ROLES`.
const ROLES: [&str; 4] = ["viewer", "operator", "admin", "engine"];

#[test]
fn who_may_do_what() {
    let admin = Admin::start();
    let alice = admin.set_up();
    alice.post("/services", &json!({ "body": { "name": "there" } })).expect(201);
    let nothing = Value::Null;
    let service = json!({ "body": { "name": "bad name" } });
    let changes = json!({ "changes": [] });
    let token = json!({ "name": "", "role": "viewer" });
    // What is asked for is refused for its content where the role suffices, so that nothing changes on the way.
    let matrix: [(&str, &str, &Value, [u16; 4]); 13] = [
        ("GET", "/services", &nothing, [200, 200, 200, 403]),
        ("GET", "/services/there", &nothing, [200, 200, 200, 403]),
        ("GET", "/revisions", &nothing, [200, 200, 200, 403]),
        ("GET", "/audit", &nothing, [200, 200, 200, 403]),
        ("GET", "/status", &nothing, [200, 200, 200, 403]),
        ("POST", "/check", &changes, [200, 200, 200, 403]),
        ("POST", "/services", &service, [403, 422, 422, 403]),
        ("DELETE", "/services/there", &nothing, [403, 428, 428, 403]),
        ("POST", "/revisions/99/rollback", &nothing, [403, 404, 404, 403]),
        ("GET", "/admins", &nothing, [403, 403, 200, 403]),
        ("GET", "/tokens", &nothing, [403, 403, 200, 403]),
        ("POST", "/tokens", &token, [403, 403, 422, 403]),
        ("DELETE", "/admins/1", &nothing, [403, 403, 428, 403]),
    ];
    for (at, role) in ROLES.iter().enumerate() {
        let program = admin.program(role);
        for (method, path, body, expected) in &matrix {
            let mut asked = program.request(method, path);
            if !body.is_null() {
                asked = asked.field("Content-Type", "application/json").body(body.to_string());
            }
            let told = program.send(&asked);
            assert_eq!(told.answer.status, expected[at], "{role}: {method} {path}: {}", told.text());
        }
    }
}

#[test]
fn a_role_that_is_taken_away_is_gone_at_once() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let new = json!({ "name": "bob", "role": "operator", "password": "bob rides a horse" });
    let bob = alice.post("/admins", &new).expect(201).json();
    let (id, version) = (&bob["id"], &bob["version"]);
    let browser = admin.client().log_in_as("bob", "bob rides a horse");
    browser.post("/services", &json!({ "body": { "name": "a" } })).expect(201);
    let changed = alice.put(&format!("/admins/{id}"), &json!({ "version": version, "role": "viewer" }));
    let version = changed.expect(200).json()["version"].clone();
    browser.post("/services", &json!({ "body": { "name": "b" } })).refused(403, "forbidden");
    browser.get("/services").expect(200);
    alice.put(&format!("/admins/{id}"), &json!({ "version": version, "enabled": false })).expect(200);
    browser.get("/services").refused(401, "unauthenticated");
    admin.client().try_log_in("bob", "bob rides a horse").refused(401, "unauthenticated");
}

#[test]
fn the_last_admin_stays_one() {
    let admin = Admin::start();
    let alice = admin.set_up();
    alice.put("/admins/1", &json!({ "version": 1, "role": "viewer" })).refused(409, "conflict");
    alice.put("/admins/1", &json!({ "version": 1, "enabled": false })).refused(409, "conflict");
    alice.delete("/admins/1?version=1").refused(409, "conflict");
    alice.get("/admins").expect(200);
}
