//! One exchange: a request, its answer, and the stages between, wired once.
//!
//! [`decide`] takes a request head through the stages that only look at it: route, admission, headers. It is
//! synchronous, so that the head may be borrowed from a receive buffer. [`carry`] then moves the bytes: balance, pool,
//! upstream, relay. Whoever calls them makes a head, a [`Source`] for the request's body and a [`ResponseSink`] for the
//! answer out of its protocol, and ends the [`Record`](crate::http::record::Record) with the [`Outcome`].

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::account::Phase;
use crate::admission;
use crate::error::Error;
use crate::http::body::{BodyError, BodyFraming};
use crate::http::carrier::{Answer, Carrier, Head, Reached};
use crate::http::h1_upstream::{self, Connection};
use crate::http::h2_upstream;
use crate::http::head::{Method, ResponseHead, ResponseMeta};
use crate::http::headers::Rules;
use crate::http::upgrade;
use crate::limits::{INTERIM_ANSWERS_MAX, REPEATS_MAX};
use crate::net::{Elapsed, Timer};
use crate::relay::{Pace, Progress, ReadError, RelayError, Sink, Source, fill, relay, until};
use crate::shard::{ServiceState, Shard};
use crate::tls::subject::Subject;
use crate::upstream::{self, Lease, Tried};
pub use decide::{asks_for_a_token, asks_the_gateway, body_bytes_max, decide};

mod decide;

/// Where the answer goes.
pub trait ResponseSink: Sink {
    /// Appends an interim answer (1xx, not 101).
    fn interim(&mut self, head: &ResponseHead, meta: &ResponseMeta, rules: &Rules);

    /// Appends the answer's head. `request_whole`: all of the request has been read; if not, the connection cannot
    /// carry another.
    ///
    /// # Errors
    /// It is no answer to what was asked. Nothing was appended.
    fn head(
        &mut self,
        head: &ResponseHead,
        meta: &ResponseMeta,
        rules: &Rules,
        request_whole: bool,
    ) -> Result<(), Error>;
}

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The connection is TLS.
    pub https: bool,
    /// Who the client is by its certificate, which was verified.
    pub subject: Option<Rc<Subject>>,
}

/// Timers of one connection, one for each direction.
pub struct Timers {
    /// Client to upstream.
    pub up: Timer,
    /// Upstream to client.
    pub down: Timer,
}

/// A request that may go upstream.
pub struct Plan {
    /// Where it goes.
    pub service: Rc<ServiceState>,
    /// Its head as the upstream gets it.
    pub request: Request,
    /// Framing of its body, both as it comes and as it goes.
    pub framing: BodyFraming,
    /// Its method.
    pub method: Method,
    /// The real client.
    pub client: IpAddr,
    /// The client waits for 100 (Continue) before it sends the body.
    pub expect_continue: bool,
    /// The client asks for another protocol.
    pub upgrade: bool,
}

/// A request in the form that its service's nodes want.
pub enum Request {
    /// HTTP/1.1; also what is to be upgraded, whatever the nodes speak besides.
    H1(h1_upstream::Request),
    /// HTTP/2.
    H2(Box<h2_upstream::Request>),
}

/// How an exchange ended.
#[derive(Debug)]
pub struct Outcome {
    /// What went wrong.
    pub error: Option<Error>,
    /// Where it was then.
    pub phase: Phase,
    /// From the request sent to the answer's last byte; zero if no upstream was asked.
    pub upstream: Duration,
    /// The node that was asked last.
    pub node: Option<SocketAddr>,
    /// It was sent again on another connection.
    pub retried: bool,
}

/// Moves a request upstream and its answer back.
pub async fn carry<R: Source, K: ResponseSink>(
    shard: &Rc<Shard>,
    timers: &Timers,
    plan: Plan,
    source: &mut R,
    sink: &mut K,
) -> Outcome {
    let Plan { service, request, framing, method, client, expect_continue, upgrade } = plan;
    let asked = Asked { framing, method, client, expect_continue, upgrade };
    // What may become a tunnel counts as one from here on.
    let _open = match upgrade.then(|| admission::count_connection(&service)).transpose() {
        Ok(open) => open,
        Err(error) => return Outcome::new(Some(error), Phase::Decide),
    };
    match request {
        Request::H1(request) => {
            carry_by::<Connection, _, _>(shard, timers, &service, request, asked, source, sink).await
        }
        Request::H2(request) => {
            let carried =
                carry_by::<h2_upstream::Stream, _, _>(shard, timers, &service, *request, asked, source, sink);
            Box::pin(carried).await
        }
    }
}

/// What of a plan does not depend on what carries it.
#[derive(Clone, Copy)]
struct Asked {
    framing: BodyFraming,
    method: Method,
    client: IpAddr,
    expect_continue: bool,
    upgrade: bool,
}

async fn carry_by<C: Carrier, R: Source, K: ResponseSink>(
    shard: &Rc<Shard>,
    timers: &Timers,
    service: &Rc<ServiceState>,
    mut request: C::Request,
    asked: Asked,
    source: &mut R,
    sink: &mut K,
) -> Outcome {
    let mut whole = asked.framing == BodyFraming::None;
    if !whole && !asked.expect_continue {
        // What has come with the head goes with the head.
        match fill(source, &mut request) {
            Ok(progress) => whole = progress == Progress::Ended,
            Err(error) => return Outcome::new(Some(upload_error(error)), Phase::RequestBody),
        }
    }
    let moved = Cell::new(shard.net.now());
    let exchange = Exchange { shard, timers, service, asked, moved: &moved };
    let (mut tried, mut repeats, mut failed_one, mut refused) = (Tried::default(), 0, None, None);
    loop {
        let retried = repeats > 0;
        let obtained = upstream::obtain(shard, service, asked.client, &mut tried, failed_one, &timers.down);
        let Lease::<C> { mut carrier, node } = match obtained.await {
            Ok(lease) => lease,
            Err(error) => {
                // That the only node refuses says more than that there is none left.
                let (error, phase) =
                    refused.filter(|_| error == Error::NoHealthyNode).unwrap_or((error, Phase::Connect));
                return Outcome { retried, ..Outcome::new(Some(error), phase) };
            }
        };
        let sent_at = shard.net.now();
        moved.set(sent_at);
        let uploaded = Cell::new(false);
        let result = match carrier.send(&mut request).await {
            Err(_) => Err(Failure::untouched(Error::UpstreamGone)),
            Ok(nothing_left) if whole && nothing_left => {
                uploaded.set(true);
                exchange.answer_unless_gone(source, carrier.answer(), sink, &uploaded).await
            }
            Ok(_) => {
                let (upload, answer) = carrier.split(shard, asked.framing);
                Box::pin(exchange.both(source, upload, answer, sink, &uploaded)).await
            }
        };
        let result = match result {
            Ok(Answered::Upgraded) => {
                let result = {
                    let (mut upload, mut answer) = carrier.split(shard, BodyFraming::UntilClose);
                    let mut incoming = answer.body(BodyFraming::UntilClose);
                    let ends = ((source, sink), (&mut incoming, &mut upload));
                    Box::pin(upgrade::tunnel(shard, timers, service, ends.0, ends.1)).await
                };
                carrier.release(shard, service, node, false);
                result
            }
            Ok(Answered::Whole { reusable }) => {
                carrier.release(shard, service, node, reusable && uploaded.get());
                Ok(())
            }
            Err(failure) => {
                let repeat =
                    failure.untouched && exchange.may_repeat(&mut carrier, &mut request, whole, repeats);
                carrier.give_up(shard, service, node, &failure.error, failure.untouched);
                if repeat {
                    (repeats, failed_one) = (repeats + 1, Some(sent_at));
                    refused = (failure.error == Error::TlsFailed).then_some((failure.error, failure.phase));
                    shard.counters.retried();
                    continue;
                }
                Err((failure.error, failure.phase))
            }
        };
        let upstream = shard.net.now() - sent_at;
        let node = Some(service.plan.nodes[node].address);
        let (error, phase) = match result {
            Ok(()) => (None, Phase::Complete),
            Err((error, phase)) => (Some(error), phase),
        };
        return Outcome { error, phase, upstream, node, retried };
    }
}

impl Outcome {
    /// Of an exchange that asked no upstream.
    pub fn new(error: Option<Error>, phase: Phase) -> Self {
        Self { error, phase, upstream: Duration::ZERO, node: None, retried: false }
    }
}

/// An upstream's part in an exchange that failed.
struct Failure {
    error: Error,
    phase: Phase,
    /// No byte of an answer had come.
    untouched: bool,
}

impl Failure {
    fn untouched(error: Error) -> Self {
        Self { error, phase: Phase::ResponseHead, untouched: true }
    }
}

/// An answer that was relayed.
enum Answered {
    /// All of it; whether the node lets its connection carry another request.
    Whole { reusable: bool },
    /// 101: from here on it is a tunnel.
    Upgraded,
}

/// What all parts of one exchange need.
struct Exchange<'a> {
    shard: &'a Rc<Shard>,
    timers: &'a Timers,
    service: &'a Rc<ServiceState>,
    asked: Asked,
    /// When bytes last moved in either direction.
    moved: &'a Cell<Instant>,
}

impl Exchange<'_> {
    /// Whether a request that failed before any answer may be sent again; it is in `request` then.
    fn may_repeat<C: Carrier>(
        &self,
        carrier: &mut C,
        request: &mut C::Request,
        whole: bool,
        repeats: usize,
    ) -> bool {
        match carrier.take_back(request, whole) {
            Some(Reached::Nothing) => repeats < REPEATS_MAX,
            Some(Reached::Perhaps) => repeats == 0 && self.asked.method.is_idempotent(),
            None => false,
        }
    }

    /// Relays the request's body and the answer at the same time: a node may answer before it has read everything.
    async fn both<R: Source, K: ResponseSink>(
        &self,
        source: &mut R,
        mut upload: impl Sink,
        answer: impl Answer,
        sink: &mut K,
        uploaded: &Cell<bool>,
    ) -> Result<Answered, Failure> {
        let mut down = pin!(self.answer(answer, sink, uploaded));
        let early = {
            let pace = self.pace();
            let mut up = pin!(relay(&self.shard.net, &self.timers.up, &pace, source, &mut upload));
            poll_fn(|cx| match up.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => {
                    uploaded.set(true);
                    Poll::Ready(None)
                }
                // The node takes no more of it; it may still have something to say.
                Poll::Ready(Err(RelayError::Write)) => Poll::Ready(None),
                Poll::Ready(Err(error)) => {
                    let (error, phase) = (upload_error(error), Phase::RequestBody);
                    Poll::Ready(Some(Err(Failure { error, phase, untouched: false })))
                }
                Poll::Pending => down.as_mut().poll(cx).map(Some),
            })
            .await
        };
        match early {
            Some(result) => result,
            None => unless_gone(source, down).await,
        }
    }

    /// Relays the answer for as long as the client is there. One that has shut down its side only still wants it; one
    /// that has reset the connection does not, and the node is told by the close of its connection.
    async fn answer_unless_gone<R: Source, K: ResponseSink>(
        &self,
        source: &R,
        answer: impl Answer,
        sink: &mut K,
        uploaded: &Cell<bool>,
    ) -> Result<Answered, Failure> {
        unless_gone(source, pin!(self.answer(answer, sink, uploaded))).await
    }

    /// Relays the answer.
    async fn answer<K: ResponseSink>(
        &self,
        mut answer: impl Answer,
        sink: &mut K,
        uploaded: &Cell<bool>,
    ) -> Result<Answered, Failure> {
        let (framing, keep_alive) = match self.answer_head(&mut answer, sink, uploaded).await? {
            Head::Final { upgrade: true, .. } => return Ok(Answered::Upgraded),
            Head::Final { framing, keep_alive, .. } => (framing, keep_alive),
            Head::Interim | Head::Partial => unreachable!("answer_head waits for the final head"),
        };
        let mut body = answer.body(framing);
        relay(&self.shard.net, &self.timers.down, &self.pace(), &mut body, sink).await.map_err(|error| {
            let error = match error {
                RelayError::Read(ReadError::Body(BodyError::Truncated) | ReadError::Gone) => {
                    Error::UpstreamGone
                }
                RelayError::Read(_) => Error::UpstreamMalformed("invalid body"),
                RelayError::ReadTimeout => Error::UpstreamTimeout,
                RelayError::Write => Error::ClientGone,
                RelayError::WriteTimeout => Error::ClientStalled,
            };
            Failure { error, phase: Phase::ResponseBody, untouched: false }
        })?;
        Ok(Answered::Whole { reusable: keep_alive })
    }

    /// Waits for the answer's final head, relaying interim ones, and writes it to the sink.
    async fn answer_head<K: ResponseSink>(
        &self,
        answer: &mut impl Answer,
        sink: &mut K,
        uploaded: &Cell<bool>,
    ) -> Result<Head, Failure> {
        let net = &self.shard.net;
        let limit = self.service.plan.config.timeouts.response_header;
        let mut interim = 0;
        loop {
            let mut written = Ok(());
            let head = answer.try_head(self.asked.method, self.asked.upgrade, |head, meta, is_final| {
                let rules = &self.service.plan.rules;
                if is_final {
                    written = sink.head(head, meta, rules, uploaded.get());
                } else {
                    sink.interim(head, meta, rules);
                }
            });
            let untouched = interim == 0 && answer.is_untouched();
            let failed = |error| Failure { error, phase: Phase::ResponseHead, untouched };
            let head = head.map_err(failed)?;
            written.map_err(|error| Failure { error, phase: Phase::ResponseHead, untouched: false })?;
            match head {
                head @ Head::Final { .. } => return Ok(head),
                Head::Interim => {
                    interim += 1;
                    if interim > INTERIM_ANSWERS_MAX {
                        return Err(failed(Error::UpstreamMalformed("too many interim answers")));
                    }
                    self.timers.down.set(net.now() + self.service.plan.config.timeouts.body);
                    if !matches!(self.timers.down.within(sink.flush()).await, Ok(Ok(()))) {
                        return Err(failed(Error::ClientGone));
                    }
                    continue;
                }
                Head::Partial => {}
            }
            match until(net, &self.timers.down, limit, self.moved, answer.ready()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(failed(error)),
                // It may be at work on the request: asking again would double it.
                Err(Elapsed) => {
                    let (error, phase) = (Error::UpstreamTimeout, Phase::ResponseHead);
                    return Err(Failure { error, phase, untouched: false });
                }
            }
        }
    }

    fn pace(&self) -> Pace<'_> {
        let limit = self.service.plan.config.timeouts.body;
        Pace { read: limit, write: limit, moved: self.moved }
    }
}

/// Waits for the answer for as long as the client is there.
async fn unless_gone<R: Source>(
    source: &R,
    mut answer: Pin<&mut impl Future<Output = Result<Answered, Failure>>>,
) -> Result<Answered, Failure> {
    poll_fn(|cx| {
        if source.has_failed() {
            let (error, phase) = (Error::ClientGone, Phase::ResponseHead);
            return Poll::Ready(Err(Failure { error, phase, untouched: false }));
        }
        answer.as_mut().poll(cx)
    })
    .await
}

/// What a failed upload means: the source is the client, the sink the node.
fn upload_error(error: RelayError) -> Error {
    match error {
        RelayError::Read(ReadError::Body(error)) => Error::RequestBody(error),
        RelayError::Read(ReadError::TooLarge) => Error::BodyTooLarge,
        RelayError::Read(ReadError::Gone) => Error::ClientGone,
        RelayError::ReadTimeout => Error::RequestTimeout,
        RelayError::Write => Error::UpstreamGone,
        RelayError::WriteTimeout => Error::UpstreamTimeout,
    }
}
