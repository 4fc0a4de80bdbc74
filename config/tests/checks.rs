//! What each check refuses, and in which words.
//!
//! A case is a fragment of a file and the one error that it must give, as `KEY[ = VALUE]: MESSAGE`. The message may be
//! cut: it is compared up to the length that the case gives.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use coregate_config::checked::LimitMode;
use coregate_config::{Gateway, Report, parse_json, parse_toml};

#[test]
fn listeners() {
    refused(&[
        (
            "[[listeners]]\nname = \"a b\"\naddress = \"127.0.0.1:80\"",
            r#"listeners[0].name = "a b": must consist of A-Z a-z 0-9 _ . - and has ' '"#,
        ),
        (
            "[[listeners]]\nname = \"\"\naddress = \"127.0.0.1:80\"",
            r#"listeners[0].name = "": must have 1 to 64 characters, not 0"#,
        ),
        ("[[listeners]]\naddress = \"127.0.0.1:80\"", "listeners[0].name: is missing and must be given"),
        (
            "[[listeners]]\nname = \"a\"\naddress = \":80\"",
            r#"listeners[0].address = ":80": must be IP:PORT, such as "127.0.0.1:8080" or "[::1]:8080"; for every IPv4 address write "0.0.0.0:80" (listener "a")"#,
        ),
        (
            &listener("max_header_bytes = \"1023B\""),
            r#"listeners[0].max_header_bytes = "1023B": must be 1KiB to 256KiB"#,
        ),
        (
            &listener("max_header_bytes = 262145"),
            "listeners[0].max_header_bytes = 262145: must be 1KiB to 256KiB",
        ),
        (&listener("max_header_fields = 0"), "listeners[0].max_header_fields = 0: must be 1 to 256"),
        (&listener("max_header_fields = 257"), "listeners[0].max_header_fields = 257: must be 1 to 256"),
        (&listener("header_timeout = \"0s\""), r#"listeners[0].header_timeout = "0s": must be 1ms to 1d"#),
        (&listener("idle_timeout = \"25h\""), r#"listeners[0].idle_timeout = "25h": must be 1ms to 1d"#),
        (
            &listener("protocol = \"https\""),
            "listeners[0].certificates: is missing: an https listener needs at least one certificate",
        ),
        (
            &listener("certificates = [{ chain = \"a\", key = \"b\" }]"),
            "listeners[0].certificates: are for protocol = \"https\" and \"tcp\" alone",
        ),
        (
            &listener("protocol = \"https\"\ncertificates = [{ chain = \"a\" }]"),
            "listeners[0].certificates[0].key: is missing and must be given",
        ),
        (
            &listener("protocol = \"tcp\""),
            "listeners[0].service: is missing: a tcp listener needs the name of",
        ),
        (
            &format!(
                "{}\n[[services]]\nname = \"cache\"",
                listener("protocol = \"tcp\"\nservice = \"cahce\"")
            ),
            r#"listeners[0].service = "cahce": there is no service of that name; did you mean "cache"? (listener "web")"#,
        ),
        (
            &format!("{}\n[[services]]\nname = \"cache\"", listener("service = \"cache\"")),
            r#"listeners[0].service = "cache": is for protocol = "tcp" alone"#,
        ),
        (
            &format!(
                "{}\n[[services]]\nname = \"cache\"\naccess = {{ require_tenant = true }}",
                listener("protocol = \"tcp\"\nservice = \"cache\"")
            ),
            r#"listeners[0].service = "cache": requires a tenant"#,
        ),
    ]);
}

#[test]
fn names_and_addresses_are_unique() {
    let two = |first: &str, second: &str| {
        format!(
            "[[listeners]]\nname = \"a\"\naddress = \"{first}\"\n[[listeners]]\nname = \"b\"\naddress = \"{second}\""
        )
    };
    let overlap = |second: &str| {
        format!(
            r#"listeners[1].address = "{second}": overlaps with listeners[0].address (listener "a", line 3) (listener "b")"#
        )
    };
    refused(&[
        (&two("127.0.0.1:80", "127.0.0.1:80"), &overlap("127.0.0.1:80")),
        (&two("0.0.0.0:80", "127.0.0.1:80"), &overlap("127.0.0.1:80")),
        (&two("127.0.0.1:80", "0.0.0.0:80"), &overlap("0.0.0.0:80")),
        (&two("[::]:80", "[::1]:80"), &overlap("[::1]:80")),
        (&two("127.0.0.1:80", "[::ffff:127.0.0.1]:80"), &overlap("[::ffff:127.0.0.1]:80")),
        (
            "[server]\nops_address = \"127.0.0.1:80\"\n[[listeners]]\nname = \"a\"\naddress = \"0.0.0.0:80\"",
            r#"listeners[0].address = "0.0.0.0:80": overlaps with server.ops_address (line 2) (listener "a")"#,
        ),
        (
            "[[services]]\nname = \"a\"\n[[services]]\nname = \"a\"",
            r#"services[1].name = "a": is the same as services[0].name (line 2)"#,
        ),
        (
            "[[tenants]]\napp_id = \"a\"\nsecret = \"s\"\n[[tenants]]\napp_id = \"a\"\nsecret = \"s\"",
            r#"tenants[1].app_id = "a": is the same as tenants[0].app_id (line 2)"#,
        ),
        (
            &service("nodes = [{ address = \"a.b:80\" }, { address = \"A.b:80\" }]"),
            r#"services[0].nodes[1].address = "A.b:80": is the same as services[0].nodes[0].address (service "svc", line 3) (service "svc")"#,
        ),
    ]);
    accepted(&[
        &two("127.0.0.1:80", "127.0.0.2:80"),
        &two("127.0.0.1:80", "127.0.0.1:81"),
        &two("0.0.0.0:80", "[::]:80"),
        &two("127.0.0.1:0", "127.0.0.1:0"),
        &format!("{}\nenabled = false", two("127.0.0.1:80", "127.0.0.1:80")),
    ]);
}

#[test]
fn path_prefixes() {
    let prefix = |text: &str| service(&format!("[[services.routes]]\npath_prefix = '{text}'"));
    refused(&[
        (&prefix("api"), r#"services[0].routes[0].path_prefix = "api": must begin with '/': write "/api""#),
        (&prefix(""), r#"services[0].routes[0].path_prefix = "": must begin with '/'"#),
        (
            &prefix("/a/../b"),
            r#"services[0].routes[0].path_prefix = "/a/../b": must not have the segment "..""#,
        ),
        (&prefix("/./b"), r#"services[0].routes[0].path_prefix = "/./b": must not have the segment ".""#),
        (&prefix("/a//b"), r#"services[0].routes[0].path_prefix = "/a//b": must not have empty segments"#),
        (&prefix("/a//"), r#"services[0].routes[0].path_prefix = "/a//": must not have empty segments"#),
        (
            &prefix("/%61"),
            r#"services[0].routes[0].path_prefix = "/%61": has "%61", which requests are matched without: write 'a'"#,
        ),
        (
            &prefix("/%2F"),
            r#"services[0].routes[0].path_prefix = "/%2F": has "%2F"; requests with it are refused"#,
        ),
        (
            &prefix("/%c3%a9"),
            r#"services[0].routes[0].path_prefix = "/%c3%a9": has "%c3": write it in upper case, "%C3""#,
        ),
        (
            &prefix("/%2"),
            r#"services[0].routes[0].path_prefix = "/%2": has "%2", which is no percent-encoding"#,
        ),
        (
            &prefix("/%+1"),
            r#"services[0].routes[0].path_prefix = "/%+1": has "%+1", which is no percent-encoding"#,
        ),
        (&prefix("/é"), r#"services[0].routes[0].path_prefix = "/é": must be ASCII: write 'é' as "%C3%A9""#),
        (&prefix("/a?b"), r#"services[0].routes[0].path_prefix = "/a?b": has '?', which no path has"#),
    ]);
}

#[test]
fn hosts_and_methods() {
    let route = |keys: &str| service(&format!("[[services.routes]]\n{keys}"));
    let host = |text: &str| route(&format!("hosts = ['{text}']"));
    refused(&[
        (
            &host("*"),
            r#"services[0].routes[0].hosts[0] = "*": is no host: for any host leave the list empty"#,
        ),
        (
            &host("a.*.com"),
            r#"services[0].routes[0].hosts[0] = "a.*.com": can have "*" only as the whole first label"#,
        ),
        (&host("*.*.com"), r#"services[0].routes[0].hosts[0] = "*.*.com": can have one "*""#),
        (
            &host("a.com:80"),
            r#"services[0].routes[0].hosts[0] = "a.com:80": stands without a port, any port matches: write "a.com""#,
        ),
        (
            &host("a.com."),
            r#"services[0].routes[0].hosts[0] = "a.com.": must not end with a dot: write "a.com""#,
        ),
        (
            &host("-a.com"),
            r#"services[0].routes[0].hosts[0] = "-a.com": must be a host name whose labels neither begin"#,
        ),
        (&host("a b"), r#"services[0].routes[0].hosts[0] = "a b": must be a host name and has ' '"#),
        (
            &host("10.0.0.300"),
            r#"services[0].routes[0].hosts[0] = "10.0.0.300": must be a host name or an IP address"#,
        ),
        (
            &host("::1"),
            r#"services[0].routes[0].hosts[0] = "::1": is an IPv6 address, which stands in brackets: "[::1]""#,
        ),
        (
            &host("bücher.de"),
            r#"services[0].routes[0].hosts[0] = "bücher.de": must be ASCII: write an international"#,
        ),
        (
            &route("hosts = [\"a.com\", \"A.com\"]"),
            r#"services[0].routes[0].hosts[1] = "A.com": is given twice"#,
        ),
        (
            &route("methods = [\"get\"]"),
            r#"services[0].routes[0].methods[0] = "get": must be upper case, as methods are case-sensitive: write "GET""#,
        ),
        (
            &route("methods = [\"TRACE\"]"),
            r#"services[0].routes[0].methods[0] = "TRACE": is never forwarded"#,
        ),
        (&route("methods = [\"G T\"]"), r#"services[0].routes[0].methods[0] = "G T": must be a method"#),
        (
            &route("methods = [\"GET\", \"GET\"]"),
            r#"services[0].routes[0].methods[1] = "GET": is given twice"#,
        ),
    ]);
}

#[test]
fn hosts_and_prefixes_are_kept_in_normal_form() {
    let gateway = loaded(&service(
        "[[services.routes]]\nhosts = [\"API.Example.com\", \"*.Example.com\", \"[::0001]\"]\npath_prefix = \"/A/b%20c/\"",
    ));
    let route = &gateway.services[0].routes[0];
    use coregate_config::checked::HostPattern::{Exact, Wildcard};
    assert_eq!(
        route.hosts,
        [Exact("api.example.com".into()), Wildcard("example.com".into()), Exact("[::1]".into())]
    );
    assert_eq!(route.path_prefix, "/A/b%20c");
}

#[test]
fn equal_routes_are_one_error_that_names_both() {
    let two = |first: &str, second: &str| {
        let one = |name: &str, keys: &str| {
            format!("[[services]]\nname = \"{name}\"\n[[services.routes]]\n{keys}\n")
        };
        one("a", first) + &one("b", second)
    };
    refused(&[
        (
            &two("path_prefix = \"/x\"", "path_prefix = \"/x/\""),
            r#"services[1].routes[0]: the same requests (any host, prefix "/x") belong to services[0].routes[0] (service "a", line 3) (service "b")"#,
        ),
        (
            &two("hosts = [\"a.com\", \"b.com\"]", "hosts = [\"c.com\", \"B.com\", \"a.com\"]"),
            r#"services[1].routes[0]: the same requests (host "b.com", prefix "/") belong to services[0].routes[0]"#,
        ),
        (
            &two("methods = [\"GET\", \"PUT\"]", "methods = [\"PUT\"]"),
            r#"services[1].routes[0]: the same requests (any host, prefix "/") belong to services[0].routes[0]"#,
        ),
        (
            &service("[[services.routes]]\n[[services.routes]]"),
            r#"services[0].routes[1]: the same requests (any host, prefix "/") belong to services[0].routes[0]"#,
        ),
    ]);
    accepted(&[
        &two("path_prefix = \"/x\"", "path_prefix = \"/xy\""),
        &two("methods = [\"GET\"]", "methods = [\"PUT\"]"),
        &two("hosts = [\"a.com\"]", "hosts = [\"*.a.com\"]"),
        &format!(
            "{}\n[[services]]\nname = \"b\"\nenabled = false\nroutes = [{{}}]",
            service("routes = [{}]")
        ),
    ]);
}

#[test]
fn rewrites() {
    let rewrite = |pattern: &str, replacement: &str| {
        service(&format!(
            "[[services.routes]]\nrewrites = [{{ pattern = '{pattern}', replacement = '{replacement}' }}]"
        ))
    };
    let at = |key: &str, value: &str, message: &str| {
        format!("services[0].routes[0].rewrites[0].{key} = {value:?}: {message}")
    };
    refused(&[
        (
            &rewrite("^/é(a", "/"),
            &at(
                "pattern",
                "^/é(a",
                "is no regular expression: unclosed group, at its character 4 (service \"svc\")",
            ),
        ),
        (
            &rewrite(r"(a)\1", "/"),
            &at(
                "pattern",
                r"(a)\1",
                "is no regular expression: backreferences are not supported, at its character 4",
            ),
        ),
        (
            &rewrite(r"\p{Nope}", "/"),
            &at("pattern", r"\p{Nope}", "is no regular expression: Unicode property not found"),
        ),
        (
            &rewrite("(a{1000}){1000}", "/"),
            &at("pattern", "(a{1000}){1000}", "takes more than 1MiB when compiled"),
        ),
        (&rewrite("", "/"), &at("pattern", "", "must have 1 to 4096 bytes")),
        (
            &rewrite("^/(a)", "/$2"),
            &at(
                "replacement",
                "/$2",
                "names the group \"2\", which the pattern does not have; it has 1 numbered",
            ),
        ),
        (
            &rewrite("^/(a)", "/$1x"),
            &at(
                "replacement",
                "/$1x",
                "names the group \"1x\", which the pattern does not have; for group 1 followed by \"x\" write \"${1}x\"",
            ),
        ),
        (&rewrite("^/(?<id>a)", "/${ib}"), &at("replacement", "/${ib}", "names the group \"ib\"")),
        (&rewrite("^/a", "/a b"), &at("replacement", "/a b", "becomes part of a path")),
        (&rewrite("^/a", "/a?b"), &at("replacement", "/a?b", "becomes part of a path")),
    ]);
    accepted(&[&rewrite("^/(a)(?<id>b)", "/$1-${2}$id/${id}x/$$1/$0/$"), &rewrite("^/(a)", "/${1}x")]);
}

#[test]
fn headers() {
    let rule = |rule: &str| service(&format!("[services.headers]\nrequest = [{rule}]"));
    let response = |rule: &str| service(&format!("[services.headers]\nresponse = [{rule}]"));
    refused(&[
        (&rule("{}"), "services[0].headers.request[0]: must have exactly one of add, set and remove"),
        (
            &rule("{ add = \"a\", set = \"b\", value = \"c\" }"),
            "services[0].headers.request[0]: must have exactly one of add, set and remove",
        ),
        (
            &rule("{ add = \"a\" }"),
            "services[0].headers.request[0].value: is missing and must be given with add",
        ),
        (
            &rule("{ remove = \"a\", value = \"b\" }"),
            "services[0].headers.request[0].value = ***: is for add and set",
        ),
        (
            &rule("{ remove = \"a:\" }"),
            r#"services[0].headers.request[0].remove = "a:": must be a header name"#,
        ),
        (&rule("{ remove = \"\" }"), r#"services[0].headers.request[0].remove = "": must be a header name"#),
        (
            &rule("{ set = \"a\", value = \"x\\r\\nEvil: 1\" }"),
            "services[0].headers.request[0].value = ***: must not hold control characters (CR, LF, NUL ...), as its character 2 is",
        ),
        (
            &rule("{ set = \"a\", value = \"\\u0000\" }"),
            "services[0].headers.request[0].value = ***: must not hold control",
        ),
        (
            &rule("{ set = \"a\", value = \" x\" }"),
            "services[0].headers.request[0].value = ***: must neither begin nor end",
        ),
        (
            &rule("{ set = \"a\", value = \"é\" }"),
            "services[0].headers.request[0].value = ***: must be ASCII",
        ),
        (
            &rule("{ add = \"Host\", value = \"a\" }"),
            r#"services[0].headers.request[0].add = "Host": can only be set, and only in requests"#,
        ),
        (
            &rule("{ remove = \"host\" }"),
            r#"services[0].headers.request[0].remove = "host": can only be set"#,
        ),
        (
            &response("{ set = \"host\", value = \"a\" }"),
            r#"services[0].headers.response[0].set = "host": can only be set, and only"#,
        ),
        (
            &rule("{ set = \"host\", value = \"a b\" }"),
            "services[0].headers.request[0].value = ***: must be a host",
        ),
    ]);
    accepted(&[
        &rule("{ set = \"Host\", value = \"[::1]:80\" }"),
        &rule("{ add = \"x-a\", value = \"\" }"),
        &rule("{ add = \"x-a\", value = \"a\\tb\" }"),
    ]);
}

#[test]
fn headers_of_the_gateway_itself_are_refused() {
    let rule = |rule: &str| service(&format!("[services.headers]\nrequest = [{rule}]"));
    for name in [
        "Connection",
        "transfer-encoding",
        "content-length",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "proxy-connection",
    ] {
        refused(&[(
            &rule(&format!("{{ remove = \"{name}\" }}")),
            &format!(
                "services[0].headers.request[0].remove = {name:?}: belongs to the connection or to the framing"
            ),
        )]);
    }
}

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
fn the_process() {
    refused(&[
        ("[server]\nshards = -1", "server.shards = -1: must be 0 to 1024"),
        ("[server]\nshards = 1025", "server.shards = 1025: must be 0 to 1024"),
        (
            "[server]\nshards = 3\ncpus = [0, 1]",
            "server.shards = 3: must be 0 or 2, the number of server.cpus",
        ),
        ("[server]\ncpus = [1, 1]", "server.cpus[1] = 1: is the same as server.cpus[0] (line 2)"),
        ("[server]\ncpus = [-1]", "server.cpus[0] = -1: must be 0 to 8191"),
        ("[server]\nmax_connections = 0", "server.max_connections = 0: must be 1 to 10000000"),
        (
            "[server]\nclient_limit_entries = 999",
            "server.client_limit_entries = 999: must be 1000 to 100000000",
        ),
        (
            "[server]\nclient_limit_entries = 100000001",
            "server.client_limit_entries = 100000001: must be 1000 to 100000000",
        ),
        ("[server]\nops_address = \"localhost:1\"", r#"server.ops_address = "localhost:1": must be IP:PORT"#),
        ("[server]\ndrain_timeout = \"2d\"", r#"server.drain_timeout = "2d": must be 0s to 1d"#),
        ("[server]\ndrain_timeout = 30", "server.drain_timeout = 30: has no unit; for seconds write \"30s\""),
        (
            "[server]\ntrusted_proxies = [\"x\"]",
            r#"server.trusted_proxies[0] = "x": must be a network such as"#,
        ),
        ("[server.access_log]\nsample = 1.1", "server.access_log.sample = 1.1: must be 0.0"),
        ("[server.access_log]\nsample = nan", "server.access_log.sample = NaN: must be 0.0"),
        ("[server.access_log]\npath = \"\"", r#"server.access_log.path = "": must not be empty"#),
        (
            "[server.access_log]\nformat = \"jsn\"",
            r#"server.access_log.format = "jsn": must be one of "json", "combined"; did you mean "json"?"#,
        ),
        (
            "[stats]\ntimezone = \"Asia/Shangai\"",
            r#"stats.timezone = "Asia/Shangai": must be the IANA name of a time zone; did you mean "Asia/Shanghai"?"#,
        ),
        ("[stats]\ninterval = \"1ms\"", r#"stats.interval = "1ms": must be 10ms to 1h"#),
        ("[stats]\nretention = \"1m\"", r#"stats.retention = "1m": must be 1h to 3660d"#),
        (
            "[stats]\nkey_prefix = \"a b\"",
            r#"stats.key_prefix = "a b": must be at most 128 visible ASCII characters"#,
        ),
        (
            "[stats]\nredis_url = \"http://a\"",
            r#"stats.redis_url = "http://a": must begin with one of redis://"#,
        ),
        ("[stats]\nredis_url = \"redis://:6379\"", r#"stats.redis_url = "redis://:6379": must name a host"#),
        (
            "[control]\nadmin_url = \"http://a\"",
            "control.admin_url = \"http://a\": is for control.source = \"admin\" alone",
        ),
        (&admin("ftp://a"), "control.admin_url = \"ftp://a\": must begin with http:// or https://"),
        (&admin("http://u:p@a"), "control.admin_url = \"http://u:***@a\": must not hold credentials"),
        (&admin("http://:80"), "control.admin_url = \"http://:80\": must name a host"),
        (
            &format!("{}\n[[services]]\nname = \"a\"", admin("http://a")),
            "services: come from the admin, as control.source = \"admin\"",
        ),
    ]);
    refused(&[(
        "[control]\nsource = \"admin\"\nadmin_url = \"http://a\"\ntoken_file = \"t\"",
        "control.cache_path: is missing and must be given, as control.source = \"admin\"",
    )]);
    accepted(&[
        &admin("https://admin.example.com/base/"),
        "[server]\nshards = 2\ncpus = [0, 1]",
        "[stats]\nredis_url = \"rediss-cluster://user:p/w@a:1,b:2/0\"",
    ]);
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
fn unknown_keys_get_the_nearest_known_one() {
    refused(&[
        ("serber = 1", "serber: unknown key; did you mean `server`?"),
        ("[[service]]", "service: unknown key; did you mean `services`?"),
        (
            &service("[[services.node]]"),
            "services[0].node: unknown key; did you mean `nodes`? (service \"svc\")",
        ),
        (&service("healthcheck = {}"), "services[0].healthcheck: unknown key; did you mean `health_check`?"),
        (
            &service("[services.request]\nmax-body-bytes = 1"),
            "services[0].request.max-body-bytes: unknown key; did you mean `max_body_bytes`?",
        ),
        (
            "[control]\nxyzzy = 1",
            "control.xyzzy: unknown key; here are known: source, admin_url, token_file, cache_path",
        ),
        ("\"a b\\n\" = 1", r#""a b\n": unknown key; here are known: server, stats"#),
    ]);
}

#[test]
fn values_of_the_wrong_kind() {
    refused(&[
        ("server = 5", "server = 5: must be a table, not an integer"),
        ("services = {}", "services: must be a list, not a table"),
        ("services = [5]", "services[0] = 5: must be a table, not an integer"),
        (
            &service("enabled = \"yes\""),
            r#"services[0].enabled = "yes": must be true or false, not a string"#,
        ),
        (
            &service("nodes = [{ address = \"a:1\", weight = 1.0 }]"),
            "services[0].nodes[0].weight = 1: must be a whole number, not a number",
        ),
        (
            &service("description = 2024-01-01"),
            "services[0].description = 2024-01-01: must be a string, not a date",
        ),
        (
            &listener("idle_timeout = \"10 s\""),
            r#"listeners[0].idle_timeout = "10 s": must be a duration: a whole number and one of ms, s, m, h, d"#,
        ),
        (
            &listener("max_header_bytes = \"16KB\""),
            r#"listeners[0].max_header_bytes = "16KB": must be a size: a whole number and one of B, KiB, MiB, GiB"#,
        ),
        (
            &listener("protocol = 5"),
            "listeners[0].protocol = 5: must be one of \"http\", \"https\", \"tcp\", not an integer",
        ),
    ]);
}

#[test]
fn counts_are_bounded() {
    let many =
        |count: usize, text: &dyn Fn(usize) -> String| (0..count).map(text).collect::<Vec<_>>().join(", ");
    let too_many = |what: &str, count: usize| {
        format!("services[0].{what}: has {} elements, at most {count} are allowed", count + 1)
    };
    refused(&[
        (
            &service(&format!("nodes = [{}]", many(1025, &|n| format!("{{ address = \"n{n}:1\" }}")))),
            &too_many("nodes", 1024),
        ),
        (
            &service(&format!("routes = [{}]", many(257, &|n| format!("{{ path_prefix = \"/{n}\" }}")))),
            &too_many("routes", 256),
        ),
        (
            &service(&format!(
                "[services.headers]\nrequest = [{}]",
                many(65, &|_| "{ remove = \"a\" }".to_owned())
            )),
            &too_many("headers.request", 64),
        ),
    ]);
}

#[test]
fn syntax_errors_have_their_place_and_no_text() {
    let report = parse_toml("[server]\nshards = = 1\n\n[stats\n", "gateway.toml").unwrap_err();
    let lines: Vec<_> = report.errors.iter().map(|it| it.line).collect();
    assert!(lines.contains(&Some(2)) && lines.contains(&Some(4)), "{report}");
    let report = parse_toml("[[tenants]]\nsecret = \"hunter2\" oops\n", "gateway.toml").unwrap_err();
    assert!(!report.to_string().contains("hunter2"), "{report}");

    let cases = [
        ("{\n  \"server\": {,}\n}", "g.json:2:14: "),
        ("{\"server\": {}, \"server\": {}}", "g.json:1:16: the key is given twice"),
        (
            "{\"server\": {\"shards\": 99999999999999999999}}",
            "g.json:1:23: the integer does not fit into 64 bits",
        ),
        ("", "g.json:1:1: EOF while parsing a value"),
        ("{\"a\": \"\\ud800\"}", "g.json:1:"),
        ("[]", "g.json:1:1: must be a table, not a list"),
    ];
    for (text, start) in cases {
        let report = parse_json(text, "g.json").unwrap_err().to_string();
        assert!(report.starts_with(start), "{text}: {report}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    const DEPTH: usize = 100_000;
    let lists = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
    assert!(parse_json(&lists, "g.json").unwrap_err().to_string().contains("levels deep"));
    let dotted = vec!["a"; DEPTH].join(".");
    for text in [
        format!("a = {lists}"),
        format!("{dotted} = 1"),
        format!("[{dotted}]"),
        format!("a = {{ {dotted} = 1 }}"),
    ] {
        let report = parse_toml(&text, "g.toml").unwrap_err();
        assert!(!report.errors.is_empty());
    }
}

#[test]
fn json_is_the_same_schema_and_null_is_nothing() {
    let text = r#"{"listeners": null, "services": [{"name": "a", "health_check": null, "pool": {"max_idle_per_node": 7}}]}"#;
    let gateway = parse_json(text, "g.json").unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(gateway.services[0].pool.max_idle_per_node, 7);
    assert!(gateway.services[0].health_check.is_none());

    let text =
        "{\"services\": [\n {\"name\": \"a\", \"nodes\": [{\"address\": \"b:1\", \"weight\": 70000}]}]}";
    let report = parse_json(text, "revision 7").unwrap_err();
    let expected =
        "revision 7:2:55: services[0].nodes[0].weight = 70000: must be 1 to 65535 (service \"a\")\n1 error";
    assert_eq!(report.to_string(), expected);
}

/// A file with one listener that has these keys, too.
fn listener(keys: &str) -> String {
    format!("[[listeners]]\nname = \"web\"\naddress = \"127.0.0.1:80\"\n{keys}")
}

/// A file with one service that has these keys, too.
fn service(keys: &str) -> String {
    format!("[[services]]\nname = \"svc\"\n{keys}")
}

/// A file with an admin at this URL.
fn admin(url: &str) -> String {
    format!("[control]\nsource = \"admin\"\nadmin_url = \"{url}\"\ntoken_file = \"t\"\ncache_path = \"c\"")
}

#[track_caller]
fn refused(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let report = match parse_toml(text, "gateway.toml") {
            Ok(_) => panic!("accepted:\n{text}"),
            Err(report) => report,
        };
        assert_eq!(report.errors.len(), 1, "{text}\n{report}");
        let told = without_place(&report);
        assert!(told.starts_with(expected), "{text}\nexpected {expected}\n    told {told}");
    }
}

/// The first error without `FILE:LINE:COLUMN: `.
fn without_place(report: &Report) -> String {
    let problem = &report.errors[0];
    let place = format!("gateway.toml:{}:{}: ", problem.line.unwrap(), problem.column.unwrap());
    problem.to_string().strip_prefix(&place).unwrap().to_owned()
}

#[track_caller]
fn accepted(texts: &[&str]) {
    for text in texts {
        loaded(text);
    }
}

#[track_caller]
fn loaded(text: &str) -> Gateway {
    parse_toml(text, "gateway.toml").unwrap_or_else(|report| panic!("{text}\n{report}"))
}

#[test]
fn tls_with_clients() {
    let pair = "certificates = [{ chain = \"a\", key = \"b\" }]";
    let tls = |keys: &str| listener(&format!("protocol = \"https\"\n{pair}\n[listeners.tls]\n{keys}"));
    refused(&[
        (
            &listener("[listeners.tls]\nmin_version = \"1.3\""),
            "listeners[0].tls: is for protocol = \"https\" and \"tcp\" alone",
        ),
        (
            &format!(
                "{}\n[[services]]\nname = \"db\"",
                listener("protocol = \"tcp\"\nservice = \"db\"\n[listeners.tls]\nmin_version = \"1.3\"")
            ),
            "listeners[0].tls: needs certificates, of which this listener has none",
        ),
        (
            &tls("min_version = \"1.1\""),
            "listeners[0].tls.min_version = \"1.1\": must be one of \"1.2\", \"1.3\"",
        ),
        (&tls("client_certificates = \"required\""), "listeners[0].tls.client_ca: is missing"),
        (&tls("client_ca = \"ca.pem\""), "listeners[0].tls.client_ca"),
        (
            &tls(
                "client_certificates = \"optional\"\nclient_ca = \"c\"\nclient_subject_header = \"connection\"",
            ),
            "listeners[0].tls.client_subject_header = \"connection\"",
        ),
        (
            &tls("client_certificates = \"optional\"\nclient_ca = \"c\"\nclient_subject_header = \"a b\""),
            "listeners[0].tls.client_subject_header = \"a b\"",
        ),
        (
            &tls("handshake_timeout = \"0s\""),
            "listeners[0].tls.handshake_timeout = \"0s\": must be 1ms to 1d",
        ),
        (&tls("max_handshakes = 0"), "listeners[0].tls.max_handshakes = 0: must be 1 to 10000000"),
        (&tls("hsts_max_age = \"731d\""), "listeners[0].tls.hsts_max_age = \"731d\": must be 0s to 730d"),
        (
            &tls("hsts_include_subdomains = true"),
            "listeners[0].tls.hsts_include_subdomains = true: needs hsts_max_age",
        ),
    ]);
}

#[test]
fn http2_redirects_and_names_of_tls_connections() {
    let tcp = |keys: &str| {
        format!("{}\n[[services]]\nname = \"db\"", listener(&format!("protocol = \"tcp\"\n{keys}")))
    };
    refused(&[
        (
            &tcp("service = \"db\"\nhttp2 = {}"),
            "listeners[0].http2: is for protocol = \"http\" and \"https\" alone",
        ),
        (
            &listener("http2 = { max_concurrent_streams = 1001 }"),
            "listeners[0].http2.max_concurrent_streams = 1001: must be 1 to 1000",
        ),
        (
            &listener("http2 = { max_resets_per_second = 0 }"),
            "listeners[0].http2.max_resets_per_second = 0: must be 1 to 1000000",
        ),
        (
            &tcp("service = \"db\"\nhttps_redirect = true"),
            "listeners[0].https_redirect = true: is for protocol = \"http\" alone",
        ),
        (
            &listener("https_redirect = true\nhttps_redirect_port = 0"),
            "listeners[0].https_redirect_port = 0: must be 1 to 65535",
        ),
        (&tcp(""), "listeners[0].service: is missing"),
        (
            &tcp("sni_routes = [{ hosts = [], service = \"db\" }]"),
            "listeners[0].sni_routes[0].hosts: must have at least one name",
        ),
        (
            &tcp("sni_routes = [{ hosts = [\"10.0.0.1\"], service = \"db\" }]"),
            "listeners[0].sni_routes[0].hosts[0] = \"10.0.0.1\": is an IP address",
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
