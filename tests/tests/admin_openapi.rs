//! The OpenAPI document that is served is valid, and whatever fits it is answered without an error of ours.

use std::path::Path;
use std::process::Command;

use coregate_tests::admin::{FIRST_NAME, FIRST_PASSWORD};
use coregate_tests::{Admin, AdminClient, PATIENCE, eventually};
use serde_json::json;

#[test]
fn schemathesis_finds_the_document_valid_and_no_5xx() {
    let schemathesis = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/python/bin/schemathesis");
    assert!(schemathesis.exists(), "{} is missing: run scripts/install-test-deps.sh", schemathesis.display());
    let admin = Admin::start();
    let alice = admin.set_up();
    alice.post("/services", &json!({ "body": { "name": "there" } })).expect(201);
    let program = admin.program("admin");
    // A stream has no end, and the token that is deleted might be the one that asks.
    let all = ["--exclude-path", "/api/v1/live", "--exclude-path", "/api/v1/tokens/{id}"];
    run(&schemathesis, &admin, &program, &all);
    program.get("/status").expect(200);
    run(&schemathesis, &admin, &program, &["--include-path", "/api/v1/tokens/{id}"]);
    // So many logins were tried that the next may have to wait, as anybody's from this address.
    eventually("the account logs in as before", PATIENCE, || {
        admin.client().try_log_in(FIRST_NAME, FIRST_PASSWORD).answer.status == 200
    });
}

#[track_caller]
fn run(schemathesis: &Path, admin: &Admin, program: &AdminClient, which: &[&str]) {
    let token = program.token().expect("a token");
    let output = Command::new(schemathesis)
        .args(["run", &format!("{}/api/v1/openapi.json", admin.url())])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", "not_a_server_error", "--max-examples", "10", "--seed", "1"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(which)
        .current_dir(admin.folder())
        .output()
        .expect("schemathesis runs");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
