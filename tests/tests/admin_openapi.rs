//! The OpenAPI document that is served is valid, and whatever fits it is answered without an error of ours.

use std::path::Path;
use std::process::Command;

use coregate_tests::Admin;
use serde_json::json;

#[test]
fn schemathesis_finds_the_document_valid_and_no_5xx() {
    let schemathesis = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/python/bin/schemathesis");
    assert!(schemathesis.exists(), "{} is missing: run scripts/install-test-deps.sh", schemathesis.display());
    let admin = Admin::start();
    let alice = admin.set_up();
    alice.post("/services", &json!({ "body": { "name": "there" } })).expect(201);
    let token = admin.token("admin", "schemathesis");
    let output = Command::new(schemathesis)
        .args(["run", &format!("{}/api/v1/openapi.json", admin.url())])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", "not_a_server_error"])
        .args(["--max-examples", "10", "--seed", "1", "--phases", "examples,coverage,fuzzing"])
        // A stream has no end.
        .args(["--exclude-path", "/api/v1/live"])
        .current_dir(admin.folder())
        .output()
        .expect("schemathesis runs");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    admin.client().log_in();
}
