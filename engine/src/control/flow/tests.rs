use std::collections::HashMap;

use super::*;
use jiff::SignedDuration;
use tokio::sync::mpsc;

const SERVICE: &str = "[[services]]\nname = \"a\"\n[[services.routes]]\npath_prefix = \"/\"\n[[services.nodes]]\naddress = \"10.0.0.1:80\"\n";
const TENANTS: &str = "[[tenants]]\napp_id = \"app\"\nsecret = \"s\"\nrequests_per_day = 100\n\
                       [[tenants]]\napp_id = \"free\"\nsecret = \"s\"\n";
/// Nobody listens there.
const REDIS: &str = "[stats]\nredis_url = \"redis://127.0.0.1:1\"\n";

fn gateway(toml: &str) -> Gateway {
    coregate_config::parse_toml(toml, "test").unwrap()
}

/// A clock that a test moves.
#[derive(Clone, Copy)]
struct Clock {
    start: Instant,
    wall: Timestamp,
}

impl Clock {
    fn new(wall: &str) -> Self {
        Self { start: crate::clock::read(), wall: wall.parse().unwrap() }
    }

    fn after(&self, ms: i64) -> Moment {
        let wall = self.wall + SignedDuration::from_millis(ms);
        Moment { instant: self.start + Duration::from_millis(ms.unsigned_abs()), wall }
    }
}

fn delta(requests: u64, connections: u64) -> Delta {
    let counters = Counters { requests, ..Counters::default() };
    Delta {
        site: counters.clone(),
        services: vec![("a".into(), counters)],
        shard: ShardCounters { connections, accepted: requests, ..ShardCounters::default() },
        ..Delta::default()
    }
}

fn flow(shards: usize, zone: &str, now: Moment) -> Flow {
    let mut flow = Flow::new(shards, Duration::from_secs(1), Calendar::new(zone), None, now);
    flow.retain(&gateway(SERVICE), now);
    flow
}

fn writing_flow(zone: &str, toml: &str, now: Moment) -> Flow {
    let gateway = gateway(&format!("{REDIS}{toml}"));
    let (events, _) = mpsc::channel(1);
    let writer = Writer::start(&gateway.stats, events, now.instant).unwrap();
    let mut flow = Flow::new(1, Duration::from_secs(1), Calendar::new(zone), writer, now);
    flow.retain(&gateway, now);
    flow
}

/// What the ledger would write, by the keys' names.
fn written(flow: &mut Flow, now: Instant) -> HashMap<String, u64> {
    let writer = flow.writer.as_mut().unwrap();
    let batch = writer.ledger.batch(now).unwrap();
    let entries = batch.parts.iter().flat_map(|part| &part.entries);
    entries.map(|(key, count)| (writer.names.key(key), *count)).collect()
}

#[test]
fn a_round_is_one_delta_of_each_shard() {
    let clock = Clock::new("2026-01-01T12:00:00Z");
    let mut flow = flow(2, "UTC", clock.after(0));
    flow.add(0, &delta(100, 1), clock.after(500));
    assert_eq!(flow.site.requests_per_second, 0.0, "shard 1 has not reported");
    flow.add(1, &delta(300, 1), clock.after(1000));
    assert_eq!(flow.site.requests_per_second, 400.0);
    assert_eq!(flow.services["a"].requests_per_second, 400.0);
    assert_eq!(flow.site.total.requests, 400);
    flow.add(0, &delta(0, 1), clock.after(1500));
    flow.add(1, &delta(0, 1), clock.after(2000));
    assert_eq!(flow.site.requests_per_second, 0.0);
    assert_eq!(flow.site.total.requests, 400);
}

#[test]
fn a_silent_shard_holds_nothing_up() {
    let clock = Clock::new("2026-01-01T12:00:00Z");
    let mut flow = flow(2, "UTC", clock.after(0));
    flow.add(0, &delta(200, 1), clock.after(500));
    flow.tick(clock.after(1999).instant);
    assert_eq!(flow.site.requests_per_second, 0.0);
    flow.tick(clock.after(2000).instant);
    assert_eq!(flow.site.requests_per_second, 100.0);
}

#[test]
fn gauges_are_replaced_and_counters_added() {
    let clock = Clock::new("2026-01-01T12:00:00Z");
    let mut flow = flow(1, "UTC", clock.after(0));
    flow.add(0, &delta(5, 7), clock.after(0));
    flow.add(0, &delta(5, 3), clock.after(0));
    assert_eq!(flow.shards[0].connections, 3);
    assert_eq!(flow.shards[0].accepted, 10);
}

#[test]
fn a_removed_service_is_dropped_and_stays_dropped() {
    let clock = Clock::new("2026-01-01T12:00:00Z");
    let mut flow = flow(1, "UTC", clock.after(0));
    flow.add(0, &delta(5, 1), clock.after(0));
    flow.retain(&gateway(&SERVICE.replace("\"a\"", "\"b\"")), clock.after(0));
    flow.add(0, &delta(5, 1), clock.after(0));
    assert_eq!(flow.services.keys().map(|name| &**name).collect::<Vec<_>>(), ["b"]);
    assert_eq!(flow.site.total.requests, 10, "the site keeps what it counted");
}

#[tokio::test]
async fn what_a_removed_service_counted_is_written_all_the_same() {
    let clock = Clock::new("2026-01-01T12:00:00Z");
    let mut flow = writing_flow("UTC", SERVICE, clock.after(0));
    flow.add(0, &delta(5, 1), clock.after(0));
    flow.retain(&gateway(""), clock.after(0));
    flow.add(0, &delta(2, 1), clock.after(0));
    let written = written(&mut flow, clock.start);
    assert_eq!(written["flow_day_20260101_flow_service_a"], 7);
    assert_eq!(written["flow_hour_2026010112_flow_service_a"], 7);
    assert_eq!(written["flow_day_20260101_flow_total"], 7);
}

#[test]
fn a_shard_that_does_not_exist_counts_for_the_site_only() {
    let clock = Clock::new("2026-01-01T12:00:00Z");
    let mut flow = flow(1, "UTC", clock.after(0));
    flow.add(9, &delta(5, 1), clock.after(0));
    assert_eq!(flow.site.total.requests, 5);
}

/// Deltas around a moment, each an interval of a second; the one that began before it belongs to what ended.
async fn around(zone: &str, boundary: &str) -> HashMap<String, u64> {
    let clock = Clock::new(boundary);
    let mut flow =
        writing_flow(zone, "", Moment { wall: clock.wall - SignedDuration::from_secs(60), ..clock.after(0) });
    // On the monotonic clock the boundary is ten seconds after the start.
    let moment = |ms: i64| Moment {
        instant: clock.start + Duration::from_millis((10_000 + ms).unsigned_abs()),
        wall: clock.wall + SignedDuration::from_millis(ms),
    };
    for (began, arrives, requests) in [(-1500, -500, 1), (-500, 2, 10), (2, 500, 100), (500, 1500, 1000)] {
        let site = Counters { requests, ..Counters::default() };
        let delta = Delta { began: Some(moment(began).instant), site, ..Delta::default() };
        flow.add(0, &delta, moment(arrives));
    }
    let shown: Vec<(i8, u64)> = flow.site.hours.iter().map(|(hour, count)| (hour.hour, *count)).collect();
    assert_eq!(shown.iter().map(|(_, count)| count).sum::<u64>(), 1111);
    written(&mut flow, clock.start)
}

#[tokio::test]
async fn a_delta_belongs_to_the_hour_in_which_it_began() {
    let hour = around("UTC", "2026-06-30T17:00:00Z").await;
    assert_eq!(hour["flow_hour_2026063016_flow_total"], 11);
    assert_eq!(hour["flow_hour_2026063017_flow_total"], 1100);
    assert_eq!(hour["flow_day_20260630_flow_total"], 1111);
    // At half past in UTC an hour begins in Kolkata, and at 18:30 a day.
    let hour = around("Asia/Kolkata", "2026-06-30T17:30:00Z").await;
    assert_eq!(hour["flow_hour_2026063022_flow_total"], 11);
    assert_eq!(hour["flow_hour_2026063023_flow_total"], 1100);
    let day = around("Asia/Kolkata", "2026-06-30T18:30:00Z").await;
    assert_eq!(day["flow_hour_2026063023_flow_total"], 11);
    assert_eq!(day["flow_day_20260630_flow_total"], 11);
    assert_eq!(day["flow_hour_2026070100_flow_total"], 1100);
    assert_eq!(day["flow_day_20260701_flow_total"], 1100);
    let day = around("Asia/Shanghai", "2026-12-31T16:00:00Z").await;
    assert_eq!(day["flow_day_20261231_flow_total"], 11);
    assert_eq!(day["flow_day_20270101_flow_total"], 1100);
}

#[tokio::test]
async fn when_clocks_change_no_request_is_lost() {
    // Two becomes three.
    let spring = around("Europe/Berlin", "2026-03-29T01:00:00Z").await;
    assert_eq!(spring["flow_hour_2026032901_flow_total"], 11);
    assert_eq!(spring["flow_hour_2026032903_flow_total"], 1100);
    // Three becomes two: both hours are 02, and one key.
    let autumn = around("Europe/Berlin", "2026-10-25T01:00:00Z").await;
    assert_eq!(autumn["flow_hour_2026102502_flow_total"], 1111);
    assert_eq!(autumn["flow_day_20261025_flow_total"], 1111);
}

#[test]
fn all_shards_report_when_an_hour_ends_and_not_before() {
    let clock = Clock::new("2026-06-30T16:29:00Z");
    let mut flow = flow(1, "Asia/Kolkata", clock.after(0));
    assert_eq!(flow.hour_ends(clock.after(0)), clock.after(60_002).instant);
    assert!(!flow.is_next_hour(clock.after(59_999)));
    assert!(flow.is_next_hour(clock.after(60_002)));
    assert!(!flow.is_next_hour(clock.after(60_003)), "once");
    assert_eq!(flow.hour_ends(clock.after(60_003)), clock.after(3_660_002).instant);
}

#[tokio::test]
async fn a_wall_clock_that_jumps_loses_nothing() {
    let clock = Clock::new("2026-06-30T16:00:00Z");
    let mut flow = writing_flow("Europe/Berlin", SERVICE, clock.after(0));
    let mut total = 0;
    for (step, wall) in [
        "2026-06-30T16:00:01Z",
        "2099-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "-009999-01-02T01:59:59Z",
        "9999-12-30T22:00:00Z",
        "2026-06-30T16:00:02Z",
    ]
    .into_iter()
    .enumerate()
    {
        let instant = clock.after(i64::try_from(step).unwrap() * 1000).instant;
        let now = Moment { instant, wall: wall.parse().unwrap() };
        let delta = Delta { began: Some(clock.start), ..delta(7, 0) };
        flow.add(0, &delta, now);
        flow.is_next_hour(now);
        assert!(flow.hour_ends(now) >= instant);
        total += 7;
    }
    assert_eq!(flow.site.total.requests, total);
    assert!(flow.site.hours.len() <= HOURS_MAX);
    let written = written(&mut flow, clock.start + Duration::from_secs(60));
    let days = written.iter().filter(|(key, _)| key.starts_with("flow_day") && key.ends_with("total"));
    assert_eq!(days.map(|(_, count)| count).sum::<u64>(), total);
}

#[test]
fn hours_of_two_days_are_kept() {
    let clock = Clock::new("2026-01-01T00:30:00Z");
    let mut flow = flow(1, "UTC", clock.after(0));
    for hour in 0..24 * 5 {
        flow.add(0, &delta(1, 0), clock.after(hour * 3_600_000));
    }
    let days: BTreeSet<String> = flow.site.hours.keys().map(|hour| hour.date.to_string()).collect();
    assert_eq!(days.into_iter().collect::<Vec<_>>(), ["2026-01-04", "2026-01-05"]);
    assert_eq!(flow.services["a"].hours.len(), 48);
}

#[tokio::test]
async fn tenants_are_counted_and_their_quotas_by_what_was_admitted() {
    let clock = Clock::new("2026-01-01T12:00:00Z");
    let mut flow = writing_flow("UTC", TENANTS, clock.after(0));
    let mut counters = Counters { requests: 10, ..Counters::default() };
    counters.endings[Cause::Done as usize][7] = 5;
    counters.endings[Cause::UpstreamGone as usize][2] = 2;
    counters.endings[Cause::Limited as usize][1] = 2;
    counters.endings[Cause::Refused as usize][1] = 1;
    let tenants = ["app", "free", "gone"].map(|app| (Arc::from(app), counters.clone())).to_vec();
    flow.add(0, &Delta { tenants, ..Delta::default() }, clock.after(0));
    assert_eq!(flow.tenants.keys().map(|app| &**app).collect::<Vec<_>>(), ["app", "free"]);
    let written = written(&mut flow, clock.start);
    assert_eq!(written["flow_day_20260101_flow_app_app"], 10);
    assert_eq!(written["flow_day_20260101_flow_app_gone"], 10);
    assert_eq!(written["quota_day_20260101_app"], 7);
    assert!(!written.contains_key("quota_day_20260101_free"), "no limit a day");
}
