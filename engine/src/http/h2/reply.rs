//! An HTTP/2 stream's way to the client: its head, its content, its end, its reset.
//!
//! [`Reply`] is what the stream's task writes to and what it watches for a reset by the client at the same time.
//! [`Responder`] is the answer of an exchange on it. What waits for a slow client waits in its
//! [`Outbox`], and when that is full the node's connection is not read any further.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coregate_config::checked::Hsts;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response, StatusCode};

use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::exchange::ResponseSink;
use crate::http::h2_body::{Outbox, append};
use crate::http::head::{ResponseHead, ResponseMeta, Version};
use crate::http::headers::{ConnectionOut, ResponseOut, Rules, response_fields};
use crate::http::record::Moved;
use crate::net::Chunk;
use crate::relay::{Append, Sink};
use crate::shard::Shard;

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

    /// Where it is noted that the client has given up on it.
    pub fn gone(&self) -> &Cell<bool> {
        &self.gone
    }

    /// Ready once the client has reset the stream, or the connection has ended.
    pub fn poll_gone(&self, cx: &mut Context) -> Poll<()> {
        let reset = match &mut *self.way.borrow_mut() {
            Way::Open(respond) => respond.poll_reset(cx),
            Way::Begun(stream) => stream.poll_reset(cx),
            Way::Ended => Poll::Pending,
        };
        reset.map(|_| self.gone.set(true))
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
            Err(_) => self.gone.set(true),
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
            self.gone.set(true);
        }
    }

    /// Hands as much to `h2` as it takes. Ready when that was all.
    fn poll_send(&self, cx: &mut Context, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        let mut way = self.way.borrow_mut();
        let Way::Begun(stream) = &mut *way else {
            let gone = self.is_gone() || outbox.bytes() > 0;
            return Poll::Ready(if gone { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) });
        };
        ready!(outbox.poll_send(cx, stream))?;
        if outbox.is_done() {
            *way = Way::Ended;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends content that was made here, and the end.
    ///
    /// # Errors
    /// The stream is gone.
    pub async fn content(&self, content: Vec<u8>) -> io::Result<()> {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from(content).into());
        outbox.end(&[]);
        poll_fn(|cx| self.poll_send(cx, &mut outbox)).await
    }
}

fn response(status: u16, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    // Statuses of three digits are all that heads are parsed to.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = fields;
    response
}

/// The answer to one request.
pub struct Responder<'a> {
    shard: &'a Rc<Shard>,
    reply: &'a Reply,
    /// For an extended CONNECT: the Sec-WebSocket-Accept that the node has to send.
    websocket_accept: Option<&'a str>,
    hsts: Option<Hsts>,
    outbox: Outbox,
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
        Self {
            shard,
            reply,
            websocket_accept,
            hsts,
            outbox: Outbox::default(),
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
            append(&mut fields, name.as_bytes(), value);
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
        self.outbox.push(chunk);
    }

    fn end(&mut self, trailers: &[u8]) {
        self.outbox.end(trailers);
    }

    fn is_full(&self) -> bool {
        self.outbox.is_full()
    }
}

impl Sink for Responder<'_> {
    async fn shut_down(&mut self) -> io::Result<()> {
        self.outbox.end(&[]);
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.reply.is_begun() {
            return Ok(());
        }
        let (bytes, trailer_bytes) = (self.outbox.bytes(), self.outbox.trailer_bytes());
        let sent = poll_fn(|cx| self.reply.poll_send(cx, &mut self.outbox)).await;
        self.body_bytes += (bytes - self.outbox.bytes()) as u64;
        sent?;
        self.head_bytes += trailer_bytes as u64;
        if self.reply.is_gone() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}
