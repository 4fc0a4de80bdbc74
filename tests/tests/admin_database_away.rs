//! While the database is away: nobody is let in or sent away for it, everybody is told what it is and when to come again, and
//! all is as before once it is back.

use coregate_tests::{Admin, AdminClient, PATIENCE, Told, eventually};
use serde_json::json;

/// Checks that an answer says that the database is away, and when to try again.
#[track_caller]
fn says_so(told: Told) {
    let seconds = told.answer.field("retry-after").and_then(|it| it.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds >= 1), "{:?}", told.answer.fields);
    let error = told.refused(503, "database_unavailable");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("the database cannot be reached"), "{message}");
}

#[test]
fn logins_sessions_tokens_and_engines_are_answered_503_and_come_back() {
    let admin = Admin::builder().on_mariadb().start();
    let alice = admin.set_up();
    let (program, engine) = (admin.program("operator"), admin.token("engine", "edge-1"));
    let snapshot = coregate_tests::get("/engine/v1/snapshot")
        .field("Host", &admin.address().to_string())
        .field("Authorization", &format!("Bearer {engine}"));
    let fetched = |status: u16| {
        let answer = coregate_tests::Client::connect(admin.address()).ask(&snapshot);
        assert_eq!(answer.status, status, "{}", answer.text());
        Told { answer }
    };
    alice.post("/services", &json!({ "body": { "name": "a" } })).expect(201);
    fetched(200);
    admin.server().kill();
    says_so(admin.client().try_log_in("alice", "correct horse battery"));
    says_so(alice.get("/session"));
    says_so(alice.get("/services"));
    says_so(program.get("/status"));
    says_so(program.post("/services", &json!({ "body": { "name": "b" } })));
    says_so(fetched(503));
    // The process itself is well, and so is its dashboard.
    let plain = AdminClient::new(admin.address());
    let root = coregate_tests::get("/healthz").field("Host", &admin.address().to_string());
    plain.send(&root).expect(200);
    admin.server().restart();
    eventually("it is found again", PATIENCE, || alice.get("/services").answer.status == 200);
    assert_eq!(alice.get("/services").expect(200).json()["total"], 1);
    program.post("/services", &json!({ "body": { "name": "b" } })).expect(201);
    fetched(200);
    admin.client().log_in();
}
