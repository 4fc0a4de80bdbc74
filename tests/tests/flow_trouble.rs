//! A Redis that cannot do what it is asked for: the gateway serves, keeps what it counted, says what is wrong and what
//! would be right, and writes it all when it can.

use coregate_tests::gateway::Tool;
use coregate_tests::redis::Reply;
use coregate_tests::{Gateway, Origin, PATIENCE, Redis, eventually};

fn stats(url: &str) -> String {
    format!("[stats]\ninterval = \"100ms\"\nredis_url = \"{url}\"\n")
}

fn total(redis: &Redis) -> [i64; 2] {
    [redis.sum("flow_day_*_flow_total"), redis.sum("flow_hour_*_flow_total")]
}

/// Serves some requests while Redis is of no use, and says so with these words.
#[track_caller]
fn serves_and_says(gateway: &Gateway, words: &[&str]) {
    for _ in 0..3 {
        gateway.get("/").expect(200, "a");
    }
    for words in words {
        gateway.expect_output(words);
    }
    eventually("it is not up", PATIENCE, || gateway.metric("coregate_redis_up", &[]) == 0.0);
    eventually("counts wait", PATIENCE, || gateway.metric("coregate_flow_pending_keys", &[]) >= 4.0);
    eventually("an attempt failed", PATIENCE, || {
        gateway.metric("coregate_flow_flushes_total", &["failed"]) >= 1.0
    });
}

#[track_caller]
fn recovers(gateway: &Gateway, redis: &Redis) {
    eventually("all is written", PATIENCE, || total(redis) == [3; 2]);
    eventually("it is up", PATIENCE, || gateway.metric("coregate_redis_up", &[]) == 1.0);
    assert_eq!(gateway.metric("coregate_flow_dropped_counts_total", &[]), 0.0);
}

#[test]
fn a_redis_that_is_not_there_at_the_start_is_waited_for() {
    let (mut redis, origin) = (Redis::builder().stopped(), Origin::named("a"));
    let gateway = Gateway::before(&origin).text(&stats(&redis.url())).start();
    serves_and_says(
        &gateway,
        &["Redis does not work", "Connection refused", "is redis-server running there?"],
    );
    let answer = gateway.ops("/api/v1/flow?scope=cluster");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(
        answer.text().contains("redis_unreachable") && answer.text().contains("refused"),
        "{}",
        answer.text()
    );
    redis.restart();
    recovers(&gateway, &redis);
    gateway.expect_output("connected to Redis again");
}

#[test]
fn a_wrong_password_is_named() {
    let (redis, origin) = (Redis::builder().password("right").start(), Origin::named("a"));
    let url = redis.url().replace("right", "wrong-secret");
    let gateway = Gateway::before(&origin).text(&stats(&url)).start();
    serves_and_says(&gateway, &["WRONGPASS", "check user and password in stats.redis_url"]);
    assert!(!gateway.output().contains("wrong-secret"), "no password in the log");
    redis.command(&["CONFIG", "SET", "requirepass", "wrong-secret"]);
    eventually("it is up", PATIENCE, || gateway.metric("coregate_redis_up", &[]) == 1.0);
}

#[test]
fn a_missing_password_is_named() {
    let (redis, origin) = (Redis::builder().password("right").start(), Origin::named("a"));
    let url = redis.url().replace(":right@", "");
    let gateway = Gateway::before(&origin).text(&stats(&url)).start();
    serves_and_says(&gateway, &["NOAUTH", "it wants a password"]);
}

#[test]
fn a_replica_takes_nothing_until_it_is_a_master() {
    let (master, origin) = (Redis::start(), Origin::named("a"));
    let replica = Redis::builder().with(&format!("replicaof 127.0.0.1 {}", master.address().port())).start();
    let gateway = Gateway::before(&origin).text(&stats(&replica.url())).start();
    serves_and_says(&gateway, &["READONLY", "it is a replica: name the master"]);
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    recovers(&gateway, &replica);
}

#[test]
fn a_full_redis_takes_nothing_until_there_is_room() {
    let (redis, origin) = (Redis::builder().with("maxmemory-policy noeviction").start(), Origin::named("a"));
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let gateway = Gateway::before(&origin).text(&stats(&redis.url())).start();
    serves_and_says(&gateway, &["OOM", "raise its maxmemory"]);
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    recovers(&gateway, &redis);
    gateway.expect_output("Redis works again");
}

#[test]
fn a_key_of_another_type_holds_up_no_other_and_loses_nothing() {
    let (redis, origin) = (Redis::start(), Origin::named("a"));
    let gateway = Gateway::before(&origin).text(&stats(&redis.url())).start();
    gateway.get("/").expect(200, "a");
    eventually("the key is there", PATIENCE, || redis.sum("flow_day_*_flow_total") == 1);
    let key = redis.keys("flow_day_*_flow_total").remove(0);
    redis.command(&["RENAME", &key, "aside"]);
    redis.command(&["LPUSH", &key, "not a counter"]);
    gateway.get("/").expect(200, "a");
    gateway.get("/").expect(200, "a");
    gateway.expect_output("WRONGTYPE");
    gateway.expect_output(&key);
    eventually("the others are written", PATIENCE, || redis.sum("flow_hour_*_flow_total") == 3);
    assert!(gateway.metric("coregate_flow_refused_keys_total", &[]) >= 1.0);
    assert_eq!(gateway.metric("coregate_redis_up", &[]), 1.0, "the server is well");
    redis.command(&["DEL", &key]);
    redis.command(&["RENAME", "aside", &key]);
    eventually("what was refused is written", PATIENCE, || total(&redis) == [3; 2]);
}

#[test]
fn a_script_that_is_forgotten_is_sent_again() {
    let (redis, origin) = (Redis::start(), Origin::named("a"));
    let gateway = Gateway::before(&origin).text(&stats(&redis.url())).start();
    gateway.get("/").expect(200, "a");
    eventually("a first flush", PATIENCE, || total(&redis) == [1; 2]);
    assert_eq!(redis.command(&["SCRIPT", "FLUSH"]), Reply::Text("OK".into()));
    gateway.get("/").expect(200, "a");
    eventually("a second one", PATIENCE, || total(&redis) == [2; 2]);
}

#[test]
fn an_address_that_cannot_be_is_refused_by_check_and_at_the_start() {
    for (line, said) in [
        ("redis_url = \"redis://user:hidden@localhost/banana\"", "stats.redis_url: cannot be read"),
        ("redis_url = \"redis-sentinel://localhost\"", "?sentinelServiceName=NAME"),
        ("redis_url = \"redis://localhost?cluster=1\"", "unknown parameter"),
        ("redis_url = \"redis-cluster://localhost\"\nkey_prefix = \"a}b\"", "stats.key_prefix"),
    ] {
        let builder = Gateway::empty().text(&format!("[stats]\n{line}\n"));
        let finished = builder.start_and_finish();
        assert_eq!(finished.code, Some(1), "{line}");
        assert!(finished.output.contains(said) && !finished.output.contains("hidden"), "{}", finished.output);
        let gateway = Gateway::empty().start();
        gateway.write_text(&builder.config_for(&gateway));
        let checked = Tool::start(&["check", "--config", gateway.config_path().to_str().unwrap()]).finish();
        assert_eq!(checked.code, Some(1), "{line}");
        assert!(checked.output.contains(said) && !checked.output.contains("hidden"), "{}", checked.output);
    }
}
