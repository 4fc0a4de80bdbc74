//! Accept: connections from a listener, each given a task of its own.
//!
//! Input: a listening socket. Output: a task for each connection, which speaks what the listener speaks. A connection
//! over the shard's limit is closed at once. A task that panics ends its own connection and nothing else.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::{Duration, Instant};

use coregate_config::checked::ListenerProtocol;
use futures_lite::FutureExt;

use crate::http::exchange::Origin;
use crate::http::{h1, h2};
use crate::net::{Accepted, Listener, Socket};
use crate::shard::{Gauges, ListenerState, OpenConnection, Shard};
use crate::stream::Stream;
use crate::tcp;
use crate::tls::accept as tls;

/// At most one warning in so long for each listener.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Accepts until the listener is stopped.
pub async fn accept(shard: Rc<Shard>, listener: Rc<Listener>, state: Rc<ListenerState>) {
    let mut warned: Option<Instant> = None;
    let mut may_warn = |now: Instant| {
        let may = warned.is_none_or(|at| now - at >= WARNING_INTERVAL);
        if may {
            warned = Some(now);
        }
        may
    };
    loop {
        match listener.accept().await {
            Accepted::Connection(_) if !shard.has_room() => {
                shard.counters.rejected();
                if may_warn(shard.net.now()) {
                    tracing::warn!(listener = %state.config().name, "connection refused: server.max_connections reached");
                }
            }
            Accepted::Connection(fd) => {
                // A peer that is gone already has no address.
                let Some(peer) = peer_of(&fd) else { continue };
                let socket = Socket::adopt(&shard.net, fd);
                let open = Gauges::connection(&shard);
                glommio::spawn_local(connection(shard.clone(), socket, state.clone(), peer, open)).detach();
                shard.net.hurry();
            }
            Accepted::Paused(error) => {
                if may_warn(shard.net.now()) {
                    tracing::warn!(listener = %state.config().name, %error, "accepting paused for a moment");
                }
            }
            Accepted::Stopped => return,
        }
    }
}

async fn connection(
    shard: Rc<Shard>,
    socket: Socket,
    listener: Rc<ListenerState>,
    peer: SocketAddr,
    open: OpenConnection,
) {
    let served = serve(shard.clone(), socket, listener, peer);
    if AssertUnwindSafe(served).catch_unwind().await.is_err() {
        shard.counters.panicked();
    }
    drop(open);
}

/// The stages before the first request, then whatever the listener speaks.
async fn serve(shard: Rc<Shard>, socket: Socket, listener: Rc<ListenerState>, peer: SocketAddr) {
    let config = listener.config();
    let (https, mut subject) = (config.tls.is_some(), None);
    let stream = if https {
        // In memory of its own, as all that is rare: those that stay do not pay for its size.
        let Some(accepted) = Box::pin(tls::accept(&shard, &listener, socket, peer, None)).await else {
            return;
        };
        subject = accepted.subject;
        Stream::Tls(Box::new(accepted.stream))
    } else {
        Stream::Plain(socket)
    };
    match &config.protocol {
        ListenerProtocol::Tcp { service, .. } => {
            let Some(service) = service.clone() else { return };
            drop(config);
            Box::pin(tcp::serve(shard, stream, service, peer)).await;
        }
        ListenerProtocol::Http | ListenerProtocol::Https => {
            drop(config);
            let origin = Origin { peer: peer.ip(), https, subject };
            http(shard, stream, listener, origin).await;
        }
    }
}

/// HTTP of whatever version the client speaks.
async fn http(shard: Rc<Shard>, stream: Stream, listener: Rc<ListenerState>, origin: Origin) {
    if let Some(inbox) = h1::serve(&shard, &stream, &listener, origin.clone()).await {
        Box::pin(h2::serve(shard, stream, listener, origin, inbox.into_chunk())).await;
    }
}

fn peer_of(fd: &std::os::fd::OwnedFd) -> Option<SocketAddr> {
    socket2::SockRef::from(fd).peer_addr().ok()?.as_socket()
}
