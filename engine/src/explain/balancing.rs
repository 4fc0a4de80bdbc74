//! The nodes of a service, their shares, and the one that would be chosen, where the policy alone decides.

use std::net::{IpAddr, SocketAddr};

use coregate_config::checked::Policy;
use serde::Serialize;

use crate::balance::{Balancer, NodeWeight};

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// As it is shown.
    pub address: String,
    /// Where it is; `None` = its name is not looked up by whoever asks.
    pub resolved: Option<SocketAddr>,
    /// Share of the traffic.
    pub weight: u32,
    /// Whether it takes traffic.
    pub live: bool,
}

/// Which nodes there are.
#[derive(Debug, Clone, Serialize)]
pub struct Balancing {
    /// How a node is chosen.
    pub policy: &'static str,
    /// The node, where the policy alone decides.
    pub chosen: Option<String>,
    /// In words.
    pub why: String,
    /// All that are enabled.
    pub nodes: Vec<Candidate>,
}

/// A node that could be chosen.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    /// Where it is.
    pub address: String,
    /// As configured.
    pub weight: u32,
    /// Whether it takes traffic.
    pub live: bool,
    /// Share of the service's traffic, 0 to 1.
    pub share: f64,
}

/// How a request of that client would be balanced.
pub fn balance(policy: Policy, nodes: Vec<NodeView>, client: IpAddr) -> Balancing {
    let left = nodes.iter().filter(|node| node.live).count();
    let chosen = match policy {
        Policy::IpHash => pick(policy, &nodes, client),
        // With one node left it does not matter whose turn it is.
        _ if left == 1 => nodes.iter().find(|node| node.live),
        Policy::Random | Policy::RoundRobin | Policy::WeightedRoundRobin => None,
    };
    let chosen = chosen.map(|node| node.address.clone());
    let weight = |weight: u32| if policy == Policy::RoundRobin { 1.0 } else { f64::from(weight) };
    let total: f64 = nodes.iter().filter(|node| node.live).map(|node| weight(node.weight)).sum();
    let why = why(policy, left, nodes.len());
    let candidate = |node: NodeView| Candidate {
        share: if node.live { weight(node.weight) / total } else { 0.0 },
        address: node.address,
        weight: node.weight,
        live: node.live,
    };
    Balancing { policy: policy_name(policy), chosen, why, nodes: nodes.into_iter().map(candidate).collect() }
}

/// `None` also where a node's address is not known: the hash needs all of them.
fn pick(policy: Policy, nodes: &[NodeView], client: IpAddr) -> Option<&NodeView> {
    let weights: Option<Vec<NodeWeight>> =
        nodes.iter().map(|node| Some(NodeWeight { weight: node.weight, address: node.resolved? })).collect();
    let live: Vec<bool> = nodes.iter().map(|node| node.live).collect();
    let mut balancer = Balancer::new(policy, &weights?, 0);
    balancer.set_live(&live);
    nodes.get(balancer.pick(client, &[])?)
}

fn why(policy: Policy, live: usize, of: usize) -> String {
    let how = match (live, policy) {
        (0, _) if of == 0 => return "the service has no node that is enabled and resolved".to_owned(),
        (0, _) => return format!("none of {of} nodes is live"),
        (1, _) => "the only live node",
        (_, Policy::Random) => "at random, by weight",
        (_, Policy::RoundRobin) => "in turn; each shard has a turn of its own",
        (_, Policy::WeightedRoundRobin) => "in turn, by weight; each shard has a turn of its own",
        (_, Policy::IpHash) => "the hash of the client's address; it stays while the node is live",
    };
    format!("{how} ({live} of {of} nodes live)")
}

/// As it is spelled in the configuration.
pub fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::Random => "random",
        Policy::RoundRobin => "round_robin",
        Policy::WeightedRoundRobin => "weighted_round_robin",
        Policy::IpHash => "ip_hash",
    }
}
