//! Checked configuration: types that cannot be invalid.
//!
//! Made only by this crate's checks from [`crate::raw`]. Durations are [`Duration`]s, sizes are bytes, lists are
//! already parsed; a reader of these types never has to doubt or parse again. Names are unique where they must be and
//! every reference (a TCP listener's service) resolves.

mod listener;

pub use listener::{
    Certificate, CertificateFiles, ClientAuth, Hsts, Http2, Listener, ListenerProtocol, ListenerTls,
    NamedCertificate, SniRoute, TlsVersion,
};

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

/// A whole gateway: the process's own settings and the dynamic part (listeners, certificates,
/// services, tenants).
#[derive(Debug, Clone)]
pub struct Gateway {
    /// One process; a change needs a restart.
    pub server: Server,
    /// Flow statistics; a change needs a restart.
    pub stats: Stats,
    /// Where the dynamic part comes from; a change needs a restart.
    pub control: Control,
    /// Sockets to listen on. Names and enabled addresses are unique.
    pub listeners: Vec<Listener>,
    /// Certificates that listeners may name. Names are unique.
    pub certificates: Vec<Arc<NamedCertificate>>,
    /// Upstream services. Names are unique; no two enabled routes are equal.
    pub services: Vec<Arc<Service>>,
    /// Callers that present credentials. `app_id`s are unique.
    pub tenants: Vec<Tenant>,
}

impl Gateway {
    /// Takes the services that another configuration has just so from there: what is one value in both did not change,
    /// and whoever compares them later compares pointers.
    pub fn share_services(&mut self, other: &Self) {
        let others: HashMap<&str, &Arc<Service>> = other.services.iter().map(|it| (&*it.name, it)).collect();
        for service in &mut self.services {
            if let Some(&same) = others.get(&*service.name).filter(|it| ***it == *service) {
                *service = Arc::clone(same);
            }
        }
    }
}

/// `[server]`
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Engine threads; 0 = one for each CPU that the process may use, or has a share of.
    pub shards: usize,
    /// Exactly these CPUs, one shard each; empty = the first `shards` that the process may use.
    pub cpus: Vec<usize>,
    /// Health, metrics and the read-only JSON API; `None` = off.
    pub ops_address: Option<SocketAddr>,
    /// How long requests in flight may take to finish after SIGTERM.
    pub drain_timeout: Duration,
    /// Client connections of the whole process, shared out to the shards.
    pub max_connections: usize,
    /// Whose X-Forwarded-For and PROXY headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Clients that limits are kept for at a time.
    pub client_limit_entries: usize,
    /// Access log.
    pub access_log: AccessLog,
}

/// `[server.access_log]`
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// Where lines go.
    pub path: AccessLogPath,
    /// How a line looks.
    pub format: AccessLogFormat,
    /// Share of requests that are logged, 0.0 to 1.0.
    pub sample: f64,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogPath {
    /// Nowhere.
    None,
    /// Standard output.
    Stdout,
    /// A file, reopened on SIGUSR1.
    File(PathBuf),
}

/// How an access log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// The NCSA combined format.
    Combined,
}

/// `[stats]`
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// How often shards hand their counters over.
    pub interval: Duration,
    /// Where a day and an hour begin (IANA name, known to exist).
    pub timezone: String,
    /// Redis to write flow counters to; `None` = keep them in memory only.
    pub redis_url: Option<String>,
    /// Prefix of every Redis key.
    pub key_prefix: String,
    /// How long Redis keeps a counter.
    pub retention: Duration,
}

/// `[control]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The dynamic part stands in the same file.
    File,
    /// The dynamic part is fetched from a coregate-admin process.
    Admin {
        /// Its base URL (http or https).
        url: String,
        /// File that holds this engine's token.
        token_file: PathBuf,
        /// Where the last good copy is kept.
        cache_path: PathBuf,
    },
}

/// `[[services]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Unique name.
    pub name: Arc<str>,
    /// For people.
    pub description: String,
    /// Off services are checked but neither routed nor health checked.
    pub enabled: bool,
    /// Which requests are its own; empty for a TCP service.
    pub routes: Vec<Route>,
    /// Header rules of all its routes.
    pub headers: HeaderRules,
    /// Load balancing policy.
    pub policy: Policy,
    /// Upstream nodes; addresses are unique within the service.
    pub nodes: Vec<Node>,
    /// TLS to the nodes; `None` = in clear.
    pub tls: Option<UpstreamTls>,
    /// HTTP/2 to the nodes: by ALPN with TLS, by prior knowledge without.
    pub http2: bool,
    /// The PROXY header that a node gets in front of a TCP connection's bytes. Then the service has no routes.
    pub send_proxy_protocol: Option<ProxyVersion>,
    /// Active health checks; `None` = by traffic only.
    pub health_check: Option<HealthCheck>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Upstream connection pools.
    pub pool: Pool,
    /// Largest request body in bytes; 0 = no limit.
    pub max_body_bytes: u64,
    /// Rate limits.
    pub limits: Limits,
    /// Who may call.
    pub access: Access,
}

/// `[[services.routes]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Empty = any host.
    pub hosts: Vec<HostPattern>,
    /// Starts with `/`, has no trailing `/` unless it is `/` itself, is normalised; matches whole path segments.
    pub path_prefix: String,
    /// Empty = any method. Upper case tokens.
    pub methods: BTreeSet<String>,
    /// Take the prefix off before the request goes upstream.
    pub strip_prefix: bool,
    /// Applied in order to the path after stripping.
    pub rewrites: Vec<Rewrite>,
}

/// A host that a route matches. Lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Exactly this name (or IP literal; IPv6 in brackets).
    Exact(String),
    /// `*.example.com` as `example.com`: any name below it, at any depth, never the name itself.
    Wildcard(String),
}

/// One path rewrite: a linear-time regular expression (crate `regex`) and its replacement (`$1`, `${name}`).
#[derive(Debug, Clone)]
pub struct Rewrite {
    /// Compiled pattern.
    pub pattern: regex::Regex,
    /// Replacement text in the regex crate's syntax.
    pub replacement: String,
}

impl PartialEq for Rewrite {
    fn eq(&self, other: &Self) -> bool {
        self.pattern.as_str() == other.pattern.as_str() && self.replacement == other.replacement
    }
}

/// `[services.headers]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// On the way to the upstream.
    pub request: Vec<HeaderRule>,
    /// On the way to the client.
    pub response: Vec<HeaderRule>,
}

/// One header rule. Names are lower case tokens that no framing or hop-by-hop rule owns; values are valid field values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderRule {
    /// Add a field line, whatever is there.
    Add(String, String),
    /// Replace all lines of that name by this one.
    Set(String, String),
    /// Remove all lines of that name.
    Remove(String),
}

/// Load balancing policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Uniformly at random among healthy nodes, by weight.
    Random,
    /// In turn, weights ignored.
    RoundRobin,
    /// Smooth weighted round robin.
    WeightedRoundRobin,
    /// Consistent hash of the client's IP address, by weight.
    IpHash,
}

/// `[[services.nodes]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it is.
    pub address: NodeAddress,
    /// Share of the traffic, 1 to 65535.
    pub weight: u32,
    /// `false` takes it out gracefully.
    pub enabled: bool,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeAddress {
    /// IP address and port.
    Ip(SocketAddr),
    /// Host name and port, looked up by the control thread.
    Name(String, u16),
}

/// `[services.upstream_tls]`
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct UpstreamTls {
    /// PEM file with the roots that are trusted; `None` = the system's.
    pub ca: Option<PathBuf>,
    /// The name to ask for and to verify, lower case, or an IP address; `None` = the host in the node's address.
    pub server_name: Option<String>,
    /// Presented to nodes that ask.
    pub certificate: Option<ClientCertificate>,
    /// Nothing is verified.
    pub accept_any_certificate: bool,
}

/// `[services.upstream_tls.certificate]`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    /// PEM file with the chain, leaf first. From a file, relative paths are already joined to its folder.
    pub chain: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// `[services.health_check]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What a check does.
    pub kind: HealthCheckKind,
    /// Time between checks of a node.
    pub interval: Duration,
    /// A check that takes longer has failed. At most `interval`.
    pub timeout: Duration,
    /// Failures in a row that take a node out, at least 1.
    pub unhealthy_after: u32,
    /// Successes in a row that bring it back, at least 1.
    pub healthy_after: u32,
}

/// What a health check does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// The node accepts a connection.
    Tcp,
    /// GET answers with an expected status.
    Http {
        /// Origin-form target.
        path: String,
        /// Host field; `None` = the node's address.
        host: Option<String>,
        /// Not empty.
        expect_status: BTreeSet<u16>,
    },
    /// grpc.health.v1.Health/Check answers SERVING.
    Grpc {
        /// What is asked about; empty = the whole server.
        service: String,
        /// The authority; `None` = the node's address.
        host: Option<String>,
    },
}

/// `[services.timeouts]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to a node.
    pub connect: Duration,
    /// From the request sent to the answer's head received.
    pub response_header: Duration,
    /// Between two reads of a body, or for one write to be taken, on either side.
    pub body: Duration,
    /// An idle upstream connection is closed after this.
    pub idle: Duration,
    /// An upgraded connection (WebSocket) or TCP session without a byte in either direction is closed after this.
    pub tunnel: Duration,
}

/// `[services.pool]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Idle connections kept for a node, over all shards.
    pub max_idle_per_node: usize,
    /// Connections to a node, over all shards; 0 = no limit.
    pub max_connections_per_node: usize,
}

/// `[services.limits]`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// For the whole service; `None` = off.
    pub service: Option<Rate>,
    /// What becomes of requests beyond the service's limit.
    pub service_mode: LimitMode,
    /// For each client IP; `None` = off.
    pub per_client_ip: Option<Rate>,
    /// What becomes of requests beyond a client's limit.
    pub per_client_ip_mode: LimitMode,
    /// Over what the service's own limit is counted.
    pub scope: LimitScope,
    /// TCP and upgraded connections at once; `None` = no limit.
    pub max_connections: Option<usize>,
    /// TCP connections of a client address at once; `None` = no limit.
    pub max_connections_per_client_ip: Option<usize>,
}

/// A token bucket's rate and size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens that come in a second; finite, above 0.
    pub requests_per_second: f64,
    /// Tokens that fit, at least 1.
    pub burst: f64,
}

/// What becomes of requests beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitMode {
    /// They are refused.
    Enforce,
    /// They are counted as if refused, and let through.
    Observe,
}

/// Over what a limit is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitScope {
    /// This process.
    Process,
    /// All processes that share the Redis.
    Cluster,
}

/// `[services.access]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Empty = all.
    pub allow: Vec<IpNet>,
    /// Looked at first.
    pub deny: Vec<IpNet>,
    /// Only tenants may call.
    pub require_tenant: bool,
}

/// `[[tenants]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Unique id, also the Basic user name and the OAuth client id.
    pub app_id: Arc<str>,
    /// For people.
    pub name: String,
    /// SHA-256 of its secret, which is not kept itself.
    pub secret: SecretHash,
    /// Empty = all.
    pub allow: Vec<IpNet>,
    /// `None` = no limit.
    pub requests_per_second: Option<f64>,
    /// `None` = no limit.
    pub requests_per_day: Option<u64>,
    /// What becomes of requests beyond either limit.
    pub limits_mode: LimitMode,
    /// Off tenants are refused.
    pub enabled: bool,
}

/// SHA-256 of a secret. Never printed either: a secret that can be guessed could be found by it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("SecretHash(***)")
    }
}
