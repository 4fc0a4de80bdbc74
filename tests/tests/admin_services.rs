//! Services, listeners: made, changed, deleted, with errors beside the fields, and nobody's work overwritten.

use coregate_tests::admin::Builder;
use coregate_tests::{Admin, on_both};
use serde_json::{Value, json};

on_both!(
    a_service_is_made_found_changed_renamed_and_deleted,
    a_stale_edit_is_refused_with_both_versions,
    what_others_refer_to_is_not_deleted,
    a_draft_collects_changes_and_becomes_one_revision,
);

fn service(name: &str) -> Value {
    json!({
        "name": name,
        "description": format!("the {name} of the shop"),
        "routes": [{ "path_prefix": format!("/{name}"), "hosts": [format!("{name}.example.com")] }],
        "nodes": [{ "address": "127.0.0.1:9000", "weight": 3 }],
    })
}

fn a_service_is_made_found_changed_renamed_and_deleted(on: Builder) {
    let admin = on.start();
    let alice = admin.set_up();
    let made =
        alice.post("/services", &json!({ "body": service("cart"), "message": "first" })).expect(201).json();
    assert_eq!((&made["revision"]["id"], &made["revision"]["message"]), (&json!(1), &json!("first")));
    assert_eq!(made["item"]["body"], service("cart"));
    alice.post("/services", &json!({ "body": service("cart") })).refused(409, "already_exists");
    for search in ["CART", "shop%20cart", "cart.example", "127.0.0.1:9000"] {
        let found = alice.get(&format!("/services?search={search}")).expect(200).json();
        assert_eq!(found["total"], 1, "{search}: {found}");
    }
    assert_eq!(alice.get("/services?search=nothing").expect(200).json()["total"], 0);
    let detail = alice.get("/services/cart").expect(200);
    assert_eq!(detail.answer.field("etag"), Some("\"1\""));
    let mut changed = service("cart");
    changed["nodes"][0]["weight"] = json!(5);
    let body = json!({ "body": changed, "version": 1 });
    assert_eq!(alice.put("/services/cart", &body).expect(200).json()["item"]["version"], 2);
    // The same again makes no revision.
    let again = alice.put("/services/cart", &json!({ "body": changed, "version": 2 })).expect(200).json();
    assert_eq!(again["revision"], Value::Null);
    let renamed = json!({ "body": service("basket"), "version": 2 });
    assert_eq!(alice.put("/services/cart", &renamed).expect(200).json()["item"]["name"], "basket");
    alice.get("/services/cart").refused(404, "not_found");
    alice.delete("/services/basket?version=3").expect(200);
    alice.get("/services/basket").refused(404, "not_found");
    assert_eq!(alice.get("/revisions").expect(200).json()["total"], 4);
}

#[test]
fn every_error_stands_beside_its_field() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let mut wrong = service("cart");
    wrong["nodes"][0]["weight"] = json!(0);
    wrong["routes"][0]["path_prefix"] = json!("cart");
    wrong["timeouts"] = json!({ "connect": "soon" });
    let error = alice.post("/services", &json!({ "body": wrong })).refused(422, "invalid");
    let mut keys: Vec<&str> =
        error["problems"].as_array().expect("problems").iter().filter_map(|it| it["key"].as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["nodes[0].weight", "routes[0].path_prefix", "timeouts.connect"], "{error}");
    assert!(error["problems"].as_array().expect("problems").iter().all(|it| it["message"] != ""), "{error}");
    assert_eq!(alice.get("/revisions").expect(200).json()["total"], 0);
    let problems = alice.post(
        "/check",
        &json!({
            "changes": [{ "kind": "service", "name": "cart", "body": wrong, "based_on": null }]
        }),
    );
    assert_eq!(problems.expect(200).json()["problems"].as_array().map(Vec::len), Some(3));
}

fn a_stale_edit_is_refused_with_both_versions(on: Builder) {
    let admin = on.start();
    let alice = admin.set_up();
    alice.post("/services", &json!({ "body": service("cart") })).expect(201);
    let (mut mine, mut theirs) = (service("cart"), service("cart"));
    mine["description"] = json!("mine");
    theirs["description"] = json!("theirs");
    alice.put("/services/cart", &json!({ "body": theirs })).refused(428, "version_required");
    alice.put("/services/cart", &json!({ "body": theirs, "version": 1 })).expect(200);
    let error = alice.put("/services/cart", &json!({ "body": mine, "version": 1 })).refused(409, "stale");
    let conflict = &error["conflicts"][0];
    assert_eq!((&conflict["yours"], &conflict["theirs"]), (&mine, &theirs), "{error}");
    assert_eq!((&conflict["version"], &conflict["changed_by"]), (&json!(2), &json!("admin:alice")));
    let asked = alice.request("PUT", "/services/cart").field("Content-Type", "application/json");
    let on_top = asked.field("If-Match", "\"2\"").body(json!({ "body": mine }).to_string());
    alice.send(&on_top).expect(200);
}

fn what_others_refer_to_is_not_deleted(on: Builder) {
    let admin = on.start();
    let alice = admin.set_up();
    alice.post("/services", &json!({ "body": service("cart") })).expect(201);
    let listener =
        json!({ "name": "front", "address": "127.0.0.1:7000", "protocol": "tcp", "service": "cart" });
    alice.post("/listeners", &json!({ "body": listener })).expect(201);
    let error = alice.delete("/services/cart?version=1").refused(409, "in_use");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("listener \"front\"")), "{error}");
    let listed = alice.get("/listeners").expect(200).json();
    assert_eq!(listed["items"][0]["service"], "cart");
    alice.delete("/listeners/front?version=2").expect(200);
    alice.delete("/services/cart?version=1").expect(200);
}

#[test]
fn a_node_is_switched_off_and_on_whatever_the_version_is() {
    let admin = Admin::start();
    let alice = admin.set_up();
    alice.post("/services", &json!({ "body": service("cart") })).expect(201);
    alice.patch("/services/cart/nodes/127.0.0.1:9000", &json!({ "enabled": false })).expect(200);
    assert_eq!(alice.get("/services/cart").expect(200).json()["nodes"][0]["enabled"], false);
    alice.patch("/services/cart/nodes/127.0.0.1:1", &json!({ "enabled": false })).refused(404, "not_found");
}

fn a_draft_collects_changes_and_becomes_one_revision(on: Builder) {
    let admin = on.start();
    let alice = admin.set_up();
    for name in ["cart", "search"] {
        let saved =
            alice.post("/services", &json!({ "body": service(name), "draft": true })).expect(201).json();
        assert_eq!(saved["revision"], Value::Null);
    }
    assert_eq!(alice.get("/status").expect(200).json()["draft_changes"], 2);
    assert_eq!(alice.get("/services").expect(200).json()["total"], 0);
    let draft = alice.get("/draft").expect(200).json();
    assert_eq!((&draft["problems"], &draft["conflicts"]), (&json!([]), &json!([])), "{draft}");
    let revision = alice.post("/draft/publish", &json!({ "message": "both" })).expect(200).json();
    assert_eq!((&revision["id"], &revision["changes"]), (&json!(1), &json!(2)));
    assert_eq!(alice.get("/status").expect(200).json()["draft_changes"], 0);
    alice.post("/draft/publish", &json!({})).refused(409, "conflict");
    let diff = alice.get("/revisions/1/diff").expect(200).json();
    assert_eq!(diff["changes"].as_array().map(Vec::len), Some(2), "{diff}");
    alice.post("/revisions/1/rollback", &json!({})).refused(409, "conflict");
}

#[test]
fn pages_are_cut_from_the_whole_and_sorted_on_demand() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let changes: Vec<Value> = (0..30)
        .map(|number| {
            let name = format!("s{number:02}");
            json!({ "kind": "service", "name": name, "body": service(&name), "based_on": null })
        })
        .collect();
    alice.put("/draft", &json!({ "changes": changes })).expect(200);
    alice.post("/draft/publish", &json!({})).expect(200);
    let names = |query: &str| -> Vec<String> {
        let page = alice.get(&format!("/services?{query}")).expect(200).json();
        assert_eq!(page["total"], 30);
        let items = page["items"].as_array().expect("items").clone();
        items.iter().filter_map(|it| it["name"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(names("per_page=2&page=2"), ["s02", "s03"]);
    assert_eq!(names("per_page=2&sort=-name"), ["s29", "s28"]);
    assert!(names("per_page=20&page=3").is_empty());
    alice.get("/services?per_page=0").refused(400, "bad_request");
    alice.get("/services?page=x").refused(400, "bad_request");
    alice.get("/services?sort=colour").refused(400, "bad_request");
}
