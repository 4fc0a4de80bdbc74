//! A snapshot: the dynamic configuration compiled once on the control thread, immutable, shared by all shards.
//!
//! Input: a checked [`Gateway`] and the resolved addresses of its nodes. Output: [`Snapshot`]. A shard makes its own
//! state (balancers, pools, counters, leases) from it and keeps what belongs to nodes and services that stayed. What
//! limits have given out already stays given out: buckets, quotas and the table of clients go on in the next snapshot.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
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
    /// Who may call where a tenant is required.
    pub callers: Tenants,
    /// Parallel to `callers` and `gateway.tenants`.
    pub tenants: Vec<Arc<TenantPlan>>,
    /// The buckets of clients; `None` until a service first limits them.
    pub clients: Option<Arc<ClientTable>>,
    /// The connections of clients; `None` until a service first limits them.
    pub client_connections: Option<Arc<ClientConnections>>,
    /// Where the bytes of tcp listeners go, by the listener's name.
    pub tcp: HashMap<Arc<str>, TcpTargets>,
    /// Whose forwarding fields are believed.
    pub trusted_proxies: IpSet,
    /// What listeners with certificates need, and services that speak TLS to nodes.
    pub tls: Tls,
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
    pub config: Service,
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
    /// Compiles a configuration. `is_live` tells of a service's node whether it takes traffic; what is counted of a node
    /// goes on from the `previous` snapshot.
    pub fn compile(
        revision: u64,
        gateway: Arc<Gateway>,
        addresses: &Addresses,
        is_live: impl Fn(&str, SocketAddr) -> bool,
        process: Process,
        previous: Option<&Self>,
    ) -> Self {
        let Process { shards, now, tls } = process;
        let identity_headers = identity_headers(&gateway);
        let before = Before::of(previous, &identity_headers);
        let plan = |service: &Service| {
            let old = before.plans.get(&*service.name).copied();
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
                config: service.clone(),
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
                let limits = |it: &Service| it.limits.max_connections_per_client_ip.is_some();
                let connections_max = gateway.server.max_connections;
                gateway.services.iter().any(limits).then(|| Arc::new(ClientConnections::new(connections_max)))
            });
        Self {
            revision,
            client_connections,
            tcp: tcp_targets(&gateway),
            callers: Tenants::compile(&gateway.tenants),
            tenants: compile_tenants(&gateway.tenants, shards, now, previous),
            clients,
            routes: RouteTable::build(&gateway.services),
            services: gateway.services.iter().map(plan).collect(),
            trusted_proxies: IpSet::build(&gateway.server.trusted_proxies),
            tls,
            gateway,
        }
    }
}

/// What goes on from the snapshot before.
struct Before<'a> {
    plans: HashMap<&'a str, &'a Arc<ServicePlan>>,
    /// The same headers are withheld from origins.
    headers_stay: bool,
}

impl<'a> Before<'a> {
    fn of(previous: Option<&'a Snapshot>, identity_headers_now: &BTreeSet<&str>) -> Self {
        let services = previous.map(|previous| previous.services.as_slice()).unwrap_or_default();
        Self {
            plans: services.iter().map(|plan| (&*plan.config.name, plan)).collect(),
            headers_stay: previous
                .is_some_and(|previous| identity_headers(&previous.gateway) == *identity_headers_now),
        }
    }
}

impl ServicePlan {
    /// Whether compiling the same again would give the same, so that shards may go on with what they have.
    fn is_of(&self, service: &Service, nodes: &[NodePlan]) -> bool {
        let same = |(old, new): (&NodePlan, &NodePlan)| {
            old.weight == new.weight && old.live == new.live && PeerId::of(old) == PeerId::of(new)
        };
        self.nodes.len() == nodes.len() && self.nodes.iter().zip(nodes).all(same) && self.config == *service
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
    let services: HashMap<&str, usize> =
        gateway.services.iter().map(|service| &*service.name).zip(0..).collect();
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
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::tls::listeners::Reading;
    use crate::tls::nodes::TlsNodes;

    fn gateway(nodes: &str) -> Arc<Gateway> {
        let toml = format!("[[services]]\nname = \"a\"\n[[services.routes]]\npath_prefix = \"/a\"\n{nodes}");
        Arc::new(coregate_config::parse_toml(&toml, "test").unwrap())
    }

    fn process() -> Process {
        Process { shards: 1, now: crate::clock::read(), tls: Tls::default() }
    }

    fn node(port: u16) -> String {
        format!("[[services.nodes]]\naddress = \"10.0.0.1:{port}\"\nweight = {port}\n")
    }

    fn ports(snapshot: &Snapshot) -> Vec<u16> {
        snapshot.services[0].nodes.iter().map(|node| node.address.port()).collect()
    }

    #[test]
    fn a_node_that_stays_keeps_its_counters() {
        let compile = |revision, nodes: &str, previous: Option<&Snapshot>| {
            Snapshot::compile(
                revision,
                gateway(nodes),
                &Addresses::default(),
                |_, _| true,
                process(),
                previous,
            )
        };
        let one = compile(1, &(node(1) + &node(2)), None);
        one.services[0].nodes[1].shared.connections.store(7, Ordering::Relaxed);
        let two = compile(2, &(node(3) + &node(2)), Some(&one));
        assert_eq!(ports(&two), [3, 2]);
        assert_eq!(two.services[0].nodes[0].shared.connections.load(Ordering::Relaxed), 0);
        assert_eq!(two.services[0].nodes[1].shared.connections.load(Ordering::Relaxed), 7);
        assert!(Arc::ptr_eq(&one.services[0].nodes[1].shared, &two.services[0].nodes[1].shared));
    }

    #[test]
    fn a_service_that_stays_as_it_is_is_not_compiled_again() {
        let compile = |nodes: &str, live: bool, previous: Option<&Snapshot>| {
            Snapshot::compile(1, gateway(nodes), &Addresses::default(), |_, _| live, process(), previous)
        };
        let one = compile(&node(1), true, None);
        let is_kept = |next: &Snapshot| Arc::ptr_eq(&one.services[0], &next.services[0]);
        assert!(is_kept(&compile(&node(1), true, Some(&one))));
        assert!(!is_kept(&compile(&node(1), false, Some(&one))), "its node went down meanwhile");
        assert!(!is_kept(&compile(&node(2), true, Some(&one))));
        assert!(!is_kept(&compile(&(node(1) + "[services.timeouts]\nbody = \"7s\"\n"), true, Some(&one))));
        assert!(!is_kept(&compile(
            &(node(1) + "[[services.routes]]\npath_prefix = \"/b\"\n"),
            true,
            Some(&one)
        )));
        let client_headers = "[[listeners]]\nname = \"l\"\naddress = \"127.0.0.1:1\"\nprotocol = \"https\"\n\
            certificates = [{ chain = \"a\", key = \"b\" }]\n\
            tls = { client_certificates = \"optional\", client_ca = \"c\" }\n";
        assert!(
            !is_kept(&compile(&(node(1) + client_headers), true, Some(&one))),
            "another header is withheld"
        );
    }

    #[test]
    fn where_tls_is_wanted_no_node_is_spoken_to_in_clear() {
        let toml = "[[services]]\nname = \"a\"\ntls = true\nupstream_tls.danger_accept_any_certificate = true\n\
                    routes = [{ path_prefix = \"/a\" }]\nnodes = [{ address = \"10.0.0.1:1\" }]";
        let gateway = Arc::new(coregate_config::parse_toml(toml, "test").unwrap());
        let compile = |tls| {
            let (addresses, process) = (Addresses::default(), Process { tls, ..process() });
            Snapshot::compile(1, Arc::clone(&gateway), &addresses, |_, _| true, process, None)
        };
        assert_eq!(ports(&compile(Tls::default())), <[u16; 0]>::default(), "nothing is known of it");
        let (nodes, _) = TlsNodes::read(&gateway, &TlsNodes::default(), Reading::Anew);
        let with = compile(Tls { nodes: Arc::new(nodes), ..Tls::default() });
        assert!(with.services[0].nodes[0].tls.is_some());
    }

    #[test]
    fn disabled_and_unresolved_nodes_are_absent() {
        let nodes = node(1)
            + &node(2)
            + "enabled = false\n"
            + "[[services.nodes]]\naddress = \"one.test:80\"\n"
            + &node(3);
        let gateway = gateway(&nodes);
        let mut addresses = Addresses::default();
        let compile = |addresses: &Addresses| {
            Snapshot::compile(
                1,
                Arc::clone(&gateway),
                addresses,
                |_, address| address.port() != 3,
                process(),
                None,
            )
        };
        assert_eq!(ports(&compile(&addresses)), [1, 3]);
        assert_eq!(
            compile(&addresses).services[0].nodes.iter().map(|it| it.live).collect::<Vec<_>>(),
            [true, false]
        );

        addresses.retain(&gateway);
        let answer = vec!["10.0.0.9:80".parse().unwrap(), "10.0.0.1:1".parse().unwrap()];
        addresses.update(vec![(("one.test".to_owned(), 80), Ok(answer))]);
        assert_eq!(ports(&compile(&addresses)), [1, 80, 3], "the same address twice is one node");
    }
}
