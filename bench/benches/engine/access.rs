//! An access list of 1,000 prefixes, asked about addresses within and without.

use std::net::IpAddr;

use coregate::access::AccessList;
use criterion::Criterion;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Spreads numbers over all addresses (the golden ratio's fraction).
const SPREAD: u32 = 0x9E37_79B9;
/// Addresses that are asked about.
const ASKED: u32 = 4_096;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access list, 1,000 CIDRs");
    let nets: Vec<IpNet> = (0..1_000).map(net).collect();
    let list = AccessList::build(&nets[..500], &nets[500..]);
    for (name, family) in [("IPv4", v4 as fn(u32) -> IpAddr), ("IPv6", v6)] {
        let addresses: Vec<IpAddr> = (0..ASKED).map(family).collect();
        let mut next = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                next = (next + 1) % addresses.len();
                list.permits(addresses[next])
            });
        });
    }
}

/// Every second one IPv4, of 12 to 32 bits; the others IPv6, of 24 to 64.
fn net(n: u32) -> IpNet {
    let length = u8::try_from(n % 21).unwrap();
    match if n.is_multiple_of(2) { v4(n) } else { v6(n) } {
        IpAddr::V4(address) => Ipv4Net::new(address, 12 + length).unwrap().trunc().into(),
        IpAddr::V6(address) => Ipv6Net::new(address, 24 + 2 * length).unwrap().trunc().into(),
    }
}

fn v4(n: u32) -> IpAddr {
    IpAddr::from(n.wrapping_mul(SPREAD).to_be_bytes())
}

fn v6(n: u32) -> IpAddr {
    let spread = u128::from(n.wrapping_mul(SPREAD));
    IpAddr::from((0x2001u128 << 112 | spread << 80 | spread).to_be_bytes())
}
