//! The first account is made by whoever has the set-up link, once; there is no default password.

use coregate_tests::Admin;
use coregate_tests::admin::{FIRST_NAME, FIRST_PASSWORD};
use serde_json::json;

#[test]
fn without_an_account_nothing_is_shown_and_the_answer_says_that_one_is_to_be_made() {
    let admin = Admin::start();
    let error = admin.client().get("/services").refused(401, "unauthenticated");
    assert_eq!(error["setup_required"], true, "{error}");
    for (name, password) in [("admin", "admin"), ("root", "root"), ("admin", "")] {
        admin.client().try_log_in(name, password).refused(401, "unauthenticated");
    }
    admin.set_up();
    let error = admin.client().get("/services").refused(401, "unauthenticated");
    assert_eq!(error["setup_required"], serde_json::Value::Null, "{error}");
}

#[test]
fn the_link_works_once() {
    let admin = Admin::start();
    let alice = admin.set_up();
    assert_eq!(alice.get("/session").expect(200).json()["admin"]["role"], "admin");
    let link = admin.setup_link();
    let (_, token) = link.split_once("token=").expect("a token");
    let again = json!({ "token": token, "name": "mallory", "password": FIRST_PASSWORD });
    admin.client().post("/setup", &again).refused(409, "conflict");
    assert_eq!(alice.get("/admins").expect(200).json().as_array().map(Vec::len), Some(1));
}

#[test]
fn a_wrong_token_and_a_weak_password_make_no_account() {
    let admin = Admin::start();
    let wrong = json!({ "token": "x".repeat(43), "name": "mallory", "password": FIRST_PASSWORD });
    admin.client().post("/setup", &wrong).refused(401, "unauthenticated");
    let link = admin.setup_link();
    let (_, token) = link.split_once("token=").expect("a token");
    let weak = json!({ "token": token, "name": FIRST_NAME, "password": "alice" });
    let error = admin.client().post("/setup", &weak).refused(422, "invalid");
    assert_eq!(error["problems"][0]["key"], "password", "{error}");
    let odd = json!({ "token": token, "name": "a b", "password": FIRST_PASSWORD });
    let error = admin.client().post("/setup", &odd).refused(422, "invalid");
    assert_eq!(error["problems"][0]["key"], "name", "{error}");
    // The link is still good.
    admin.set_up();
}

#[test]
fn the_token_may_come_out_of_the_environment_and_is_not_printed_then() {
    let token = "0123456789abcdef0123456789abcdef";
    let admin = Admin::builder().variable("COREGATE_ADMIN_SETUP_TOKEN", token).start();
    let first = json!({ "token": token, "name": FIRST_NAME, "password": FIRST_PASSWORD });
    admin.client().post("/setup", &first).expect(201);
    assert!(!admin.output().contains(token), "{}", admin.output());
}

#[test]
fn after_a_restart_no_link_is_printed_any_more() {
    let mut admin = Admin::start();
    admin.set_up();
    let before = admin.output().matches("set-up link").count();
    admin.restart();
    admin.client().log_in();
    assert_eq!(admin.output().matches("set-up link").count(), before);
}
