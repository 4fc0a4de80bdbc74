//! TCP services: a connection to a listener becomes a connection to one of the service's nodes.
//!
//! Admission, balancing, health, pools' limits and timeouts are those of HTTP; a connection is one exchange, which takes
//! one token of each limit and is accounted for once.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::account::Phase;
use crate::admission;
use crate::http::body::BodyFraming;
use crate::http::exchange::{Outcome, Timers};
use crate::http::h1_body::{Incoming, Upload};
use crate::http::h1_upstream::Connection;
use crate::http::inbox::Inbox;
use crate::http::record::{Moved, Record};
use crate::http::upgrade::tunnel;
use crate::shard::Shard;
use crate::stream::Stream;
use crate::upstream::{Tried, obtain};

/// Serves one connection to its end.
pub async fn serve(shard: Rc<Shard>, stream: Stream, service: Arc<str>, peer: SocketAddr) {
    let live = shard.live();
    let Some(service) = live.services.iter().find(|candidate| candidate.plan.config.name == service).cloned()
    else {
        return;
    };
    drop(live);
    let mut record = Record::new(shard.net.now(), peer.ip().to_canonical());
    record.service = Some(service.clone());
    record.begin_line(&shard, None, "", "");
    if let Err(error) = admission::admit(&shard, &service, [], &mut record) {
        stream.reset_on_close();
        return record.end(&shard, &Outcome::new(Some(error), Phase::Decide), Moved::default());
    }
    let timers = Timers { up: shard.net.timer(), down: shard.net.timer() };
    let mut tried = Tried::default();
    let (now, timer) = (shard.net.now(), &timers.down);
    let lease = obtain::<Connection>(&shard, &service, record.client, &mut tried, Some(now), timer).await;
    let (outcome, moved) = match lease {
        Err(error) => (Outcome::new(Some(error), Phase::Connect), Moved::default()),
        Ok(mut lease) => {
            let node = Some(service.plan.nodes[lease.node].address);
            let connected = shard.net.now();
            let mut inbox = Inbox::default();
            let mut source = Incoming::new(&stream, &mut inbox, BodyFraming::UntilClose, u64::MAX);
            let mut sink = Upload::new(&shard.net, &stream, BodyFraming::UntilClose);
            let client = (&mut source, &mut sink);
            let Connection { stream, inbox, .. } = &mut lease.carrier;
            let mut incoming = Incoming::new(stream, inbox, BodyFraming::UntilClose, u64::MAX);
            let mut upload = Upload::new(&shard.net, stream, BodyFraming::UntilClose);
            let node_side = (&mut incoming, &mut upload);
            let result = tunnel(&shard, &timers, &service, client, node_side).await;
            let (error, phase) =
                result.map_or_else(|(error, phase)| (Some(error), phase), |()| (None, Phase::Complete));
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
