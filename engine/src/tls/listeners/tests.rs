use coregate_config::checked::CertificateFiles;

use super::*;
use crate::tls::testing::{Authority, Folder};

fn gateway(certificates: &[&CertificateFiles], tls: &str) -> Gateway {
    let mut toml =
        "[[listeners]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nprotocol = \"https\"\n".to_owned();
    for CertificateFiles { chain, key, .. } in certificates {
        toml += &format!("[[listeners.certificates]]\nchain = {chain:?}\nkey = {key:?}\n");
    }
    toml += &format!("[listeners.tls]\n{tls}");
    coregate_config::parse_toml(&toml, "test").unwrap()
}

fn read(gateway: &Gateway, before: &TlsListeners, reading: Reading) -> (TlsListeners, Vec<String>) {
    let (read, problems) = TlsListeners::read(gateway, before, reading);
    (read, problems.iter().map(Problem::to_string).collect())
}

fn names(listeners: &TlsListeners) -> Vec<&str> {
    listeners.get("web").unwrap().facts.iter().map(|facts| &*facts.names[0]).collect()
}

#[test]
fn a_bad_file_leaves_the_old_certificate_in_use_and_no_other() {
    let (folder, authority) = (Folder::new("reread"), Authority::new());
    let one = folder.pair(&authority, "one", &["one.test"]);
    let two = folder.pair(&authority, "two", &["two.test"]);
    let gateway = gateway(&[&one, &two], "");
    let (first, problems) = read(&gateway, &TlsListeners::default(), Reading::Anew);
    assert_eq!((names(&first), problems.len()), (vec!["one.test", "two.test"], 0));

    // The chain is written before its key; meanwhile another has changed.
    let key = std::fs::read(&one.key).unwrap();
    folder.pair(&authority, "one", &["three.test"]);
    let new_key = std::fs::read(&one.key).unwrap();
    std::fs::write(&one.key, key).unwrap();
    folder.pair(&authority, "two", &["four.test"]);
    let (second, problems) = read(&gateway, &first, Reading::Again);
    assert_eq!(names(&second), ["one.test", "four.test"]);
    assert!(
        problems[0].contains("listener \"web\": ") && problems[0].contains("is not the key"),
        "{problems:?}"
    );

    std::fs::write(&one.key, new_key).unwrap();
    let (third, problems) = read(&gateway, &second, Reading::Again);
    assert_eq!((names(&third), problems.len()), (vec!["three.test", "four.test"], 0));

    std::fs::remove_file(&two.chain).unwrap();
    let (none, problems) = read(&gateway, &third, Reading::Anew);
    assert!(none.get("web").is_none() && problems.len() == 1, "a new configuration is refused by it");
    assert_eq!(names(&read(&gateway, &third, Reading::Again).0), ["three.test", "four.test"]);
}

#[test]
fn tickets_are_good_for_as_long_as_clients_are_verified_by_the_same_rules() {
    let (folder, authority) = (Folder::new("tickets"), Authority::new());
    let one = folder.pair(&authority, "one", &["one.test"]);
    let ca = folder.authority("ca", &authority);
    let tls = |mode: &str| format!("client_certificates = \"{mode}\"\nclient_ca = {ca:?}");
    let plain = gateway(&[&one], "");
    let next = |gateway: &Gateway, before: &TlsListeners| {
        let (read, problems) = read(gateway, before, Reading::Anew);
        assert_eq!(problems, <[&str; 0]>::default());
        read
    };
    let same = |a: &TlsListeners, b: &TlsListeners| {
        let tickets = |it: &TlsListeners| it.get("web").unwrap().tickets.clone().unwrap();
        Arc::ptr_eq(&tickets(a), &tickets(b))
    };
    let first = next(&plain, &TlsListeners::default());
    let again = next(&plain, &first);
    assert!(same(&first, &again));
    let optional = next(&gateway(&[&one], &tls("optional")), &again);
    let required = next(&gateway(&[&one], &tls("required")), &optional);
    assert!(!same(&again, &optional) && !same(&optional, &required));
    assert!(same(&required, &next(&gateway(&[&one], &tls("required")), &required)));
    folder.authority("ca", &Authority::new());
    let others = next(&gateway(&[&one], &tls("required")), &required);
    assert!(!same(&required, &others), "others may sign now");
    let off = next(&gateway(&[&one], "session_tickets = false"), &others);
    assert!(off.get("web").unwrap().tickets.is_none());
    assert_eq!(off.get("web").unwrap().config.send_tls13_tickets, 0);
}

#[test]
fn expiry_is_a_warning() {
    let facts = Facts { place: "a".into(), names: Vec::new(), not_before: 10, not_after: 20 };
    assert!(facts.warning(9).unwrap().contains("not valid yet"));
    assert_eq!((facts.warning(10), facts.warning(20)), (None, None));
    assert!(facts.warning(21).unwrap().contains("expired"));
}

#[test]
fn http2_is_offered_where_it_is_spoken() {
    let (folder, authority) = (Folder::new("alpn"), Authority::new());
    let one = folder.pair(&authority, "one", &["one.test"]);
    let offered = |tls: &str| {
        let (read, _) = read(&gateway(&[&one], tls), &TlsListeners::default(), Reading::Anew);
        let config = read.get("web").unwrap().config.clone();
        config.alpn_protocols.iter().map(|it| String::from_utf8(it.clone()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(offered(""), ["h2", "http/1.1"]);
    assert_eq!(offered("[listeners.http2]\nenabled = false"), ["http/1.1"]);
}
