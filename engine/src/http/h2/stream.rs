//! One request on an HTTP/2 connection: from its head to its ending, by the same stages as in HTTP/1.1.
//!
//! Input: a request as `h2` has decoded it. It ends in one [`Record::end`], whatever becomes of it: answered, refused,
//! given up by the client, cut off by the node, past its own deadline (gRPC), panicked. An answer that cannot be finished
//! ends in RST_STREAM, or, of a gRPC deadline, in trailers that say so; the connection goes on.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use coregate_config::checked::Listener;
use futures_lite::FutureExt;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::request::Parts;
use http::{HeaderValue, Request};

use super::reply::{Reply, Responder};
use super::request::{self, Asks};
use super::websocket::Key;
use crate::access_log::Asked;
use crate::account::Phase;
use crate::answer::{Answer, grpc_status};
use crate::error::Error;
use crate::http::body::TRAILER_BYTES_MAX;
use crate::http::exchange::{Origin, Outcome, Timers, body_bytes_max, carry};
use crate::http::grpc;
use crate::http::h2_body::Incoming;
use crate::http::head::{FIELDS_MAX, HeadLimits, Version};
use crate::http::record::{Moved, Record};
use crate::http::token_request::{self, TokenHead};
use crate::http::verdict::{Verdict, judge};
use crate::limits::TARGET_BYTES_MAX;
use crate::net::{Chunk, Timer};
use crate::request_id::RequestId;
use crate::shard::Shard;
use crate::tenant::endpoint::BODY_BYTES_MAX;

/// Limits of a head on a listener.
pub fn head_limits(listener: &Listener) -> HeadLimits {
    HeadLimits {
        bytes_max: listener.max_header_bytes,
        target_bytes_max: TARGET_BYTES_MAX,
        fields_max: listener.max_header_fields.min(FIELDS_MAX),
    }
}

/// Serves one request.
pub async fn serve(
    shard: Rc<Shard>,
    listener: Rc<Listener>,
    origin: Origin,
    request: Request<RecvStream>,
    respond: SendResponse<Chunk>,
) {
    let reply = Reply::new(respond);
    let (parts, body) = request.into_parts();
    let written = Cell::new(false);
    let mut stream = Stream {
        started: shard.net.now(),
        head_bytes: request::head_bytes(&parts) as u64,
        grpc: parts.headers.get("content-type").is_some_and(|value| grpc::is_content_type(value.as_bytes())),
        head_request: parts.method == http::Method::HEAD,
        shard: &shard,
        listener: &listener,
        origin: &origin,
        reply: &reply,
        accounted: &written,
    };
    // In its place: to move a future of some KiB about costs more than to run it.
    let panicked = AssertUnwindSafe(pin!(stream.request(&parts, body))).catch_unwind().await.is_err();
    if panicked {
        stream.panicked(&parts).await;
    }
}

struct Stream<'a> {
    shard: &'a Rc<Shard>,
    listener: &'a Rc<Listener>,
    origin: &'a Origin,
    reply: &'a Reply,
    started: Instant,
    /// Of the request, as in HTTP/1.1.
    head_bytes: u64,
    grpc: bool,
    head_request: bool,
    /// The record has been ended.
    accounted: &'a Cell<bool>,
}

impl Stream<'_> {
    async fn request(&mut self, parts: &Parts, stream: RecvStream) {
        let mut record = Record::new(self.started, self.origin.peer);
        // One that was reset before anyone looked at it makes no work.
        if self.reply.poll_gone(&mut Context::from_waker(Waker::noop())).is_ready() {
            return self.unread(record, Error::ClientGone, parts).await;
        }
        let protocol = parts.extensions.get::<h2::ext::Protocol>();
        let websocket = protocol.map(|_| Key::random());
        let asks = Asks {
            end_stream: stream.is_end_stream(),
            protocol: protocol.map(h2::ext::Protocol::as_str),
            websocket_key: websocket.as_ref().map_or("", Key::as_str),
        };
        let limits = head_limits(self.listener);
        let judged = request::convert(parts, &asks, &limits, |head, meta| {
            judge(self.shard, self.listener, self.origin, head, meta, &mut record)
        });
        let (id, verdict) = match judged {
            Ok(judged) => judged,
            Err(error) => return self.unread(record, error.into(), parts).await,
        };
        let trailer_bytes_max = usize::from(TRAILER_BYTES_MAX);
        let mut body = Incoming::new(stream, self.reply.gone(), BODY_BYTES_MAX as u64, trailer_bytes_max);
        match verdict {
            Verdict::Forward(plan) => {
                body.limit(body_bytes_max(&plan.service));
                let accept = websocket.as_ref().map(Key::accept);
                let mut responder =
                    Responder::new(self.shard, self.reply, accept.as_deref(), self.listener.hsts());
                let timers = Timers { up: self.shard.net.timer(), down: self.shard.net.timer() };
                let outcome = {
                    let carried = pin!(carry(self.shard, &timers, plan, &mut body, &mut responder));
                    self.watched(carried, parts).await
                };
                let moved = responder.moved(self.head_bytes + body.bytes());
                drop(responder);
                self.carried(&record, &outcome, moved, &id).await;
            }
            Verdict::Options => {
                let outcome = Outcome::new(None, Phase::Complete);
                self.answer(&record, &outcome, &Answer::to_options(), self.head_bytes).await;
            }
            Verdict::Redirect(location) => {
                let outcome = Outcome::new(None, Phase::Complete);
                let answer = Answer::to_https(&location, id.as_str());
                self.answer(&record, &outcome, &answer, self.head_bytes).await;
            }
            Verdict::Token(head) => self.token(&record, &head, &mut body, &id).await,
            Verdict::Refuse(error) => {
                let outcome = Outcome::new(Some(error), Phase::Decide);
                self.refuse(&record, &outcome, self.head_bytes, &id).await;
            }
        }
    }

    /// Runs an exchange for as long as the client waits for it: it may reset the stream, or have set a deadline.
    async fn watched(&self, mut carried: Pin<&mut impl Future<Output = Outcome>>, parts: &Parts) -> Outcome {
        let deadline = self.deadline(parts);
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = carried.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            if let Some(timer) = &deadline
                && pin!(timer.wait()).poll(cx).is_ready()
            {
                let phase = if self.reply.is_begun() { Phase::ResponseBody } else { Phase::ResponseHead };
                return Poll::Ready(Outcome::new(Some(Error::DeadlineExceeded), phase));
            }
            // The exchange looks at this when it is polled; it ends by it.
            if !self.reply.is_gone() && self.reply.poll_gone(cx).is_ready() {
                return carried.as_mut().poll(cx);
            }
            Poll::Pending
        })
        .await
    }

    /// The timer of a gRPC request's own deadline.
    fn deadline(&self, parts: &Parts) -> Option<Timer> {
        let timeout = parts.headers.get("grpc-timeout").filter(|_| self.grpc)?;
        // One that no clock reaches is none.
        let deadline = self.started.checked_add(grpc::timeout(timeout.as_bytes())?)?;
        let timer = self.shard.net.timer();
        timer.set(deadline);
        Some(timer)
    }

    /// Ends an exchange that an upstream was, or was to be, asked for.
    async fn carried(&self, record: &Record, outcome: &Outcome, moved: Moved, id: &RequestId) {
        match &outcome.error {
            Some(_) if !self.reply.is_begun() => {
                return self.refuse(record, outcome, moved.bytes_in, id).await;
            }
            None => {}
            Some(Error::DeadlineExceeded) => {
                let told = Error::DeadlineExceeded.told();
                self.reply.trailers(grpc_status(told.status, told.message));
            }
            // The client must not take the answer for whole.
            Some(Error::ClientGone | Error::ClientStalled) => self.reply.reset(Reason::CANCEL),
            Some(_) => self.reply.reset(Reason::INTERNAL_ERROR),
        }
        self.end(record, outcome, moved);
    }

    /// Reads the body of a request for a token, and answers it.
    async fn token(&self, record: &Record, head: &TokenHead, body: &mut Incoming<'_>, id: &RequestId) {
        let live = self.shard.live();
        let (timer, patience) = (self.shard.net.timer(), self.listener.header_timeout);
        let answered = head.answer(&live.snapshot.callers, body, &timer, patience, &self.shard.net).await;
        let bytes_in = self.head_bytes + body.bytes();
        match answered {
            Ok(answer) => {
                let outcome = token_request::outcome(&answer);
                self.answer(record, &outcome, &Answer::of_token_endpoint(&answer), bytes_in).await;
            }
            Err(unread) => {
                let outcome = Outcome::new(Some(unread.into()), Phase::RequestBody);
                self.refuse(record, &outcome, bytes_in, id).await;
            }
        }
    }

    /// Gives up on a head that says nothing, or nothing that could be meant.
    async fn unread(&self, mut record: Record, error: Error, parts: &Parts) {
        let id = self.shard.request_ids.next(None);
        self.begin_line(&mut record, parts, &id);
        let outcome = Outcome::new(Some(error), Phase::RequestHead);
        self.refuse(&record, &outcome, self.head_bytes, &id).await;
    }

    /// Answers a request whose task panicked, if nothing was answered yet.
    async fn panicked(&self, parts: &Parts) {
        self.shard.counters.panicked();
        let outcome = Outcome::new(Some(Error::Panicked), Phase::Decide);
        if self.accounted.get() {
            return self.reply.reset(Reason::INTERNAL_ERROR);
        }
        let mut record = Record::new(self.started, self.origin.peer);
        let id = self.shard.request_ids.next(None);
        self.begin_line(&mut record, parts, &id);
        if self.reply.is_begun() {
            self.reply.reset(Reason::INTERNAL_ERROR);
            return self.end(&record, &outcome, Moved::default());
        }
        self.refuse(&record, &outcome, self.head_bytes, &id).await;
    }

    fn begin_line(&self, record: &mut Record, parts: &Parts, id: &RequestId) {
        let field = |name: &str| parts.headers.get(name).map(HeaderValue::as_bytes);
        let asked = Asked {
            method: parts.method.as_str(),
            target: parts.uri.path_and_query().map_or("", |target| target.as_str()),
            version: Version::H2,
            referer: field("referer"),
            user_agent: field("user-agent"),
        };
        let host = parts.uri.authority().map_or("", |authority| authority.as_str());
        record.begin_line(self.shard, Some(asked), host, id.as_str());
    }

    /// Answers a request that failed before anything of an answer was sent.
    async fn refuse(&self, record: &Record, outcome: &Outcome, bytes_in: u64, id: &RequestId) {
        match outcome.error.as_ref().and_then(|error| Answer::to(error, id.as_str())) {
            Some(answer) => self.answer(record, outcome, &answer, bytes_in).await,
            None => {
                self.reply.reset(Reason::CANCEL);
                self.end(record, outcome, Moved { bytes_in, ..Moved::default() });
            }
        }
    }

    /// Sends an answer of the gateway's own.
    async fn answer(&self, record: &Record, outcome: &Outcome, answer: &Answer<'_>, bytes_in: u64) {
        let answer = answer.secured(self.listener.hsts());
        let (status, fields, body) = if self.grpc && answer.status >= 400 {
            (200, answer.grpc_fields(), Vec::new())
        } else {
            (answer.status, answer.h2_fields(), answer.body_bytes(self.head_request))
        };
        let head_bytes: usize =
            fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let body_bytes_out = body.len() as u64;
        self.reply.head(status, fields, body.is_empty());
        let timer = self.shard.net.timer();
        timer.set(self.shard.net.now() + self.listener.header_timeout);
        let sent = body.is_empty() || matches!(timer.within(self.reply.content(body)).await, Ok(Ok(())));
        if !sent {
            self.reply.reset(Reason::CANCEL);
        }
        let status = if sent && !self.reply.is_gone() { status } else { 0 };
        let bytes_out = head_bytes as u64 + body_bytes_out;
        self.end(record, outcome, Moved { status, bytes_in, bytes_out, body_bytes_out });
    }

    fn end(&self, record: &Record, outcome: &Outcome, moved: Moved) {
        self.accounted.set(true);
        record.end(self.shard, outcome, moved);
    }
}
