//! Accept: connections from a listener, each given a task of its own.
//!
//! Input: a listening socket. Output: a task for each connection, which reads its PROXY header if it is to have one, then
//! speaks what the listener speaks. A connection over the shard's limit is closed at once; so is one whose PROXY header is
//! malformed, late, or from a peer that is not trusted. A task that panics ends its own connection and nothing else.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::{Duration, Instant};

use coregate_config::checked::{self as config, ListenerProtocol};
use futures_lite::FutureExt;

use crate::http::exchange::Origin;
use crate::http::inbox::Inbox;
use crate::http::{h1, h2};
use crate::net::{Accepted, Chunk, Listener, Socket};
use crate::proxy_protocol::{self, Ends, Header, Malformed};
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
                let Some(ends) = ends_of(&fd, &state.config().protocol) else { continue };
                let socket = Socket::adopt(&shard.net, fd);
                let open = Gauges::connection(&shard);
                glommio::spawn_local(connection(shard.clone(), socket, state.clone(), ends, open)).detach();
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
    ends: Ends,
    open: OpenConnection,
) {
    let served = serve(shard.clone(), socket, listener, ends);
    if AssertUnwindSafe(served).catch_unwind().await.is_err() {
        shard.counters.panicked();
    }
    drop(open);
}

/// Whatever the listener speaks, after the stages that come before it.
///
/// All but HTTP in clear is in memory of its own: that is what most idle connections are, and they do not pay for the size
/// of the others.
async fn serve(shard: Rc<Shard>, socket: Socket, listener: Rc<ListenerState>, ends: Ends) {
    if is_plain_http(&listener.config()) {
        let origin = Origin { peer: ends.source.ip(), https: false, subject: None };
        return http(shard, Stream::Plain(socket), listener, origin, Inbox::default()).await;
    }
    Box::pin(serve_staged(shard, socket, listener, ends)).await;
}

fn is_plain_http(listener: &config::Listener) -> bool {
    listener.protocol == ListenerProtocol::Http && !listener.proxy_protocol && listener.tls.is_none()
}

/// The PROXY header and the handshake, then whatever the listener speaks.
async fn serve_staged(shard: Rc<Shard>, socket: Socket, listener: Rc<ListenerState>, mut ends: Ends) {
    let config = listener.config();
    let deadline = shard.net.now() + config.header_timeout;
    let mut first = None;
    if config.proxy_protocol {
        let Some((said, rest)) = Box::pin(proxy_header(&shard, &socket, ends.source, deadline)).await else {
            shard.counters.proxy_refused();
            return socket.reset_on_close();
        };
        (ends, first) = (said.unwrap_or(ends), rest);
    }
    let peer = ends.source;
    let (https, mut subject) = (config.tls.is_some(), None);
    let stream = if https {
        // In memory of its own, as all that is rare: those that stay do not pay for its size.
        let Some(accepted) = Box::pin(tls::accept(&shard, &listener, socket, peer, first.take())).await
        else {
            return;
        };
        subject = accepted.subject;
        Stream::Tls(Box::new(accepted.stream))
    } else {
        Stream::Plain(socket)
    };
    match &config.protocol {
        ListenerProtocol::Tcp { .. } => {
            let name = config.name.clone();
            drop(config);
            // In memory of its own, so that HTTPS connections do not pay for its size.
            Box::pin(tcp::serve(shard, stream, &name, ends, first, deadline)).await;
        }
        ListenerProtocol::Http | ListenerProtocol::Https => {
            drop(config);
            let origin = Origin { peer: peer.ip(), https, subject };
            http(shard, stream, listener, origin, Inbox::from(first)).await;
        }
    }
}

/// HTTP of whatever version the client speaks; `inbox`: what was read already.
async fn http(
    shard: Rc<Shard>,
    stream: Stream,
    listener: Rc<ListenerState>,
    origin: Origin,
    mut inbox: Inbox,
) {
    if h1::serve(&shard, &stream, &listener, &origin, &mut inbox).await == h1::Ended::Http2 {
        Box::pin(h2::serve(shard, stream, listener, origin, inbox.into_chunk())).await;
    }
}

/// Reads the PROXY header off a connection: who it speaks for (`None`: for the peer itself), and what has come behind it.
/// `None`: the peer may not say so, or has not said it in time or at all.
async fn proxy_header(
    shard: &Shard,
    socket: &Socket,
    peer: SocketAddr,
    deadline: Instant,
) -> Option<(Option<Ends>, Option<Chunk>)> {
    if !shard.live().snapshot.trusted_proxies.contains(peer.ip()) {
        tracing::debug!(%peer, "PROXY header refused: the peer is not in server.trusted_proxies");
        return None;
    }
    let timer = shard.net.timer();
    timer.set(deadline);
    let mut inbox = Inbox::default();
    loop {
        match proxy_protocol::parse(inbox.bytes()) {
            Ok(Header::Whole { len, ends }) => {
                inbox.consume_head(len);
                return Some((ends, inbox.into_chunk()));
            }
            Ok(Header::Partial) => inbox.gather(),
            Err(Malformed(why)) => {
                tracing::debug!(%peer, why, "PROXY header refused");
                return None;
            }
        }
        inbox.add(timer.within(socket.receive()).await.ok()?.ok()??);
    }
}

/// The client and, for those who are told, what it has connected to.
fn ends_of(fd: &std::os::fd::OwnedFd, protocol: &ListenerProtocol) -> Option<Ends> {
    let socket = socket2::SockRef::from(fd);
    let source = socket.peer_addr().ok()?.as_socket()?;
    let destination = match protocol {
        ListenerProtocol::Tcp { .. } => socket.local_addr().ok()?.as_socket()?,
        ListenerProtocol::Http | ListenerProtocol::Https => source,
    };
    Some(Ends { source, destination })
}
