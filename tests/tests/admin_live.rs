//! Whoever watches the figures (`/live`) is sent away soon after they may no longer.

use std::time::Duration;

use coregate_tests::{Admin, AdminClient, Client, Redis, wait};
use serde_json::{Value, json};

/// Soon, with something for a busy machine; a stream itself lasts five minutes.
const SOON: Duration = Duration::from_secs(15);

/// What somebody who may does to an account at that path.
type Change = fn(&AdminClient, &str);

/// Opens the stream of somebody.
#[track_caller]
fn watch(who: &AdminClient, admin: &Admin) -> Client {
    let mut stream = Client::connect(admin.address()).patience(SOON);
    stream.send(who.request("GET", "/live").bytes());
    let (status, fields) = stream.read_head();
    assert_eq!(status, 200);
    assert_eq!(fields.get("content-type"), Some("text/event-stream"));
    // It is there, and says something each second.
    stream.read_exact(1);
    stream
}

/// Checks that a stream ends, by its last chunk, soon.
#[track_caller]
fn ends(mut stream: Client, why: &str) {
    let began = wait::now();
    let mut end = Vec::new();
    while !end.ends_with(b"\r\n0\r\n\r\n") {
        assert!(began.elapsed() < SOON, "{why}: the stream goes on");
        end.extend(stream.read_exact(1));
    }
}

/// Makes an account, and logs in.
#[track_caller]
fn bob(alice: &AdminClient, admin: &Admin, name: &str) -> (Value, AdminClient) {
    let new = json!({ "name": name, "role": "operator", "password": "bob rides a horse" });
    let made = alice.post("/admins", &new).expect(201).json();
    (made, admin.client().log_in_as(name, "bob rides a horse"))
}

#[test]
fn when_the_session_ends() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let (phone, laptop) = (admin.client().log_in(), admin.client().log_in());
    let streams = [watch(&phone, &admin), watch(&laptop, &admin)];
    let stays = watch(&alice, &admin);
    let sessions = alice.get("/sessions").expect(200).json();
    let sessions = sessions.as_array().expect("a list").iter();
    for session in sessions.filter(|it| it["current"] == false) {
        let id = session["id"].as_str().expect("an id");
        alice.delete(&format!("/sessions/{id}")).expect(204);
    }
    streams.into_iter().for_each(|stream| ends(stream, "revoked"));
    let mut stays = stays;
    stays.read_exact(400);
    alice.post("/logout", &json!({})).expect(204);
    ends(stays, "logged out");
}

#[test]
fn when_the_account_is_disabled_deleted_or_has_another_role() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let changes: [(&str, Change); 3] = [
        ("disabled", |alice, path| {
            let change = json!({ "name": "disabled", "role": "operator", "enabled": false, "version": 1 });
            alice.put(path, &change).expect(200);
        }),
        ("role", |alice, path| {
            let change = json!({ "name": "role", "role": "viewer", "enabled": true, "version": 1 });
            alice.put(path, &change).expect(200);
        }),
        ("deleted", |alice, path| {
            alice.delete(&format!("{path}?version=1")).expect(204);
        }),
    ];
    let watched: Vec<_> = changes
        .into_iter()
        .map(|(name, change)| {
            let (account, client) = bob(&alice, &admin, name);
            (name, format!("/admins/{}", account["id"]), change, watch(&client, &admin))
        })
        .collect();
    for (name, path, change, stream) in watched {
        change(&alice, &path);
        ends(stream, name);
    }
}

#[test]
fn when_the_token_is_deleted_or_over() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let soon = jiff::Timestamp::now() + Duration::from_secs(3);
    for (name, expires_at) in [("deleted", None), ("over", Some(soon.to_string()))] {
        let new = json!({ "name": name, "role": "viewer", "expires_at": expires_at });
        let token = alice.post("/tokens", &new).expect(201).json();
        let program = admin.client().with_token(token["token"].as_str().expect("a token"));
        let stream = watch(&program, &admin);
        if name == "deleted" {
            alice.delete(&format!("/tokens/{}", token["id"])).expect(204);
        }
        ends(stream, name);
    }
}

#[test]
fn when_a_session_in_redis_is_over() {
    let mut redis = Redis::start();
    let admin = Admin::builder().argument("--redis").argument(&redis.url()).start();
    let alice = admin.set_up();
    let mut stream = watch(&alice, &admin);
    // Nobody knows while Redis is away, so nobody is sent away.
    redis.kill();
    stream.read_exact(1200);
    redis.restart();
    // As Redis does at a session's end.
    for key in redis.keys("admin_session_*") {
        redis.command(&["DEL", &key]);
    }
    ends(stream, "over");
}
