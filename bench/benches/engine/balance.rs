//! A pick of each policy, among 8 and 1,000 nodes of different weights, from 1,000 clients.

use std::net::{IpAddr, SocketAddr};

use coregate::balance::{Balancer, NodeWeight};
use coregate_config::checked::Policy;
use criterion::Criterion;

const POLICIES: [(&str, Policy); 4] = [
    ("random", Policy::Random),
    ("round robin", Policy::RoundRobin),
    ("weighted round robin", Policy::WeightedRoundRobin),
    ("IP hash", Policy::IpHash),
];
const CLIENTS: u32 = 1_000;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("balancer pick");
    for (name, policy) in POLICIES {
        for count in [8u16, 1_000] {
            let nodes: Vec<NodeWeight> = (0..count)
                .map(|n| NodeWeight {
                    weight: u32::from(1 + n % 7),
                    address: SocketAddr::from(([10, 0, 0, 1], 1 + n)),
                })
                .collect();
            let mut balancer = Balancer::new(policy, &nodes, 0);
            let mut client = 0;
            group.bench_function(format!("{name}, {count} nodes"), |bencher| {
                bencher.iter(|| {
                    client = (client + 1) % CLIENTS;
                    let address = IpAddr::from((0xc000_0200 + client * 977).to_be_bytes());
                    balancer.pick(address, &[]).unwrap()
                });
            });
        }
    }
}
