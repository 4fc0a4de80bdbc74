//! A connected stream socket on the ring: receive, send, shut down, close; and connecting one.
//!
//! Receiving is a multishot receive into the shard's small buffers, armed when bytes are first wanted and re-armed when
//! the queue has been emptied. A stream that fills them gets large ones, one at a time: fewer and larger copies, out of
//! memory that is still in the cache. A send in flight belongs to the socket's state, not to the future that waits for it, so that
//! future may be dropped at any time. Dropping the [`Socket`] cancels what is in flight; the file descriptor is closed
//! after the last completion.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::{cqueue, opcode, squeue, types};
use socket2::{Domain, Protocol, SockAddr, Type};

use super::buffers::{self, Chunk};
use super::limits::{BUFFER_BYTES, BULK_STREAK, CHUNKS_QUEUED_MAX, CHUNKS_QUEUED_SCARCE_MAX};
use super::outgoing::{Outgoing, Pointers};
use super::ring::{Kind, Net};

/// A connected stream socket, owned by one task.
pub struct Socket {
    net: Rc<Net>,
    state: Rc<State>,
}

/// What the ring knows of a socket; it stays in the ring's table until nothing is in flight.
pub(super) struct State {
    pub(super) fd: RawFd,
    pub(super) index: u32,
    /// Operations in the kernel that name this socket.
    in_flight: Cell<u8>,
    /// The [`Socket`] is gone.
    orphan: Cell<bool>,
    /// Dropped when the descriptor is closed.
    held: RefCell<Option<Box<dyn Any>>>,
    receive: Receive,
    send: Send,
}

#[derive(Default)]
struct Receive {
    queue: RefCell<VecDeque<Chunk>>,
    armed: Cell<bool>,
    /// Waits for buffers in the ring's list of starved sockets.
    starved: Cell<bool>,
    /// A cancel was asked for, because the queue is full or the stream is to get large buffers.
    pausing: Cell<bool>,
    /// The stream fills its buffers: the next receive is into large ones.
    bulk: Cell<bool>,
    /// The receive that is armed is into large ones.
    large: Cell<bool>,
    /// Receives in a row that speak against what `bulk` says.
    streak: Cell<u8>,
    end: Cell<Option<End>>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Default)]
struct Send {
    /// What the kernel has, or what came back from it.
    outgoing: RefCell<Option<Outgoing>>,
    in_flight: Cell<bool>,
    /// Our side of the stream ends when it is sent.
    is_last: Cell<bool>,
    error: Cell<Option<i32>>,
    /// The address that a connect in flight points at.
    address: RefCell<Option<Box<SockAddr>>>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy)]
enum End {
    Eof,
    Error(i32),
}

impl Socket {
    /// Puts a connected, blocking-mode socket on the ring.
    pub fn adopt(net: &Rc<Net>, fd: OwnedFd) -> Self {
        let fd = fd.into_raw_fd();
        let state = net.sockets.borrow_mut().insert_with(|index| {
            Rc::new(State {
                fd,
                index,
                in_flight: Cell::new(0),
                orphan: Cell::new(false),
                held: RefCell::default(),
                receive: Receive::default(),
                send: Send::default(),
            })
        });
        Self { net: net.clone(), state }
    }

    /// Connects to an address, without Nagle's delay.
    ///
    /// # Errors
    /// What `socket(2)` or `connect(2)` say.
    pub async fn connect(net: &Rc<Net>, address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        let this = Self::adopt(net, socket.into());
        this.state.start_connect(net, address);
        poll_fn(|cx| this.state.send.poll_idle(cx)).await?;
        Ok(this)
    }

    /// The next bytes; `None` once the peer has shut down its side.
    ///
    /// # Errors
    /// The connection's error (a reset, usually).
    pub async fn receive(&self) -> io::Result<Option<Chunk>> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// [`Self::receive`] for use in a poll function.
    pub fn poll_receive(&self, cx: &Context) -> Poll<io::Result<Option<Chunk>>> {
        if let Some(chunk) = self.try_receive() {
            return Poll::Ready(Ok(Some(chunk)));
        }
        let receive = &self.state.receive;
        match receive.end.get() {
            Some(End::Eof) => return Poll::Ready(Ok(None)),
            Some(End::Error(errno)) => return Poll::Ready(Err(io::Error::from_raw_os_error(errno))),
            None => {}
        }
        self.arm();
        park(&receive.waker, cx);
        Poll::Pending
    }

    /// Bytes that have already been received, without waiting.
    pub fn try_receive(&self) -> Option<Chunk> {
        let receive = &self.state.receive;
        let chunk = receive.queue.borrow_mut().pop_front()?;
        // The receive into a large buffer is over with it; the next one goes to the kernel with what becomes of this.
        if receive.bulk.get() && receive.queue.borrow().is_empty() {
            self.arm();
        }
        Some(chunk)
    }

    /// Starts receiving before anyone waits, so that an end of the connection is noticed ([`Self::is_fresh`]).
    pub fn arm(&self) {
        self.state.arm(&self.net);
    }

    /// Whether nothing has come in and the connection is, as far as is known, open: it can carry another request.
    pub fn is_fresh(&self) -> bool {
        let State { receive, send, .. } = &*self.state;
        receive.end.get().is_none()
            && receive.queue.borrow().is_empty()
            && !send.in_flight.get()
            && send.error.get().is_none()
    }

    /// Whether the connection has failed (a reset, usually). The task that received last is woken when it does.
    pub fn has_failed(&self) -> bool {
        matches!(self.state.receive.end.get(), Some(End::Error(_)))
    }

    /// Forgets the task that waited last, before the socket goes to another.
    pub fn detach(&self) {
        let State { receive, send, .. } = &*self.state;
        let wakers = (receive.waker.borrow_mut().take(), send.waker.borrow_mut().take());
        drop(wakers);
    }

    /// Whether the peer has ended its side or the connection has failed, and all that came before has been taken.
    pub fn is_ended(&self) -> bool {
        self.state.receive.end.get().is_some() && self.state.receive.queue.borrow().is_empty()
    }

    /// Sends and waits until the kernel has all of it. What was sent comes back, for another try or for reuse.
    pub async fn send(&self, outgoing: Outgoing) -> (io::Result<()>, Option<Outgoing>) {
        if let Err(error) = self.flush().await {
            return (Err(error), Some(outgoing));
        }
        self.start_send(outgoing);
        let result = self.flush().await;
        (result, self.state.send.outgoing.borrow_mut().take())
    }

    /// Starts to send, without waiting: the next [`Self::flush`], [`Self::send`] or `post` waits, and reports an error.
    ///
    /// # Errors
    /// That of the send before.
    pub async fn post(&self, outgoing: Outgoing) -> io::Result<()> {
        self.flush().await?;
        self.start_send(outgoing);
        Ok(())
    }

    /// Waits until the kernel has all that was sent.
    ///
    /// # Errors
    /// What `send(2)` says.
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// [`Self::flush`] for use in a poll function.
    pub fn poll_flush(&self, cx: &Context) -> Poll<io::Result<()>> {
        self.state.send.poll_idle(cx)
    }

    /// What was sent last, to be sent again elsewhere; `None` while the kernel still has it.
    pub fn take_sent(&self) -> Option<Outgoing> {
        let send = &self.state.send;
        if send.in_flight.get() { None } else { send.outgoing.borrow_mut().take() }
    }

    /// [`Self::post`] where waiting is not possible: gives it back while the send before is in flight, or has failed.
    ///
    /// # Errors
    /// What was to be sent.
    pub fn try_post(&self, outgoing: Outgoing) -> Result<(), Outgoing> {
        let send = &self.state.send;
        if send.in_flight.get() || send.error.get().is_some() {
            return Err(outgoing);
        }
        self.start_send(outgoing);
        Ok(())
    }

    fn start_send(&self, outgoing: Outgoing) {
        debug_assert!(!self.state.send.in_flight.get());
        if let Some(old) = self.state.send.outgoing.borrow_mut().replace(outgoing) {
            self.net.recycle(old);
        }
        self.state.push_send(&self.net);
    }

    /// Ends our side of the stream, once what is in flight is sent: the peer sees end of file.
    pub fn shut_down(&self) {
        if self.state.send.in_flight.get() {
            self.state.send.is_last.set(true);
        } else {
            self.state.shut_down();
        }
    }

    /// Makes the close that follows a reset, which tells the peer that the stream is not whole.
    pub fn reset_on_close(&self) {
        // A failure leaves an ordinary close.
        let _ = socket2::SockRef::from(&self.fd()).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Keeps something until the descriptor is closed: a count of open connections, which are open until then.
    pub fn hold(&self, held: Box<dyn Any>) {
        self.state.held.replace(Some(held));
    }

    /// The file descriptor, for socket options.
    pub fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open for as long as the ring's state of it has a `Socket`.
        unsafe { BorrowedFd::borrow_raw(self.state.fd) }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.state.orphan.set(true);
        let State { receive, send, .. } = &*self.state;
        receive.queue.borrow_mut().clear();
        let wakers = (receive.waker.borrow_mut().take(), send.waker.borrow_mut().take());
        if receive.starved.take() {
            self.net.forget_starved(self.state.index);
        }
        if receive.armed.get() && !receive.pausing.get() {
            self.net.cancel(Kind::Receive, self.state.index);
        }
        if send.in_flight.get() {
            let kind = if send.address.borrow().is_some() { Kind::Connect } else { Kind::Send };
            self.net.cancel(kind, self.state.index);
        }
        self.state.close_if_done(&self.net);
        drop(wakers);
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.state.fd
    }
}

impl State {
    fn push(&self, net: &Net, entry: io_uring::squeue::Entry, kind: Kind) {
        self.in_flight.set(self.in_flight.get() + 1);
        net.push(entry.user_data(kind.tag(self.index)));
    }

    fn arm(&self, net: &Net) {
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
    fn shut_down(&self) {
        // SAFETY: the descriptor is open for as long as this state is in the ring's table.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        // It fails where the connection has failed, which is told elsewhere.
        let _ = socket2::SockRef::from(&fd).shutdown(Shutdown::Write);
    }

    fn push_send(&self, net: &Net) {
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

    fn start_connect(&self, net: &Net, address: SocketAddr) {
        let address = Box::new(SockAddr::from(address));
        let entry = opcode::Connect::new(types::Fd(self.fd), address.as_ptr().cast(), address.len()).build();
        *self.send.address.borrow_mut() = Some(address);
        self.send.in_flight.set(true);
        self.push(net, entry, Kind::Connect);
    }

    /// A receive's completion. Returns whether it must wait for buffers.
    pub(super) fn on_receive(&self, net: &Net, result: i32, flags: u32) -> bool {
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
    pub(super) fn on_buffers(&self, net: &Net) {
        self.receive.starved.set(false);
        self.arm(net);
    }

    /// A send's completion.
    pub(super) fn on_send(&self, net: &Net, result: i32) {
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
    pub(super) fn on_connect(&self, net: &Net, result: i32) {
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
    fn close_if_done(&self, net: &Net) {
        if self.in_flight.get() > 0 {
            return;
        }
        if let Some(outgoing) = self.send.outgoing.borrow_mut().take() {
            net.recycle(outgoing);
        }
        net.close(self.fd, self.index);
    }

    /// Fails whatever is waited for, and all that comes after.
    pub(super) fn fail(&self, errno: i32) {
        self.receive.end.set(Some(End::Error(errno)));
        self.send.error.set(Some(errno));
        wake(&self.receive.waker);
        wake(&self.send.waker);
    }

    /// Lets the task that waits to receive look again.
    pub(super) fn wake_receiver(&self) {
        wake(&self.receive.waker);
    }

    /// Whether the kernel still has operations of it.
    pub(super) fn is_busy(&self) -> bool {
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
    fn poll_idle(&self, cx: &Context) -> Poll<io::Result<()>> {
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
