//! The distribution over nodes, counted over both shards together.

use std::collections::BTreeMap;

use coregate_tests::{Gateway, Load, Origin, get, service};

const REQUESTS: u32 = 10_000;

/// Answers by node of 10,000 requests over many connections, so that both shards serve.
fn distribution(policy: &str, weights: &[u32]) -> BTreeMap<String, u64> {
    let origins: Vec<Origin> = (0..weights.len()).map(|n| Origin::named(&format!("node-{n}"))).collect();
    let site = origins
        .iter()
        .zip(weights)
        .fold(service("site").route("/"), |site, (origin, weight)| site.weighted(origin, *weight));
    let gateway = Gateway::with(site.policy(policy)).start();
    let tally = Load::on(gateway.address()).connections(32).requests(REQUESTS).run();
    assert_eq!((tally.ok, &tally.failed), (u64::from(REQUESTS), &Vec::new()));
    tally.bodies
}

/// Checks that each count is within `tolerance` (a share of itself, and a turn for each of the two shards) of what the
/// weights promise.
#[track_caller]
fn expect_shares(counts: &BTreeMap<String, u64>, weights: &[u32], tolerance: f64) {
    let total: u32 = weights.iter().sum();
    for (n, weight) in weights.iter().enumerate() {
        let expected = f64::from(REQUESTS) * f64::from(*weight) / f64::from(total);
        let count = counts.get(&format!("node-{n}")).copied().unwrap_or_default();
        let count = f64::from(u32::try_from(count).expect("at most 10,000"));
        assert!((count - expected).abs() <= expected * tolerance + 2.0, "{counts:?} for weights {weights:?}");
    }
}

#[test]
fn weighted_round_robin_holds_to_the_weights_within_one_percent() {
    for weights in [&[50, 50][..], &[5, 3, 2], &[1, 100], &[7, 7, 7, 1]] {
        expect_shares(&distribution("weighted_round_robin", weights), weights, 0.01);
    }
}

#[test]
fn round_robin_is_even_whatever_the_weights() {
    expect_shares(&distribution("round_robin", &[9, 1, 1]), &[1, 1, 1], 0.01);
}

#[test]
fn random_is_fair_by_weight() {
    // Five standard deviations of a binomial distribution: 250 of 5,000, and 217 of 2,500.
    expect_shares(&distribution("random", &[1, 1]), &[1, 1], 0.05);
    expect_shares(&distribution("random", &[3, 1]), &[3, 1], 0.09);
}

/// Smooth: a burst to the heavy node is broken up by the light one.
#[test]
fn weighted_round_robin_is_smooth_on_a_shard() {
    let (heavy, light) = (Origin::named("heavy"), Origin::named("light"));
    let site = service("site").route("/").weighted(&heavy, 3).weighted(&light, 1);
    let gateway = Gateway::with(site.policy("weighted_round_robin")).server("shards = 1").start();
    let mut client = gateway.client();
    let turns: Vec<String> = (0..40).map(|_| client.get("/").text()).collect();
    for window in turns.windows(4) {
        assert_eq!(window.iter().filter(|name| *name == "light").count(), 1, "{turns:?}");
    }
}

const CLIENTS: u32 = 1000;

fn client_address(n: u32) -> String {
    format!("10.{}.{}.{}", n % 7, n / 250, n % 250 + 1)
}

/// Which node each of 1,000 client addresses is sent to.
fn assignment(gateway: &Gateway) -> Vec<String> {
    let mut client = gateway.client();
    let mut node_of = |n| client.ask(&get("/").field("X-Forwarded-For", &client_address(n))).text();
    (0..CLIENTS).map(&mut node_of).collect()
}

#[test]
fn ip_hash_keeps_a_client_and_moves_only_the_share_of_a_node_that_goes() {
    let mut origins: Vec<Origin> = (0..4).map(|n| Origin::named(&format!("node-{n}"))).collect();
    let site = origins.iter().fold(service("site").route("/"), |site, origin| site.node(origin));
    let gateway = Gateway::with(site.policy("ip_hash").checked("tcp"))
        .server("trusted_proxies = [\"127.0.0.0/8\"]")
        .start();
    let first = assignment(&gateway);
    for _ in 0..4 {
        assert_eq!(assignment(&gateway), first, "the same on every connection and shard");
    }
    for n in 0..4 {
        let count = first.iter().filter(|name| **name == format!("node-{n}")).count();
        assert!((125..=500).contains(&count), "node {n} has {count} of {CLIENTS} clients");
    }
    origins[0].stop();
    coregate_tests::eventually("the node is out", coregate_tests::PATIENCE, || {
        assignment(&gateway).iter().all(|name| name != "node-0" && !name.contains("error"))
    });
    let second = assignment(&gateway);
    let moved =
        first.iter().zip(&second).filter(|(before, after)| *before != "node-0" && before != after).count();
    assert_eq!(moved, 0, "clients of live nodes stay where they are");
}

#[test]
fn ip_hash_does_not_believe_strangers() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let site = service("site").route("/").node(&a).node(&b).policy("ip_hash");
    let gateway = Gateway::with(site).start();
    let names: std::collections::BTreeSet<String> = assignment(&gateway).into_iter().collect();
    assert_eq!(names.len(), 1, "one client address, one node");
}

#[test]
fn both_shards_serve() {
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).start();
    let _clients: Vec<_> = (0..64)
        .map(|_| {
            let mut client = gateway.client();
            client.get("/").expect(200, "a");
            client
        })
        .collect();
    // One pool a shard: sequential requests need one upstream connection on each shard that served.
    assert_eq!(origin.accepted(), 2);
}
