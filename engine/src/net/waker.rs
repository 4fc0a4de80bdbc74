//! The task that waits for something of the ring: stored, and woken.

use std::cell::RefCell;
use std::task::{Context, Waker};

/// Stores the waker of the task that waits.
pub(super) fn park(slot: &RefCell<Option<Waker>>, cx: &Context) {
    let mut slot = slot.borrow_mut();
    if slot.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
        return;
    }
    let old = slot.replace(cx.waker().clone());
    drop(slot);
    drop(old);
}

/// Wakes the task that waits. The waker stays: it is the same task's next time.
pub(super) fn wake(slot: &RefCell<Option<Waker>>) {
    if let Some(waker) = slot.borrow().as_ref() {
        waker.wake_by_ref();
    }
}
