//! TCP services: a connection to a listener becomes a connection to one of the service's nodes.
//!
//! Balancing, health, pools' limits and timeouts are those of HTTP; a connection is one exchange, accounted for once.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::account::{Cause, Ending, LimitSet, Phase};
use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::exchange::Timers;
use crate::http::h1_body::{Incoming, Upload};
use crate::http::inbox::Inbox;
use crate::http::upgrade::tunnel;
use crate::net::Socket;
use crate::shard::{ServiceState, Shard};
use crate::upstream::{Tried, obtain};

/// Serves one connection to its end.
pub async fn serve(shard: Rc<Shard>, socket: Socket, service: Arc<str>, peer: SocketAddr) {
    let live = shard.live();
    let Some(service) = live.services.iter().find(|candidate| candidate.plan.config.name == service).cloned()
    else {
        return;
    };
    drop(live);
    if !service.plan.access.permits(peer.ip()) {
        socket.reset_on_close();
        return account(&shard, &service, Cause::Refused, Phase::Decide, (0, 0), shard.net.now());
    }
    let started = shard.net.now();
    let timers = Timers { up: shard.net.timer(), down: shard.net.timer() };
    let mut tried = Tried::default();
    let (result, bytes_in, bytes_out) =
        match obtain(&shard, &service, peer.ip(), &mut tried, true, &timers.down).await {
            Err(error) => (Err((error, Phase::Connect)), 0, 0),
            Ok(mut lease) => {
                let mut inbox = Inbox::default();
                let mut source = Incoming::new(&socket, &mut inbox, BodyFraming::UntilClose, u64::MAX);
                let mut sink = Upload::new(&shard.net, shard.net.outgoing(), BodyFraming::UntilClose);
                sink.socket = Some(&socket);
                let connection = &mut lease.connection;
                let (upstream, inbox) = (&connection.socket, &mut connection.inbox);
                let result = tunnel(&shard, &timers, &service, &mut source, upstream, inbox, &mut sink).await;
                (result, source.bytes(), sink.bytes())
            }
        };
    if result.is_err() {
        socket.reset_on_close();
    }
    let (cause, phase) = match &result {
        Ok(()) => (Cause::Done, Phase::Complete),
        Err((error, phase)) => (Error::cause(error), *phase),
    };
    account(&shard, &service, cause, phase, (bytes_in, bytes_out), started);
}

fn account(
    shard: &Rc<Shard>,
    service: &Rc<ServiceState>,
    cause: Cause,
    phase: Phase,
    (bytes_in, bytes_out): (u64, u64),
    started: Instant,
) {
    let total_us = u64::try_from((shard.net.now() - started).as_micros()).unwrap_or(u64::MAX);
    let ending = Ending {
        cause,
        phase,
        status: 0,
        bytes_in,
        bytes_out,
        total_us,
        upstream_us: 0,
        limited: None,
        observed: LimitSet::default(),
    };
    shard.account(Some(service), &ending);
}
