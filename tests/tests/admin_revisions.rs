//! Revisions over HTTP: two operators, the way back, confirm or revert, restarts, and a history that has an end.

use coregate_tests::admin::Builder;
use coregate_tests::{AdminClient, PATIENCE, eventually, on_both};
use serde_json::{Value, json};

on_both!(
    two_operators_do_not_overwrite_each_other,
    an_older_revision_comes_back_as_a_new_one,
    what_is_not_confirmed_is_taken_back_and_what_is_stays,
    what_waits_to_be_confirmed_survives_a_restart,
    only_the_last_revisions_are_kept,
);

fn service(weight: u64) -> Value {
    json!({
        "name": "cart",
        "routes": [{ "path_prefix": "/cart" }],
        "nodes": [{ "address": "127.0.0.1:9000", "weight": weight }],
    })
}

/// Saves the service: revision `id` has the weight `id`.
#[track_caller]
fn save(who: &AdminClient, id: u64) -> Value {
    let told = match id {
        1 => who.post("/services", &json!({ "body": service(1) })).expect(201),
        _ => who.put("/services/cart", &json!({ "body": service(id), "version": id - 1 })).expect(200),
    };
    let revision = told.json()["revision"].clone();
    assert_eq!(revision["id"], id, "{revision}");
    revision
}

#[track_caller]
fn weight(who: &AdminClient) -> Value {
    who.get("/services/cart").expect(200).json()["item"]["body"]["nodes"][0]["weight"].clone()
}

fn two_operators_do_not_overwrite_each_other(on: Builder) {
    let admin = on.start();
    let alice = admin.set_up();
    let new = json!({ "name": "bob", "role": "operator", "password": "bob rides a horse" });
    alice.post("/admins", &new).expect(201);
    let bob = admin.client().log_in_as("bob", "bob rides a horse");
    save(&alice, 1);
    save(&bob, 2);
    let late = json!({ "body": service(9), "version": 1 });
    let error = alice.put("/services/cart", &late).refused(409, "stale");
    let conflict = &error["conflicts"][0];
    assert_eq!((&conflict["yours"], &conflict["theirs"]), (&service(9), &service(2)), "{error}");
    assert_eq!((&conflict["changed_by"], &conflict["version"]), (&json!("admin:bob"), &json!(2)));
    // The same in a draft, whose base went on.
    let change =
        |based_on| json!([{ "kind": "service", "name": "cart", "body": service(9), "based_on": based_on }]);
    alice.put("/draft", &json!({ "changes": change(2) })).expect(200);
    save(&bob, 3);
    let draft = alice.get("/draft").expect(200).json();
    assert_eq!(draft["conflicts"].as_array().map(Vec::len), Some(1), "{draft}");
    alice.post("/draft/publish", &json!({})).refused(409, "stale");
    alice.put("/draft", &json!({ "changes": change(3) })).expect(200);
    alice.post("/draft/publish", &json!({})).expect(200);
    assert_eq!(weight(&bob), 9);
}

fn an_older_revision_comes_back_as_a_new_one(on: Builder) {
    let mut admin = on.start();
    let alice = admin.set_up();
    (1..=3).for_each(|id| drop(save(&alice, id)));
    let diff = alice.get("/revisions/3/diff?against=1").expect(200).json();
    let path = &diff["changes"][0]["paths"][0];
    assert_eq!(
        (&path["path"], &path["before"], &path["after"]),
        (&json!("nodes[0].weight"), &json!(1), &json!(3))
    );
    assert_eq!((&diff["more"], &diff["changes"][0]["more_paths"]), (&json!(0), &json!(0)), "{diff}");
    let back = alice.post("/revisions/1/rollback", &json!({ "message": "as it was" })).expect(200).json();
    assert_eq!((&back["id"], &back["cause"], &back["restores"]), (&json!(4), &json!("rollback"), &json!(1)));
    admin.restart();
    assert_eq!(weight(&alice), 1);
    assert_eq!(alice.get("/revisions/4/diff?against=1").expect(200).json()["changes"], json!([]));
    alice.post("/revisions/9/rollback", &json!({})).refused(404, "not_found");
    let long = json!({ "message": "x".repeat(5000) });
    assert_eq!(
        alice.post("/revisions/2/rollback", &long).refused(422, "invalid")["problems"][0]["key"],
        "message"
    );
}

fn what_is_not_confirmed_is_taken_back_and_what_is_stays(on: Builder) {
    let admin = on.start();
    let alice = admin.set_up();
    save(&alice, 1);
    let pending = |weight: u64, version: u64, seconds: u64| {
        let body = json!({ "body": service(weight), "version": version, "confirm_within_seconds": seconds });
        alice.put("/services/cart", &body).expect(200);
    };
    pending(2, 1, 600);
    assert_eq!(alice.get("/revisions/2").expect(200).json()["state"], "pending");
    alice.put("/services/cart", &json!({ "body": service(3), "version": 2 })).refused(409, "pending");
    alice.post("/revisions/2/confirm", &json!({})).expect(200);
    assert_eq!(alice.get("/revisions/2").expect(200).json()["state"], "in_force");
    pending(3, 2, 600);
    alice.post("/revisions/3/revert", &json!({})).expect(200);
    assert_eq!(
        (weight(&alice), alice.get("/revisions/3").expect(200).json()["state"].clone()),
        (json!(2), json!("reverted"))
    );
    pending(5, 4, 5);
    assert_eq!(weight(&alice), 5);
    eventually("it is taken back by itself", PATIENCE, || weight(&alice) == 2);
    let back = alice.get("/revisions/6").expect(200).json();
    assert_eq!((&back["author"], &back["cause"]), (&json!("system"), &json!("revert")), "{back}");
    alice.post("/revisions/5/confirm", &json!({})).refused(409, "conflict");
}

fn what_waits_to_be_confirmed_survives_a_restart(on: Builder) {
    let mut admin = on.start();
    let alice = admin.set_up();
    save(&alice, 1);
    let body = json!({ "body": service(2), "version": 1, "confirm_within_seconds": 5 });
    alice.put("/services/cart", &body).expect(200);
    admin.kill();
    admin.start_again();
    eventually("it is taken back by itself", PATIENCE, || weight(&alice) == 1);
}

fn only_the_last_revisions_are_kept(on: Builder) {
    let mut admin = on.argument("--keep-revisions").argument("10").start();
    let alice = admin.set_up();
    (1..=14).for_each(|id| drop(save(&alice, id)));
    // It looks at its start, and every ten minutes.
    admin.restart();
    let listed = || alice.get("/revisions?per_page=100").expect(200).json();
    eventually("the oldest are forgotten", PATIENCE, || listed()["total"] == 10);
    let ids: Vec<u64> =
        listed()["items"].as_array().expect("items").iter().filter_map(|it| it["id"].as_u64()).collect();
    assert_eq!(ids, (5..=14).rev().collect::<Vec<_>>());
    let error = alice.get("/revisions/4").refused(404, "not_found");
    assert!(
        error["message"].as_str().is_some_and(|it| it.contains("not kept any more: the last 10 are")),
        "{error}"
    );
    let error = alice.post("/revisions/4/rollback", &json!({})).refused(404, "not_found");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("not kept any more")), "{error}");
    alice.get("/revisions/14/diff?against=3").refused(404, "not_found");
    assert_eq!(
        alice.get("/revisions/5/diff").expect(200).json()["changes"].as_array().map(Vec::len),
        Some(1)
    );
    alice.post("/explain", &json!({ "url": "/cart", "revision": 4 })).refused(404, "not_found");
    alice.post("/revisions/5/rollback", &json!({})).expect(200);
    assert_eq!(weight(&alice), 5);
}
