//! The futures of one connection's streams, polled by the connection's task.
//!
//! Input: futures of one type. Output: what they come to. Each has a waker of its own, so that only those are polled that
//! can go on; a future's memory and waker are used again by the next one. So a request costs no spawn and, once as many
//! have been at work at once, no allocation here. [`Tasks::shrink`] gives the memory of an idle connection back.
//!
//! Wakers may be called from anywhere, so what they touch is atomic; it is shared with nobody else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};

use atomic_waker::AtomicWaker;

/// Which of a connection's futures can go on, and the task to wake for them.
struct Ready {
    /// A bit for each.
    bits: Box<[AtomicU64]>,
    task: AtomicWaker,
}

/// Wakes one future.
struct Bell {
    ready: Arc<Ready>,
    index: usize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let (word, bit) = (self.index / 64, 1 << (self.index % 64));
        if self.ready.bits[word].fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            self.ready.task.wake();
        }
    }
}

/// Futures at work, at most so many at once, and one more that is not kept here: the connection itself.
pub struct Tasks<F> {
    ready: Arc<Ready>,
    connection: Waker,
    slots: Vec<Slot<F>>,
    /// Slots without a future.
    free: Vec<usize>,
    max: usize,
}

struct Slot<F> {
    future: Pin<Box<Option<F>>>,
    waker: Waker,
}

impl<F: Future> Tasks<F> {
    /// Room for `max` futures.
    pub fn new(max: usize) -> Self {
        let bits = (0..=max / 64).map(|_| AtomicU64::new(0)).collect();
        let ready = Arc::new(Ready { bits, task: AtomicWaker::new() });
        let connection = Waker::from(Arc::new(Bell { ready: ready.clone(), index: 0 }));
        connection.wake_by_ref();
        Self { ready, connection, slots: Vec::new(), free: Vec::new(), max }
    }

    /// The waker of the connection itself.
    pub fn connection(&self) -> &Waker {
        &self.connection
    }

    /// The task is being polled and looks for itself: from here on it need not be woken.
    pub fn begin_turn(&self) {
        self.ready.task.take();
    }

    /// The task is about to wait, and is to be woken. One that can go on already is woken at once.
    pub fn end_turn(&self, cx: &Context) {
        self.ready.task.register(cx.waker());
        if self.ready.bits.iter().any(|word| word.load(Ordering::Acquire) != 0) {
            self.ready.task.wake();
        }
    }

    /// Whether the connection itself can go on; it is assumed to be polled now.
    pub fn take_connection(&self) -> bool {
        self.ready.bits[0].fetch_and(!1, Ordering::AcqRel) & 1 == 1
    }

    /// Whether there is room for another future.
    pub fn has_room(&self) -> bool {
        self.len() < self.max
    }

    /// Futures at work.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether no future is at work.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a future, to be polled soon.
    pub fn add(&mut self, future: F) {
        debug_assert!(self.has_room());
        let index = self.free.pop().unwrap_or_else(|| {
            let bell = Bell { ready: self.ready.clone(), index: self.slots.len() + 1 };
            self.slots.push(Slot { future: Box::pin(None), waker: Arc::new(bell).into() });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.future.as_mut().set(Some(future));
        slot.waker.wake_by_ref();
    }

    /// Polls each future that can go on, once. Whether there was one.
    pub fn poll_ready(&mut self) -> bool {
        let mut any = false;
        for word in 0..self.ready.bits.len() {
            // Bit 0 of all is the connection's.
            let keep = u64::from(word == 0);
            let mut bits = self.ready.bits[word].fetch_and(keep, Ordering::AcqRel) & !keep;
            while bits != 0 {
                any = true;
                self.poll(word * 64 + bits.trailing_zeros() as usize - 1);
                bits &= bits - 1;
            }
        }
        any
    }

    fn poll(&mut self, index: usize) {
        let Some(Slot { future, waker }) = self.slots.get_mut(index) else { return };
        // One that has ended may be woken once more.
        let Some(running) = future.as_mut().as_pin_mut() else { return };
        if running.poll(&mut Context::from_waker(waker)).is_ready() {
            future.as_mut().set(None);
            self.free.push(index);
        }
    }

    /// Gives the memory back, if no future is at work.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether it is open, who waits, and how often that has looked.
    type Gate = Rc<(Cell<bool>, RefCell<Option<Waker>>, Cell<usize>)>;

    async fn wait(gate: Gate) {
        poll_fn(|cx| {
            gate.2.set(gate.2.get() + 1);
            gate.1.replace(Some(cx.waker().clone()));
            if gate.0.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[test]
    fn only_what_was_woken_is_polled_and_memory_is_used_again() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        let woken = || count.0.swap(0, Ordering::Relaxed);
        let mut tasks = Tasks::new(130);
        assert!(tasks.take_connection() && !tasks.take_connection());
        let gates: Vec<Gate> = (0..130).map(|_| Gate::default()).collect();
        gates.iter().for_each(|gate| tasks.add(wait(gate.clone())));
        assert!(!tasks.has_room() && tasks.poll_ready() && !tasks.poll_ready());
        assert_eq!(woken(), 0, "a task that is being polled is not woken");
        for index in [0, 62, 63, 64, 129] {
            tasks.end_turn(&cx);
            let gate = &gates[index];
            gate.0.set(true);
            let waker = gate.1.borrow().clone().unwrap();
            waker.wake_by_ref();
            waker.wake();
            assert_eq!(woken(), 1, "the task is woken once");
            tasks.begin_turn();
            assert!(tasks.poll_ready() && !tasks.poll_ready());
            assert_eq!((gate.2.get(), woken()), (2, 0));
        }
        assert_eq!((tasks.len(), gates[1].2.get()), (125, 1));
        // The waker of one that has ended does no harm, to it or to the next in its place.
        gates[63].1.borrow().clone().unwrap().wake();
        tasks.end_turn(&cx);
        assert_eq!(woken(), 1, "what can go on already wakes the task");
        tasks.begin_turn();
        assert!(tasks.poll_ready());
        assert_eq!(gates[63].2.get(), 2);
        tasks.add(wait(gates[0].clone()));
        assert_eq!((tasks.len(), tasks.slots.len()), (126, 130));
        assert!(tasks.poll_ready());
        assert_eq!(tasks.len(), 125);
        for gate in &gates {
            gate.0.set(true);
            gate.1.borrow().clone().unwrap().wake();
        }
        assert!(!tasks.take_connection() && tasks.poll_ready() && tasks.is_empty());
        tasks.shrink();
        assert_eq!(tasks.slots.len(), 0);
    }
}
