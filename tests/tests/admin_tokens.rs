//! A token is shown once, kept as a hash, and is of no use once it is deleted or over.

use std::time::Duration;

use coregate_tests::{Admin, Broken, Client, PATIENCE, Told, get};
use serde_json::json;

#[test]
fn a_token_is_shown_once_and_works_until_it_is_deleted() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let made = alice.post("/tokens", &json!({ "name": "deploy", "role": "operator" })).expect(201).json();
    let token = made["token"].as_str().expect("a token").to_owned();
    let listed = alice.get("/tokens").expect(200);
    assert!(!listed.text().contains(&token) && !listed.text().contains("sha256"), "{}", listed.text());
    let program = admin.client().with_token(&token);
    program.post("/services", &json!({ "body": { "name": "a" } })).expect(201);
    let revision = alice.get("/revisions/1").expect(200).json();
    assert_eq!(revision["author"], "token:deploy");
    assert!(!alice.get("/tokens").expect(200).json()[0]["last_used_at"].is_null());
    alice.post("/tokens", &json!({ "name": "deploy", "role": "viewer" })).refused(409, "already_exists");
    alice.delete(&format!("/tokens/{}", made["id"])).expect(204);
    program.get("/services").refused(401, "unauthenticated");
    alice.delete(&format!("/tokens/{}", made["id"])).refused(404, "not_found");
}

#[test]
fn a_token_is_nowhere_in_the_database_and_in_no_log() {
    let admin = Admin::builder().argument("--log-level").argument("debug").start();
    let alice = admin.set_up();
    let made = alice.post("/tokens", &json!({ "name": "deploy", "role": "operator" })).expect(201).json();
    let token = made["token"].as_str().expect("a token").to_owned();
    admin.client().with_token(&token).get("/services").expect(200);
    for file in std::fs::read_dir(admin.folder()).expect("a folder") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        for secret in [&token, "correct horse battery"] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
        }
    }
    let output = admin.output();
    assert!(!output.contains(&token) && !output.contains("correct horse"), "{output}");
}

#[test]
fn a_token_that_would_be_over_already_is_refused_and_nonsense_lets_nobody_in() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let over = json!({ "name": "old", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z" });
    assert_eq!(alice.post("/tokens", &over).refused(422, "invalid")["problems"][0]["key"], "expires_at");
    for token in ["", "x", "cga_", "cga_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"] {
        admin.client().with_token(token).get("/services").refused(401, "unauthenticated");
    }
}

#[test]
fn an_engine_whose_token_is_deleted_while_it_waits_is_given_nothing_more() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let made = alice.post("/tokens", &json!({ "name": "edge-1", "role": "engine" })).expect(201).json();
    let asked = get("/engine/v1/snapshot")
        .field("Host", &admin.address().to_string())
        .field("Authorization", &format!("Bearer {}", made["token"].as_str().expect("a token")));
    let known = Client::connect(admin.address()).ask(&asked);
    let etag = known.field("etag").expect("an etag").to_owned();
    let mut waiting = Client::connect(admin.address()).patience(Duration::from_millis(300));
    waiting.send(asked.field("If-None-Match", &etag).field("Prefer", "wait=60").bytes());
    assert!(matches!(waiting.try_read(), Err(Broken::TimedOut(_))), "it waits");
    alice.delete(&format!("/tokens/{}", made["id"])).expect(204);
    alice.post("/services", &json!({ "body": { "name": "a" } })).expect(201);
    let answer = waiting.patience(PATIENCE).read();
    Told { answer }.refused(401, "unauthenticated");
}
