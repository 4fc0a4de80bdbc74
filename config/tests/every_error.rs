//! One file with errors in every part: all are told at once, in the order of the file, none hides another and none is
//! made up by another.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use coregate_config::parse_toml;

const BAD: &str = r#"
[server]
shards = "four"
max_conections = 5
ops_adress = "127.0.0.1:9901"

[stats]
timezone = "Mars/Olympus"
redis_url = "redis://user:hunter2@/0"

[[listeners]]
name = "web"
address = "0.0.0.0"
protocol = "htps"
certificates = [{ chain = "a.pem", key = "a.key" }]

[[services]]
name = "test_http_1"
[[services.routes]]
path_prefix = "/x"
methods = ["GET", 5, "get"]
[[services.nodes]]
address = "127.0.0.1:2003"
weight = 70000
[[services.nodes]]
addres = "127.0.0.1:2004"
weight = "much"
[services.health_check]
interval = "soon"
timeout = "10s"

[[services]]
name = "test_http_2"
routes = [{ path_prefix = "/x/" }]
limits = { burst = 5 }

[[tenants]]
app_id = "app"
secret = ["hunter3"]
allow = ["10.0.0.1/8", "10.0.0.0/8", "ten"]
"#;

const TOLD: &str = r#"gateway.toml:3:10: server.shards = "four": must be a whole number, not a string
gateway.toml:4:1: server.max_conections: unknown key; did you mean `max_connections`?
gateway.toml:5:1: server.ops_adress: unknown key; did you mean `ops_address`?
gateway.toml:8:12: stats.timezone = "Mars/Olympus": must be the IANA name of a time zone; such as "UTC" or "Asia/Shanghai"
gateway.toml:9:13: stats.redis_url = "redis://user:***@/0": must name a host: redis://HOST:PORT
gateway.toml:13:11: listeners[0].address = "0.0.0.0": must be IP:PORT, such as "127.0.0.1:8080" or "[::1]:8080" (listener "web")
gateway.toml:14:12: listeners[0].protocol = "htps": must be one of "http", "https", "tcp"; did you mean "https"? (listener "web")
gateway.toml:21:19: services[0].routes[0].methods[1] = 5: must be a string, not an integer (service "test_http_1")
gateway.toml:21:22: services[0].routes[0].methods[2] = "get": must be upper case, as methods are case-sensitive: write "GET" (service "test_http_1")
gateway.toml:24:10: services[0].nodes[0].weight = 70000: must be 1 to 65535 (service "test_http_1")
gateway.toml:25:1: services[0].nodes[1].address: is missing and must be given (service "test_http_1")
gateway.toml:26:1: services[0].nodes[1].addres: unknown key; did you mean `address`? (service "test_http_1")
gateway.toml:27:10: services[0].nodes[1].weight = "much": must be a whole number, not a string (service "test_http_1")
gateway.toml:29:12: services[0].health_check.interval = "soon": must be a duration: a whole number and one of ms, s, m, h, d, such as "250ms" or "10s" (service "test_http_1")
gateway.toml:35:20: services[1].limits.burst = 5: needs requests_per_second, which is 0 (off) (service "test_http_2")
gateway.toml:39:10: tenants[0].secret = ***: must be a string, not a list (tenant "app")
gateway.toml:40:10: tenants[0].allow[0] = "10.0.0.1/8": has address bits beyond /8: write "10.0.0.0/8" for the network or "10.0.0.1" for the one address (tenant "app")
gateway.toml:40:38: tenants[0].allow[2] = "ten": must be a network such as "10.0.0.0/8" or "2001:db8::/32", or one address (tenant "app")
18 errors"#;

#[test]
fn every_error_is_told_at_once() {
    let report = parse_toml(BAD, "gateway.toml").unwrap_err();
    let told = report.to_string();
    for (line, (told, expected)) in told.lines().zip(TOLD.lines()).enumerate() {
        assert_eq!(told, expected, "line {}", line + 1);
    }
    assert_eq!(told.lines().count(), TOLD.lines().count(), "{told}");
}

#[test]
fn problems_can_be_used_by_programs() {
    let report = parse_toml(BAD, "gateway.toml").unwrap_err();
    let weight = report.errors.iter().find(|problem| problem.key == "services[0].nodes[0].weight").unwrap();
    assert_eq!((weight.line, weight.column), (Some(24), Some(10)));
    assert_eq!(weight.value.as_deref(), Some("70000"));
    assert_eq!(weight.message, "must be 1 to 65535 (service \"test_http_1\")");
}

#[test]
fn secrets_are_never_told() {
    let told = parse_toml(BAD, "gateway.toml").unwrap_err();
    assert!(!format!("{told} {told:?}").contains("hunter"), "{told}");
}
