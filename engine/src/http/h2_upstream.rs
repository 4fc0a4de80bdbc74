//! HTTP/2 to nodes: one exchange is one stream of a connection that carries many.
//!
//! Input: a request's head as [`Request`]. Output: see [`Carrier`]. A stream that is dropped before its end is reset, by
//! which the node knows that nobody waits any more.
//!
//! What may be sent again (RFC 9113 8.7): a stream that was refused, or is above the last one that a GOAWAY names, has not
//! been processed, whatever its method; of others nothing is known. What went with the head is kept for that until an
//! answer begins or more than that is sent.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::response::Parts;
use smallvec::SmallVec;

use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::carrier::{self, Carrier, Head, Reached};
use crate::http::h1_upstream::malformed;
use crate::http::h2_body::{Incoming, Outbox};
use crate::http::head::{Field, HeadError, Method, ResponseHead, ResponseMeta, Version, response_meta};
use crate::http::syntax::trim_ows;
use crate::limits::{RESPONSE_FIELDS_MAX, RESPONSE_HEAD_BYTES_MAX};
use crate::net::{Chunk, Timer};
use crate::pool::NodePool;
use crate::relay::{Append, Sink, Source};
use crate::shard::{ServiceState, Shard};
pub use connection::{Multiplexed, Seat};
pub use request::Request;

mod connection;
mod request;

/// One exchange's stream, or the right to open one.
pub struct Stream {
    seat: Seat,
    sent_at: Instant,
    send: Option<SendStream<Chunk>>,
    incoming: Answering,
    /// What of the body went with the head, and the connection has not taken yet.
    outbox: Outbox,
    again: Again,
}

/// What is there for sending it again.
struct Again {
    /// What of the body went with the head.
    body: RefCell<Option<Outbox>>,
    reached: Cell<Reached>,
}

/// An answer, as far as it has come.
#[derive(Default)]
struct Answering {
    response: Option<ResponseFuture>,
    interim: Option<Parts>,
    head: Option<Parts>,
    body: Option<RecvStream>,
    /// The body's stream has failed.
    gone: Cell<bool>,
}

impl Stream {
    fn new(seat: Seat) -> Self {
        let sent_at = seat.connection.now();
        let again = Again { body: RefCell::default(), reached: Cell::new(Reached::Perhaps) };
        Self { seat, sent_at, send: None, incoming: Answering::default(), outbox: Outbox::default(), again }
    }
}

impl Carrier for Stream {
    type Request = Request;
    type Upload<'a> = Upload<'a>;
    type Answer<'a> = Answer<'a>;

    fn take(pool: &NodePool, _: Instant, heard_after: Option<Instant>) -> Option<Self> {
        pool.take_seat(heard_after).map(Self::new)
    }

    async fn open(
        shard: &Rc<Shard>,
        service: &ServiceState,
        node: usize,
        _: &[u8],
        timer: &Timer,
    ) -> Result<Self, Error> {
        connection::open(shard, service, node, timer).await.map(Self::new)
    }

    async fn send(&mut self, request: &mut Request) -> io::Result<bool> {
        self.sent_at = self.seat.connection.now();
        self.again.body.replace(Some(request.body.copy()));
        self.outbox = std::mem::take(&mut request.body);
        let Ok((response, mut send)) = self.seat.connection.send(request.head(), request.is_bodiless())
        else {
            // It has not left the gateway.
            self.again.reached.set(Reached::Nothing);
            return Err(io::ErrorKind::NotConnected.into());
        };
        self.incoming.response = Some(response);
        let ended = request.is_bodiless() || self.outbox.is_ended();
        // Whether the stream was reset, the answer tells.
        let taken = request.is_bodiless()
            || self.outbox.poll_send(&mut Context::from_waker(Waker::noop()), &mut send).is_ready();
        self.send = Some(send);
        Ok(ended && taken)
    }

    fn answer(&mut self) -> Answer<'_> {
        Answer { incoming: &mut self.incoming, again: &self.again }
    }

    fn split<'a>(&'a mut self, _: &'a Shard, _: BodyFraming) -> (Upload<'a>, Answer<'a>) {
        let Self { send, incoming, outbox, again, .. } = self;
        let upload = Upload { stream: send.as_mut(), outbox, again };
        (upload, Answer { incoming, again })
    }

    fn take_back(&mut self, request: &mut Request, _: bool) -> Option<Reached> {
        let reached = self.again.reached.get();
        if reached == Reached::Perhaps && !self.seat.used {
            return None;
        }
        request.body = self.again.body.take()?;
        Some(reached)
    }

    fn release(self, shard: &Shard, service: &ServiceState, node: usize, _: bool) {
        // Before the seat, which another may be waiting for.
        drop((self.send, self.incoming));
        self.seat.release(shard, service, node);
    }

    fn give_up(self, shard: &Shard, service: &ServiceState, node: usize, error: &Error, _: bool) {
        // A connection on which nothing at all has come for most of that time may lead nowhere.
        let (now, heard) = (shard.net.now(), self.seat.connection.heard());
        if *error == Error::UpstreamTimeout && now - heard > (now - self.sent_at) / 2 {
            self.seat.connection.retire();
        }
        self.release(shard, service, node, false);
    }
}

/// The rest of a request's body on its way.
pub struct Upload<'a> {
    /// `None`: nothing was sent.
    stream: Option<&'a mut SendStream<Chunk>>,
    outbox: &'a mut Outbox,
    again: &'a Again,
}

impl Append for Upload<'_> {
    fn push(&mut self, chunk: Chunk) {
        self.again.body.take();
        self.outbox.push(chunk);
    }

    fn end(&mut self, trailers: &[u8]) {
        if !self.outbox.is_ended() {
            self.again.body.take();
            self.outbox.end(trailers);
        }
    }

    fn is_full(&self) -> bool {
        self.outbox.is_full()
    }
}

impl Sink for Upload<'_> {
    async fn shut_down(&mut self) -> io::Result<()> {
        self.end(&[]);
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Some(stream) => poll_fn(|cx| self.outbox.poll_send(cx, stream)).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// The answer on a stream.
pub struct Answer<'a> {
    incoming: &'a mut Answering,
    again: &'a Again,
}

impl carrier::Answer for Answer<'_> {
    fn try_head(
        &mut self,
        method: Method,
        _upgrade_asked: bool,
        visit: impl FnOnce(&ResponseHead, &ResponseMeta, bool),
    ) -> Result<Head, Error> {
        let Answering { interim, head, body, .. } = &mut *self.incoming;
        let Some((parts, is_final)) =
            interim.take().map(|parts| (parts, false)).or_else(|| head.take().map(|parts| (parts, true)))
        else {
            return Ok(Head::Partial);
        };
        // It was processed, so it is not sent again.
        self.again.body.take();
        let ends = body.as_ref().is_some_and(RecvStream::is_end_stream);
        let framing = show(&parts, method, ends, |head, meta| visit(head, meta, is_final))?;
        Ok(if is_final { Head::Final { framing, keep_alive: true, upgrade: false } } else { Head::Interim })
    }

    async fn ready(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_head(cx)).await
    }

    fn is_untouched(&self) -> bool {
        true
    }

    fn body(&mut self, _: BodyFraming) -> impl Source {
        match self.incoming.body.take() {
            Some(stream) => Incoming::new(stream, &self.incoming.gone, u64::MAX, RESPONSE_HEAD_BYTES_MAX),
            None => unreachable!("a body is asked for once, after its head"),
        }
    }
}

impl Answer<'_> {
    fn poll_head(&mut self, cx: &mut Context) -> Poll<Result<(), Error>> {
        let Some(response) = &mut self.incoming.response else {
            return Poll::Ready(Err(Error::UpstreamGone));
        };
        match response.poll_informational(cx) {
            Poll::Ready(Some(Ok(interim))) => {
                self.incoming.interim = Some(interim.into_parts().0);
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.failed(&error))),
            Poll::Ready(None) => {}
            Poll::Pending => return Poll::Pending,
        }
        match ready!(std::pin::Pin::new(response).poll(cx)) {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                (self.incoming.head, self.incoming.body) = (Some(head), Some(body));
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.failed(&error))),
        }
    }

    /// What the end of a stream without an answer means.
    fn failed(&self, error: &h2::Error) -> Error {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        if error.is_remote() && (refused || error.is_go_away()) {
            self.again.reached.set(Reached::Nothing);
        }
        if error.is_library() { Error::UpstreamMalformed("HTTP/2") } else { Error::UpstreamGone }
    }
}

/// Makes a head out of what `h2` has decoded and shows it to `visit`. `ends`: no content follows, nor trailers. Returns the
/// framing of the body.
fn show(
    parts: &Parts,
    method: Method,
    ends: bool,
    visit: impl FnOnce(&ResponseHead, &ResponseMeta),
) -> Result<BodyFraming, Error> {
    if parts.status == http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::UpstreamMalformed("101 in HTTP/2"));
    }
    if parts.headers.len() > RESPONSE_FIELDS_MAX {
        return Err(malformed(HeadError::HeadersTooLarge));
    }
    let fields: SmallVec<[Field; 24]> = parts
        .headers
        .iter()
        .map(|(name, value)| Field { name: name.as_str(), value: trim_ows(value.as_bytes()) })
        .collect();
    let head = ResponseHead {
        status: parts.status.as_u16(),
        version: Version::H2,
        reason: parts.status.canonical_reason().unwrap_or_default(),
        fields: &fields,
        len: 0,
    };
    let mut meta = response_meta(&head, method).map_err(malformed)?;
    if ends && meta.body == BodyFraming::UntilClose {
        meta.body = BodyFraming::Length(0);
    }
    visit(&head, &meta);
    Ok(meta.body)
}
