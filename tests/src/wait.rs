//! Waiting, the only way that tests do it: on a condition, until a deadline.

use std::time::{Duration, Instant};

/// The time now. Tests read the clock here and nowhere else.
#[allow(
    clippy::disallowed_methods,
    reason = "that ban is the engine's, where a shard's driver hands the time down"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// How long anything that should happen soon may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often [`eventually`] looks.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A moment after which waiting is an error.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
}

impl Deadline {
    /// That long from now.
    pub fn after(patience: Duration) -> Deadline {
        Deadline { at: now() + patience }
    }

    /// What is left of it; `None` when it has passed.
    pub fn left(&self) -> Option<Duration> {
        self.at.checked_duration_since(now()).filter(|left| !left.is_zero())
    }
}

/// Waits until `condition` holds; panics with `what` when it does not within `patience`.
#[track_caller]
pub fn eventually(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Deadline::after(patience);
    while !condition() {
        assert!(deadline.left().is_some(), "not within {patience:?}: {what}");
        pause(POLL_INTERVAL);
    }
}

/// Lets time pass where time itself is what is measured or scripted (CPU over an interval, an origin's delay).
#[allow(
    clippy::disallowed_methods,
    reason = "the one place where a test thread sleeps; it polls or measures"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Runs `subject` over at least that much time: what it returns was measured over `time`.
pub fn over<T>(time: Duration, subject: impl FnOnce() -> T) -> T {
    pause(time);
    subject()
}
