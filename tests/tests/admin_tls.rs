//! The admin speaks TLS itself: HTTP/1.1 and HTTP/2, and a certificate that is replaced is used without a restart.

use std::fs;

use coregate_tests::{Admin, Authority, PATIENCE, Pair, eventually};

fn start(pair: &Pair) -> Admin {
    let path = |path: &std::path::Path| path.display().to_string();
    Admin::builder()
        .argument("--tls-certificate")
        .argument(&path(&pair.chain))
        .argument("--tls-key")
        .argument(&path(&pair.key))
        .start()
}

#[test]
fn browsers_get_http2_and_are_told_to_come_by_tls_alone() {
    let authority = Authority::new();
    let admin = start(&authority.sign("admin", &["admin.test"]));
    let link = admin.setup_link();
    assert!(link.starts_with("https://"), "{link}");
    for version in ["--http1.1", "--http2"] {
        let answer = authority.curl("admin.test", admin.address(), "/", &[version]);
        assert!(answer.has_line("strict-transport-security: max-age=31536000"), "{version}: {answer:?}");
    }
}

#[test]
fn the_cookie_is_bound_to_this_host_and_to_tls() {
    let authority = Authority::new();
    let admin = start(&authority.sign("admin", &["admin.test"]));
    let link = admin.setup_link();
    let (_, token) = link.split_once("token=").expect("a token");
    let body = format!(r#"{{"token":"{token}","name":"alice","password":"correct horse battery"}}"#);
    let arguments = ["-H", "content-type: application/json", "-d", &body];
    let answer = format!("{:?}", authority.curl("admin.test", admin.address(), "/api/v1/setup", &arguments));
    assert!(answer.contains("__Host-coregate_session=") && answer.contains("; Secure"), "{answer}");
}

#[test]
fn a_replaced_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let (pair, other) = (authority.sign("admin", &["admin.test"]), authority.sign("next", &["next.test"]));
    let admin = start(&pair);
    authority.curl("admin.test", admin.address(), "/healthz", &[]).expect(200, "ok\n");
    fs::write(&pair.key, "no key").expect("written");
    eventually("the broken key is noticed", PATIENCE, || {
        admin.output().contains("the certificate in use stays")
    });
    authority.curl("admin.test", admin.address(), "/healthz", &[]).expect(200, "ok\n");
    fs::copy(&other.key, &pair.key).expect("copied");
    fs::copy(&other.chain, &pair.chain).expect("copied");
    eventually("the next certificate is used", PATIENCE, || {
        admin.output().contains("certificate read again")
    });
    authority.curl("next.test", admin.address(), "/healthz", &[]).expect(200, "ok\n");
}
