//! Flow: what all shards counted together, since the process started, hour by hour, and in the last interval.
//!
//! Input: one [`Delta`] a shard and interval. Output: totals, hours and requests a second for the site, each service and
//! each tenant, for the ops address; and what is to be written to Redis ([`Writer`]). Owner: the control thread. Nothing
//! here is on the request path.
//!
//! A *round* is one delta of each shard; it ends with the delta that completes it, so that a round holds one interval
//! of every shard whatever their phases. Requests a second are the round's count divided by the time it took. A round
//! that a silent shard holds up ends by itself ([`Flow::tick`]).
//!
//! A delta belongs to the hour in which its interval began. When an hour ends in `stats.timezone` all shards are told to
//! report at once ([`Flow::hour_ends`]), so that hours are exact to some milliseconds.
//!
//! | file | what |
//! |---|---|
//! | `calendar.rs` | days and hours of a time zone |
//! | `ledger.rs` | what has to be added to Redis, each count exactly once |
//! | `script.rs` | names of keys, the script, its answers |
//! | `writer.rs` | when the ledger is sent, and what became of it |
//!
//! Invariant: services and tenants are bounded by the configuration; one that was removed is forgotten
//! ([`Flow::retain`]), also when a late delta still counts for it. The site's totals keep what it counted, and so does
//! Redis: the ledger takes every delta.

pub mod calendar;
pub mod ledger;
pub mod script;
pub mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coregate_config::checked::Gateway;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::account::{Cause, Counters, Delta, ShardCounters};
use calendar::{Calendar, Hour, Moment, day_before};
use ledger::{Key, Subject};
use writer::Writer;

/// After the hour's end, so that no shard reads its clock before it.
const HOUR_MARGIN: Duration = Duration::from_millis(2);

/// Totals of the site, its services, its tenants and its shards.
pub struct Flow {
    /// Everything.
    pub site: Series,
    /// The services that exist.
    pub services: BTreeMap<Arc<str>, Series>,
    /// The tenants that exist and have had traffic, by `app_id`.
    pub tenants: BTreeMap<Arc<str>, Series>,
    /// Each shard's own: counters are totals, gauges are the last ones reported.
    pub shards: Vec<ShardCounters>,
    /// Days and hours.
    pub calendar: Calendar,
    /// What goes to Redis; `None` = there is none.
    pub writer: Option<Writer>,
    known_tenants: BTreeSet<Arc<str>>,
    /// Of those, the ones with a limit a day.
    quotas: BTreeSet<Arc<str>>,
    interval: Duration,
    round_began: Instant,
    reported: Vec<bool>,
    /// The hour that is going on ends then.
    hour_ends: Timestamp,
}

/// One subject's totals, its hours and its last round.
#[derive(Debug, Default)]
pub struct Series {
    /// Since the process started.
    pub total: Counters,
    /// Requests a second in the last full round.
    pub requests_per_second: f64,
    /// Requests by hour, of today and yesterday; hours without any are not there.
    pub hours: BTreeMap<Hour, u64>,
    /// Requests in the round that is going on.
    round_requests: u64,
}

/// The moment that a delta belongs to.
#[derive(Clone, Copy)]
struct When {
    hour: Hour,
    today: Date,
    now: Instant,
}

impl Flow {
    /// Nothing counted yet. `interval` is how often shards report.
    pub fn new(
        shards: usize,
        interval: Duration,
        calendar: Calendar,
        writer: Option<Writer>,
        now: Moment,
    ) -> Self {
        Self {
            site: Series::default(),
            services: BTreeMap::new(),
            tenants: BTreeMap::new(),
            shards: vec![ShardCounters::default(); shards],
            hour_ends: calendar.hour_ends(now.wall),
            calendar,
            writer,
            known_tenants: BTreeSet::new(),
            quotas: BTreeSet::new(),
            interval,
            round_began: now.instant,
            reported: vec![false; shards],
        }
    }

    /// Exactly the services and tenants of this configuration exist from now on.
    pub fn retain(&mut self, gateway: &Gateway, now: Moment) {
        let services: BTreeSet<Arc<str>> =
            gateway.services.iter().map(|service| Arc::clone(&service.name)).collect();
        self.services.retain(|name, _| services.contains(name));
        for name in services {
            self.services.entry(name).or_default();
        }
        self.known_tenants = gateway.tenants.iter().map(|tenant| Arc::clone(&tenant.app_id)).collect();
        self.tenants.retain(|app, _| self.known_tenants.contains(app));
        let limited = gateway.tenants.iter().filter(|tenant| tenant.requests_per_day.is_some());
        self.quotas = limited.map(|tenant| Arc::clone(&tenant.app_id)).collect();
        if let Some(writer) = &mut self.writer {
            writer.retain_quotas(&self.quotas, self.calendar.date(now.wall));
        }
    }

    /// Whether a tenant exists.
    pub fn knows_tenant(&self, app: &str) -> bool {
        self.known_tenants.contains(app)
    }

    /// Takes what a shard counted.
    pub fn add(&mut self, shard: usize, delta: &Delta, now: Moment) {
        let began = delta.began.map_or(now.wall, |began| now.wall_at(began));
        let hour = self.calendar.hour(began);
        let when = When { hour, today: self.calendar.date(now.wall), now: now.instant };
        self.site.add(&delta.site, when);
        self.write(&Subject::Total, &delta.site, when);
        for (name, counters) in &delta.services {
            if let Some(series) = self.services.get_mut(name) {
                series.add(counters, when);
            }
            self.write(&Subject::Service(Arc::clone(name)), counters, when);
        }
        for (app, counters) in &delta.tenants {
            if self.known_tenants.contains(app) {
                self.tenants.entry(Arc::clone(app)).or_default().add(counters, when);
            }
            self.write(&Subject::App(Arc::clone(app)), counters, when);
            self.write_quota(app, counters, when);
        }
        if let Some(totals) = self.shards.get_mut(shard) {
            add_shard(totals, &delta.shard);
        }
        if let Some(reported) = self.reported.get_mut(shard) {
            *reported = true;
        }
        if self.reported.iter().all(|&reported| reported) {
            self.end_round(now.instant);
        }
    }

    /// Ends a round that has waited for a silent shard for twice the interval.
    pub fn tick(&mut self, now: Instant) {
        if now.saturating_duration_since(self.round_began) >= self.interval * 2 {
            self.end_round(now);
        }
    }

    /// When the hour that is going on will have ended on every clock.
    pub fn hour_ends(&self, now: Moment) -> Instant {
        now.instant_of(self.hour_ends) + HOUR_MARGIN
    }

    /// Whether the hour has ended since the last time: all shards are to report.
    pub fn is_next_hour(&mut self, now: Moment) -> bool {
        let hour_ends = self.calendar.hour_ends(now.wall);
        // The wall clock may have been put back as well.
        let jumped_back = hour_ends < self.hour_ends;
        let is_next = now.wall >= self.hour_ends || jumped_back;
        if is_next {
            self.hour_ends = hour_ends;
        }
        is_next
    }

    fn write(&mut self, subject: &Subject, counters: &Counters, when: When) {
        let Some(writer) = &mut self.writer else { return };
        let Hour { date, hour, .. } = when.hour;
        writer.ledger.add(Key::Day(date, subject.clone()), counters.requests, when.now);
        writer.ledger.add(Key::Hour(date, hour, subject.clone()), counters.requests, when.now);
    }

    /// What a limit a day counts: requests that were neither refused nor over a limit.
    fn write_quota(&mut self, app: &Arc<str>, counters: &Counters, when: When) {
        let Some(writer) = self.writer.as_mut().filter(|_| self.quotas.contains(app)) else { return };
        let of = |cause: Cause| counters.endings[cause as usize].iter().sum::<u64>();
        let admitted = counters.requests.saturating_sub(of(Cause::Refused) + of(Cause::Limited));
        writer.ledger.add(Key::Quota(when.hour.date, Arc::clone(app)), admitted, when.now);
    }

    fn end_round(&mut self, now: Instant) {
        let took = now.saturating_duration_since(self.round_began);
        // Deltas that come all at once (after the control thread was held up) are no interval to divide by.
        let seconds = took.max(self.interval / 2).as_secs_f64();
        let all = std::iter::once(&mut self.site);
        for series in all.chain(self.services.values_mut()).chain(self.tenants.values_mut()) {
            series.end_round(seconds);
        }
        self.reported.fill(false);
        self.round_began = now;
    }
}

impl Series {
    fn add(&mut self, counters: &Counters, when: When) {
        self.total.merge(counters);
        self.round_requests += counters.requests;
        if counters.requests > 0 {
            *self.hours.entry(when.hour).or_default() += counters.requests;
            let yesterday = day_before(when.today);
            self.hours.retain(|hour, _| hour.date >= yesterday);
            // A wall clock that is moved to and fro leaves hours of days that are yet to come.
            while self.hours.len() > HOURS_MAX {
                self.hours.pop_first();
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of requests within an interval")]
    fn end_round(&mut self, seconds: f64) {
        self.requests_per_second = if seconds > 0.0 { self.round_requests as f64 / seconds } else { 0.0 };
        self.round_requests = 0;
    }
}

/// Two days, both with clocks that are changed.
const HOURS_MAX: usize = 52;

fn add_shard(totals: &mut ShardCounters, delta: &ShardCounters) {
    // Named one by one, so that a new field cannot be forgotten.
    let ShardCounters {
        connections,
        accepted,
        rejected,
        pool_idle,
        pool_opened,
        pool_reused,
        retries,
        panics,
        http2,
        http2_cut,
        proxy_refused,
        buffers_exhausted,
        buffers,
        buffers_lent,
        handshakes_under_way,
        handshakes,
        node_handshakes,
    } = delta;
    totals.connections = *connections;
    totals.accepted += accepted;
    totals.rejected += rejected;
    totals.pool_idle = *pool_idle;
    totals.pool_opened += pool_opened;
    totals.pool_reused += pool_reused;
    totals.retries += retries;
    totals.panics += panics;
    totals.http2 += http2;
    totals.http2_cut.iter_mut().zip(http2_cut).for_each(|(total, count)| *total += count);
    totals.proxy_refused += proxy_refused;
    totals.buffers_exhausted += buffers_exhausted;
    totals.buffers = *buffers;
    totals.buffers_lent = *buffers_lent;
    totals.handshakes_under_way = *handshakes_under_way;
    totals.add_handshakes(handshakes, node_handshakes);
}

#[cfg(test)]
mod tests;
