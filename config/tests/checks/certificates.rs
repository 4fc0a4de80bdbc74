//! `[[certificates]]`, and listeners that name them.

use coregate_config::checked::Certificate;

use super::{listener, loaded, parse_toml, refused};

const CHAIN: &str = "-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\\nMIIC\\n-----END PRIVATE KEY-----";

/// A certificate of this name.
fn certificate(name: &str) -> String {
    format!("[[certificates]]\nname = \"{name}\"\nchain = \"{CHAIN}\"\nkey = \"{KEY}\"\n")
}

/// A TLS listener that has these certificates, and others beside it.
fn using(certificates: &str, others: &str) -> String {
    listener(&format!("protocol = \"https\"\ncertificates = [{certificates}]\n{others}"))
}

#[test]
fn a_listener_names_certificates_that_stand_in_the_configuration() {
    let named = "{ certificate = \"site\" }, { chain = \"a\", key = \"b\" }";
    let gateway = loaded(&using(named, &certificate("site")));
    let tls = gateway.listeners[0].tls.as_ref().unwrap();
    let Certificate::Named(named) = &tls.certificates[0] else { panic!("{tls:?}") };
    assert_eq!(&*named.name, "site");
    assert_eq!(named.key, KEY.replace("\\n", "\n"));
    assert!(matches!(tls.certificates[1], Certificate::Files(_)));
    assert!(!format!("{gateway:?}").contains("MIIC"), "a key is not printed");
}

#[test]
fn references_must_lead_somewhere_and_be_the_only_thing_given() {
    refused(&[
        (
            &using("{ certificate = \"sit\" }", &certificate("site")),
            "listeners[0].certificates[0].certificate = \"sit\": there is no certificate of that name in \
             [[certificates]]; did you mean \"site\"? (listener \"web\")",
        ),
        (
            &using("{ certificate = \"site\", chain = \"a\" }", &certificate("site")),
            "listeners[0].certificates[0].chain = \"a\": does not go together with \
             listeners[0].certificates[0].certificate (listener \"web\", line 5)",
        ),
        (
            &using("{ chain = \"a\" }", ""),
            "listeners[0].certificates[0].key: is missing and must be given, unless `certificate` names",
        ),
        (
            &using(&format!("{{ chain = \"{CHAIN}\", key = \"a\" }}"), ""),
            "listeners[0].certificates[0].chain = \"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\": \
             is the text itself; it belongs into [[certificates]]",
        ),
        (
            &using(&format!("{{ chain = \"a\", key = \"{KEY}\" }}"), ""),
            "listeners[0].certificates[0].key = ***: is the text itself",
        ),
    ]);
}

#[test]
fn their_text_must_be_whole_pem_of_the_right_kind() {
    let twice = certificate("site").repeat(2);
    let with = |chain: &str, key: &str| certificate("site").replace(CHAIN, chain).replace(KEY, key);
    let long = format!("-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----", "A".repeat(65_483));
    refused(&[
        (&twice, "certificates[1].name = \"site\": is the same as certificates[0].name"),
        (&certificate("a b"), "certificates[0].name = \"a b\": must consist of"),
        (&with("", KEY), "certificates[0].chain = ***: holds no certificate in PEM"),
        (
            &with(KEY, KEY),
            "certificates[0].chain = ***: holds a private key; the chain has certificates alone",
        ),
        (&with(CHAIN, CHAIN), "certificates[0].key = ***: holds certificates; they belong under `chain`"),
        (&with(CHAIN, "MIIC"), "certificates[0].key = ***: holds no private key in PEM"),
        (&with(CHAIN, &long), "certificates[0].key = ***: has 65537 bytes, at most 64KiB are allowed"),
    ]);
    loaded(&with(CHAIN, &long.replacen("AA", "A", 1)));
    let report = parse_toml("[[certificates]]\nname = \"site\"", "f").unwrap_err();
    assert_eq!(report.errors.len(), 2, "chain and key: {report}");
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_once_however_many_name_it() {
    let bad = certificate("site").replace(CHAIN, "MIIB");
    refused(&[(
        &using("{ certificate = \"site\" }", &bad),
        "certificates[0].chain = ***: holds no certificate in PEM (-----BEGIN CERTIFICATE-----) (certificate \"site\")",
    )]);
    let unread = format!("certificates = 5\n{}", using("{ certificate = \"site\" }", ""));
    refused(&[(&unread, "certificates = 5: must be a list")]);
}
