//! When the admin is asked for a configuration, and for what: the decisions, sans-io.
//!
//! Input: what came of each request, what became of each configuration, and `now`. Output: [`Step`]. A request that knows
//! the configuration at hand waits at the admin for the next one ([`WAIT`], a long poll). After a failure the pause doubles
//! from [`PAUSE_MIN`] to [`PAUSE_MAX`], each cut by chance to at least half, so that engines do not come back all at once;
//! and the next request does not wait, so that it is soon known whether the admin is back.
//!
//! A configuration that was refused is asked for again whole after [`REFUSED_AGAIN`]: what kept it (a port that somebody
//! else holds, a file that is missing) may be gone. Until then only another one is wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a request waits at the admin for another configuration.
pub const WAIT: Duration = Duration::from_secs(25);
/// The first pause after a failure.
pub const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause after a failure.
pub const PAUSE_MAX: Duration = Duration::from_secs(5);
/// After "nothing new" from an admin that did not wait, as one does that many engines wait at.
pub const PAUSE_UNCHANGED: Duration = Duration::from_millis(500);
/// How long a refused configuration stays refused.
pub const REFUSED_AGAIN: Duration = Duration::from_secs(30);

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask now.
    Ask(Ask),
    /// Nothing until then.
    Sleep(Instant),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The configuration that is not wanted again; `None`: whichever there is.
    pub unless: Option<Arc<str>>,
    /// How long the admin may wait for another one.
    pub wait: Duration,
}

/// What came of a request, as far as it matters when the next one is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A configuration, whatever became of it.
    Fetched,
    /// There is no other one.
    Unchanged,
    /// None: the admin cannot be reached, or refuses.
    Failed,
}

/// See the module.
#[derive(Debug)]
pub struct Schedule {
    /// The ETag of what was applied or refused last.
    held: Option<Arc<str>>,
    /// When to ask for what was refused again.
    again_at: Option<Instant>,
    due: Instant,
    asked_at: Instant,
    /// The last request was answered; the first one is to find out.
    answered: bool,
    /// In a row.
    failures: u32,
}

impl Schedule {
    /// Begins with the ETag of the copy that is in force, if there is one.
    pub fn new(held: Option<Arc<str>>, now: Instant) -> Self {
        Self { held, again_at: None, due: now, asked_at: now, answered: false, failures: 0 }
    }

    /// What to do now.
    pub fn next(&mut self, now: Instant) -> Step {
        if now < self.due {
            return Step::Sleep(self.due);
        }
        self.asked_at = now;
        let left = self.again_at.map(|at| at.saturating_duration_since(now));
        if left.is_some_and(|left| left.is_zero()) {
            self.again_at = None;
            self.held = None;
        }
        let wait = if !self.answered || self.held.is_none() {
            Duration::ZERO
        } else {
            left.map_or(WAIT, |left| left.min(WAIT))
        };
        Step::Ask(Ask { unless: self.held.clone(), wait })
    }

    /// A request has ended. `chance` is from 0 to 1.
    pub fn on_answer(&mut self, answer: Answer, now: Instant, chance: f64) {
        match answer {
            Answer::Fetched => {
                (self.answered, self.failures) = (true, 0);
                self.due = now;
            }
            Answer::Unchanged => {
                let asked_to_wait = std::mem::replace(&mut self.answered, true);
                self.failures = 0;
                let waited = now.saturating_duration_since(self.asked_at) >= PAUSE_UNCHANGED;
                self.due = if asked_to_wait && !waited { now + PAUSE_UNCHANGED } else { now };
            }
            Answer::Failed => {
                let pause = PAUSE_MAX.min(PAUSE_MIN * 2_u32.pow(self.failures.min(16)));
                self.answered = false;
                self.failures = self.failures.saturating_add(1);
                self.due = now + pause.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
            }
        }
    }

    /// A configuration with this ETag is in force.
    pub fn on_applied(&mut self, etag: Option<Arc<str>>) {
        self.held = etag;
        self.again_at = None;
    }

    /// One with this ETag was refused.
    pub fn on_refused(&mut self, etag: Option<Arc<str>>, now: Instant) {
        self.again_at = Some(now + REFUSED_AGAIN);
        // Without an ETag it could only be asked for whole, again and again.
        if etag.is_none() {
            self.due = now + REFUSED_AGAIN;
        }
        self.held = etag;
    }

    /// Somebody wants the configuration to be read again.
    pub fn on_demand(&mut self, now: Instant) {
        self.held = None;
        self.again_at = None;
        self.due = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn etag(text: &str) -> Option<Arc<str>> {
        Some(text.into())
    }

    fn ask(unless: Option<&str>, wait: Duration) -> Step {
        Step::Ask(Ask { unless: unless.map(Into::into), wait })
    }

    #[test]
    fn what_is_at_hand_is_not_asked_for_again_and_the_next_one_is_waited_for() {
        let now = clock::read();
        let mut schedule = Schedule::new(None, now);
        assert_eq!(schedule.next(now), ask(None, Duration::ZERO));
        schedule.on_applied(etag("1"));
        schedule.on_answer(Answer::Fetched, now, 0.0);
        assert_eq!(schedule.next(now), ask(Some("1"), WAIT));
        let later = now + WAIT;
        schedule.on_answer(Answer::Unchanged, later, 0.0);
        assert_eq!(schedule.next(later), ask(Some("1"), WAIT));
    }

    #[test]
    fn with_a_copy_it_is_first_found_out_whether_the_admin_is_there() {
        let now = clock::read();
        let mut schedule = Schedule::new(etag("1"), now);
        assert_eq!(schedule.next(now), ask(Some("1"), Duration::ZERO));
        schedule.on_answer(Answer::Unchanged, now, 0.0);
        assert_eq!(schedule.next(now), ask(Some("1"), WAIT), "no pause: it was not asked to wait");
    }

    #[test]
    fn pauses_double_and_are_bounded_and_differ_by_chance() {
        let mut now = clock::read();
        let mut schedule = Schedule::new(etag("1"), now);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            assert_eq!(schedule.next(now), ask(Some("1"), Duration::ZERO));
            schedule.on_answer(Answer::Failed, now, 1.0);
            let Step::Sleep(until) = schedule.next(now) else { panic!("no pause") };
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000]);
        schedule.on_answer(Answer::Failed, now, 0.0);
        assert_eq!(schedule.next(now), Step::Sleep(now + PAUSE_MAX / 2));
        schedule.on_answer(Answer::Unchanged, now, 0.0);
        schedule.on_answer(Answer::Failed, now, 1.0);
        assert_eq!(schedule.next(now), Step::Sleep(now + PAUSE_MIN), "it begins anew");
    }

    #[test]
    fn an_admin_that_does_not_wait_is_not_asked_in_a_loop() {
        let now = clock::read();
        let mut schedule = Schedule::new(etag("1"), now);
        schedule.next(now);
        schedule.on_answer(Answer::Unchanged, now, 0.0);
        schedule.next(now);
        schedule.on_answer(Answer::Unchanged, now, 0.0);
        assert_eq!(schedule.next(now), Step::Sleep(now + PAUSE_UNCHANGED));
    }

    #[test]
    fn a_refused_one_is_asked_for_again_after_a_while_and_another_one_at_any_time() {
        let now = clock::read();
        let mut schedule = Schedule::new(None, now);
        schedule.next(now);
        schedule.on_answer(Answer::Fetched, now, 0.0);
        schedule.on_refused(etag("2"), now);
        assert_eq!(schedule.next(now), ask(Some("2"), WAIT));
        let later = now + WAIT;
        schedule.on_answer(Answer::Unchanged, later, 0.0);
        assert_eq!(schedule.next(later), ask(Some("2"), REFUSED_AGAIN - WAIT));
        let due = now + REFUSED_AGAIN;
        schedule.on_answer(Answer::Unchanged, due, 0.0);
        assert_eq!(schedule.next(due), ask(None, Duration::ZERO));
    }

    #[test]
    fn one_that_is_asked_for_on_demand_comes_whole_and_at_once() {
        let now = clock::read();
        let mut schedule = Schedule::new(etag("1"), now);
        schedule.on_answer(Answer::Failed, now, 1.0);
        schedule.on_demand(now);
        assert_eq!(schedule.next(now), ask(None, Duration::ZERO));
    }
}
