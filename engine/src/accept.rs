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
                let stream = Stream::Plain(Socket::adopt(&shard.net, fd));
                let open = Gauges::connection(&shard);
                glommio::spawn_local(connection(shard.clone(), stream, state.clone(), peer, open)).detach();
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
    stream: Stream,
    listener: Rc<ListenerState>,
    peer: SocketAddr,
    open: OpenConnection,
) {
    let config = listener.config();
    let served = match &config.protocol {
        ListenerProtocol::Tcp { service } => {
            // In memory of its own, so that HTTP connections do not pay for its size.
            let served = Box::pin(tcp::serve(shard.clone(), stream, service.clone(), peer));
            AssertUnwindSafe(served).catch_unwind().await
        }
        ListenerProtocol::Http | ListenerProtocol::Https { .. } => {
            drop(config);
            let served = http(shard.clone(), stream, listener, peer);
            AssertUnwindSafe(served).catch_unwind().await
        }
    };
    if served.is_err() {
        shard.counters.panicked();
    }
    drop(open);
}

/// HTTP of whatever version the client speaks.
async fn http(shard: Rc<Shard>, stream: Stream, listener: Rc<ListenerState>, peer: SocketAddr) {
    let origin = Origin { peer: peer.ip(), https: false };
    if let Some(inbox) = h1::serve(&shard, &stream, &listener, origin).await {
        Box::pin(h2::serve(shard, stream, listener, origin, inbox.into_chunk())).await;
    }
}

fn peer_of(fd: &std::os::fd::OwnedFd) -> Option<SocketAddr> {
    socket2::SockRef::from(fd).peer_addr().ok()?.as_socket()
}
