//! TCP services: a connection to a listener becomes a connection to one of the service's nodes.
//!
//! Input: a connection in clear, or one whose TLS is passed through: then the name that the client asks for leads to the
//! service ([`crate::sni`]). Output: its bytes at a node, behind a PROXY header if the service sends one, and back; a side
//! that ends is shut down towards the other, which goes on. A connection that leads nowhere is reset.
//!
//! Admission, balancing, health, pools' limits and timeouts are those of HTTP; a connection is one exchange, which takes
//! one token of each limit and is accounted for once.

use std::rc::Rc;
use std::time::Instant;

use crate::account::Phase;
use crate::admission;
use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::exchange::{Outcome, Timers};
use crate::http::h1_body::{Incoming, Upload};
use crate::http::h1_upstream::Connection;
use crate::http::inbox::Inbox;
use crate::http::record::{Moved, Record};
use crate::http::upgrade::tunnel;
use crate::net::Chunk;
use crate::proxy_protocol::{self, Ends};
use crate::shard::{ServiceState, Shard};
use crate::sni::{self, Hello};
use crate::stream::Stream;
use crate::upstream::{Asker, Tried, obtain, tls_failed};

/// Serves one connection of a listener, of which `first` was read already, to its end. What it leads to must be known by
/// `deadline`.
pub async fn serve(
    shard: Rc<Shard>,
    stream: Stream,
    listener: &str,
    ends: Ends,
    first: Option<Chunk>,
    deadline: Instant,
) {
    let mut inbox = Inbox::from(first);
    let started = shard.net.now();
    let Some(service) = target(&shard, &stream, listener, &mut inbox, deadline).await else {
        return stream.reset_on_close();
    };
    let mut record = Record::new(started, ends.source.ip().to_canonical());
    record.service = Some(service.clone());
    record.begin_line(&shard, None, "", "");
    let _open = match admission::admit_connection(&shard, &service, &mut record) {
        Ok(open) => open,
        Err(error) => {
            stream.reset_on_close();
            return record.end(&shard, &Outcome::new(Some(error), Phase::Decide), Moved::default());
        }
    };
    let timers = Timers { up: shard.net.timer(), down: shard.net.timer() };
    let mut tried = Tried::default();
    let (now, timer) = (shard.net.now(), &timers.down);
    let mut header = Vec::new();
    if let Some(version) = service.plan.config.send_proxy_protocol {
        proxy_protocol::write(&mut header, version, ends);
    }
    let asker = Asker { client: record.client, header: &header };
    let lease = obtain::<Connection>(&shard, &service, asker, &mut tried, Some(now), timer).await;
    let (outcome, moved) = match lease {
        Err(error) => (Outcome::new(Some(error), Phase::Connect), Moved::default()),
        Ok(mut lease) => {
            let node = Some(service.plan.nodes[lease.node].address);
            let connected = shard.net.now();
            let mut inbox = Inbox::from(inbox.into_chunk());
            let mut source = Incoming::new(&stream, &mut inbox, BodyFraming::UntilClose, u64::MAX);
            let mut sink = Upload::new(&shard.net, &stream, BodyFraming::UntilClose);
            let client = (&mut source, &mut sink);
            let Connection { stream, inbox, .. } = &mut lease.carrier;
            let mut incoming = Incoming::new(stream, inbox, BodyFraming::UntilClose, u64::MAX);
            let mut upload = Upload::new(&shard.net, stream, BodyFraming::UntilClose);
            let node_side = (&mut incoming, &mut upload);
            let result = tunnel(&shard, &timers, &service, client, node_side).await;
            let (mut error, phase) =
                result.map_or_else(|(error, phase)| (Some(error), phase), |()| (None, Phase::Complete));
            if let Some(failure) = stream.tls_failure() {
                tls_failed(&shard, &service, lease.node, &failure, sink.bytes() == 0);
                error = error.map(|_| Error::TlsFailed);
            }
            let outcome =
                Outcome { error, phase, upstream: shard.net.now() - connected, node, retried: false };
            let (bytes_in, bytes_out) = (source.bytes(), sink.bytes());
            (outcome, Moved { status: 0, bytes_in, bytes_out, body_bytes_out: bytes_out })
        }
    };
    if outcome.error.is_some() {
        stream.reset_on_close();
    }
    record.end(&shard, &outcome, moved);
}

/// Finds the service that a connection is for; `None`: none, or the client has not said in time.
async fn target(
    shard: &Shard,
    stream: &Stream,
    listener: &str,
    inbox: &mut Inbox,
    deadline: Instant,
) -> Option<Rc<ServiceState>> {
    let live = shard.live();
    let targets = live.snapshot.tcp.get(listener)?;
    let service = if targets.names.is_empty() {
        targets.fallback
    } else {
        name_asked_for(shard, stream, inbox, deadline)
            .await?
            .and_then(|name| targets.names.get(&name))
            .or(targets.fallback)
    };
    live.services.get(service?).cloned()
}

/// The name that a TLS client asks for, if any. What was read stays in the inbox. `None`: too slow, or gone.
async fn name_asked_for(
    shard: &Shard,
    stream: &Stream,
    inbox: &mut Inbox,
    deadline: Instant,
) -> Option<Option<String>> {
    let timer = shard.net.timer();
    timer.set(deadline);
    loop {
        match sni::peek(inbox.bytes()) {
            Hello::Named(name) => return Some(Some(name)),
            Hello::Nameless => return Some(None),
            Hello::Partial => inbox.gather(),
        }
        inbox.add(timer.within(stream.receive()).await.ok()?.ok()??);
    }
}
