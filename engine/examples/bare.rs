#![allow(missing_docs, clippy::all)]
use coregate::control::snapshot::*;
use coregate::shard::*;
use coregate_config::checked::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
fn main() {
    let s = Duration::from_secs;
    let cpu: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let service = Service {
        name: "t".into(), description: String::new(), enabled: true,
        routes: vec![Route { hosts: vec![], path_prefix: "/test_http_1".into(), methods: BTreeSet::new(), strip_prefix: true, rewrites: vec![] }],
        headers: HeaderRules::default(), policy: Policy::RoundRobin,
        nodes: vec![Node { address: NodeAddress::Ip("127.0.0.1:2003".parse().unwrap()), weight: 1, enabled: true }],
        health_check: None,
        timeouts: Timeouts { connect: s(1), response_header: s(10), body: s(60), idle: s(60), tunnel: s(3600) },
        pool: Pool { max_idle_per_node: 1024, max_connections_per_node: 0 }, max_body_bytes: 0,
        limits: Limits { service: None, per_client_ip: None, scope: LimitScope::Process }, access: Access::default(),
    };
    let server = Server { shards: 1, cpus: vec![], ops_address: None, drain_timeout: s(5), max_connections: 100000, trusted_proxies: vec![], access_log: AccessLog { path: AccessLogPath::None, format: AccessLogFormat::Json, sample: 1.0 } };
    let gateway = Arc::new(Gateway { server: server.clone(), stats: Stats { interval: s(1), timezone: "UTC".into(), redis_url: None, key_prefix: String::new(), retention: s(1) }, control: Control::File,
        listeners: vec![Listener { name: "web".into(), enabled: true, address: "127.0.0.1:8080".parse().unwrap(), protocol: ListenerProtocol::Http, header_timeout: s(10), idle_timeout: s(75), max_header_bytes: 16384, max_header_fields: 100, proxy_protocol: false }],
        services: vec![service.clone()], tenants: vec![] });
    let snapshot = Arc::new(Snapshot { revision: 1, routes: coregate::route::RouteTable::build(&gateway.services), gateway, services: vec![Arc::new(ServicePlan { rules: coregate::http::headers::Rules::from(&service.headers), config: service, nodes: vec![NodePlan { address: "127.0.0.1:2003".parse().unwrap(), weight: 1, live: true, shared: Default::default() }] })], trusted_proxies: coregate::access::IpSet::build(&[]) });
    let sock = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    sock.set_reuse_address(true).unwrap(); sock.set_tcp_nodelay(true).unwrap();
    sock.bind(&"127.0.0.1:8080".parse::<std::net::SocketAddr>().unwrap().into()).unwrap(); sock.listen(4096).unwrap();
    let (_otx, orders) = tokio::sync::mpsc::channel(16); let (reports, mut rrx) = tokio::sync::mpsc::channel(4096);
    let h = spawn(ShardSeed { index: 0, cpu: Some(cpu), shards: 1, max_connections: 100000, interval: s(1), server, snapshot, listeners: vec![("web".into(), sock.into())], orders, reports }).unwrap();
    std::thread::spawn(move || { while let Some(m) = rrx.blocking_recv() { if std::env::var("V").is_ok() { println!("{m:?}"); } } });
    h.join().unwrap();
}
