use std::path::Path;

use rustls::CertificateError;

use super::*;
use crate::tls::testing::{Authority, Folder};

fn service(name: &str, keys: &str) -> String {
    format!(
        "[[services]]\nname = {name:?}\ntls = true\nroutes = [{{ path_prefix = \"/{name}\" }}]\n\
         nodes = [{{ address = \"node.test:443\" }}]\n[services.upstream_tls]\n{keys}\n"
    )
}

fn gateway(services: &[String]) -> Gateway {
    coregate_config::parse_toml(&services.concat(), "test").unwrap()
}

fn read(gateway: &Gateway, before: &TlsNodes, reading: Reading) -> (TlsNodes, Vec<String>) {
    let (read, problems) = TlsNodes::read(gateway, before, reading);
    (read, problems.iter().map(Problem::to_string).collect())
}

fn read_well(gateway: &Gateway, before: &TlsNodes) -> TlsNodes {
    let (read, problems) = read(gateway, before, Reading::Anew);
    assert_eq!(problems, <[&str; 0]>::default());
    read
}

fn address() -> NodeAddress {
    NodeAddress::Name("node.test".into(), 443)
}

fn node(nodes: &TlsNodes, service: &str) -> NodeTls {
    nodes.node(service, &address()).unwrap()
}

fn presenting(ca: &Path, pair: &coregate_config::checked::CertificateFiles) -> String {
    format!("ca = {ca:?}\ncertificate = {{ chain = {:?}, key = {:?} }}", pair.chain, pair.key)
}

#[test]
fn equal_settings_share_one_client_and_keep_it_for_as_long_as_the_files_do() {
    let (folder, authority) = (Folder::new("nodes-shared"), Authority::new());
    let (ca, other) = (folder.authority("ca", &authority), folder.authority("other", &Authority::new()));
    let pair = folder.pair(&authority, "client", &["client.test"]);
    let gateway = gateway(&[
        service("a", &presenting(&ca, &pair)),
        service("b", &presenting(&ca, &pair)),
        service("named", &(presenting(&ca, &pair) + "\nserver_name = \"other.test\"")),
        service("c", &format!("ca = {other:?}")),
    ]);
    let first = read_well(&gateway, &TlsNodes::default());
    assert_eq!(node(&first, "a"), node(&first, "b"));
    assert!(node(&first, "a") != node(&first, "named") && node(&first, "a") != node(&first, "c"));
    assert!(Arc::ptr_eq(&node(&first, "a").client, &node(&first, "named").client), "sessions go by name");

    let again = read_well(&gateway, &first);
    assert!(["a", "named", "c"].iter().all(|name| node(&again, name) == node(&first, name)));

    folder.pair(&authority, "client", &["client.test"]);
    let renewed = read_well(&gateway, &again);
    assert_ne!(node(&renewed, "a"), node(&again, "a"), "another is presented");
    assert_eq!(node(&renewed, "c"), node(&again, "c"));
    folder.authority("ca", &Authority::new());
    assert_ne!(node(&read_well(&gateway, &renewed), "a"), node(&renewed, "a"), "others are trusted");
}

#[test]
fn a_bad_file_leaves_the_old_in_use_and_no_other() {
    let (folder, authority) = (Folder::new("nodes-reread"), Authority::new());
    let ca = folder.authority("ca", &authority);
    let pair = folder.pair(&authority, "client", &["client.test"]);
    let gateway = gateway(&[service("a", &presenting(&ca, &pair)), service("b", &format!("ca = {ca:?}"))]);
    let first = read_well(&gateway, &TlsNodes::default());

    folder.write("client.key", b"half");
    let (second, problems) = read(&gateway, &first, Reading::Again);
    assert!(problems.len() == 1 && problems[0].starts_with("service \"a\": "), "{problems:?}");
    assert_eq!(node(&second, "a"), node(&first, "a"));

    folder.authority("ca", &Authority::new());
    let (third, _) = read(&gateway, &second, Reading::Again);
    assert_ne!(node(&third, "a"), node(&second, "a"), "the new authority, with the old certificate");
    assert_eq!(third.certificates().len(), 1);

    let (anew, problems) = read(&gateway, &third, Reading::Anew);
    assert!(anew.node("a", &address()).is_none() && problems.len() == 1, "{problems:?}");

    folder.write("ca.pem", b"");
    let (_, problems) = read(&gateway, &third, Reading::Anew);
    assert_eq!(problems.len(), 3, "every file of every service: {problems:?}");
}

#[test]
fn nodes_are_asked_for_by_their_host_unless_another_name_is_set() {
    let gateway = gateway(&[
        service("a", "danger_accept_any_certificate = true"),
        service("b", "danger_accept_any_certificate = true\nserver_name = \"other.test\""),
        service("c", "danger_accept_any_certificate = true\nserver_name = \"10.0.0.1\""),
    ]);
    let nodes = read_well(&gateway, &TlsNodes::default());
    let name =
        |service, address: &NodeAddress| nodes.node(service, address).unwrap().name.to_str().into_owned();
    let ip = NodeAddress::Ip("[::ffff:10.0.0.9]:443".parse().unwrap());
    assert_eq!([name("a", &address()), name("a", &ip)], ["node.test", "10.0.0.9"]);
    assert_eq!([name("b", &ip), name("c", &address())], ["other.test", "10.0.0.1"]);
    assert_eq!(nodes.unverified(), ["a", "b", "c"]);
    assert!(nodes.node("none", &ip).is_none());
}

#[test]
fn what_is_spoken_is_what_is_offered() {
    let gateway = gateway(&[service("a", "danger_accept_any_certificate = true")]);
    let node = node(&read_well(&gateway, &TlsNodes::default()), "a");
    let offered = |spoken| node.config(spoken).alpn_protocols.clone();
    assert_eq!(offered(Spoken::Http1), [b"http/1.1"]);
    assert_eq!(offered(Spoken::Http2), [b"h2"]);
    assert!(offered(Spoken::Bytes).is_empty());
}

#[test]
fn failures_are_told_in_the_operators_words() {
    let name = ServerName::try_from("node.test").unwrap();
    let told = |error: Error| explain(&error, &name);
    assert!(told(CertificateError::UnknownIssuer.into()).contains("upstream_tls.ca"));
    assert!(told(CertificateError::Expired.into()).contains("expired"));
    assert!(told(CertificateError::NotValidForName.into()).contains("not for node.test"));
    assert!(told(rustls::InvalidMessage::InvalidContentType.into()).contains("not TLS"));
    assert!(
        told(Error::AlertReceived(rustls::AlertDescription::HandshakeFailure)).contains("HandshakeFailure")
    );
}
