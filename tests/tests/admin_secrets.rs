//! Secrets go in and do not come out: a tenant's is shown once, a certificate's key never.

use std::fs;

use coregate_tests::{Admin, AdminClient, Authority};
use serde_json::json;

/// What the database holds, as bytes.
fn stored(admin: &Admin) -> Vec<u8> {
    let files =
        ["admin.db", "admin.db-wal"].map(|name| fs::read(admin.folder().join(name)).unwrap_or_default());
    files.concat()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Everything that can be read about the configuration, in one text.
fn all_that_is_told(client: &AdminClient, paths: &[&str]) -> String {
    let common =
        ["/tenants", "/certificates", "/audit", "/revisions", "/revisions/1/diff", "/draft", "/status"];
    common.iter().chain(paths).map(|path| client.get(path).expect(200).text()).collect()
}

#[test]
fn a_tenants_secret_is_made_shown_once_and_kept_as_a_hash() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let made = alice.post("/tenants", &json!({ "body": { "app_id": "shop" } })).expect(201).json();
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.len() >= 32);
    let rotated = alice.post("/tenants/shop/secret", &json!({})).expect(200).json();
    let next = rotated["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(secret, next);
    let own = json!({ "body": { "app_id": "own", "secret": "chosen by hand" } });
    assert!(alice.post("/tenants", &own).expect(201).json()["secret"].is_null());
    let told = all_that_is_told(
        &alice,
        &["/tenants/shop", "/tenants/own", "/revisions/2/diff", "/revisions/3/diff"],
    );
    let bytes = stored(&admin);
    for secret in [secret.as_str(), next.as_str(), "chosen by hand"] {
        assert!(!told.contains(secret), "{told}");
        assert!(!holds(&bytes, secret));
    }
    // What comes back as it was shown stays as it is.
    let shown = alice.get("/tenants/shop").expect(200).json();
    assert_eq!(shown["item"]["body"]["secret_sha256"], "***");
    let mut body = shown["item"]["body"].clone();
    body["name"] = json!("Shop");
    alice.put("/tenants/shop", &json!({ "body": body, "version": shown["item"]["version"] })).expect(200);
    let diff = alice.get("/revisions/4/diff").expect(200).json();
    assert_eq!(diff["changes"][0]["paths"].as_array().map(Vec::len), Some(1), "{diff}");
    assert_eq!(diff["changes"][0]["paths"][0]["path"], "name", "{diff}");
}

#[test]
fn a_certificates_key_never_comes_out_and_is_encrypted_in_the_database() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let authority = Authority::new();
    let pair = authority.sign("site", &["a.example.com", "*.b.example.com"]);
    let read = |path: &std::path::Path| fs::read_to_string(path).expect("PEM");
    let (chain, key) = (read(&pair.chain), read(&pair.key));
    let body = json!({ "name": "site", "chain": chain, "key": key });
    alice.post("/certificates", &json!({ "body": body })).expect(201);
    let listed = alice.get("/certificates").expect(200).json();
    assert_eq!(listed["items"][0]["names"], json!(["a.example.com", "*.b.example.com"]), "{listed}");
    assert!(listed["items"][0]["days_left"].as_i64().is_some_and(|days| days > 0), "{listed}");
    let told = all_that_is_told(&alice, &["/certificates/site"]);
    let bytes = stored(&admin);
    let secret_line = key.lines().nth(1).expect("a line of the key");
    assert!(!told.contains(secret_line) && !told.contains("PRIVATE KEY"), "{told}");
    assert!(!holds(&bytes, secret_line) && !holds(&bytes, "PRIVATE KEY"));
    assert!(holds(&bytes, "enc:v1:"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(admin.folder().join("admin.db.key")).expect("a key file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_key_of_another_certificate_is_refused_beside_its_field() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let authority = Authority::new();
    let (one, other) =
        (authority.sign("one", &["a.example.com"]), authority.sign("other", &["b.example.com"]));
    let read = |path: &std::path::Path| fs::read_to_string(path).expect("PEM");
    let body = json!({ "name": "site", "chain": read(&one.chain), "key": read(&other.key) });
    let told = alice.post("/certificates", &json!({ "body": body }));
    assert!(!told.text().contains("PRIVATE KEY"));
    let error = told.refused(422, "invalid");
    assert_eq!(error["problems"][0]["key"], "key", "{error}");
    let body = json!({ "name": "site", "chain": "no certificate", "key": read(&other.key) });
    let error = alice.post("/certificates", &json!({ "body": body })).refused(422, "invalid");
    assert_eq!(error["problems"][0]["key"], "chain", "{error}");
}

#[test]
fn a_certificate_that_a_listener_presents_says_so_and_stays() {
    let admin = Admin::start();
    let alice = admin.set_up();
    let authority = Authority::new();
    let pair = authority.sign("site", &["a.example.com"]);
    let read = |path: &std::path::Path| fs::read_to_string(path).expect("PEM");
    let body = json!({ "name": "site", "chain": read(&pair.chain), "key": read(&pair.key) });
    alice.post("/certificates", &json!({ "body": body })).expect(201);
    let listener = json!({
        "name": "front", "address": "127.0.0.1:8443", "protocol": "https", "certificates": [{ "certificate": "site" }]
    });
    alice.post("/listeners", &json!({ "body": listener })).expect(201);
    assert_eq!(alice.get("/certificates/site").expect(200).json()["used_by"], json!(["front"]));
    alice.delete("/certificates/site?version=1").refused(409, "in_use");
}
