//! A TLS connection over a socket of the ring: what [`crate::stream::Stream`] is when it is not in clear.
//!
//! Input: a connected socket and a configuration of rustls. Output: clear chunks, and clear bytes sent enciphered. What is
//! posted is enciphered at once and whole, so that a send in flight depends on nobody who waits. Bytes that only the
//! protocol wants to send (alerts, answers) are owed: they go with the next send, or as soon as none is in flight.
//!
//! Invariant: no borrow of a cell is held while a waker is woken or a future waits. Errors: an end without a close_notify
//! is one (the stream may have been cut, RFC 8446 6.1), unless our side has ended before: many (nginx) answer that by
//! closing the connection and nothing else. So is whatever rustls refuses.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, CommonState, HandshakeKind, ProtocolVersion, ServerConfig};

use super::session::Session;
use crate::account::Handshake;
use crate::net::{Chunk, Net, Outgoing, Socket};

/// A connected TLS stream, owned by one task.
pub struct TlsStream {
    socket: Socket,
    net: Rc<Net>,
    session: RefCell<Session>,
    /// Received and deciphered.
    clear: RefCell<VecDeque<Chunk>>,
    /// Bytes of the protocol's own that are still to be sent.
    owed: RefCell<Vec<u8>>,
    end: Cell<Option<End>>,
    /// What was posted last, in clear, for [`Self::take_sent`]; kept on the client's side alone.
    posted: RefCell<Option<Outgoing>>,
    keeps_posted: bool,
    /// The send behind `posted` has been followed by another.
    posted_is_sent: Cell<bool>,
    /// Our side has ended.
    shut: Cell<bool>,
    /// The peer shall not take the stream for whole.
    cut: Cell<bool>,
}

/// How receiving ended.
#[derive(Debug, Clone, Copy)]
enum End {
    /// With a close_notify.
    Closed,
    /// Without.
    Truncated,
    /// By an error of the protocol.
    Failed,
}

/// Why there was no handshake.
#[derive(Debug)]
pub enum HandshakeError {
    /// The peer was refused, or does not speak the protocol.
    Tls(rustls::Error),
    /// The connection failed.
    Io(io::Error),
    /// The peer ended the connection.
    Gone,
}

impl HandshakeError {
    /// What is counted of it.
    pub fn result(&self) -> Handshake {
        match self {
            Self::Tls(_) => Handshake::Refused,
            Self::Io(error) if error.kind() == io::ErrorKind::TimedOut => Handshake::Timeout,
            Self::Io(_) | Self::Gone => Handshake::Gone,
        }
    }
}

impl TlsStream {
    /// The server's side, before its handshake.
    ///
    /// # Errors
    /// The configuration is unusable.
    pub fn server(net: &Rc<Net>, socket: Socket, config: Arc<ServerConfig>) -> Result<Self, HandshakeError> {
        let session = Session::server(config).map_err(HandshakeError::Tls)?;
        Ok(Self::new(net, socket, session, false))
    }

    /// The client's side of a handshake with the server of this name.
    ///
    /// # Errors
    /// There was none; an alert has been sent where one is due.
    pub async fn connect(
        net: &Rc<Net>,
        socket: Socket,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, HandshakeError> {
        let session = Session::client(config, name).map_err(HandshakeError::Tls)?;
        let stream = Self::new(net, socket, session, true);
        let started = stream.session.borrow_mut().start(&mut stream.owed.borrow_mut());
        started.map_err(HandshakeError::Tls)?;
        let done = stream.handshake(None).await;
        if done.is_err() {
            // The alert, for whoever looks into the server's log.
            let _ = stream.flush().await;
        }
        done.map(|()| stream)
    }

    fn new(net: &Rc<Net>, socket: Socket, session: Session, keeps_posted: bool) -> Self {
        Self {
            socket,
            net: net.clone(),
            session: RefCell::new(session),
            clear: RefCell::default(),
            owed: RefCell::default(),
            end: Cell::new(None),
            posted: RefCell::default(),
            keeps_posted,
            posted_is_sent: Cell::new(false),
            shut: Cell::new(false),
            cut: Cell::new(false),
        }
    }

    /// Shakes hands. `first`: what the peer has sent already.
    ///
    /// # Errors
    /// It came to nothing; an alert is on its way where one is due, for as long as the stream is kept.
    pub async fn handshake(&self, first: Option<Chunk>) -> Result<(), HandshakeError> {
        if let Some(chunk) = first {
            self.take(chunk)?;
        }
        loop {
            self.pay();
            if !self.session.borrow().is_handshaking() {
                return Ok(());
            }
            match self.socket.receive().await.map_err(HandshakeError::Io)? {
                Some(chunk) => self.take(chunk)?,
                None => return Err(HandshakeError::Gone),
            }
            // What a peer that reads nothing makes us answer stays bounded.
            self.flush().await.map_err(HandshakeError::Io)?;
        }
    }

    /// [`crate::stream::Stream::poll_receive`].
    pub fn poll_receive(&self, cx: &Context) -> Poll<io::Result<Option<Chunk>>> {
        loop {
            if let Some(chunk) = self.clear.borrow_mut().pop_front() {
                return Poll::Ready(Ok(Some(chunk)));
            }
            match self.end.get() {
                Some(End::Closed) => return Poll::Ready(Ok(None)),
                Some(End::Truncated) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Some(End::Failed) => {
                    let why = self.failure().unwrap_or(rustls::Error::DecryptError);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                None => {}
            }
            match ready!(self.socket.poll_receive(cx))? {
                Some(chunk) => drop(self.take(chunk)),
                None if self.shut.get() => self.end.set(Some(End::Closed)),
                None => self.end.set(Some(End::Truncated)),
            }
        }
    }

    /// [`crate::stream::Stream::try_receive`].
    pub fn try_receive(&self) -> Option<Chunk> {
        loop {
            if let Some(chunk) = self.clear.borrow_mut().pop_front() {
                return Some(chunk);
            }
            drop(self.take(self.socket.try_receive()?));
        }
    }

    /// [`crate::stream::Stream::is_fresh`]. What the protocol itself sends meanwhile (tickets) does not count.
    pub fn is_fresh(&self) -> bool {
        while self.end.get().is_none()
            && let Some(chunk) = self.socket.try_receive()
        {
            drop(self.take(chunk));
        }
        self.end.get().is_none()
            && self.clear.borrow().is_empty()
            && !self.session.borrow().is_midway()
            && self.socket.is_fresh()
    }

    /// [`crate::stream::Stream::has_failed`].
    pub fn has_failed(&self) -> bool {
        self.socket.has_failed() || matches!(self.end.get(), Some(End::Failed))
    }

    /// Takes received bytes. An error is kept for whoever receives next.
    fn take(&self, chunk: Chunk) -> Result<(), HandshakeError> {
        if self.end.get().is_some() {
            return Ok(());
        }
        let result = {
            let mut session = self.session.borrow_mut();
            let result = session.receive(chunk, &mut self.clear.borrow_mut(), &mut self.owed.borrow_mut());
            match &result {
                Err(_) => self.end.set(Some(End::Failed)),
                Ok(()) if session.peer_closed() => self.end.set(Some(End::Closed)),
                Ok(()) => {}
            }
            result
        };
        self.pay();
        result.map_err(HandshakeError::Tls)
    }

    /// Sends what is owed, if nothing is in flight; otherwise the next [`Self::poll_flush`] does.
    fn pay(&self) {
        if self.owed.borrow().is_empty() {
            return;
        }
        let mut out = self.net.outgoing();
        out.bytes().append(&mut self.owed.borrow_mut());
        match self.socket.try_post(out) {
            Ok(()) => self.posted_is_sent.set(true),
            Err(mut out) => {
                self.owed.borrow_mut().append(out.bytes());
                self.net.recycle(out);
            }
        }
    }

    /// [`crate::stream::Stream::post`].
    ///
    /// # Errors
    /// That of the send before, or nothing can be sent any more.
    pub async fn post(&self, outgoing: Outgoing) -> io::Result<()> {
        self.flush().await?;
        let mut out = self.net.outgoing();
        let mut scratch = self.net.outgoing();
        out.bytes().append(&mut self.owed.borrow_mut());
        let enciphered = self.session.borrow_mut().encipher(outgoing.pieces(), scratch.bytes(), out.bytes());
        self.net.recycle(scratch);
        if let Err(error) = enciphered {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, error));
        }
        if self.keeps_posted {
            self.posted_is_sent.set(false);
            if let Some(old) = self.posted.replace(Some(outgoing)) {
                self.net.recycle(old);
            }
        } else {
            self.net.recycle(outgoing);
        }
        self.socket.post(out).await
    }

    async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// [`crate::stream::Stream::poll_flush`].
    pub fn poll_flush(&self, cx: &Context) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_flush(cx))?;
            if self.owed.borrow().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.pay();
        }
    }

    /// [`crate::stream::Stream::take_sent`]: in clear, since it is another connection that it will be sent on.
    pub fn take_sent(&self) -> Option<Outgoing> {
        let enciphered = self.socket.take_sent()?;
        let touched = enciphered.sent() > 0 || self.posted_is_sent.get();
        self.net.recycle(enciphered);
        let mut clear = self.posted.take()?;
        if touched {
            clear.mark_sent();
        }
        Some(clear)
    }

    /// [`crate::stream::Stream::shut_down`]: a close_notify, then the end of our side of the socket.
    pub fn shut_down(&self) {
        self.shut.set(true);
        self.close();
        self.socket.shut_down();
    }

    fn close(&self) {
        self.session.borrow_mut().close(&mut self.owed.borrow_mut());
        self.pay();
    }

    /// [`crate::stream::Stream::reset_on_close`].
    pub fn reset_on_close(&self) {
        self.cut.set(true);
        self.socket.reset_on_close();
    }

    /// What ended it, if that was an error of the protocol: an alert of the peer, or what it did wrong.
    pub fn failure(&self) -> Option<rustls::Error> {
        self.session.borrow().failure().cloned()
    }

    /// What was negotiated.
    pub fn negotiated<T>(&self, ask: impl FnOnce(&CommonState) -> T) -> T {
        ask(self.session.borrow().common())
    }

    /// What is counted of a handshake that is done.
    pub fn handshake_result(&self) -> Handshake {
        self.negotiated(|common| {
            let resumed = common.handshake_kind() == Some(HandshakeKind::Resumed);
            match (common.protocol_version(), resumed) {
                (Some(ProtocolVersion::TLSv1_3), false) => Handshake::Full13,
                (Some(ProtocolVersion::TLSv1_3), true) => Handshake::Resumed13,
                (_, false) => Handshake::Full12,
                (_, true) => Handshake::Resumed12,
            }
        })
    }

    /// What carries it.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for TlsStream {
    /// Says goodbye. What is in flight then is cut short, so this is last a try.
    fn drop(&mut self) {
        if !self.cut.get() {
            self.close();
        }
        if let Some(outgoing) = self.posted.take() {
            self.net.recycle(outgoing);
        }
    }
}

impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Tls(error) => Self::new(io::ErrorKind::InvalidData, error),
            HandshakeError::Io(error) => error,
            HandshakeError::Gone => io::ErrorKind::UnexpectedEof.into(),
        }
    }
}

impl std::fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Gone => f.write_str("the peer ended the connection"),
        }
    }
}

impl std::error::Error for HandshakeError {}

#[cfg(test)]
mod tests;
