//! Engines and the admin over TLS: the admin is verified, and certificates that it keeps are served.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use std::path::Path;

use coregate_tests::certs::{Authority, Pair, certificates};
use coregate_tests::ports::Port;
use coregate_tests::{Client, Gateway, Origin, PATIENCE, Published, eventually, service};
use serde_json::{Value, json};

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a PEM file")
}

/// A listener for TLS on any free port, with a certificate out of the admin's store, and a service `/` on that node.
fn site(origin: &Origin, pair: &Pair) -> Value {
    json!({
        "certificates": [{ "name": "site", "chain": text(&pair.chain), "key": text(&pair.key) }],
        "listeners": [{
            "name": "https",
            "address": "127.0.0.1:0",
            "protocol": "https",
            "certificates": [{ "certificate": "site" }],
        }],
        "services": [{
            "name": "site",
            "routes": [{ "path_prefix": "/" }],
            "nodes": [{ "address": origin.address().to_string() }],
        }],
    })
}

#[test]
fn a_certificate_out_of_the_store_is_served_and_replaced_without_a_file() {
    let (authority, origin) = (Authority::new(), Origin::named("a"));
    let first = authority.sign("one", &["one.test"]);
    let admin = Published::with(&site(&origin, &first));
    let mut engine = admin.follower().start();
    let ask = |engine: &Gateway, name: &str| authority.curl(name, engine.listener("https"), "/", &[]);
    ask(&engine, "one.test").expect(200, "a");
    admin.publish(2, &site(&origin, &authority.sign("two", &["two.test"])));
    eventually("the other certificate", PATIENCE, || ask(&engine, "two.test").code == Some(0));
    assert!(ask(&engine, "one.test").code != Some(0), "the first is gone");
    let shown = engine.ops("/api/v1/config").text() + &engine.output();
    assert!(!shown.contains("PRIVATE KEY"), "keys are shown nowhere");

    let mut bad = site(&origin, &first);
    bad["certificates"][0]["key"] = json!(text(&authority.sign("three", &["three.test"]).key));
    admin.publish(3, &bad);
    let report = admin.expect_report("it was refused", |it| !it["refused"].is_null());
    let told = report["refused"]["problems"][0]["message"].as_str().unwrap();
    assert!(told.contains("certificate \"site\": key: is not the key of the first certificate"), "{told}");
    ask(&engine, "two.test").expect(200, "a");

    engine.restart();
    engine.expect_ready();
    ask(&engine, "two.test").expect(200, "a");
}

#[test]
fn the_admin_is_verified() {
    let (authority, origin) = (Authority::new(), Origin::named("a"));
    let pair = authority.sign("admin", &["localhost"]);
    let admin = Published::with(&json!({
        "listeners": [{ "name": "web", "address": "127.0.0.1:0" }],
        "services": [{
            "name": "site",
            "routes": [{ "path_prefix": "/" }],
            "nodes": [{ "address": origin.address().to_string() }],
        }],
    }));
    // TLS ends at a gateway in front of it.
    let port = Port::free();
    let front =
        service("admin").route("/").node_at(admin.address()).with("timeouts.response_header = \"60s\"");
    let _front = Gateway::with(front)
        .text(&format!(
            "[[listeners]]\nname = \"https\"\naddress = \"{}\"\nprotocol = \"https\"\n{}",
            port.address(),
            certificates(&[&pair])
        ))
        .start();
    let url = format!("https://localhost:{}", port.number());
    let follower = Gateway::empty().following(&url, "secret-token");
    let trust = |file: &Path| format!("export SSL_CERT_FILE={}", file.display());
    let engine = follower.clone().after(&trust(&authority.certificate())).start();
    assert_eq!(Client::connect(engine.listener("web")).get("/").text(), "a");
    admin.expect_applied(1);

    let other = Authority::new();
    let distrusting = follower.after(&trust(&other.certificate())).start_unready();
    eventually("it says why", PATIENCE, || {
        let why = distrusting.ops("/readyz").text();
        why.contains("does not answer: TLS: invalid peer certificate")
    });
}
