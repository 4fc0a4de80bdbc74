//! The files of TLS with nodes change under a running gateway: new ones are in force for every request from then on, and no
//! idle connection outlives what it was made with; bad ones change nothing.

use std::fs;
use std::path::PathBuf;

use coregate_tests::certs::{Authority, Pair};
use coregate_tests::gateway::{Builder, Tool};
use coregate_tests::nginx::Nginx;
use coregate_tests::ports::Port;
use coregate_tests::{Gateway, PATIENCE, Service, eventually, service};

fn trusting(ca: &PathBuf, port: &Port) -> Service {
    let ca = format!("upstream_tls.ca = {ca:?}");
    service("site").route("/").node_at(port.address()).with("tls = true").with(&ca)
}

fn one_shard(site: Service) -> Builder {
    Gateway::with(site).server("shards = 1")
}

fn presenting(pair: &Pair) -> String {
    format!("upstream_tls.certificate = {{ chain = {:?}, key = {:?} }}", pair.chain, pair.key)
}

/// What nginx says of the connection, from that word to the next blank.
fn told(gateway: &Gateway, word: &str) -> String {
    let text = gateway.get("/").text();
    let found = text.split_ascii_whitespace().find_map(|it| it.strip_prefix(word));
    found.unwrap_or_default().to_owned()
}

fn replace(file: &PathBuf, bytes: &[u8]) {
    let fresh = file.with_extension("fresh");
    fs::write(&fresh, bytes).expect("write");
    fs::rename(fresh, file).expect("rename");
}

#[test]
fn another_authority_is_in_force_for_idle_connections_too() {
    let (first, second, port) = (Authority::new(), Authority::new(), Port::free());
    let _nginx = Nginx::tls_origin(&port, &first.sign("node", &["127.0.0.1"]), "", "");
    let ca = first.file("trusted.pem");
    fs::copy(first.certificate(), &ca).expect("copy");
    let gateway = one_shard(trusting(&ca, &port)).start();
    let connection = told(&gateway, "connection=");
    assert_eq!(told(&gateway, "connection="), connection, "it is kept");

    replace(&ca, b"half a file");
    gateway.expect_output("what was in use before stays in use");
    assert_eq!(told(&gateway, "connection="), connection, "a bad file changes nothing");

    replace(&ca, &fs::read(second.certificate()).expect("read"));
    eventually("the node is not trusted any more", PATIENCE, || gateway.get("/").status == 502);
    gateway.expect_output("not by an authority that is trusted");

    replace(&ca, &fs::read(first.certificate()).expect("read"));
    eventually("the node is trusted again", PATIENCE, || gateway.get("/").status == 200);
    assert_ne!(told(&gateway, "connection="), connection);
}

#[test]
fn another_client_certificate_is_presented_at_once_and_the_same_keeps_connections() {
    let (authority, port) = (Authority::new(), Port::free());
    let node = authority.sign("node", &["127.0.0.1"]);
    let verify =
        format!("ssl_verify_client on; ssl_client_certificate {};", authority.certificate().display());
    let _nginx = Nginx::tls_origin(&port, &node, "", &verify);
    let client = authority.sign_for("client", &["client.test"], "/CN=old", "20");
    // A node that is a limit on connections: what lies idle must not keep the place.
    let limited = "pool.max_connections_per_node = 1";
    let site = trusting(&authority.certificate(), &port).with(&presenting(&client)).with(limited);
    let gateway = one_shard(site).start();
    let connection = told(&gateway, "connection=");
    assert_eq!(told(&gateway, "client="), "CN=old");

    let same = fs::read(&client.chain).expect("read");
    replace(&client.chain, &same);
    gateway.expect_output("certificate files have changed");
    eventually("it was read", PATIENCE, || {
        gateway.metric("coregate_tls_certificate_reloads_total", &["result=\"applied\""]) > 0.5
    });
    assert_eq!(told(&gateway, "connection="), connection, "the same content is no change");

    let (new_chain, new_key) = {
        let pair = authority.sign_for("next", &["client.test"], "/CN=new", "20");
        (fs::read(&pair.chain).expect("read"), fs::read(&pair.key).expect("read"))
    };
    replace(&client.chain, &new_chain);
    gateway.expect_output("is not the key of the first certificate");
    assert_eq!(told(&gateway, "connection="), connection, "chain and key may come in any order");
    replace(&client.key, &new_key);
    eventually("the new one is presented", PATIENCE, || told(&gateway, "client=") == "CN=new");
    assert_ne!(told(&gateway, "connection="), connection);
}

#[test]
fn connections_of_other_settings_are_not_shared_and_of_equal_ones_are() {
    let (authority, port) = (Authority::new(), Port::free());
    let _nginx = Nginx::tls_origin(&port, &authority.sign("node", &["127.0.0.1", "node.test"]), "", "");
    let ca = authority.certificate();
    let to = |name: &str| {
        let ca = format!("upstream_tls.ca = {ca:?}");
        let site = service(name).route(format!("/{name}").as_str()).node_at(port.address());
        site.with("tls = true").with(&ca)
    };
    let gateway = Gateway::with(to("a"))
        .and(to("b"))
        .and(to("named").with("upstream_tls.server_name = \"node.test\""))
        .and(
            service("any")
                .route("/any")
                .node_at(port.address())
                .with("tls = true")
                .with("upstream_tls.danger_accept_any_certificate = true"),
        )
        .server("shards = 1")
        .start();
    let ask = |target: &str| gateway.get(target).text().rsplit_once("connection=").expect("it").1.to_owned();
    let a = ask("/a");
    assert_eq!(ask("/b"), a);
    let (named, any) = (ask("/named"), ask("/any"));
    assert!(named != a && any != a && any != named, "{a} {named} {any}");
}

#[test]
fn a_new_configuration_with_bad_files_is_refused_whole() {
    let (authority, port) = (Authority::new(), Port::free());
    let _nginx = Nginx::tls_origin(&port, &authority.sign("node", &["127.0.0.1"]), "", "");
    let mut gateway = one_shard(trusting(&authority.certificate(), &port)).start();
    let key = authority.file("ca.key");
    gateway.reload(&one_shard(trusting(&key, &port)));
    gateway.expect_output("the new configuration is refused, nothing changed");
    assert_eq!(gateway.get("/").status, 200);
    let any = "upstream_tls.danger_accept_any_certificate = true";
    let unverified = service("site").route("/").node_at(port.address()).with("tls = true").with(any);
    gateway.reload(&one_shard(unverified));
    gateway.expect_output("service \"site\": upstream_tls.danger_accept_any_certificate");
    assert!(gateway.is_running());
}

#[test]
fn the_check_command_tells_of_every_bad_file_at_once() {
    let authority = Authority::new();
    let pair = authority.sign("client", &["client.test"]);
    let other = authority.sign("other", &["other.test"]);
    let check = |services: &str| {
        let file = authority.file("gateway.toml");
        fs::write(&file, services).expect("write");
        Tool::start(&["check", "--config", file.to_str().expect("UTF-8")]).finish()
    };
    let one = |name: &str, tls: &str| {
        format!(
            "[[services]]\nname = {name:?}\nroutes = [{{ path_prefix = \"/{name}\" }}]\n\
             nodes = [{{ address = \"10.0.0.1:443\" }}]\ntls = true\n{tls}\n"
        )
    };
    let ca = |file: &PathBuf| format!("upstream_tls.ca = {file:?}");
    let mixed = Pair { chain: pair.chain.clone(), key: other.key };
    let bad = check(
        &(one("a", &ca(&pair.key)) + &one("b", &(ca(&authority.certificate()) + "\n" + &presenting(&mixed)))),
    );
    assert_eq!(bad.code, Some(1));
    for line in [
        "service \"a\": ",
        "holds a private key and no certificate",
        "service \"b\": ",
        "is not the key of the first certificate",
    ] {
        assert!(bad.output.contains(line), "{line:?} in {}", bad.output);
    }
    let any = "upstream_tls.danger_accept_any_certificate = true";
    let good = check(&(one("a", &ca(&authority.certificate())) + &one("b", any)));
    assert_eq!(good.code, Some(0), "{}", good.output);
    assert!(good.output.contains("warning: service \"b\": "), "{}", good.output);
}
