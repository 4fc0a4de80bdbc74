//! Running out of file descriptors: the gateway goes on with what it has, and recovers.

use coregate_tests::{Client, Gateway, Origin, PATIENCE, eventually, get, process, wait};
use std::time::Duration;

/// Enough to start with, and fewer than the clients that come.
const LIMIT: usize = 160;
const CLIENTS: usize = 300;

fn is_served(gateway: &Gateway) -> bool {
    Client::try_connect(gateway.address()).is_ok_and(|client| {
        let mut client = client.patience(Duration::from_secs(2));
        client.try_send(get("/").bytes()).is_ok()
            && client.try_read().is_ok_and(|answer| answer.status == 200)
    })
}

#[test]
fn the_gateway_goes_on_without_descriptors_and_recovers() {
    let origin = Origin::named("a");
    let mut gateway = Gateway::before(&origin).after(&format!("ulimit -n {LIMIT}")).start();
    // Pools are warm on both shards.
    let mut old: Vec<Client> = (0..16)
        .map(|_| {
            let mut client = gateway.client();
            client.get("/").expect(200, "a");
            client
        })
        .collect();
    for _ in 0..3 {
        let crowd: Vec<Client> = (0..CLIENTS)
            .map(|_| {
                let mut client = gateway.client();
                client.send(get("/").bytes());
                client
            })
            .collect();
        eventually("the limit is reached", PATIENCE, || process::descriptors(gateway.pid()) > LIMIT * 8 / 10);
        let before = process::cpu_seconds(gateway.pid());
        let spent = wait::over(Duration::from_secs(1), || process::cpu_seconds(gateway.pid())) - before;
        assert!(spent < 0.7, "it spins: {spent} s of CPU in one second");
        for client in &mut old {
            client.get("/").expect(200, "a");
        }
        drop(crowd);
        eventually("it serves again", PATIENCE, || (0..20).all(|_| is_served(&gateway)));
        assert!(gateway.is_running());
    }
}

#[test]
fn running_out_for_upstream_connections_is_an_answer_not_a_crash() {
    let origin = Origin::that(|x| {
        if x.target() == "/hold" {
            x.stall();
        }
        x.answer(200, "a");
    });
    let mut gateway = Gateway::before(&origin).after(&format!("ulimit -n {LIMIT}")).start();
    let mut clients: Vec<Client> = (0..LIMIT / 2)
        .map(|_| {
            let mut client = gateway.client().patience(Duration::from_secs(1));
            client.send(get("/hold").bytes());
            client
        })
        .collect();
    eventually("the limit is reached", PATIENCE, || process::descriptors(gateway.pid()) > LIMIT * 8 / 10);
    origin.release();
    // Who still waits in the backlog while others keep their connections gets nothing yet.
    let mut statuses: Vec<u16> =
        clients.iter_mut().filter_map(|client| client.try_read().ok()).map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert!(statuses.iter().all(|status| matches!(status, 200 | 500 | 502 | 503)), "{statuses:?}");
    drop(clients);
    eventually("it serves again", PATIENCE, || (0..20).all(|_| is_served(&gateway)));
    assert!(gateway.is_running());
}
