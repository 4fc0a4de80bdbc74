//! Certificates change under a running gateway: good ones are taken over without a failed request, bad ones are not.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use coregate_tests::certs::{Authority, Pair, certificates, s_client};
use coregate_tests::gateway::{Builder, Tool};
use coregate_tests::ports::Port;
use coregate_tests::{Gateway, Origin, PATIENCE, eventually};

fn https(origin: &Origin, port: &Port, pair: &Pair) -> Builder {
    Gateway::before(origin).text(&format!(
        "[[listeners]]\nname = \"https\"\naddress = \"{}\"\nprotocol = \"https\"\n{}",
        port.address(),
        certificates(&[pair])
    ))
}

fn presented(port: &Port) -> String {
    let output = s_client(port.address(), &[], b"Q\n");
    let subject = output.lines().find_map(|line| line.strip_prefix("subject="));
    subject.unwrap_or_default().to_owned()
}

#[test]
fn a_changed_certificate_is_taken_over_under_load() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let gateway = https(&origin, &port, &pair).start();
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    authority.curl("one.test", port.address(), "/", &[]).expect(200, "a");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..3 {
            authority.sign_for("one", &["one.test"], &format!("/CN=round {round}"), "20");
            let expected = format!("CN = round {round}");
            eventually("the new one is presented", PATIENCE, || presented(&port) == expected);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(asked.load(Ordering::Relaxed) > 10);
    assert!(gateway.metric("coregate_tls_certificate_reloads_total", &["result=\"applied\""]) > 2.5);
}

#[test]
fn a_bad_file_leaves_the_old_certificate_in_use_and_says_why() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let pair = authority.sign("one", &["one.test"]);
    let gateway = https(&origin, &port, &pair).start();
    let refused = || gateway.metric("coregate_tls_certificate_reloads_total", &["result=\"refused\""]);
    let whole = fs::read(&pair.chain).expect("read");

    fs::write(&pair.chain, &whole[..whole.len() / 2]).expect("write");
    gateway.expect_output("is not whole PEM");
    gateway.expect_output("what was in use before stays in use");
    eventually("it is counted", PATIENCE, || refused() > 0.5);
    authority.curl("one.test", port.address(), "/", &[]).expect(200, "a");

    // A chain whose key has not come yet.
    let old_key = fs::read(&pair.key).expect("read");
    authority.sign_for("one", &["one.test"], "/CN=new", "20");
    let new_key = fs::read(&pair.key).expect("read");
    fs::write(&pair.key, old_key).expect("write");
    gateway.expect_output("is not the key of the first certificate");
    assert_eq!(presented(&port), "C = DE, O = Example, CN = one");
    fs::write(&pair.key, new_key).expect("write");
    eventually("both fit", PATIENCE, || presented(&port) == "CN = new");
}

#[test]
fn a_configuration_with_a_bad_certificate_is_refused_whole() {
    let (authority, origin, port) = (Authority::new(), Origin::named("a"), Port::free());
    let (pair, other) = (authority.sign("one", &["one.test"]), authority.sign("other", &["other.test"]));
    let bad = Pair { chain: pair.chain.clone(), key: other.key };
    let refused = https(&origin, &port, &bad).start_and_finish();
    assert_eq!(refused.code, Some(1));
    assert!(refused.output.contains("is not the key of the first certificate"), "{}", refused.output);

    let mut gateway = https(&origin, &port, &pair).start();
    gateway.reload(&https(&origin, &port, &bad));
    gateway.expect_output("the new configuration is refused, nothing changed");
    authority.curl("one.test", port.address(), "/", &[]).expect(200, "a");
    assert!(gateway.is_running());
}

#[test]
fn the_check_command_tells_of_unusable_and_of_expired_certificates() {
    let authority = Authority::new();
    let check = |pair: &Pair| {
        let file = authority.file("gateway.toml");
        let text = format!(
            "[[listeners]]\nname = \"https\"\naddress = \"127.0.0.1:443\"\nprotocol = \"https\"\n{}",
            certificates(&[pair])
        );
        fs::write(&file, text).expect("write");
        Tool::start(&["check", "--config", file.to_str().expect("UTF-8")]).finish()
    };
    let pair = authority.sign("one", &["one.test"]);
    assert_eq!(check(&pair).code, Some(0));
    let exchanged = check(&Pair { chain: pair.key.clone(), key: pair.chain.clone() });
    assert_eq!(exchanged.code, Some(1));
    assert!(exchanged.output.contains("are chain and key exchanged?"), "{}", exchanged.output);

    let expired = check(&authority.sign_for("old", &["old.test"], "/CN=old", "-1"));
    assert_eq!(expired.code, Some(0));
    assert!(
        expired.output.contains("warning") && expired.output.contains("has expired"),
        "{}",
        expired.output
    );

    let key = authority.file("encrypted.key");
    let key_name = key.to_str().expect("UTF-8");
    authority.openssl(&["pkcs8", "-topk8", "-in", "one.key", "-passout", "pass:secret", "-out", key_name]);
    let encrypted = check(&Pair { chain: pair.chain, key });
    assert!(encrypted.code == Some(1) && encrypted.output.contains("is encrypted"), "{}", encrypted.output);
}
