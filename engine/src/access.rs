//! Placeholder until the trie lands.
use std::net::IpAddr;

use ipnet::IpNet;

/// A set of networks.
#[derive(Debug, Default)]
pub struct IpSet(Vec<IpNet>);

impl IpSet {
    /// Builds it.
    pub fn build(nets: &[IpNet]) -> Self {
        Self(nets.to_vec())
    }

    /// Membership.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&ip))
    }
}
