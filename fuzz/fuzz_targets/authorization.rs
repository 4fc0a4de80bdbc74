//! Authorization fields: nothing panics; nobody is identified but by what was made for it; a refusal can be told.
#![no_main]

use std::sync::LazyLock;

use coregate_fuzz::tenant::{Tenants, endpoint};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a secret: nobody finds this one by chance";

static TENANTS: LazyLock<Tenants> = LazyLock::new(|| {
    let configured = format!(
        "[[tenants]]\napp_id = \"one\"\nsecret = \"{SECRET}\"\n[[tenants]]\napp_id = \"two\"\nsecret = \"{SECRET}\"\n"
    );
    Tenants::compile(&coregate_config::parse_toml(&configured, "fuzz").expect("valid").tenants)
});

/// A token of tenant one, as the endpoint gives it.
static TOKEN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let body = format!("grant_type=client_credentials&client_id=one&client_secret={SECRET}");
    let request = endpoint::TokenRequest {
        method: "POST",
        content_type: Some(b"application/x-www-form-urlencoded"),
        authorization: &[],
        body: body.as_bytes(),
    };
    let answer = endpoint::answer(&TENANTS, &request, NOW).body;
    let json: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    json["access_token"].as_str().expect("granted").into()
});

fuzz_target!(|data: &[u8]| {
    if let Err(refusal) = TENANTS.identify([data], NOW) {
        assert!(!refusal.code().is_empty() && !refusal.www_authenticate().contains(['\r', '\n']));
    } else {
        // The fuzzer cannot sign. It may know the seed that holds the secret, and changes what does not matter.
        assert!(data.trim_ascii()[..5].eq_ignore_ascii_case(b"Basic"), "{data:?}");
    }
    assert!(TENANTS.identify([data, data], NOW).is_err());
    // A valid token with some bytes changed.
    let mut token = [b"Bearer ", &**TOKEN].concat();
    for change in data.chunks_exact(2) {
        let at = 7 + usize::from(change[0]) % TOKEN.len();
        token[at] = change[1];
    }
    let unchanged = token[7..] == **TOKEN;
    assert_eq!(TENANTS.identify([token.as_slice()], NOW).is_ok(), unchanged);
});
