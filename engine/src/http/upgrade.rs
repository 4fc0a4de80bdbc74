//! After 101 (Switching Protocols): a tunnel between client and node, each direction until its end.
//!
//! A side that ends is shut down towards the other (half-close), and the other direction goes on. The tunnel ends when
//! both have, when either fails, or when nothing has moved in either direction for `timeouts.tunnel`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::account::Phase;
use crate::error::Error;
use crate::http::exchange::Timers;
use crate::relay::{Pace, RelayError, Sink, Source, relay};
use crate::shard::{ServiceState, Shard};

/// Moves bytes both ways until the tunnel ends. Either side closing it, and silence, are its natural ends. Each side is
/// where its bytes come from and where those for it go.
///
/// # Errors
/// A side failed.
pub async fn tunnel(
    shard: &Rc<Shard>,
    timers: &Timers,
    service: &ServiceState,
    client: (&mut impl Source, &mut impl Sink),
    node: (&mut impl Source, &mut impl Sink),
) -> Result<(), (Error, Phase)> {
    let net = &shard.net;
    let timeouts = &service.plan.config.timeouts;
    let moved = Cell::new(net.now());
    let pace = Pace { read: timeouts.tunnel, write: timeouts.body, moved: &moved };
    let (from_client, to_client) = client;
    from_client.begin_tunnel();
    let (from_node, to_node) = node;
    let down_ended = Cell::new(false);
    let mut up = pin!(async {
        relay(net, &timers.up, &pace, from_client, to_node).await?;
        // A node that has ended its side waits for nothing: closing the connection tells it enough.
        if down_ended.get() { to_node.flush().await } else { to_node.shut_down().await }
            .map_err(|_| RelayError::Write)
    });
    let mut down = pin!(async {
        relay(net, &timers.down, &pace, from_node, to_client).await?;
        to_client.shut_down().await.map_err(|_| RelayError::Write)
    });
    let mut up_ended = false;
    let error = poll_fn(|cx| {
        if !up_ended && let Poll::Ready(result) = up.as_mut().poll(cx) {
            up_ended = true;
            if let Err(error) = result {
                return Poll::Ready(Some(side(error, Error::ClientGone, Error::UpstreamGone)));
            }
        }
        if !down_ended.get()
            && let Poll::Ready(result) = down.as_mut().poll(cx)
        {
            down_ended.set(true);
            if let Err(error) = result {
                return Poll::Ready(Some(side(error, Error::UpstreamGone, Error::ClientGone)));
            }
        }
        if up_ended && down_ended.get() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;
    match error.flatten() {
        Some(error) => Err((error, Phase::Tunnel)),
        None => Ok(()),
    }
}

/// Whose fault the end of one direction is; silence is nobody's.
fn side(error: RelayError, source: Error, sink: Error) -> Option<Error> {
    match error {
        RelayError::ReadTimeout => None,
        RelayError::Read(_) => Some(source),
        RelayError::Write | RelayError::WriteTimeout => Some(sink),
    }
}
