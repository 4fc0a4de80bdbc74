//! The ring and its driver: submit what a turn queued, collect completions, wake the tasks, yield, again.
//!
//! One `io_uring_enter` does both. When a turn brought nothing the driver waits in the ring for at most [`HOT_WAIT`]
//! (*hot wait*: the next packet wakes it without a detour through the executor's own rings); after [`HOT_WAITS_MAX`]
//! such waits in vain it waits for the ring's eventfd through the executor (*cold park*), so that an idle process uses
//! no CPU. The eventfd is masked while the driver is hot.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;
use glommio::io::BufferedFile;
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::{self, Buffers};
use super::limits::{COMPLETIONS, OUTGOING_KEPT_BYTES_MAX, OUTGOING_POOLED_MAX, SUBMISSIONS};
use super::outgoing::Outgoing;
use super::sleep::Sleep;
use super::table::{Kind, Table};
use super::timer::{Timer, Wheel};
use super::{listener, socket};
use crate::clock;

/// How long one hot wait lasts. Measured: with 1 ms each wait programs a timer nearer than the kernel's own next tick,
/// which in a virtual machine leaves it; at 8 connections that cost 5% of the CPU a request.
const HOT_WAIT: Duration = Duration::from_millis(10);
/// Hot waits in vain before the driver parks.
const HOT_WAITS_MAX: u32 = 3;
/// The executor's preemption timer, to be set for each executor that runs a driver, which is never to fire: glommio 0.9
/// goes to sleep with tasks that could run when it has fired between a look at the rings and the first of them, as happens
/// when the thread was off its CPU meanwhile (`run_task_queues` then says that nothing ran). A shard hung so once in some
/// thousand starts on a busy machine. The driver gives the executor its turns instead ([`EXECUTOR_TURN`]).
pub const EXECUTOR_PREEMPT: Duration = Duration::from_secs(365 * 24 * 3600);
/// How often the executor looks at its own rings, for messages of other threads, while the driver is hot.
const EXECUTOR_TURN: Duration = Duration::from_millis(10);
/// `io_uring_enter`: collect completions (IORING_ENTER_GETEVENTS).
const GET_EVENTS: u32 = 1;
/// Completions taken out of the ring at a time.
const REAPED_MAX: usize = 256;

/// One shard's network: the ring with its sockets, listeners, buffers and timers.
pub struct Net {
    ring: IoUring,
    pub(super) buffers: Rc<Buffers>,
    pub(super) large_buffers: Rc<Buffers>,
    pub(super) sockets: RefCell<Table<socket::State>>,
    pub(super) listeners: RefCell<Table<listener::State>>,
    /// Sockets whose receive ended for want of buffers, in turn.
    starved: RefCell<VecDeque<u32>>,
    exhausted: Cell<u64>,
    outgoing: RefCell<Vec<Outgoing>>,
    wheel: Rc<Wheel>,
    now: Cell<Instant>,
    /// The driver has slept since `now` was read.
    slept: Cell<bool>,
    /// Something was pushed since the last enter.
    pushed: Cell<bool>,
    sleep: Rc<Sleep>,
    /// The timeout in the ring that ends the sleep when the next timer is due, and when that is.
    alarm: Cell<Option<Instant>>,
    stopped: Cell<bool>,
    /// See [`Self::hurry`].
    hurried: Cell<bool>,
}

/// Figures for metrics.
#[derive(Debug, Clone, Copy)]
pub struct NetStats {
    /// Receive buffers that exist, small and large.
    pub buffers: usize,
    /// Of those, lent now.
    pub buffers_lent: usize,
    /// Times that a receive found no buffer, ever.
    pub buffers_exhausted: u64,
    /// Sockets on the ring.
    pub sockets: usize,
}

impl Net {
    /// Makes the ring. Call on the shard's own thread.
    ///
    /// # Errors
    /// What `io_uring_setup(2)` or `io_uring_register(2)` say; [`super::probe`] explains them.
    pub fn new() -> io::Result<Rc<Self>> {
        let ring: IoUring = super::probe::builder().setup_cqsize(COMPLETIONS).build(SUBMISSIONS)?;
        let now = clock::read();
        let sleep = Rc::new(Sleep::default());
        let small = Buffers::new(&buffers::SMALL, &ring, sleep.clone())?;
        small.grow();
        Ok(Rc::new(Self {
            buffers: Rc::new(small),
            large_buffers: Rc::new(Buffers::new(&buffers::LARGE, &ring, sleep.clone())?),
            ring,
            sockets: RefCell::default(),
            listeners: RefCell::default(),
            starved: RefCell::default(),
            exhausted: Cell::new(0),
            outgoing: RefCell::default(),
            wheel: Rc::new(Wheel::new(now, sleep.clone())),
            now: Cell::new(now),
            slept: Cell::new(false),
            pushed: Cell::new(false),
            sleep,
            alarm: Cell::new(None),
            stopped: Cell::new(false),
            hurried: Cell::new(false),
        }))
    }

    /// Runs the ring until [`Self::stop`]. One task a shard.
    ///
    /// # Errors
    /// Only what cannot be got over: the ring itself is gone.
    pub async fn drive(self: &Rc<Self>) -> io::Result<()> {
        // SAFETY: eventfd(2) takes no pointers; the descriptor is owned by `eventfd` from here on.
        let eventfd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if eventfd < 0 {
            return Err(io::Error::last_os_error());
        }
        self.ring.submitter().register_eventfd(eventfd)?;
        // SAFETY: nobody else owns the descriptor.
        let eventfd = unsafe { BufferedFile::from_raw_fd(eventfd) };
        let mut alarm_read: Option<EventRead> = None;
        self.set_eventfd(false);

        let mut waits_in_vain = 0;
        let mut executor_due = self.now.get() + EXECUTOR_TURN;
        while !self.stopped.get() {
            if self.now.get() >= executor_due {
                executor_due = self.now.get() + EXECUTOR_TURN;
                executor_turn(&eventfd, &mut alarm_read).await;
            }
            let idle = !self.pushed.get();
            // What was pushed is mostly sends, which complete as they are submitted: waiting costs nothing then, and
            // saves the enter that would find out that there is nothing else.
            // But not if a task has woken another, which is then ready to run.
            let wait = !idle || waits_in_vain > 0;
            self.enter(wait && !self.hurried.take())?;
            let completed = self.turn();
            if completed > 0 || !idle {
                waits_in_vain = 0;
                yield_now().await;
            }
            if completed > 0 {
                continue;
            }
            waits_in_vain += 1;
            if waits_in_vain > HOT_WAITS_MAX {
                self.cold_park(&eventfd, &mut alarm_read).await?;
                waits_in_vain = 0;
            } else if idle {
                yield_now().await;
            }
        }
        Ok(())
    }

    /// Says that a task has woken another: the driver lets it run before it waits.
    pub fn hurry(&self) {
        self.hurried.set(true);
    }

    /// Ends [`Self::drive`].
    pub fn stop(&self) {
        self.stopped.set(true);
        self.sleep.end();
    }

    /// The time at the start of this turn; while the driver sleeps there is no turn, and it is the time now.
    pub fn now(&self) -> Instant {
        if self.slept.get() {
            self.now.set(clock::read());
        }
        self.now.get()
    }

    /// A timer on this shard's wheel, without a deadline yet.
    pub fn timer(&self) -> Timer {
        self.wheel.timer()
    }

    /// An empty send buffer, reused if there is one.
    pub fn outgoing(&self) -> Outgoing {
        self.outgoing.borrow_mut().pop().unwrap_or_default()
    }

    /// A chunk of a lent buffer with these bytes, as if they had been received. The ring must have no sockets: the buffer
    /// is one that was posted.
    #[cfg(test)]
    pub(crate) fn received(&self, bytes: &[u8]) -> super::Chunk {
        assert_eq!(self.sockets.borrow().len(), 0);
        self.buffers.received(bytes)
    }

    /// Takes a send buffer back for reuse.
    pub fn recycle(&self, mut outgoing: Outgoing) {
        if outgoing.capacity() == 0 {
            return;
        }
        outgoing.clear();
        let mut pool = self.outgoing.borrow_mut();
        if pool.len() < OUTGOING_POOLED_MAX && outgoing.capacity() <= OUTGOING_KEPT_BYTES_MAX {
            pool.push(outgoing);
        }
    }

    /// Figures for metrics.
    pub fn stats(&self) -> NetStats {
        NetStats {
            buffers: self.buffers.total() + self.large_buffers.total(),
            buffers_lent: self.buffers.lent() + self.large_buffers.lent(),
            buffers_exhausted: self.exhausted.get(),
            sockets: self.sockets.borrow().len(),
        }
    }

    /// Wakes every task that waits to receive: something that they look at besides has changed.
    pub fn wake_receivers(&self) {
        let sockets: Vec<_> = self.sockets.borrow().iter().cloned().collect();
        sockets.iter().for_each(|state| state.wake_receiver());
    }

    /// Fails all sockets (ECANCELED), for whoever waits for them to come to an end.
    pub fn fail_sockets(&self) {
        let sockets: Vec<_> = self.sockets.borrow().iter().cloned().collect();
        sockets.iter().for_each(|state| state.fail(libc::ECANCELED));
    }

    /// Queues an operation for the next enter. What it points at must live until its completion: callers keep it in
    /// the state that the table holds.
    pub(super) fn push(&self, entry: squeue::Entry) {
        self.pushed.set(true);
        self.sleep.end();
        loop {
            // SAFETY: this thread alone uses the queue and no other handle to it is alive. The entry's pointers live
            // until its completion, as the caller promises.
            let pushed = unsafe { self.ring.submission_shared().push(&entry) };
            if pushed.is_ok() || self.submit().is_err() {
                return;
            }
        }
    }

    /// Asks for the end of an operation in flight.
    pub(super) fn cancel(&self, kind: Kind, index: u32) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::user_data(kind.tag(index))).build();
        self.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(Kind::Ignored.tag(0)));
    }

    /// Closes a socket's descriptor after all that was pushed before; its index is free once that is done.
    pub(super) fn close(&self, fd: RawFd, index: u32) {
        self.push(opcode::Close::new(Fd(fd)).build().user_data(Kind::Close.tag(index)));
    }

    /// Submits what was pushed and collects completions, waiting for one for at most [`HOT_WAIT`] if asked.
    fn enter(&self, wait: bool) -> io::Result<()> {
        self.pushed.set(false);
        let result = if wait {
            let timespec = Timespec::from(HOT_WAIT);
            self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timespec))
        } else {
            // SAFETY: as in `push` for the queue; no argument is passed.
            unsafe {
                let queued = self.ring.submission_shared().len() as u32;
                self.ring.submitter().enter::<c_void>(queued, 0, GET_EVENTS, None)
            }
        };
        match result.map_err(|error| error.raw_os_error()) {
            Ok(_) | Err(Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)) => Ok(()),
            Err(errno) => Err(errno.map_or_else(io::Error::last_os_error, io::Error::from_raw_os_error)),
        }
    }

    /// Makes room in the submission queue.
    fn submit(&self) -> io::Result<usize> {
        match self.ring.submit() {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {
                Ok(0)
            }
            result => result,
        }
    }

    /// Handles what has completed and moves time on. Returns how many completions there were.
    fn turn(&self) -> usize {
        let mut completed = 0;
        loop {
            let mut batch = [const { MaybeUninit::<cqueue::Entry>::uninit() }; REAPED_MAX];
            // SAFETY: this thread alone uses the queue, and no other handle to it is alive.
            let batch = unsafe { self.ring.completion_shared() }.fill(&mut batch);
            let last = batch.len() < REAPED_MAX;
            completed += batch.len();
            for entry in &*batch {
                self.complete(entry);
            }
            if last {
                break;
            }
        }
        self.now.set(clock::read());
        self.slept.set(false);
        self.wheel.advance(self.now.get());
        self.feed_starved();
        completed
    }

    fn complete(&self, entry: &cqueue::Entry) {
        let (kind, index) = Kind::of(entry.user_data());
        let result = entry.result();
        match kind {
            Kind::Ignored => return,
            // One that was replaced ends too, but with ECANCELED.
            Kind::Alarm if result == -libc::ETIME => return self.alarm.set(None),
            Kind::Alarm => return,
            Kind::Close => {
                let closed = self.sockets.borrow_mut().remove(index);
                return drop(closed); // with what was held until now, which may come back here
            }
            Kind::Accept => {
                let state = self.listeners.borrow().get(index);
                return state.into_iter().for_each(|state| state.on_accept(self, result, entry.flags()));
            }
            Kind::Receive | Kind::Send | Kind::Connect => {}
        }
        let Some(state) = self.sockets.borrow().get(index) else {
            debug_assert!(false, "a completion for a socket that is gone");
            return;
        };
        match kind {
            Kind::Receive => {
                if state.on_receive(self, result, entry.flags()) {
                    self.exhausted.set(self.exhausted.get() + 1);
                    self.starved.borrow_mut().push_back(index);
                    self.buffers.set_wanted(true);
                }
            }
            Kind::Send => state.on_send(self, result),
            _ => state.on_connect(self, result),
        }
    }

    /// Lets sockets that found no buffer try again: a fair share each turn, once there are buffers.
    fn feed_starved(&self) {
        let waiting = self.starved.borrow().len();
        if waiting == 0 {
            return;
        }
        let free = self.buffers.total() - self.buffers.lent();
        if free == 0 && !self.buffers.grow() {
            return;
        }
        for _ in 0..waiting.min(self.buffers.total() - self.buffers.lent()) {
            let Some(index) = self.starved.borrow_mut().pop_front() else { break };
            let state = self.sockets.borrow().get(index);
            state.into_iter().for_each(|state| state.on_buffers(self));
        }
        self.buffers.set_wanted(!self.starved.borrow().is_empty());
    }

    /// A socket that waited for buffers is gone.
    pub(super) fn forget_starved(&self, index: u32) {
        self.starved.borrow_mut().retain(|starved| *starved != index);
        self.buffers.set_wanted(!self.starved.borrow().is_empty());
    }

    /// Sleeps until something completes, a timer is due, or a task gives the driver something to do.
    async fn cold_park<'f>(
        &self,
        eventfd: &'f BufferedFile,
        read: &mut Option<EventRead<'f>>,
    ) -> io::Result<()> {
        self.set_alarm();
        self.set_eventfd(true);
        self.sleep.begin();
        // What completed before the eventfd was unmasked would not be told.
        self.enter(false)?;
        if self.turn() == 0 {
            self.slept.set(true);
            poll_fn(|cx| if self.sleep.goes_on(cx) { poll_read(eventfd, read, cx) } else { Poll::Ready(()) })
                .await;
        }
        self.sleep.end();
        self.set_eventfd(false);
        Ok(())
    }

    /// Puts a timeout into the ring that completes when the next timer is due.
    fn set_alarm(&self) {
        let Some(due) = self.wheel.next_turn() else { return };
        match self.alarm.get() {
            Some(set) if set <= due => return,
            Some(_) => {
                let entry = opcode::TimeoutRemove::new(Kind::Alarm.tag(0)).build();
                self.push(entry.user_data(Kind::Ignored.tag(0)));
            }
            None => {}
        }
        let timespec = Timespec::from(due.saturating_duration_since(clock::read()));
        self.alarm.set(Some(due));
        self.push(opcode::Timeout::new(&raw const timespec).build().user_data(Kind::Alarm.tag(0)));
        // The kernel copies the timespec as it takes the entry, so it takes it now.
        let _ = self.submit();
    }

    fn set_eventfd(&self, on: bool) {
        // SAFETY: this thread alone uses the queue, and no other handle to it is alive.
        let completions = unsafe { self.ring.completion_shared() };
        if on { completions.enable_eventfd() } else { completions.disable_eventfd() }
    }
}

/// Lets the executor look at its own rings, by waiting for what is there already: only they tell of it.
async fn executor_turn<'f>(eventfd: &'f BufferedFile, read: &mut Option<EventRead<'f>>) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the descriptor is open for as long as `eventfd` is, and the kernel only reads the eight bytes.
    let written = unsafe { libc::write(eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    // It fails only where the count is at its largest, and then the read ends as well.
    debug_assert!(written == 8, "{}", io::Error::last_os_error());
    poll_fn(|cx| poll_read(eventfd, read, cx)).await;
}

/// Ready when the eventfd was signalled. The read is kept over sleeps that a push ended: an operation of the executor's
/// is never dropped half done.
fn poll_read<'f>(eventfd: &'f BufferedFile, read: &mut Option<EventRead<'f>>, cx: &mut Context) -> Poll<()> {
    let pending = read.get_or_insert_with(|| Box::pin(eventfd.read_at(0, 8)));
    let ready = pending.as_mut().poll(cx).map(drop);
    if ready.is_ready() {
        *read = None;
    }
    ready
}

type EventRead<'f> =
    Pin<Box<dyn Future<Output = Result<glommio::io::ReadResult, glommio::GlommioError<()>>> + 'f>>;

impl Drop for Net {
    fn drop(&mut self) {
        // All `Socket`s hold the net, so only orphans are left. What the kernel may still touch is leaked.
        if self.sockets.borrow().iter().any(|state| state.is_busy()) {
            mem::forget(self.sockets.take());
            mem::forget(self.buffers.clone());
        }
    }
}
