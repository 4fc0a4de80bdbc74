//! Bodies of any size stream through in bounded memory, both ways, and early answers are handled.

use std::time::Duration;

use coregate_tests::body::{self, pattern_name};
use coregate_tests::{Client, Gateway, MIB, Origin, PATIENCE, eventually, get, process, service};

/// What 64 MiB through the gateway may add to its memory.
const GROWTH_MAX: u64 = 16 * MIB;
const BIG: u64 = 64 * MIB;

fn any_size(origin: &Origin) -> coregate_tests::Service {
    service("site").route("/").node(origin).with("request.max_body_bytes = \"1GiB\"")
}

fn upload(client: &mut Client, length: u64) {
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"));
    body::pattern(length, |piece| client.try_send(piece)).expect("the gateway takes the body");
}

fn upload_chunked(client: &mut Client, length: u64) {
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let sent = body::pattern(length, |piece| {
        client.try_send(format!("{:x}\r\n", piece.len()))?;
        client.try_send(piece)?;
        client.try_send("\r\n")
    });
    sent.expect("the gateway takes the body");
    client.send("0\r\n\r\n");
}

#[test]
fn a_64_mib_upload_passes_in_bounded_memory() {
    let origin = Origin::digesting();
    let gateway = Gateway::with(any_size(&origin)).start();
    let mut client = gateway.client();
    client.get("/");
    let before = process::rss_bytes(gateway.pid());
    upload(&mut client, BIG);
    client.read().expect(200, &pattern_name(BIG));
    let grown = process::rss_bytes_max(gateway.pid()).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "memory grew by {} KiB", grown / 1024);
}

#[test]
fn a_64_mib_download_passes_in_bounded_memory() {
    let origin = Origin::that(|x| x.answer_pattern(BIG));
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    gateway.ops("/readyz");
    let before = process::rss_bytes(gateway.pid());
    let answer = client.get("/");
    assert_eq!(answer.body.name(), pattern_name(BIG));
    let grown = process::rss_bytes_max(gateway.pid()).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "memory grew by {} KiB", grown / 1024);
}

#[test]
fn a_chunked_upload_of_64_mib_passes() {
    let origin = Origin::digesting();
    let gateway = Gateway::with(any_size(&origin)).start();
    let mut client = gateway.client();
    upload_chunked(&mut client, BIG);
    client.read().expect(200, &pattern_name(BIG));
}

#[test]
fn eight_uploads_at_once_each_arrive_whole() {
    let origin = Origin::digesting();
    let gateway = Gateway::with(any_size(&origin)).start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = gateway.client();
                upload(&mut client, 4 * MIB + 1);
                client.read().expect(200, &pattern_name(4 * MIB + 1));
            });
        }
    });
}

#[test]
fn a_reader_that_stops_stops_the_origin() {
    let origin = Origin::that(|x| x.answer_pattern(256 * MIB));
    let gateway = Gateway::before(&origin).start();
    let before = process::rss_bytes(gateway.pid());
    let mut client = gateway.client();
    client.send(get("/").bytes());
    assert_eq!(client.read_head().0, 200);
    // Memory is looked at again and again for a while: what is sent and not read has to stay with the origin.
    for _ in 0..10 {
        let grown = wait_and_measure(&gateway).saturating_sub(before);
        assert!(grown < GROWTH_MAX, "memory grew by {} KiB", grown / 1024);
    }
}

fn wait_and_measure(gateway: &Gateway) -> u64 {
    coregate_tests::wait::over(Duration::from_millis(100), || process::rss_bytes(gateway.pid()))
}

#[test]
fn an_origin_that_stops_reading_stops_the_client() {
    let origin = Origin::that(|x| x.stall());
    let gateway = Gateway::with(any_size(&origin)).start();
    let before = process::rss_bytes(gateway.pid());
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", 512 * MIB));
    let mut sender = client.patience(Duration::from_secs(1));
    sender.set_send_patience(Duration::from_secs(1));
    let sent = body::pattern(512 * MIB, |piece| sender.try_send(piece));
    assert!(sent.is_err(), "512 MiB cannot fit between a client and an origin that does not read");
    let grown = process::rss_bytes_max(gateway.pid()).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "memory grew by {} KiB", grown / 1024);
}

#[test]
fn an_answer_before_the_body_is_read_reaches_the_client() {
    let origin = Origin::that(|x| {
        x.send("HTTP/1.1 403 No\r\ncontent-length: 5\r\nconnection: close\r\n\r\nearly");
        x.wait_gone();
    });
    let gateway = Gateway::with(any_size(&origin)).start();
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", 64 * MIB));
    client.send(vec![b'x'; 1000]);
    client.read().expect(403, "early");
}

#[test]
fn an_early_answer_is_heard_while_the_client_is_still_sending() {
    let origin = Origin::that(|x| {
        x.send("HTTP/1.1 413 No\r\ncontent-length: 5\r\nconnection: close\r\n\r\nearly");
        x.half_close();
        x.wait_gone();
    });
    let gateway = Gateway::with(any_size(&origin)).start();
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", 8 * MIB));
    // The gateway may stop reading at any time after the answer; what counts is that the answer comes.
    body::pattern(8 * MIB, |piece| client.try_send(piece)).ok();
    client.read().expect(413, "early");
}

#[test]
fn after_an_early_answer_no_byte_of_the_body_is_taken_for_a_request() {
    let origin = Origin::that(|x| {
        x.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly");
        x.wait_gone();
    });
    let gateway = Gateway::with(any_size(&origin)).start();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n");
    client.read().expect(200, "early");
    client.try_send("GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n").ok();
    client.half_close();
    client.read_until_gone();
    assert_eq!(origin.count(), 1);
}

#[test]
fn up_and_down_stream_at_the_same_time() {
    let length = 8 * MIB;
    let origin = Origin::that(move |x| x.echo_streaming(length));
    let gateway = Gateway::with(any_size(&origin)).start();
    let mut client = gateway.client();
    let mut sender = client.second_handle();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            sender.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"));
            body::pattern(length, |piece| sender.try_send(piece)).expect("the gateway takes the body");
        });
        assert_eq!(client.read().body.name(), pattern_name(length));
    });
}

#[test]
fn memory_comes_back_after_a_storm_of_bodies() {
    let origin = Origin::digesting();
    let gateway = Gateway::with(any_size(&origin)).start();
    let storm = || {
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let mut client = gateway.client();
                    upload(&mut client, 2 * MIB);
                    client.read().expect(200, &pattern_name(2 * MIB));
                });
            }
        });
    };
    storm();
    let before = process::rss_bytes(gateway.pid());
    for _ in 0..5 {
        storm();
    }
    eventually("memory is back near where it was", PATIENCE, || {
        process::rss_bytes(gateway.pid()) < before + GROWTH_MAX
    });
}
