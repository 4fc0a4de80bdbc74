//! The driver's sleep, and its end: whoever gives the driver something to do wakes it.
//!
//! That is who pushes an operation, who sets a timer, and who gives back a buffer that a socket waits for. Tasks run
//! while the driver sleeps when something outside of the ring has woken them, such as a message of another thread.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

use super::waker::{park, wake};

/// Whether the driver sleeps, and how to wake it.
#[derive(Default)]
pub(super) struct Sleep {
    asleep: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Sleep {
    /// From now on the driver wants to be woken.
    pub(super) fn begin(&self) {
        self.asleep.set(true);
    }

    /// Whether the driver still sleeps; if so, `cx` is what is woken.
    pub(super) fn goes_on(&self, cx: &Context) -> bool {
        if self.asleep.get() {
            park(&self.waker, cx);
        }
        self.asleep.get()
    }

    /// Wakes the driver if it sleeps.
    pub(super) fn end(&self) {
        if self.asleep.replace(false) {
            wake(&self.waker);
        }
    }
}
