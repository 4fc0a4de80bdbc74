//! Routes and what they change: hosts, prefixes, rewrites, headers.

use super::*;

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
