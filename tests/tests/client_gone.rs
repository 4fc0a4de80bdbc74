//! A client that goes away, at any point, costs nothing but its own request.

use coregate_tests::{
    Client, Gateway, MIB, Origin, PATIENCE, Request, eventually, get, post, process, service,
};

/// How a client leaves.
#[derive(Debug, Clone, Copy)]
enum Leaving {
    Close,
    Reset,
}

fn leave(client: Client, how: Leaving) {
    match how {
        Leaving::Close => drop(client),
        Leaving::Reset => client.reset(),
    }
}

/// Afterwards others are served, nothing is left open, and no descriptor is lost.
fn expect_no_trace(gateway: &Gateway, origin: &Origin, descriptors: usize) {
    gateway.get("/ok").expect(200, "ok");
    eventually("descriptors are given back", PATIENCE, || {
        // Pools may keep what the origin does not close.
        origin.cut_connections();
        process::descriptors(gateway.pid()) <= descriptors + 2
    });
    assert_eq!(origin.malformed(), Vec::<String>::new());
}

fn origin() -> Origin {
    Origin::that(|x| match x.target() {
        "/stall" => {
            x.read_body();
            x.wait_gone();
        }
        "/endless" => {
            x.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
            while !x.ended() {
                x.send([b'x'; 1000]);
            }
        }
        _ => x.answer(200, "ok"),
    })
}

#[test]
fn at_every_byte_of_a_request() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    gateway.get("/ok").expect(200, "ok");
    let descriptors = process::descriptors(gateway.pid());
    let request = post("/ok").body("0123456789").bytes();
    for at in 0..request.len() {
        for how in [Leaving::Close, Leaving::Reset] {
            let mut client = gateway.client();
            client.send(&request[..at]);
            leave(client, how);
        }
    }
    expect_no_trace(&gateway, &origin, descriptors);
}

#[test]
fn while_the_origin_thinks() {
    let origin = origin();
    let site = service("site").route("/").node(&origin).with("timeouts.response_header = \"1h\"");
    let gateway = Gateway::with(site).start();
    gateway.get("/ok").expect(200, "ok");
    let descriptors = process::descriptors(gateway.pid());
    for asked in 2..5 {
        let mut client = gateway.client();
        client.send(get("/stall").bytes());
        origin.expect_count(asked);
        client.reset();
        // An idle connection may be left on each shard.
        eventually("the origin is told of the reset", PATIENCE, || origin.open() <= 2);
    }
    expect_no_trace(&gateway, &origin, descriptors);
}

#[test]
fn in_the_middle_of_an_upload() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    gateway.get("/ok").expect(200, "ok");
    let descriptors = process::descriptors(gateway.pid());
    for how in [Leaving::Close, Leaving::Reset] {
        let mut client = gateway.client();
        client.send(format!("POST /stall HTTP/1.1\r\nHost: test\r\nContent-Length: {MIB}\r\n\r\n"));
        client.send(vec![b'x'; 300_000]);
        leave(client, how);
    }
    expect_no_trace(&gateway, &origin, descriptors);
    let whole =
        origin.seen().iter().filter(|seen| seen.line() == "POST /stall" && seen.body.is_some()).count();
    assert_eq!(whole, 0, "half a body never looks whole");
}

#[test]
fn in_the_middle_of_a_chunked_upload() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    gateway.get("/ok").expect(200, "ok");
    let descriptors = process::descriptors(gateway.pid());
    let head = "POST /stall HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    for cut in [
        "",
        "5",
        "5\r\n",
        "5\r\nhel",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhello\r\n0\r\nX-A: b\r\n",
    ] {
        let mut client = gateway.client();
        client.send(format!("{head}{cut}"));
        drop(client);
    }
    expect_no_trace(&gateway, &origin, descriptors);
    let whole =
        origin.seen().iter().filter(|seen| seen.line() == "POST /stall" && seen.body.is_some()).count();
    assert_eq!(whole, 0, "half a body never looks whole");
}

#[test]
fn in_the_middle_of_a_download() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    gateway.get("/ok").expect(200, "ok");
    let descriptors = process::descriptors(gateway.pid());
    for how in [Leaving::Close, Leaving::Reset] {
        for read in [0, 10, 500_000] {
            let mut client = gateway.client();
            client.send(get("/endless").bytes());
            assert_eq!(client.read_head().0, 200);
            client.read_exact(read);
            leave(client, how);
        }
    }
    eventually("the origin stops sending", PATIENCE, || origin.open() <= 2);
    expect_no_trace(&gateway, &origin, descriptors);
}

#[test]
fn in_the_middle_of_a_pipelined_burst() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    gateway.get("/ok").expect(200, "ok");
    let descriptors = process::descriptors(gateway.pid());
    let burst: Vec<u8> = std::iter::repeat_with(|| get("/ok").bytes()).take(50).flatten().collect();
    for how in [Leaving::Close, Leaving::Reset] {
        let mut client = gateway.client();
        client.send(&burst);
        client.read().expect(200, "ok");
        leave(client, how);
    }
    expect_no_trace(&gateway, &origin, descriptors);
}

#[test]
fn a_thousand_times_at_once() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    gateway.get("/ok").expect(200, "ok");
    let descriptors = process::descriptors(gateway.pid());
    let requests: [Request; 3] = [get("/ok"), get("/stall"), get("/endless")];
    for _ in 0..10 {
        let clients: Vec<Client> = (0..100)
            .map(|n| {
                let mut client = gateway.client();
                client.send(requests[n % 3].bytes());
                client
            })
            .collect();
        for (n, client) in clients.into_iter().enumerate() {
            leave(client, if n % 2 == 0 { Leaving::Close } else { Leaving::Reset });
        }
    }
    expect_no_trace(&gateway, &origin, descriptors);
}
