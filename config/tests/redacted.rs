//! `redacted_json`: the configuration in force, every default filled in, no secret in it, and it loads again.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;

use coregate_config::{parse_json, parse_toml, redacted_json};

#[test]
fn every_example_goes_round() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for name in ["gateway", "quickstart", "edge", "microservices", "tuning"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        let gateway = parse_toml(&text, name).unwrap_or_else(|report| panic!("{report}"));
        let json = redacted_json(&gateway);
        let again = parse_json(&json.to_string(), name).unwrap_or_else(|report| panic!("{report}\n{json:#}"));
        assert_eq!(redacted_json(&again), json, "{name}");
    }
}

#[test]
fn defaults_are_filled_in() {
    let gateway =
        parse_toml("[[services]]\nname = \"a\"\n[[listeners]]\nname = \"b\"\naddress = \"[::1]:80\"", "f");
    let json = redacted_json(&gateway.unwrap());
    assert_eq!(json["server"]["drain_timeout"], "30s");
    assert_eq!(json["listeners"][0]["max_header_bytes"], "16KiB");
    assert_eq!(json["listeners"][0]["max_header_fields"], 100);
    assert_eq!(json["listeners"][0]["address"], "[::1]:80");
    let service = &json["services"][0];
    assert_eq!(service["timeouts"]["body"], "1m");
    assert_eq!(service["timeouts"]["tunnel"], "1h");
    assert_eq!(service["load_balancer"]["policy"], "weighted_round_robin");
    assert!(service.get("health_check").is_none(), "what has no value is left out");
}

#[test]
fn no_secret_is_in_it() {
    let text = r#"
        [stats]
        redis_url = "redis-sentinel://user:hunter2@a:1/0?sentinelServiceName=m&sentinelPassword=hunter2"
        [[services]]
        name = "a"
        [services.headers]
        request = [{ set = "Authorization", value = "hunter2" }, { add = "x-api-key", value = "hunter2" }, { set = "x-env", value = "test" }]
        [[tenants]]
        app_id = "t"
        secret = "hunter2"
        [[tenants]]
        app_id = "u"
        secret_sha256 = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7"
    "#;
    let gateway = parse_toml(text, "f").unwrap_or_else(|report| panic!("{report}"));
    let json = redacted_json(&gateway);
    assert!(!json.to_string().contains("hunter2"), "{json:#}");
    assert!(!json.to_string().contains("f52fbd32"), "nor what it could be guessed by: {json:#}");
    let printed = format!("{:?}", gateway.tenants);
    assert!(!printed.contains("hunter2") && !printed.contains("245, 47, 189"), "{printed}");
    assert_eq!(
        json["stats"]["redis_url"],
        "redis-sentinel://user:***@a:1/0?sentinelServiceName=m&sentinelPassword=***"
    );
    assert_eq!(json["services"][0]["headers"]["request"][2]["value"], "test");
    assert!(parse_json(&json.to_string(), "f").is_ok());
}
