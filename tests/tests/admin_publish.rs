//! What is saved at the admin is served by every engine, soon; and what engines do is seen at the admin.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use std::net::SocketAddr;
use std::time::Duration;

use coregate_tests::admin::Admin;
use coregate_tests::admin_client::AdminClient;
use coregate_tests::certs::Authority;
use coregate_tests::gateway::Builder;
use coregate_tests::{Client, Gateway, Load, Origin, PATIENCE, Redis, eventually, wait};
use serde_json::{Value, json};

/// An admin, and a program that may change things.
struct Site {
    admin: Admin,
    operator: AdminClient,
}

impl Site {
    /// With a listener on any free port and a service `/` on that node.
    fn with(origin: &Origin, arguments: &[&str]) -> Site {
        let builder = arguments.iter().fold(Admin::builder(), |builder, it| builder.argument(it));
        let admin = builder.start();
        let operator = admin.program("operator");
        let site = Site { admin, operator };
        site.create("/listeners", &json!({ "name": "web", "address": "127.0.0.1:0" }));
        site.create("/services", &service(origin.address()));
        site
    }

    #[track_caller]
    fn create(&self, path: &str, body: &Value) {
        self.operator.post(path, &json!({ "body": body })).expect(201);
    }

    /// Saves the service anew.
    #[track_caller]
    fn save(&self, body: &Value) {
        let version = self.get("/services/site")["item"]["version"].clone();
        self.operator.put("/services/site", &json!({ "body": body, "version": version })).expect(200);
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.operator.get(path).expect(200).json()
    }

    fn engine(&self, name: &str) -> Builder {
        Gateway::empty().following(&self.admin.url(), &self.admin.token("engine", name))
    }

    /// How the instances are.
    fn states(&self) -> Vec<String> {
        let instances = self.get("/instances");
        instances.as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
    }
}

fn service(node: SocketAddr) -> Value {
    json!({
        "name": "site",
        "routes": [{ "path_prefix": "/" }],
        "nodes": [{ "address": node.to_string() }],
    })
}

fn body(engine: &Gateway) -> String {
    Client::connect(engine.listener("web")).get("/").text()
}

#[test]
fn what_is_saved_is_served_by_two_engines_at_once() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let site = Site::with(&one, &[]);
    let engines = [site.engine("a").start(), site.engine("b").start()];
    let webs = engines.each_ref().map(|engine| engine.listener("web"));
    engines.iter().for_each(|engine| assert_eq!(body(engine), "one"));
    // Both wait at the admin by now.
    eventually("both report", PATIENCE, || site.states() == ["up", "up"]);
    let began = wait::now();
    site.save(&service(two.address()));
    eventually("both serve it", PATIENCE, || {
        webs.iter().all(|web| Client::connect(*web).get("/").text() == "two")
    });
    let took = began.elapsed();
    // Because both waited for it at the admin: they would ask again after 25 seconds. How long it takes is measured by
    // `bench/compare.sh --scenario admin`.
    assert!(took < Duration::from_secs(5), "{took:?}");
    let head = site.get("/status")["revision"].clone();
    eventually("the admin knows", PATIENCE, || {
        let instances = site.get("/instances");
        instances.as_array().unwrap().iter().all(|it| it["revision_applied"] == head && it["state"] == "up")
    });
}

#[test]
fn an_admin_that_is_killed_and_started_costs_no_request() {
    let origin = Origin::named("one");
    let mut site = Site::with(&origin, &[]);
    let mut engine = site.engine("a").start();
    let load = Load::on(engine.listener("web")).connections(4).start();
    site.admin.kill();
    eventually("the engine has noticed", PATIENCE, || engine.metric("coregate_admin_up", &[]) == 0.0);
    let answered = load.answered();
    eventually("it goes on serving", PATIENCE, || load.answered() > answered + 100);
    site.admin.start_again();
    eventually("the engine is back", PATIENCE, || site.states() == ["up"]);
    let tally = load.stop();
    assert!(tally.failed.is_empty(), "{tally:?}");
    // And it starts with its copy where there is no admin.
    site.admin.kill();
    engine.restart();
    engine.expect_ready();
    assert_eq!(body(&engine), "one");
}

#[test]
fn instances_lag_are_gone_and_can_be_forgotten() {
    let origin = Origin::named("one");
    let site = Site::with(&origin, &[]);
    let engine = site.engine("a").start();
    eventually("it reports", PATIENCE, || site.states() == ["up"]);
    eventually("it takes requests", PATIENCE, || site.get("/instances")[0]["ready"] == true);
    let instance = site.get("/instances")[0].clone();
    assert_eq!(instance["shards"], 2);
    let path = format!("/instances/{}", instance["instance"].as_str().unwrap());
    site.operator.delete(&path).expect(409);
    // What only this engine cannot do.
    let mut shared = service(origin.address());
    shared["limits"] = json!({ "requests_per_second": 1000, "scope": "cluster" });
    site.save(&shared);
    eventually("it was refused", PATIENCE, || site.states() == ["refused"]);
    let refused = site.get("/instances")[0]["refused"].clone();
    assert_eq!(refused["problems"][0]["key"], "services[0].limits.scope", "{refused}");
    assert_eq!(body(&engine), "one");
    assert_eq!(site.get("/overview")["instances"]["refused"], 1);
    drop(engine);
    eventually("it is gone", PATIENCE, || site.states() == ["gone"]);
    site.operator.delete(&path).expect(204);
    assert_eq!(site.get("/instances"), json!([]));
    let audit = site.get("/audit?action=instance_forgotten");
    let name = format!("instance:{}", instance["instance"].as_str().unwrap());
    assert_eq!((&audit["total"], &audit["items"][0]["object"]), (&json!(1), &json!(name)), "{audit}");
    assert_eq!(audit["items"][0]["actor"], "token:test-operator");
    site.operator.delete(&path).expect(404);
}

#[test]
fn an_engine_needs_a_token_of_its_own_role() {
    let origin = Origin::named("one");
    let site = Site::with(&origin, &[]);
    let wrong = Gateway::empty().following(&site.admin.url(), site.operator.token().unwrap()).start_unready();
    wrong.expect_output("refuses the token in control.token_file");
    eventually("it says why", PATIENCE, || wrong.ops("/readyz").text().contains("refuses the token"));
    std::fs::write(wrong.file("token"), site.admin.token("engine", "a")).unwrap();
    wrong.expect_ready();
    assert_eq!(body(&wrong), "one");
}

#[test]
fn a_certificate_out_of_the_store_is_served() {
    let (authority, origin) = (Authority::new(), Origin::named("one"));
    let site = Site::with(&origin, &[]);
    let pair = authority.sign("one", &["one.test"]);
    let text = |path| std::fs::read_to_string(path).unwrap();
    let certificate = json!({ "name": "one", "chain": text(&pair.chain), "key": text(&pair.key) });
    site.create("/certificates", &certificate);
    let listener = json!({
        "name": "https",
        "address": "127.0.0.1:0",
        "protocol": "https",
        "certificates": [{ "certificate": "one" }],
    });
    site.create("/listeners", &listener);
    let engine = site.engine("a").start();
    authority.curl("one.test", engine.listener("https"), "/", &[]).expect(200, "one");
}

#[test]
fn flow_is_summed_over_engines_and_survives_the_admin() {
    let origin = Origin::named("one");
    let mut site = Site::with(&origin, &[]);
    let engines = [site.engine("a").start(), site.engine("b").start()];
    for engine in &engines {
        let mut client = Client::connect(engine.listener("web"));
        (0..10).for_each(|_| assert_eq!(client.get("/").status, 200));
    }
    let today = |site: &Site, query: &str| site.get(&format!("/flow?{query}"))["today"]["requests"].clone();
    for query in ["scope=site", "scope=service&name=site"] {
        eventually("both are counted", PATIENCE, || today(&site, query) == 20);
    }
    let flow = site.get("/flow");
    assert_eq!((&flow["source"], &flow["timezone"]), (&json!("engines"), &json!("UTC")));
    assert_eq!(flow["today"]["hours"].as_array().unwrap().len(), 24);
    assert_eq!(site.get("/overview")["by_service"][0]["name"], "site");
    site.admin.kill();
    site.admin.start_again();
    eventually("engines tell all that they know", PATIENCE, || today(&site, "scope=service&name=site") == 20);
    site.operator.get("/flow?scope=service&name=none").expect(404);
}

#[test]
fn flow_out_of_redis_is_what_all_engines_have_written() {
    let (redis, origin) = (Redis::start(), Origin::named("one"));
    let site = Site::with(&origin, &["--redis", &redis.url(), "--key-prefix", "t:"]);
    let stats = format!("[stats]\nredis_url = {:?}\nkey_prefix = \"t:\"", redis.url());
    let engine = site.engine("a").text(&stats).start();
    let mut client = Client::connect(engine.listener("web"));
    (0..10).for_each(|_| assert_eq!(client.get("/").status, 200));
    eventually("Redis has it", PATIENCE, || {
        let flow = site.get("/flow?scope=service&name=site");
        flow["source"] == "redis" && flow["today"]["requests"] == 10
    });
    let flow = site.get("/flow");
    let sum: u64 = flow["today"]["hours"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
    assert_eq!(sum, 10, "{flow}");
}

#[test]
fn a_stream_tells_figures_each_second_and_new_revisions() {
    let origin = Origin::named("one");
    let site = Site::with(&origin, &[]);
    let engine = site.engine("a").start();
    let mut stream = Client::connect(site.admin.address());
    stream.send(site.operator.request("GET", "/live").bytes());
    let (status, fields) = stream.read_head();
    assert_eq!((status, fields.get("content-type")), (200, Some("text/event-stream")));
    let load = Load::on(engine.listener("web")).connections(2).start();
    let mut heard = String::new();
    let mut hear = |text: &str| {
        let deadline = wait::Deadline::after(PATIENCE);
        while !heard.contains(text) {
            assert!(deadline.left().is_some(), "not heard: {text} in {heard}");
            heard.push_str(&String::from_utf8_lossy(&stream.read_exact(1)));
        }
    };
    hear("event: figures\n");
    hear("\"services\":[{\"name\":\"site\",\"qps\":");
    site.create("/services", &json!({ "name": "more" }));
    hear("event: revision\n");
    load.stop();
}
