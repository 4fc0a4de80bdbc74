//! TLS: the stage between accept and parse, a client's handshake.
//!
//! Input: an accepted connection. Output: a stream of clear bytes and who the client is by its certificate, or nothing: then
//! the connection was refused, counted, and told why as far as it can be (an alert; to a client that speaks HTTP in clear an
//! answer of 400). Limits: `tls.max_handshakes` of the listener over all shards, `tls.handshake_timeout` each.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use coregate_config::checked::{ListenerProtocol, ListenerTls};

use super::stream::{HandshakeError, TlsStream};
use super::subject::{Subject, subject};
use crate::account::Handshake;
use crate::answer::{Answer, Body, Fields};
use crate::limits::{LINGER, LINGER_BYTES_MAX};
use crate::net::{Chunk, Elapsed, Socket, Timer};
use crate::shard::{ListenerState, Shard};

/// What came of a handshake.
pub struct Accepted {
    /// The connection.
    pub stream: TlsStream,
    /// Who the client is by its certificate, if it has presented one; it is verified.
    pub subject: Option<Rc<Subject>>,
}

/// Shakes hands. `first`: what the client has sent already, if anything was read.
pub async fn accept(
    shard: &Rc<Shard>,
    listener: &Rc<ListenerState>,
    socket: Socket,
    peer: SocketAddr,
    first: Option<Chunk>,
) -> Option<Accepted> {
    let config = listener.config();
    let (Some(settings), Some(tls)) = (&config.tls, listener.tls()) else { return None };
    let Some(under_way) = listener.begin_handshake(shard, settings.max_handshakes) else {
        shard.counters.handshake(Handshake::Limited);
        return None;
    };
    let timer = shard.net.timer();
    timer.set(shard.net.now() + settings.handshake_timeout);
    let first = match first {
        Some(first) => Ok(Some(first)),
        None => timer.within(socket.receive()).await.unwrap_or_else(timed_out),
    };
    let first = match first {
        // No record begins with a letter, and every request does.
        Ok(Some(first)) if first.first().is_some_and(u8::is_ascii_uppercase) && speaks_http(&config) => {
            shard.counters.handshake(Handshake::Clear);
            answer_in_clear(shard, &socket, &timer).await;
            return None;
        }
        Ok(Some(first)) => Ok(first),
        Ok(None) => Err(HandshakeError::Gone),
        Err(error) => Err(HandshakeError::Io(error)),
    };
    let begun = first.and_then(|first| {
        TlsStream::server(&shard.net, socket, tls.config.clone()).map(|stream| (stream, first))
    });
    let (stream, result) = match begun {
        Err(error) => (None, Err(error)),
        Ok((stream, first)) => {
            let shaken = timer.within(stream.handshake(Some(first))).await;
            let result =
                shaken.unwrap_or_else(|elapsed| timed_out::<()>(elapsed).map_err(HandshakeError::Io));
            (Some(stream), result)
        }
    };
    drop(under_way);
    if let Err(error) = result {
        tracing::debug!(listener = &*config.name, %peer, %error, "no TLS handshake");
        shard.counters.handshake(error.result());
        if let (HandshakeError::Tls(_), Some(stream)) = (error, stream) {
            // The client reads the alert.
            timer.set(shard.net.now() + LINGER);
            if matches!(timer.within(poll_fn(|cx| stream.poll_flush(cx))).await, Ok(Ok(()))) {
                linger(shard, stream.socket(), &timer).await;
            }
        }
        return None;
    }
    let accepted = Accepted::new(stream?, settings);
    shard.counters.handshake(accepted.as_ref().map_or(Handshake::Refused, |it| it.stream.handshake_result()));
    accepted
}

fn timed_out<T>(_: Elapsed) -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}

impl Accepted {
    /// `None` if the client has a certificate whose subject cannot be passed on: it must not pass for nobody.
    fn new(stream: TlsStream, settings: &ListenerTls) -> Option<Self> {
        let presented = stream
            .negotiated(|common| common.peer_certificates().and_then(|chain| chain.first()).map(subject));
        let subject = match presented {
            Some(None) => return None,
            Some(Some(value)) => settings
                .clients
                .as_ref()
                .map(|clients| Rc::new(Subject { header: clients.subject_header.clone(), value })),
            None => None,
        };
        Some(Self { stream, subject })
    }
}

fn speaks_http(config: &coregate_config::checked::Listener) -> bool {
    config.protocol == ListenerProtocol::Https
}

/// To a client that takes the port for one that speaks HTTP in clear.
async fn answer_in_clear(shard: &Shard, socket: &Socket, timer: &Timer) {
    let id = shard.request_ids.next(None);
    let answer = Answer {
        status: 400,
        fields: Fields::new(),
        body: Body::Error {
            code: "https_required",
            message: "this port speaks HTTPS, the request came in clear; use https://",
            request_id: id.as_str(),
        },
    };
    let mut out = shard.net.outgoing();
    answer.write_h1(out.bytes(), false, true);
    if matches!(timer.within(socket.post(out)).await, Ok(Ok(()))) {
        linger(shard, socket, timer).await;
    }
}

/// Ends our side and reads on for a while: closing with unread bytes would reset the connection, and could destroy what was
/// sent last (RFC 9112 9.6).
async fn linger(shard: &Shard, socket: &Socket, timer: &Timer) {
    socket.shut_down();
    timer.set(shard.net.now() + LINGER);
    let mut left = LINGER_BYTES_MAX;
    while let Ok(Ok(Some(chunk))) = timer.within(socket.receive()).await {
        left = left.saturating_sub(chunk.len() as u64);
        if left == 0 {
            return;
        }
    }
}
