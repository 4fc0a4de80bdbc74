//! A snapshot: the dynamic configuration compiled once on the control thread, immutable, shared by all shards.
//!
//! Input: a checked [`Gateway`] and the resolved addresses of its nodes. Output: [`Snapshot`]. A shard makes its own
//! state (balancers, pools, counters) from it and keeps what belongs to nodes and services that stayed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use coregate_config::checked::{Gateway, Service};

use crate::access::IpSet;
use crate::http::headers::Rules;
use crate::route::RouteTable;

/// One compiled configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up from 1 with each configuration that was applied.
    pub revision: u64,
    /// What it was compiled from.
    pub gateway: Arc<Gateway>,
    /// Which service a request belongs to; its `service` indexes [`Self::services`].
    pub routes: RouteTable,
    /// Parallel to `gateway.services`.
    pub services: Vec<Arc<ServicePlan>>,
    /// Whose forwarding fields are believed.
    pub trusted_proxies: IpSet,
}

/// One service, compiled.
#[derive(Debug)]
pub struct ServicePlan {
    /// What it was compiled from.
    pub config: Service,
    /// Header rules of both directions.
    pub rules: Rules,
    /// Enabled nodes whose address is known.
    pub nodes: Vec<NodePlan>,
}

/// One node, resolved.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// Where it is.
    pub address: SocketAddr,
    /// Share of the traffic.
    pub weight: u32,
    /// Whether it takes traffic as the snapshot is made; later changes come as messages.
    pub live: bool,
    /// What all shards count together; the same one in each snapshot for as long as the node stays.
    pub shared: Arc<NodeShared>,
}

/// What the shards count together of one node; touched when a connection opens or closes, never by a request.
#[derive(Debug, Default)]
pub struct NodeShared {
    /// Connections open to it, over all shards.
    pub connections: AtomicUsize,
    /// Of those, idle in pools.
    pub idle: AtomicUsize,
}
