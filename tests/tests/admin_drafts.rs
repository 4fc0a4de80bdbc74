//! A draft collects changes item by item, is checked as it goes, and becomes one revision; nothing that was put is lost.

use std::thread;

use coregate_tests::Admin;
use serde_json::{Value, json};

fn service(name: &str) -> Value {
    json!({ "name": name, "nodes": [{ "address": "127.0.0.1:1" }] })
}

fn names(draft: &Value) -> Vec<String> {
    let changes = draft["changes"].as_array().expect("changes");
    let mut names: Vec<String> =
        changes.iter().map(|it| format!("{} {}", it["action"].as_str().unwrap_or("?"), it["name"])).collect();
    names.sort();
    names
}

#[test]
fn items_go_into_it_one_by_one_and_into_force_together() {
    let admin = Admin::start();
    let alice = admin.set_up();
    alice.post("/services", &json!({ "body": service("old") })).expect(201);
    alice.post("/services", &json!({ "body": service("new"), "draft": true })).expect(201);
    alice.post("/services", &json!({ "body": service("never"), "draft": true })).expect(201);
    let tenant = json!({ "app_id": "app", "name": "App" });
    alice.post("/tenants", &json!({ "body": tenant, "draft": true })).expect(201);
    alice.delete("/services/old?version=1&draft=true").expect(200);
    let draft = alice.get("/draft").expect(200);
    assert!(!draft.text().contains("secret_sha256\":\"0"), "{}", draft.text());
    let expected = ["create \"app\"", "create \"never\"", "create \"new\"", "delete \"old\""];
    assert_eq!(names(&draft.json()), expected);
    // What it alone has is changed in it, and never was once it is taken out.
    let renamed = json!({ "app_id": "app", "name": "Another", "secret_sha256": "***" });
    alice.put("/tenants/app", &json!({ "body": renamed, "draft": true })).expect(200);
    let broken = json!({ "body": { "name": "new", "nodes": [{ "address": "nonsense" }] }, "draft": true });
    let told = alice.put("/services/new", &broken).expect(200).json();
    assert_eq!(told["draft"]["problems"][0]["key"], "nodes[0].address", "{told}");
    alice.post("/draft/publish", &json!({})).refused(422, "invalid");
    alice.put("/services/new", &json!({ "body": service("new"), "draft": true })).expect(200);
    let others = alice.get("/draft").expect(200).json()["changes"].as_array().expect("changes").clone();
    let others: Vec<Value> = others.into_iter().filter(|it| it["name"] != "never").collect();
    let changes: Vec<Value> = others
        .iter()
        .map(|it| json!({ "kind": it["kind"], "name": it["name"], "body": it["body"], "based_on": it["based_on"] }))
        .collect();
    alice.put("/draft", &json!({ "changes": changes })).expect(200);
    let revision = alice.post("/draft/publish", &json!({ "message": "all of it" })).expect(200).json();
    assert_eq!((&revision["id"], &revision["message"]), (&json!(2), &json!("all of it")));
    assert_eq!(alice.get("/draft").expect(200).json()["changes"], json!([]));
    alice.post("/draft/publish", &json!({})).refused(409, "conflict");
    let tenant = alice.get("/tenants/app").expect(200).json();
    assert_eq!(tenant["item"]["body"]["name"], "Another");
    alice.get("/services/never").refused(404, "not_found");
}

#[test]
fn windows_that_put_into_it_at_the_same_time_lose_nothing() {
    const WINDOWS: usize = 6;
    let admin = Admin::start();
    let alice = admin.set_up();
    thread::scope(|scope| {
        for window in 0..WINDOWS {
            let alice = &alice;
            scope.spawn(move || {
                let name = format!("from-{window}");
                alice.post("/services", &json!({ "body": service(&name), "draft": true })).expect(201);
            });
        }
    });
    let expected: Vec<String> = (0..WINDOWS).map(|window| format!("create \"from-{window}\"")).collect();
    assert_eq!(names(&alice.get("/draft").expect(200).json()), expected);
}

#[test]
fn it_is_its_accounts_own() {
    let admin = Admin::start();
    let alice = admin.set_up();
    alice.post("/services", &json!({ "body": service("a"), "draft": true })).expect(201);
    let program = admin.program("admin");
    program.get("/draft").refused(403, "forbidden");
    program.post("/services", &json!({ "body": service("b"), "draft": true })).refused(403, "forbidden");
    assert_eq!(names(&alice.get("/draft").expect(200).json()), ["create \"a\""]);
    alice.delete("/draft").expect(204);
    assert_eq!(alice.get("/draft").expect(200).json()["changes"], json!([]));
}
