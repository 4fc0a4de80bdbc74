//! One limit's side of the conversation with Redis: when to ask, what to ask, what to do with the answer, and when to go
//! on alone. Sans-io.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::Bucket;
use super::{
    Answer, Ask, DOWN, EARLY, IDLE, KEEPALIVE, PERIOD, PERIOD_LONG, PERIOD_SHORT, PERIOD_SHORTEST,
    PERIOD_UNSPENT, RETRY, RETRY_STARTING, Stock, VALID, VALID_IDLE, slack,
};

/// A limit that this process leases tokens of.
pub struct Limiter {
    bucket: Arc<Bucket>,
    stock: Arc<Stock>,
    state: State,
    /// When it last asked; `None` = never.
    asked_at: Option<Instant>,
    /// When it was last answered, or made.
    heard_at: Instant,
    /// When it was last seen that tokens were spent.
    spent_at: Instant,
    /// Nothing was spent for a while, and Redis knows.
    idle: bool,
    /// What was in the stock with the last answer, spent meanwhile or not.
    level: u64,
    /// Tokens that are spent in a period, about.
    demand: f64,
    /// Admitted before the first answer, and not subtracted yet.
    owed: u64,
    /// What the last answer said.
    answer: Answer,
    random: u64,
}

/// Where tokens come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// By pace, as nobody has answered yet.
    Starting,
    /// From the cluster.
    Leased,
    /// By pace, as nobody answers.
    Degraded,
}

impl Limiter {
    /// For a bucket that has a stock. `seed` keeps processes from marching in step.
    pub fn new(bucket: Arc<Bucket>, seed: u64, now: Instant) -> Option<Limiter> {
        let stock = bucket.stock()?.clone();
        let answer =
            Answer { granted: 0, left: 0, processes: 1, others_short: 0, next: Duration::ZERO, fit: 0 };
        Some(Limiter {
            bucket,
            stock,
            state: State::Starting,
            asked_at: None,
            heard_at: now,
            spent_at: now,
            idle: false,
            level: 0,
            demand: 0.0,
            owed: 0,
            answer,
            random: seed | 1,
        })
    }

    /// The same limit with another rate; whether it is the same stock's.
    pub fn renew(&mut self, bucket: &Arc<Bucket>) -> bool {
        let same = bucket.stock().is_some_and(|stock| Arc::ptr_eq(stock, &self.stock));
        if same && !Arc::ptr_eq(bucket, &self.bucket) {
            self.bucket = bucket.clone();
            // So that it asks by the new rate soon.
            self.idle = false;
            self.asked_at = self.asked_at.and_then(|at| at.checked_sub(KEEPALIVE));
        }
        same
    }

    /// Where tokens come from.
    pub fn state(&self) -> State {
        self.state
    }

    /// When to look at it again, if it is not called before.
    pub fn look_at(&self, now: Instant) -> Instant {
        let due = self.due();
        let spends = self.state == State::Leased && !self.idle;
        if spends { due.min(now + PERIOD) } else { due }
    }

    /// When it wants to ask, as far as is known now.
    fn due(&self) -> Instant {
        let Some(asked_at) = self.asked_at else { return self.heard_at };
        let after = |time| asked_at + time;
        match self.state {
            State::Starting => after(RETRY_STARTING),
            State::Degraded => after(RETRY),
            State::Leased if self.stock.is_called() && (self.idle || self.has_more()) => after(EARLY),
            State::Leased if self.stock.is_called() => {
                after(self.answer.next.clamp(self.about(self.period().min(PERIOD_SHORT)), PERIOD_LONG))
            }
            State::Leased if self.level > self.to_keep(self.need(false)) => after(PERIOD),
            State::Leased if self.idle => after(KEEPALIVE),
            State::Leased if self.stock.tokens() != self.level => after(self.about(self.period())),
            // It may be needed elsewhere.
            State::Leased => after(PERIOD_UNSPENT),
        }
    }

    /// Whether Redis would grant more right away: what it keeps from one that is short is for others that are.
    fn has_more(&self) -> bool {
        self.answer.left > 0 && self.answer.others_short == 0
    }

    /// How long it may spend without asking: the tokens of two such periods, those that it was granted for the last and
    /// those that come in this one, have to fit into the bucket.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn period(&self) -> Duration {
        let seconds = self.answer.fit as f64 / self.bucket.rate().requests_per_second / 2.0;
        let longest = Duration::try_from_secs_f64(seconds).unwrap_or(PERIOD);
        longest.saturating_sub(EARLY).clamp(PERIOD_SHORTEST, PERIOD)
    }

    /// Less by up to a quarter, at random, so that no process always comes just before another.
    fn about(&self, time: Duration) -> Duration {
        let share = u32::try_from(self.random >> 48).unwrap_or_default();
        time - time / 4 * share / (1 << 16)
    }

    /// What to ask, if it is time to.
    pub fn ask(&mut self, now: Instant) -> Option<Ask> {
        if self.due() > now {
            return None;
        }
        let short = self.stock.answer_call();
        let before = self.stock.tokens();
        self.observe(self.level.saturating_sub(before), short, now);
        self.asked_at = Some(now);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let rate = self.bucket.rate();
        let need = self.need(short);
        let surplus = before.saturating_sub(self.to_keep(need));
        let returned = if self.state == State::Leased { self.stock.withdraw(surplus) } else { 0 };
        let stock = self.stock.tokens();
        self.level = stock;
        self.owe();
        Some(Ask {
            stock,
            returned,
            need,
            short,
            valid: if self.idle { VALID_IDLE } else { VALID },
            owed: self.owed,
            most: if self.state == State::Degraded { self.tokens_of_all(now) } else { self.full() },
            rate,
        })
    }

    /// Gives everything back: the process ends, or the limit does. The last ask of this limiter.
    pub fn leave(&mut self) -> Ask {
        let returned = self.stock.withdraw(u64::MAX);
        self.owe();
        Ask {
            stock: 0,
            returned,
            need: 0,
            short: false,
            valid: Duration::ZERO,
            owed: self.owed,
            most: self.full(),
            rate: self.bucket.rate(),
        }
    }

    /// Counts what shards took by pace. While degraded that is a share of its own, and nothing is owed for it.
    fn owe(&mut self) {
        let taken = self.stock.withdraw_taken_by_pace();
        self.owed = if self.state == State::Degraded { 0 } else { self.owed.saturating_add(taken) };
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn observe(&mut self, spent: u64, short: bool, now: Instant) {
        let since = self.asked_at.map_or(PERIOD, |at| now.saturating_duration_since(at)).max(EARLY);
        // Not less if it took longer: it was all that there was, or the next time will.
        let in_a_period = spent as f64 * (PERIOD.as_secs_f64() / since.as_secs_f64()).max(1.0);
        // Who had nothing to spend may still want to; and may want all that has come meanwhile.
        let kept = if short {
            1.0
        } else if spent > 0 {
            0.7
        } else {
            0.2
        };
        let came = if short { self.bucket.rate().requests_per_second * since.as_secs_f64() } else { 0.0 };
        self.demand = in_a_period.max(self.demand * kept).max(came.min(self.bucket.rate().burst));
        if spent > 0 || short || self.state != State::Leased {
            self.spent_at = now;
        }
        self.idle = now.saturating_duration_since(self.spent_at) >= IDLE;
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; not negative")]
    fn need(&self, short: bool) -> u64 {
        if self.idle {
            return 1;
        }
        let more = if short { 2.0 } else { 1.5 };
        ((self.demand * more).ceil() as u64).max(1) + u64::from(short)
    }

    /// What of the stock is not given back: with some room, so that it does not go to and fro.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; not negative")]
    fn to_keep(&self, need: u64) -> u64 {
        if self.answer.others_short > 0 {
            return need.saturating_mul(2);
        }
        let share = (self.bucket.rate().burst / f64::from(self.answer.processes.max(1))) as u64;
        need.saturating_mul(2).max(share)
    }

    /// Tokens that fit into the bucket of the cluster.
    fn full(&self) -> f64 {
        let rate = self.bucket.rate();
        rate.burst + slack(rate)
    }

    /// What the bucket of the cluster would have by now, if all processes had spent as this one.
    fn tokens_of_all(&self, now: Instant) -> f64 {
        let processes = self.answer.processes.max(1);
        let all = self.bucket.tokens_by_pace(processes, now) * f64::from(processes);
        all.min(self.bucket.rate().burst)
    }

    /// Takes the answer to the last ask.
    pub fn answered(&mut self, answer: Answer, now: Instant) {
        self.answer = answer;
        self.owed = 0;
        self.heard_at = now;
        self.level = self.level.saturating_add(answer.granted);
        let low = if self.idle { u64::MAX } else { self.level / 2 };
        self.stock.tell(answer.left, answer.next, low, now);
        self.stock.add(answer.granted);
        if self.state == State::Degraded {
            self.stock.withdraw_taken_by_pace();
        }
        self.state = State::Leased;
        self.stock.share(0);
    }

    /// The last ask has no answer. What may have been granted is lost.
    pub fn failed(&mut self, now: Instant) {
        let silent = now.saturating_duration_since(self.heard_at) >= DOWN;
        match self.state {
            State::Starting if !silent => {}
            State::Starting => self.state = State::Degraded,
            State::Degraded => {}
            State::Leased => {
                let processes = self.answer.processes.max(1);
                let leased = self.stock.withdraw(u64::MAX);
                #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
                self.bucket.set_tokens(leased as f64, processes, now);
                self.level = 0;
                self.stock.share(processes);
                self.state = State::Degraded;
            }
        }
    }
}
