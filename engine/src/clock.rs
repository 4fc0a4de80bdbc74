//! Time as the engine reads it: once a turn of a shard's driver, handed down as `now`.
//!
//! The one place that asks the operating system, so that everything else can be driven by a test.

use std::time::Instant;

/// Reads the monotonic clock (about 25 ns).
#[allow(clippy::disallowed_methods)]
pub fn read() -> Instant {
    Instant::now()
}
