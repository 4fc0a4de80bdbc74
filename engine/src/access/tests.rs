//! Tests of access lists: cases, a scan of all prefixes as the model, and a hundred thousand of them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::*;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn deny_first_and_an_empty_allow_list_allows_all() {
    let some = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"];
    for (allow, deny, ip, permitted) in [
        (&[][..], &[][..], "203.0.113.1", true),
        (&[], &[], "2001:db8::1", true),
        (&some, &[], "10.255.0.1", true),
        (&some, &[], "11.0.0.0", false),
        (&some, &[], "192.0.2.7", true),
        (&some, &[], "192.0.2.6", false),
        (&some, &[], "2001:db8:ffff::", true),
        (&some, &[], "2001:db9::", false),
        (&some, &["10.1.0.0/16"], "10.1.2.3", false),
        (&some, &["10.1.0.0/16"], "10.2.2.3", true),
        (&[], &some, "10.2.2.3", false),
        (&[], &some, "9.2.2.3", true),
        (&some, &some, "10.2.2.3", false),
        (&["10.1.2.3/8"], &[], "10.9.9.9", true),
        (&["0.0.0.0/0"], &[], "255.255.255.255", true),
        (&["0.0.0.0/0"], &[], "::", false),
        (&["::/0"], &[], "::1", true),
        (&["::/0"], &[], "1.2.3.4", false),
        (&["::/0"], &[], "::ffff:1.2.3.4", false),
        (&["10.0.0.0/8"], &[], "::ffff:10.2.3.4", true),
        (&["::ffff:10.0.0.0/104"], &[], "10.2.3.4", true),
        (&["::ffff:10.0.0.0/104"], &[], "::ffff:11.2.3.4", false),
        (&["::ffff:0.0.0.0/96"], &[], "11.2.3.4", true),
    ] {
        let list = AccessList::build(&nets(allow), &nets(deny));
        assert_eq!(list.permits(ip.parse().unwrap()), permitted, "{ip}: allow {allow:?}, deny {deny:?}");
    }
}

#[test]
fn prefixes_within_others_are_dropped() {
    let set =
        IpSet::build(&nets(&["10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/9", "10.255.255.255/32", "11.0.0.0/8"]));
    assert_eq!((set.v4.leaves.len(), set.v4.inner.len()), (2, 1));
    assert!(IpSet::build(&[]).is_empty());
}

fn naive(set: &[IpNet], ip: IpAddr) -> bool {
    set.iter().any(|net| net.contains(&ip.to_canonical()))
}

/// Few different bits, so that prefixes nest and neighbour.
fn ip() -> impl Strategy<Value = IpAddr> {
    let v4 = (0..4u32, 0..4u32, 0..8u32).prop_map(|(a, b, c)| Ipv4Addr::from_bits(a << 30 | b << 15 | c));
    let v6 = (0..4u128, 0..4u128, 0..8u128).prop_map(|(a, b, c)| Ipv6Addr::from_bits(a << 126 | b << 63 | c));
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        v4.clone().prop_map(IpAddr::V4),
        v6.prop_map(IpAddr::V6),
        v4.prop_map(|v4| IpAddr::V6(v4.to_ipv6_mapped())),
    ]
}

fn net() -> impl Strategy<Value = IpNet> {
    (ip(), 0..=128u8).prop_map(|(ip, length)| match ip.to_canonical() {
        IpAddr::V4(v4) => IpNet::V4(Ipv4Net::new(v4, length % 33).unwrap()),
        IpAddr::V6(v6) => IpNet::V6(Ipv6Net::new(v6, length).unwrap()),
    })
}

proptest! {
    #[test]
    fn agrees_with_a_scan(
        allow in proptest::collection::vec(net(), 0..20),
        deny in proptest::collection::vec(net(), 0..20),
        ips in proptest::collection::vec(ip(), 1..50),
    ) {
        let list = AccessList::build(&allow, &deny);
        let edges = allow.iter().chain(&deny).flat_map(|net| [net.network(), net.broadcast()]);
        for ip in ips.into_iter().chain(edges) {
            let permitted = !naive(&deny, ip) && (allow.is_empty() || naive(&allow, ip));
            prop_assert_eq!(list.permits(ip), permitted, "{}", ip);
        }
    }
}

/// The same numbers each time.
fn numbers(seed: u64) -> impl Iterator<Item = u32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u32::try_from(state >> 32).unwrap_or(0)
    })
}

fn many(count: usize) -> Vec<IpNet> {
    let lengths = [32, 28, 24, 24, 22].into_iter().cycle();
    let net = |(bits, length): (u32, u8)| IpNet::V4(Ipv4Net::new(bits.into(), length).unwrap());
    numbers(1).zip(lengths).take(count).map(net).collect()
}

#[test]
fn a_hundred_thousand_prefixes() {
    let mut nets = many(100_000);
    nets.extend(numbers(9).take(1000).map(|bits| {
        IpNet::V6(Ipv6Net::new(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(bits) << 64), 64).unwrap())
    }));
    let set = IpSet::build(&nets);
    for net in &nets {
        assert!(set.contains(net.network()) && set.contains(net.broadcast()));
    }
    for bits in numbers(2).take(1000) {
        let ip = IpAddr::V4(bits.into());
        assert_eq!(set.contains(ip), naive(&nets, ip), "{ip}");
    }
}

/// `cargo test --release -- --ignored --nocapture contains_time`
#[test]
#[ignore = "measures; run it in release"]
fn contains_time() {
    let ips: Vec<IpAddr> = numbers(3).take(10_000).map(|bits| IpAddr::V4(bits.into())).collect();
    for count in [10, 1000, 100_000] {
        let started = crate::clock::read();
        let set = IpSet::build(&many(count));
        let built = started.elapsed();
        let mut best = Duration::MAX;
        let mut found = 0;
        for _ in 0..200 {
            let started = crate::clock::read();
            found += ips.iter().filter(|&&ip| set.contains(ip)).count();
            best = best.min(started.elapsed() / 10_000);
        }
        println!("{count} prefixes: {best:?} a look-up, {built:?} to build ({found})");
    }
}
