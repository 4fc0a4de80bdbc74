//! What waiting costs: memory of idle connections, CPU of an idle process. Each test here runs alone on the machine.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use coregate_tests::{Client, Gateway, MIB, Origin, PATIENCE, eventually, process, service, wait};

const CONNECTIONS: usize = 20_000;
/// Connections that are there before memory is first measured, so that fixed costs are not counted.
const WARM: usize = 1_000;
/// Descriptors for everything else, in the gateway and in this process.
const RESERVE: usize = 500;
/// User memory that an idle keep-alive connection may cost.
const BYTES_EACH_MAX: u64 = 2048;
/// Share of one CPU that an idle process may use.
const IDLE_CPU_MAX: f64 = 0.005;

/// Opens keep-alive connections from several source addresses, each with one request behind it.
fn open(gateway: &Gateway, count: usize) -> Vec<Client> {
    let sources = [2, 3, 4, 5].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    (0..count)
        .map(|n| {
            let mut client =
                Client::connect_from(sources[n % 4], gateway.address()).expect("one more connection");
            client.get("/").expect(200, "a");
            client
        })
        .collect()
}

#[test]
fn twenty_thousand_idle_connections_are_held_at_once_for_under_2_kib_each() {
    // The gateway inherits the limit. Where it cannot be raised that far, as many are opened as there is room for.
    let limit = usize::try_from(process::allow_descriptors(32_768)).expect("it fits");
    let count = CONNECTIONS.min(limit - RESERVE);
    let origin = Origin::named("a");
    let gateway = Gateway::before(&origin).listener("idle_timeout = \"10m\"").alone().start();
    let mut clients = open(&gateway, WARM);
    let before = process::rss_bytes(gateway.pid());
    clients.extend(open(&gateway, count - WARM));
    let grown = process::rss_bytes(gateway.pid()).saturating_sub(before);
    let each = grown / u64::try_from(count - WARM).expect("it fits");
    eprintln!("{count} idle connections, {each} bytes each");
    assert!(each < BYTES_EACH_MAX, "{each} bytes each, {} MiB in all", grown / MIB);
    for client in clients.iter_mut().step_by(97) {
        client.get("/").expect(200, "a");
    }
    let idle_cpu = cpu_share(&gateway, Duration::from_secs(3));
    assert!(idle_cpu < 0.05, "{idle_cpu} of a CPU for {count} idle connections");
    drop(clients);
    eventually("all are closed", PATIENCE, || process::descriptors(gateway.pid()) < 200);
    gateway.get("/").expect(200, "a");
}

#[test]
fn an_idle_process_uses_no_cpu() {
    let origin = Origin::named("a");
    let gateway = Gateway::with(service("site").route("/").node(&origin)).alone().start();
    let _clients = open(&gateway, 16);
    // What was hot cools down within milliseconds; one second is generous.
    cpu_share(&gateway, Duration::from_secs(1));
    let share = cpu_share(&gateway, Duration::from_secs(8));
    eprintln!("idle: {:.2}% of a CPU", share * 100.0);
    assert!(share < IDLE_CPU_MAX, "{:.2}% of a CPU", share * 100.0);
}

/// CPU time used over that time, as a share of one CPU.
fn cpu_share(gateway: &Gateway, time: Duration) -> f64 {
    let (before, began) = (process::cpu_seconds(gateway.pid()), wait::now());
    let used = wait::over(time, || process::cpu_seconds(gateway.pid())) - before;
    used / began.elapsed().as_secs_f64()
}
