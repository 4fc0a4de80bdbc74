//! Upstream: what can carry a request to a node.
//!
//! Input: a service and who asks. Output: a [`Carrier`], out of the pool or new. Nodes come from the balancer; one
//! that refuses, does not accept in time, or with which TLS comes to nothing, is marked by that ([`Shard::node_failed`])
//! and the next is tried, since nothing of the request has reached the wire. Errors: what the last node tried said.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use smallvec::SmallVec;

use crate::account::Handshake;
use crate::control::snapshot::NodePlan;
use crate::error::Error;
use crate::http::carrier::Carrier;
use crate::limits::NODES_TRIED_MAX;
use crate::net::timer::TICK;
use crate::net::{Elapsed, Net, Socket, Timer};
use crate::pool::{Permit, Waiting};
use crate::shard::{ServiceState, Shard};
use crate::stream::Stream;
use crate::tls::nodes::{self, Spoken};
use crate::tls::stream::{HandshakeError, TlsStream};

/// What carries one exchange.
pub struct Lease<C> {
    /// It.
    pub carrier: C,
    /// Index of its node in the service.
    pub node: usize,
}

/// Who wants a connection.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The client.
    pub client: IpAddr,
    /// What a node is told of it first, in clear even where TLS follows: a PROXY header.
    pub header: &'a [u8],
}

impl From<IpAddr> for Asker<'_> {
    fn from(client: IpAddr) -> Self {
        Self { client, header: &[] }
    }
}

/// What an exchange has tried so far.
#[derive(Debug, Default)]
pub struct Tried(SmallVec<[usize; NODES_TRIED_MAX]>);

/// Finds a node and what carries a request to it. With `heard_after`, only over a connection
/// that is known to have been alive after that.
///
/// # Errors
/// No node is live, or those that were tried failed.
pub async fn obtain<'a, C: Carrier>(
    shard: &Rc<Shard>,
    service: &ServiceState,
    asker: impl Into<Asker<'a>>,
    tried: &mut Tried,
    heard_after: Option<Instant>,
    timer: &Timer,
) -> Result<Lease<C>, Error> {
    let asker = asker.into();
    let mut error = Error::NoHealthyNode;
    while tried.0.len() < NODES_TRIED_MAX {
        let Some(node) = service.balancer.borrow_mut().pick(asker.client, &tried.0) else { break };
        if let Some(carrier) = C::take(&service.pools[node], shard.net.now(), heard_after) {
            shard.counters.pool_reused();
            return Ok(Lease { carrier, node });
        }
        // Boxed, as all that is rare on the path of a request: its state would lie unused between what each request
        // touches.
        match Box::pin(C::open(shard, service, node, asker.header, timer)).await {
            Ok(carrier) => return Ok(Lease { carrier, node }),
            Err(failed) => error = failed,
        }
        tried.0.push(node);
    }
    if error == Error::NodesBusy {
        return Box::pin(wait_for_connection(shard, service, asker, timer)).await;
    }
    Err(error)
}

/// Opens a connection to one node, tells it the `header`, and shakes hands if the service speaks TLS, for that to be spoken
/// over it. All of it takes at most `timeouts.connect`, for which the timer stays set.
///
/// # Errors
/// The node could not be reached, which marks it, or has its most connections.
pub async fn connect(
    shard: &Rc<Shard>,
    service: &ServiceState,
    node: usize,
    (header, spoken): (&[u8], Spoken),
    timer: &Timer,
) -> Result<Stream, Error> {
    let plan = &service.plan.nodes[node];
    let Some(permit) = Permit::take(&plan.shared, service.plan.config.pool.max_connections_per_node) else {
        return Err(Error::NodesBusy);
    };
    timer.set(shard.net.now() + service.plan.config.timeouts.connect);
    let shaking = Cell::new(false);
    let error = match timer.within(dial(&shard.net, plan, (header, spoken), permit, &shaking)).await {
        Ok(Ok(stream)) => {
            shard.counters.pool_opened();
            if let Stream::Tls(stream) = &stream {
                shard.counters.node_handshake(stream.handshake_result());
            }
            return Ok(stream);
        }
        Ok(Err(Undialled::Tls(result, why))) => {
            shard.counters.node_handshake(result);
            complain(shard, service, node, &why);
            Error::TlsFailed
        }
        Ok(Err(Undialled::Io(error))) => {
            tracing::debug!(service = %service.plan.config.name, node = %plan.address, %error, "connect failed");
            // Running out of descriptors or ports here says nothing about the node.
            if matches!(
                error.raw_os_error(),
                Some(libc::EMFILE | libc::ENFILE | libc::EADDRNOTAVAIL | libc::ENOBUFS)
            ) {
                return Err(Error::ConnectFailed);
            }
            Error::ConnectFailed
        }
        Err(Elapsed) => {
            if shaking.get() {
                shard.counters.node_handshake(Handshake::Timeout);
            }
            Error::ConnectTimeout
        }
    };
    shard.node_failed(service, node);
    Err(error)
}

/// Why there is no connection.
enum Undialled {
    /// None of TCP.
    Io(io::Error),
    /// None of TLS, or for something else to be spoken over it: what is counted of it, and in words.
    Tls(Handshake, String),
}

/// `shaking` is set when a handshake begins.
async fn dial(
    net: &Rc<Net>,
    plan: &NodePlan,
    (header, spoken): (&[u8], Spoken),
    permit: Permit,
    shaking: &Cell<bool>,
) -> Result<Stream, Undialled> {
    let socket = Socket::connect(net, plan.address).await.map_err(Undialled::Io)?;
    socket.hold(Box::new(permit));
    if !header.is_empty() {
        let mut out = net.outgoing();
        out.bytes().extend_from_slice(header);
        socket.post(out).await.map_err(Undialled::Io)?;
        // A handshake begins with nothing in flight.
        poll_fn(|cx| socket.poll_flush(cx)).await.map_err(Undialled::Io)?;
    }
    let Some(tls) = &plan.tls else { return Ok(Stream::Plain(socket)) };
    shaking.set(true);
    let connected = TlsStream::connect(net, socket, tls.config(spoken), tls.name.clone()).await;
    let stream = connected.map_err(|error| {
        let result = error.result();
        let why = match error {
            HandshakeError::Tls(error) => nodes::explain(&error, &tls.name),
            other => other.to_string(),
        };
        Undialled::Tls(result, why)
    })?;
    let agreed = stream.negotiated(|it| spoken.check(it.alpn_protocol()));
    agreed.map_err(|why| Undialled::Tls(Handshake::Refused, format!("{why} (http2 = true)")))?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// TLS has failed on a connection that was open; `unheard`: a new one, on which nothing has come. A node of TLS 1.3 refuses
/// the gateway's certificate that late, and is marked as one that refuses to connect.
pub fn tls_failed(
    shard: &Shard,
    service: &ServiceState,
    node: usize,
    failure: &rustls::Error,
    unheard: bool,
) {
    complain(shard, service, node, &failure.to_string());
    if unheard && nodes::refuses(failure) {
        shard.counters.node_handshake(Handshake::Refused);
        shard.node_failed(service, node);
    }
}

/// Says why TLS with a node has come to nothing, but not for each of many connections.
pub fn complain(shard: &Shard, service: &ServiceState, node: usize, why: &str) {
    let (name, address) = (&service.plan.config.name, service.plan.nodes[node].address);
    if service.pools[node].may_complain(shard.net.now()) {
        tracing::warn!(service = %name, node = %address, "no TLS with the node: {why}");
    } else {
        tracing::debug!(service = %name, node = %address, "no TLS with the node: {why}");
    }
}

/// All nodes have their most connections: waits, as long as a connect may take, for one to come back. Those of this
/// shard wake us; those of other shards are seen at the wheel's next tick.
async fn wait_for_connection<C: Carrier>(
    shard: &Rc<Shard>,
    service: &ServiceState,
    asker: Asker<'_>,
    timer: &Timer,
) -> Result<Lease<C>, Error> {
    let deadline: Instant = shard.net.now() + service.plan.config.timeouts.connect;
    while shard.net.now() < deadline {
        let Some(node) = service.balancer.borrow_mut().pick(asker.client, &[]) else {
            return Err(Error::NoHealthyNode);
        };
        let pool = &service.pools[node];
        if let Some(carrier) = C::take(pool, shard.net.now(), None) {
            return Ok(Lease { carrier, node });
        }
        match Box::pin(C::open(shard, service, node, asker.header, timer)).await {
            Ok(carrier) => return Ok(Lease { carrier, node }),
            Err(Error::NodesBusy) => {}
            Err(error) => return Err(error),
        }
        let _waiting = Waiting::count(&service.plan.nodes[node].shared);
        timer.set(deadline.min(shard.net.now() + TICK));
        if timer.within(pool.wait()).await == Ok(false) {
            break;
        }
    }
    Err(Error::NodesBusy)
}
