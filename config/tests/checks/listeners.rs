//! Listeners: addresses, TLS, HTTP/2, names of TLS connections.

use super::*;

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
        (
            &tcp("sni_routes = [{ hosts = [\"*\"], service = \"db\" }]"),
            "listeners[0].sni_routes[0].hosts[0] = \"*\": is no host: what no route fits goes to the listener's service",
        ),
        (
            &tcp(
                "sni_routes = [{ hosts = [\"a\", \"b\"], service = \"db\" }, { hosts = [\"B\"], service = \"db\" }]",
            ),
            "listeners[0].sni_routes[1].hosts[0] = \"B\": the host \"b\" belongs to",
        ),
        (
            &tcp("sni_routes = [{ hosts = [\"a\"], service = \"d\" }]"),
            "listeners[0].sni_routes[0].service = \"d\": there is no service of that name",
        ),
    ]);
}
