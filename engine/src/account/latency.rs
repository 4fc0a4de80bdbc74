//! How long exchanges took: three histograms for each subject.
//!
//! HdrHistogram (G. Tene) with one significant digit, so that a value is within 6.25% of what was recorded: 3.7 KiB a
//! histogram, because there are three of them for each service and tenant on each shard, and the bounds that metrics
//! show lie further apart. Sums are exact. Values above an hour count as an hour.

use hdrhistogram::Histogram;

use super::Ending;

/// Longest time told apart: one hour.
const MICROSECONDS_MAX: u64 = 3_600_000_000;
/// Decimal digits that a histogram keeps.
const DIGITS: u8 = 1;

/// What an exchange's time was spent on.
#[derive(Debug, Clone, Default)]
pub struct Latency {
    /// From the first byte of the request's head to the last byte of its answer.
    pub total: Timing,
    /// From the request sent upstream to its answer's last byte; of exchanges that asked an upstream.
    pub upstream: Timing,
    /// The rest: what the gateway and the client's part of the network took.
    pub own: Timing,
}

/// A histogram and its exact sum.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Microseconds.
    pub histogram: Histogram<u64>,
    /// Sum of all values in microseconds.
    pub sum_us: u64,
}

impl Default for Timing {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(MICROSECONDS_MAX, DIGITS);
        // The bounds are constants that hdrhistogram accepts; a test makes one.
        Self { histogram: histogram.expect("valid bounds"), sum_us: 0 }
    }
}

impl Timing {
    fn record(&mut self, us: u64) {
        self.histogram.saturating_record(us);
        self.sum_us = self.sum_us.saturating_add(us);
    }

    fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so it cannot fail.
        let _ = self.histogram.add(&other.histogram);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    fn clear(&mut self) {
        self.histogram.reset();
        self.sum_us = 0;
    }
}

impl Latency {
    pub(super) fn record(&mut self, ending: &Ending) {
        self.total.record(ending.total_us);
        if ending.upstream_us > 0 {
            self.upstream.record(ending.upstream_us);
        }
        self.own.record(ending.total_us.saturating_sub(ending.upstream_us));
    }

    /// Adds what another recorded.
    pub fn merge(&mut self, other: &Self) {
        self.total.merge(&other.total);
        self.upstream.merge(&other.upstream);
        self.own.merge(&other.own);
    }

    pub(super) fn clear(&mut self) {
        self.total.clear();
        self.upstream.clear();
        self.own.clear();
    }
}
