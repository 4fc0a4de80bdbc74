//! Tests of all policies.
#![expect(clippy::cast_possible_truncation, reason = "numbers that tests make up")]

use super::*;

fn nodes(weights: &[u32]) -> Vec<NodeWeight> {
    let address = |port: u16| SocketAddr::from(([10, 0, 0, 1], port));
    (1..).zip(weights).map(|(port, &weight)| NodeWeight { weight, address: address(port) }).collect()
}

fn client(number: u32) -> IpAddr {
    IpAddr::from(number.to_be_bytes())
}

const POLICIES: [Policy; 4] =
    [Policy::Random, Policy::RoundRobin, Policy::WeightedRoundRobin, Policy::IpHash];

/// 64 shards, 10,000 requests altogether, and each shard 10,000.
#[test]
fn shards_together_hold_to_the_weights() {
    for weights in [&[50, 50][..], &[5, 1, 1], &[1, 2, 3, 4, 90], &[65_535, 1, 7_777, 31_337], &[3; 40]] {
        for policy in POLICIES {
            for requests in [10_000u32, 64 * 10_000] {
                let total: u32 =
                    if policy == Policy::RoundRobin { weights.len() as u32 } else { weights.iter().sum() };
                let mut shards: Vec<_> =
                    (0..64).map(|seed| Balancer::new(policy, &nodes(weights), seed)).collect();
                let mut counts = vec![0f64; weights.len()];
                for request in 0..requests {
                    let ip = client(mix(u64::from(request)) as u32);
                    counts[shards[request as usize % 64].pick(ip, &[]).unwrap()] += 1.0;
                }
                for (count, weight) in counts.iter().zip(weights) {
                    let weight = if policy == Policy::RoundRobin { 1 } else { *weight };
                    let off = (count / f64::from(requests) - f64::from(weight) / f64::from(total)).abs();
                    // Clients come at random; two nodes of 50 are off by 0.5% at one standard deviation.
                    let bound = if policy == Policy::IpHash && requests == 10_000 { 0.02 } else { 0.01 };
                    assert!(off < bound, "{policy:?} {weights:?} {requests}: off by {off}");
                }
            }
        }
    }
}
