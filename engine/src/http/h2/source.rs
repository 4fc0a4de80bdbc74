//! A request's body on an HTTP/2 stream.
//!
//! The window that its bytes took is given back once the relay has taken them, so the client can have no more under way
//! than windows allow, however slow the node is. That the content is as long as Content-Length says, `h2` has checked.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};

use super::reply::Reply;
use crate::http::body::{BodyError, TRAILER_BYTES_MAX, is_forbidden_in_trailers};
use crate::net::Chunk;
use crate::relay::{Piece, ReadError, Source};

/// A body to read from a stream.
pub struct Body<'a> {
    stream: RecvStream,
    reply: &'a Reply,
    /// Waited for and not yet taken.
    next: Option<Result<Event, ReadError>>,
    /// Bytes that the relay has and whose window it owes.
    owed: usize,
    trailers: Vec<u8>,
    ended: bool,
    /// Content bytes that may still come.
    left_max: u64,
    /// Content bytes read.
    bytes: u64,
}

enum Event {
    Data(Bytes),
    End,
}

impl<'a> Body<'a> {
    /// A body of at most `bytes_max` bytes of the stream that `reply` answers.
    pub fn new(stream: RecvStream, reply: &'a Reply, bytes_max: u64) -> Self {
        let ended = stream.is_end_stream();
        let trailers = Vec::new();
        Self { stream, reply, next: None, owed: 0, trailers, ended, left_max: bytes_max, bytes: 0 }
    }

    /// Sets how many bytes it may have.
    pub fn limit(&mut self, bytes_max: u64) {
        self.left_max = bytes_max;
    }

    /// Content bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back the window of what the relay has taken.
    fn release(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            // It fails for a stream that is gone, which nobody fills any more.
            let _ = self.stream.flow_control().release_capacity(owed);
        }
    }

    fn poll_next(&mut self, cx: &mut Context) -> Poll<Result<Event, ReadError>> {
        if self.ended {
            return Poll::Ready(Ok(Event::End));
        }
        loop {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => return Poll::Ready(Ok(Event::Data(bytes))),
                Some(Err(error)) => return Poll::Ready(Err(self.failed(&error))),
                None => break,
            }
        }
        let trailers = match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => trailers,
            Err(error) => return Poll::Ready(Err(self.failed(&error))),
        };
        self.ended = true;
        Poll::Ready(
            match trailers.iter().flatten().try_for_each(|(name, value)| {
                if !is_forbidden_in_trailers(name.as_str()) {
                    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                        self.trailers.extend_from_slice(part);
                    }
                }
                let fits = self.trailers.len() <= usize::from(TRAILER_BYTES_MAX);
                fits.then_some(()).ok_or(ReadError::Body(BodyError::TrailersTooLarge))
            }) {
                Ok(()) => Ok(Event::End),
                Err(error) => Err(error),
            },
        )
    }

    /// `h2` itself resets a stream whose content is not as long as was said.
    fn failed(&self, error: &h2::Error) -> ReadError {
        if error.is_library() && error.is_reset() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
            return ReadError::Body(BodyError::Malformed(
                "content that is not as long as Content-Length says",
            ));
        }
        self.reply.set_gone();
        ReadError::Gone
    }
}

impl Source for Body<'_> {
    fn try_next(&mut self) -> Result<Piece, ReadError> {
        self.release();
        let next = match self.next.take() {
            Some(next) => next,
            None => match self.poll_next(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(next) => next,
                Poll::Pending => return Ok(Piece::Wait),
            },
        };
        match next? {
            Event::Data(bytes) => {
                let len = bytes.len();
                self.owed += len;
                self.bytes += len as u64;
                self.left_max = self.left_max.checked_sub(len as u64).ok_or(ReadError::TooLarge)?;
                Ok(Piece::Data(Chunk::from(bytes)))
            }
            Event::End => Ok(Piece::End),
        }
    }

    async fn ready(&mut self) -> Result<(), ReadError> {
        self.release();
        if self.next.is_none() {
            self.next = Some(poll_fn(|cx| self.poll_next(cx)).await);
        }
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.reply.is_gone()
    }

    fn begin_tunnel(&mut self) {
        self.left_max = u64::MAX;
    }

    fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}
