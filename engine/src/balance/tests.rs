//! Tests of all policies: distribution over shards, what is never picked, what moves, and a simulation.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "numbers that tests make up"
)]

use proptest::prelude::*;

use super::*;

const POLICIES: [Policy; 4] =
    [Policy::Random, Policy::RoundRobin, Policy::WeightedRoundRobin, Policy::IpHash];

fn nodes(weights: &[u32]) -> Vec<NodeWeight> {
    let address = |port: u16| SocketAddr::from(([10, 0, 0, 1], port));
    (1..).zip(weights).map(|(port, &weight)| NodeWeight { weight, address: address(port) }).collect()
}

fn client(number: u32) -> IpAddr {
    IpAddr::from(number.to_be_bytes())
}

/// A client like any other, always the same for a number.
fn some_client(number: u32) -> IpAddr {
    client(mix(u64::from(number) + 1) as u32)
}

/// 64 shards of 10,000 requests altogether, and of 10,000 each.
#[test]
fn shards_together_hold_to_the_weights() {
    let thousand: Vec<u32> = (0..1000).map(|n| 1 + n * 65).collect();
    for weights in
        [&[50, 50][..], &[5, 1, 1], &[1, 2, 3, 4, 90], &[65_535, 1, 7_777, 31_337], &[3; 40], &thousand]
    {
        for (policy, requests) in
            POLICIES.into_iter().flat_map(|policy| [(policy, 10_000), (policy, 640_000)])
        {
            let weight = |weight: u32| if policy == Policy::RoundRobin { 1.0 } else { f64::from(weight) };
            let total: f64 = weights.iter().copied().map(weight).sum();
            let mut shards: Vec<_> =
                (0..64).map(|seed| Balancer::new(policy, &nodes(weights), seed)).collect();
            let mut counts = vec![0f64; weights.len()];
            for request in 0..requests {
                counts[shards[request as usize % 64].pick(some_client(request), &[]).unwrap()] += 1.0;
            }
            for (count, &of_node) in counts.iter().zip(weights) {
                let off = (count / f64::from(requests) - weight(of_node) / total).abs();
                // The IP hash is as even as the clients: 10,000 of them at random are off by 0.5% at one deviation.
                let bound = if policy == Policy::IpHash && requests == 10_000 { 0.02 } else { 0.01 };
                assert!(off < bound, "{policy:?} {weights:?} {requests}: off by {off}");
            }
        }
    }
}

#[test]
fn random_draws_once_from_each_stratum() {
    let mut balancer = Balancer::new(Policy::Random, &nodes(&[7; 64]), 5);
    let orders: Vec<Vec<usize>> =
        (0..20).map(|_| (0..64).map(|_| balancer.pick(client(0), &[]).unwrap()).collect()).collect();
    for order in &orders {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..64));
    }
    assert!(orders.windows(2).all(|pair| pair[0] != pair[1]), "in another order each time");
}

#[test]
fn shards_do_not_march_in_step() {
    for policy in [Policy::Random, Policy::RoundRobin, Policy::WeightedRoundRobin] {
        for weights in [&[1; 16][..], &[60_000; 1000], &[1, 65_535, 4_321, 777, 12_345]] {
            let first = |seed| Balancer::new(policy, &nodes(weights), seed).pick(client(0), &[]).unwrap();
            let firsts: std::collections::BTreeSet<usize> = (0..16).map(first).collect();
            assert!(firsts.len() >= weights.len().min(12) / 2, "{policy:?} {weights:?}: {firsts:?}");
        }
    }
}

#[test]
fn weighted_is_as_smooth_as_nginx() {
    let mut balancer = Balancer::new(Policy::WeightedRoundRobin, &nodes(&[50, 10, 10]), 0);
    let picked: Vec<usize> = (0..7).map(|_| balancer.pick(client(0), &[]).unwrap()).collect();
    assert_eq!(picked, [0, 0, 1, 0, 2, 0, 0]);
    let mut elsewhere = Balancer::new(Policy::WeightedRoundRobin, &nodes(&[50, 10, 10]), 1);
    let picked: Vec<usize> = (0..7).map(|_| elsewhere.pick(client(0), &[]).unwrap()).collect();
    assert_eq!(picked, [2, 0, 0, 0, 0, 1, 0]);
}

/// After any number of picks no node is more than two away from its share.
#[test]
fn weighted_is_smooth_when_the_sequence_is_too_long() {
    for weights in
        [(0..1000).map(|n| 1 + n * 13 % 997).collect::<Vec<u32>>(), vec![65_535, 65_534, 30_001, 7]]
    {
        let total: u32 = weights.iter().sum();
        for seed in 0..3 {
            let mut balancer = Balancer::new(Policy::WeightedRoundRobin, &nodes(&weights), seed);
            let mut counts = vec![0u32; weights.len()];
            for turn in 1..=20_000 {
                let picked = balancer.pick(client(0), &[]).unwrap();
                counts[picked] += 1;
                let share = f64::from(turn) * f64::from(weights[picked]) / f64::from(total);
                let off = (f64::from(counts[picked]) - share).abs();
                assert!(off <= 2.0, "seed {seed}, turn {turn}, node {picked}: off by {off}");
            }
        }
    }
}

#[test]
fn virtual_time_starts_again_without_a_trace() {
    let weights: Vec<u64> = vec![65_535, 65_534, 30_001];
    let run = |start: u64| {
        let live: Vec<(usize, u64)> = weights.iter().copied().enumerate().collect();
        let strides = weights.iter().map(|weight| weighted::STRIDE_OF_ONE / weight).collect();
        let mut deadlines = weighted::Deadlines { heap: Default::default(), strides, now: start };
        deadlines.set(&live, 7);
        (0..1000).map(|_| deadlines.pick(&[]).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(0), run(weighted::TIME_MAX - (1 << 30)));
}

#[test]
fn rotation_goes_on_when_health_changes() {
    let mut balancer = Balancer::new(Policy::RoundRobin, &nodes(&[1; 4]), 0);
    let mut pick = |live: &[bool]| {
        balancer.set_live(live);
        balancer.pick(client(0), &[])
    };
    assert_eq!(pick(&[true; 4]), Some(0));
    assert_eq!(pick(&[true, false, true, true]), Some(2));
    assert_eq!(pick(&[true; 4]), Some(3));
    assert_eq!(pick(&[false, false, true, false]), Some(2));
    assert_eq!(pick(&[false; 4]), None);
    assert!(pick(&[]).is_some(), "what nothing is said of is live");
}

#[test]
fn ip_hash_moves_only_what_a_node_had() {
    for weights in [vec![1; 10], vec![1, 2, 3, 4, 100], vec![65_535; 200]] {
        let all = nodes(&weights);
        let mut balancer = Balancer::new(Policy::IpHash, &all, 1);
        let before: Vec<usize> = (0..5_000).map(|n| balancer.pick(some_client(n), &[]).unwrap()).collect();
        let mut live = vec![true; all.len()];
        live[2] = false;
        balancer.set_live(&live);
        for (n, &before) in (0..).zip(&before) {
            let after = balancer.pick(some_client(n), &[]).unwrap();
            assert!(if before == 2 { after != 2 } else { after == before });
            balancer.set_live(&[]);
            assert_eq!(balancer.pick(some_client(n), &[2]), Some(after), "a retry goes where it would move");
            balancer.set_live(&live);
        }
        balancer.set_live(&[]);
        // Another shard, another gateway, the nodes in another order and one of them gone from the configuration.
        let mut others: Vec<NodeWeight> = all.iter().copied().rev().collect();
        let gone = others.remove(0);
        let mut other = Balancer::new(Policy::IpHash, &others, 999);
        for (n, &before) in (0..).zip(&before) {
            assert_eq!(balancer.pick(some_client(n), &[]), Some(before), "it has back exactly what it had");
            let elsewhere = others[other.pick(some_client(n), &[]).unwrap()].address;
            assert!(elsewhere == all[before].address || all[before] == gone);
        }
    }
}

#[test]
fn ip_hash_never_changes() {
    let mut balancer = Balancer::new(Policy::IpHash, &nodes(&[1, 2, 3, 4, 5, 6, 7]), 0);
    let mut pick = |ip: &str| balancer.pick(ip.parse().unwrap(), &[]).unwrap();
    let picked =
        ["192.0.2.1", "192.0.2.2", "198.51.100.7", "2001:db8::1", "2001:db8::2", "::1"].map(&mut pick);
    assert_eq!(picked, PINNED, "gateways of two versions would disagree");
    assert_eq!(pick("::ffff:192.0.2.1"), pick("192.0.2.1"));
    assert_eq!(pick("::ffff:198.51.100.7"), pick("198.51.100.7"));
}

const PINNED: [usize; 6] = [6, 1, 6, 6, 6, 3];

fn check_pick(balancer: &mut Balancer, live: &[bool], client: IpAddr, tried: &[usize]) -> Result<(), String> {
    let allowed = |index: &usize| live[*index] && !tried.contains(index);
    let any_allowed = (0..live.len()).any(|index| allowed(&index));
    match balancer.pick(client, tried) {
        Some(index) if index < live.len() && allowed(&index) => Ok(()),
        None if !any_allowed => Ok(()),
        picked => Err(format!("{picked:?} of {live:?}, tried {tried:?}")),
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    (0..POLICIES.len()).prop_map(|index| POLICIES[index])
}

proptest! {
    #[test]
    fn never_a_dead_or_a_tried_node(
        policy in policy(),
        weights in proptest::collection::vec(prop_oneof![0..4u32, 60_000..70_000u32, any::<u32>()], 0..40),
        seed in any::<u64>(),
        steps in proptest::collection::vec(
            (proptest::collection::vec(any::<bool>(), 0..45), proptest::collection::vec(0..45usize, 0..6), any::<u128>()),
            1..20),
    ) {
        let mut balancer = Balancer::new(policy, &nodes(&weights), seed);
        for (said, tried, ip) in steps {
            balancer.set_live(&said);
            let live: Vec<bool> = (0..weights.len()).map(|at| said.get(at).copied().unwrap_or(true)).collect();
            prop_assert_eq!(balancer.live_count(), live.iter().filter(|&&live| live).count());
            for tried in [&tried[..], &[]] {
                let ip = IpAddr::V6(ip.into());
                prop_assert_eq!(check_pick(&mut balancer, &live, ip, tried), Ok(()));
            }
        }
    }
}

/// Nodes that come and go under traffic with retries, on eight shards: each node gets what its weight is worth of the
/// time that it was live. The seed is the time; a failure prints it.
#[test]
fn simulation_of_flapping_nodes() {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut state = seed;
    let mut random = |below: usize| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scale(mix(state), below as u64) as usize
    };
    for policy in POLICIES {
        let weights: Vec<u32> = (0..12).map(|_| 100 + random(20_000) as u32).collect();
        let mut shards: Vec<_> = (0..8).map(|shard| Balancer::new(policy, &nodes(&weights), shard)).collect();
        let mut live = vec![true; weights.len()];
        let (mut expected, mut counts) = (vec![0f64; weights.len()], vec![0f64; weights.len()]);
        for _ in 0..200 {
            let node = random(live.len());
            live[node] = !live[node];
            shards.iter_mut().for_each(|shard| shard.set_live(&live));
            let weight =
                |&node: &usize| if policy == Policy::RoundRobin { 1.0 } else { f64::from(weights[node]) };
            let total: f64 = live_indices(&live).map(|node| weight(&node)).sum();
            let requests = 500 + random(1000);
            live_indices(&live).for_each(|node| expected[node] += requests as f64 * weight(&node) / total);
            for _ in 0..requests {
                let shard = &mut shards[random(8)];
                let ip = client(random(1 << 32) as u32);
                let Some(picked) = shard.pick(ip, &[]) else { continue };
                counts[picked] += 1.0;
                assert!(live[picked]);
                if random(50) == 0 {
                    check_pick(shard, &live, ip, &[picked]).unwrap();
                }
            }
        }
        let total: f64 = counts.iter().sum();
        for (count, expected) in counts.iter().zip(&expected) {
            let off = (count - expected).abs() / total;
            assert!(off < 0.01, "seed {seed}, {policy:?}: off by {off}");
        }
    }
}

/// `cargo test --release -- --ignored --nocapture pick_time`
#[test]
#[ignore = "measures; run it in release"]
fn pick_time() {
    for count in [2, 10, 100, 1000] {
        for (policy, weights) in POLICIES.into_iter().flat_map(|policy| {
            [(policy, vec![1; count]), (policy, (0..count).map(|n| 1 + n as u32 * 61 % 65_521).collect())]
        }) {
            let nodes = nodes(&weights);
            let mut balancer = Balancer::new(policy, &nodes, 3);
            let rounds = 1_000_000;
            let started = crate::clock::read();
            let sum: usize = (0..rounds).filter_map(|n| balancer.pick(client(n * 3 % 1000), &[])).sum();
            let each = started.elapsed() / rounds;
            let mut live = vec![true; count];
            live[0] = false;
            let started = crate::clock::read();
            balancer.set_live(&live);
            let change = started.elapsed();
            let kind = if weights[1] == 1 { "equal" } else { "mixed" };
            println!("{policy:?} {count} {kind}: {each:?} a pick, {change:?} a change ({sum})");
        }
    }
}
