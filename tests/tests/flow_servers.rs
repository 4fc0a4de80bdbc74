//! Redis behind Sentinels, as a Cluster, and over TLS.

use std::path::Path;
use std::process::Command;

use coregate_tests::ports::Port;
use coregate_tests::{Gateway, Load, Origin, PATIENCE, Redis, eventually};

fn stats(url: &str) -> String {
    format!("[stats]\ninterval = \"100ms\"\nkey_prefix = \"gw:\"\nredis_url = \"{url}\"\n")
}

fn total(redis: &Redis) -> [i64; 2] {
    [redis.sum("gw:flow_day_*_flow_total"), redis.sum("gw:flow_hour_*_flow_total")]
}

#[test]
fn a_sentinel_is_asked_for_the_master_and_again_when_it_changes() {
    let (mut master, origin) = (Redis::start(), Origin::named("a"));
    let replica = Redis::builder().with(&format!("replicaof 127.0.0.1 {}", master.address().port())).start();
    let sentinel = Redis::sentinel(&master);
    sentinel.command(&["SENTINEL", "SET", "main", "down-after-milliseconds", "300"]);
    // A failover that fails, as one may where the replica was slow to answer, is tried again after twice that.
    sentinel.command(&["SENTINEL", "SET", "main", "failover-timeout", "1000"]);
    let url = format!("redis-sentinel://{}/0?sentinelServiceName=main", sentinel.address());
    let gateway = Gateway::before(&origin).text(&stats(&url)).start();
    gateway.get("/").expect(200, "a");
    eventually("the master has it", PATIENCE, || total(&master) == [1; 2]);
    eventually("the replica has it", PATIENCE, || total(&replica) == [1; 2]);
    eventually("the Sentinel knows the replica", PATIENCE, || {
        let replicas = format!("{:?}", sentinel.command(&["SENTINEL", "REPLICAS", "main"]));
        replicas.contains(&replica.address().port().to_string()) && replicas.contains("\"ok\"")
    });
    master.kill();
    gateway.get("/").expect(200, "a");
    eventually("the Sentinel makes the replica a master", PATIENCE * 3, || {
        format!("{:?}", replica.command(&["ROLE"])).contains("master")
    });
    eventually("the new master has both", PATIENCE, || total(&replica) == [2; 2]);
}

/// Three servers, each with a third of the slots.
fn cluster() -> (Vec<Redis>, Vec<Port>) {
    let buses: Vec<Port> = (0..3).map(|_| Port::free()).collect();
    let servers: Vec<Redis> = buses
        .iter()
        .map(|bus| {
            Redis::builder()
                .with("cluster-enabled yes")
                .with("cluster-config-file nodes.conf")
                .with("cluster-node-timeout 2000")
                .with(&format!("cluster-port {}", bus.number()))
                .start()
        })
        .collect();
    for (server, (first, last)) in servers.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")])
    {
        server.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
    }
    for (server, bus) in servers.iter().zip(&buses).skip(1) {
        let (port, bus) = (server.address().port().to_string(), bus.number().to_string());
        servers[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    }
    is_complete(&servers);
    (servers, buses)
}

#[track_caller]
fn is_complete(servers: &[Redis]) {
    eventually("the cluster is complete", PATIENCE, || {
        servers.iter().all(|server| {
            let info = server.command(&["CLUSTER", "INFO"]);
            info.text().contains("cluster_state:ok") && info.text().contains("cluster_known_nodes:3")
        })
    });
}

#[test]
fn on_a_cluster_keys_are_spread_and_counted_exactly_once() {
    let ((mut servers, _buses), origin) = (cluster(), Origin::named("a"));
    let url = servers[0].url().replace("redis://", "redis-cluster://");
    let others: Vec<String> = (0..8).map(|n| format!("other{n}")).collect();
    let others_text: String = others
        .iter()
        .map(|name| {
            let address = origin.address();
            format!(
                "\n[[services]]\nname = \"{name}\"\nnodes = [{{ address = \"{address}\" }}]\n\
                 routes = [{{ path_prefix = \"/{name}\" }}]\n"
            )
        })
        .collect();
    let gateway = Gateway::before(&origin).text(&(stats(&url) + &others_text)).start();
    let sum = |servers: &[Redis], pattern: &str| servers.iter().map(|it| it.sum(pattern)).sum::<i64>();
    let load = Load::on(gateway.address()).start();
    eventually("a first flush", PATIENCE, || sum(&servers, "gw:flow_day_*_flow_total") > 0);
    servers[1].kill();
    eventually("it is missed", PATIENCE, || gateway.metric("coregate_redis_up", &[]) == 0.0);
    servers[1].restart();
    is_complete(&servers);
    eventually("it is back", PATIENCE, || gateway.metric("coregate_redis_up", &[]) == 1.0);
    let tally = load.stop();
    assert!(tally.failed.is_empty(), "{:?}", tally.failed);
    let all = i64::try_from(tally.ok).unwrap();
    for id in ["flow_total", "flow_service_site"] {
        for period in ["day", "hour"] {
            let pattern = format!("gw:flow_{period}_*_{id}");
            eventually(&pattern, PATIENCE, || sum(&servers, &pattern) == all);
        }
    }
    let flow = gateway.ops("/api/v1/flow?scope=cluster").text();
    assert!(flow.contains(&format!("\"requests\": {all}")), "{flow}");
    // The four keys of one service lie on one node in some hours; those of many services never do.
    for name in &others {
        gateway.get(&format!("/{name}")).expect(200, "a");
    }
    let nodes = || servers.iter().filter(|server| !server.keys("gw:flow_[dh]*").is_empty()).count();
    eventually("the keys of one gateway are on several nodes", PATIENCE, || nodes() >= 2);
}

#[test]
fn a_hash_tag_in_the_prefix_keeps_a_clusters_keys_together() {
    let ((servers, _buses), origin) = (cluster(), Origin::named("a"));
    let url = servers[0].url().replace("redis://", "redis-cluster://");
    let text = stats(&url).replace("gw:", "{gw}:");
    let gateway = Gateway::before(&origin).text(&text).start();
    gateway.get("/").expect(200, "a");
    let with_keys = || servers.iter().filter(|server| !server.keys("{gw}:*").is_empty()).collect::<Vec<_>>();
    eventually("it is written", PATIENCE, || {
        with_keys().iter().any(|server| server.sum("{gw}:flow_day_*_flow_total") == 1)
    });
    assert_eq!(with_keys().len(), 1);
    assert_eq!(with_keys()[0].keys("{gw}:flow_seen_*").len(), 1, "one number for all keys");
}

/// Runs openssl in that folder.
fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl runs");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn tls_is_checked_against_the_roots_that_ssl_cert_file_names() {
    let (folder, tls, origin) = (tempfile::tempdir().unwrap(), Port::free(), Origin::named("a"));
    let path = folder.path();
    openssl(path, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca");
    openssl(path, "req -newkey rsa:2048 -nodes -keyout redis.key -out redis.csr -subj /CN=redis");
    std::fs::write(path.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    openssl(
        path,
        "x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out redis.pem -days 2 -extfile names",
    );
    let at = |name: &str| path.join(name).display().to_string();
    let redis = Redis::builder()
        .with(&format!("tls-port {}", tls.number()))
        .with(&format!("tls-cert-file {}", at("redis.pem")))
        .with(&format!("tls-key-file {}", at("redis.key")))
        .with(&format!("tls-ca-cert-file {}", at("ca.pem")))
        .with("tls-auth-clients no")
        .start();
    let builder = Gateway::before(&origin).text(&stats(&format!("rediss://{}", tls.address())));
    let trusting = builder.clone().after(&format!("export SSL_CERT_FILE={}", at("ca.pem"))).start();
    trusting.get("/").expect(200, "a");
    eventually("it is written", PATIENCE, || total(&redis) == [1; 2]);
    openssl(
        path,
        "req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 2 -subj /CN=other",
    );
    let distrusting = builder.after(&format!("export SSL_CERT_FILE={}", at("other.pem"))).start();
    distrusting.get("/").expect(200, "a");
    distrusting.expect_output("Redis does not work");
    distrusting.expect_output("SSL_CERT_FILE may name the PEM file of its certificate authority");
    assert_eq!(total(&redis), [1; 2], "nothing was sent");
}
