//! Sessions survive a restart and can be revoked, whether they are kept in the database or in Redis.

use coregate_tests::admin::Builder;
use coregate_tests::{Admin, Redis, on_both};

on_both!(in_the_database);

fn in_the_database(on: Builder) {
    come_back_and_can_be_revoked(on.start());
}

#[test]
fn in_redis() {
    let redis = Redis::start();
    let admin = Admin::builder().argument("--redis").argument(&redis.url()).start();
    come_back_and_can_be_revoked(admin);
    assert!(redis.keys("admin_session_*").len() <= 1, "what was revoked is gone");
}

#[track_caller]
fn come_back_and_can_be_revoked(mut admin: Admin) {
    let alice = admin.set_up();
    let phone = admin.client().log_in();
    admin.restart();
    alice.get("/session").expect(200);
    let all = alice.get("/sessions").expect(200).json();
    let all = all.as_array().expect("a list");
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all.iter().filter(|it| it["current"] == true).count(), 1, "{all:?}");
    let other = all.iter().find(|it| it["current"] == false).expect("the other one");
    let id = other["id"].as_str().expect("an id");
    alice.delete(&format!("/sessions/{id}")).expect(204);
    phone.get("/session").refused(401, "unauthenticated");
    alice.post("/logout", &serde_json::json!({})).expect(204);
    alice.get("/session").refused(401, "unauthenticated");
}

#[test]
fn what_is_kept_lets_nobody_in() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let id = alice.get("/sessions").expect(200).json()[0]["id"].as_str().expect("an id").to_owned();
    let mut thief = admin.client();
    thief.cookie = Some(format!("coregate_session={id}"));
    thief.get("/session").refused(401, "unauthenticated");
}

#[test]
fn nobody_ends_the_session_of_somebody_else() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let new = serde_json::json!({ "name": "bob", "role": "admin", "password": "bob rides a horse" });
    alice.post("/admins", &new).expect(201);
    let bob = admin.client().log_in_as("bob", "bob rides a horse");
    let id = alice.get("/sessions").expect(200).json()[0]["id"].as_str().expect("an id").to_owned();
    bob.delete(&format!("/sessions/{id}")).refused(404, "not_found");
    alice.get("/session").expect(200);
}
