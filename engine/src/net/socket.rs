//! A connected stream socket on the ring: receive, send, shut down, close; and connecting one.
//!
//! Receiving is a multishot receive into the shard's small buffers, armed when bytes are first wanted and re-armed when
//! the queue has been emptied. A stream that fills them gets large ones, one at a time: fewer and larger copies, out of
//! memory that is still in the cache. A send in flight belongs to the socket's state, not to the future that waits for it, so that
//! future may be dropped at any time. Dropping the [`Socket`] cancels what is in flight; the file descriptor is closed
//! after the last completion.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Type};

use super::buffers::Chunk;
use super::outgoing::Outgoing;
use super::ring::Net;
use super::table::Kind;
use super::waker::park;
use state::End;
pub(super) use state::State;

mod state;

/// A connected stream socket, owned by one task.
pub struct Socket {
    net: Rc<Net>,
    state: Rc<State>,
}

impl Socket {
    /// Puts a connected, blocking-mode socket on the ring.
    pub fn adopt(net: &Rc<Net>, fd: OwnedFd) -> Self {
        let fd = fd.into_raw_fd();
        let state = net.sockets.borrow_mut().insert_with(|index| Rc::new(State::new(fd, index)));
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
