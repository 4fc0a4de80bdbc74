//! HTTP/1.1 to nodes: one exchange at a time on a connection.
//!
//! Input: a request's head as bytes. Output: see [`Carrier`]. What was posted last stays with the stream, so a request
//! that went over whole can be taken back from there and sent again.

use std::io;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::control::snapshot::NodeShared;
use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::carrier::{self, Carrier, Head, Reached};
use crate::http::h1_body::{Incoming, Upload, frame, frame_end};
use crate::http::head::{
    FIELDS_MAX, HeadError, HeadLimits, Method, ResponseHead, ResponseMeta, has_head_end, parse_response,
    response_meta,
};
use crate::http::inbox::Inbox;
use crate::limits::{RESPONSE_FIELDS_MAX, RESPONSE_HEAD_BYTES_MAX};
use crate::net::{Chunk, Outgoing, Timer};
use crate::pool::{Keep, NodePool};
use crate::relay::{Append, Source};
use crate::shard::{ServiceState, Shard};
use crate::stream::Stream;
use crate::tls::nodes::{self, Spoken};
use crate::upstream;

const LIMITS: HeadLimits =
    HeadLimits { bytes_max: RESPONSE_HEAD_BYTES_MAX, target_bytes_max: 0, fields_max: RESPONSE_FIELDS_MAX };

/// A connection to a node and what came in on it.
pub struct Connection {
    /// Its bytes in clear.
    pub stream: Stream,
    /// Received and unread; empty between exchanges.
    pub inbox: Inbox,
    /// What the shards count together of its node.
    pub node: Arc<NodeShared>,
    /// It has lain in the pool, so the node may have closed it meanwhile.
    used: bool,
}

impl Connection {
    /// Whether it can carry another request, as far as is known.
    pub fn is_fresh(&self) -> bool {
        self.inbox.is_empty() && self.stream.is_fresh()
    }

    /// Prepares it for the pool: the end of the connection is noticed, nobody waits.
    pub fn rest(&mut self) {
        self.used = true;
        self.stream.rest();
    }
}

/// A request's head, and framed behind it what of the body had come when it was made.
pub struct Request {
    out: Outgoing,
    framing: BodyFraming,
}

impl Request {
    /// `head`: the bytes of the head. `framing`: of the body that is appended.
    pub fn new(head: Outgoing, framing: BodyFraming) -> Self {
        Self { out: head, framing }
    }
}

impl Append for Request {
    fn push(&mut self, chunk: Chunk) {
        frame(&mut self.out, self.framing, chunk);
    }

    fn end(&mut self, trailers: &[u8]) {
        frame_end(&mut self.out, self.framing, trailers);
    }

    fn is_full(&self) -> bool {
        self.out.is_full()
    }
}

impl Carrier for Connection {
    type Request = Request;
    type Upload<'a> = Upload<'a>;
    type Answer<'a> = Answer<'a>;

    fn take(pool: &NodePool, now: Instant, heard_after: Option<Instant>) -> Option<Self> {
        if heard_after.is_some() { None } else { pool.take(now) }
    }

    async fn open(
        shard: &Rc<Shard>,
        service: &ServiceState,
        node: usize,
        header: &[u8],
        timer: &Timer,
    ) -> Result<Self, Error> {
        // A service without routes is for TCP alone.
        let spoken = if service.plan.config.routes.is_empty() { Spoken::Bytes } else { Spoken::Http1 };
        let stream = upstream::connect(shard, service, node, (header, spoken), timer).await?;
        let node = service.plan.nodes[node].shared.clone();
        Ok(Self { stream, inbox: Inbox::default(), node, used: false })
    }

    async fn send(&mut self, request: &mut Request) -> io::Result<bool> {
        self.stream.post(std::mem::take(&mut request.out)).await.map(|()| true)
    }

    fn answer(&mut self) -> Answer<'_> {
        Answer { stream: &self.stream, inbox: &mut self.inbox, parsed: 0 }
    }

    fn split<'a>(&'a mut self, shard: &'a Shard, framing: BodyFraming) -> (Upload<'a>, Answer<'a>) {
        let upload = Upload::new(&shard.net, &self.stream, framing);
        (upload, Answer { stream: &self.stream, inbox: &mut self.inbox, parsed: 0 })
    }

    fn take_back(&mut self, request: &mut Request, whole: bool) -> Option<Reached> {
        // Nothing is read before the certificate is accepted, which comes first.
        let refused = !self.used && self.stream.tls_failure().is_some_and(|error| nodes::refuses(&error));
        if !whole || !(self.used || refused) {
            return None;
        }
        let mut out = self.stream.take_sent()?;
        let reached = if out.sent() == 0 || refused { Reached::Nothing } else { Reached::Perhaps };
        out.rewind();
        request.out = out;
        Some(reached)
    }

    fn release(self, shard: &Shard, service: &ServiceState, node: usize, reusable: bool) {
        let pool = &service.pools[node];
        let woken = if reusable {
            let config = &service.plan.config;
            let keep = Keep {
                idle_max: config.pool.max_idle_per_node.div_ceil(shard.shards),
                idle_timeout: config.timeouts.idle,
                limited: config.pool.max_connections_per_node > 0,
            };
            pool.put(self, shard.net.now(), &keep)
        } else {
            drop(self);
            pool.wake_one()
        };
        if woken {
            shard.net.hurry();
        }
    }

    fn give_up(self, shard: &Shard, service: &ServiceState, node: usize, _: &Error, untouched: bool) {
        if let Some(failure) = self.stream.tls_failure() {
            upstream::tls_failed(shard, service, node, &failure, untouched && !self.used);
        }
        self.release(shard, service, node, false);
    }
}

/// An answer that comes in on a connection.
pub struct Answer<'a> {
    stream: &'a Stream,
    inbox: &'a mut Inbox,
    /// Bytes of the inbox that have been looked at in vain.
    parsed: usize,
}

impl carrier::Answer for Answer<'_> {
    fn try_head(
        &mut self,
        method: Method,
        upgrade_asked: bool,
        visit: impl FnOnce(&ResponseHead, &ResponseMeta, bool),
    ) -> Result<Head, Error> {
        let head = read_head(self.inbox, &mut self.parsed, method, upgrade_asked, visit)?;
        if matches!(head, Head::Partial) {
            self.inbox.gather();
        }
        Ok(head)
    }

    async fn ready(&mut self) -> Result<(), Error> {
        match self.stream.receive().await {
            Ok(Some(chunk)) => {
                self.inbox.add(chunk);
                Ok(())
            }
            // A node of TLS 1.3 refuses the gateway's certificate after the handshake.
            Err(_) if self.stream.tls_failure().is_some() => Err(Error::TlsFailed),
            Ok(None) | Err(_) => Err(Error::UpstreamGone),
        }
    }

    fn is_untouched(&self) -> bool {
        self.inbox.is_empty()
    }

    fn body(&mut self, framing: BodyFraming) -> impl Source {
        Incoming::new(self.stream, self.inbox, framing, u64::MAX)
    }
}

/// Reads a head off the front of the inbox, shows it to `visit` (with whether it is final) and takes it off. `parsed` =
/// bytes that have been looked at in vain; starts at 0.
fn read_head(
    inbox: &mut Inbox,
    parsed: &mut usize,
    method: Method,
    upgrade_asked: bool,
    visit: impl FnOnce(&ResponseHead, &ResponseMeta, bool),
) -> Result<Head, Error> {
    let bytes = inbox.bytes();
    if *parsed > 0 && bytes.len() < RESPONSE_HEAD_BYTES_MAX && !has_head_end(bytes, *parsed) {
        *parsed = bytes.len();
        return Ok(Head::Partial);
    }
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let Some(head) = parse_response(bytes, &LIMITS, &mut slots).map_err(malformed)? else {
        *parsed = bytes.len();
        return Ok(Head::Partial);
    };
    let meta = response_meta(&head, method).map_err(malformed)?;
    if meta.upgrade && !upgrade_asked {
        return Err(Error::UpstreamMalformed("switched protocols unasked"));
    }
    let is_final = head.status >= 200 || meta.upgrade;
    if head.status == 101 && !meta.upgrade {
        return Err(Error::UpstreamMalformed("101 without a protocol"));
    }
    visit(&head, &meta, is_final);
    let len = head.len;
    inbox.consume_head(len);
    *parsed = 0;
    Ok(if is_final {
        Head::Final { framing: meta.body, keep_alive: meta.keep_alive, upgrade: meta.upgrade }
    } else {
        Head::Interim
    })
}

/// What is wrong with a head of a node, whatever it speaks.
pub fn malformed(error: HeadError) -> Error {
    Error::UpstreamMalformed(match error {
        HeadError::Malformed(what) => what,
        HeadError::HeadersTooLarge | HeadError::UriTooLong => "head too large",
        HeadError::TransferCodingNotImplemented => "transfer coding other than chunked",
        HeadError::VersionNotSupported => "HTTP version",
        HeadError::MethodNotAllowed | HeadError::ExpectationFailed | HeadError::Http2Preface => "head",
    })
}
