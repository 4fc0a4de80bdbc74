//! Policy *IP hash*: a client's address always goes to the same node, on every shard of every gateway.
//!
//! Weighted rendezvous hashing: each live node draws a number for the client, exponentially distributed with its
//! weight as the rate, and the smallest wins. When a node goes, only its clients move, and over the others by weight;
//! when it is back it has exactly the clients that it had, also if the service's other nodes have changed meanwhile.
//! No ring or table has to be rebuilt. The draws cost 1 to 3 ns a node, so a shard with more than a few nodes remembers
//! the winners of the clients that it saw last. (Thaler and Ravishankar, "Using Name-Based Mappings
//! to Increase Hit Rates", 1998; weights: Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005.)
//!
//! Input: an address; IPv4-mapped IPv6 is IPv4. The hash has no key and must not change between versions, or gateways
//! of two versions would disagree: a test pins it.

use std::net::{IpAddr, SocketAddr};

use super::{NodeWeight, live_indices, mix, weight_of};

/// Winners remembered, 16 bytes each. A power of two.
const REMEMBERED: usize = 4096;

/// With more live nodes than this it is cheaper to remember than to draw again.
const NODES_WITHOUT_MEMORY_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct IpHash {
    nodes: Vec<Candidate>,
    live: Vec<Candidate>,
    /// All of `live` have the same weight: the smallest uniform draw wins, without a logarithm.
    equal: bool,
    /// Client hash and winner, at the place that the hash names; no winner where nothing is remembered. Valid for
    /// `live` as it is. Empty while there are few live nodes.
    memory: Vec<(u64, Option<u32>)>,
}

/// A node as the drawing sees it.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    index: usize,
    weight: f64,
    /// Two independent hashes of its address.
    key: (u64, u64),
}

impl IpHash {
    #[expect(clippy::cast_precision_loss, reason = "weights have 32 bits")]
    pub(super) fn new(nodes: &[NodeWeight]) -> IpHash {
        let candidate = |(index, node): (usize, &NodeWeight)| Candidate {
            index,
            weight: weight_of(node) as f64,
            key: hash_node(node.address),
        };
        let nodes = nodes.iter().enumerate().map(candidate).collect();
        IpHash { nodes, live: Vec::new(), equal: true, memory: Vec::new() }
    }

    pub(super) fn set_live(&mut self, live: &[bool]) {
        self.live.clear();
        self.live.extend(live_indices(live).filter_map(|index| self.nodes.get(index)));
        self.equal = self.live.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        self.memory.clear();
        if self.live.len() > NODES_WITHOUT_MEMORY_MAX {
            self.memory.resize(REMEMBERED, (0, None));
        }
    }

    pub(super) fn pick(&mut self, client: IpAddr, tried: &[usize]) -> Option<usize> {
        let client = hash_ip(client);
        if !tried.is_empty() {
            return self.draw_by_weight(client, tried);
        }
        if let Some(&(known, Some(winner))) = self.memory.get(memory_slot(client))
            && known == client
        {
            return Some(winner as usize);
        }
        let winner = if self.equal { self.draw_equal(client) } else { self.draw_by_weight(client, &[]) };
        if let Some(slot) = self.memory.get_mut(memory_slot(client)) {
            *slot = (client, winner.and_then(|index| u32::try_from(index).ok()));
        }
        winner
    }

    /// What [`IpHash::draw_by_weight`] finds when the weights are equal: the logarithm keeps the order.
    fn draw_equal(&self, client: u64) -> Option<usize> {
        let mut draws = self.live.iter().map(|node| (draw(client, node.key), node.index));
        let first = draws.next()?;
        Some(draws.fold(first, |least, next| if next.0 < least.0 { next } else { least }).1)
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits, as many as an f64 has")]
    fn draw_by_weight(&self, client: u64, tried: &[usize]) -> Option<usize> {
        const UNIT: f64 = 1.0 / (1u64 << 53) as f64;
        let mut winner = None;
        let mut smallest = f64::INFINITY;
        for node in &self.live {
            let uniform = (draw(client, node.key) >> 11) as f64 * UNIT;
            // -ln(1 - x) >= x, so most nodes are out without a logarithm.
            if uniform < smallest * node.weight && !tried.contains(&node.index) {
                let exponential = -(-uniform).ln_1p() / node.weight;
                if exponential < smallest {
                    smallest = exponential;
                    winner = Some(node.index);
                }
            }
        }
        winner
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below REMEMBERED")]
fn memory_slot(client: u64) -> usize {
    (client % REMEMBERED as u64) as usize
}

/// 64 uniform bits for a client and a node.
fn draw(client: u64, (a, b): (u64, u64)) -> u64 {
    folded_multiply(client ^ a, client.rotate_left(32) ^ b)
}

/// The mixing step of wyhash: Wang Yi, "wyhash", 2019.
#[expect(clippy::cast_possible_truncation, reason = "the two halves of the product")]
fn folded_multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of an address")]
fn hash_ip(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => mix(u64::from(v4.to_bits()) ^ 0xA076_1D64_78BD_642F),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            mix(mix((bits >> 64) as u64 ^ 0xE703_7ED1_A0B4_28DB) ^ bits as u64)
        }
    }
}

fn hash_node(address: SocketAddr) -> (u64, u64) {
    let both = mix(hash_ip(address.ip()) ^ u64::from(address.port()));
    (mix(both ^ 0x8EBC_6AF0_9C88_C6E3), mix(both ^ 0x5899_65CC_7537_4CC3))
}
