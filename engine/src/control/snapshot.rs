//! A snapshot: the dynamic configuration compiled once on the control thread, immutable, shared by all shards.
//!
//! Input: a checked [`Gateway`] and the resolved addresses of its nodes. Output: [`Snapshot`]. A shard makes its own
//! state (balancers, pools, counters, leases) from it and keeps what belongs to nodes and services that stayed. What
//! limits have given out already stays given out: buckets, quotas and the table of clients go on in the next snapshot.

use std::cell::LazyCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use coregate_config::checked::{Gateway, LimitScope, ListenerProtocol, Node, Rate, Service, Tenant};

use crate::access::{AccessList, IpSet};
use crate::http::headers::Rules;
use crate::limit::{Bucket, ClientConnections, ClientLimit, ClientTable, Connections, DayQuota};
use crate::pool::PeerId;
use crate::route::RouteTable;
use crate::sni::Names;
use crate::tenant::Tenants;
use crate::tls::Tls;
use crate::tls::nodes::NodeTls;

use super::resolve::Addresses;
use before::Before;
pub use before::Changes;

mod before;

/// One compiled configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up from 1 with each configuration that was applied.
    pub revision: u64,
    /// What it was compiled from.
    pub gateway: Arc<Gateway>,
    /// Which service a request belongs to; its `service` indexes [`Self::services`].
    pub routes: Arc<RouteTable>,
    /// Parallel to `gateway.services`.
    pub services: Vec<Arc<ServicePlan>>,
    by_name: OnceLock<HashMap<Arc<str>, usize>>,
    /// Who may call where a tenant is required.
    pub callers: Tenants,
    /// Parallel to `callers` and `gateway.tenants`.
    pub tenants: Vec<Arc<TenantPlan>>,
    /// The buckets of clients; `None` until a service first limits them.
    pub clients: Option<Arc<ClientTable>>,
    /// The connections of clients; `None` until a service first limits them.
    pub client_connections: Option<Arc<ClientConnections>>,
    /// Whether a service limits the connections to its nodes.
    pub limits_connections: bool,
    /// Where the bytes of tcp listeners go, by the listener's name.
    pub tcp: HashMap<Arc<str>, TcpTargets>,
    /// Whose forwarding fields are believed.
    pub trusted_proxies: IpSet,
    /// What listeners with certificates need, and services that speak TLS to nodes.
    pub tls: Tls,
}

/// A configuration, and what of it is compiled beforehand: it takes its time and needs nothing else.
#[derive(Debug, Clone)]
pub struct Routed {
    /// It.
    pub gateway: Arc<Gateway>,
    /// Its routes.
    pub routes: Arc<RouteTable>,
}

impl Routed {
    /// Compiles the routes.
    pub fn new(gateway: Gateway) -> Self {
        Self { routes: Arc::new(RouteTable::build(&gateway.services)), gateway: Arc::new(gateway) }
    }
}

/// What a snapshot is compiled with, beside the configuration.
#[derive(Debug)]
pub struct Process {
    /// Shards that share its limits.
    pub shards: usize,
    /// When it is compiled.
    pub now: Instant,
    /// What was read of the files that the configuration names.
    pub tls: Tls,
}

/// One service, compiled.
#[derive(Debug)]
pub struct ServicePlan {
    /// What it was compiled from.
    pub config: Arc<Service>,
    /// Header rules of both directions.
    pub rules: Rules,
    /// Whose requests it takes.
    pub access: AccessList,
    /// Its rate.
    pub rate: Option<Arc<Bucket>>,
    /// The rate of each of its clients.
    pub client_rate: Option<ClientLimit>,
    /// Its connections at once.
    pub connections: Arc<Connections>,
    /// Enabled nodes whose address is known.
    pub nodes: Vec<NodePlan>,
}

/// Where a tcp listener's bytes go: indices of services.
#[derive(Debug)]
pub struct TcpTargets {
    /// By the name that a TLS client asks for.
    pub names: Names,
    /// What no name fits.
    pub fallback: Option<usize>,
}

/// One tenant, compiled.
#[derive(Debug)]
pub struct TenantPlan {
    /// What it was compiled from.
    pub config: Tenant,
    /// Its rate.
    pub rate: Option<Arc<Bucket>>,
    /// Its requests a day.
    pub day: Option<Arc<DayQuota>>,
}

/// One node, resolved.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// Where it is.
    pub address: SocketAddr,
    /// Share of the traffic.
    pub weight: u32,
    /// How TLS is spoken to it; `None` = it is not.
    pub tls: Option<NodeTls>,
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
    /// Exchanges that wait for one because the node has its most, over all shards.
    pub waiting: AtomicUsize,
}

impl Snapshot {
    /// What it was compiled from.
    pub fn routed(&self) -> Routed {
        Routed { gateway: Arc::clone(&self.gateway), routes: Arc::clone(&self.routes) }
    }

    /// Where a service is in [`Self::services`]. The table of all names is made when it is asked for first.
    pub fn index_of(&self, service: &str) -> Option<usize> {
        let table = || self.services.iter().map(|plan| Arc::clone(&plan.config.name)).zip(0..).collect();
        self.by_name.get_or_init(table).get(service).copied()
    }

    /// Compiles a configuration. `is_live` tells of a service's node whether it takes traffic; what is counted of a node
    /// goes on from the `previous` snapshot.
    pub fn compile(
        revision: u64,
        Routed { gateway, routes }: Routed,
        addresses: &Addresses,
        is_live: impl Fn(&str, SocketAddr) -> bool,
        process: Process,
        previous: Option<&Self>,
    ) -> Self {
        let Process { shards, now, tls } = process;
        let identity_headers = identity_headers(&gateway);
        let before = Before::of(previous, &identity_headers);
        let plan = |(index, service): (usize, &Arc<Service>)| {
            let old = before.plan(index, &service.name);
            let live_as = |node: &NodePlan| node.live == is_live(&service.name, node.address);
            if let Some(old) = old.filter(|old| before.stays(old, service) && old.nodes.iter().all(live_as)) {
                return Arc::clone(old);
            }
            let node = |(address, weight, node_tls)| NodePlan {
                address,
                weight,
                tls: node_tls,
                live: is_live(&service.name, address),
                shared: old.and_then(|old| old.shared_of(address)).unwrap_or_default(),
            };
            let nodes: Vec<NodePlan> = nodes_with_tls(service, addresses, &tls).map(node).collect();
            if let Some(old) = old.filter(|old| before.headers_stay && old.is_of(service, &nodes)) {
                return Arc::clone(old);
            }
            let bucket = old.and_then(|old| old.rate.as_ref());
            Arc::new(ServicePlan {
                config: Arc::clone(service),
                rules: service_rules(service, &identity_headers),
                access: AccessList::build(&service.access.allow, &service.access.deny),
                rate: service.limits.service.map(|rate| match service.limits.scope {
                    LimitScope::Process => Bucket::renew(bucket, rate, shards, now),
                    LimitScope::Cluster => Bucket::renew_shared(bucket, rate, shards, now),
                }),
                client_rate: service
                    .limits
                    .per_client_ip
                    .map(|rate| ClientLimit::new(key(&service.name), rate)),
                connections: old.map(|old| Arc::clone(&old.connections)).unwrap_or_default(),
                nodes,
            })
        };
        let clients = previous.and_then(|previous| previous.clients.clone()).or_else(|| {
            let wanted = gateway.services.iter().any(|service| service.limits.per_client_ip.is_some());
            wanted.then(|| Arc::new(ClientTable::new(gateway.server.client_limit_entries, now)))
        });
        let client_connections =
            previous.and_then(|previous| previous.client_connections.clone()).or_else(|| {
                let limits = |it: &Arc<Service>| it.limits.max_connections_per_client_ip.is_some();
                let connections_max = gateway.server.max_connections;
                gateway.services.iter().any(limits).then(|| Arc::new(ClientConnections::new(connections_max)))
            });
        let limits_connections = gateway.services.iter().any(|it| it.pool.max_connections_per_node > 0);
        Self {
            revision,
            client_connections,
            tcp: tcp_targets(&gateway),
            callers: Tenants::compile(&gateway.tenants),
            tenants: compile_tenants(&gateway.tenants, shards, now, previous),
            clients,
            limits_connections,
            routes,
            services: gateway.services.iter().enumerate().map(plan).collect(),
            by_name: OnceLock::new(),
            trusted_proxies: IpSet::build(&gateway.server.trusted_proxies),
            tls,
            gateway,
        }
    }
}

impl ServicePlan {
    /// Whether compiling the same again would give the same, so that shards may go on with what they have.
    fn is_of(&self, service: &Service, nodes: &[NodePlan]) -> bool {
        let same = |(old, new): (&NodePlan, &NodePlan)| {
            old.weight == new.weight && old.live == new.live && PeerId::of(old) == PeerId::of(new)
        };
        self.nodes.len() == nodes.len() && self.nodes.iter().zip(nodes).all(same) && *self.config == *service
    }

    fn shared_of(&self, address: SocketAddr) -> Option<Arc<NodeShared>> {
        self.nodes.iter().find(|node| node.address == address).map(|node| Arc::clone(&node.shared))
    }
}

/// The headers that tell origins who a client is by its certificate. A client's own do not pass, whichever listener it
/// comes by: an origin cannot tell.
fn identity_headers(gateway: &Gateway) -> BTreeSet<&str> {
    let listeners = gateway.listeners.iter().filter(|listener| listener.enabled);
    let clients = listeners.filter_map(|listener| listener.tls.as_ref()?.clients.as_ref());
    clients.map(|clients| &*clients.subject_header).collect()
}

fn tcp_targets(gateway: &Gateway) -> HashMap<Arc<str>, TcpTargets> {
    let services = LazyCell::new(|| -> HashMap<&str, usize> {
        gateway.services.iter().map(|service| &*service.name).zip(0..).collect()
    });
    let targets = gateway.listeners.iter().filter_map(|listener| {
        let ListenerProtocol::Tcp { service, sni_routes } = &listener.protocol else { return None };
        let hosts = sni_routes.iter().filter_map(|route| {
            let service = *services.get(&*route.service)?;
            Some(route.hosts.iter().map(move |host| (host, service)))
        });
        let fallback = service.as_ref().and_then(|name| services.get(&**name).copied());
        Some((listener.name.clone(), TcpTargets { names: Names::build(hosts.flatten()), fallback }))
    });
    targets.collect()
}

/// What a service's tenants identify themselves with is between them and the gateway.
fn service_rules(service: &Service, identity_headers: &BTreeSet<&str>) -> Rules {
    let rules = Rules::from(&service.headers);
    let rules = identity_headers.iter().fold(rules, |rules, header| rules.withholding(header));
    if service.access.require_tenant { rules.withholding("authorization") } else { rules }
}

fn compile_tenants(
    tenants: &[Tenant],
    shards: usize,
    now: Instant,
    previous: Option<&Snapshot>,
) -> Vec<Arc<TenantPlan>> {
    let before = previous.map(|previous| previous.tenants.as_slice()).unwrap_or_default();
    let before: HashMap<&str, &Arc<TenantPlan>> =
        before.iter().map(|plan| (&*plan.config.app_id, plan)).collect();
    let plan = |tenant: &Tenant| match before.get(&*tenant.app_id) {
        Some(&old) if old.config == *tenant => old.clone(),
        old => Arc::new(TenantPlan {
            config: tenant.clone(),
            rate: tenant.requests_per_second.map(|per_second| {
                // A bucket must hold the one token that a request takes.
                let rate = Rate { requests_per_second: per_second, burst: per_second.max(1.0) };
                let old = old.and_then(|old| old.rate.as_ref());
                Bucket::renew(old, rate, shards, now)
            }),
            day: tenant
                .requests_per_day
                .map(|limit| DayQuota::renew(old.and_then(|old| old.day.as_ref()), limit, shards)),
        }),
    };
    tenants.iter().map(plan).collect()
}

/// What a service's clients are told apart by from those of others, for as long as its name stays.
fn key(service: &str) -> u64 {
    foldhash::fast::FixedState::default().hash_one(service)
}

/// A service's enabled nodes with their addresses, in the order of the configuration. None for a service that is off.
/// Where two nodes turn out to have one address, the first one stands.
pub fn resolved_nodes<'a>(
    service: &'a Service,
    addresses: &'a Addresses,
) -> impl Iterator<Item = (SocketAddr, &'a Node)> {
    let mut seen = HashSet::new();
    let enabled = service.nodes.iter().filter(|node| service.enabled && node.enabled);
    enabled
        .flat_map(|node| addresses.of(&node.address).iter().map(move |&address| (address, node)))
        .filter(move |&(address, _)| seen.insert(address))
}

/// The same with what TLS with each needs. A node that it should be spoken to and cannot is absent: never in clear.
fn nodes_with_tls<'a>(
    service: &'a Service,
    addresses: &'a Addresses,
    tls: &'a Tls,
) -> impl Iterator<Item = (SocketAddr, u32, Option<NodeTls>)> {
    resolved_nodes(service, addresses).filter_map(move |(address, node)| {
        let node_tls = match &service.tls {
            Some(_) => Some(tls.nodes.node(&service.name, &node.address)?),
            None => None,
        };
        Some((address, node.weight, node_tls))
    })
}

#[cfg(test)]
mod tests;
