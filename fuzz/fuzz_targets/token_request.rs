//! Requests to the token endpoint: nothing panics; an answer is JSON with the fields it must have; a token is granted
//! only for the secret, and identifies its tenant.
//!
//! The input's lines: flags (method, content type), the Authorization field if the flags say so, the body.
#![no_main]

use std::sync::LazyLock;

use coregate_fuzz::tenant::Tenants;
use coregate_fuzz::tenant::endpoint::{TokenRequest, answer};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_800_000_000;

static TENANTS: LazyLock<Tenants> = LazyLock::new(|| {
    let configured = "[[tenants]]\napp_id = \"one\"\nsecret = \"s\"\n[[tenants]]\napp_id = \"off\"\nsecret = \"s\"\nenabled = false\n";
    Tenants::compile(&coregate_config::parse_toml(configured, "fuzz").expect("valid").tenants)
});

fuzz_target!(|data: &[u8]| {
    let [flags, rest @ ..] = data else { return };
    let (field, body) = match rest.iter().position(|&byte| byte == b'\n') {
        Some(end) if flags & 1 != 0 => (Some(&rest[..end]), &rest[end + 1..]),
        _ => (None, rest),
    };
    let fields: Vec<&[u8]> = field.into_iter().collect();
    let request = TokenRequest {
        method: if flags & 2 != 0 { "GET" } else { "POST" },
        content_type: if flags & 4 != 0 { field } else { Some(b"application/x-www-form-urlencoded") },
        authorization: &fields,
        body,
    };
    let answer = answer(&TENANTS, &request, NOW);
    assert!(answer.fields.contains(&("cache-control", "no-store")));
    let json: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    match json["access_token"].as_str() {
        Some(token) => {
            assert_eq!((answer.status, request.method), (200, "POST"));
            let field = format!("Bearer {token}");
            assert_eq!(TENANTS.identify([field.as_bytes()], NOW), Ok(0));
        }
        None => {
            assert!(answer.status >= 400 && json["error"].is_string());
            let challenged = answer.fields.iter().any(|(name, _)| *name == "www-authenticate");
            assert_eq!(challenged, answer.status == 401);
        }
    }
});
