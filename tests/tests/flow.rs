//! Flow statistics: what the ops address tells without a Redis, and what is written to one.

use coregate_tests::redis::Reply;
use coregate_tests::wait::over;
use coregate_tests::{Gateway, Origin, PATIENCE, Redis, eventually, get, service};
use rustix::process::Signal;
use serde_json::Value;

const TENANT: &str = "[[tenants]]\napp_id = \"app\"\nsecret = \"s\"\nrequests_per_day = 1000\n";

/// `[stats]` with an interval of 100 ms.
fn stats(url: &str) -> String {
    format!("[stats]\ninterval = \"100ms\"\nkey_prefix = \"gw:\"\nredis_url = \"{url}\"\n")
}

fn flow(gateway: &Gateway, query: &str) -> Value {
    let answer = gateway.ops(&format!("/api/v1/flow{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// Of today and yesterday: midnight may pass at any time.
fn requests(subject: &Value) -> u64 {
    ["today", "yesterday"].iter().map(|day| subject[day]["requests"].as_u64().expect("a number")).sum()
}

#[test]
fn without_a_redis_the_figures_are_on_the_ops_address() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).text("[stats]\ninterval = \"100ms\"").start();
    for _ in 0..20 {
        gateway.get("/").expect(200, "a");
    }
    eventually("all requests are counted", PATIENCE, || requests(&flow(&gateway, "")["site"]) == 20);
    let flow = flow(&gateway, "?service=site");
    let site = &flow["services"]["site"];
    assert_eq!(requests(site), 20);
    assert_eq!(site["since_start"]["answers"]["2xx"], 20);
    assert_eq!(site["since_start"]["endings"]["done"]["complete"], 20);
    let latency = &site["since_start"]["latency_us"];
    assert_eq!(latency["total"]["count"], 20);
    assert!(latency["total"]["max"].as_u64() >= latency["total"]["p50"].as_u64(), "{latency}");
    assert_eq!(flow["redis"], Value::Null);
}

#[test]
fn days_and_hours_are_counted_in_redis_and_have_an_end() {
    let (redis, origin) = (Redis::start(), Origin::named("a"));
    let gateway = Gateway::before(&origin).text(&stats(&redis.url())).start();
    for _ in 0..7 {
        gateway.get("/").expect(200, "a");
    }
    for pattern in ["day", "hour"] {
        for id in ["flow_total", "flow_service_site"] {
            let pattern = format!("gw:flow_{pattern}_*_{id}");
            eventually(&pattern, PATIENCE, || redis.sum(&pattern) == 7);
        }
    }
    for key in redis.keys("gw:*") {
        let seconds = redis.command(&["TTL", &key]).number();
        assert!((1..=48 * 3600).contains(&seconds), "{key}: {seconds} s");
    }
    let written = flow(&gateway, "?scope=cluster&service=site");
    assert_eq!((requests(&written["site"]), requests(&written["services"]["site"])), (7, 7));
    assert_eq!(gateway.metric("coregate_redis_up", &[]), 1.0);
    assert!(gateway.metric("coregate_flow_flushes_total", &["confirmed"]) >= 1.0);
}

#[test]
fn two_gateways_add_to_the_same_counters() {
    let (redis, origin) = (Redis::start(), Origin::named("a"));
    let builder = Gateway::before(&origin).text(&stats(&redis.url()));
    let gateways = [builder.start(), builder.start()];
    for gateway in &gateways {
        gateway.get("/").expect(200, "a");
        gateway.get("/").expect(200, "a");
    }
    eventually("four requests", PATIENCE, || redis.sum("gw:flow_day_*_flow_total") == 4);
    assert_eq!(requests(&flow(&gateways[0], "")["site"]), 2, "its own");
    assert_eq!(requests(&flow(&gateways[0], "?scope=cluster")["site"]), 4, "all");
}

#[test]
fn an_interval_is_one_script_call_whatever_the_load() {
    let (redis, origin) = (Redis::start(), Origin::named("a"));
    let gateway = Gateway::before(&origin).text(&stats(&redis.url()).replace("100ms", "500ms")).start();
    gateway.get("/").expect(200, "a");
    eventually("a first flush", PATIENCE, || redis.sum("gw:flow_day_*_flow_total") == 1);
    let load = coregate_tests::Load::on(gateway.address()).start();
    let (before, began) = (redis.calls("evalsha"), coregate_tests::wait::now());
    let calls = over(std::time::Duration::from_secs(3), || redis.calls("evalsha") - before);
    let intervals = began.elapsed().as_secs_f64() / 0.5;
    let answered = load.stop().ok;
    assert!(answered > 100, "{answered} requests are a load");
    assert!(calls >= 1, "it is written");
    #[allow(clippy::cast_precision_loss, reason = "a few calls")]
    let calls = calls as f64;
    assert!(calls <= intervals + 1.0, "{calls} calls in {intervals} intervals");
    assert_eq!(redis.calls("eval"), 1, "the script's text is sent once");
}

#[test]
fn what_was_used_of_a_tenants_day_is_known_after_a_restart() {
    let (redis, origin) = (Redis::start(), Origin::named("a"));
    // Today, and should midnight pass now, tomorrow.
    let now = redis.command(&["TIME"]);
    let Reply::List(time) = &now else { panic!("{now:?}") };
    for day in [time[0].number(), time[0].number() + 86_400] {
        redis.command(&["SET", &format!("gw:quota_day_{}_app", date(day)), "41"]);
    }
    let gateway = Gateway::before(&origin).text(TENANT).text(&stats(&redis.url())).start();
    eventually("the quota is read", PATIENCE, || {
        let quota = &flow(&gateway, "?tenant=app")["tenants"]["app"]["quota"];
        quota["used"] == 41 && quota["used_by_others"] == 41
    });
}

#[test]
fn a_day_that_is_used_up_stays_so_when_the_gateway_is_restarted() {
    let (redis, origin) = (Redis::start(), Origin::named("a"));
    // A zone in which no day ends now.
    let now = redis.command(&["TIME"]);
    let Reply::List(time) = &now else { panic!("{now:?}") };
    let zone = if (1..23).contains(&(time[0].number() / 3600 % 24)) { "UTC" } else { "Etc/GMT+6" };
    let site = service("site").route("/").node(&origin).with("access.require_tenant = true");
    let text = format!("{}timezone = {zone:?}\n{}", stats(&redis.url()), TENANT.replace("1000", "10"));
    let builder = Gateway::with(site).text(&text);
    // app:s in base64
    let asked = get("/").field("Authorization", "Basic YXBwOnM=");
    let first = builder.start();
    for _ in 0..10 {
        first.client().ask(&asked).expect(200, "a");
    }
    first.client().ask(&asked).expect_error(429, "quota_exhausted");
    eventually("it is written", PATIENCE, || redis.sum("gw:quota_day_*_app") == 10);
    drop(first);
    let second = builder.start();
    eventually("the quota is read", PATIENCE, || {
        flow(&second, "?tenant=app")["tenants"]["app"]["quota"]["used"] == 10
    });
    second.client().ask(&asked).expect_error(429, "quota_exhausted");
}

/// `YYYYMMDD` in UTC (days to civil, Howard Hinnant's chrono-compatible algorithms).
fn date(unix: i64) -> String {
    let days = unix.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}")
}

#[test]
fn sigterm_writes_the_last_interval() {
    let (redis, origin) = (Redis::start(), Origin::named("a"));
    let text = stats(&redis.url()).replace("100ms", "1h");
    let mut gateway = Gateway::before(&origin).text(&text).start();
    for _ in 0..5 {
        gateway.get("/").expect(200, "a");
    }
    assert_eq!(redis.keys("gw:*"), Vec::<String>::new(), "the interval is long");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
    assert_eq!(redis.sum("gw:flow_day_*_flow_total"), 5);
    assert_eq!(redis.sum("gw:flow_hour_*_flow_service_site"), 5);
    gateway.expect_output("all flow counters are written to Redis");
}

#[test]
fn an_end_without_redis_says_what_is_lost_and_does_not_wait_for_ever() {
    let (mut redis, origin) = (Redis::start(), Origin::named("a"));
    let text = stats(&redis.url()).replace("100ms", "1h");
    let mut gateway = Gateway::before(&origin).text(&text).start();
    gateway.expect_output("connected to Redis");
    gateway.get("/").expect(200, "a");
    redis.kill();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(0));
    gateway.expect_output("could not be written to Redis and are lost");
    gateway.expect_output("requests=1");
}

#[test]
fn a_second_sigterm_does_not_wait_for_redis() {
    let (redis, origin) = (Redis::start(), Origin::named("a"));
    let text = stats(&redis.url()).replace("100ms", "1h");
    let mut gateway = Gateway::before(&origin).text(&text).start();
    gateway.expect_output("connected to Redis");
    gateway.get("/").expect(200, "a");
    redis.pause();
    gateway.signal(Signal::TERM);
    gateway.expect_output("draining");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_exit(PATIENCE).code(), Some(143));
    redis.resume();
}
