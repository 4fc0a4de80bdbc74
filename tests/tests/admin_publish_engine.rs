//! An engine whose configuration comes from an admin: whatever that admin sends, or fails to, what is served goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use coregate_tests::{Client, Gateway, Load, Origin, PATIENCE, Published, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A listener on any free port, and a service `/` on those nodes.
fn site(nodes: &[SocketAddr]) -> Value {
    let nodes: Vec<Value> = nodes.iter().map(|node| json!({ "address": node.to_string() })).collect();
    json!({
        "listeners": [{ "name": "web", "address": "127.0.0.1:0" }],
        "services": [{ "name": "site", "routes": [{ "path_prefix": "/" }], "nodes": nodes }],
    })
}

fn get(engine: &Gateway) -> String {
    Client::connect(engine.listener("web")).get("/").text()
}

#[test]
fn what_is_published_is_served_by_every_engine() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let admin = Published::with(&site(&[one.address()]));
    let engines = [admin.follower().start(), admin.follower().start()];
    for engine in &engines {
        assert_eq!(get(engine), "one");
    }
    admin.publish(2, &site(&[two.address()]));
    for engine in &engines {
        eventually("the new node answers", PATIENCE, || get(engine) == "two");
        let on_all_shards = || engine.metric("coregate_admin_revision", &[]) == 2.0;
        eventually("it is in force on all shards", PATIENCE, on_all_shards);
        assert_eq!(engine.metric("coregate_admin_up", &[]), 1.0);
    }
    let instances: std::collections::BTreeSet<String> =
        admin.reports().iter().map(|report| report["instance"].to_string()).collect();
    assert_eq!(instances.len(), 2, "each has a name of its own: {instances:?}");
}

#[test]
fn without_a_copy_an_engine_waits_for_the_admin_and_listens_to_nothing() {
    let origin = Origin::named("one");
    let mut admin = Published::nothing();
    admin.stop();
    let mut engine = admin.follower().start_unready();
    let ready = engine.ops("/readyz");
    assert_eq!(ready.status, 503);
    eventually("it says why", PATIENCE, || {
        let why = engine.ops("/readyz").text();
        why.contains("no configuration: no copy of one was kept, and the admin at http://127.0.0.1:")
            && why.contains("does not answer: cannot connect")
    });
    engine.expect_output("no copy of a configuration is kept yet: listening to nothing");
    assert_eq!(engine.ops("/api/v1/nodes").json()["listeners"], json!([]));
    assert_eq!(engine.ops("/healthz").status, 200);
    admin.publish(1, &site(&[origin.address()]));
    admin.restart();
    engine.expect_ready();
    assert_eq!(get(&engine), "one");
    assert!(engine.is_running());
}

#[test]
fn an_engine_starts_with_its_copy_when_the_admin_is_down() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let mut admin = Published::with(&site(&[one.address()]));
    let mut engine = admin.follower().start();
    let copy = engine.file("copy.json");
    eventually("the copy is kept", PATIENCE, || copy.exists());
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    admin.stop();
    engine.restart();
    engine.expect_ready();
    assert_eq!(get(&engine), "one");
    assert_eq!(engine.metric("coregate_admin_revision", &[]), 1.0);
    engine.expect_output("starting with the last good copy");
    // And takes what is newer as soon as the admin is back.
    admin.publish(2, &site(&[two.address()]));
    admin.restart();
    eventually("the new node answers", PATIENCE, || get(&engine) == "two");
    engine.restart();
    engine.expect_ready();
    eventually("the newer copy was kept", PATIENCE, || get(&engine) == "two");
}

#[test]
fn a_copy_that_was_cut_is_not_used() {
    let origin = Origin::named("one");
    let mut admin = Published::with(&site(&[origin.address()]));
    let mut engine = admin.follower().start();
    let copy = engine.file("copy.json");
    eventually("the copy is kept", PATIENCE, || copy.exists());
    admin.stop();
    let whole = std::fs::read(&copy).unwrap();
    std::fs::write(&copy, &whole[..whole.len() / 2]).unwrap();
    engine.restart();
    engine.expect_output("the last good copy cannot be used: it is not whole");
    assert_eq!(engine.ops("/readyz").status, 503);
    admin.restart();
    engine.expect_ready();
    assert_eq!(get(&engine), "one");
}

#[test]
fn an_admin_that_comes_and_goes_costs_no_request() {
    let origin = Origin::named("one");
    let mut admin = Published::with(&site(&[origin.address()]));
    let engine = admin.follower().start();
    let load = Load::on(engine.listener("web")).connections(4).start();
    for revision in 2..5 {
        admin.stop();
        eventually("the engine has noticed", PATIENCE, || engine.metric("coregate_admin_up", &[]) == 0.0);
        let answered = load.answered();
        eventually("it goes on serving", PATIENCE, || load.answered() > answered + 100);
        admin.publish(revision, &site(&[origin.address()]));
        admin.restart();
        admin.expect_applied(revision);
    }
    let tally = load.stop();
    assert!(tally.failed.is_empty(), "{tally:?}");
}

#[test]
fn what_does_not_check_is_refused_and_the_admin_is_told() {
    let origin = Origin::named("one");
    let admin = Published::with(&site(&[origin.address()]));
    let engine = admin.follower().start();
    admin.expect_applied(1);
    let mut bad = site(&[origin.address()]);
    bad["services"][0]["nodes"][0]["weight"] = json!(70_000);
    bad["services"][0]["limits"] = json!({ "scope": "cluster" });
    admin.publish(2, &bad);
    let report = admin.expect_report("it was refused", |it| !it["refused"].is_null());
    assert_eq!((&report["refused"]["revision"], &report["revision_applied"]), (&json!(2), &json!(1)));
    let problems = report["refused"]["problems"].as_array().unwrap();
    let mut keys: Vec<&str> = problems.iter().map(|problem| problem["key"].as_str().unwrap()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["services[0].limits.scope", "services[0].nodes[0].weight"]);
    assert_eq!(get(&engine), "one");
    assert_eq!(engine.ops("/readyz").status, 200);
    assert_eq!(engine.metric("coregate_admin_refused_total", &[]), 1.0);
    let config = engine.ops("/api/v1/config").json();
    assert_eq!(config["admin"]["refused"]["revision"], 2);
    // A restart has the one that was good.
    admin.publish(3, &site(&[origin.address()]));
    let report = admin.expect_report("the next is taken", |it| it["revision_applied"] == 3);
    assert!(report["refused"].is_null());
}

#[test]
fn a_port_that_somebody_else_holds_refuses_a_configuration() {
    let origin = Origin::named("one");
    let admin = Published::with(&site(&[origin.address()]));
    let engine = admin.follower().start();
    let mut taken = site(&[origin.address()]);
    taken["listeners"][0]["address"] = json!(origin.address().to_string());
    admin.publish(2, &taken);
    let report = admin.expect_report("it was refused", |it| !it["refused"].is_null());
    let told = report["refused"]["problems"][0]["message"].as_str().unwrap();
    assert!(told.contains(&origin.address().to_string()), "{told}");
    assert_eq!(get(&engine), "one");
}

#[test]
fn an_older_engine_refuses_a_newer_schema_and_says_so() {
    let origin = Origin::named("one");
    let admin = Published::with(&site(&[origin.address()]));
    let engine = admin.follower().start();
    admin.expect_applied(1);
    let mut newer = site(&[origin.address()]);
    newer["services"][0]["retries"] = json!(3);
    admin.publish_as(2, 2, &newer);
    let report = admin.expect_report("it was refused", |it| !it["refused"].is_null());
    let told = report["refused"].to_string();
    assert!(told.contains("services[0].retries"), "{told}");
    assert!(told.contains("is of schema 2, and this engine") && told.contains("update it"), "{told}");
    assert_eq!(get(&engine), "one");
    // What uses nothing new is taken, whatever its schema.
    admin.publish_as(3, 2, &site(&[origin.address()]));
    admin.expect_applied(3);
}

#[test]
fn what_is_no_snapshot_changes_nothing() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let admin = Published::with(&site(&[one.address()]));
    let engine = admin.follower().start();
    for (revision, text) in (2..).zip(["", "<html>", "{}", "[1]", "{\"revision\":2,\"schema\":1}"]) {
        admin.publish_text(revision, text);
        eventually("it is no answer", PATIENCE, || engine.metric("coregate_admin_up", &[]) == 0.0);
        assert_eq!(get(&engine), "one", "{text}");
    }
    admin.publish(0, &json!({}));
    eventually("it is one that has nothing to say", PATIENCE, || {
        engine.metric("coregate_admin_up", &[]) == 1.0
    });
    assert_eq!(get(&engine), "one");
    admin.publish(9, &site(&[two.address()]));
    eventually("the next one is taken", PATIENCE, || get(&engine) == "two");
}

#[test]
fn a_token_that_is_refused_is_told_and_a_new_one_is_taken_from_its_file() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let admin = Published::with(&site(&[one.address()]));
    let engine = admin.follower().start();
    admin.token("another");
    // What waits already is answered.
    admin.publish(2, &site(&[one.address()]));
    engine.expect_output("refuses the token in control.token_file");
    assert!(!engine.output().contains("secret-token"), "{}", engine.output());
    assert_eq!(get(&engine), "one");
    admin.publish(3, &site(&[two.address()]));
    std::fs::write(engine.file("token"), "another").unwrap();
    eventually("it is read again", PATIENCE, || get(&engine) == "two");
}

#[test]
fn a_signal_fetches_the_configuration_again() {
    let origin = Origin::named("one");
    let admin = Published::with(&site(&[origin.address()]));
    let engine = admin.follower().start();
    admin.expect_applied(1);
    let asked = admin.asked();
    engine.signal(Signal::HUP);
    eventually("it asks again", PATIENCE, || admin.asked() > asked);
    engine.expect_output("SIGHUP: asking the admin for the configuration again");
    assert_eq!(get(&engine), "one");
}

#[test]
fn a_report_tells_what_was_counted_and_which_nodes_are_down() {
    let origin = Origin::named("one");
    let mut gone = Origin::named("gone");
    let admin = Published::with(&site(&[origin.address(), gone.address()]));
    let engine = admin.follower().start();
    gone.stop();
    let mut client = Client::connect(engine.listener("web"));
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "one");
    }
    let report = admin.expect_report("ten requests", |it| it["flow"]["site"]["requests"] == 10);
    assert_eq!(report["flow"]["answers"]["2xx"], 10);
    let sum: u64 =
        report["flow"]["site"]["hours"].as_array().unwrap().iter().map(|it| it[1].as_u64().unwrap()).sum();
    assert_eq!(sum, 10);
    let report = admin.expect_report("a node is down", |it| it["nodes"]["down"] == 1);
    assert_eq!(report["nodes"]["not_up"][0]["address"], gone.address().to_string());
    assert_eq!((&report["shards"], &report["ready"]), (&json!(2), &json!(true)));
}
