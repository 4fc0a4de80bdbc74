//! HTTP/2 content on a stream: reading it, and handing it to the `h2` crate. The same for both sides of the gateway.
//!
//! Reading gives the window that bytes took back once the relay has taken them, so a peer can have no more under way than
//! windows allow, however slow the other side is. What is to be sent waits in an [`Outbox`] and is handed over only as far
//! as the windows of stream and connection and a bound of `h2`'s own buffer let it, so that what waits for a slow peer
//! waits here, bounded, and the other side is not read any further. That content is as long as Content-Length says, `h2`
//! has checked.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::http::body::{BodyError, is_forbidden_in_trailers};
use crate::net::Chunk;
use crate::relay::{Piece, ReadError, Source};

/// Content that waits to be handed to `h2`, for one stream.
const QUEUED_BYTES_MAX: usize = 32 << 10;
const QUEUED_CHUNKS_MAX: usize = 16;

/// Content to read from a stream.
pub struct Incoming<'a> {
    stream: RecvStream,
    /// The peer has given the stream up, or the connection has failed: set by whoever sees it first.
    gone: &'a Cell<bool>,
    /// Waited for and not yet taken.
    next: Option<Result<Event, ReadError>>,
    /// Bytes that the relay has and whose window it owes.
    owed: usize,
    trailers: Vec<u8>,
    trailer_bytes_max: usize,
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

impl<'a> Incoming<'a> {
    /// Content of at most `bytes_max` bytes, with trailer fields of at most `trailer_bytes_max`. `gone`: where it is noted,
    /// and looked for, that nothing more will come.
    pub fn new(stream: RecvStream, gone: &'a Cell<bool>, bytes_max: u64, trailer_bytes_max: usize) -> Self {
        let ended = stream.is_end_stream();
        Self {
            stream,
            gone,
            next: None,
            owed: 0,
            trailers: Vec::new(),
            trailer_bytes_max,
            ended,
            left_max: bytes_max,
            bytes: 0,
        }
    }

    /// Sets how many bytes may still come.
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
            Ok(trailers) => trailers.unwrap_or_default(),
            Err(error) => return Poll::Ready(Err(self.failed(&error))),
        };
        self.ended = true;
        for (name, value) in &trailers {
            if is_forbidden_in_trailers(name.as_str()) {
                continue;
            }
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                self.trailers.extend_from_slice(part);
            }
            if self.trailers.len() > self.trailer_bytes_max {
                return Poll::Ready(Err(ReadError::Body(BodyError::TrailersTooLarge)));
            }
        }
        Poll::Ready(Ok(Event::End))
    }

    /// `h2` itself resets a stream whose content is not as long as was said.
    fn failed(&self, error: &h2::Error) -> ReadError {
        if error.is_library() && error.is_reset() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
            return ReadError::Body(BodyError::Malformed(
                "content that is not as long as Content-Length says",
            ));
        }
        self.gone.set(true);
        ReadError::Gone
    }
}

impl Source for Incoming<'_> {
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
        self.gone.get()
    }

    fn begin_tunnel(&mut self) {
        self.left_max = u64::MAX;
    }

    fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}

/// Content that waits to be handed over, and its end.
#[derive(Default)]
pub struct Outbox {
    chunks: SmallVec<[Chunk; 4]>,
    bytes: usize,
    /// The chunks hold no receive buffers.
    unloaded: bool,
    /// Content has ended; with these trailers.
    end: Option<HeaderMap>,
    /// The end has been handed over.
    ended: bool,
}

impl Outbox {
    /// Appends content.
    pub fn push(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.bytes += chunk.len();
            self.chunks.push(chunk);
            self.unloaded = false;
        }
    }

    /// Appends the end, with trailer fields as lines. Once is enough.
    pub fn end(&mut self, trailers: &[u8]) {
        if !self.ended && self.end.is_none() {
            self.end = Some(trailer_fields(trailers));
        }
    }

    /// Whether the end was appended, or even handed over.
    pub fn is_ended(&self) -> bool {
        self.ended || self.end.is_some()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.end.is_none()
    }

    /// Whether it should be handed over before more is appended.
    pub fn is_full(&self) -> bool {
        self.bytes >= QUEUED_BYTES_MAX || self.chunks.len() >= QUEUED_CHUNKS_MAX
    }

    /// Whether all of it was handed over, the end too.
    pub fn is_done(&self) -> bool {
        self.ended
    }

    /// Bytes of trailer fields that wait.
    pub fn trailer_bytes(&self) -> usize {
        let fields = self.end.iter().flatten();
        fields.map(|(name, value)| name.as_str().len() + value.len()).sum()
    }

    /// Bytes of content that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same again, sharing memory.
    pub fn copy(&self) -> Self {
        let Self { bytes, unloaded, ended, .. } = *self;
        Self { chunks: self.chunks.clone(), bytes, unloaded, end: self.end.clone(), ended }
    }

    /// Drops all that waits.
    pub fn clear(&mut self) {
        self.chunks = SmallVec::new();
        self.bytes = 0;
        self.end = None;
    }

    /// Hands over as much as is taken. Ready when that was all.
    ///
    /// # Errors
    /// The stream takes no more: it was reset, or its connection has failed.
    pub fn poll_send(&mut self, cx: &mut Context, stream: &mut SendStream<Chunk>) -> Poll<io::Result<()>> {
        if self.bytes > 0 {
            stream.reserve_capacity(self.bytes);
        }
        let plain_end = self.end.as_ref().is_some_and(HeaderMap::is_empty);
        while let Some(front) = self.chunks.first_mut() {
            let capacity = stream.capacity();
            if capacity == 0 {
                match stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(_)) | None) => return gone(),
                    Poll::Pending => {
                        self.unload();
                        return Poll::Pending;
                    }
                }
            }
            let piece = if capacity < front.len() { front.split_to(capacity) } else { self.chunks.remove(0) };
            self.bytes -= piece.len();
            let last = plain_end && self.chunks.is_empty();
            if stream.send_data(piece, last).is_err() {
                return gone();
            }
            if last {
                (self.end, self.ended) = (None, true);
            }
        }
        if let Some(trailers) = self.end.take() {
            self.ended = true;
            let sent = if trailers.is_empty() {
                stream.send_data(Bytes::new().into(), true)
            } else {
                stream.send_trailers(trailers)
            };
            if sent.is_err() {
                return gone();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Copies what waits to memory of its own: the receive buffers are the whole shard's, and a peer that stalls its
    /// streams must not keep them from others.
    fn unload(&mut self) {
        if !std::mem::replace(&mut self.unloaded, true) {
            let mut bytes = Vec::with_capacity(self.bytes);
            self.chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
            self.chunks.clear();
            self.chunks.push(Bytes::from(bytes).into());
        }
    }
}

fn gone() -> Poll<io::Result<()>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
}

/// Trailer fields out of lines as a decoder collects them: `name: value CRLF`.
fn trailer_fields(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(colon) = line.iter().position(|&byte| byte == b':') {
            append(&mut fields, &line[..colon], line[colon + 1..].trim_ascii_start());
        }
    }
    fields
}

/// Adds a field. Names and values of parsed heads are valid; there are not more than a map holds.
pub fn append(fields: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        let _ = fields.try_append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_the_same_fields_in_both_protocols() {
        let fields = trailer_fields(b"grpc-status: 0\r\nX-Sum: a: b\r\nx-sum: c\r\n");
        let all: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(all, [("grpc-status", &b"0"[..]), ("x-sum", b"a: b"), ("x-sum", b"c")]);
        assert!(trailer_fields(b"").is_empty());
    }

    #[test]
    fn an_end_is_appended_once() {
        let mut outbox = Outbox::default();
        assert!(outbox.is_empty() && !outbox.is_ended());
        outbox.end(b"a: 1\r\n");
        outbox.end(b"b: 2\r\n");
        assert!(outbox.is_ended() && !outbox.is_empty());
        assert_eq!(outbox.end.as_ref().map(|end| end.keys().count()), Some(1));
    }
}
