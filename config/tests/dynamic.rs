//! What an admin keeps and sends: the lists alone, by themselves and together with an engine's own settings.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use coregate_config::checked::Control;
use coregate_config::{Gateway, merge, parse_dynamic_json, parse_toml};

const OWN: &str = "[server]\nops_address = \"127.0.0.1:9901\"\nshards = 3\n\
                   [control]\nsource = \"admin\"\nadmin_url = \"http://127.0.0.1:1\"\n\
                   token_file = \"token\"\ncache_path = \"cache\"\n";

fn own(more: &str) -> Gateway {
    parse_toml(&format!("{more}{OWN}"), "own").unwrap_or_else(|report| panic!("{report}"))
}

#[track_caller]
fn told(result: Result<Gateway, coregate_config::Report>, expected: &str) {
    let report = result.unwrap_err();
    assert_eq!(report.errors.len(), 1, "{report}");
    assert!(report.to_string().contains(expected), "{report}");
}

#[test]
fn the_lists_alone_are_taken() {
    let gateway = parse_dynamic_json(r#"{"services": [{"name": "a"}], "tenants": []}"#, "draft").unwrap();
    assert_eq!(&*gateway.services[0].name, "a");
}

#[test]
fn what_belongs_to_one_engine_is_sent_to_its_own_file() {
    for key in ["server", "stats", "control"] {
        let text = format!("{{\"{key}\": {{}}}}");
        let hint = format!("1:2: {key}: belongs to one engine: write it in that engine's own file, not here");
        told(parse_dynamic_json(&text, "draft"), &format!("draft:{hint}"));
        told(merge(&own(""), &text, "revision 7"), &format!("revision 7:{hint}"));
        // Only where an engine's file has it.
        let deeper = format!("{{\"services\": [{{\"name\": \"a\", \"{key}\": 1}}]}}");
        told(parse_dynamic_json(&deeper, "draft"), &format!("services[0].{key}: unknown key; "));
    }
    told(parse_dynamic_json("{\"sevices\": []}", "draft"), "sevices: unknown key; did you mean `services`?");
    let known = "here are known: listeners, certificates, services, tenants";
    told(parse_dynamic_json("{\"xyzzy\": 1}", "draft"), &format!("xyzzy: unknown key; {known}"));
}

#[test]
fn what_depends_on_the_engine_is_checked_by_the_engine_alone() {
    let cluster = r#"{"services": [{"name": "a", "limits": {"scope": "cluster"}}]}"#;
    parse_dynamic_json(cluster, "draft").unwrap();
    told(
        merge(&own(""), cluster, "r"),
        "services[0].limits.scope = \"cluster\": \"cluster\" needs stats.redis_url",
    );
    merge(&own("stats.redis_url = \"redis://a:1\"\n"), cluster, "r").unwrap();

    let proxied = r#"{"listeners": [{"name": "a", "address": "127.0.0.1:1", "proxy_protocol": true}]}"#;
    parse_dynamic_json(proxied, "draft").unwrap();
    told(merge(&own(""), proxied, "r"), "listeners[0].proxy_protocol = true: needs server.trusted_proxies");
    let trusting = parse_toml("[server]\ntrusted_proxies = [\"10.0.0.0/8\"]", "own").unwrap();
    merge(&trusting, proxied, "r").unwrap();

    let ops = r#"{"listeners": [{"name": "a", "address": "127.0.0.1:9901"}]}"#;
    parse_dynamic_json(ops, "draft").unwrap();
    told(merge(&own(""), ops, "r"), "overlaps with server.ops_address");
}

#[test]
fn an_engine_keeps_its_own_settings() {
    let own = own("stats.redis_url = \"redis://u:secret@a:1\"\n");
    let merged = merge(&own, r#"{"services": [{"name": "a"}]}"#, "r").unwrap();
    assert_eq!(merged.server, own.server);
    assert_eq!(merged.stats, own.stats);
    assert!(matches!(merged.control, Control::Admin { .. }));
    assert_eq!(merged.services.len(), 1);
}

#[test]
fn paths_are_taken_as_they_are_and_not_looked_for() {
    let text = r#"{"listeners": [{"name": "a", "address": "127.0.0.1:1", "protocol": "https",
        "certificates": [{"chain": "none.pem", "key": "none.key"}]}]}"#;
    merge(&own(""), text, "r").unwrap();
}

#[test]
fn certificates_stand_in_the_file_or_come_from_the_admin_and_not_both() {
    let text = "certificates = [{ name = \"a\", chain = \"\", key = \"\" }]\n";
    let report = parse_toml(&format!("{text}{OWN}"), "own").unwrap_err().to_string();
    assert!(report.contains("certificates: come from the admin, as control.source = \"admin\""), "{report}");
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test of the time it takes")]
fn ten_thousand_services_are_read_without_a_long_wait() {
    let services: Vec<String> = (0..10_000)
        .map(|n| {
            format!(
                r#"{{"name":"service-{n}","description":"of team {}","routes":[{{"hosts":["s{n}.example.com"],"path_prefix":"/api/v1","strip_prefix":true}},{{"path_prefix":"/s{n}"}}],"nodes":[{{"address":"10.0.0.1:80","weight":3}},{{"address":"10.0.0.2:80"}}],"health_check":{{"kind":"http","path":"/health","interval":"5s"}},"timeouts":{{"connect":"500ms"}},"limits":{{"requests_per_second":1000,"burst":2000}}}}"#,
                n % 7
            )
        })
        .collect();
    let text = format!("{{\"services\":[{}]}}", services.join(","));
    let own = own("");
    let began = std::time::Instant::now();
    let merged = merge(&own, &text, "r").unwrap();
    let took = began.elapsed();
    println!("{} bytes in {took:?}", text.len());
    assert_eq!(merged.services.len(), 10_000);
    // Some hundred milliseconds unoptimised, a tenth of that in a release; what this catches is a square.
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
}
