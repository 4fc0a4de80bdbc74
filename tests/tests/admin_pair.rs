//! Two admins on one MySQL are one: each shows the engines of both, and what is saved at either is served by all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use coregate_tests::admin::Admin;
use coregate_tests::admin_client::AdminClient;
use coregate_tests::mariadb::MariaDb;
use coregate_tests::{Client, Gateway, Load, Origin, PATIENCE, eventually, get};
use serde_json::{Value, json};

/// Two admins with a program each, and an engine that speaks to the first.
struct Pair {
    one: (Admin, AdminClient),
    two: (Admin, AdminClient),
    engine: Gateway,
    _server: MariaDb,
}

impl Pair {
    fn serving(origin: &Origin) -> Pair {
        let server = MariaDb::start();
        let start = |name: &str| {
            let admin = Admin::builder().database(&server.url()).start();
            let token = admin.token("operator", name);
            let client = admin.client().with_token(&token);
            (admin, client)
        };
        let (one, two) = (start("one"), start("two"));
        let create = |path: &str, body: &Value| drop(one.1.post(path, &json!({ "body": body })).expect(201));
        create("/listeners", &json!({ "name": "web", "address": "127.0.0.1:0" }));
        create("/services", &service(origin));
        let engine = Gateway::empty().following(&one.0.url(), &one.0.token("engine", "edge")).start();
        Pair { one, two, engine, _server: server }
    }

    fn instances(&self) -> [Value; 2] {
        [&self.one.1, &self.two.1].map(|client| client.get("/instances").expect(200).json())
    }
}

fn service(origin: &Origin) -> Value {
    json!({
        "name": "site",
        "routes": [{ "path_prefix": "/" }],
        "nodes": [{ "address": origin.address().to_string() }],
    })
}

#[test]
fn an_engine_of_one_admin_is_shown_by_the_other_until_it_is_gone_and_forgotten() {
    let origin = Origin::named("one");
    let pair = Pair::serving(&origin);
    let head = pair.one.1.get("/status").expect(200).json()["revision"].clone();
    eventually("both show it with the newest revision", PATIENCE, || {
        pair.instances().iter().all(|all| {
            all.as_array().unwrap().len() == 1
                && all[0]["state"] == "up"
                && all[0]["revision_applied"] == head
        })
    });
    let load = Load::on(pair.engine.listener("web")).connections(2).start();
    eventually("the other shows its requests, of all and of the service", PATIENCE, || {
        let now = pair.two.1.get("/overview").expect(200).json();
        now["qps"].as_f64().is_some_and(|qps| qps > 1.0) && now["by_service"][0]["name"] == "site"
    });
    drop(load.stop());
    let [_, there] = pair.instances();
    let name = there[0]["instance"].as_str().unwrap().to_owned();
    pair.two.1.delete(&format!("/instances/{name}")).refused(409, "conflict");
    let Pair { one, two, engine, _server } = pair;
    drop(engine);
    let states = |client: &AdminClient| -> Vec<Value> {
        let all = client.get("/instances").expect(200).json();
        all.as_array().unwrap().iter().map(|it| it["state"].clone()).collect()
    };
    eventually("both show that it is gone", PATIENCE, || {
        [&one, &two].iter().all(|it| states(&it.1) == ["gone"])
    });
    two.1.delete(&format!("/instances/{name}")).expect(204);
    assert!(states(&two.1).is_empty());
}

#[test]
fn what_is_saved_at_the_other_admin_is_served_and_neither_is_needed_for_the_rest() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let pair = Pair::serving(&one);
    let web = pair.engine.listener("web");
    let answers = || Client::connect(web).get("/").text();
    assert_eq!(answers(), "one");
    let other = &pair.two.1;
    eventually("the other admin has seen it", PATIENCE, || other.get("/services/site").answer.status == 200);
    let version = other.get("/services/site").expect(200).json()["item"]["version"].clone();
    other.put("/services/site", &json!({ "body": service(&two), "version": version })).expect(200);
    eventually("the engine serves it", PATIENCE, || answers() == "two");
}

#[test]
fn an_engine_is_not_sent_back_by_the_admin_that_has_not_seen_the_newest_revision_yet() {
    let origin = Origin::named("one");
    let pair = Pair::serving(&origin);
    let token = pair.one.0.token("engine", "another");
    // What a balancer does that sends the requests of an engine to either admin.
    let ask = |admin: &Admin, known: &str| {
        let request = get("/engine/v1/snapshot")
            .field("Host", &admin.address().to_string())
            .field("Authorization", &format!("Bearer {token}"))
            .field("If-None-Match", known);
        Client::connect(admin.address()).ask(&request)
    };
    let mut known = ask(&pair.one.0, "").field("etag").unwrap().to_owned();
    for round in 0..20 {
        let body = json!({ "name": format!("more-{round}"), "nodes": [{ "address": "127.0.0.1:1" }] });
        pair.one.1.post("/services", &json!({ "body": body })).expect(201);
        eventually("the admin where it was saved gives it out", PATIENCE, || {
            let answer = ask(&pair.one.0, &known);
            let is_new = answer.status == 200;
            if is_new {
                known = answer.field("etag").unwrap().to_owned();
            }
            is_new
        });
        let answer = ask(&pair.two.0, &known);
        assert_eq!(answer.status, 304, "round {round}: {known} is followed by {:?}", answer.field("etag"));
    }
    // What is newer than all there is comes from a database that is no more.
    let answer = ask(&pair.two.0, "\"1000-0\"");
    assert_eq!((answer.status, answer.field("etag").unwrap()), (200, known.as_str()));
}
