//! Stream: a connection's bytes in clear, whatever carries them.
//!
//! Input: a socket of the network ring. Output: what HTTP and TCP services read and write. What a [`Socket`] promises
//! holds here too: a send in flight belongs to the stream, not to the future that waits for it; receiving is bounded.

use std::any::Any;
use std::io;
use std::task::{Context, Poll};

use crate::net::{Chunk, Outgoing, Socket};
use crate::tls::stream::TlsStream;

/// A connected stream, owned by one task.
pub enum Stream {
    /// In clear.
    Plain(Socket),
    /// Enciphered. An end without a close_notify is an error.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// The next bytes; `None` once the peer has ended its side.
    ///
    /// # Errors
    /// The connection's error (a reset, usually).
    pub async fn receive(&self) -> io::Result<Option<Chunk>> {
        std::future::poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// [`Self::receive`] for use in a poll function.
    pub fn poll_receive(&self, cx: &Context) -> Poll<io::Result<Option<Chunk>>> {
        match self {
            Self::Plain(socket) => socket.poll_receive(cx),
            Self::Tls(stream) => stream.poll_receive(cx),
        }
    }

    /// Bytes that have already been received, without waiting.
    pub fn try_receive(&self) -> Option<Chunk> {
        match self {
            Self::Plain(socket) => socket.try_receive(),
            Self::Tls(stream) => stream.try_receive(),
        }
    }

    /// Whether nothing has come in and the connection is, as far as is known, open: it can carry another request.
    pub fn is_fresh(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_fresh(),
            Self::Tls(stream) => stream.is_fresh(),
        }
    }

    /// Whether the connection has failed (a reset, usually). The task that received last is woken when it does.
    pub fn has_failed(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.has_failed(),
            Self::Tls(stream) => stream.has_failed(),
        }
    }

    /// What ended its TLS, if that was an error of the protocol.
    pub fn tls_failure(&self) -> Option<rustls::Error> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.failure(),
        }
    }

    /// Prepares it for lying idle: its end is noticed ([`Self::is_fresh`]), and the task that waited last is forgotten.
    pub fn rest(&self) {
        let socket = self.socket();
        socket.arm();
        socket.detach();
    }

    /// Starts to send, without waiting: the next [`Self::flush`] or `post` waits, and reports an error.
    ///
    /// # Errors
    /// That of the send before.
    pub async fn post(&self, outgoing: Outgoing) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.post(outgoing).await,
            Self::Tls(stream) => stream.post(outgoing).await,
        }
    }

    /// Waits until the kernel has all that was sent.
    ///
    /// # Errors
    /// What `send(2)` says.
    pub async fn flush(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// [`Self::flush`] for use in a poll function.
    pub fn poll_flush(&self, cx: &Context) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_flush(cx),
            Self::Tls(stream) => stream.poll_flush(cx),
        }
    }

    /// What was posted last, to be sent again elsewhere; `None` while the kernel still has it.
    pub fn take_sent(&self) -> Option<Outgoing> {
        match self {
            Self::Plain(socket) => socket.take_sent(),
            Self::Tls(stream) => stream.take_sent(),
        }
    }

    /// Ends our side of the stream, behind what was posted: the peer sees its end.
    pub fn shut_down(&self) {
        match self {
            Self::Plain(socket) => socket.shut_down(),
            Self::Tls(stream) => stream.shut_down(),
        }
    }

    /// Makes the close that follows a reset, which tells the peer that the stream is not whole.
    pub fn reset_on_close(&self) {
        match self {
            Self::Plain(socket) => socket.reset_on_close(),
            Self::Tls(stream) => stream.reset_on_close(),
        }
    }

    /// Keeps something until the descriptor is closed: a count of open connections, which are open until then.
    pub fn hold(&self, held: Box<dyn Any>) {
        self.socket().hold(held);
    }

    /// Whether its peers have agreed on that protocol by ALPN.
    pub fn has_agreed_on(&self, protocol: &[u8]) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.negotiated(|common| common.alpn_protocol() == Some(protocol)),
        }
    }

    /// What carries it.
    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }
}
