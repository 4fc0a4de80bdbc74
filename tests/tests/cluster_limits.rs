//! Limits that all processes of a cluster share: together they admit what one would, with and without their Redis.

use std::ops::Range;
use std::time::{Duration, Instant};

use coregate_tests::redis::Reply;
use coregate_tests::wait::{now, over};
use coregate_tests::{Gateway, Origin, PATIENCE, Redis, eventually, service};
use rustix::process::Signal;

const RATE: f64 = 100.0;
const BURST: f64 = 100.0;
/// Beyond burst + rate x time, as `limit/cluster.rs` states it: a lease's tokens.
const ERROR: f64 = RATE * 0.1;

/// A server that writes nothing to its disk, so that a slow disk is not taken for a server that does not answer.
fn forgetful() -> coregate_tests::redis::Builder {
    Redis::builder().with("appendonly no").with("save \"\"")
}

/// A gateway whose service `site` shares its limit with others of that Redis.
fn sharing(redis: &Redis, origin: &Origin, limits: &str) -> coregate_tests::gateway::Builder {
    let limits = format!("limits = {{ {limits}, scope = \"cluster\" }}");
    Gateway::with(service("site").route("/").node(origin).with(&limits)).text(&format!(
        "[stats]\ninterval = \"100ms\"\nkey_prefix = \"gw:\"\nredis_url = \"{}\"\n",
        redis.url()
    ))
}

fn limits() -> String {
    format!("requests_per_second = {RATE}, burst = {BURST}")
}

/// Waits until the limit of `site` is shared, or is not.
#[track_caller]
fn expect_shared(gateway: &Gateway, shared: bool) {
    let line = format!("coregate_limit_cluster_degraded{{service=\"site\"}} {}", u8::from(!shared));
    eventually(&line, PATIENCE, || gateway.ops("/metrics").text().lines().any(|it| it == line));
}

/// Asks a gateway as fast as it answers, until then; how many it admitted and refused.
fn drive(gateway: &Gateway, until: Instant) -> (f64, u64) {
    let mut client = gateway.client();
    let (mut admitted, mut refused) = (0.0, 0);
    while now() < until {
        match client.get("/").status {
            200 => admitted += 1.0,
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    (admitted, refused)
}

/// Drives all of them at once; what each admitted, and how long it took at least and at most.
fn drive_all(gateways: &[&Gateway], time: Duration) -> (Vec<f64>, Range<f64>) {
    let began = now();
    let tallies: Vec<(f64, u64)> = std::thread::scope(|scope| {
        let drives: Vec<_> =
            gateways.iter().map(|gateway| scope.spawn(move || drive(gateway, began + time))).collect();
        drives.into_iter().map(|drive| drive.join().expect("a drive ends")).collect()
    });
    let longest = began.elapsed().as_secs_f64();
    println!("admitted and refused: {tallies:?}");
    for (admitted, refused) in &tallies {
        assert!(*refused > 0, "there must be more demand than the rate ({admitted} admitted)");
    }
    (tallies.into_iter().map(|(admitted, _)| admitted).collect(), time.as_secs_f64()..longest)
}

#[test]
fn two_processes_share_one_limit_and_none_of_it_is_lost() {
    let (redis, origin) = (forgetful().start(), Origin::named("a"));
    let gateways = [sharing(&redis, &origin, &limits()).start(), sharing(&redis, &origin, &limits()).start()];
    gateways.iter().for_each(|gateway| expect_shared(gateway, true));
    let (admitted, seconds) = drive_all(&[&gateways[0], &gateways[1]], Duration::from_secs(4));
    let all: f64 = admitted.iter().sum();
    let most = BURST + RATE * seconds.end + ERROR;
    let least = 0.99 * RATE * seconds.start;
    assert!((least..=most).contains(&all), "{admitted:?} in {seconds:?} s, expected {least} to {most}");
    assert!(admitted.iter().all(|one| *one > all / 10.0), "both have a part of it: {admitted:?}");
    // One of them alone gets all of it, too; the other one has been idle since.
    let (alone, seconds) = drive_all(&[&gateways[1]], Duration::from_secs(3));
    let most = BURST + RATE * seconds.end + ERROR;
    // Less what is in its stock at the end, and what the other one had in its own until it noticed that it is idle.
    let least = 0.9 * RATE * seconds.start;
    assert!((least..=most).contains(&alone[0]), "{alone:?} in {seconds:?} s, expected {least} to {most}");
}

#[test]
fn without_its_redis_each_goes_on_with_its_share_and_says_so() {
    let (mut redis, origin) = (forgetful().start(), Origin::named("a"));
    let gateways = [sharing(&redis, &origin, &limits()).start(), sharing(&redis, &origin, &limits()).start()];
    gateways.iter().for_each(|gateway| expect_shared(gateway, true));
    // So that each has heard of the other.
    drive_all(&[&gateways[0], &gateways[1]], Duration::from_secs(1));
    redis.kill();
    for gateway in &gateways {
        expect_shared(gateway, false);
        gateway.expect_output("limits of the cluster are not shared");
    }
    let (admitted, seconds) = drive_all(&[&gateways[0], &gateways[1]], Duration::from_secs(3));
    for one in &admitted {
        let most = BURST / 2.0 + RATE / 2.0 * seconds.end + ERROR;
        let least = 0.98 * RATE / 2.0 * seconds.start;
        assert!(
            (least..=most).contains(one),
            "{admitted:?} in {seconds:?} s, expected {least} to {most} of each"
        );
    }
    redis.restart();
    for gateway in &gateways {
        expect_shared(gateway, true);
        gateway.expect_output("limits of the cluster are shared again");
    }
    let (admitted, seconds) = drive_all(&[&gateways[0], &gateways[1]], Duration::from_secs(3));
    let all: f64 = admitted.iter().sum();
    let most = BURST + RATE * seconds.end + ERROR;
    assert!(all <= most, "{admitted:?} in {seconds:?} s, expected at most {most}");
    let text = gateways[0].output();
    assert_eq!(text.matches("limits of the cluster are not shared").count(), 1, "it is said once");
}

#[test]
fn a_redis_that_stands_still_keeps_nobody_waiting() {
    let (redis, origin) = (forgetful().start(), Origin::named("a"));
    let gateway = sharing(&redis, &origin, &limits()).start();
    expect_shared(&gateway, true);
    redis.pause();
    // The first ask that is not answered is noticed a second later, and requests go on meanwhile.
    drive_all(&[&gateway], Duration::from_secs(2));
    expect_shared(&gateway, false);
    let (admitted, seconds) = drive_all(&[&gateway], Duration::from_secs(2));
    assert!(admitted[0] >= 0.98 * RATE * seconds.start, "{admitted:?}: the only process has all of the rate");
    redis.resume();
    expect_shared(&gateway, true);
}

#[test]
fn a_gateway_starts_without_its_redis_and_shares_when_it_comes() {
    let (mut redis, origin) = (forgetful().stopped(), Origin::named("a"));
    let gateway = sharing(&redis, &origin, "requests_per_second = 0.01, burst = 3").start();
    expect_shared(&gateway, false);
    gateway.get("/").expect(200, "a");
    redis.restart();
    expect_shared(&gateway, true);
    assert_eq!(redis.keys("gw:limit_*"), ["gw:limit_site"]);
    assert!(redis.command(&["PTTL", "gw:limit_site"]).number() > 0, "it is forgotten some day");
}

#[test]
fn a_burst_is_there_at_once_and_an_idle_limit_asks_hardly_anything() {
    let (redis, origin) = (forgetful().start(), Origin::named("a"));
    let gateway = sharing(&redis, &origin, "requests_per_second = 0.01, burst = 20").start();
    expect_shared(&gateway, true);
    let mut client = gateway.client();
    let asks = || redis.calls("evalsha") + redis.calls("eval");
    over(Duration::from_secs(2), || ());
    let before = asks();
    over(Duration::from_secs(3), || ());
    assert!(asks() - before <= 1, "{} asks of an idle limit", asks() - before);
    for _ in 0..20 {
        client.get("/").expect(200, "a");
    }
    // The bucket has one token beyond its burst, which comes sooner or later.
    let refused: Vec<_> = (0..20).map(|_| client.get("/")).filter(|answer| answer.status != 200).collect();
    assert!(refused.len() >= 19, "{} of 20", refused.len());
    let refused = refused.last().expect("most are");
    refused.expect_error(429, "rate_limited");
    let wait: u64 = refused.field("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..=200).contains(&wait), "{wait}");
    assert_eq!(refused.field("ratelimit-policy"), Some("\"service\";q=20;w=2000"));
}

#[test]
fn who_ends_gives_back_what_it_has() {
    let (redis, origin) = (forgetful().start(), Origin::named("a"));
    let limits = "requests_per_second = 0.01, burst = 10";
    let mut first = sharing(&redis, &origin, limits).start();
    expect_shared(&first, true);
    first.get("/").expect(200, "a");
    first.signal(Signal::TERM);
    assert!(first.wait_exit(PATIENCE).success());
    let Reply::List(fields) = redis.command(&["HKEYS", "gw:limit_site"]) else {
        panic!("HKEYS answers a list")
    };
    let mut fields: Vec<&str> = fields.iter().map(Reply::text).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["at", "tokens"], "no process has a lease");
    let tokens: f64 = redis.command(&["HGET", "gw:limit_site", "tokens"]).text().parse().expect("a number");
    assert!((9.9..=10.1).contains(&tokens), "eleven, with the slack, but for one: {tokens}");
    let second = sharing(&redis, &origin, limits).start();
    expect_shared(&second, true);
    let admitted = (0..20).filter(|_| second.get("/").status == 200).count();
    assert!((9..=11).contains(&admitted), "{admitted}: what the first one has spent is spent");
}

#[test]
fn a_rate_that_is_changed_holds_for_all_of_them_and_gives_no_tokens_away() {
    const LOWER: f64 = 40.0;
    let (redis, origin) = (forgetful().start(), Origin::named("a"));
    let gateways = [sharing(&redis, &origin, &limits()).start(), sharing(&redis, &origin, &limits()).start()];
    gateways.iter().for_each(|gateway| expect_shared(gateway, true));
    // The burst is used up.
    drive_all(&[&gateways[0], &gateways[1]], Duration::from_secs(2));
    for gateway in &gateways {
        gateway.reload(&sharing(&redis, &origin, &format!("requests_per_second = {LOWER}, burst = {LOWER}")));
        gateway.expect_output("applied revision=2");
        expect_shared(gateway, true);
    }
    let (admitted, seconds) = drive_all(&[&gateways[0], &gateways[1]], Duration::from_secs(3));
    let all: f64 = admitted.iter().sum();
    let most = LOWER + LOWER * seconds.end + ERROR;
    // Less what both have in stock at the end: the burst was used up before.
    let least = 0.99 * LOWER * seconds.start - 0.5 * LOWER;
    assert!((least..=most).contains(&all), "{admitted:?} in {seconds:?} s, expected {least} to {most}");
}
