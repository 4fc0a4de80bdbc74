//! HTTP/1.1 from clients: the keep-alive loop of one connection.
//!
//! Input: an accepted stream. Each turn reads one request head, has the exchange decide and carry it, and accounts for
//! its ending. Pipelined requests are answered in order. The connection ends when either side asks, when it has been
//! idle for too long, or when a request could not be read to its end.

mod own_answers;

use std::cell::Cell;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use coregate_config::checked::Listener;
use futures_lite::FutureExt;

use crate::access_log::Asked;
use crate::account::Phase;
use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::exchange::{Origin, Outcome, Timers, body_bytes_max, carry};
use crate::http::h1_body::Incoming;
use crate::http::h1_responder::Responder;
use crate::http::head::{
    FIELDS_MAX, HeadError, HeadLimits, Method, Version, has_head_end, parse_request, request_meta,
};
use crate::http::inbox::Inbox;
use crate::http::record::Record;
use crate::http::verdict::{Verdict, judge};
use crate::limits::{DRAIN_GRACE, LINGER, LINGER_BYTES_MAX, TARGET_BYTES_MAX};
use crate::net::{Chunk, Elapsed, Timer};
use crate::request_id::RequestId;
use crate::shard::{ListenerState, Shard};
use crate::stream::Stream;
use own_answers::To;

/// How serving a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is closed.
    Closed,
    /// It is to speak HTTP/2, by ALPN or by prior knowledge (RFC 9113 3.3): what it has sent is in its inbox.
    Http2,
}

/// Serves one connection to its end, or until it turns out to speak HTTP/2; `inbox`: what was read already.
pub async fn serve(
    shard: &Rc<Shard>,
    stream: &Stream,
    listener: &Rc<ListenerState>,
    origin: &Origin,
    inbox: &mut Inbox,
) -> Ended {
    let timers = Timers { up: shard.net.timer(), down: shard.net.timer() };
    let mut client = Client {
        origin,
        listener: listener.config(),
        shard,
        stream,
        timers: &timers,
        inbox,
        written: Cell::new(false),
        fresh: true,
    };
    let mut patience = client.listener.header_timeout;
    loop {
        if client.inbox.is_empty() {
            match client.next_request(patience).await {
                Waited::Bytes(chunk) => client.inbox.add(chunk),
                Waited::InVain | Waited::Ended => return Ended::Closed,
            }
        }
        // Whatever it has sent: who has agreed on HTTP/2 is not served anything else.
        if client.fresh && stream.has_agreed_on(b"h2") {
            return Ended::Http2;
        }
        // In memory of its own: an idle connection does not pay for the state of a busy one.
        match Box::pin(client.busy(listener)).await {
            Next::Request => patience = client.listener.idle_timeout.saturating_sub(BUSY),
            Next::Http2 => return Ended::Http2,
            Next::Close => {
                client.flush().await;
                return Ended::Closed;
            }
            Next::Linger => {
                if client.flush().await {
                    linger(shard, stream, &timers.up).await;
                }
                return Ended::Closed;
            }
        }
    }
}

/// Ends our side, then reads on for a while: closing with unread bytes would reset the connection and could destroy the
/// answer on its way (RFC 9112 9.6). To be called when everything has been sent.
pub async fn linger(shard: &Shard, stream: &Stream, timer: &Timer) {
    stream.shut_down();
    timer.set(shard.net.now() + LINGER);
    let mut left = LINGER_BYTES_MAX;
    while let Ok(Ok(Some(chunk))) = timer.within(stream.receive()).await {
        left = left.saturating_sub(chunk.len() as u64);
        if left == 0 {
            return;
        }
    }
}

/// A connection that has been idle for so long gives the memory back that it needs while it is busy.
const BUSY: Duration = Duration::from_millis(50);

/// What becomes of a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It carries another.
    Request,
    /// It is closed.
    Close,
    /// It is closed once the client has had time to read the answer, although not all that it sent was read.
    Linger,
    /// It speaks HTTP/2.
    Http2,
}

/// What came of waiting for a request.
enum Waited {
    Bytes(Chunk),
    /// Nothing in time.
    InVain,
    /// The client has ended the connection, or the gateway is shutting down.
    Ended,
}

/// One client connection.
struct Client<'a> {
    shard: &'a Rc<Shard>,
    stream: &'a Stream,
    listener: Rc<Listener>,
    timers: &'a Timers,
    origin: &'a Origin,
    inbox: &'a mut Inbox,
    /// Something of an answer to the request in hand was written.
    written: Cell<bool>,
    /// Nothing has been read off it: it may yet turn out to speak HTTP/2.
    fresh: bool,
}

/// A request head, read and decided upon.
struct Decided {
    version: Version,
    method: Method,
    framing: BodyFraming,
    keep_alive: bool,
    request_id: RequestId,
    head_bytes: usize,
    verdict: Verdict,
}

/// A request head that could not be read.
struct Unread {
    error: Error,
    /// Made for it.
    id: RequestId,
    head_bytes: usize,
}

impl Client<'_> {
    /// Serves requests until the connection falls idle or is to end.
    async fn busy(&mut self, listener: &ListenerState) -> Next {
        loop {
            self.listener = listener.config();
            self.written.set(false);
            let next = match AssertUnwindSafe(self.request()).catch_unwind().await {
                Ok(next) => next,
                Err(_) => Box::pin(self.panicked()).await,
            };
            if next != Next::Request {
                return next;
            }
            if self.inbox.is_empty() {
                match self.next_request(BUSY.min(self.listener.idle_timeout)).await {
                    Waited::Bytes(chunk) => self.inbox.add(chunk),
                    Waited::InVain => return Next::Request,
                    Waited::Ended => return Next::Close,
                }
            }
        }
    }

    /// Waits for the first bytes of a request.
    async fn next_request(&self, patience: Duration) -> Waited {
        let timer = &self.timers.up;
        timer.set(self.shard.net.now() + patience);
        let mut draining = false;
        let received = timer.within(poll_fn(|cx| {
            if self.shard.draining() && !draining {
                draining = true;
                timer.set(self.shard.net.now() + DRAIN_GRACE.min(self.listener.idle_timeout));
            }
            self.stream.poll_receive(cx)
        }));
        match received.await {
            Ok(Ok(Some(chunk))) => Waited::Bytes(chunk),
            Ok(Ok(None) | Err(_)) => Waited::Ended,
            Err(Elapsed) if draining => Waited::Ended,
            Err(Elapsed) => Waited::InVain,
        }
    }

    /// Reads, carries and accounts for one request.
    async fn request(&mut self) -> Next {
        let mut record = Record::new(self.shard.net.now(), self.origin.peer);
        let decided = match self.head(&mut record).await {
            Ok(decided) => decided,
            Err(Unread { error: Error::Head(HeadError::Http2Preface), .. }) if self.may_speak_http2() => {
                return Next::Http2;
            }
            Err(Unread { error, id, head_bytes }) => {
                let outcome = Outcome::new(Some(error), Phase::RequestHead);
                let to = To { id: &id, method: Method::Get, bytes_in: head_bytes as u64, keep: false };
                return Box::pin(self.refuse(&record, &outcome, to)).await;
            }
        };
        self.fresh = false;
        let Decided { version, method, framing, keep_alive, request_id, head_bytes, verdict } = decided;
        let bodiless = keep_alive && framing == BodyFraming::None;
        let plan = match verdict {
            Verdict::Forward(plan) => plan,
            Verdict::Options => {
                let to = To { id: &request_id, method, bytes_in: head_bytes as u64, keep: bodiless };
                return Box::pin(self.options(&record, to)).await;
            }
            Verdict::Redirect(location) => {
                let to = To { id: &request_id, method, bytes_in: head_bytes as u64, keep: bodiless };
                return Box::pin(self.redirect(&record, &location, to)).await;
            }
            Verdict::Token(head) => {
                let to = To { id: &request_id, method, bytes_in: head_bytes as u64, keep: keep_alive };
                return Box::pin(self.token(&record, &head, framing, to)).await;
            }
            Verdict::Refuse(error) => {
                let outcome = Outcome::new(Some(error), Phase::Decide);
                let to = To { id: &request_id, method, bytes_in: head_bytes as u64, keep: bodiless };
                return Box::pin(self.refuse(&record, &outcome, to)).await;
            }
        };
        let service = plan.service.clone();
        let mut responder =
            Responder::new(self.shard, self.stream, &self.written, version, keep_alive, self.listener.hsts());
        let mut body = Incoming::new(self.stream, self.inbox, framing, body_bytes_max(&service));
        let outcome = carry(self.shard, self.timers, plan, &mut body, &mut responder).await;
        let (whole, bytes_in) = (body.is_done(), head_bytes as u64 + body.bytes());
        if outcome.error.is_some() {
            if self.written.get() {
                record.end(self.shard, &outcome, responder.moved(bytes_in));
                // The client must not take the answer for whole.
                self.stream.reset_on_close();
                return Next::Close;
            }
            let to = To { id: &request_id, method, bytes_in, keep: keep_alive && whole };
            return Box::pin(self.refuse(&record, &outcome, to)).await;
        }
        record.end(self.shard, &outcome, responder.moved(bytes_in));
        match (responder.keeps_alive(), whole) {
            (true, true) => Next::Request,
            (_, false) => Next::Linger,
            (false, true) if self.inbox.is_empty() => Next::Close,
            (false, true) => Next::Linger,
        }
    }

    fn may_speak_http2(&self) -> bool {
        self.fresh && self.listener.http2.is_some() && !self.stream.has_agreed_on(b"http/1.1")
    }

    /// Reads a request head and decides on it.
    async fn head(&mut self, record: &mut Record) -> Result<Decided, Unread> {
        let timer = &self.timers.up;
        timer.set(record.started + self.listener.header_timeout);
        let mut parsed = 0;
        loop {
            if let Some(decided) = self.try_head(&mut parsed, record) {
                return decided;
            }
            self.inbox.gather();
            match timer.within(self.stream.receive()).await {
                Ok(Ok(Some(chunk))) => self.inbox.add(chunk),
                Ok(Ok(None) | Err(_)) => return Err(self.unread(Error::ClientGone, None, record)),
                Err(_) => return Err(self.unread(Error::RequestTimeout, None, record)),
            }
        }
    }

    /// Decides on the head in the inbox and takes it off; `None` if it is not whole. `parsed` = bytes that have been
    /// looked at in vain.
    fn try_head(&mut self, parsed: &mut usize, record: &mut Record) -> Option<Result<Decided, Unread>> {
        let limits = HeadLimits {
            bytes_max: self.listener.max_header_bytes,
            target_bytes_max: TARGET_BYTES_MAX,
            fields_max: self.listener.max_header_fields,
        };
        let bytes = self.inbox.bytes();
        if *parsed > 0 && bytes.len() < limits.bytes_max && !has_head_end(bytes, *parsed) {
            *parsed = bytes.len();
            return None;
        }
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let (head, meta) = match parse_request(bytes, &limits, &mut slots) {
            Ok(None) => {
                *parsed = bytes.len();
                return None;
            }
            Ok(Some(head)) => match request_meta(&head) {
                Ok(meta) => (head, meta),
                Err(error) => return Some(Err(self.unread(error.into(), Some(Asked::of(&head)), record))),
            },
            Err(error) => return Some(Err(self.unread(error.into(), None, record))),
        };
        let (request_id, verdict) = judge(self.shard, &self.listener, self.origin, &head, &meta, record);
        let decided = Decided {
            version: head.version,
            method: meta.method,
            framing: meta.body,
            keep_alive: meta.keep_alive,
            request_id,
            head_bytes: head.len,
            verdict,
        };
        let len = head.len;
        self.inbox.consume_head(len);
        Some(Ok(decided))
    }

    /// Gives up on a request head; `asked`: what could be read of it.
    fn unread(&self, error: Error, asked: Option<Asked>, record: &mut Record) -> Unread {
        let id = self.shard.request_ids.next(None);
        record.begin_line(self.shard, asked, "", id.as_str());
        Unread { error, id, head_bytes: self.inbox.bytes().len() }
    }

    /// Waits until the answer is sent; whether it was.
    async fn flush(&self) -> bool {
        self.timers.down.set(self.shard.net.now() + self.listener.idle_timeout);
        matches!(self.timers.down.within(self.stream.flush()).await, Ok(Ok(())))
    }
}
