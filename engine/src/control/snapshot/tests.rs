//! Tests of what a snapshot is compiled to, and of what goes on from the one before.

use std::sync::atomic::Ordering;

use super::*;
use crate::tls::listeners::Reading;
use crate::tls::nodes::TlsNodes;

fn gateway(nodes: &str) -> Gateway {
    let toml = format!("[[services]]\nname = \"a\"\n[[services.routes]]\npath_prefix = \"/a\"\n{nodes}");
    coregate_config::parse_toml(&toml, "test").unwrap()
}

fn process() -> Process {
    Process { shards: 1, now: crate::clock::read(), tls: Tls::default() }
}

fn node(port: u16) -> String {
    format!("[[services.nodes]]\naddress = \"10.0.0.1:{port}\"\nweight = {port}\n")
}

fn ports(snapshot: &Snapshot) -> Vec<u16> {
    snapshot.services[0].nodes.iter().map(|node| node.address.port()).collect()
}

#[test]
fn a_node_that_stays_keeps_its_counters() {
    let compile = |revision, nodes: &str, previous: Option<&Snapshot>| {
        Snapshot::compile(
            revision,
            Routed::new(gateway(nodes)),
            &Addresses::default(),
            |_, _| true,
            process(),
            previous,
        )
    };
    let one = compile(1, &(node(1) + &node(2)), None);
    one.services[0].nodes[1].shared.connections.store(7, Ordering::Relaxed);
    let two = compile(2, &(node(3) + &node(2)), Some(&one));
    assert_eq!(ports(&two), [3, 2]);
    assert_eq!(two.services[0].nodes[0].shared.connections.load(Ordering::Relaxed), 0);
    assert_eq!(two.services[0].nodes[1].shared.connections.load(Ordering::Relaxed), 7);
    assert!(Arc::ptr_eq(&one.services[0].nodes[1].shared, &two.services[0].nodes[1].shared));
}

/// `shared`: that it stays is known by its being the same value; otherwise it has to be compared.
fn keeps_what_stays(shared: bool) {
    let compile = |nodes: &str, live: bool, previous: Option<&Snapshot>| {
        let mut gateway = gateway(nodes);
        if let Some(previous) = previous.filter(|_| shared) {
            gateway.share_services(&previous.gateway);
        }
        let routed = Routed::new(gateway);
        Snapshot::compile(1, routed, &Addresses::default(), |_, _| live, process(), previous)
    };
    let one = compile(&node(1), true, None);
    let is_kept = |next: &Snapshot| Arc::ptr_eq(&one.services[0], &next.services[0]);
    assert!(is_kept(&compile(&node(1), true, Some(&one))));
    assert!(!is_kept(&compile(&node(1), false, Some(&one))), "its node went down meanwhile");
    assert!(!is_kept(&compile(&node(2), true, Some(&one))));
    assert!(!is_kept(&compile(&(node(1) + "[services.timeouts]\nbody = \"7s\"\n"), true, Some(&one))));
    assert!(!is_kept(&compile(&(node(1) + "[[services.routes]]\npath_prefix = \"/b\"\n"), true, Some(&one))));
    let client_headers = "[[listeners]]\nname = \"l\"\naddress = \"127.0.0.1:1\"\nprotocol = \"https\"\n\
        certificates = [{ chain = \"a\", key = \"b\" }]\n\
        tls = { client_certificates = \"optional\", client_ca = \"c\" }\n";
    assert!(!is_kept(&compile(&(node(1) + client_headers), true, Some(&one))), "another header is withheld");
}

#[test]
fn a_service_that_stays_is_not_compiled_again() {
    keeps_what_stays(false);
    keeps_what_stays(true);
}

#[test]
fn what_has_changed_is_told_by_place_and_what_is_gone_by_name() {
    let snapshot = |names: &[(&str, u16)], previous: Option<&Snapshot>| {
        let service = |(name, port): &(&str, u16)| {
            format!(
                "[[services]]\nname = \"{name}\"\n[[services.routes]]\npath_prefix = \"/{name}\"\n{}",
                node(*port)
            )
        };
        let toml: String = names.iter().map(service).collect();
        let routed = Routed::new(coregate_config::parse_toml(&toml, "test").unwrap());
        Snapshot::compile(1, routed, &Addresses::default(), |_, _| true, process(), previous)
    };
    let first = snapshot(&[("a", 1), ("b", 1), ("c", 1)], None);
    let told = |names: &[(&str, u16)]| {
        let next = snapshot(names, Some(&first));
        let Changes { services, gone } = Changes::between(Some(&first), &next);
        let mut gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
        gone.sort();
        (services, gone.join(" "))
    };
    assert_eq!(Changes::between(None, &first).services, [0, 1, 2]);
    assert_eq!(told(&[("a", 1), ("b", 1), ("c", 1)]), (vec![], String::new()));
    assert_eq!(told(&[("a", 1), ("b", 2), ("c", 1)]), (vec![1], String::new()));
    assert_eq!(told(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]), (vec![3], String::new()));
    assert_eq!(told(&[("a", 1), ("c", 1)]), (vec![1], "b".to_owned()), "it has moved");
    assert_eq!(told(&[("d", 1), ("b", 1)]), (vec![0], "a c".to_owned()));
    assert_eq!(told(&[]), (vec![], "a b c".to_owned()));
}

#[test]
fn where_tls_is_wanted_no_node_is_spoken_to_in_clear() {
    let toml = "[[services]]\nname = \"a\"\ntls = true\nupstream_tls.danger_accept_any_certificate = true\n\
                routes = [{ path_prefix = \"/a\" }]\nnodes = [{ address = \"10.0.0.1:1\" }]";
    let gateway = coregate_config::parse_toml(toml, "test").unwrap();
    let compile = |tls| {
        let (addresses, process) = (Addresses::default(), Process { tls, ..process() });
        Snapshot::compile(1, Routed::new(gateway.clone()), &addresses, |_, _| true, process, None)
    };
    assert_eq!(ports(&compile(Tls::default())), <[u16; 0]>::default(), "nothing is known of it");
    let (nodes, _) = TlsNodes::read(&gateway, &TlsNodes::default(), Reading::Anew);
    let with = compile(Tls { nodes: Arc::new(nodes), ..Tls::default() });
    assert!(with.services[0].nodes[0].tls.is_some());
}

#[test]
fn disabled_and_unresolved_nodes_are_absent() {
    let nodes = node(1)
        + &node(2)
        + "enabled = false\n"
        + "[[services.nodes]]\naddress = \"one.test:80\"\n"
        + &node(3);
    let gateway = gateway(&nodes);
    let mut addresses = Addresses::default();
    let compile = |addresses: &Addresses| {
        Snapshot::compile(
            1,
            Routed::new(gateway.clone()),
            addresses,
            |_, address| address.port() != 3,
            process(),
            None,
        )
    };
    assert_eq!(ports(&compile(&addresses)), [1, 3]);
    assert_eq!(
        compile(&addresses).services[0].nodes.iter().map(|it| it.live).collect::<Vec<_>>(),
        [true, false]
    );

    addresses.retain(&gateway);
    let answer = vec!["10.0.0.9:80".parse().unwrap(), "10.0.0.1:1".parse().unwrap()];
    addresses.update(vec![(("one.test".to_owned(), 80), Ok(answer))]);
    assert_eq!(ports(&compile(&addresses)), [1, 80, 3], "the same address twice is one node");
}
