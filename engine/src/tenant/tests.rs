//! Tests of credentials and tokens: round trips, every kind of damage, clocks, and what refusals say. Those of the
//! endpoint are beside it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256, Sha512};

use super::*;

/// When the tests play.
pub(super) const NOW: u64 = 1_800_000_000;

/// Tenants `one` (of the secret `first:secret ä`), `two` (`second+1%2B`), and `off`, which is disabled (`third`).
pub(super) fn tenants() -> Tenants {
    with_secrets(&[
        ("one", "first:secret \u{e4}", true),
        ("two", "second+1%2B", true),
        ("off", "third", false),
    ])
}

fn with_secrets(tenants: &[(&str, &str, bool)]) -> Tenants {
    let configured: Vec<checked::Tenant> = tenants
        .iter()
        .map(|&(app_id, secret, enabled)| checked::Tenant {
            app_id: app_id.into(),
            name: String::new(),
            secret: checked::SecretHash(Sha256::digest(secret).into()),
            allow: vec!["10.0.0.0/8".parse().unwrap()],
            requests_per_second: None,
            requests_per_day: None,
            limits_mode: checked::LimitMode::Enforce,
            enabled,
        })
        .collect();
    Tenants::compile(&configured)
}

pub(super) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

fn identify(tenants: &Tenants, field: &str, now: u64) -> Result<usize, Refusal> {
    tenants.identify([field.as_bytes()], now)
}

/// A token of these JSON texts, signed as ours are.
fn signed(tenants: &Tenants, index: usize, header: &str, claims: &str) -> String {
    let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = token::tests::bytes(&tenants.get(index).unwrap().keys.signing);
    let signature = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(&token).finalize();
    token.push('.');
    token + &URL_SAFE_NO_PAD.encode(signature.into_bytes())
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn claims(rest: &str) -> String {
    format!(r#"{{"iss":"coregate","sub":"one"{rest}}}"#)
}

#[test]
fn tenants_are_found_by_id() {
    let tenants = tenants();
    assert_eq!((tenants.len(), tenants.is_empty()), (3, false));
    assert!(Tenants::compile(&[]).is_empty());
    assert_eq!(tenants.index_of("two"), Some(1));
    assert_eq!(tenants.index_of("three"), None);
    assert_eq!(tenants.iter().map(|tenant| &*tenant.app_id).collect::<Vec<_>>(), ["one", "two", "off"]);
    assert!(tenants.get(0).unwrap().allow.contains("10.1.2.3".parse().unwrap()));
    assert!(tenants.get(3).is_none());
    fn crosses_threads<T: Send + Sync>(_: &T) {}
    crosses_threads(&tenants);
    let keys = format!("{:?}", tenants.get(0).unwrap().keys);
    assert_eq!(keys, "Keys(***)");
}

#[test]
fn basic_credentials_identify() {
    let tenants = tenants();
    assert_eq!(identify(&tenants, &basic("one", "first:secret \u{e4}"), NOW), Ok(0));
    assert_eq!(identify(&tenants, &basic("two", "second+1%2B").replace("Basic ", "bAsIC   "), NOW), Ok(1));
    assert_eq!(
        identify(&tenants, &basic("two", "second+1+"), NOW),
        Err(Refusal::UnknownOrWrong),
        "not a form"
    );
    for (id, secret) in [
        ("one", "First:secret \u{e4}"),
        ("one", ""),
        ("nobody", "x"),
        ("", ""),
        ("One", "first:secret \u{e4}"),
    ] {
        assert_eq!(identify(&tenants, &basic(id, secret), NOW), Err(Refusal::UnknownOrWrong), "{id}");
    }
    assert_eq!(identify(&tenants, &basic("off", "third"), NOW), Err(Refusal::Disabled));
    assert_eq!(identify(&tenants, &basic("off", "x"), NOW), Err(Refusal::UnknownOrWrong), "tells nothing");
    assert_eq!(identify(&Tenants::default(), &basic("", ""), NOW), Err(Refusal::UnknownOrWrong));
}

#[test]
fn fields_that_cannot_be_read_are_refused() {
    let tenants = tenants();
    let malformed = |field: &str| match identify(&tenants, field, NOW) {
        Err(Refusal::Malformed(what)) => what,
        other => panic!("{field:?}: {other:?}"),
    };
    assert_eq!(tenants.identify([], NOW), Err(Refusal::Missing));
    let twice = [&b"Basic b25lOng="[..]; 2];
    assert_eq!(
        tenants.identify(twice, NOW),
        Err(Refusal::Malformed("there is more than one Authorization field"))
    );
    for field in ["", " ", "Digest x", "Basicb25lOng=", "Basic\tb25lOng=", "\u{e4}", "Negotiate"] {
        assert_eq!(identify(&tenants, field, NOW), Err(Refusal::Scheme), "{field:?}");
    }
    for field in ["Basic", "Basic ", "bearer   "] {
        assert!(malformed(field).contains("no credentials"));
    }
    for field in ["Basic b25lOng", "Basic b25lOn=", "Basic ====", "Basic b25lOng= x", "Basic -_-_"] {
        assert!(malformed(field).contains("not base64"), "{field}");
    }
    assert!(malformed(&format!("Basic {}", STANDARD.encode(b"one:\xff"))).contains("UTF-8"));
    assert!(malformed(&format!("Basic {}", STANDARD.encode("one"))).contains("no colon"));
    let longest = "A".repeat(CREDENTIALS_BYTES_MAX);
    assert!(malformed(&format!("Basic {longest}")).contains("no colon"));
    assert!(malformed(&format!("Basic {longest}A")).contains("longer than 4096 bytes"));
    assert!(malformed(&format!("Bearer {longest}A")).contains("longer than 4096 bytes"));
    assert!(malformed(&format!("Bearer {longest}")).contains("three parts"));
}

#[test]
fn an_issued_token_identifies_for_an_hour() {
    let tenants = tenants();
    let token = format!("Bearer {}", token::issue(tenants.get(1).unwrap(), NOW));
    assert_eq!(identify(&tenants, &token, NOW), Ok(1));
    let end = NOW + token::LIFETIME_SECONDS + token::LEEWAY_SECONDS;
    assert_eq!(identify(&tenants, &token, end - 1), Ok(1));
    assert_eq!(identify(&tenants, &token, end), Err(Refusal::Expired));
    assert_eq!(identify(&tenants, &token, u64::MAX), Err(Refusal::Expired));
    assert_eq!(identify(&tenants, &token, NOW - token::LEEWAY_SECONDS), Ok(1));
    let set_back = NOW - token::LEEWAY_SECONDS - 1;
    assert_eq!(identify(&tenants, &token, set_back), Err(Refusal::NotYetValid), "the clock was set back");
    assert_eq!(identify(&tenants, &token, 0), Err(Refusal::NotYetValid));
    assert_eq!(identify(&tenants, &token, NOW), Ok(1), "and set right again");
}

#[test]
fn engines_with_the_same_secrets_accept_each_others_tokens_and_a_changed_secret_revokes_them() {
    let (here, there) =
        (with_secrets(&[("a", "s", true)]), with_secrets(&[("b", "s", true), ("a", "s", true)]));
    let token = format!("Bearer {}", token::issue(here.get(0).unwrap(), NOW));
    assert_eq!(identify(&there, &token, NOW), Ok(1));
    let rotated = with_secrets(&[("a", "t", true)]);
    assert_eq!(identify(&rotated, &token, NOW), Err(Refusal::UnknownOrWrong));
    let off = with_secrets(&[("a", "s", false)]);
    assert_eq!(identify(&off, &token, NOW), Err(Refusal::Disabled));
    let gone = with_secrets(&[("b", "s", true)]);
    assert_eq!(identify(&gone, &token, NOW), Err(Refusal::UnknownOrWrong));
}

#[test]
fn other_algorithms_are_refused_whatever_they_are_signed_with() {
    let tenants = tenants();
    let valid = claims(&format!(r#","exp":{}"#, NOW + 60));
    assert_eq!(identify(&tenants, &format!("Bearer {}", signed(&tenants, 0, HEADER, &valid)), NOW), Ok(0));
    for alg in ["none", "None", "hs256", "HS384", "HS512", "RS256", "ES256", ""] {
        // With a right HMAC, with none, and with the longer HMAC that the name asks for.
        let right = signed(&tenants, 0, &format!(r#"{{"alg":"{alg}"}}"#), &valid);
        let unsigned = right.rsplit_once('.').unwrap().0;
        let key = token::tests::bytes(&tenants.get(0).unwrap().keys.signing);
        let long = Hmac::<Sha512>::new_from_slice(&key).unwrap().chain_update(unsigned).finalize();
        let long = format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(long.into_bytes()));
        for token in [right.as_str(), &format!("{unsigned}."), unsigned, &long] {
            let refused = identify(&tenants, &format!("Bearer {token}"), NOW);
            assert!(matches!(refused, Err(Refusal::Malformed(_))), "{alg}: {refused:?}");
        }
        assert_eq!(
            identify(&tenants, &format!("Bearer {right}"), NOW),
            Err(Refusal::Malformed("the token's alg is not HS256"))
        );
    }
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"typ":"at+jwt","kid":"7","alg":"HS256"}"#,
        r#"{"\u0061lg":"HS256"}"#,
        r#"{"alg":"\u0048S256"}"#,
    ] {
        let token = signed(&tenants, 0, header, &valid);
        assert_eq!(identify(&tenants, &format!("Bearer {token}"), NOW), Ok(0), "{header}");
    }
    for header in [
        r#"{}"#,
        "",
        "HS256",
        r#""HS256""#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256"} x"#,
    ] {
        let refused = identify(&tenants, &format!("Bearer {}", signed(&tenants, 0, header, &valid)), NOW);
        assert!(matches!(refused, Err(Refusal::Malformed(_))), "{header}: {refused:?}");
    }
}

#[test]
fn claims_are_held_to() {
    let tenants = tenants();
    let told =
        |claims: &str| identify(&tenants, &format!("Bearer {}", signed(&tenants, 0, HEADER, claims)), NOW);
    for (rest, expected) in [
        (format!(r#","exp":{}"#, NOW + 1), Ok(0)),
        (format!(r#","exp":{NOW}.5,"iat":{NOW}.25,"nbf":-1e9,"jti":{{"any":[1]}}"#), Ok(0)),
        (r#","exp":1e300"#.to_owned(), Ok(0)),
        (format!(r#","exp":{}"#, NOW - 5), Err(Refusal::Expired)),
        (format!(r#","exp":{}"#, NOW - 4), Ok(0)),
        (r#","exp":-1"#.to_owned(), Err(Refusal::Expired)),
        (r#","exp":0"#.to_owned(), Err(Refusal::Expired)),
        (format!(r#","exp":{},"nbf":{}"#, NOW + 60, NOW + 5), Ok(0)),
        (format!(r#","exp":{},"nbf":{}"#, NOW + 60, NOW + 6), Err(Refusal::NotYetValid)),
        (format!(r#","exp":{},"iat":{}"#, NOW + 60, NOW + 6), Err(Refusal::NotYetValid)),
        (format!(r#","exp":{},"iat":1e300"#, NOW + 60), Err(Refusal::NotYetValid)),
    ] {
        assert_eq!(told(&claims(&rest)), expected, "{rest}");
    }
    let exp = format!(r#""exp":{}"#, NOW + 60);
    for (malformed, what) in [
        (claims(""), "sub, iss and exp"),
        (claims(r#","exp":null"#), "sub, iss and exp"),
        (claims(r#","exp":"1900000000""#), "sub, iss and exp"),
        (claims(r#","exp":1e400"#), "sub, iss and exp"),
        (claims(&format!(",{exp},{exp}")), "sub, iss and exp"),
        (format!(r#"{{"sub":"one",{exp}}}"#), "sub, iss and exp"),
        (format!(r#"{{"iss":"coregate",{exp}}}"#), "sub, iss and exp"),
        (format!(r#"{{"iss":"coregate","sub":1,{exp}}}"#), "sub, iss and exp"),
        (format!(r#"{{"iss":"other","sub":"one",{exp}}}"#), "(iss)"),
        (claims(&format!(r#",{exp},"aud":"api""#)), "(aud)"),
        ("[]".to_owned(), "sub, iss and exp"),
        ("\u{feff}{}".to_owned(), "sub, iss and exp"),
        (String::new(), "sub, iss and exp"),
        ("[".repeat(1000), "sub, iss and exp"),
    ] {
        match told(&malformed) {
            Err(Refusal::Malformed(told)) => assert!(told.contains(what), "{malformed}: {told}"),
            other => panic!("{malformed}: {other:?}"),
        }
    }
    for sub in ["two", "nobody", "off", ""] {
        let others = format!(r#"{{"iss":"coregate","sub":"{sub}",{exp}}}"#);
        assert_eq!(told(&others), Err(Refusal::UnknownOrWrong), "signed by one, says it is {sub}");
    }
}

#[test]
fn whoever_signs_with_the_key_of_nobody_is_nobody() {
    let none = Tenants::default();
    let token = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(HEADER),
        URL_SAFE_NO_PAD.encode(claims(&format!(r#","exp":{}"#, NOW + 60)))
    );
    let signature = Hmac::<Sha256>::new_from_slice(&[0; 32]).unwrap().chain_update(&token).finalize();
    let token = format!("Bearer {token}.{}", URL_SAFE_NO_PAD.encode(signature.into_bytes()));
    assert_eq!(identify(&none, &token, NOW), Err(Refusal::UnknownOrWrong));
}

#[test]
fn tokens_damaged_in_each_part_are_refused() {
    let tenants = tenants();
    let token = token::issue(tenants.get(0).unwrap(), NOW);
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    for (damaged, what) in [
        (format!("{header}.{claims}"), "three parts|HS256"),
        (format!("{header}.{claims}.{signature}."), "base64url|HS256"),
        (format!("{header}.{claims}.{signature}.{signature}"), "base64url"),
        (format!(".{claims}.{signature}"), "header"),
        (format!("{header}..{signature}"), "claims"),
        (format!("{header}.{claims}."), "signature"),
        (format!("{header}=.{claims}.{signature}"), "header"),
        (format!("{header}.{claims}.{signature}="), "signature"),
        (format!("{header}.{claims}.{signature}AA"), "signature"),
        (format!("{header}.{claims}.{}", &signature[..42]), "signature"),
        (format!("{header}.{claims} .{signature}"), "claims"),
        (format!("{header}.{claims}.{}", signature.replace(['-', '_'], "+")), "signature|"),
        ("..".to_owned(), "header"),
        (".".to_owned(), "three parts"),
    ] {
        match identify(&tenants, &format!("Bearer {damaged}"), NOW) {
            Err(Refusal::Malformed(told)) => {
                assert!(what.split('|').any(|what| told.contains(what)), "{damaged}: {told}");
            }
            // What had none of the characters is as it was.
            other => assert!(damaged == token && other == Ok(0), "{damaged}: {other:?}"),
        }
    }
}

#[test]
fn refusals_say_what_would_be_right() {
    let all = [
        Refusal::Missing,
        Refusal::Scheme,
        Refusal::Malformed("the token does not have three parts"),
        Refusal::UnknownOrWrong,
        Refusal::Expired,
        Refusal::NotYetValid,
        Refusal::Disabled,
    ];
    for refusal in all {
        let challenges = refusal.www_authenticate();
        assert!(challenges.ends_with(r#", Basic realm="coregate", charset="UTF-8""#), "{challenges}");
        assert_eq!(challenges.matches('"').count() % 2, 0, "{challenges}");
        let expected = if refusal.code() == "invalid_token" {
            format!(
                r#"Bearer realm="coregate", error="invalid_token", error_description="{}", "#,
                refusal.message()
            )
        } else {
            assert_eq!(refusal.code(), "tenant_required");
            r#"Bearer realm="coregate", Basic"#.to_owned()
        };
        assert!(challenges.starts_with(&expected), "{challenges}");
        // RFC 6750, section 3: what may stand in a description.
        let may_stand = |byte: u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\');
        assert!(refusal.message().bytes().all(may_stand), "{refusal:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_panic(field in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(tenants().identify([field.as_slice()], NOW).is_err());
    }

    #[test]
    fn any_credentials_are_refused_without_panic(
        bearer in any::<bool>(),
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..5),
    ) {
        let parts: Vec<String> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        let field = format!("{} {}", if bearer { "Bearer" } else { "Basic" }, parts.join("."));
        prop_assert!(identify(&tenants(), &field, NOW).is_err());
    }

    #[test]
    fn what_is_issued_identifies(ids in proptest::collection::btree_set("[A-Za-z0-9_.-]{1,64}", 1..5), secret: String, at in 0..1u64 << 40) {
        let tenants: Vec<(&str, &str, bool)> = ids.iter().map(|id| (id.as_str(), secret.as_str(), true)).collect();
        let tenants = with_secrets(&tenants);
        for (index, id) in ids.iter().enumerate() {
            let token = format!("Bearer {}", token::issue(tenants.get(index).unwrap(), at));
            prop_assert_eq!(identify(&tenants, &token, at), Ok(index));
            prop_assert_eq!(identify(&tenants, &basic(id, &secret), at), Ok(index));
        }
    }

    #[test]
    fn no_token_survives_a_flipped_bit(bit in 0..8u8, place: prop::sample::Index) {
        let tenants = tenants();
        let mut token = token::issue(tenants.get(0).unwrap(), NOW).into_bytes();
        let at = place.index(token.len());
        token[at] ^= 1 << bit;
        let field = [b"Bearer ", &token[..]].concat();
        prop_assert!(tenants.identify([field.as_slice()], NOW).is_err());
    }
}

/// `cargo test --release -- --ignored --nocapture identify_time`
#[test]
#[ignore = "measures; run it in release"]
fn identify_time() {
    let tenants = tenants();
    let token = format!("Bearer {}", token::issue(tenants.get(0).unwrap(), NOW));
    let password = basic("one", "first:secret \u{e4}");
    for (what, field) in [("a token", token), ("Basic", password)] {
        let mut best = std::time::Duration::MAX;
        for _ in 0..20 {
            let started = crate::clock::read();
            let right = (0..10_000).filter(|_| identify(&tenants, &field, NOW) == Ok(0)).count();
            best = best.min(started.elapsed() / 10_000);
            assert_eq!(right, 10_000);
        }
        println!("{what}: {best:?}");
    }
}
