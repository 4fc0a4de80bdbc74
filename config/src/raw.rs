//! The schema: what is written in TOML or JSON, key for key, with defaults filled in.
//!
//! Input: what the reader (`read.rs`) finds in a file. Output: to the checks (`check.rs`). A value here has the right kind
//! (a number, a duration), no more; whether it makes sense is the checks' matter. The doc comments are the reference
//! page `REFERENCE.md`: what a key is, its unit and bounds. An `Option` is a key that may be left out and then has no
//! value; 0 stands for "off" where that is said.

mod certificate;
mod listener;
mod service;

pub use certificate::NamedCertificate;
pub use listener::{
    Certificate, ClientCertificates, Http2, Listener, ListenerTls, Protocol, SniRoute, TlsVersion,
};
pub use service::{
    Access, ClientCertificate, HeaderRule, Headers, HealthCheck, HealthCheckKind, LimitMode, Limits,
    LoadBalancer, Policy, Pool, Rate, Request, Rewrite, Route, Scope, SendProxyProtocol, Service,
    ServiceNode, Timeouts, UpstreamTls,
};

use crate::path::At;
use crate::read::{Kind, Read, choice, table};
use crate::report::Problems;
use crate::tree::Node;
use crate::units::Time;

table! {
    /// `[server]`, `[stats]` and `[control]` belong to one process and need a restart; `listeners`, `certificates`,
    /// `services` and `tenants` are applied live, without dropping a connection.
    Gateway {
        /// The process.
        server: Server = Server::default(),
        /// Flow statistics.
        stats: Stats = Stats::default(),
        /// Where listeners, certificates, services and tenants come from.
        control: Control = Control::default(),
        /// Sockets to listen on; names and enabled addresses are unique. At most 1024.
        listeners: Vec<Listener> = Vec::new(),
        /// Certificates whose text stands in the configuration, for listeners to name; names are unique. At most 10,000.
        certificates: Vec<NamedCertificate> = Vec::new(),
        /// Upstream services; names are unique, and so are enabled routes. At most 100,000.
        services: Vec<Service> = Vec::new(),
        /// Callers that present credentials; `app_id`s are unique. At most 1,000,000.
        tenants: Vec<Tenant> = Vec::new(),
    }
}

/// Keys of a [`Gateway`] that belong to one process, which an admin keeps nothing of; the others are [`Dynamic`]'s.
pub const OWN_KEYS: [&str; 3] = ["server", "stats", "control"];

table! {
    /// What an admin process sends: the part of a [`Gateway`] that is applied live.
    Dynamic {
        /// As in a file.
        listeners: Vec<Listener> = Vec::new(),
        /// As in a file.
        certificates: Vec<NamedCertificate> = Vec::new(),
        /// As in a file.
        services: Vec<Service> = Vec::new(),
        /// As in a file.
        tenants: Vec<Tenant> = Vec::new(),
    }
}

impl Dynamic {
    /// The whole, with a process's own settings.
    pub fn with(self, server: Server, stats: Stats) -> Gateway {
        let Self { listeners, certificates, services, tenants } = self;
        Gateway { server, stats, control: Control::default(), listeners, certificates, services, tenants }
    }
}

table! {
    /// The process. A change needs a restart.
    Server {
        /// Engine threads, 0 to 1024; 0 = one for each CPU that the process may use, or as many as its control group's
        /// CPU limit (`cpu.max`) lets it have at once, which are not pinned.
        shards: i64 = 0,
        /// Exactly these CPUs, one shard each (then `shards` is left out or is their number); empty = the first
        /// `shards` that the process may use.
        cpus: Vec<i64> = Vec::new(),
        /// `IP:PORT` for health, metrics and the read-only JSON API; left out = off. Keep it on a private address.
        ops_address: Option<String> = None,
        /// How long requests in flight may take to finish after SIGTERM, 0 to 24 hours.
        drain_timeout: Time = Time::seconds(30),
        /// Most client connections of the whole process, 1 to 10,000,000, shared out to the shards.
        max_connections: i64 = 100_000,
        /// Networks (CIDR) whose X-Forwarded-For and PROXY headers are believed; empty = nobody's.
        trusted_proxies: Vec<String> = Vec::new(),
        /// Client addresses that `per_client_ip` limits are kept for at a time, 1,000 to 100,000,000, 16 bytes each; when
        /// all are in use the one that is idle longest makes room.
        client_limit_entries: i64 = 1_000_000,
        /// Access log.
        access_log: AccessLog = AccessLog::default(),
    }
}

table! {
    /// Access log: one line for each request.
    AccessLog {
        /// `"stdout"`, `"none"`, or a file, which is reopened on SIGUSR1.
        path: String = "stdout".to_owned(),
        /// How a line looks.
        format: AccessLogFormat = AccessLogFormat::Json,
        /// Share of requests that are logged, 0.0 to 1.0.
        sample: f64 = 1.0,
    }
}

choice! {
    /// How an access log line looks.
    AccessLogFormat {
        /// one JSON object.
        Json = "json",
        /// NCSA combined.
        Combined = "combined",
    }
}

table! {
    /// Flow statistics. A change needs a restart.
    Stats {
        /// How often shards hand over their counters, 10 milliseconds to 1 hour; a crash loses at most as much.
        interval: Time = Time::seconds(1),
        /// IANA name of the time zone in which days and hours begin.
        timezone: String = "UTC".to_owned(),
        /// Redis that flow counters go to and that `scope = "cluster"` limits are leased from: `redis://`,
        /// `redis-cluster://` or `redis-sentinel://`, with TLS `rediss://`, `rediss-cluster://` or
        /// `rediss-sentinel://`; left out = counters are kept in memory only. Forms:
        /// `redis://USER:PASSWORD@HOST:6379/DB`, `redis-cluster://HOST:6379?node=HOST:PORT`,
        /// `redis-sentinel://HOST:26379/DB?sentinelServiceName=NAME&node=HOST:PORT` (also `sentinelUsername`,
        /// `sentinelPassword`). TLS trusts the system's roots, or the PEM file that SSL_CERT_FILE names.
        redis_url: Option<String> = None,
        /// Stands before every Redis key: `{key_prefix}flow_day_{YYYYMMDD}_{id}`. On a Redis Cluster a hash tag such as
        /// `{coregate}:` keeps all keys on one node and in one script call an interval.
        key_prefix: String = String::new(),
        /// How long Redis keeps a counter after it last changed, 1 hour to 10 years.
        retention: Time = Time::seconds(48 * 3600),
    }
}

table! {
    /// Where listeners, certificates, services and tenants come from. A change needs a restart.
    Control {
        /// Where from.
        source: ControlSource = ControlSource::File,
        /// Base URL of the coregate-admin process, `http://` or `https://`; for `source = "admin"`, which needs it.
        admin_url: Option<String> = None,
        /// File with this engine's token; for `source = "admin"`, which needs it.
        token_file: Option<String> = None,
        /// File that keeps the last good copy, so that the engine starts without the admin; for `source = "admin"`,
        /// which needs it.
        cache_path: Option<String> = None,
    }
}

choice! {
    /// Where the dynamic part comes from.
    ControlSource {
        /// this file.
        File = "file",
        /// a coregate-admin process.
        Admin = "admin",
    }
}

table! {
    /// A caller that presents credentials: HTTP Basic, or a token from `POST /oauth/token`.
    Tenant {
        /// Unique id, the Basic user name and OAuth client id: 1 to 64 of A-Z a-z 0-9 _ . -
        app_id: String,
        /// For people.
        name: String = String::new(),
        /// The password or client secret, 1 to 1024 bytes. Never printed. This or `secret_sha256` must be given.
        secret: Option<Secret> = None,
        /// SHA-256 of the secret, 64 hexadecimal digits, so that the secret itself is stored nowhere. It protects a long
        /// random secret, not one that can be guessed. Never printed.
        secret_sha256: Option<Secret> = None,
        /// Networks (CIDR, or a single address) that it may call from; empty = all.
        allow: Vec<String> = Vec::new(),
        /// Up to 1e9; 0 = no limit.
        requests_per_second: f64 = 0.0,
        /// In a day of `stats.timezone`; 0 = no limit.
        requests_per_day: i64 = 0,
        /// What becomes of requests beyond either limit.
        limits_mode: LimitMode = LimitMode::Enforce,
        /// `false` = refused.
        enabled: bool = true,
    }
}

/// A secret as written. Serialised as it is, so that a configuration can be passed on; never printed.
#[derive(Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Read for Secret {
    fn read(node: &Node, at: &At, problems: &mut Problems) -> Self {
        Secret(String::read(node, at, problems))
    }

    fn describe() -> Kind {
        String::describe()
    }
}
