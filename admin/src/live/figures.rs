//! Sums over all engines, as the API shows them; sans-io.
//!
//! Input: the [`Table`], a moment. Output: rates, latencies and errors of the last seconds ([`Now`]), sums for each service and
//! tenant ([`Sums`]). Only instances that report count for what is now; for what was counted today those count, too, that
//! are gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use coregate::control::remote::report::{Latency, NodeState};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::days::{Day, Days};
use super::series::Series;
use super::table::{Head, InstanceState, Table};

/// Services and tenants in a list of the busiest.
pub const TOP: usize = 20;
/// Nodes that are listed for being down.
const DOWN_MAX: usize = 200;

/// Whose figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All requests.
    Site,
    /// A service's.
    Service,
    /// A tenant's.
    Tenant,
}

/// Where figures are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// What all engines have written to Redis.
    Redis,
    /// What engines have reported to this admin.
    Engines,
}

/// Requests of today and yesterday.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Flow {
    /// Whose.
    pub scope: Scope,
    /// The service's or tenant's name; empty for the site.
    pub name: String,
    /// Where from.
    pub source: Source,
    /// IANA name of the time zone in which days begin.
    pub timezone: String,
    /// Now, over all engines; null if none reports.
    pub requests_per_second: Option<f64>,
    /// Today, so far.
    pub today: Day,
    /// Yesterday.
    pub yesterday: Day,
    /// When this was found out.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Instances by how they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct InstanceCounts {
    /// Have the newest revision in force.
    pub up: usize,
    /// Have an older one.
    pub lagging: usize,
    /// Refused the last one.
    pub refused: usize,
    /// Do not report.
    pub gone: usize,
}

/// Nodes by how they are, as the engine that has the most of them says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct NodeCounts {
    /// Take traffic on every engine.
    pub up: u64,
    /// Take none on at least one.
    pub down: u64,
    /// Names that are not resolved.
    pub unknown: u64,
}

/// A node that is down on an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Down {
    /// Whose it is.
    pub service: String,
    /// As the configuration has it.
    pub address: String,
    /// On which engine.
    pub instance: String,
    /// Why.
    pub why: String,
}

/// Percentiles in microseconds, each within 6.25%.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Percentiles {
    /// Half took no longer.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// 99 of a hundred.
    pub p99: u64,
    /// 999 of a thousand.
    pub p999: u64,
}

/// How long requests of the last seconds took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct LatencyNow {
    /// From the first byte of the head to the last of the answer.
    pub total: Percentiles,
    /// The node's part; null if no node was asked.
    pub upstream: Option<Percentiles>,
    /// The gateway's own, and the client's.
    pub own: Percentiles,
}

/// The last seconds, over all engines that report.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Now {
    /// Requests a second; null if no engine reports.
    pub qps: Option<f64>,
    /// Share of answers of the last 10 to 15 seconds that were 5xx; null if there was none.
    pub error_rate: Option<f64>,
    /// Of the last 10 to 15 seconds; null if there was no request.
    pub latency_us: Option<LatencyNow>,
    /// Instances by how they are.
    pub instances: InstanceCounts,
    /// Nodes by how they are.
    pub nodes: NodeCounts,
}

/// A service's or tenant's figures.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figure {
    /// Now, over all engines.
    pub requests_per_second: f64,
    /// Today, so far.
    pub today: u64,
}

/// Sums for each service and tenant; those without traffic today are not there.
#[derive(Debug, Default)]
pub struct Sums {
    /// At least one engine reports.
    pub reporting: bool,
    /// By name.
    pub services: HashMap<String, Figure>,
    /// By `app_id`.
    pub tenants: HashMap<String, Figure>,
    /// Nodes of a service that are not up on at least one engine; services without any are not there.
    pub not_up: HashMap<String, BTreeSet<String>>,
}

impl Sums {
    /// Of all instances.
    pub fn of(table: &Table, days: &Days, now: Instant) -> Self {
        let mut sums = Self::default();
        let began = days.today_began();
        for (_, instance) in table.iter() {
            let present = !instance.is_gone(now);
            sums.reporting |= present;
            add(&mut sums.services, &instance.services, present, began);
            add(&mut sums.tenants, &instance.tenants, present, began);
            for node in instance.nodes().not_up.iter().filter(|_| present) {
                sums.not_up.entry(node.service.clone()).or_default().insert(node.address.clone());
            }
        }
        sums
    }

    /// The busiest, by requests a second, then by requests today.
    pub fn top(all: &HashMap<String, Figure>) -> Vec<(&str, Figure)> {
        let mut top: Vec<(&str, Figure)> =
            all.iter().map(|(name, figure)| (name.as_str(), *figure)).collect();
        let busier = |(name, a): &(&str, Figure), (other, b): &(&str, Figure)| {
            let by_rate = b.requests_per_second.total_cmp(&a.requests_per_second);
            by_rate.then(b.today.cmp(&a.today)).then(name.cmp(other))
        };
        if top.len() > TOP {
            top.select_nth_unstable_by(TOP, busier);
            top.truncate(TOP);
        }
        top.sort_unstable_by(busier);
        top
    }
}

fn add(sums: &mut HashMap<String, Figure>, all: &HashMap<String, Series>, present: bool, began: i64) {
    for (name, series) in all {
        let today: u64 = series.hours().filter(|(hour, _)| *hour >= began).map(|(_, count)| count).sum();
        let rate = if present { series.requests_per_second } else { 0.0 };
        if today == 0 && rate == 0.0 {
            continue;
        }
        let sum = sums.entry(name.clone()).or_default();
        sum.today += today;
        sum.requests_per_second += rate;
    }
}

impl Now {
    /// As it is at that moment.
    pub fn of(table: &Table, head: Head, now: Instant) -> Self {
        let mut qps = None;
        let (mut errors, mut answers) = (0, 0);
        let mut latency = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
        for (_, instance) in table.present(now) {
            *qps.get_or_insert(0.0) += instance.site.requests_per_second;
            let Some((old, new)) = instance.window() else { continue };
            for (class, count) in &new.answers {
                let count = count.saturating_sub(old.answers.get(class).copied().unwrap_or(0));
                answers += count;
                errors += if class == "5xx" { count } else { 0 };
            }
            merge(&mut latency, &new.latency, &old.latency);
        }
        let [total, upstream, own] = latency.map(|all| percentiles(&all));
        #[expect(clippy::cast_precision_loss, reason = "a share, for people")]
        let error_rate = (answers > 0).then(|| errors as f64 / answers as f64);
        let latency_us = total.zip(own).map(|(total, own)| LatencyNow { total, upstream, own });
        Self { qps, error_rate, latency_us, instances: instances(table, head, now), nodes: nodes(table, now) }
    }
}

/// Instances by how they are.
fn instances(table: &Table, head: Head, now: Instant) -> InstanceCounts {
    let mut counts = InstanceCounts::default();
    for (_, instance) in table.iter() {
        *match instance.state(head, now) {
            InstanceState::Up => &mut counts.up,
            InstanceState::Lagging => &mut counts.lagging,
            InstanceState::Refused => &mut counts.refused,
            InstanceState::Gone => &mut counts.gone,
        } += 1;
    }
    counts
}

fn nodes(table: &Table, now: Instant) -> NodeCounts {
    let (mut down, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    let mut all = 0;
    for (_, instance) in table.present(now) {
        let nodes = instance.nodes();
        all = all.max(nodes.up.saturating_add(nodes.down).saturating_add(nodes.unknown));
        for node in &nodes.not_up {
            let set = if node.state == NodeState::Down { &mut down } else { &mut unknown };
            set.insert((&node.service, &node.address));
        }
        // Not all may be listed.
        all = all.max((down.len() + unknown.len()) as u64);
    }
    let most = |listed: usize, count: fn(&coregate::control::remote::report::Nodes) -> u64| {
        table.present(now).map(|(_, it)| count(it.nodes())).max().unwrap_or(0).max(listed as u64)
    };
    let (down, unknown) = (most(down.len(), |it| it.down), most(unknown.len(), |it| it.unknown));
    NodeCounts { up: all.saturating_sub(down).saturating_sub(unknown), down, unknown }
}

/// The nodes that are down, with the engine that says so.
pub fn down(table: &Table, now: Instant) -> Vec<Down> {
    let listed = table.present(now).flat_map(|(name, instance)| {
        let down = instance.nodes().not_up.iter().filter(|node| node.state == NodeState::Down);
        down.map(move |node| Down {
            service: node.service.clone(),
            address: node.address.clone(),
            instance: name.clone(),
            why: node.why.clone(),
        })
    });
    listed.take(DOWN_MAX).collect()
}

/// Adds what came between two moments.
fn merge(sums: &mut [BTreeMap<u64, u64>; 3], new: &Latency, old: &Latency) {
    let pairs = [(&new.total, &old.total), (&new.upstream, &old.upstream), (&new.own, &old.own)];
    for (sum, (new, old)) in sums.iter_mut().zip(pairs) {
        let before: HashMap<u64, u64> = old.iter().copied().collect();
        for (value, count) in new {
            let count = count.saturating_sub(before.get(value).copied().unwrap_or(0));
            if count > 0 {
                *sum.entry(*value).or_default() += count;
            }
        }
    }
}

/// `None` for an empty histogram.
fn percentiles(histogram: &BTreeMap<u64, u64>) -> Option<Percentiles> {
    let count: u64 = histogram.values().sum();
    if count == 0 {
        return None;
    }
    // The smallest value that at least so many of a thousand do not exceed.
    let at = |of_a_thousand: u64| {
        let rank = (u128::from(count) * u128::from(of_a_thousand)).div_ceil(1000);
        let mut seen = 0;
        let found = histogram.iter().find(|(_, count)| {
            seen += u128::from(**count);
            seen >= rank
        });
        found.map_or(0, |(value, _)| *value)
    };
    Some(Percentiles { p50: at(500), p90: at(900), p99: at(990), p999: at(999) })
}

#[cfg(test)]
mod tests {
    use coregate::control::flow::calendar::Calendar;

    use super::super::table::tests::{at, report};
    use super::*;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn days() -> Days {
        Days::at(&Calendar::new("UTC"), at())
    }

    #[test]
    fn engines_are_summed_and_those_that_are_gone_count_for_today_alone() {
        let (mut table, start) = (Table::default(), now());
        table.take(report("a", "1", true, &[("s", 4)]), start, at());
        let later = start + std::time::Duration::from_secs(10);
        table.take(report("b", "1", true, &[("s", 5), ("t", 1)]), later, at());
        let sums = Sums::of(&table, &days(), later);
        assert!(sums.reporting);
        assert_eq!(sums.services["s"], Figure { requests_per_second: 1.0, today: 9 });
        let top: Vec<_> = Sums::top(&sums.services).into_iter().map(|(name, _)| name).collect();
        assert_eq!(top, ["s", "t"]);
        let figures = Now::of(&table, Head { revision: 1, since: start }, later);
        assert_eq!((figures.qps, figures.instances.up, figures.instances.gone), (Some(1.0), 1, 1));
        assert_eq!(Now::of(&Table::default(), Head { revision: 1, since: start }, later).qps, None);
    }

    #[test]
    fn a_node_that_several_engines_miss_counts_once() {
        use coregate::control::remote::report::{Nodes, NotUp};
        let (mut table, start) = (Table::default(), now());
        for name in ["a", "b"] {
            let not_up = NotUp {
                service: "s".into(),
                address: "10.0.0.1:80".into(),
                state: NodeState::Down,
                why: "refused".into(),
            };
            let nodes = Nodes { up: 2, down: 1, unknown: 0, not_up: vec![not_up] };
            table.take(
                coregate::control::remote::report::Report { nodes, ..report(name, "1", true, &[]) },
                start,
                at(),
            );
        }
        assert_eq!(nodes(&table, start), NodeCounts { up: 2, down: 1, unknown: 0 });
        assert_eq!(down(&table, start).len(), 2, "listed for each engine");
        assert_eq!(Sums::of(&table, &days(), start).not_up["s"].len(), 1);
    }

    #[test]
    fn percentiles_are_of_what_came_between() {
        let old = Latency { total: vec![(10, 100), (1000, 1)], ..Latency::default() };
        let new = Latency { total: vec![(10, 190), (20, 9), (1000, 2)], ..Latency::default() };
        let mut sums = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
        merge(&mut sums, &new, &old);
        let expected = Percentiles { p50: 10, p90: 10, p99: 20, p999: 1000 };
        assert_eq!(percentiles(&sums[0]), Some(expected));
        assert_eq!(percentiles(&sums[1]), None);
        assert_eq!(percentiles(&BTreeMap::from([(7, 1)])).unwrap().p50, 7);
    }
}
