//! Stage *balance*: which node of a service gets a request.
//!
//! Input: the client's address and the nodes that this request has already tried. Output: an index into the service's
//! nodes, never of a node that is not live or was tried; `None` when none is left.
//!
//! One [`Balancer`] a service and shard, owned by the shard. Shards never talk to each other about balancing: their
//! seeds start each rotation elsewhere, so that over all shards the traffic still holds to the weights. The IP hash
//! alone ignores the seed, because every shard of every gateway has to send a client to the same node.
//!
//! Invariants: a pick allocates nothing and takes no lock; what costs more is done in [`Balancer::set_live`], when
//! health changes. Without a node tried a pick costs O(1) for round robin and short weighted sequences, O(log nodes)
//! for random and long weighted ones, and for the IP hash O(1) for a client seen lately, else O(nodes). Weights below 1 count as 1.
//! Errors: none.

mod hash;
mod random;
mod round_robin;
mod weighted;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use coregate_config::checked::Policy;

use self::hash::IpHash;
use self::random::Random;
use self::round_robin::RoundRobin;
use self::weighted::Weighted;

/// What a balancer knows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeWeight {
    /// Share of the traffic.
    pub weight: u32,
    /// Where it is; what the IP hash knows it by.
    pub address: SocketAddr,
}

/// Picks nodes for one service on one shard.
#[derive(Debug)]
pub struct Balancer {
    /// Which nodes take traffic, in the order of the configuration.
    live: Vec<bool>,
    policy: Picker,
}

#[derive(Debug)]
enum Picker {
    Random(Random),
    RoundRobin(RoundRobin),
    Weighted(Weighted),
    IpHash(IpHash),
}

impl Balancer {
    /// All nodes start live. `seed` differs for each shard; consecutive numbers spread best.
    pub fn new(policy: Policy, nodes: &[NodeWeight], seed: u64) -> Balancer {
        let policy = match policy {
            Policy::Random => Picker::Random(Random::new(nodes, seed)),
            Policy::RoundRobin => Picker::RoundRobin(RoundRobin::new(seed)),
            Policy::WeightedRoundRobin => Picker::Weighted(Weighted::new(nodes, seed)),
            Policy::IpHash => Picker::IpHash(IpHash::new(nodes)),
        };
        let mut balancer = Balancer { live: vec![true; nodes.len()], policy };
        balancer.rebuild();
        balancer
    }

    /// Says which nodes take traffic. A node that `live` is too short to speak of counts as live; what it says beyond
    /// the nodes is ignored.
    pub fn set_live(&mut self, live: &[bool]) {
        let said = live.iter().copied().chain(std::iter::repeat(true));
        let mut changed = false;
        for (known, said) in self.live.iter_mut().zip(said) {
            changed |= *known != said;
            *known = said;
        }
        if changed {
            self.rebuild();
        }
    }

    /// The node for a request of `client`; `None` if all live nodes were `tried`.
    pub fn pick(&mut self, client: IpAddr, tried: &[usize]) -> Option<usize> {
        match &mut self.policy {
            Picker::Random(random) => random.pick(tried),
            Picker::RoundRobin(round_robin) => round_robin.pick(tried),
            Picker::Weighted(weighted) => weighted.pick(tried),
            Picker::IpHash(hash) => hash.pick(client, tried),
        }
    }

    /// How many nodes take traffic.
    pub fn live_count(&self) -> usize {
        self.live.iter().filter(|&&live| live).count()
    }

    fn rebuild(&mut self) {
        match &mut self.policy {
            Picker::Random(random) => random.set_live(&self.live),
            Picker::RoundRobin(round_robin) => round_robin.set_live(&self.live),
            Picker::Weighted(weighted) => weighted.set_live(&self.live),
            Picker::IpHash(hash) => hash.set_live(&self.live),
        }
    }
}

/// Indices of the live nodes.
fn live_indices(live: &[bool]) -> impl Iterator<Item = usize> {
    live.iter().enumerate().filter(|&(_, &live)| live).map(|(index, _)| index)
}

/// Weights as the policies use them: never 0.
fn weight_of(node: &NodeWeight) -> u64 {
    u64::from(node.weight.max(1))
}

/// Takes a number in [0, 1), as 64 bits after the point, to [0, range): Lemire, "Fast Random Integer Generation in an
/// Interval", 2019.
fn scale(fraction: u64, range: u64) -> u64 {
    ((u128::from(fraction) * u128::from(range)) >> 64) as u64
}

/// Where the shard with this seed starts on a circle, as 64 bits after the point. Multiples of the golden ratio keep
/// any number of consecutive seeds evenly apart (three-distance theorem; Knuth, TAOCP 3, 6.4).
fn start_phase(seed: u64) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// SplitMix64's output function: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
