//! The rows of a gogate database, as plain values. NULL is 0 or an empty text.

/// All rows that are read, in the order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// `gateway_service_info`
    pub services: Vec<ServiceInfo>,
    /// `gateway_service_http_rule`
    pub http_rules: Vec<HttpRule>,
    /// `gateway_service_tcp_rule`
    pub tcp_rules: Vec<TcpRule>,
    /// `gateway_service_grpc_rule`
    pub grpc_rules: Vec<GrpcRule>,
    /// `gateway_service_access_control`
    pub access_controls: Vec<AccessControl>,
    /// `gateway_service_load_balance`
    pub load_balances: Vec<LoadBalance>,
    /// `gateway_app`
    pub apps: Vec<App>,
}

/// A row of `gateway_service_info`. Its times of creation and change are not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceInfo {
    /// What the other tables call `service_id`.
    pub id: i64,
    /// 0 HTTP, 1 TCP, 2 gRPC.
    pub load_type: i64,
    /// Its name.
    pub service_name: String,
    /// For people.
    pub service_desc: String,
    /// Not 0: deleted.
    pub is_delete: i64,
}

/// A row of `gateway_service_http_rule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpRule {
    /// Whose it is.
    pub service_id: i64,
    /// 0 path prefix, 1 host.
    pub rule_type: i64,
    /// The prefix or the host.
    pub rule: String,
    /// 1: clients may come over TLS.
    pub need_https: i64,
    /// 1: the prefix is taken off.
    pub need_strip_uri: i64,
    /// 1: WebSocket is allowed.
    pub need_websocket: i64,
    /// Comma-separated `regex replacement`.
    pub url_rewrite: String,
    /// Comma-separated `add|edit|del name value`.
    pub header_transfor: String,
}

/// A row of `gateway_service_tcp_rule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TcpRule {
    /// Whose it is.
    pub service_id: i64,
    /// Where it listens.
    pub port: i64,
}

/// A row of `gateway_service_grpc_rule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrpcRule {
    /// Whose it is.
    pub service_id: i64,
    /// Where it listens.
    pub port: i64,
    /// Comma-separated `add|edit|del name value`.
    pub header_transfor: String,
}

/// A row of `gateway_service_access_control`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessControl {
    /// Whose it is.
    pub service_id: i64,
    /// 1: the lists apply, and callers need an app's token.
    pub open_auth: i64,
    /// Addresses that may not call.
    pub black_list: String,
    /// Addresses that may call; not empty: the black list does not apply.
    pub white_list: String,
    /// Host names; nothing in gogate looked at them.
    pub white_host_name: String,
    /// Requests a second of each client; 0 = no limit.
    pub clientip_flow_limit: i64,
    /// Requests a second; 0 = no limit.
    pub service_flow_limit: i64,
}

/// A row of `gateway_service_load_balance`. Times are in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadBalance {
    /// Whose it is.
    pub service_id: i64,
    /// 0: a connection is opened.
    pub check_method: i64,
    /// Of a check.
    pub check_timeout: i64,
    /// Between checks.
    pub check_interval: i64,
    /// 0 random, 1 round robin, 2 weighted round robin, 3 IP hash.
    pub round_type: i64,
    /// Nodes.
    pub ip_list: String,
    /// A weight for each of them.
    pub weight_list: String,
    /// Of the nodes, those that get nothing.
    pub forbid_list: String,
    /// 0 = 30.
    pub upstream_connect_timeout: i64,
    /// 0 = 30.
    pub upstream_header_timeout: i64,
    /// 0 = 10.
    pub upstream_idle_timeout: i64,
    /// Idle connections; 0 = 500.
    pub upstream_max_idle: i64,
}

/// A row of `gateway_app`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct App {
    /// What it identifies itself with.
    pub app_id: String,
    /// For people.
    pub name: String,
    /// In clear.
    pub secret: String,
    /// Addresses that it may call from.
    pub white_ips: String,
    /// Requests a day; 0 = no limit.
    pub qpd: i64,
    /// Requests a second; 0 = no limit.
    pub qps: i64,
    /// Not 0: deleted.
    pub is_delete: i64,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("App").field("app_id", &self.app_id).finish_non_exhaustive()
    }
}
