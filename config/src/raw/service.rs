//! `[[services]]` as written.

use crate::read::{choice, table};
use crate::units::{Size, Time};

table! {
    /// An upstream service.
    Service {
        /// Unique name: 1 to 64 of A-Z a-z 0-9 _ . -
        name: String,
        /// For people.
        description: String = String::new(),
        /// `false` = checked, but neither routed nor health checked.
        enabled: bool = true,
        /// Requests that belong to it; leave out for a service that only a tcp listener uses. At most 256.
        routes: Vec<Route> = Vec::new(),
        /// Header rules.
        headers: Headers = Headers::default(),
        /// Load balancing.
        load_balancer: LoadBalancer = LoadBalancer::default(),
        /// Upstream nodes; addresses are unique within the service. At most 1024.
        nodes: Vec<ServiceNode> = Vec::new(),
        /// TLS to the nodes. Their certificates are verified, see `upstream_tls`.
        tls: bool = false,
        /// How TLS is spoken to the nodes; for `tls = true`.
        upstream_tls: Option<UpstreamTls> = None,
        /// HTTP/2 to the nodes: agreed on by ALPN with `tls = true`, by prior knowledge without. A node that does not speak
        /// it counts as one that cannot be reached. Upgrades (WebSocket) go over HTTP/1.1 all the same. For services with
        /// routes.
        http2: bool = false,
        /// Tells the nodes the client's address by a PROXY protocol header in front of the bytes; for services that
        /// only tcp listeners use (HTTP has X-Forwarded-For). With `tls = true` it stands in clear before the handshake.
        send_proxy_protocol: SendProxyProtocol = SendProxyProtocol::Off,
        /// Active health checks; left out = a node's health is judged by traffic alone.
        health_check: Option<HealthCheck> = None,
        /// Time limits.
        timeouts: Timeouts = Timeouts::default(),
        /// Upstream connections.
        pool: Pool = Pool::default(),
        /// What requests may be.
        request: Request = Request::default(),
        /// Limits of rates and of connections at once.
        limits: Limits = Limits::default(),
        /// Who may call.
        access: Access = Access::default(),
    }
}

table! {
    /// Which requests belong to a service. The longest match wins, not the first: an exact host before a wildcard
    /// before any host, then the longest prefix. Two equal routes are an error.
    Route {
        /// Host names without port, exact (`"api.example.com"`) or one wildcard label in front (`"*.example.com"`: any
        /// name below, not the name itself); empty = any host. At most 256.
        hosts: Vec<String> = Vec::new(),
        /// Begins with `/`; matches whole segments: `/a` matches `/a` and `/a/b`, never `/ab`.
        path_prefix: String = "/".to_owned(),
        /// Upper case methods; empty = any.
        methods: Vec<String> = Vec::new(),
        /// Take the prefix off before the request goes upstream.
        strip_prefix: bool = false,
        /// Applied in order to the path after stripping. At most 64.
        rewrites: Vec<Rewrite> = Vec::new(),
    }
}

table! {
    /// A path rewrite.
    Rewrite {
        /// Regular expression of the Rust crate regex: linear time, so without backreferences and look-around.
        pattern: String,
        /// What stands in place of the match; `$1`, `${1}` and `${name}` are groups, `$$` is a dollar sign.
        replacement: String,
    }
}

table! {
    /// Header rules, applied in order after the gateway's own fields are made. At most 64 in each direction.
    Headers {
        /// On the way to the upstream.
        request: Vec<HeaderRule> = Vec::new(),
        /// On the way to the client.
        response: Vec<HeaderRule> = Vec::new(),
    }
}

table! {
    /// One header rule: exactly one of `add`, `set` and `remove`, which names the header. Hop-by-hop and framing
    /// fields (connection, transfer-encoding, content-length ...) belong to the gateway and are refused.
    HeaderRule {
        /// Add a line, whatever is there.
        add: Option<String> = None,
        /// Replace all lines of that name by this one.
        set: Option<String> = None,
        /// Remove all lines of that name.
        remove: Option<String> = None,
        /// The value for `add` and `set`, which need it.
        value: Option<String> = None,
    }
}

table! {
    /// Load balancing.
    LoadBalancer {
        /// How a node is chosen among the healthy ones.
        policy: Policy = Policy::WeightedRoundRobin,
    }
}

choice! {
    /// Load balancing policy.
    Policy {
        /// smooth weighted round robin.
        WeightedRoundRobin = "weighted_round_robin",
        /// in turn, weights ignored.
        RoundRobin = "round_robin",
        /// at random, by weight.
        Random = "random",
        /// consistent hash of the client's address, by weight.
        IpHash = "ip_hash",
    }
}

table! {
    /// An upstream node.
    ServiceNode {
        /// `IP:PORT`, `[IPv6]:PORT` or `NAME:PORT`; names are looked up again as they change.
        address: String,
        /// Share of the traffic, 1 to 65535.
        weight: i64 = 1,
        /// `false` = takes no new requests; those in flight finish.
        enabled: bool = true,
    }
}

table! {
    /// TLS to the nodes of a service. Relative paths are relative to the configuration file's folder.
    UpstreamTls {
        /// PEM file with the certificates of those that may sign the nodes' certificates; left out = the system's
        /// roots, or those of the PEM file that SSL_CERT_FILE names.
        ca: Option<String> = None,
        /// The name that is asked for (SNI) and that a node's certificate must be for; left out = the host name or the IP
        /// address in the node's `address`.
        server_name: Option<String> = None,
        /// Presented to nodes that ask for a client certificate.
        certificate: Option<ClientCertificate> = None,
        /// Verify nothing: whoever sits between gateway and node can read and change everything. For tests.
        danger_accept_any_certificate: bool = false,
    }
}

table! {
    /// A client certificate.
    ClientCertificate {
        /// PEM file with the chain, leaf first.
        chain: String,
        /// PEM file with the private key.
        key: String,
    }
}

choice! {
    /// The PROXY protocol header that nodes get.
    SendProxyProtocol {
        /// none.
        Off = "off",
        /// version 1, a line of text.
        V1 = "v1",
        /// version 2, binary.
        V2 = "v2",
    }
}

table! {
    /// Active health checks, made once for the process whatever the number of shards. Nodes are connected to as for the
    /// traffic: over TLS with `tls = true`, with a PROXY header (which speaks for nobody) where one is sent. A check by
    /// HTTP asks in HTTP/1.1, one by gRPC in HTTP/2.
    HealthCheck {
        /// What a check does.
        kind: HealthCheckKind = HealthCheckKind::Tcp,
        /// Time between two checks of a node, 10 milliseconds to 24 hours.
        interval: Time = Time::seconds(5),
        /// A check that takes longer has failed; at most `interval`.
        timeout: Time = Time::seconds(2),
        /// Failures in a row that take a node out, 1 to 1000.
        unhealthy_after: i64 = 2,
        /// Successes in a row that bring it back, 1 to 1000.
        healthy_after: i64 = 1,
        /// For `kind = "http"`, which needs it: what is asked for; begins with `/`.
        path: Option<String> = None,
        /// For `kind = "http"` and `"grpc"`: the Host header or authority; left out = the node's address.
        host: Option<String> = None,
        /// For `kind = "http"`: statuses that count as success; empty = 200.
        expect_status: Vec<i64> = Vec::new(),
        /// For `kind = "grpc"`: the service that is asked about, up to 256 visible ASCII characters; empty = the whole
        /// server.
        grpc_service: String = String::new(),
    }
}

choice! {
    /// What a health check does.
    HealthCheckKind {
        /// the node accepts a connection.
        Tcp = "tcp",
        /// GET `path` answers with an expected status.
        Http = "http",
        /// grpc.health.v1.Health/Check answers SERVING.
        Grpc = "grpc",
    }
}

table! {
    /// Time limits, each 1 millisecond to 24 hours.
    Timeouts {
        /// For a connection to a node, the handshake of TLS with it included.
        connect: Time = Time::seconds(1),
        /// From the request sent to the answer's head received.
        response_header: Time = Time::seconds(10),
        /// Between two reads of a body, or for one write to be taken, on either side.
        body: Time = Time::seconds(60),
        /// An idle upstream connection is closed after this; keep it below the origin's own.
        idle: Time = Time::seconds(60),
        /// An upgraded connection (WebSocket) or a TCP session without a byte in either direction is closed after this.
        tunnel: Time = Time::seconds(3600),
    }
}

table! {
    /// Upstream connections, counted over all shards.
    Pool {
        /// Idle connections kept for each node, 0 to 10,000,000; 0 = a new connection for each request.
        max_idle_per_node: i64 = 512,
        /// Connections to each node, up to 10,000,000; 0 = no limit.
        max_connections_per_node: i64 = 0,
    }
}

table! {
    /// What requests may be.
    Request {
        /// Largest request body; 0 = no limit.
        max_body_bytes: Size = Size::mib(64),
    }
}

table! {
    /// Limits of the service: of rates, as token buckets, and of connections at once, over all shards.
    Limits {
        /// For the whole service, up to 1e9; 0 = off.
        requests_per_second: f64 = 0.0,
        /// Requests that may come at once, 1 to 1e9; 0 = the same as the rate (at least 1).
        burst: f64 = 0.0,
        /// What becomes of requests beyond the service's limit.
        mode: LimitMode = LimitMode::Enforce,
        /// For each client address.
        per_client_ip: Rate = Rate::default(),
        /// What the service's limit is counted over.
        scope: Scope = Scope::Process,
        /// TCP and upgraded connections (WebSocket) at once, up to 10,000,000; 0 = no limit.
        max_connections: i64 = 0,
        /// TCP connections of a client address at once, up to 10,000,000; 0 = no limit. For services that a tcp
        /// listener uses.
        max_connections_per_client_ip: i64 = 0,
    }
}

table! {
    /// A token bucket.
    Rate {
        /// Up to 1e9; 0 = off.
        requests_per_second: f64 = 0.0,
        /// Requests that may come at once, 1 to 1e9; 0 = the same as the rate (at least 1).
        burst: f64 = 0.0,
        /// What becomes of requests beyond it.
        mode: LimitMode = LimitMode::Enforce,
    }
}

choice! {
    /// What becomes of requests beyond a limit.
    LimitMode {
        /// they are refused.
        Enforce = "enforce",
        /// they are counted and let through: to try a limit before it is in force.
        Observe = "observe",
    }
}

choice! {
    /// What a limit is counted over.
    Scope {
        /// this process.
        Process = "process",
        /// all processes that share `stats.redis_url`.
        Cluster = "cluster",
    }
}

table! {
    /// Who may call. At most 100,000 networks in each list.
    Access {
        /// Networks (CIDR, or a single address) that may call; empty = all.
        allow: Vec<String> = Vec::new(),
        /// Networks that may not; looked at first.
        deny: Vec<String> = Vec::new(),
        /// Only tenants may call; not for services behind a tcp listener, where nobody can present credentials.
        require_tenant: bool = false,
    }
}
