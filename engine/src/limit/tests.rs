//! Tests of the limits: their bounds in a simulation of 1 to 64 shards, threads on one bucket, and the edges.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "numbers that tests make up"
)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use coregate_config::checked::Rate;
use proptest::prelude::*;

use super::*;

pub(super) fn rate(requests_per_second: f64, burst: f64) -> Rate {
    Rate { requests_per_second, burst }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) struct Random(pub(super) u64);

impl Random {
    /// Uniform in [0, 1).
    pub(super) fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.share() * end as f64) as usize
    }
}

/// How requests come to the shards.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Traffic {
    /// To any shard.
    Even,
    /// Nineteen of twenty to one shard.
    Skewed,
    /// To one shard only.
    Single,
    /// To another shard every 30 ms.
    Alternating,
    /// Nothing and much by turns, to any shard.
    OnAndOff,
    /// As much to one shard as it can take; one request in 200 ms to each other, which leaves it with a lease.
    Sparse,
    /// One request to each shard, so that all hold a lease; 80 ms later, when the bucket is full again, a flood.
    Hoard,
}

const TRAFFIC: [Traffic; 7] = [
    Traffic::Even,
    Traffic::Skewed,
    Traffic::Single,
    Traffic::Alternating,
    Traffic::OnAndOff,
    Traffic::Sparse,
    Traffic::Hoard,
];

/// Requests of a run: when, in seconds, and on which shard.
fn requests(
    traffic: Traffic,
    demand: f64,
    seconds: f64,
    shards: usize,
    random: &mut Random,
) -> Vec<(f64, usize)> {
    let mut time = 0.0;
    let mut requests = Vec::new();
    let mut touched = 0;
    loop {
        time += -(1.0 - random.share()).ln() / demand;
        let period = (time / 0.2) as u64;
        match traffic {
            Traffic::OnAndOff if period % 2 == 1 => time = (period + 1) as f64 * 0.2,
            Traffic::Sparse | Traffic::Hoard if period >= touched => {
                touched = period + 1;
                requests.extend((0..shards).map(|shard| (time, shard)));
                time += if traffic == Traffic::Hoard { 0.08 } else { 0.0 };
            }
            _ => {}
        }
        if time > seconds {
            return requests;
        }
        let shard = match traffic {
            Traffic::Even | Traffic::OnAndOff | Traffic::Hoard => random.below(shards),
            Traffic::Skewed if random.below(20) == 0 => random.below(shards),
            Traffic::Skewed | Traffic::Single | Traffic::Sparse => 0,
            Traffic::Alternating => (time / 0.03) as usize % shards,
        };
        requests.push((time, shard));
    }
}

/// The most that any window admitted beyond rate x window.
pub(super) fn excess(admitted: &[f64], rate: f64) -> f64 {
    let (mut most, mut least_before) = (0f64, f64::INFINITY);
    for (number, &time) in (0u32..).zip(admitted) {
        let ahead = f64::from(number) - rate * time;
        least_before = least_before.min(ahead);
        most = most.max(ahead - least_before + 1.0);
    }
    most
}

/// The seed is the time; a failure prints it.
pub(super) fn new_seed() -> u64 {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    seed
}

#[test]
fn simulation_of_leases() {
    let seed = new_seed();
    let mut random = Random(seed);
    for shards in [1, 2, 3, 8, 64] {
        for traffic in TRAFFIC {
            for (per_second, burst) in
                [(0.7, 1.0), (5.0, 10.0), (300.0, 30.0), (9_000.0, 9_000.0), (50_000.0, 1.0)]
            {
                let what =
                    format!("seed {seed}: {shards} shards, {traffic:?}, {per_second}/s, burst {burst}");
                let demand =
                    per_second * if burst > 20.0 { 3.0 } else { 1000f64.min(200_000.0 / per_second) };
                let seconds = (300_000.0 / demand).min(4.0).max(30.0 / per_second);
                let start = crate::clock::read();
                let bucket = Arc::new(Bucket::new(rate(per_second, burst), shards, start));
                let mut leases: Vec<Lease> = (0..shards).map(|_| Lease::new(bucket.clone(), start)).collect();
                let mut admitted = Vec::new();
                let mut flowed_back = 0.0;
                for (time, shard) in requests(traffic, demand, seconds, shards, &mut random) {
                    let now = start + Duration::from_secs_f64(time);
                    if time - flowed_back > 0.03 {
                        flowed_back = time;
                        leases.iter_mut().for_each(|lease| lease.flow_back(now));
                    }
                    match leases[shard].admit(now) {
                        Decision::Admit => admitted.push(time),
                        Decision::Refuse { retry_after } => assert!(retry_after > Duration::ZERO, "{what}"),
                    }
                }
                let error = per_second / 100.0;
                let excess = excess(&admitted, per_second);
                assert!(excess <= burst + error + 1e-3, "{what}: {excess} in some window");
                let (share, due) = (admitted.len() as f64, 0.99 * per_second * seconds);
                let may_be_short = matches!(traffic, Traffic::OnAndOff | Traffic::Hoard)
                    || (burst == 1.0 && per_second > 1000.0);
                assert!(may_be_short || share >= due.floor(), "{what}: {share} of {due}");
            }
        }
    }
}

#[test]
fn simulation_of_clients() {
    let seed = new_seed();
    let mut random = Random(seed);
    let start = crate::clock::read();
    let table = ClientTable::new(10_000, start);
    let limit = ClientLimit::new(1, rate(20.0, 40.0));
    let clients = 50;
    let mut admitted = vec![Vec::new(); clients];
    let mut noise = 0u32;
    for (time, client) in requests(Traffic::Even, 60.0 * clients as f64, 20.0, clients, &mut random) {
        let now = start + Duration::from_secs_f64(time);
        let ip = IpAddr::from([10, 0, 0, client as u8]);
        if table.admit(&limit, ip, now) == Decision::Admit {
            admitted[client].push(time);
        }
        // Others that come once each push nobody out.
        noise += 1;
        table.admit(&limit, IpAddr::V4((0xC000_0000 | noise).into()), now);
    }
    for times in admitted {
        let excess = excess(&times, 20.0);
        assert!(excess <= 40.001, "seed {seed}: {excess}");
        assert!(times.len() as f64 >= 0.99 * 20.0 * 20.0, "seed {seed}: {}", times.len());
    }
}

#[test]
fn threads_share_a_bucket() {
    let start = crate::clock::read();
    let bucket = Arc::new(Bucket::new(rate(1000.0, 10_000.0), 4, start));
    let table = Arc::new(ClientTable::new(1000, start));
    let limit = ClientLimit::new(7, rate(1.0, 5_000.0));
    let quota = Arc::new(DayQuota::new(7_777, 4, 1, 0));
    let day = Day { number: 1, ends: start + millis(1000) };
    let shard = || {
        let mut lease = Lease::new(bucket.clone(), start);
        let mut day_lease = DayLease::new(quota.clone(), start);
        let mut admitted = [0u32; 3];
        for _ in 0..10_000 {
            admitted[0] += u32::from(lease.admit(start) == Decision::Admit);
            admitted[1] += u32::from(table.admit(&limit, ip("10.0.0.1"), start) == Decision::Admit);
            admitted[2] += u32::from(day_lease.admit(day, start) == Decision::Admit);
        }
        admitted
    };
    let counts: Vec<[u32; 3]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(shard)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let total = |kind: usize| counts.iter().map(|counts| counts[kind]).sum::<u32>();
    assert_eq!(total(0), 10_000);
    // Two shards that see a new client at the same moment may make an entry each, with one token spent in it.
    assert!((5_000..5_004).contains(&total(1)), "{}", total(1));
    assert_eq!(total(2), 7_777);
}

#[test]
fn refusals_say_when_to_come_again() {
    let start = crate::clock::read();
    let mut lease = Lease::new(Arc::new(Bucket::new(rate(2.0, 3.0), 1, start)), start);
    let window = millis(1500);
    assert_eq!(lease.quota(start), Quota { limit: 3, remaining: 3, reset: Duration::ZERO, window });
    for _ in 0..3 {
        assert_eq!(lease.admit(start), Decision::Admit);
    }
    assert_eq!(lease.admit(start), Decision::Refuse { retry_after: millis(500) });
    assert_eq!(lease.admit(start + millis(100)), Decision::Refuse { retry_after: millis(400) });
    assert_eq!(lease.quota(start), Quota { limit: 3, remaining: 0, reset: millis(1500), window });
    assert_eq!(lease.admit(start + millis(499)), Decision::Refuse { retry_after: millis(1) });
    assert_eq!(lease.admit(start + millis(500)), Decision::Admit);
    assert_ne!(lease.admit(start + millis(500)), Decision::Admit);
    assert_eq!(lease.quota(start + millis(1000)).remaining, 1);
}

#[test]
fn what_an_idle_shard_holds_flows_back() {
    let start = crate::clock::read();
    let bucket = Arc::new(Bucket::new(rate(10_000.0, 100.0), 2, start));
    let mut lease = Lease::new(bucket.clone(), start);
    let other = Lease::new(bucket.clone(), start);
    assert_eq!(lease.admit(start), Decision::Admit);
    assert_eq!((lease.quota(start).remaining, other.quota(start).remaining), (99, 50));
    lease.flow_back(start + millis(99));
    assert_eq!(other.quota(start).remaining, 50);
    lease.flow_back(start + LEASE_IDLE);
    assert_eq!((lease.quota(start).remaining, other.quota(start).remaining), (99, 99));
    assert_eq!(lease.admit(start), Decision::Admit);
    drop(lease);
    assert_eq!(other.quota(start).remaining, 98);
}

#[test]
fn another_rate_keeps_the_tokens() {
    let start = crate::clock::read();
    let old = Arc::new(Bucket::new(rate(10.0, 10.0), 1, start));
    let mut lease = Lease::new(old.clone(), start);
    (0..7).for_each(|_| assert_eq!(lease.admit(start), Decision::Admit));
    for (burst, remaining) in [(20.0, 3), (2.0, 2)] {
        let new = Arc::new(Bucket::replacing(&old, rate(100.0, burst), 1, start));
        assert_eq!(Lease::new(new, start).quota(start).remaining, remaining);
    }
}

#[test]
fn clients_are_told_apart() {
    let start = crate::clock::read();
    let table = ClientTable::new(1000, start);
    let (a, b) = (ClientLimit::new(1, rate(1.0, 1.0)), ClientLimit::new(2, rate(1.0, 1.0)));
    let admits = |limit, text| table.admit(limit, ip(text), start) == Decision::Admit;
    assert!(admits(&a, "192.0.2.1"));
    assert!(!admits(&a, "192.0.2.1"));
    assert!(!admits(&a, "::ffff:192.0.2.1"), "IPv4-mapped is IPv4");
    assert!(admits(&a, "192.0.2.2"));
    assert!(admits(&b, "192.0.2.1"), "each service has its own");
    assert!(admits(&a, "2001:db8:0:1::1"));
    assert!(!admits(&a, "2001:db8:0:1:ffff::2"), "a /64 is one client");
    assert!(admits(&a, "2001:db8:0:2::1"));
    assert!(admits(&a, "0.0.0.0") && admits(&a, "::"));
    assert_eq!(table.quota(&a, ip("192.0.2.1"), start).remaining, 0);
    assert_eq!(table.quota(&a, ip("192.0.2.3"), start).remaining, 1);
}

#[test]
fn a_full_table_pushes_out_the_client_closest_to_full() {
    let start = crate::clock::read();
    let table = ClientTable::new(1, start);
    let limit = ClientLimit::new(1, rate(1.0, 10.0));
    let client = |number: u8| IpAddr::from([10, 0, 0, number]);
    for number in 0..8 {
        for _ in 0..=number {
            assert_eq!(table.admit(&limit, client(number), start), Decision::Admit);
        }
    }
    assert_eq!(table.admit(&limit, client(8), start), Decision::Admit);
    let remaining = |number| table.quota(&limit, client(number), start).remaining;
    assert_eq!((0..9).map(remaining).collect::<Vec<_>>(), [10, 8, 7, 6, 5, 4, 3, 2, 9]);
    // An entry that has been full for long goes before one that is full since now, and nobody's tokens change.
    let later = start + Duration::from_secs(7);
    assert_eq!(table.admit(&limit, client(9), later), Decision::Admit);
    assert_eq!(table.quota(&limit, client(7), later).remaining, 9);
}

#[test]
fn a_flood_of_addresses_takes_no_memory_and_admits_each_once() {
    let start = crate::clock::read();
    let table = ClientTable::new(1_000_000, start);
    let limit = ClientLimit::new(1, rate(0.1, 1.0));
    for number in 0..5_000_000u32 {
        assert_eq!(table.admit(&limit, IpAddr::V4(number.into()), start), Decision::Admit);
    }
    assert_eq!(std::mem::size_of_val(&*table.sets), 16 * 1_000_000);
}

#[test]
fn a_day_has_its_quota_and_no_more() {
    let start = crate::clock::read();
    let quota = Arc::new(DayQuota::new(1_000, 2, 20_000, 0));
    let (mut one, mut two) = (DayLease::new(quota.clone(), start), DayLease::new(quota.clone(), start));
    let today = Day { number: 20_000, ends: start + millis(5_000) };
    let tomorrow = Day { number: 20_001, ends: start + millis(9_000) };
    assert_eq!(one.admit(today, start), Decision::Admit);
    let rest = (0..2_000).filter(|_| two.admit(today, start) == Decision::Admit).count();
    let held = one.quota(today, start).remaining;
    assert_eq!((rest as u64, quota.used(20_000)), (999 - held, 1_000));
    one.flow_back(start + LEASE_IDLE);
    let rest = (0..2_000).filter(|_| two.admit(today, start) == Decision::Admit).count();
    assert_eq!(rest as u64, held);
    assert_eq!(one.admit(today, start + millis(1)), Decision::Refuse { retry_after: millis(4_999) });
    assert_eq!(one.quota(today, start).remaining, 0);
    assert_eq!(two.admit(tomorrow, start), Decision::Admit);
    assert_eq!(one.admit(today, start), Decision::Admit, "a clock that is behind counts to the newer day");
    assert_eq!(quota.used(20_000), 0);
    drop((one, two));
    assert_eq!(quota.used(20_001), 2);
}

proptest! {
    #[test]
    fn extremes_do_no_harm(
        per_second in prop_oneof![Just(f64::MIN_POSITIVE), Just(f64::MAX), 1e-9..1e12f64],
        burst in prop_oneof![Just(1.0), Just(f64::MAX), 1.0..1e15f64],
        shards in 0..200usize,
        steps in proptest::collection::vec((0..4u8, prop_oneof![0..10u64, Just(u64::MAX / 1_000_000)]), 0..40),
        limit in any::<u64>(),
        number in any::<u32>(),
    ) {
        let start = crate::clock::read();
        let bucket = Arc::new(Bucket::new(rate(per_second, burst), shards, start));
        let mut lease = Lease::new(bucket.clone(), start);
        let table = ClientTable::new(shards, start);
        let of_client = ClientLimit::new(limit, rate(per_second, burst));
        let quota = Arc::new(DayQuota::new(limit, shards, number, limit / 2));
        let mut day_lease = DayLease::new(quota, start);
        let day = Day { number, ends: start };
        prop_assert_eq!(lease.admit(start), Decision::Admit, "a new bucket has a token");
        for (step, wait) in steps {
            let now = start + millis(wait);
            match step {
                0 => { lease.admit(now); table.admit(&of_client, ip("::1"), now); day_lease.admit(day, now); }
                1 => { lease.flow_back(now); day_lease.flow_back(now); }
                2 => lease = Lease::new(Arc::new(Bucket::replacing(&bucket, rate(burst, burst), shards, now)), now),
                _ => {
                    let quota = lease.quota(now);
                    prop_assert!(quota.remaining <= quota.limit);
                    day_lease.quota(day, now);
                    table.quota(&of_client, ip("::1"), now);
                }
            }
        }
    }
}

/// `cargo test --release -- --ignored --nocapture admit_time`
#[test]
#[ignore = "measures; run it in release"]
fn admit_time() {
    let start = crate::clock::read();
    let mut best = [Duration::MAX; 3];
    let table = ClientTable::new(1_000_000, start);
    let one = ip("10.0.0.1");
    for _ in 0..20 {
        let mut lease = Lease::new(Arc::new(Bucket::new(rate(1e6, 1e9), 4, start)), start);
        let limit = ClientLimit::new(1, rate(1e6, 1e9));
        let mut measure = |kind: usize, admit: &mut dyn FnMut(u32) -> Decision| {
            let started = crate::clock::read();
            let admitted = (0..100_000).filter(|&n| admit(n) == Decision::Admit).count();
            best[kind] = best[kind].min(started.elapsed() / 100_000);
            assert_eq!(admitted, 100_000);
        };
        measure(0, &mut |_| lease.admit(start));
        measure(1, &mut |_| table.admit(&limit, one, start));
        measure(2, &mut |n| table.admit(&limit, IpAddr::V4((n * 97).into()), start));
    }
    println!("a lease {:?}, one client {:?}, a hundred thousand clients {:?}", best[0], best[1], best[2]);
}
