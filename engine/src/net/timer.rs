//! The deadline wheel: one a shard, for every deadline of its connections.
//!
//! A hierarchical timing wheel (Varghese and Lauck, 1987) of two levels: 256 slots of one [`TICK`] (4 s in all) and
//! 256 slots of 256 ticks (17 minutes); what is further away waits in the last slot and is placed again. Setting a
//! deadline later than the slot that a timer stands in only stores it: the timer is placed again when that slot comes
//! round. So a keep-alive connection, whose deadline moves with every request, costs a store a request.
//!
//! A deadline passes at the first tick at or after it: never early, at most one tick late (and as late as the shard's
//! turn is long).

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::sleep::Sleep;

/// How coarse deadlines are.
pub const TICK: Duration = Duration::from_millis(TICK_MS);
const TICK_MS: u64 = 16;
const SLOTS: u64 = 256;
const NONE: u32 = u32::MAX;
/// A deadline that is not set.
const NEVER: u64 = u64::MAX;

/// A deadline passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// One deadline, owned by one task.
pub struct Timer {
    wheel: Rc<Wheel>,
    key: u32,
}

impl Timer {
    /// Sets the deadline.
    pub fn set(&self, deadline: Instant) {
        self.wheel.set(self.key, self.wheel.tick_at(deadline));
    }

    /// Removes the deadline.
    pub fn clear(&self) {
        self.wheel.set(self.key, NEVER);
    }

    /// Whether the deadline has passed.
    pub fn expired(&self) -> bool {
        self.wheel.deadline(self.key) <= self.wheel.current.get()
    }

    /// Runs a future until it is ready or the deadline that was last set passes. The future is polled first.
    ///
    /// # Errors
    /// [`Elapsed`] if the deadline passed first.
    pub async fn within<F: Future>(&self, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_expired(cx).map(Err),
        })
        .await
    }

    /// Waits until the deadline passes (forever, if none is set).
    pub async fn wait(&self) -> Elapsed {
        poll_fn(|cx| self.poll_expired(cx)).await
    }

    fn poll_expired(&self, cx: &Context) -> Poll<Elapsed> {
        if self.expired() {
            return Poll::Ready(Elapsed);
        }
        self.wheel.watch(self.key, cx.waker());
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.wheel.remove(self.key);
    }
}

/// All timers of a shard.
pub(super) struct Wheel {
    start: Instant,
    /// Ticks since `start` that have passed.
    current: Cell<u64>,
    state: RefCell<State>,
    /// Ended when a timer may be due before what the driver sleeps for.
    sleep: Rc<Sleep>,
}

struct State {
    entries: Vec<Entry>,
    free: u32,
    /// Heads of the slots' lists: level 0, then level 1.
    heads: Box<[u32; 2 * SLOTS as usize]>,
    /// Timers placed in a slot.
    placed: usize,
}

struct Entry {
    /// Tick of the deadline; `NEVER` = none.
    deadline: u64,
    /// Tick at which the slot that it stands in comes round, at most `deadline`; `NEVER` = it stands in none.
    comes_round: u64,
    slot: u32,
    previous: u32,
    next: u32,
    waker: Option<Waker>,
}

impl Wheel {
    pub(super) fn new(start: Instant, sleep: Rc<Sleep>) -> Self {
        let heads = Box::new([NONE; 2 * SLOTS as usize]);
        let state = State { entries: Vec::new(), free: NONE, heads, placed: 0 };
        Self { start, current: Cell::new(0), state: RefCell::new(state), sleep }
    }

    pub(super) fn timer(self: &Rc<Self>) -> Timer {
        Timer { wheel: self.clone(), key: self.state.borrow_mut().insert() }
    }

    /// Moves time on and wakes the tasks whose deadline has passed.
    pub(super) fn advance(&self, now: Instant) {
        let target = self.elapsed_ticks(now);
        while self.current.get() < target {
            let mut state = self.state.borrow_mut();
            if state.placed == 0 {
                self.current.set(target);
                return;
            }
            let tick = self.current.get() + 1;
            self.current.set(tick);
            if tick.is_multiple_of(SLOTS) {
                let slot = SLOTS + tick / SLOTS % SLOTS;
                state.turn(slot as usize, tick);
            }
            state.turn((tick % SLOTS) as usize, tick);
        }
    }

    /// When the next slot that holds a timer comes round.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let state = self.state.borrow();
        if state.placed == 0 {
            return None;
        }
        let now = self.current.get();
        let near = (now + 1..=now + SLOTS)
            .find(|tick| {
                state.heads[(tick % SLOTS) as usize] != NONE
                    || (tick.is_multiple_of(SLOTS)
                        && state.heads[(SLOTS + tick / SLOTS % SLOTS) as usize] != NONE)
            })
            .unwrap_or_else(|| {
                let turn = now / SLOTS + 1;
                let far = (turn..turn + SLOTS).find(|t| state.heads[(SLOTS + t % SLOTS) as usize] != NONE);
                far.unwrap_or(turn) * SLOTS
            });
        Some(self.start + Duration::from_millis(near * TICK_MS))
    }

    fn elapsed_ticks(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.start)) / TICK_MS
    }

    /// The first tick at or after a deadline.
    fn tick_at(&self, deadline: Instant) -> u64 {
        let since = deadline.saturating_duration_since(self.start);
        (millis(since) + u64::from(!since.subsec_nanos().is_multiple_of(1_000_000))).div_ceil(TICK_MS)
    }

    fn set(&self, key: u32, deadline: u64) {
        let mut state = self.state.borrow_mut();
        let entry = &mut state.entries[key as usize];
        entry.deadline = deadline;
        if deadline >= entry.comes_round && entry.comes_round != NEVER {
            return;
        }
        state.unplace(key);
        if deadline != NEVER {
            state.place(key, self.current.get());
            drop(state);
            self.sleep.end();
        }
    }

    fn deadline(&self, key: u32) -> u64 {
        self.state.borrow().entries[key as usize].deadline
    }

    fn watch(&self, key: u32, waker: &Waker) {
        let mut state = self.state.borrow_mut();
        let slot = &mut state.entries[key as usize].waker;
        if slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            return;
        }
        let old = slot.replace(waker.clone());
        drop(state);
        drop(old); // it may be the last of its task, whose drop comes back here
    }

    fn remove(&self, key: u32) {
        let mut state = self.state.borrow_mut();
        state.unplace(key);
        let free = state.free;
        let entry = &mut state.entries[key as usize];
        let waker = entry.waker.take();
        entry.next = free;
        state.free = key;
        drop(state);
        drop(waker); // as in `watch`
    }
}

impl State {
    fn insert(&mut self) -> u32 {
        let entry = Entry {
            deadline: NEVER,
            comes_round: NEVER,
            slot: NONE,
            previous: NONE,
            next: NONE,
            waker: None,
        };
        if self.free == NONE {
            self.entries.push(entry);
            return u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 timers fit in memory");
        }
        let key = self.free;
        self.free = self.entries[key as usize].next;
        self.entries[key as usize] = entry;
        key
    }

    /// Puts a timer that stands in no slot into the one that comes round last before its deadline.
    fn place(&mut self, key: u32, now: u64) {
        let deadline = self.entries[key as usize].deadline.max(now + 1);
        let (slot, comes_round) = if deadline - now <= SLOTS {
            (deadline % SLOTS, deadline)
        } else {
            let turn = (deadline / SLOTS).min(now / SLOTS + SLOTS - 1);
            (SLOTS + turn % SLOTS, turn * SLOTS)
        };
        let head = self.heads[slot as usize];
        let entry = &mut self.entries[key as usize];
        (entry.slot, entry.comes_round, entry.previous, entry.next) = (slot as u32, comes_round, NONE, head);
        if head != NONE {
            self.entries[head as usize].previous = key;
        }
        self.heads[slot as usize] = key;
        self.placed += 1;
    }

    fn unplace(&mut self, key: u32) {
        let entry = &mut self.entries[key as usize];
        if entry.comes_round == NEVER {
            return;
        }
        entry.comes_round = NEVER;
        let (slot, previous, next) = (entry.slot, entry.previous, entry.next);
        if previous == NONE {
            self.heads[slot as usize] = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        self.placed -= 1;
    }

    /// Empties a slot that has come round: wakes what is due, places the rest again.
    fn turn(&mut self, slot: usize, tick: u64) {
        let mut key = self.heads[slot];
        while key != NONE {
            let next = self.entries[key as usize].next;
            let entry = &mut self.entries[key as usize];
            if entry.comes_round <= tick {
                let (deadline, waker) = (entry.deadline, entry.waker.as_ref());
                if deadline <= tick {
                    if let Some(waker) = waker {
                        waker.wake_by_ref();
                    }
                    self.unplace(key);
                } else {
                    self.unplace(key);
                    if deadline != NEVER {
                        self.place(key, tick);
                    }
                }
            }
            key = next;
        }
    }
}

/// Milliseconds in a duration; u64 is enough for 500 million years.
fn millis(duration: Duration) -> u64 {
    duration.as_secs() * 1000 + u64::from(duration.subsec_millis())
}

#[cfg(test)]
#[path = "timer_tests.rs"]
mod tests;
