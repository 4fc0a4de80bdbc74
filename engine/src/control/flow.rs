//! Flow: what all shards counted together, since the process started and in the last interval.
//!
//! Input: one [`Delta`] a shard and interval. Output: totals and requests a second for the site and each service, for
//! the ops address. Owner: the control thread. Nothing here is on the request path.
//!
//! A *round* is one delta of each shard; it ends with the delta that completes it, so that a round holds one interval
//! of every shard whatever their phases. Requests a second are the round's count divided by the time it took. A round
//! that a silent shard holds up ends by itself ([`Flow::tick`]).
//!
//! Invariant: services are bounded by the configuration; one that was removed is forgotten ([`Flow::retain`]), also
//! when a late delta still counts for it. The site's totals keep what it counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::account::{Counters, Delta, ShardCounters};

/// Totals of the site, its services and its shards.
#[derive(Debug)]
pub struct Flow {
    /// Everything.
    pub site: Series,
    /// The services that exist.
    pub services: BTreeMap<Arc<str>, Series>,
    /// Each shard's own: counters are totals, gauges are the last ones reported.
    pub shards: Vec<ShardCounters>,
    interval: Duration,
    round_began: Instant,
    reported: Vec<bool>,
}

/// One subject's totals and its last round.
#[derive(Debug, Default)]
pub struct Series {
    /// Since the process started.
    pub total: Counters,
    /// Requests a second in the last full round.
    pub requests_per_second: f64,
    /// Requests in the round that is going on.
    round_requests: u64,
}

impl Flow {
    /// Nothing counted yet. `interval` is how often shards report.
    pub fn new(shards: usize, interval: Duration, now: Instant) -> Self {
        Self {
            site: Series::default(),
            services: BTreeMap::new(),
            shards: vec![ShardCounters::default(); shards],
            interval,
            round_began: now,
            reported: vec![false; shards],
        }
    }

    /// Exactly these services exist from now on.
    pub fn retain(&mut self, services: impl IntoIterator<Item = Arc<str>>) {
        let keep: BTreeSet<Arc<str>> = services.into_iter().collect();
        self.services.retain(|name, _| keep.contains(name));
        for name in keep {
            self.services.entry(name).or_default();
        }
    }

    /// Takes what a shard counted.
    pub fn add(&mut self, shard: usize, delta: &Delta, now: Instant) {
        self.site.add(&delta.site);
        for (name, counters) in &delta.services {
            if let Some(series) = self.services.get_mut(name) {
                series.add(counters);
            }
        }
        if let Some(totals) = self.shards.get_mut(shard) {
            add_shard(totals, &delta.shard);
        }
        if let Some(reported) = self.reported.get_mut(shard) {
            *reported = true;
        }
        if self.reported.iter().all(|&reported| reported) {
            self.end_round(now);
        }
    }

    /// Ends a round that has waited for a silent shard for twice the interval.
    pub fn tick(&mut self, now: Instant) {
        if now.saturating_duration_since(self.round_began) >= self.interval * 2 {
            self.end_round(now);
        }
    }

    fn end_round(&mut self, now: Instant) {
        let took = now.saturating_duration_since(self.round_began);
        // Deltas that come all at once (after the control thread was held up) are no interval to divide by.
        let seconds = took.max(self.interval / 2).as_secs_f64();
        for series in std::iter::once(&mut self.site).chain(self.services.values_mut()) {
            series.end_round(seconds);
        }
        self.reported.fill(false);
        self.round_began = now;
    }
}

impl Series {
    fn add(&mut self, counters: &Counters) {
        self.total.merge(counters);
        self.round_requests += counters.requests;
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of requests within an interval")]
    fn end_round(&mut self, seconds: f64) {
        self.requests_per_second = if seconds > 0.0 { self.round_requests as f64 / seconds } else { 0.0 };
        self.round_requests = 0;
    }
}

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
        buffers_exhausted,
        buffers,
        buffers_lent,
    } = delta;
    totals.connections = *connections;
    totals.accepted += accepted;
    totals.rejected += rejected;
    totals.pool_idle = *pool_idle;
    totals.pool_opened += pool_opened;
    totals.pool_reused += pool_reused;
    totals.retries += retries;
    totals.panics += panics;
    totals.buffers_exhausted += buffers_exhausted;
    totals.buffers = *buffers;
    totals.buffers_lent = *buffers_lent;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(requests: u64, connections: u64) -> Delta {
        let counters = Counters { requests, ..Counters::default() };
        Delta {
            site: counters.clone(),
            services: vec![("a".into(), counters)],
            tenants: Vec::new(),
            shard: ShardCounters { connections, accepted: requests, ..ShardCounters::default() },
        }
    }

    fn flow(shards: usize, now: Instant) -> Flow {
        let mut flow = Flow::new(shards, Duration::from_secs(1), now);
        flow.retain(["a".into()]);
        flow
    }

    #[test]
    fn a_round_is_one_delta_of_each_shard() {
        let start = crate::clock::read();
        let mut flow = flow(2, start);
        flow.add(0, &delta(100, 1), start + Duration::from_millis(500));
        assert_eq!(flow.site.requests_per_second, 0.0, "shard 1 has not reported");
        flow.add(1, &delta(300, 1), start + Duration::from_millis(1000));
        assert_eq!(flow.site.requests_per_second, 400.0);
        assert_eq!(flow.services["a"].requests_per_second, 400.0);
        assert_eq!(flow.site.total.requests, 400);
        flow.add(0, &delta(0, 1), start + Duration::from_millis(1500));
        flow.add(1, &delta(0, 1), start + Duration::from_millis(2000));
        assert_eq!(flow.site.requests_per_second, 0.0);
        assert_eq!(flow.site.total.requests, 400);
    }

    #[test]
    fn a_silent_shard_holds_nothing_up() {
        let start = crate::clock::read();
        let mut flow = flow(2, start);
        flow.add(0, &delta(200, 1), start + Duration::from_millis(500));
        flow.tick(start + Duration::from_millis(1999));
        assert_eq!(flow.site.requests_per_second, 0.0);
        flow.tick(start + Duration::from_millis(2000));
        assert_eq!(flow.site.requests_per_second, 100.0);
    }

    #[test]
    fn gauges_are_replaced_and_counters_added() {
        let start = crate::clock::read();
        let mut flow = flow(1, start);
        flow.add(0, &delta(5, 7), start);
        flow.add(0, &delta(5, 3), start);
        assert_eq!(flow.shards[0].connections, 3);
        assert_eq!(flow.shards[0].accepted, 10);
    }

    #[test]
    fn a_removed_service_is_dropped_and_stays_dropped() {
        let start = crate::clock::read();
        let mut flow = flow(1, start);
        flow.add(0, &delta(5, 1), start);
        flow.retain(["b".into()]);
        flow.add(0, &delta(5, 1), start);
        assert_eq!(flow.services.keys().map(|name| &**name).collect::<Vec<_>>(), ["b"]);
        assert_eq!(flow.site.total.requests, 10, "the site keeps what it counted");
    }

    #[test]
    fn a_shard_that_does_not_exist_counts_for_the_site_only() {
        let start = crate::clock::read();
        let mut flow = flow(1, start);
        flow.add(9, &delta(5, 1), start);
        assert_eq!(flow.site.total.requests, 5);
    }
}
