//! Services and tenants: nodes, health checks, TLS with nodes, limits, access.

use super::*;

#[test]
fn nodes() {
    let node = |address: &str| service(&format!("nodes = [{{ address = \"{address}\" }}]"));
    let wrong = |address: &str, message: &str| {
        format!(
            "services[0].nodes[0].address = {address:?}: must be IP:PORT, [IPv6]:PORT or NAME:PORT{message}"
        )
    };
    refused(&[
        (&node("127.0.0.1"), &wrong("127.0.0.1", "; the port is missing (service \"svc\")")),
        (&node("a.b:0"), &wrong("a.b:0", "; \"0\" is no port from 1 to 65535")),
        (&node("a.b:65536"), &wrong("a.b:65536", "; \"65536\" is no port from 1 to 65535")),
        (&node("a.b:+80"), &wrong("a.b:+80", "; \"+80\" is no port")),
        (&node("::1"), &wrong("::1", "; write the address in brackets: \"[::1]:PORT\"")),
        (&node("http://a:80"), &wrong("http://a:80", ", without \"http://\"")),
        (&node("a b:80"), &wrong("a b:80", "; \"a b\" must be a host name and has ' '")),
        (
            &node("10.0.0.256:80"),
            &wrong("10.0.0.256:80", "; \"10.0.0.256\" must be a host name or an IP address"),
        ),
        (
            &node("127.0.0.1:0"),
            r#"services[0].nodes[0].address = "127.0.0.1:0": must have a port from 1 to 65535"#,
        ),
        (
            &service("nodes = [{ address = \"a:1\", weight = 0 }]"),
            "services[0].nodes[0].weight = 0: must be 1 to 65535 (service \"svc\")",
        ),
        (
            &service("nodes = [{ address = \"a:1\", weight = 65536 }]"),
            "services[0].nodes[0].weight = 65536: must be 1 to 65535",
        ),
        (
            &service("nodes = [{ address = \"a:1\", weight = -1 }]"),
            "services[0].nodes[0].weight = -1: must be 1 to 65535",
        ),
    ]);
    accepted(&[
        &node("127.0.0.1:1"),
        &node("[::1]:65535"),
        &node("origin_1.internal:80"),
        &node("localhost:80"),
    ]);
}

#[test]
fn health_checks() {
    let check = |keys: &str| service(&format!("[services.health_check]\n{keys}"));
    refused(&[
        (
            &check("interval = \"1s\"\ntimeout = \"1001ms\""),
            r#"services[0].health_check.timeout = "1001ms": must be at most the interval, 1s"#,
        ),
        (
            &check("interval = \"9ms\"\ntimeout = \"9ms\""),
            "services[0].health_check.interval = \"9ms\": must be 10ms to 1d",
        ),
        (
            &check("kind = \"http\""),
            "services[0].health_check.path: is missing and must be given, as kind = \"http\"",
        ),
        (
            &check("kind = \"http\"\npath = \"x\""),
            r#"services[0].health_check.path = "x": must begin with '/'"#,
        ),
        (
            &check("kind = \"http\"\npath = \"/ x\""),
            r#"services[0].health_check.path = "/ x": must be visible ASCII"#,
        ),
        (
            &check("kind = \"http\"\npath = \"/\"\nhost = \"a b\""),
            r#"services[0].health_check.host = "a b": must be a host"#,
        ),
        (
            &check("kind = \"http\"\npath = \"/\"\nexpect_status = [99]"),
            "services[0].health_check.expect_status[0] = 99: must be 100 to 599",
        ),
        (
            &check("kind = \"http\"\npath = \"/\"\nexpect_status = [600]"),
            "services[0].health_check.expect_status[0] = 600: must be 100 to 599",
        ),
        (
            &check("path = \"/x\""),
            "services[0].health_check.path = \"/x\": is for kind = \"http\" alone, and kind is \"tcp\"",
        ),
        (&check("unhealthy_after = 0"), "services[0].health_check.unhealthy_after = 0: must be 1 to 1000"),
        (&check("healthy_after = 0"), "services[0].health_check.healthy_after = 0: must be 1 to 1000"),
        (
            &check("kind = \"htp\""),
            r#"services[0].health_check.kind = "htp": must be one of "tcp", "http", "grpc"; did you mean "http"?"#,
        ),
    ]);
    accepted(&[&check("interval = \"1s\"\ntimeout = \"1s\""), &check("kind = \"http\"\npath = \"/?a=b\"")]);
}

#[test]
fn limits_and_access() {
    let limits = |keys: &str| service(&format!("[services.limits]\n{keys}"));
    refused(&[
        (
            &limits("requests_per_second = -1"),
            "services[0].limits.requests_per_second = -1: must be above 0 and at most 1e9",
        ),
        (
            &limits("requests_per_second = nan"),
            "services[0].limits.requests_per_second = NaN: must be above 0",
        ),
        (
            &limits("requests_per_second = inf"),
            "services[0].limits.requests_per_second = inf: must be above 0",
        ),
        (
            &limits("requests_per_second = 1000000001"),
            "services[0].limits.requests_per_second = 1000000001: must be above 0",
        ),
        (&limits("burst = 5"), "services[0].limits.burst = 5: needs requests_per_second, which is 0 (off)"),
        (
            &limits("requests_per_second = 5\nburst = 0.5"),
            "services[0].limits.burst = 0.5: must be 1 to 1e9, or 0 for",
        ),
        (
            &limits("per_client_ip = { burst = 5 }"),
            "services[0].limits.per_client_ip.burst = 5: needs requests_per_second",
        ),
        (
            &limits("scope = \"global\""),
            r#"services[0].limits.scope = "global": must be one of "process", "cluster""#,
        ),
        (
            &service("access = { allow = [\"10.0.0.1/8\"] }"),
            r#"services[0].access.allow[0] = "10.0.0.1/8": has address bits beyond /8: write "10.0.0.0/8" for the network or "10.0.0.1" for the one address"#,
        ),
        (
            &service("access = { deny = [\"::1/129\"] }"),
            r#"services[0].access.deny[0] = "::1/129": must be a network such as "10.0.0.0/8" or "2001:db8::/32", or one address: "129" is no prefix length from 0 to 128"#,
        ),
        (
            &service("access = { deny = [\"10.0.0/8\"] }"),
            r#"services[0].access.deny[0] = "10.0.0/8": must be a network such as "10.0.0.0/8" or "2001:db8::/32", or one address: "10.0.0" is no IP address"#,
        ),
    ]);
    let gateway = loaded(&service(
        "access = { allow = [\"10.0.0.1\", \"::1\", \"10.0.0.0/8\"] }\nlimits = { requests_per_second = 0.5 }",
    ));
    let service = &gateway.services[0];
    let allow: Vec<String> = service.access.allow.iter().map(ToString::to_string).collect();
    assert_eq!(allow, ["10.0.0.1/32", "::1/128", "10.0.0.0/8"]);
    let rate = service.limits.service.unwrap();
    assert_eq!((rate.requests_per_second, rate.burst), (0.5, 1.0), "a bucket holds one token at least");
}

#[test]
fn tenants() {
    let tenant = |keys: &str| format!("[[tenants]]\napp_id = \"t\"\n{keys}");
    refused(&[
        ("[[tenants]]\nsecret = \"s\"", "tenants[0].app_id: is missing and must be given"),
        ("[[tenants]]\napp_id = \"a:b\"\nsecret = \"s\"", r#"tenants[0].app_id = "a:b": must consist of"#),
        (&tenant(""), "tenants[0].secret: is missing: this or secret_sha256 must be given (tenant \"t\")"),
        (&tenant("secret = \"\""), "tenants[0].secret = ***: must have 1 to 1024 bytes (tenant \"t\")"),
        (&tenant("secret = \"a\\nb\""), "tenants[0].secret = ***: must not hold control characters"),
        (
            &tenant(&format!("secret = \"{}\"", "s".repeat(1025))),
            "tenants[0].secret = ***: must have 1 to 1024",
        ),
        (
            &tenant("secret_sha256 = \"abc\""),
            "tenants[0].secret_sha256 = ***: must be the SHA-256 of the secret: 64 hexadecimal digits (tenant",
        ),
        (
            &tenant(&format!("secret_sha256 = \"{}\"", "0".repeat(63))),
            "tenants[0].secret_sha256 = ***: must be the SHA-256 of the secret: 64 hexadecimal digits (tenant",
        ),
        (
            &tenant(&format!("secret_sha256 = \"{}\"", "0".repeat(66))),
            "tenants[0].secret_sha256 = ***: must be the SHA-256 of the secret: 64 hexadecimal digits (tenant",
        ),
        (
            &tenant(&format!("secret_sha256 = \"{}g\"", "0".repeat(63))),
            "tenants[0].secret_sha256 = ***: must be the SHA-256 of the secret: 64 hexadecimal digits (tenant",
        ),
        (
            &tenant("secret_sha256 = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""),
            "tenants[0].secret_sha256 = ***: is the SHA-256 of no secret at all",
        ),
        (&tenant("secret_sha256 = 1"), "tenants[0].secret_sha256 = ***: must be a string, not an integer"),
        (
            &tenant(&format!("secret = \"s\"\nsecret_sha256 = \"{}\"", "0".repeat(64))),
            "tenants[0].secret_sha256 = ***: does not go together with tenants[0].secret (tenant \"t\", line 3)",
        ),
        (
            &tenant("secret = \"s\"\nlimits_mode = \"watch\""),
            r#"tenants[0].limits_mode = "watch": must be one of "enforce", "observe""#,
        ),
        (
            &tenant("secret = \"s\"\nrequests_per_second = 1e10"),
            "tenants[0].requests_per_second = 10000000000: must be above 0 and at most 1e9",
        ),
        (
            &tenant("secret = \"s\"\nrequests_per_second = nan"),
            "tenants[0].requests_per_second = NaN: must be above 0",
        ),
        (&tenant("secret = 12345"), "tenants[0].secret = ***: must be a string, not an integer"),
        (&tenant("secret = \"s\"\nrequests_per_day = -1"), "tenants[0].requests_per_day = -1: must be 0 to"),
        (
            &tenant("secret = \"s\"\nrequests_per_second = -1"),
            "tenants[0].requests_per_second = -1: must be above 0",
        ),
        (&tenant("secret = \"s\"\nallow = [\"x\"]"), r#"tenants[0].allow[0] = "x": must be a network"#),
    ]);
    accepted(&[
        &tenant("secret = \"\u{e4}:\u{20ac}\"\nlimits_mode = \"observe\""),
        &tenant(&format!("secret = \"{}\"", "s".repeat(1024))),
        &tenant(&format!("secret_sha256 = \"{}\"", "aF".repeat(32))),
    ]);
}

#[test]
fn a_secret_and_its_hash_are_the_same() {
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let text = format!(
        "[[tenants]]\napp_id = \"a\"\nsecret = \"hello\"\n[[tenants]]\napp_id = \"b\"\nsecret_sha256 = \"{hash}\""
    );
    let tenants = parse_toml(&text, "f").unwrap().tenants;
    assert_eq!(tenants[0].secret, tenants[1].secret);
    assert_eq!(tenants[0].secret.0[..3], [0x2c, 0xf2, 0x4d]);
}

#[test]
fn limits_can_be_tried_first() {
    let text = service(
        "[services.limits]\nrequests_per_second = 5\nmode = \"observe\"\nper_client_ip = { requests_per_second = 1 }",
    );
    let limits = parse_toml(&text, "f").unwrap().services[0].limits;
    assert_eq!((limits.service_mode, limits.per_client_ip_mode), (LimitMode::Observe, LimitMode::Enforce));
    refused(&[
        (
            &service("[services.limits]\nmode = \"off\""),
            r#"services[0].limits.mode = "off": must be one of "enforce", "observe""#,
        ),
        (
            &service("[services.limits]\nper_client_ip = { mode = 1 }"),
            r#"services[0].limits.per_client_ip.mode = 1: must be one of "enforce", "observe", not an integer"#,
        ),
    ]);
}

#[test]
fn tls_with_nodes() {
    let tls = |keys: &str| service(&format!("tls = true\n[services.upstream_tls]\n{keys}"));
    refused(&[
        (
            &service("[services.upstream_tls]\nserver_name = \"a\""),
            "services[0].upstream_tls: needs tls = true; without it the nodes are spoken to in clear",
        ),
        (
            &tls("server_name = \"a b\""),
            "services[0].upstream_tls.server_name = \"a b\": must be a host name and has ' '",
        ),
        (
            &tls("server_name = \"*.a\""),
            "services[0].upstream_tls.server_name = \"*.a\": must be a host name",
        ),
        (
            &tls("certificate = { chain = \"a\" }"),
            "services[0].upstream_tls.certificate.key: is missing and must be given",
        ),
        (&tls("ca = \"\""), "services[0].upstream_tls.ca = \"\": must"),
        (&tls("accept_any = true"), "services[0].upstream_tls.accept_any"),
    ]);
}

#[test]
fn services_behind_tcp_listeners() {
    let tcp = |keys: &str, routes: &str, more: &str| {
        format!(
            "{}\n[[services]]\nname = \"db\"\n{keys}\n{routes}\n{more}",
            listener("protocol = \"tcp\"\nservice = \"db\"")
        )
    };
    let route = "[[services.routes]]\npath_prefix = \"/\"";
    refused(&[
        (
            &service(&format!("send_proxy_protocol = \"v1\"\n{route}")),
            "services[0].send_proxy_protocol = \"v1\": is for services without routes: one connection to a node carries \
             requests of many clients, which X-Forwarded-For tells",
        ),
        (
            &service("send_proxy_protocol = \"v2\""),
            "services[0].send_proxy_protocol = \"v2\": is for services that a tcp listener uses, and none uses this one",
        ),
        (&service("send_proxy_protocol = \"v3\""), "services[0].send_proxy_protocol = \"v3\": must be"),
        (
            &service(&format!("limits.max_connections_per_client_ip = 1\n{route}")),
            "services[0].limits.max_connections_per_client_ip = 1: is for services that a tcp listener uses; requests are \
             limited by per_client_ip.requests_per_second",
        ),
        (
            &service("limits.max_connections_per_client_ip = 1"),
            "services[0].limits.max_connections_per_client_ip = 1: is for services that a tcp listener uses, and none uses",
        ),
        (
            &tcp("http2 = true", "", ""),
            "services[0].http2 = true: is for services with routes; a tcp listener passes bytes on as they are",
        ),
        (
            &tcp("access.require_tenant = true", "", ""),
            "listeners[0].service = \"db\": requires a tenant (access.require_tenant), and nobody can present credentials",
        ),
    ]);
    accepted(&[
        &tcp("send_proxy_protocol = \"v2\"\nlimits.max_connections_per_client_ip = 1", "", ""),
        &tcp("http2 = true\nlimits.max_connections_per_client_ip = 1", route, ""),
    ]);
}

#[test]
fn keys_of_another_kind_of_health_check() {
    let check = |keys: &str| service(&format!("[services.health_check]\n{keys}"));
    refused(&[
        (
            &check("kind = \"tcp\"\nhost = \"a\""),
            "services[0].health_check.host = \"a\": is for kind = \"http\" and \"grpc\" alone, and kind is \"tcp\"",
        ),
        (
            &check("kind = \"http\"\npath = \"/\"\ngrpc_service = \"a\""),
            "services[0].health_check.grpc_service = \"a\": is for kind = \"grpc\" alone, and kind is \"http\"",
        ),
        (
            &check("kind = \"grpc\"\npath = \"/\""),
            "services[0].health_check.path = \"/\": is for kind = \"http\" alone, and kind is \"grpc\"",
        ),
        (
            &check("kind = \"grpc\"\nexpect_status = [200]"),
            "services[0].health_check.expect_status: is for kind = \"http\" alone, and kind is \"grpc\"",
        ),
        (
            &check("kind = \"grpc\"\ngrpc_service = \"a b\""),
            "services[0].health_check.grpc_service = \"a b\": must be the full name of a service, up to 256 visible ASCII",
        ),
    ]);
    accepted(&[&check("kind = \"grpc\"\ngrpc_service = \"a.B\"\nhost = \"a.test\"")]);
}
