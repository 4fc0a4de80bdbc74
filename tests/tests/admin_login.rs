//! Logins cannot be guessed: failures look alike, are slowed down by address and lock the account for a while.

use coregate_tests::admin::{FIRST_NAME, FIRST_PASSWORD};
use coregate_tests::{Admin, Told};
use serde_json::json;

fn seconds(told: &Told) -> u64 {
    told.answer.field("retry-after").expect("retry-after").parse().expect("seconds")
}

#[test]
fn a_wrong_password_and_a_name_that_nobody_has_get_the_same_answer() {
    let admin = Admin::start();
    admin.set_up();
    let wrong = admin.client().from("127.0.0.2").try_log_in(FIRST_NAME, "something else").expect(401);
    let unknown = admin.client().from("127.0.0.2").try_log_in("nobody", "something else").expect(401);
    assert_eq!(wrong.text(), unknown.text());
    admin.client().log_in();
}

#[test]
fn five_failures_lock_an_account_and_a_name_without_one_alike_even_for_the_right_password() {
    let admin = Admin::start();
    admin.set_up();
    for (source, name) in [("127.0.0.2", FIRST_NAME), ("127.0.0.3", "nobody")] {
        let client = admin.client().from(source);
        for _ in 0..5 {
            client.try_log_in(name, "something else").refused(401, "unauthenticated");
        }
        let told = client.try_log_in(name, FIRST_PASSWORD);
        assert!((1..=61).contains(&seconds(&told)), "{:?}", told.answer.fields);
        let error = told.refused(429, "too_many_requests");
        assert!(error["message"].as_str().is_some_and(|it| it.contains("this account")), "{error}");
    }
}

#[test]
fn a_session_that_was_left_open_is_no_way_to_guess_the_password() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let change =
        |current: &str| alice.post("/password", &json!({ "current": current, "new": "a different horse" }));
    for _ in 0..5 {
        assert_eq!(change("nonsense").refused(422, "invalid")["problems"][0]["key"], "current");
    }
    let told = change(FIRST_PASSWORD);
    assert!((1..=61).contains(&seconds(&told)), "{:?}", told.answer.fields);
    told.refused(429, "too_many_requests");
    alice.get("/session").expect(200);
}

#[test]
fn an_address_that_tries_too_often_has_to_wait_while_others_get_in() {
    let admin = Admin::start();
    admin.set_up();
    let noisy = admin.client().from("127.0.0.2");
    let mut refused = None;
    for number in 0..12 {
        let told = noisy.try_log_in(&format!("somebody{number}"), "something else");
        if told.answer.status == 429 {
            refused = Some(told);
            break;
        }
        told.refused(401, "unauthenticated");
    }
    let told = refused.expect("an end to it");
    assert!(seconds(&told) >= 1);
    told.refused(429, "too_many_requests");
    admin.client().from("127.0.0.3").log_in();
}

#[test]
fn a_new_password_ends_the_other_sessions_and_the_old_one_is_of_no_use() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let other = admin.client().log_in();
    let error = alice.post("/password", &json!({ "current": "nonsense", "new": "a different horse" }));
    assert_eq!(error.refused(422, "invalid")["problems"][0]["key"], "current");
    let error = alice.post("/password", &json!({ "current": FIRST_PASSWORD, "new": "short" }));
    assert_eq!(error.refused(422, "invalid")["problems"][0]["key"], "new");
    alice.post("/password", &json!({ "current": FIRST_PASSWORD, "new": "a different horse" })).expect(204);
    alice.get("/session").expect(200);
    other.get("/session").refused(401, "unauthenticated");
    admin.client().try_log_in(FIRST_NAME, FIRST_PASSWORD).refused(401, "unauthenticated");
    admin.client().log_in_as(FIRST_NAME, "a different horse");
}

#[test]
fn an_account_without_a_password_gets_one_by_a_link_that_works_once() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let made = alice.post("/admins", &json!({ "name": "bob", "role": "operator" })).expect(201).json();
    let link = made["link"].as_str().expect("a link");
    let (_, token) = link.split_once("#/set-password?token=").expect("a token");
    admin.client().try_log_in("bob", "").refused(401, "unauthenticated");
    let weak = json!({ "token": token, "password": "bob" });
    admin.client().post("/set-password", &weak).refused(422, "invalid");
    let good = json!({ "token": token, "password": "bob rides a horse" });
    let session = admin.client().post("/set-password", &good).expect(200).json();
    assert_eq!(session["admin"]["role"], "operator");
    admin.client().post("/set-password", &good).refused(401, "unauthenticated");
    admin.client().log_in_as("bob", "bob rides a horse");
}
