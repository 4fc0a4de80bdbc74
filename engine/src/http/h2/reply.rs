//! An HTTP/2 stream's way to the client: its head, its content, its end, its reset.
//!
//! [`Reply`] is what the stream's task writes to and what it watches for a reset by the client at the same time.
//! [`Responder`] is the answer of an exchange on it. Content is handed to `h2` only as far as the windows of stream and
//! connection and a bound of its own buffer let it, so what waits for a slow client waits here: at most
//! [`QUEUED_BYTES_MAX`], and then the node's connection is not read any further.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coregate_config::checked::Hsts;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use smallvec::SmallVec;

use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::exchange::ResponseSink;
use crate::http::head::{ResponseHead, ResponseMeta, Version};
use crate::http::headers::{ConnectionOut, ResponseOut, Rules, response_fields};
use crate::http::record::Moved;
use crate::net::Chunk;
use crate::relay::{Append, Sink};
use crate::shard::Shard;

/// Content that waits to be handed to `h2`.
const QUEUED_BYTES_MAX: usize = 32 << 10;
const QUEUED_CHUNKS_MAX: usize = 16;
/// What a field takes in HTTP/1.1 beside name and value; heads are accounted for so, whatever HPACK makes of them.
const FIELD_OVERHEAD: usize = 4;
const STATUS_LINE_BYTES: u64 = b"HTTP/2.0 200\r\n\r\n".len() as u64;

/// A stream's way to the client.
pub struct Reply {
    way: RefCell<Way>,
    gone: Cell<bool>,
}

enum Way {
    /// Nothing has been answered.
    Open(SendResponse<Chunk>),
    /// The head has been sent.
    Begun(SendStream<Chunk>),
    /// All has been sent, or it was reset.
    Ended,
}

impl Reply {
    /// To that request.
    pub fn new(respond: SendResponse<Chunk>) -> Self {
        Self { way: RefCell::new(Way::Open(respond)), gone: Cell::new(false) }
    }

    /// Whether something of an answer was sent, interim ones apart.
    pub fn is_begun(&self) -> bool {
        !matches!(&*self.way.borrow(), Way::Open(_))
    }

    /// Whether the client has given up on it, as far as was seen.
    pub fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// Notes that the client has given up on it.
    pub fn set_gone(&self) {
        self.gone.set(true);
    }

    /// Ready once the client has reset the stream, or the connection has ended.
    pub fn poll_gone(&self, cx: &mut Context) -> Poll<()> {
        let reset = match &mut *self.way.borrow_mut() {
            Way::Open(respond) => respond.poll_reset(cx),
            Way::Begun(stream) => stream.poll_reset(cx),
            Way::Ended => Poll::Pending,
        };
        reset.map(|_| self.set_gone())
    }

    /// Resets it.
    pub fn reset(&self, reason: Reason) {
        match self.way.replace(Way::Ended) {
            Way::Open(mut respond) => respond.send_reset(reason),
            Way::Begun(mut stream) => stream.send_reset(reason),
            Way::Ended => {}
        }
    }

    /// Sends the head. Nothing comes of it if the stream is gone, which the next flush tells.
    pub fn head(&self, status: u16, fields: HeaderMap, end: bool) {
        let way = self.way.replace(Way::Ended);
        let Way::Open(mut respond) = way else { return };
        let sent = respond.send_response(response(status, fields), end);
        match sent {
            Ok(_) if end => {}
            Ok(stream) => *self.way.borrow_mut() = Way::Begun(stream),
            Err(_) => self.set_gone(),
        }
    }

    fn interim(&self, status: u16, fields: HeaderMap) {
        if let Way::Open(respond) = &mut *self.way.borrow_mut() {
            // It fails for a stream that is gone.
            let _ = respond.send_informational(response(status, fields));
        }
    }

    /// Ends it with trailer fields.
    pub fn trailers(&self, fields: HeaderMap) {
        if let Way::Begun(mut stream) = self.way.replace(Way::Ended)
            && stream.send_trailers(fields).is_err()
        {
            self.set_gone();
        }
    }

    /// Hands as much of the queue to `h2` as it takes. Ready when that was all. `end`: nothing follows.
    fn poll_send(&self, cx: &mut Context, queue: &mut Queue, end: bool) -> Poll<io::Result<()>> {
        let mut way = self.way.borrow_mut();
        let gone = || Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        let Way::Begun(stream) = &mut *way else {
            return if self.is_gone() || !queue.chunks.is_empty() { gone() } else { Poll::Ready(Ok(())) };
        };
        if queue.bytes > 0 {
            stream.reserve_capacity(queue.bytes);
        }
        while let Some(front) = queue.chunks.first_mut() {
            let capacity = stream.capacity();
            if capacity == 0 {
                match stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(_)) | None) => return gone(),
                    Poll::Pending => {
                        queue.unload();
                        return Poll::Pending;
                    }
                }
            }
            let piece =
                if capacity < front.len() { front.split_to(capacity) } else { queue.chunks.remove(0) };
            queue.bytes -= piece.len();
            if stream.send_data(piece, end && queue.chunks.is_empty()).is_err() {
                return gone();
            }
            if end && queue.chunks.is_empty() {
                *way = Way::Ended;
                return Poll::Ready(Ok(()));
            }
        }
        if end {
            let sent = stream.send_data(Bytes::new().into(), true);
            *way = Way::Ended;
            if sent.is_err() {
                return gone();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends content that was made here, and the end.
    ///
    /// # Errors
    /// The stream is gone.
    pub async fn content(&self, content: Vec<u8>) -> io::Result<()> {
        let mut queue = Queue::default();
        queue.push(Bytes::from(content).into());
        poll_fn(|cx| self.poll_send(cx, &mut queue, true)).await
    }
}

fn response(status: u16, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    // Statuses of three digits are all that heads are parsed to.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = fields;
    response
}

/// Content that waits.
#[derive(Default)]
struct Queue {
    chunks: SmallVec<[Chunk; 4]>,
    bytes: usize,
    /// Chunks at the front that hold no receive buffer.
    unloaded: bool,
}

impl Queue {
    fn push(&mut self, chunk: Chunk) {
        if !chunk.is_empty() {
            self.bytes += chunk.len();
            self.chunks.push(chunk);
            self.unloaded = false;
        }
    }

    /// Copies what waits for the client to memory of its own: the receive buffers are the whole shard's, and a client that
    /// stalls its streams must not keep them from others.
    fn unload(&mut self) {
        if !std::mem::replace(&mut self.unloaded, true) {
            let bytes: Vec<u8> = self.chunks.concat_bytes(self.bytes);
            self.chunks.clear();
            self.chunks.push(Bytes::from(bytes).into());
        }
    }
}

trait ConcatBytes {
    fn concat_bytes(&self, len: usize) -> Vec<u8>;
}

impl ConcatBytes for SmallVec<[Chunk; 4]> {
    fn concat_bytes(&self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        self.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
        bytes
    }
}

/// The answer to one request.
pub struct Responder<'a> {
    shard: &'a Rc<Shard>,
    reply: &'a Reply,
    /// For an extended CONNECT: the Sec-WebSocket-Accept that the node has to send.
    websocket_accept: Option<&'a str>,
    hsts: Option<Hsts>,
    queue: Queue,
    /// Content has ended; with these trailers.
    end: Option<HeaderMap>,
    status: u16,
    head_bytes: u64,
    body_bytes: u64,
}

impl<'a> Responder<'a> {
    /// For that request.
    pub fn new(
        shard: &'a Rc<Shard>,
        reply: &'a Reply,
        websocket_accept: Option<&'a str>,
        hsts: Option<Hsts>,
    ) -> Self {
        let queue = Queue::default();
        Self {
            shard,
            reply,
            websocket_accept,
            hsts,
            queue,
            end: None,
            status: 0,
            head_bytes: 0,
            body_bytes: 0,
        }
    }

    /// What was sent, for an exchange that has received so much. Status 0 = none was written.
    pub fn moved(&self, bytes_in: u64) -> Moved {
        let bytes_out = self.head_bytes + self.body_bytes;
        Moved { status: self.status, bytes_in, bytes_out, body_bytes_out: self.body_bytes }
    }

    /// What of an answer's head goes to the client, in HTTP/2's spelling.
    fn fields(
        &mut self,
        head: &ResponseHead,
        meta: &ResponseMeta,
        rules: &Rules,
        date: Option<&str>,
    ) -> HeaderMap {
        let to = ResponseOut {
            connection: ConnectionOut::KeepAlive,
            body: meta.body,
            client_version: Version::H2,
            date,
            hsts: self.hsts,
        };
        let mut fields = HeaderMap::with_capacity(head.fields.len() + 4);
        self.head_bytes += STATUS_LINE_BYTES;
        response_fields(head, meta, &to, rules, |name, value| {
            self.head_bytes += (name.len() + value.len() + FIELD_OVERHEAD) as u64;
            append(&mut fields, name, value);
        });
        fields
    }

    /// Whether the node has agreed to the protocol that was asked for, and only then (RFC 8441 5).
    fn check_websocket(&self, head: &ResponseHead) -> Result<(), Error> {
        let Some(expected) = self.websocket_accept else { return Ok(()) };
        if head.status != 101 {
            // To the client it would mean that the tunnel is there.
            let mistakable = (200..300).contains(&head.status);
            return if mistakable { Err(Error::UpstreamMalformed("no 101 to a WebSocket")) } else { Ok(()) };
        }
        let mut accepts = head.fields.iter().filter(|f| f.name.eq_ignore_ascii_case("sec-websocket-accept"));
        match (accepts.next(), accepts.next()) {
            (Some(accept), None) if accept.value == expected.as_bytes() => Ok(()),
            _ => Err(Error::UpstreamMalformed("Sec-WebSocket-Accept")),
        }
    }
}

/// Adds a field. Names and values of parsed heads are valid; there are not more than a map holds.
fn append(fields: &mut HeaderMap, name: &str, value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
        let _ = fields.try_append(name, value);
    }
}

impl ResponseSink for Responder<'_> {
    fn interim(&mut self, head: &ResponseHead, meta: &ResponseMeta, rules: &Rules) {
        let fields = self.fields(head, meta, rules, None);
        self.reply.interim(head.status, fields);
    }

    fn head(
        &mut self,
        head: &ResponseHead,
        meta: &ResponseMeta,
        rules: &Rules,
        _request_whole: bool,
    ) -> Result<(), Error> {
        self.check_websocket(head)?;
        let date = self.shard.date();
        let mut fields = self.fields(head, meta, rules, Some(&date));
        self.status = head.status;
        if meta.upgrade {
            self.status = 200;
            fields.remove("sec-websocket-accept");
        }
        let end = !meta.upgrade && matches!(meta.body, BodyFraming::None | BodyFraming::Length(0));
        self.reply.head(self.status, fields, end);
        Ok(())
    }
}

impl Append for Responder<'_> {
    fn push(&mut self, chunk: Chunk) {
        self.queue.push(chunk);
    }

    fn end(&mut self, trailers: &[u8]) {
        let mut fields = HeaderMap::new();
        // Lines as a decoder collects them: `name: value CRLF`.
        for line in trailers.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some(colon) = line.iter().position(|&byte| byte == b':')
                && let Ok(name) = std::str::from_utf8(&line[..colon])
            {
                append(&mut fields, name, line[colon + 1..].trim_ascii_start());
            }
        }
        self.end = Some(fields);
    }

    fn is_full(&self) -> bool {
        self.queue.bytes >= QUEUED_BYTES_MAX || self.queue.chunks.len() >= QUEUED_CHUNKS_MAX
    }
}

impl Sink for Responder<'_> {
    async fn shut_down(&mut self) -> io::Result<()> {
        self.end.get_or_insert_default();
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.reply.is_begun() {
            return Ok(());
        }
        let bytes = self.queue.bytes;
        let end = self.end.as_ref().is_some_and(HeaderMap::is_empty);
        let sent = poll_fn(|cx| {
            let sent = ready!(self.reply.poll_send(cx, &mut self.queue, end));
            Poll::Ready(sent)
        })
        .await;
        self.body_bytes += (bytes - self.queue.bytes) as u64;
        sent?;
        if let Some(trailers) = self.end.take_if(|trailers| !trailers.is_empty()) {
            self.head_bytes +=
                trailers.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64).sum::<u64>();
            self.reply.trailers(trailers);
        }
        if self.reply.is_gone() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}
