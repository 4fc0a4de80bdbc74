//! Which columns a row has, and how they become its values.

use super::super::rows::{AccessControl, App, GrpcRule, HttpRule, LoadBalance, ServiceInfo, TcpRule};
use super::{Cells, ReadError};

/// A row of a table.
pub trait TableRow: Sized {
    /// The table.
    const TABLE: &'static str;
    /// The columns that are read, beside `id`.
    const COLUMNS: &'static [&'static str];

    /// Reads one.
    fn read(row: &Cells) -> Result<Self, ReadError>;
}

/// All tables with their columns.
pub const TABLES: [(&str, &[&str]); 7] = [
    (ServiceInfo::TABLE, ServiceInfo::COLUMNS),
    (HttpRule::TABLE, HttpRule::COLUMNS),
    (TcpRule::TABLE, TcpRule::COLUMNS),
    (GrpcRule::TABLE, GrpcRule::COLUMNS),
    (AccessControl::TABLE, AccessControl::COLUMNS),
    (LoadBalance::TABLE, LoadBalance::COLUMNS),
    (App::TABLE, App::COLUMNS),
];

impl TableRow for ServiceInfo {
    const TABLE: &'static str = "gateway_service_info";
    const COLUMNS: &'static [&'static str] =
        &["id", "load_type", "service_name", "service_desc", "is_delete"];

    fn read(row: &Cells) -> Result<Self, ReadError> {
        Ok(Self {
            id: row.number("id")?,
            load_type: row.number("load_type")?,
            service_name: row.text("service_name")?,
            service_desc: row.text("service_desc")?,
            is_delete: row.number("is_delete")?,
        })
    }
}

impl TableRow for HttpRule {
    const TABLE: &'static str = "gateway_service_http_rule";
    const COLUMNS: &'static [&'static str] = &[
        "service_id",
        "rule_type",
        "rule",
        "need_https",
        "need_strip_uri",
        "need_websocket",
        "url_rewrite",
        "header_transfor",
    ];

    fn read(row: &Cells) -> Result<Self, ReadError> {
        Ok(Self {
            service_id: row.number("service_id")?,
            rule_type: row.number("rule_type")?,
            rule: row.text("rule")?,
            need_https: row.number("need_https")?,
            need_strip_uri: row.number("need_strip_uri")?,
            need_websocket: row.number("need_websocket")?,
            url_rewrite: row.text("url_rewrite")?,
            header_transfor: row.text("header_transfor")?,
        })
    }
}

impl TableRow for TcpRule {
    const TABLE: &'static str = "gateway_service_tcp_rule";
    const COLUMNS: &'static [&'static str] = &["service_id", "port"];

    fn read(row: &Cells) -> Result<Self, ReadError> {
        Ok(Self { service_id: row.number("service_id")?, port: row.number("port")? })
    }
}

impl TableRow for GrpcRule {
    const TABLE: &'static str = "gateway_service_grpc_rule";
    const COLUMNS: &'static [&'static str] = &["service_id", "port", "header_transfor"];

    fn read(row: &Cells) -> Result<Self, ReadError> {
        Ok(Self {
            service_id: row.number("service_id")?,
            port: row.number("port")?,
            header_transfor: row.text("header_transfor")?,
        })
    }
}

impl TableRow for AccessControl {
    const TABLE: &'static str = "gateway_service_access_control";
    const COLUMNS: &'static [&'static str] = &[
        "service_id",
        "open_auth",
        "black_list",
        "white_list",
        "white_host_name",
        "clientip_flow_limit",
        "service_flow_limit",
    ];

    fn read(row: &Cells) -> Result<Self, ReadError> {
        Ok(Self {
            service_id: row.number("service_id")?,
            open_auth: row.number("open_auth")?,
            black_list: row.text("black_list")?,
            white_list: row.text("white_list")?,
            white_host_name: row.text("white_host_name")?,
            clientip_flow_limit: row.number("clientip_flow_limit")?,
            service_flow_limit: row.number("service_flow_limit")?,
        })
    }
}

impl TableRow for LoadBalance {
    const TABLE: &'static str = "gateway_service_load_balance";
    const COLUMNS: &'static [&'static str] = &[
        "service_id",
        "check_method",
        "check_timeout",
        "check_interval",
        "round_type",
        "ip_list",
        "weight_list",
        "forbid_list",
        "upstream_connect_timeout",
        "upstream_header_timeout",
        "upstream_idle_timeout",
        "upstream_max_idle",
    ];

    fn read(row: &Cells) -> Result<Self, ReadError> {
        Ok(Self {
            service_id: row.number("service_id")?,
            check_method: row.number("check_method")?,
            check_timeout: row.number("check_timeout")?,
            check_interval: row.number("check_interval")?,
            round_type: row.number("round_type")?,
            ip_list: row.text("ip_list")?,
            weight_list: row.text("weight_list")?,
            forbid_list: row.text("forbid_list")?,
            upstream_connect_timeout: row.number("upstream_connect_timeout")?,
            upstream_header_timeout: row.number("upstream_header_timeout")?,
            upstream_idle_timeout: row.number("upstream_idle_timeout")?,
            upstream_max_idle: row.number("upstream_max_idle")?,
        })
    }
}

impl TableRow for App {
    const TABLE: &'static str = "gateway_app";
    const COLUMNS: &'static [&'static str] =
        &["app_id", "name", "secret", "white_ips", "qpd", "qps", "is_delete"];

    fn read(row: &Cells) -> Result<Self, ReadError> {
        Ok(Self {
            app_id: row.text("app_id")?,
            name: row.text("name")?,
            secret: row.text("secret")?,
            white_ips: row.text("white_ips")?,
            qpd: row.number("qpd")?,
            qps: row.number("qps")?,
            is_delete: row.number("is_delete")?,
        })
    }
}
