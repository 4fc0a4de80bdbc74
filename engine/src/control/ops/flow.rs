//! `/api/v1/flow`: what was counted, of the site, each service and each tenant.
//!
//! Input: [`Params`]. Output: for `scope=process` (the default) this process's own figures ([`View`]), whether there is a
//! Redis or not: requests a second, today and yesterday by hour, and everything else since the process started; for
//! `scope=cluster` what all processes have written to Redis ([`Cluster`]): today and yesterday by hour.
//!
//! Hours are named once for all subjects, by when they began; a day has 24 of them, or 23 or 25 when clocks are changed. At
//! most [`LISTED_MAX`] services and tenants are listed; `service` and `tenant` ask for any one. Tenants without traffic
//! are not listed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::account::{CLASSES, Cause, Counters, LimitKind, Phase};
use crate::control::engine::Engine;
use crate::control::flow::calendar::{Calendar, Hour, Moment, day_before};
use crate::control::flow::ledger::{Key, Subject};
use crate::control::flow::writer::Writer;
use crate::control::flow::{Flow, Series};
use crate::control::redis::{Call, Failure, Redis, Refused, Reply};

/// Services and tenants that are listed, each.
const LISTED_MAX: usize = 1000;

/// What to ask, for whoever asked wrongly.
pub const USAGE: &str = "/api/v1/flow?service=NAME&tenant=APP_ID&scope=process (all may be left out; scope=cluster is \
                         what all processes have written to Redis)";

/// The query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    service: Option<String>,
    tenant: Option<String>,
    #[serde(default)]
    scope: Scope,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// This process.
    #[default]
    Process,
    /// All processes that write to the same Redis.
    Cluster,
}

/// What is asked for does not exist.
#[derive(Debug)]
pub enum Missing {
    /// There is no such service or tenant.
    Unknown(String),
    /// There is no Redis to ask.
    NoRedis,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(what) => f.write_str(what),
            Self::NoRedis => f.write_str(
                "scope=cluster is what Redis holds, and stats.redis_url names none; scope=process needs none",
            ),
        }
    }
}

/// This process's figures.
#[derive(Debug, Serialize)]
pub struct View {
    scope: Scope,
    timezone: String,
    today: DayView,
    yesterday: DayView,
    site: SubjectView,
    services: BTreeMap<String, SubjectView>,
    tenants: BTreeMap<String, SubjectView>,
    /// Services and tenants that are not listed because there are so many.
    omitted: usize,
    redis: Option<RedisView>,
}

/// A day, and when its hours began.
#[derive(Debug, Serialize)]
struct DayView {
    date: Date,
    hours: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SubjectView {
    requests_per_second: f64,
    today: HoursView,
    yesterday: HoursView,
    since_start: Totals,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<QuotaView>,
}

/// Requests of a day and of each of its hours, in the order of [`DayView::hours`].
#[derive(Debug, Serialize)]
struct HoursView {
    requests: u64,
    hours: Vec<u64>,
}

#[derive(Debug, Serialize)]
struct Totals {
    requests: u64,
    bytes_in: u64,
    bytes_out: u64,
    answers: BTreeMap<&'static str, u64>,
    /// By cause, then by phase; those that happened.
    endings: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Refused by a limit.
    limited: BTreeMap<&'static str, u64>,
    /// What a limit in observe mode would have refused.
    observed: BTreeMap<&'static str, u64>,
    latency_us: Option<LatencyView>,
}

#[derive(Debug, Serialize)]
struct LatencyView {
    total: TimingView,
    upstream: TimingView,
    own: TimingView,
}

/// Microseconds, each within 6.25%; the mean is exact.
#[derive(Debug, Serialize)]
struct TimingView {
    count: u64,
    mean: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// What is known of a tenant's requests of its day, over all processes.
#[derive(Debug, Serialize)]
struct QuotaView {
    date: Date,
    used: u64,
    used_by_others: u64,
}

#[derive(Debug, Serialize)]
struct RedisView {
    up: bool,
    why: Option<String>,
    /// Keys whose counts wait to be written.
    pending_keys: usize,
    dropped_counts: u64,
}

/// This process's figures.
///
/// # Errors
/// There is no such service or tenant.
pub fn show(engine: &Engine, params: &Params, now: Moment) -> Result<View, Missing> {
    check(engine, params)?;
    let flow = &engine.flow;
    let days = Days::new(&flow.calendar, now);
    let mut omitted = 0;
    let mut list = |all: &BTreeMap<Arc<str>, Series>, one: &Option<String>, other: &Option<String>| {
        let view = |name: &Arc<str>, series: &Series| (name.to_string(), days.subject(series));
        if let Some(name) = one {
            // Known, and without traffic: all its figures are 0.
            let name: Arc<str> = name.as_str().into();
            return BTreeMap::from([view(&name, all.get(&name).unwrap_or(&Series::default()))]);
        }
        if other.is_some() {
            return BTreeMap::new();
        }
        omitted += all.len().saturating_sub(LISTED_MAX);
        all.iter().take(LISTED_MAX).map(|(name, series)| view(name, series)).collect()
    };
    let services = list(&flow.services, &params.service, &params.tenant);
    let mut tenants = list(&flow.tenants, &params.tenant, &params.service);
    for (app, tenant) in &mut tenants {
        let quota = flow.writer.as_ref().and_then(|writer| writer.quota(app));
        tenant.quota =
            quota.map(|quota| QuotaView { date: quota.date, used: quota.used, used_by_others: quota.others });
    }
    Ok(View {
        scope: Scope::Process,
        timezone: engine.snapshot.gateway.stats.timezone.clone(),
        site: days.subject(&flow.site),
        today: days.show(flow, &days.today),
        yesterday: days.show(flow, &days.yesterday),
        services,
        tenants,
        omitted,
        redis: flow.writer.as_ref().map(redis_view),
    })
}

fn check(engine: &Engine, params: &Params) -> Result<(), Missing> {
    if let Some(name) = params.service.as_deref().filter(|name| !engine.flow.services.contains_key(*name)) {
        return Err(Missing::Unknown(format!("there is no service {name:?}; /api/v1/nodes lists them")));
    }
    if let Some(app) = params.tenant.as_deref().filter(|app| !engine.flow.knows_tenant(app)) {
        return Err(Missing::Unknown(format!("there is no tenant {app:?}; /api/v1/config lists them")));
    }
    Ok(())
}

fn redis_view(writer: &Writer) -> RedisView {
    let health = writer.redis.health();
    RedisView {
        up: health.is_up(),
        why: health.trouble.map(|trouble| trouble.why.to_string()),
        pending_keys: writer.ledger.keys(),
        dropped_counts: writer.ledger.stats.dropped,
    }
}

/// The hours of two days.
struct Days {
    today: Vec<Hour>,
    yesterday: Vec<Hour>,
}

impl Days {
    fn new(calendar: &Calendar, now: Moment) -> Self {
        let date = calendar.date(now.wall);
        Self { today: calendar.hours_of(date), yesterday: calendar.hours_of(day_before(date)) }
    }

    fn show(&self, flow: &Flow, hours: &[Hour]) -> DayView {
        let date = hours.first().or(self.today.first()).map_or(Date::ZERO, |hour| hour.date);
        DayView { date, hours: hours.iter().map(|hour| flow.calendar.show(hour.began)).collect() }
    }

    fn subject(&self, series: &Series) -> SubjectView {
        let count = |hours: &[Hour]| {
            let hours: Vec<u64> =
                hours.iter().map(|hour| series.hours.get(hour).copied().unwrap_or(0)).collect();
            HoursView { requests: hours.iter().sum(), hours }
        };
        SubjectView {
            requests_per_second: series.requests_per_second,
            today: count(&self.today),
            yesterday: count(&self.yesterday),
            since_start: totals(&series.total),
            quota: None,
        }
    }
}

fn totals(counters: &Counters) -> Totals {
    let by_limit = |counts: &[u64]| {
        LimitKind::ALL.iter().map(|kind| kind.as_str()).zip(counts.iter().copied()).collect()
    };
    let mut endings: BTreeMap<_, BTreeMap<_, u64>> = BTreeMap::new();
    for (cause, phases) in Cause::ALL.into_iter().zip(&counters.endings) {
        for (phase, &count) in Phase::ALL.into_iter().zip(phases).filter(|(_, count)| **count > 0) {
            endings.entry(cause.as_str()).or_default().insert(phase.as_str(), count);
        }
    }
    Totals {
        requests: counters.requests,
        bytes_in: counters.bytes_in,
        bytes_out: counters.bytes_out,
        answers: CLASSES.into_iter().zip(counters.answers).collect(),
        endings,
        limited: by_limit(&counters.limited),
        observed: by_limit(&counters.observed),
        latency_us: counters.latency.as_deref().map(|latency| LatencyView {
            total: timing(&latency.total),
            upstream: timing(&latency.upstream),
            own: timing(&latency.own),
        }),
    }
}

fn timing(timing: &crate::account::Timing) -> TimingView {
    let at = |quantile| timing.histogram.value_at_quantile(quantile);
    let count = timing.histogram.len();
    TimingView {
        count,
        mean: timing.sum_us.checked_div(count).unwrap_or(0),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: timing.histogram.max(),
    }
}

/// What is to be read from Redis.
pub struct Question {
    redis: Redis,
    timezone: String,
    days: [DayKeys; 2],
    subjects: Vec<Subject>,
    calls: Vec<Call>,
}

struct DayKeys {
    date: Date,
    /// Without a second one of the same name: both are under one key.
    hours: BTreeSet<i8>,
}

/// What all processes have written to Redis.
#[derive(Debug, Serialize)]
pub struct Cluster {
    scope: Scope,
    timezone: String,
    /// The days, and the hours of the clock in each.
    today: ClusterDay,
    yesterday: ClusterDay,
    site: ClusterSubject,
    services: BTreeMap<String, ClusterSubject>,
    tenants: BTreeMap<String, ClusterSubject>,
}

#[derive(Debug, Serialize)]
struct ClusterDay {
    date: Date,
    hours: Vec<i8>,
}

#[derive(Debug, Serialize)]
struct ClusterSubject {
    today: HoursView,
    yesterday: HoursView,
}

/// What has to be asked for `scope=cluster`; `None` if that was not asked for.
///
/// # Errors
/// There is no such service or tenant, or no Redis.
pub fn cluster(engine: &Engine, params: &Params, now: Moment) -> Result<Option<Question>, Missing> {
    if params.scope != Scope::Cluster {
        return Ok(None);
    }
    check(engine, params)?;
    let writer = engine.flow.writer.as_ref().ok_or(Missing::NoRedis)?;
    let calendar = &engine.flow.calendar;
    let today = calendar.date(now.wall);
    let days = [today, day_before(today)]
        .map(|date| DayKeys { date, hours: calendar.hours_of(date).iter().map(|hour| hour.hour).collect() });
    let mut subjects = vec![Subject::Total];
    subjects.extend(params.service.iter().map(|name| Subject::Service(name.as_str().into())));
    subjects.extend(params.tenant.iter().map(|app| Subject::App(app.as_str().into())));
    let mut calls = Vec::new();
    for subject in &subjects {
        for DayKeys { date, hours } in &days {
            let keys = std::iter::once(Key::Day(*date, subject.clone()))
                .chain(hours.iter().map(|hour| Key::Hour(*date, *hour, subject.clone())));
            calls.extend(keys.map(|key| Call::command("GET", vec![writer.names.key(&key)], Vec::new())));
        }
    }
    let timezone = engine.snapshot.gateway.stats.timezone.clone();
    Ok(Some(Question { redis: writer.redis.clone(), timezone, days, subjects, calls }))
}

impl Question {
    /// Asks Redis.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn ask(self) -> Result<Cluster, Failure> {
        let answers = self.redis.run(self.calls).await?;
        let mut answers = answers.iter();
        let [today, yesterday] = self.days;
        let mut site = None;
        let (mut services, mut tenants) = (BTreeMap::new(), BTreeMap::new());
        for subject in self.subjects {
            let view = ClusterSubject {
                today: read(&today, &mut answers),
                yesterday: read(&yesterday, &mut answers),
            };
            match subject {
                Subject::Total => site = Some(view),
                Subject::Service(name) => drop(services.insert(name.to_string(), view)),
                Subject::App(app) => drop(tenants.insert(app.to_string(), view)),
            }
        }
        let show = |day: DayKeys| ClusterDay { date: day.date, hours: day.hours.into_iter().collect() };
        let nothing = || HoursView { requests: 0, hours: Vec::new() };
        Ok(Cluster {
            scope: Scope::Cluster,
            timezone: self.timezone,
            today: show(today),
            yesterday: show(yesterday),
            site: site.unwrap_or_else(|| ClusterSubject { today: nothing(), yesterday: nothing() }),
            services,
            tenants,
        })
    }
}

/// The day's number, then those of its hours.
fn read<'a>(day: &DayKeys, answers: &mut impl Iterator<Item = &'a Result<Reply, Refused>>) -> HoursView {
    // A key that is not there, or of another type, counts nothing.
    let mut next = || answers.next().and_then(|answer| answer.as_ref().ok()?.as_u64()).unwrap_or(0);
    HoursView { requests: next(), hours: day.hours.iter().map(|_| next()).collect() }
}
