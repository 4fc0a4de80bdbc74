//! Upstream: a connection to a node that can carry the request.
//!
//! Input: a service and who asks. Output: a [`Connection`], out of the pool or new. Nodes come from the balancer; one
//! that refuses, or does not accept in time, is marked by that ([`Shard::node_failed`]) and the next is tried, since
//! nothing of the request has reached the wire. Errors: what the last node tried said.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use crate::control::snapshot::NodeShared;
use crate::error::Error;
use crate::http::inbox::Inbox;
use crate::limits::NODES_TRIED_MAX;
use crate::net::timer::TICK;
use crate::net::{Elapsed, Socket, Timer};
use crate::pool::{Permit, Waiting};
use crate::shard::{ServiceState, Shard};
use crate::stream::Stream;

/// A connection to a node and what came in on it.
pub struct Connection {
    /// Its bytes in clear.
    pub stream: Stream,
    /// Received and unread; empty between exchanges.
    pub inbox: Inbox,
    /// What the shards count together of its node.
    pub node: Arc<NodeShared>,
}

impl Connection {
    /// Whether it can carry another request, as far as is known.
    pub fn is_fresh(&self) -> bool {
        self.inbox.is_empty() && self.stream.is_fresh()
    }

    /// Prepares it for the pool: the end of the connection is noticed, nobody waits.
    pub fn rest(&self) {
        self.stream.rest();
    }
}

/// A connection for one exchange.
pub struct Lease {
    /// The connection.
    pub connection: Connection,
    /// Index of its node in the service.
    pub node: usize,
    /// It has carried an exchange before, so the node may have closed it meanwhile.
    pub reused: bool,
}

/// What an exchange has tried so far.
#[derive(Debug, Default)]
pub struct Tried(SmallVec<[usize; NODES_TRIED_MAX]>);

/// Finds a node and a connection to it. `fresh` = not out of the pool.
///
/// # Errors
/// No node is live, or those that were tried failed.
pub async fn obtain(
    shard: &Rc<Shard>,
    service: &ServiceState,
    client: IpAddr,
    tried: &mut Tried,
    fresh: bool,
    timer: &Timer,
) -> Result<Lease, Error> {
    let mut error = Error::NoHealthyNode;
    while tried.0.len() < NODES_TRIED_MAX {
        let Some(node) = service.balancer.borrow_mut().pick(client, &tried.0) else { break };
        let pool = &service.pools[node];
        if !fresh && let Some(connection) = pool.take(shard.net.now()) {
            shard.counters.pool_reused();
            return Ok(Lease { connection, node, reused: true });
        }
        match Box::pin(open(shard, service, node, timer)).await {
            Ok(connection) => return Ok(Lease { connection, node, reused: false }),
            Err(failed) => error = failed,
        }
        tried.0.push(node);
    }
    if error == Error::NodesBusy {
        return Box::pin(wait_for_connection(shard, service, client, timer)).await;
    }
    Err(error)
}

/// Opens a connection to one node. Boxed by its callers, as all that is rare on the path of a request: its state would
/// lie unused between what each request touches.
async fn open(
    shard: &Rc<Shard>,
    service: &ServiceState,
    node: usize,
    timer: &Timer,
) -> Result<Connection, Error> {
    let plan = &service.plan.nodes[node];
    let Some(permit) = Permit::take(&plan.shared, service.plan.config.pool.max_connections_per_node) else {
        return Err(Error::NodesBusy);
    };
    timer.set(shard.net.now() + service.plan.config.timeouts.connect);
    let error = match timer.within(Socket::connect(&shard.net, plan.address)).await {
        Ok(Ok(socket)) => {
            shard.counters.pool_opened();
            let stream = Stream::Plain(socket);
            stream.hold(Box::new(permit));
            return Ok(Connection { stream, inbox: Inbox::default(), node: plan.shared.clone() });
        }
        Ok(Err(error)) => {
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
        Err(Elapsed) => Error::ConnectTimeout,
    };
    shard.node_failed(service, node);
    Err(error)
}

/// All nodes have their most connections: waits, as long as a connect may take, for one to come back. Those of this
/// shard wake us; those of other shards are seen at the wheel's next tick.
async fn wait_for_connection(
    shard: &Rc<Shard>,
    service: &ServiceState,
    client: IpAddr,
    timer: &Timer,
) -> Result<Lease, Error> {
    let deadline: Instant = shard.net.now() + service.plan.config.timeouts.connect;
    while shard.net.now() < deadline {
        let Some(node) = service.balancer.borrow_mut().pick(client, &[]) else {
            return Err(Error::NoHealthyNode);
        };
        let pool = &service.pools[node];
        if let Some(connection) = pool.take(shard.net.now()) {
            return Ok(Lease { connection, node, reused: true });
        }
        match Box::pin(open(shard, service, node, timer)).await {
            Ok(connection) => return Ok(Lease { connection, node, reused: false }),
            Err(Error::NodesBusy) => {}
            Err(error) => return Err(error),
        }
        let _waiting = Waiting::count(&service.plan.nodes[node].shared);
        timer.set(deadline.min(shard.net.now() + TICK));
        let _ = timer.within(pool.wait()).await;
    }
    Err(Error::NodesBusy)
}
