//! What one engine has counted of one subject (the site, a service, a tenant), over its restarts.
//!
//! Input: [`report::Series`], totals of one start of the engine (boot). Output: requests by hour. When an engine begins
//! anew its counts begin at 0, so what its earlier boots counted is settled first and added from then on.

use std::collections::BTreeMap;

use coregate::control::remote::report;

/// Hours that are kept: two days, whatever clocks do in them, and the hour that a report is late.
pub const HOURS_KEPT: i64 = 52;
const HOUR_SECONDS: i64 = 3600;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// In the engine's last interval.
    pub requests_per_second: f64,
    /// Of this boot, by when the hour began (seconds since 1970); sorted.
    hours: Vec<(i64, u64)>,
    /// Of earlier boots.
    settled: Vec<(i64, u64)>,
}

impl Series {
    /// Takes what a report says of this boot; hours that it does not name stay. `now` is in seconds since 1970.
    pub fn update(&mut self, report: &report::Series, now: i64) {
        self.requests_per_second = sane(report.requests_per_second);
        let kept = |hour: i64| (now - HOURS_KEPT * HOUR_SECONDS..=now + HOUR_SECONDS).contains(&hour);
        for &(hour, count) in report.hours.iter().filter(|(hour, _)| kept(*hour)) {
            match self.hours.binary_search_by_key(&hour, |it| it.0) {
                Ok(at) => self.hours[at].1 = count,
                Err(at) => self.hours.insert(at, (hour, count)),
            }
        }
        self.hours.retain(|(hour, _)| kept(*hour));
        self.settled.retain(|(hour, _)| kept(*hour));
        // Hours begin at most so often; whoever reports more is no engine.
        self.hours.truncate(usize::try_from(HOURS_KEPT + 2).unwrap_or(usize::MAX));
    }

    /// The engine has begun anew.
    pub fn settle(&mut self) {
        self.requests_per_second = 0.0;
        for (hour, count) in self.hours.drain(..) {
            match self.settled.binary_search_by_key(&hour, |it| it.0) {
                Ok(at) => self.settled[at].1 = self.settled[at].1.saturating_add(count),
                Err(at) => self.settled.insert(at, (hour, count)),
            }
        }
    }

    /// What is known of this boot is to be reported again, whole.
    pub fn forget_boot(&mut self) {
        self.requests_per_second = 0.0;
        self.hours.clear();
    }

    /// Requests by hour; an hour may come twice.
    pub fn hours(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.hours.iter().chain(&self.settled).copied()
    }

    /// The same as a report, of all boots.
    pub fn told(&self) -> report::Series {
        let mut hours = BTreeMap::new();
        self.hours().for_each(|(hour, count)| *hours.entry(hour).or_insert(0) += count);
        report::Series {
            requests_per_second: self.requests_per_second,
            requests: hours.values().sum(),
            hours: hours.into_iter().collect(),
        }
    }

    /// Whether nothing is known of it.
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty() && self.settled.is_empty()
    }
}

/// Whatever a report says, sums stay numbers.
fn sane(value: f64) -> f64 {
    if value.is_finite() && value > 0.0 { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;
    const HOUR: i64 = NOW - NOW % HOUR_SECONDS;

    fn report(hours: &[(i64, u64)]) -> report::Series {
        report::Series { requests_per_second: 2.0, requests: 0, hours: hours.to_vec() }
    }

    fn sum(series: &Series) -> u64 {
        series.hours().map(|(_, count)| count).sum()
    }

    #[test]
    fn a_report_that_comes_twice_counts_once_and_a_restart_loses_nothing() {
        let mut series = Series::default();
        for _ in 0..2 {
            series.update(&report(&[(HOUR, 5)]), NOW);
        }
        assert_eq!(sum(&series), 5);
        series.settle();
        assert_eq!((sum(&series), series.requests_per_second), (5, 0.0));
        series.update(&report(&[(HOUR, 2)]), NOW);
        assert_eq!(sum(&series), 7);
        series.forget_boot();
        assert_eq!(sum(&series), 5);
    }

    #[test]
    fn hours_of_older_days_are_forgotten_and_odd_ones_never_kept() {
        let mut series = Series::default();
        series.update(
            &report(&[(HOUR - 51 * HOUR_SECONDS, 1), (HOUR, 2), (HOUR + 2 * HOUR_SECONDS, 4), (0, 8)]),
            NOW,
        );
        assert_eq!(sum(&series), 3);
        series.settle();
        series.update(&report(&[]), NOW + 10 * HOUR_SECONDS);
        assert_eq!(sum(&series), 2);
        let many: Vec<(i64, u64)> = (0..1000).map(|n| (NOW - n, 1)).collect();
        series.update(&report(&many), NOW);
        assert!(series.hours.len() <= 54);
    }

    #[test]
    fn a_rate_that_is_no_number_is_none() {
        let mut series = Series::default();
        for rate in [f64::NAN, f64::INFINITY, -1.0] {
            series.update(&report::Series { requests_per_second: rate, ..report(&[]) }, NOW);
            assert_eq!(series.requests_per_second, 0.0);
        }
    }
}
