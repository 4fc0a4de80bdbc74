//! What a run came to, as JSON.

use serde::{Deserialize, Serialize};

/// The result of one run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Whole answers to measured requests, whatever their status.
    pub requests: u64,
    /// Of those, not 2xx.
    pub non_2xx: u64,
    /// Requests without an answer, and connections that could not be made.
    pub errors: Errors,
    /// Open loop: requests that were due and never went out, because no connection was free.
    pub unsent: u64,
    /// Open loop: times that the generator itself was more than 100 ms late. Anything but 0 makes latencies worthless.
    pub pace_stalls: u64,
    /// Seconds measured.
    pub seconds: f64,
    /// Answers a second within the measured window.
    pub rps: f64,
    /// From the send (closed loop) or from when it was due (open loop) to the last byte of the answer.
    pub latency_us: Latency,
    /// CPU time of the watched process in the measured window.
    pub cpu_us: Option<u64>,
    /// The same for each answer in that window.
    pub cpu_us_per_request: Option<f64>,
}

/// Errors by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// Connections that could not be made.
    pub connect: u64,
    /// Sending or receiving failed.
    pub io: u64,
    /// The server closed before the answer was whole.
    pub closed: u64,
    /// The answer was late.
    pub timeout: u64,
    /// The answer was no HTTP/1.1.
    pub malformed: u64,
}

impl Errors {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.connect + self.io + self.closed + self.timeout + self.malformed
    }
}

/// A distribution, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}
