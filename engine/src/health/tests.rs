//! Tests of node health: each transition, the schedule, reconfiguration, and a simulated service.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn node(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn check(interval: Duration, unhealthy_after: u32, healthy_after: u32) -> Option<HealthCheck> {
    Some(HealthCheck {
        kind: HealthCheckKind::Tcp,
        interval,
        timeout: interval.min(2 * SECOND),
        unhealthy_after,
        healthy_after,
    })
}

fn start() -> Instant {
    crate::clock::read()
}

#[test]
fn starts_live_and_goes_down_after_failures_in_a_row() {
    let now = start();
    let mut health = ServiceHealth::new(check(5 * SECOND, 3, 2), &[node(1), node(2)], 1, now);
    assert_eq!(health.live(), [(node(1), true), (node(2), true)]);
    for result in [Err("refused"), Err("refused"), Ok(()), Err("refused"), Err("refused")] {
        assert!(!health.on_check(node(1), result, now));
    }
    let down = now + SECOND;
    assert!(health.on_check(node(1), Err("timed out"), down));
    assert_eq!(health.live(), [(node(1), false), (node(2), true)]);
    assert_eq!(health.nodes()[0].since, down);
    assert_eq!(health.nodes()[0].last_error, Some((down, "timed out".into())));
    assert!(!health.on_check(node(1), Ok(()), down));
    assert!(!health.on_check(node(1), Err("refused"), down), "successes have to be in a row");
    assert!(!health.on_check(node(1), Ok(()), down));
    assert!(health.on_check(node(1), Ok(()), down + SECOND));
    assert_eq!(health.live(), [(node(1), true), (node(2), true)]);
}

#[test]
fn traffic_takes_a_node_out_at_once_and_probes_bring_it_back() {
    let now = start();
    for check in [None, check(60 * SECOND, 5, 1)] {
        let active = check.is_some();
        let mut health = ServiceHealth::new(check, &[node(1)], 1, now);
        assert_eq!(
            health.next_due().is_some(),
            active,
            "without a check nothing is probed while all is well"
        );
        assert!(health.on_passive_failure(node(1), "connection refused", now));
        assert!(!health.on_passive_failure(node(1), "connection refused", now));
        let due = health.next_due().unwrap();
        assert!(due >= now + SECOND / 2 && due <= now + SECOND, "soon, but not at once: {:?}", due - now);
        assert_eq!(health.due(due), [node(1)]);
        assert!(!health.on_check(node(1), Err("connection refused"), due));
        let again = health.next_due().unwrap();
        assert!(again >= due + SECOND * 95 / 100 && again <= due + SECOND * 105 / 100);
        assert_eq!(health.due(again), [node(1)]);
        assert!(health.on_check(node(1), Ok(()), again));
        assert_eq!(health.next_due().is_some(), active);
        assert!(health.due(again + SECOND / 1000).is_empty());
    }
}

#[test]
fn a_check_that_began_before_the_node_went_down_does_not_bring_it_back() {
    let now = start();
    let mut health = ServiceHealth::new(check(SECOND, 1, 1), &[node(1)], 1, now);
    let began = health.next_due().unwrap();
    health.due(began);
    assert!(health.on_passive_failure(node(1), "reset", began + SECOND / 100));
    assert!(!health.on_check(node(1), Ok(()), began + SECOND / 50));
    let probe = health.next_due().unwrap();
    health.due(probe);
    assert!(health.on_check(node(1), Ok(()), probe));
}

#[test]
fn one_check_at_a_time_and_lost_results_do_not_stop_them() {
    let now = start();
    let mut health = ServiceHealth::new(check(2 * SECOND, 1, 1), &[node(1)], 1, now);
    health.on_passive_failure(node(1), "reset", now);
    let began = health.next_due().unwrap();
    assert_eq!(health.due(began), [node(1)]);
    let timeout = 2 * SECOND;
    assert!(health.due(began + timeout).is_empty(), "its result may still come");
    assert_eq!(health.next_due(), Some(began + timeout + RESULT_GRACE));
    assert_eq!(health.due(began + timeout + RESULT_GRACE), [node(1)]);
}

#[test]
fn first_checks_are_spread_over_an_interval() {
    let now = start();
    let interval = 10 * SECOND;
    let mut tenths = [0; 10];
    for service in 0..10_000 {
        let health = ServiceHealth::new(check(interval, 1, 1), &[node(1)], service, now);
        let wait = health.next_due().unwrap() - now;
        assert!(wait <= interval);
        tenths[(0..9).filter(|&tenth| wait >= SECOND * (tenth + 1)).count()] += 1;
    }
    assert!(tenths.iter().all(|&count| (850..1150).contains(&count)), "{tenths:?}");
}

#[test]
fn a_reconfiguration_keeps_what_is_known_of_nodes_that_stay() {
    let now = start();
    let mut health = ServiceHealth::new(check(5 * SECOND, 2, 2), &[node(1), node(2)], 1, now);
    health.on_passive_failure(node(2), "reset", now);
    let due = health.next_due();
    let later = now + SECOND / 10;
    assert!(!health.reconfigure(check(5 * SECOND, 2, 2), &[node(1), node(2)], later));
    assert!(health.next_due() <= due, "checks are not put off");
    assert!(health.reconfigure(None, &[node(3), node(2), node(2)], later));
    assert_eq!(health.live(), [(node(3), true), (node(2), false)]);
    assert_eq!(health.nodes()[1].since, now);
    assert!(!health.on_check(node(1), Err("x"), later), "a result for a node that has gone");
    assert!(!health.on_passive_failure(node(1), "x", later));
    let probe = health.next_due().unwrap();
    assert_eq!(health.due(probe), [node(2)], "without a check it is probed while it is down");
    assert!(health.on_check(node(2), Ok(()), probe));
    assert_eq!(health.next_due(), None);
    assert!(health.reconfigure(None, &[], later));
    assert_eq!(health.live(), []);
}

#[test]
fn extremes_do_no_harm() {
    let now = start();
    let mut health = ServiceHealth::new(check(Duration::MAX, u32::MAX, u32::MAX), &[node(1)], 1, now);
    let due = health.next_due().unwrap();
    health.due(due);
    health.on_check(node(1), Err(&"é".repeat(1000)), due);
    assert_eq!(health.nodes()[0].last_error.as_ref().unwrap().1.len(), ERROR_BYTES_MAX);
    let mut health = ServiceHealth::new(check(Duration::ZERO, 0, 0), &[node(1)], 1, now);
    assert_eq!(health.due(now), [node(1)]);
    assert!(health.on_check(node(1), Err(""), now));
    assert_eq!(health.due(now), [node(1)]);
}

/// Nodes that die and come back, some results lost, some failures seen by traffic: what the subject says follows what
/// is true within the time that the configuration promises. The seed is the time; a failure prints it.
#[test]
fn simulation() {
    let seed = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    println!("seed {seed}");
    let mut random = Jitter(seed);
    let mut chance = |share: f64| random.below(SECOND).as_secs_f64() < share;
    let (interval, unhealthy_after, healthy_after) = (3 * SECOND, 2u32, 2u32);
    let nodes: Vec<SocketAddr> = (0..20).map(node).collect();
    let mut now = start();
    let mut health = ServiceHealth::new(check(interval, unhealthy_after, healthy_after), &nodes, seed, now);
    let mut truth = vec![(true, now); nodes.len()];
    let mut lost = vec![now; nodes.len()];
    let mut told = health.live();
    let step = Duration::from_millis(100);
    // Late by: checks in a row, each with its jitter, a step of this loop, and one check that began before the change.
    let slack = interval * (unhealthy_after + 1) * 106 / 100 + 2 * step;
    for _ in 0..20_000 {
        now += step;
        let mut changed = false;
        for (index, &address) in nodes.iter().enumerate() {
            if chance(0.002) {
                truth[index] = (!truth[index].0, now);
            }
            if !truth[index].0 && health.live()[index].1 && chance(0.01) {
                assert!(health.on_passive_failure(address, "refused", now), "seed {seed}");
                changed = true;
            }
        }
        for address in health.due(now) {
            let index = usize::from(address.port());
            if chance(0.02) {
                lost[index] = now;
            } else {
                changed |=
                    health.on_check(address, if truth[index].0 { Ok(()) } else { Err("refused") }, now);
            }
        }
        assert_eq!(health.live() != told, changed, "seed {seed}: observers are told exactly when it changes");
        told = health.live();
        for ((&(up, since), &(_, live)), &lost) in truth.iter().zip(&told).zip(&lost) {
            let settled = now > since + slack && now > lost + slack + 2 * SECOND + RESULT_GRACE;
            assert!(!settled || up == live, "seed {seed}: {up} for {:?}, still {live}", now - since);
        }
        assert!(health.next_due().is_some_and(|due| due > now), "seed {seed}");
    }
}
