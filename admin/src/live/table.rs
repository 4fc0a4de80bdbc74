//! The engines that report, and what they say; sans-io.
//!
//! Input: [`Report`]s, `now`. Output: what the next report is to hold ([`Want`]), the state of each instance, sums over all.
//! Bounds: [`INSTANCES_MAX`] instances (of those that are gone the one that is gone longest makes room; if none is, a new one
//! is not taken), names by the schema's own limits. An instance is gone after [`GONE_AFTER`] without a report and forgotten
//! after [`FORGOTTEN_AFTER`]; what it counted today goes on to count until then.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use coregate::control::remote::report::{self, Flow, Latency, Nodes, Report, Want};
use coregate_config::limits::{SERVICES_MAX, TENANTS_MAX};
use jiff::Timestamp;

use super::series::Series;

/// Instances that are kept.
pub const INSTANCES_MAX: usize = 1000;
/// Without a report for so long an instance is gone.
pub const GONE_AFTER: Duration = Duration::from_secs(5);
/// An instance that is gone is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(48 * 3600);
/// How long an instance may take to apply a revision before it lags.
pub const LAG_AFTER: Duration = Duration::from_secs(2);
/// An instance that has not reported here for so long may have gone over to another admin; it reports each second.
const MOVED_AFTER: Duration = Duration::from_secs(3);
/// What other admins tell may be so old.
const TOLD_LATE: Duration = Duration::from_secs(5);
/// Services and tenants whose rates other admins are told.
const TOLD_MAX: usize = 200;
/// Between two samples of an instance's totals.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Samples that are kept: rates are of the last 10 to 15 seconds.
const SAMPLES: usize = 3;
/// Longest name of an instance.
const INSTANCE_BYTES_MAX: usize = 200;

/// All instances, by name.
#[derive(Debug, Default)]
pub struct Table {
    instances: BTreeMap<String, Instance>,
}

/// One engine.
#[derive(Debug)]
pub struct Instance {
    /// Its last report, without what it counted.
    pub report: Report,
    /// When that came.
    pub seen: Instant,
    /// The same, for people.
    pub seen_at: Timestamp,
    /// Everything.
    pub site: Series,
    /// By name.
    pub services: HashMap<String, Series>,
    /// By `app_id`.
    pub tenants: HashMap<String, Series>,
    /// It reports to another admin, who told of it.
    pub(super) elsewhere: bool,
    /// Totals of this boot at some moments, the oldest first; the last is that of the last report.
    samples: VecDeque<Sample>,
}

/// Totals of an instance since its boot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Exchanges that ended.
    pub requests: u64,
    /// By class of status.
    pub answers: BTreeMap<String, u64>,
    /// By why they ended.
    pub causes: BTreeMap<String, u64>,
    /// Refused, by kind of limit.
    pub limited: BTreeMap<String, u64>,
    /// How long they took.
    pub latency: Latency,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    totals: Totals,
}

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// It has the newest revision in force.
    Up,
    /// It has an older one.
    Lagging,
    /// It refused the last one that it got.
    Refused,
    /// It does not report.
    Gone,
}

/// The revision that is in force here, and since when.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Its number.
    pub revision: u64,
    /// When this process learnt of it.
    pub since: Instant,
}

impl Table {
    /// Takes a report. `None`: there are too many instances, or its name makes no sense.
    pub fn take(&mut self, mut report: Report, now: Instant, at: Timestamp) -> Option<Want> {
        // What another admin has told of it is less than what it says itself, which is to be all.
        if self.instances.get(&report.instance).is_some_and(|it| it.elsewhere) {
            self.instances.remove(&report.instance);
        }
        let name = self.admitted(&report, now)?;
        let flow = std::mem::take(&mut report.flow);
        let full = report.full;
        let known = self.instances.get_mut(&name);
        let is_new = known.is_none();
        let instance = match known {
            Some(instance) => instance,
            None => self.instances.entry(name).or_insert_with(|| Instance::new(report.clone(), now, at)),
        };
        let is_another_boot = !is_new && instance.report.boot != report.boot;
        if is_another_boot {
            instance.settle();
        } else if full {
            instance.forget_boot();
        }
        // What has changed means nothing to whoever does not know the rest.
        let wants_all = (is_new || is_another_boot) && !full;
        instance.report = report;
        (instance.seen, instance.seen_at) = (now, at);
        instance.count(flow, now, at);
        Some(if wants_all { Want::Full } else { Want::Changes })
    }

    /// Takes what another admin has told of an instance that reports to it; `seen` is when it last did.
    pub fn take_told(&mut self, mut report: Report, seen: Instant, seen_at: Timestamp, now: Instant) {
        let known = self.instances.get(&report.instance);
        if known.is_some_and(|it| !it.elsewhere && now.saturating_duration_since(it.seen) <= MOVED_AFTER) {
            return;
        }
        let Some(name) = self.admitted(&report, now) else { return };
        let flow = std::mem::take(&mut report.flow);
        let before = self.instances.remove(&name);
        let goes_on = before.filter(|it| it.elsewhere && it.report.boot == report.boot);
        let mut instance = Instance::new(report, seen, seen_at);
        instance.elsewhere = true;
        instance.samples = goes_on.map(|it| it.samples).unwrap_or_default();
        instance.count(flow, now, seen_at);
        self.instances.insert(name, instance);
    }

    /// What other admins are to be told: the instances that report here, each with its last report.
    pub fn to_tell(&self, now: Instant) -> impl Iterator<Item = (&Instance, Report)> {
        let is_here =
            move |it: &Instance| !it.elsewhere && now.saturating_duration_since(it.seen) <= MOVED_AFTER;
        let here = self.instances.iter().filter(move |(_, instance)| is_here(instance));
        here.map(|(_, instance)| (instance, instance.told()))
    }

    /// The name of the instance that a report is of, if there may be one of that name.
    fn admitted(&mut self, report: &Report, now: Instant) -> Option<String> {
        let name = &report.instance;
        let is_name = !name.is_empty() && name.len() <= INSTANCE_BYTES_MAX;
        (is_name && (self.instances.contains_key(name) || self.has_room(now))).then(|| name.clone())
    }

    fn has_room(&mut self, now: Instant) -> bool {
        self.expire(now);
        if self.instances.len() < INSTANCES_MAX {
            return true;
        }
        let gone = self.instances.iter().filter(|(_, it)| it.is_gone(now)).min_by_key(|(_, it)| it.seen);
        let Some(name) = gone.map(|(name, _)| name.clone()) else { return false };
        self.instances.remove(&name);
        true
    }

    /// Forgets those that are gone for too long.
    pub fn expire(&mut self, now: Instant) {
        self.instances.retain(|_, it| now.saturating_duration_since(it.seen) < FORGOTTEN_AFTER);
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Instance)> {
        self.instances.iter()
    }

    /// Those that report.
    pub fn present(&self, now: Instant) -> impl Iterator<Item = (&String, &Instance)> {
        self.instances.iter().filter(move |(_, it)| !it.is_gone(now))
    }

    /// Whether there is one of this name, and whether it is gone.
    pub fn is_gone(&self, name: &str, now: Instant) -> Option<bool> {
        self.instances.get(name).map(|it| it.is_gone(now))
    }

    /// Forgets one.
    pub fn remove(&mut self, name: &str) {
        self.instances.remove(name);
    }
}

fn update(
    known: &mut HashMap<String, Series>,
    report: &BTreeMap<String, coregate::control::remote::report::Series>,
    max: usize,
    now: i64,
) {
    for (name, series) in report {
        if let Some(known) = known.get_mut(name) {
            known.update(series, now);
        } else if known.len() < max {
            known.entry(name.clone()).or_default().update(series, now);
        }
    }
}

impl Instance {
    fn new(report: Report, now: Instant, at: Timestamp) -> Self {
        Self {
            report,
            seen: now,
            seen_at: at,
            site: Series::default(),
            services: HashMap::new(),
            tenants: HashMap::new(),
            elsewhere: false,
            samples: VecDeque::with_capacity(SAMPLES + 1),
        }
    }

    /// Takes what it has counted.
    fn count(&mut self, flow: Flow, now: Instant, at: Timestamp) {
        let seconds = at.as_second();
        self.site.update(&flow.site, seconds);
        update(&mut self.services, &flow.services, SERVICES_MAX, seconds);
        update(&mut self.tenants, &flow.tenants, TENANTS_MAX, seconds);
        let Flow { site, answers, causes, limited, latency, .. } = flow;
        let latency = latency.unwrap_or_default();
        self.sample(Totals { requests: site.requests, answers, causes, limited, latency }, now);
    }

    /// What other admins are told of it: its last report, with the busiest services and tenants alone and without their
    /// hours, so that it stays small.
    fn told(&self) -> Report {
        let busiest = |all: &HashMap<String, Series>| {
            let mut rates: Vec<(&String, f64)> =
                all.iter().map(|(name, it)| (name, it.requests_per_second)).filter(|it| it.1 > 0.0).collect();
            rates.sort_unstable_by(|(_, one), (_, other)| other.total_cmp(one));
            rates.truncate(TOLD_MAX);
            let rate = |(name, requests_per_second): (&String, f64)| {
                (name.clone(), report::Series { requests_per_second, ..report::Series::default() })
            };
            rates.into_iter().map(rate).collect()
        };
        let totals = self.samples.back().map(|sample| sample.totals.clone()).unwrap_or_default();
        let Totals { requests, answers, causes, limited, latency } = totals;
        let flow = Flow {
            timezone: String::new(),
            // The requests of this boot, as samples are of one boot.
            site: report::Series { requests, ..self.site.told() },
            answers,
            causes,
            limited,
            latency: Some(latency),
            services: busiest(&self.services),
            tenants: busiest(&self.tenants),
        };
        Report { flow, full: true, ..self.report.clone() }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Series> {
        std::iter::once(&mut self.site).chain(self.services.values_mut()).chain(self.tenants.values_mut())
    }

    fn settle(&mut self) {
        self.all().for_each(Series::settle);
        self.samples.clear();
    }

    fn forget_boot(&mut self) {
        self.all().for_each(Series::forget_boot);
        self.services.retain(|_, series| !series.is_empty());
        self.tenants.retain(|_, series| !series.is_empty());
        self.samples.clear();
    }

    fn sample(&mut self, totals: Totals, now: Instant) {
        // The last one is replaced until it is old enough to stay.
        if let [.., before, _] = self.samples.make_contiguous()
            && now.saturating_duration_since(before.at) < SAMPLE_EVERY
        {
            self.samples.pop_back();
        }
        self.samples.push_back(Sample { at: now, totals });
        while self.samples.len() > SAMPLES + 1 {
            self.samples.pop_front();
        }
    }

    /// The oldest and the newest totals that are known of this boot: what lies between is the last seconds.
    pub fn window(&self) -> Option<(&Totals, &Totals)> {
        Some((&self.samples.front()?.totals, &self.samples.back()?.totals))
    }

    /// It does not report any more.
    pub fn is_gone(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) > GONE_AFTER + self.delay()
    }

    /// How late this admin may hear of it.
    fn delay(&self) -> Duration {
        if self.elsewhere { TOLD_LATE } else { Duration::ZERO }
    }

    /// How it is.
    pub fn state(&self, head: Head, now: Instant) -> InstanceState {
        let lags = self.report.revision_applied != head.revision
            && now.saturating_duration_since(head.since) > LAG_AFTER + self.delay();
        match () {
            () if self.is_gone(now) => InstanceState::Gone,
            () if self.report.refused.is_some() => InstanceState::Refused,
            () if lags => InstanceState::Lagging,
            () => InstanceState::Up,
        }
    }

    /// How its nodes are.
    pub fn nodes(&self) -> &Nodes {
        &self.report.nodes
    }
}

#[cfg(test)]
pub(super) mod tests {
    use coregate::control::remote::report;

    use super::*;

    /// An instance's report with these requests of services in this hour.
    pub fn report(instance: &str, boot: &str, full: bool, services: &[(&str, u64)]) -> Report {
        let hour = 1_700_000_000 - 1_700_000_000 % 3600;
        let series =
            |requests| report::Series { requests_per_second: 1.0, requests, hours: vec![(hour, requests)] };
        let sum = services.iter().map(|(_, requests)| requests).sum();
        Report {
            instance: instance.into(),
            boot: boot.into(),
            hostname: "host".into(),
            version: "1".into(),
            schema: 1,
            started_at: Timestamp::UNIX_EPOCH,
            shards: 1,
            revision_applied: 1,
            etag: None,
            refused: None,
            ready: true,
            not_ready: None,
            connections: 3,
            flow: report::Flow {
                site: series(sum),
                services: services.iter().map(|(name, count)| ((*name).to_owned(), series(*count))).collect(),
                ..report::Flow::default()
            },
            nodes: report::Nodes::default(),
            full,
        }
    }

    /// The moment of [`report`].
    pub fn at() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn requests(series: &Series) -> u64 {
        series.hours().map(|(_, count)| count).sum()
    }

    #[test]
    fn changes_of_somebody_unknown_have_everything_asked_for() {
        let (mut table, now) = (Table::default(), now());
        assert_eq!(table.take(report("a", "1", false, &[("s", 4)]), now, at()), Some(Want::Full));
        assert_eq!(table.take(report("a", "1", true, &[("s", 4), ("t", 5)]), now, at()), Some(Want::Changes));
        assert_eq!(table.take(report("a", "1", false, &[("t", 6)]), now, at()), Some(Want::Changes));
        let (_, instance) = table.iter().next().unwrap();
        assert_eq!(requests(&instance.services["s"]) + requests(&instance.services["t"]), 10);
    }

    #[test]
    fn what_an_engine_counted_before_its_restart_stays() {
        let (mut table, now) = (Table::default(), now());
        table.take(report("a", "1", true, &[("s", 4)]), now, at());
        assert_eq!(table.take(report("a", "2", true, &[("s", 1)]), now, at()), Some(Want::Changes));
        // The same again, as when its answer was lost.
        table.take(report("a", "2", true, &[("s", 1)]), now, at());
        let (_, instance) = table.iter().next().unwrap();
        assert_eq!(requests(&instance.services["s"]), 5);
        assert_eq!(table.take(report("a", "3", false, &[("s", 9)]), now, at()), Some(Want::Full));
    }

    #[test]
    fn instances_are_gone_then_forgotten_and_bounded() {
        let (mut table, now) = (Table::default(), now());
        let head = Head { revision: 1, since: now };
        for n in 0..INSTANCES_MAX {
            assert!(table.take(report(&format!("i{n}"), "1", true, &[]), now, at()).is_some());
        }
        assert_eq!(table.take(report("more", "1", true, &[]), now, at()), None);
        let later = now + GONE_AFTER + Duration::from_millis(1);
        assert_eq!(table.iter().next().unwrap().1.state(head, later), InstanceState::Gone);
        assert!(table.take(report("more", "1", true, &[]), later, at()).is_some());
        assert_eq!(table.iter().count(), INSTANCES_MAX);
        table.expire(later + FORGOTTEN_AFTER);
        assert_eq!(table.iter().count(), 0);
        assert_eq!(table.take(report("", "1", true, &[]), now, at()), None);
        assert_eq!(table.take(report(&"x".repeat(201), "1", true, &[]), now, at()), None);
    }

    #[test]
    fn an_instance_lags_only_after_a_while() {
        let (mut table, now) = (Table::default(), now());
        table.take(report("a", "1", true, &[]), now, at());
        let (_, instance) = table.iter().next().unwrap();
        let head = Head { revision: 2, since: now };
        assert_eq!(instance.state(head, now + LAG_AFTER), InstanceState::Up);
        assert_eq!(instance.state(head, now + LAG_AFTER + Duration::from_millis(1)), InstanceState::Lagging);
    }

    #[test]
    fn the_window_is_of_the_last_seconds_of_this_boot() {
        let (mut table, start) = (Table::default(), now());
        for second in 0..60 {
            let at_second = start + Duration::from_secs(second);
            table.take(report("a", "1", second == 0, &[("s", second)]), at_second, at());
        }
        let (_, instance) = table.iter().next().unwrap();
        let (old, new) = instance.window().unwrap();
        assert_eq!(new.requests, 59);
        assert!((10..=15).contains(&(new.requests - old.requests)), "{}", old.requests);
        table.take(report("a", "2", true, &[("s", 1)]), start + Duration::from_secs(60), at());
        let (_, instance) = table.iter().next().unwrap();
        let (old, new) = instance.window().unwrap();
        assert_eq!((old.requests, new.requests), (1, 1), "another boot counts anew");
    }

    /// What an admin that this instance reports to tells others, after so many seconds.
    fn told(instance: &str, boot: &str, requests: u64, now: Instant) -> Report {
        let mut there = Table::default();
        there.take(report(instance, boot, true, &[("s", requests), ("t", 1)]), now, at());
        let told: Vec<Report> = there.to_tell(now).map(|(_, report)| report).collect();
        told.into_iter().next().unwrap()
    }

    #[test]
    fn an_instance_that_reports_to_another_admin_is_shown_by_what_that_one_tells() {
        let (mut table, now) = (Table::default(), now());
        let later = |seconds| now + Duration::from_secs(seconds);
        table.take_told(told("a", "1", 4, now), now, at(), now);
        table.take_told(told("a", "1", 6, now), later(2), at(), later(2));
        let (_, instance) = table.iter().next().unwrap();
        assert_eq!(requests(&instance.site), 7, "it counts once");
        assert_eq!(instance.services["s"].requests_per_second, 1.0);
        let (before, after) = instance.window().unwrap();
        assert_eq!((before.requests, after.requests), (5, 7));
        assert_eq!(table.is_gone("a", later(11)), Some(false), "it may be told late");
        assert_eq!(table.is_gone("a", later(13)), Some(true));
        assert_eq!(table.to_tell(later(2)).count(), 0, "it is not for this admin to tell");
    }

    #[test]
    fn an_instance_goes_over_from_one_admin_to_another_and_back() {
        let (mut table, now) = (Table::default(), now());
        let later = |seconds| now + Duration::from_secs(seconds);
        table.take(report("a", "1", true, &[("s", 9)]), now, at());
        table.take_told(told("a", "1", 4, now), later(3), at(), later(3));
        let sum = |table: &Table| requests(&table.iter().next().unwrap().1.site);
        assert_eq!(sum(&table), 9, "it has just reported here");
        table.take_told(told("a", "1", 20, now), later(4), at(), later(4));
        assert_eq!(sum(&table), 21);
        let back = report("a", "1", false, &[("s", 21)]);
        assert_eq!(table.take(back, later(5), at()), Some(Want::Full), "what others told is not all");
        assert_eq!(sum(&table), 21);
        assert_eq!(table.to_tell(later(5)).count(), 1);
    }
}
