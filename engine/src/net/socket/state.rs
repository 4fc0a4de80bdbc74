//! What the ring knows of a socket: the operations that it has in the kernel, and what their completions do.
//!
//! Input: what a [`super::Socket`] asks for, and completions. Output: entries for the ring, wakeups. What the kernel was handed
//! is kept here until its completion; the descriptor is closed after the last one. Limits: see [`crate::net::limits`].

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;
use std::task::{Context, Poll, Waker};

use io_uring::{cqueue, opcode, squeue, types};
use socket2::SockAddr;

use crate::net::buffers::{self, Chunk};
use crate::net::limits::{BUFFER_BYTES, BULK_STREAK, CHUNKS_QUEUED_MAX, CHUNKS_QUEUED_SCARCE_MAX};
use crate::net::outgoing::{Outgoing, Pointers};
use crate::net::ring::Net;
use crate::net::table::Kind;
use crate::net::waker::{park, wake};

/// What the ring knows of a socket; it stays in the ring's table until nothing is in flight.
pub(in crate::net) struct State {
    pub(in crate::net) fd: RawFd,
    pub(in crate::net) index: u32,
    /// Operations in the kernel that name this socket.
    pub(super) in_flight: Cell<u8>,
    /// The [`Socket`] is gone.
    pub(super) orphan: Cell<bool>,
    /// Dropped when the descriptor is closed.
    pub(super) held: RefCell<Option<Box<dyn Any>>>,
    pub(super) receive: Receive,
    pub(super) send: Send,
}

#[derive(Default)]
pub(super) struct Receive {
    pub(super) queue: RefCell<VecDeque<Chunk>>,
    pub(super) armed: Cell<bool>,
    /// Waits for buffers in the ring's list of starved sockets.
    pub(super) starved: Cell<bool>,
    /// A cancel was asked for, because the queue is full or the stream is to get large buffers.
    pub(super) pausing: Cell<bool>,
    /// The stream fills its buffers: the next receive is into large ones.
    pub(super) bulk: Cell<bool>,
    /// The receive that is armed is into large ones.
    pub(super) large: Cell<bool>,
    /// Receives in a row that speak against what `bulk` says.
    pub(super) streak: Cell<u8>,
    pub(super) end: Cell<Option<End>>,
    pub(super) waker: RefCell<Option<Waker>>,
}

#[derive(Default)]
pub(super) struct Send {
    /// What the kernel has, or what came back from it.
    pub(super) outgoing: RefCell<Option<Outgoing>>,
    pub(super) in_flight: Cell<bool>,
    /// Our side of the stream ends when it is sent.
    pub(super) is_last: Cell<bool>,
    pub(super) error: Cell<Option<i32>>,
    /// The address that a connect in flight points at.
    pub(super) address: RefCell<Option<Box<SockAddr>>>,
    pub(super) waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy)]
pub(super) enum End {
    Eof,
    Error(i32),
}

impl State {
    /// Of a descriptor that was just opened.
    pub(super) fn new(fd: RawFd, index: u32) -> Self {
        Self {
            fd,
            index,
            in_flight: Cell::new(0),
            orphan: Cell::new(false),
            held: RefCell::default(),
            receive: Receive::default(),
            send: Send::default(),
        }
    }

    fn push(&self, net: &Net, entry: io_uring::squeue::Entry, kind: Kind) {
        self.in_flight.set(self.in_flight.get() + 1);
        net.push(entry.user_data(kind.tag(self.index)));
    }

    pub(super) fn arm(&self, net: &Net) {
        let receive = &self.receive;
        if receive.armed.get() || receive.starved.get() || receive.end.get().is_some() {
            return;
        }
        receive.armed.set(true);
        receive.large.set(receive.bulk.get());
        let (fd, large) = (types::Fd(self.fd), &buffers::LARGE);
        let entry = if receive.large.get() {
            let receive = opcode::Recv::new(fd, ptr::null_mut(), large.bytes as u32).buf_group(large.group);
            receive.build().flags(squeue::Flags::BUFFER_SELECT)
        } else {
            opcode::RecvMulti::new(fd, buffers::SMALL.group).build()
        };
        self.push(net, entry, Kind::Receive);
    }

    /// Not through the ring: the kernel would hand it to a worker thread, at a quarter of what a short connection costs
    /// in all. The call itself does not wait.
    pub(super) fn shut_down(&self) {
        // SAFETY: the descriptor is open for as long as this state is in the ring's table.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        // It fails where the connection has failed, which is told elsewhere.
        let _ = socket2::SockRef::from(&fd).shutdown(Shutdown::Write);
    }

    pub(super) fn push_send(&self, net: &Net) {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let fd = types::Fd(self.fd);
        let mut slot = self.send.outgoing.borrow_mut();
        let Some(outgoing) = slot.as_mut() else { return };
        let entry = match outgoing.pointers() {
            Pointers::Bytes(start, len) => {
                opcode::Send::new(fd, start, u32::try_from(len).unwrap_or(u32::MAX)).flags(flags).build()
            }
            Pointers::Message(message) => opcode::SendMsg::new(fd, message).flags(flags as u32).build(),
        };
        self.send.in_flight.set(true);
        self.push(net, entry, Kind::Send);
    }

    pub(super) fn start_connect(&self, net: &Net, address: SocketAddr) {
        let address = Box::new(SockAddr::from(address));
        let entry = opcode::Connect::new(types::Fd(self.fd), address.as_ptr().cast(), address.len()).build();
        *self.send.address.borrow_mut() = Some(address);
        self.send.in_flight.set(true);
        self.push(net, entry, Kind::Connect);
    }

    /// A receive's completion. Returns whether it must wait for buffers.
    pub(in crate::net) fn on_receive(&self, net: &Net, result: i32, flags: u32) -> bool {
        let receive = &self.receive;
        let last = !cqueue::more(flags);
        if last {
            self.completed();
            receive.armed.set(false);
            receive.pausing.set(false);
        }
        let lender = if receive.large.get() { &net.large_buffers } else { &net.buffers };
        let chunk = cqueue::buffer_select(flags).map(|id| lender.lend(id, result.max(0) as usize));
        if self.orphan.get() {
            drop(chunk);
            self.close_if_done(net);
            return false;
        }
        match result {
            0 => receive.end.set(Some(End::Eof)),
            1.. => {
                let mut queue = receive.queue.borrow_mut();
                queue.extend(chunk);
                let max = if net.buffers.scarce() { CHUNKS_QUEUED_SCARCE_MAX } else { CHUNKS_QUEUED_MAX };
                let pause = queue.len() >= max || receive.outgrows_its_buffers(result as usize);
                if pause && receive.armed.get() && !receive.pausing.replace(true) {
                    net.cancel(Kind::Receive, self.index);
                }
            }
            // Where there is no large buffer, small ones will do.
            errno if errno == -libc::ENOBUFS && receive.large.get() => {
                receive.bulk.set(net.large_buffers.grow());
                self.arm(net);
            }
            errno if errno == -libc::ENOBUFS => {
                receive.starved.set(true);
                return true;
            }
            // Paused, or cut short by the kernel: whoever waits arms it again.
            errno if errno == -libc::ECANCELED => {}
            errno => receive.end.set(Some(End::Error(-errno))),
        }
        wake(&receive.waker);
        false
    }

    /// Buffers came back: receiving goes on.
    pub(in crate::net) fn on_buffers(&self, net: &Net) {
        self.receive.starved.set(false);
        self.arm(net);
    }

    /// A send's completion.
    pub(in crate::net) fn on_send(&self, net: &Net, result: i32) {
        self.completed();
        self.send.in_flight.set(false);
        if self.orphan.get() {
            self.close_if_done(net);
            return;
        }
        if result < 0 {
            self.send.error.set(Some(-result));
            // Whoever waits for bytes only has to hear of it too.
            wake(&self.receive.waker);
        } else {
            let mut slot = self.send.outgoing.borrow_mut();
            if let Some(outgoing) = slot.as_mut()
                && !outgoing.advance(result as usize)
            {
                drop(slot);
                self.push_send(net);
                return;
            }
            if self.send.is_last.take() {
                self.shut_down();
            }
        }
        wake(&self.send.waker);
    }

    /// A connect's completion.
    pub(in crate::net) fn on_connect(&self, net: &Net, result: i32) {
        self.completed();
        self.send.in_flight.set(false);
        self.send.address.borrow_mut().take();
        if self.orphan.get() {
            self.close_if_done(net);
            return;
        }
        if result < 0 {
            self.send.error.set(Some(-result));
        }
        wake(&self.send.waker);
    }

    fn completed(&self) {
        debug_assert!(self.in_flight.get() > 0);
        self.in_flight.set(self.in_flight.get() - 1);
    }

    /// Closes an orphan once nothing is in flight.
    pub(super) fn close_if_done(&self, net: &Net) {
        if self.in_flight.get() > 0 {
            return;
        }
        if let Some(outgoing) = self.send.outgoing.borrow_mut().take() {
            net.recycle(outgoing);
        }
        net.close(self.fd, self.index);
    }

    /// Fails whatever is waited for, and all that comes after.
    pub(in crate::net) fn fail(&self, errno: i32) {
        self.receive.end.set(Some(End::Error(errno)));
        self.send.error.set(Some(errno));
        wake(&self.receive.waker);
        wake(&self.send.waker);
    }

    /// Lets the task that waits to receive look again.
    pub(in crate::net) fn wake_receiver(&self) {
        wake(&self.receive.waker);
    }

    /// Whether the kernel still has operations of it.
    pub(in crate::net) fn is_busy(&self) -> bool {
        self.in_flight.get() > 0
    }
}

impl Receive {
    /// Notes how much came into one buffer. Whether the stream is to get large ones from now on.
    fn outgrows_its_buffers(&self, bytes: usize) -> bool {
        let against = if self.large.get() { bytes <= BUFFER_BYTES } else { bytes == BUFFER_BYTES };
        let streak = if against { self.streak.get() + 1 } else { 0 };
        let changes = streak >= BULK_STREAK;
        self.streak.set(if changes { 0 } else { streak });
        if changes {
            self.bulk.set(!self.large.get());
        }
        changes && !self.large.get()
    }
}

impl Send {
    /// Ready when nothing is in flight.
    pub(super) fn poll_idle(&self, cx: &Context) -> Poll<io::Result<()>> {
        if let Some(errno) = self.error.get() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        if !self.in_flight.get() {
            return Poll::Ready(Ok(()));
        }
        park(&self.waker, cx);
        Poll::Pending
    }
}
