//! Bytes of an HTTP/2 connection, between the network ring and the `h2` crate, on either side of the gateway.
//!
//! Input: a stream. Output: [`H2Io`], which implements tokio's `AsyncRead` and `AsyncWrite` (the traits alone: no runtime
//! is there), and [`Wire`], by which the connection's task sees to the same bytes. Reading copies out of received chunks.
//! Writing gathers all frames of a turn into one send; the task starts it at the turn's end with [`Wire::pump`], so that
//! neither a write nor a flush of `h2`'s costs a send of its own.
//!
//! Invariants: at most [`GATHERED_BYTES_MAX`] are gathered beside one send in flight; a write waits when there is no
//! room. Only the task that drives the connection reads and writes, so one waker for each direction is enough.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::h2::guard::Guard;
use crate::net::{Chunk, Net, Outgoing};
use crate::stream::Stream;

/// Bytes gathered for the next send. As much as a send buffer may have to be kept for reuse.
const GATHERED_BYTES_MAX: usize = 32 << 10;

/// What `h2` reads and writes.
pub struct H2Io(Rc<Wire>);

/// The connection's bytes.
pub struct Wire {
    net: Rc<Net>,
    stream: Stream,
    state: RefCell<State>,
}

struct State {
    /// Received and unread.
    unread: Option<Chunk>,
    /// Gathered for the next send.
    gathered: Outgoing,
    /// Looks at what is received, where the peer is not trusted.
    guard: Option<Box<Guard>>,
}

impl Wire {
    /// Takes a stream over, with what has been received of it and not been read. `guard`: looks at all that is received.
    pub fn new(net: &Rc<Net>, stream: Stream, unread: Option<Chunk>, guard: Option<Box<Guard>>) -> Rc<Self> {
        let state = RefCell::new(State { unread, gathered: net.outgoing(), guard });
        Rc::new(Self { net: net.clone(), stream, state })
    }

    /// The end of it that goes to `h2`.
    pub fn io(self: &Rc<Self>) -> H2Io {
        H2Io(self.clone())
    }

    /// What carries it.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Starts to send what was gathered, or has the task woken when that can be.
    ///
    /// # Errors
    /// The stream's.
    pub fn pump(&self, cx: &mut Context) -> io::Result<()> {
        let nothing = self.state.borrow().gathered.is_empty();
        match if nothing { Poll::Pending } else { self.poll_post(cx) } {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    /// Shows the guard, if there is one.
    pub fn with_guard<T>(&self, look: impl FnOnce(&mut Guard) -> T) -> Option<T> {
        self.state.borrow_mut().guard.as_deref_mut().map(look)
    }

    /// Ready when all that was gathered has been taken for sending.
    fn poll_post(&self, cx: &mut Context) -> Poll<io::Result<()>> {
        ready!(self.stream.poll_flush(cx))?;
        if self.state.borrow().gathered.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let gathered = {
            let State { gathered, guard, .. } = &mut *self.state.borrow_mut();
            if let Some(guard) = guard {
                guard.sent(gathered.bytes());
            }
            std::mem::replace(gathered, self.net.outgoing())
        };
        // Nothing is in flight, so this does not wait.
        pin!(self.stream.post(gathered)).poll(cx)
    }

    /// Room for more to be gathered.
    fn poll_room(&self, cx: &mut Context) -> Poll<io::Result<usize>> {
        let room = |wire: &Self| GATHERED_BYTES_MAX.saturating_sub(wire.state.borrow().gathered.len());
        if room(self) == 0 {
            ready!(self.poll_post(cx))?;
        }
        Poll::Ready(Ok(room(self)))
    }

    fn poll_read(&self, cx: &mut Context, buf: &mut ReadBuf) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        let State { unread, guard, .. } = &mut *state;
        // What a peer sends that has done too much is not read: its connection is about to end.
        if guard.as_deref().is_some_and(|guard| guard.abuse().is_some()) {
            return Poll::Pending;
        }
        while unread.as_deref().is_none_or(<[u8]>::is_empty) {
            match ready!(self.stream.poll_receive(cx))? {
                Some(chunk) => *unread = Some(chunk),
                None => return Poll::Ready(Ok(())),
            }
        }
        let Some(chunk) = unread else { return Poll::Pending };
        let taken = chunk.len().min(buf.remaining());
        let bytes = &chunk[..taken];
        if let Some(guard) = guard {
            guard.received(self.net.now(), bytes);
        }
        buf.put_slice(bytes);
        chunk.advance(taken);
        if chunk.is_empty() {
            *unread = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&self, cx: &mut Context, slices: &[IoSlice]) -> Poll<io::Result<usize>> {
        let mut room = ready!(self.poll_room(cx))?;
        let mut state = self.state.borrow_mut();
        let out = state.gathered.bytes();
        let before = out.len();
        for slice in slices {
            let taken = room.min(slice.len());
            out.extend_from_slice(&slice[..taken]);
            room -= taken;
        }
        Poll::Ready(Ok(out.len() - before))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.net.recycle(std::mem::take(&mut self.state.borrow_mut().gathered));
    }
}

impl AsyncRead for H2Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context, buf: &mut ReadBuf) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}

impl AsyncWrite for H2Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context,
        slices: &[IoSlice],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was gathered is sent by [`Wire::pump`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Waits until all is sent. The stream's end is for its owner to make.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        ready!(self.0.poll_post(cx))?;
        self.0.stream.poll_flush(cx)
    }
}
