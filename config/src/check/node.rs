//! `[[services.nodes]]`

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::values::{count_is_sane, dns_name, integer};
use crate::checked::{Node, NodeAddress};
use crate::limits::{NODES_MAX, WEIGHT_MAX};
use crate::path::At;
use crate::raw;
use crate::report::{Problems, quoted};

/// A service's nodes.
pub fn nodes(raw: &[raw::ServiceNode], at: &At, problems: &mut Problems) -> Option<Vec<Node>> {
    if !count_is_sane(raw.len(), NODES_MAX, at, problems) {
        return None;
    }
    let mut nodes = Vec::with_capacity(raw.len());
    let mut first: HashMap<NodeAddress, usize> = HashMap::with_capacity(raw.len());
    for (index, one) in raw.iter().enumerate() {
        let here = at.index(index);
        let node = node(one, &here, problems);
        if let Some(node) = &node {
            match first.get(&node.address) {
                Some(other) => {
                    let there = at.index(*other);
                    problems.clash(&here.key("address"), "is the same as", &there.key("address"));
                }
                None => {
                    first.insert(node.address.clone(), index);
                }
            }
        }
        nodes.push(node);
    }
    nodes.into_iter().collect()
}

fn node(raw: &raw::ServiceNode, at: &At, problems: &mut Problems) -> Option<Node> {
    let weight = integer(raw.weight, 1..=WEIGHT_MAX, &at.key("weight"), problems);
    let address = match address(&raw.address) {
        Ok(address) => Some(address),
        Err(message) => {
            problems.add(&at.key("address"), message);
            None
        }
    };
    Some(Node { address: address?, weight: weight?, enabled: raw.enabled })
}

fn address(text: &str) -> Result<NodeAddress, String> {
    const FORM: &str = "must be IP:PORT, [IPv6]:PORT or NAME:PORT";
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            0 => Err("must have a port from 1 to 65535".to_owned()),
            port => Ok(NodeAddress::Ip(SocketAddr::new(address.ip().to_canonical(), port))),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("{FORM}; write the address in brackets: \"[{text}]:PORT\""));
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("{FORM}, without {}", quoted(&format!("{scheme}://"))));
    }
    let Some((name, port)) = text.rsplit_once(':') else {
        return Err(format!("{FORM}; the port is missing"));
    };
    let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = match port.parse::<u16>() {
        Ok(port @ 1..) if is_number => port,
        _ => return Err(format!("{FORM}; {} is no port from 1 to 65535", quoted(port))),
    };
    if name.parse::<IpAddr>().is_ok() {
        return Err(FORM.to_owned());
    }
    dns_name(name)
        .map(|name| NodeAddress::Name(name, port))
        .map_err(|wrong| format!("{FORM}; {} {wrong}", quoted(name)))
}
