//! The configurations of `wrk-scripts/peers` with everything on that governs traffic: limits of the service and of each
//! client, 1,000 networks that may not call, a buffered access log in a file; what coregate counts, it counts anyway.
//!
//! Nothing is refused: rates are out of reach and no request comes from those networks. nginx looks the networks up in
//! a `geo` block, which is a tree as coregate's is; as `deny` lines it would compare one after the other.

use std::fmt::Write;

/// Networks that may not call.
const NETWORKS: u32 = 1000;
/// Requests a second that nobody reaches.
const RATE: u32 = 1_000_000;

/// The networks: /24s all over the address space.
fn networks() -> impl Iterator<Item = String> {
    (0..NETWORKS).map(|n| format!("{}.{}.{}.0/24", 20 + n % 100, n * 37 % 256, n * 101 % 256))
}

/// Coregate's configuration, governed.
pub fn coregate(plain: &str) -> String {
    let deny: Vec<String> = networks().map(|net| format!("{net:?}")).collect();
    let log = plain.replace("path = \"none\"", "path = \"access.log\"\nformat = \"json\"");
    format!(
        "{log}\n[services.limits]\nrequests_per_second = {RATE}\n\
         per_client_ip = {{ requests_per_second = {RATE} }}\n\
         [services.access]\ndeny = [{}]\n",
        deny.join(", ")
    )
}

/// nginx's configuration, governed.
pub fn nginx(plain: &str) -> String {
    let mut geo = String::from("    geo $denied {\n        default 0;\n");
    for net in networks() {
        // Writing to a string does not fail.
        let _ = writeln!(geo, "        {net} 1;");
    }
    let http = format!(
        "{geo}    }}\n    limit_req_zone $binary_remote_addr zone=client:16m rate={RATE}r/s;\n    \
         limit_req_zone $server_name zone=service:1m rate={RATE}r/s;\n    \
         log_format json escape=json '{{\"time\":\"$time_iso8601\",\"client\":\"$remote_addr\",\
         \"method\":\"$request_method\",\"host\":\"$http_host\",\"target\":\"$request_uri\",\"status\":$status,\
         \"bytes_in\":$request_length,\"bytes_out\":$bytes_sent,\"duration\":$request_time,\
         \"upstream\":\"$upstream_response_time\",\"node\":\"$upstream_addr\",\"request_id\":\"$request_id\",\
         \"referer\":\"$http_referer\",\"user_agent\":\"$http_user_agent\"}}';\n    \
         access_log access.log json buffer=64k flush=1s;\n"
    );
    let location = format!(
        "            if ($denied) {{ return 403; }}\n            limit_req zone=client burst={RATE} nodelay;\n            \
         limit_req zone=service burst={RATE} nodelay;\n            proxy_pass"
    );
    plain.replace("    access_log off;\n", &http).replace("            proxy_pass", &location)
}
