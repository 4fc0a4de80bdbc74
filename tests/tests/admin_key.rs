//! `coregate-admin rotate-key`: engines get the same keys of certificates as before, and the old key opens nothing any more.

use coregate_tests::admin::Builder;
use coregate_tests::{Admin, AdminClient, Authority, on_both};
use serde_json::json;

on_both!(certificates_are_encrypted_with_another_key, who_saves_where_the_old_key_is_in_use_is_told_so);

fn certificates_are_encrypted_with_another_key(on: Builder) {
    let mut admin = on.start();
    let alice = admin.set_up();
    let authority = Authority::new();
    for name in ["one", "two"] {
        let pair = authority.sign(name, &[&format!("{name}.example")]);
        let read = |path| std::fs::read_to_string(path).expect("readable");
        let body = json!({ "name": name, "chain": read(&pair.chain), "key": read(&pair.key) });
        alice.post("/certificates", &json!({ "body": body })).expect(201);
    }
    let before = keys(&alice);
    assert_eq!(before.matches("PRIVATE KEY").count(), 4, "two, each with a beginning and an end");
    let file = admin.folder().join("new.key").display().to_string();
    admin.kill();
    let done = admin.run(&["rotate-key", "--new-key-file", &file]);
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success() && told.contains("2 certificate(s), 0 of older revisions, 0 in drafts"),
        "{done:?}"
    );
    let again = admin.run(&["rotate-key", "--new-key-file", &file]);
    let why = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && why.contains("is not the one"), "{again:?}");
    let same = admin.run(&["rotate-key", "--key-file", &file, "--new-key-file", &file]);
    let why = String::from_utf8_lossy(&same.stderr).into_owned();
    assert!(!same.status.success() && why.contains("in use already"), "{same:?}");
    admin.change(|builder| builder.argument("--key-file").argument(&file));
    admin.start_again();
    assert_eq!(keys(&alice), before);
    is_written_down(&admin, &alice);
}

fn who_saves_where_the_old_key_is_in_use_is_told_so(on: Builder) {
    let admin = on.start();
    let alice = admin.set_up();
    let file = admin.folder().join("new.key").display().to_string();
    let done = admin.run(&["rotate-key", "--new-key-file", &file]);
    assert!(done.status.success(), "{done:?}");
    let authority = Authority::new();
    let pair = authority.sign("one", &["one.example"]);
    let read = |path| std::fs::read_to_string(path).expect("readable");
    let body = json!({ "name": "one", "chain": read(&pair.chain), "key": read(&pair.key) });
    let why = alice.post("/certificates", &json!({ "body": body })).refused(500, "internal");
    let why = why["message"].as_str().expect("a text");
    assert!(why.contains("start this coregate-admin with the new one"), "{why}");
}

/// What engines get of certificates, without the line that says when.
fn keys(alice: &AdminClient) -> String {
    let text = alice.get("/export?with_keys=true").expect(200).text();
    text.split_once('\n').expect("lines").1.to_owned()
}

fn is_written_down(admin: &Admin, alice: &AdminClient) {
    let audit = alice.get("/audit?action=key_replaced").expect(200).json();
    assert_eq!(
        (&audit["total"], &audit["items"][0]["actor"]),
        (&json!(1), &json!("command line")),
        "{audit}"
    );
    assert!(!admin.output().contains("PRIVATE"));
}
