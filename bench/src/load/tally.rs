//! Counting: answers, errors, latencies, and which of them are measured.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::connection::Failure;
use super::{Errors, Latency, Plan, Report};
use crate::wire::Message;

/// Longest latency told apart: 10 minutes.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// The counters of a run.
pub(super) struct Tally {
    histogram: RefCell<Histogram<u64>>,
    errors: Cell<Errors>,
    answers: Cell<u64>,
    non_2xx: Cell<u64>,
    unsent: Cell<u64>,
    pace_stalls: Cell<u64>,
    /// All answers, measured or not.
    completed: Cell<u64>,
    started: Cell<Option<Instant>>,
    /// Between start and stop.
    running: Cell<bool>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let histogram =
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).expect("the bounds are constants");
        Self {
            histogram: RefCell::new(histogram),
            errors: Cell::default(),
            answers: Cell::new(0),
            non_2xx: Cell::new(0),
            unsent: Cell::new(0),
            pace_stalls: Cell::new(0),
            completed: Cell::new(0),
            started: Cell::new(None),
            running: Cell::new(false),
        }
    }

    /// The measured window begins.
    pub(super) fn start(&self, now: Instant) {
        self.started.set(Some(now));
        self.running.set(true);
    }

    /// It ends; returns how long it was.
    pub(super) fn stop(&self, now: Instant) -> Duration {
        self.running.set(false);
        self.started.get().map_or(Duration::ZERO, |started| now - started)
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.get()
    }

    pub(super) fn completed(&self) -> u64 {
        self.completed.get()
    }

    /// An answer came, to a request that is measured or not.
    pub(super) fn answer(&self, answer: Message, latency: Duration, measured: bool) {
        self.completed.set(self.completed.get() + 1);
        if measured {
            self.answers.set(self.answers.get() + 1);
            self.non_2xx.set(self.non_2xx.get() + u64::from(!(200..300).contains(&answer.status)));
            self.record(latency);
        }
    }

    /// A measured request failed, or a connection could not be made while measuring.
    pub(super) fn failure(&self, failure: Failure) {
        let mut errors = self.errors.get();
        match failure {
            Failure::Connect => errors.connect += 1,
            Failure::Io => errors.io += 1,
            Failure::Closed => errors.closed += 1,
            Failure::Timeout => errors.timeout += 1,
            Failure::Malformed => errors.malformed += 1,
        }
        self.errors.set(errors);
    }

    /// A measured request of an open loop got no answer for so long: left out, it would flatter the percentiles.
    pub(super) fn waited(&self, latency: Duration) {
        self.record(latency);
    }

    /// A measured request of an open loop never went out.
    pub(super) fn unsent(&self, latency: Duration) {
        self.unsent.set(self.unsent.get() + 1);
        self.record(latency);
    }

    /// The generator itself was late.
    pub(super) fn pace_stalled(&self) {
        self.pace_stalls.set(self.pace_stalls.get() + 1);
    }

    fn record(&self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX);
        self.histogram.borrow_mut().saturating_record(ns.max(1));
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^52")]
    pub(super) fn report(
        &self,
        plan: &Plan,
        elapsed: Duration,
        completed: u64,
        cpu_us: Option<u64>,
    ) -> Report {
        let histogram = self.histogram.borrow();
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile: f64| us(histogram.value_at_quantile(quantile));
        let seconds = elapsed.as_secs_f64();
        debug_assert!(plan.rate.is_some() || completed == self.answers.get());
        Report {
            requests: self.answers.get(),
            non_2xx: self.non_2xx.get(),
            errors: self.errors.get(),
            unsent: self.unsent.get(),
            pace_stalls: self.pace_stalls.get(),
            seconds,
            rps: if seconds > 0.0 { completed as f64 / seconds } else { 0.0 },
            latency_us: Latency {
                mean: histogram.mean() / 1e3,
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p99_9: at(0.999),
                max: if histogram.is_empty() { 0.0 } else { us(histogram.max()) },
            },
            cpu_us,
            cpu_us_per_request: cpu_us.map(|us| us as f64 / completed.max(1) as f64),
        }
    }
}
