//! Every change and every login is written down: who, when, from where; also those that failed.

use coregate_tests::admin::{Builder, FIRST_NAME};
use coregate_tests::{Admin, on_both};
use serde_json::json;

on_both!(changes_and_logins_are_written_down, entries_are_found_by_actor_action_and_words);

fn changes_and_logins_are_written_down(on: Builder) {
    let admin = on.start();
    let alice = admin.set_up();
    admin.client().from("127.0.0.2").try_log_in(FIRST_NAME, "my other password").expect(401);
    admin.client().from("127.0.0.2").try_log_in("my password, typed into the wrong field", "x").expect(401);
    admin.client().log_in();
    alice.post("/services", &json!({ "body": { "name": "a" }, "message": "why not" })).expect(201);
    alice.post("/tokens", &json!({ "name": "deploy", "role": "viewer" })).expect(201);
    alice.post("/admins", &json!({ "name": "bob", "role": "viewer" })).expect(201);
    let page = alice.get("/audit").expect(200);
    assert!(!page.text().contains("my "), "{}", page.text());
    let entries = page.json()["items"].as_array().expect("items").clone();
    let seen: Vec<(&str, &str, &str)> = entries
        .iter()
        .map(|it| {
            let text = |key: &str| it[key].as_str().unwrap_or_default();
            (text("action"), text("actor"), text("address"))
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("admin_created", "admin:alice", "127.0.0.1"),
            ("token_created", "admin:alice", "127.0.0.1"),
            ("publish", "admin:alice", "127.0.0.1"),
            ("login", "admin:alice", "127.0.0.1"),
            ("login_failed", "unknown", "127.0.0.2"),
            ("login_failed", "admin:alice", "127.0.0.2"),
            ("setup", "admin:alice", "127.0.0.1"),
        ]
    );
}

fn entries_are_found_by_actor_action_and_words(on: Builder) {
    let admin = on.start();
    let alice = admin.set_up();
    alice.post("/services", &json!({ "body": { "name": "a" }, "message": "100% sure" })).expect(201);
    alice.post("/services", &json!({ "body": { "name": "b" } })).expect(201);
    let total = |query: &str| alice.get(&format!("/audit?{query}")).expect(200).json()["total"].clone();
    assert_eq!(total("action=publish"), 2);
    assert_eq!(total("actor=admin:alice"), 3);
    assert_eq!(total("actor=admin:bob"), 0);
    assert_eq!(total("search=100%25%20sure"), 1);
    assert_eq!(total("search=%25"), 1);
    assert_eq!(total("action=publish&search=service%20b"), 1);
}

#[test]
fn what_concerns_accounts_is_for_admins_alone() {
    let admin = Admin::start();
    let alice = admin.set_up();
    alice.post("/services", &json!({ "body": { "name": "a" } })).expect(201);
    let seen = admin.program("viewer").get("/audit").expect(200).json();
    assert_eq!(seen["total"], 1, "{seen}");
    assert_eq!(seen["items"][0]["action"], "publish");
}
