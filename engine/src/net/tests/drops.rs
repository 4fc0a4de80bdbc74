//! Sockets and futures dropped with operations in flight: memory, table slots and descriptors come back.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use futures_lite::future::{poll_once, yield_now};

use super::rig::{self, bytes_from, expect_bytes, is_open, joined, name_of, pair};
use crate::net::{Net, Socket};

/// Drops a socket, and waits until its slot, its descriptor and what it held are gone.
async fn dropped(net: &Rc<Net>, socket: Socket) {
    struct Held(Rc<Cell<bool>>, String);
    impl Drop for Held {
        fn drop(&mut self) {
            assert!(!is_open(&self.1), "held until the descriptor is closed");
            self.0.set(true);
        }
    }
    let before = net.stats().sockets;
    let gone = Rc::new(Cell::new(false));
    socket.hold(Box::new(Held(gone.clone(), name_of(&socket))));
    drop(socket);
    assert!(!gone.get());
    rig::until(|| gone.get()).await;
    assert_eq!(net.stats().sockets, before - 1);
}

#[test]
fn a_socket_that_was_never_used_closes() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        dropped(&net, socket).await;
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    });
}

#[test]
fn a_socket_with_a_receive_armed_closes() {
    rig::run(async |net| {
        // Armed but not yet submitted; in the kernel; with bytes that nobody took; after the peer's end.
        let (socket, _peer) = pair(&net);
        socket.arm();
        dropped(&net, socket).await;

        let (socket, _peer) = pair(&net);
        assert!(poll_once(socket.receive()).await.is_none());
        rig::let_be(Duration::from_millis(5)).await;
        dropped(&net, socket).await;

        let (socket, mut peer) = pair(&net);
        peer.write_all(&bytes_from(0, 50_000)).unwrap();
        socket.arm();
        rig::until(|| net.stats().buffers_lent > 0).await;
        dropped(&net, socket).await;
        assert_eq!(net.stats().buffers_lent, 0);

        let (socket, peer) = pair(&net);
        socket.arm();
        drop(peer);
        rig::until(|| socket.is_ended()).await;
        dropped(&net, socket).await;
    });
}

#[test]
fn a_socket_with_a_send_in_flight_closes() {
    rig::run(async |net| {
        for wait in [0, 5, 50] {
            let (socket, mut peer) = pair(&net);
            let mut outgoing = net.outgoing();
            outgoing.bytes().extend(bytes_from(0, 16 << 20));
            socket.post(outgoing).await.unwrap();
            assert!(poll_once(socket.flush()).await.is_none());
            rig::let_be(Duration::from_millis(wait)).await;
            dropped(&net, socket).await;
            // What was sent before is the beginning of it.
            let reader = thread::spawn(move || {
                let mut got = Vec::new();
                peer.read_to_end(&mut got).unwrap();
                got
            });
            let got = joined(reader).await;
            assert!(got.len() < 16 << 20 && got == bytes_from(0, got.len()));
        }
    });
}

#[test]
fn a_socket_with_chunks_in_a_send_gives_them_back() {
    rig::run(async |net| {
        let (source, mut source_peer) = pair(&net);
        let (socket, _peer) = pair(&net);
        let writer = thread::spawn(move || {
            source_peer.write_all(&bytes_from(0, 16 << 20)).unwrap_err();
        });
        loop {
            let mut outgoing = net.outgoing();
            while !outgoing.is_full() {
                outgoing.push_chunk(source.receive().await.unwrap().unwrap());
            }
            socket.post(outgoing).await.unwrap();
            rig::let_be(Duration::from_millis(2)).await;
            if poll_once(socket.flush()).await.is_none() {
                break;
            }
        }
        assert!(net.stats().buffers_lent > 0);
        dropped(&net, socket).await;
        dropped(&net, source).await;
        assert_eq!(net.stats().buffers_lent, 0);
        joined(writer).await;
    });
}

#[test]
fn a_socket_that_was_shut_down_closes() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        socket.arm();
        socket.shut_down();
        dropped(&net, socket).await;
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    });
}

#[test]
fn a_connect_in_flight_can_be_dropped() {
    rig::run(async |net| {
        let (listener, address) = rig::listener();
        for turns in [0, 1, 2, 3] {
            let mut connect = Box::pin(Socket::connect(&net, address));
            assert!(poll_once(&mut connect).await.is_none());
            for _ in 0..turns {
                yield_now().await;
            }
            drop(connect);
            rig::until(|| net.stats().sockets == 0).await;
        }
        drop(listener);
    });
}

#[test]
fn slots_are_used_again_and_belong_to_their_new_sockets() {
    rig::run(async |net| {
        for round in 0..200usize {
            let (socket, mut peer) = pair(&net);
            peer.write_all(&bytes_from(round as u64, round * 10)).unwrap();
            if round % 3 == 0 {
                socket.arm();
            }
            if round % 5 == 0 {
                socket.shut_down();
            }
            if round % 7 == 0 {
                yield_now().await;
            }
            if round % 4 == 0 {
                expect_bytes(&socket, round as u64, round * 10).await;
            }
        }
        rig::until(|| net.stats().sockets == 0).await;
    });
}

#[test]
fn a_receive_can_be_dropped_at_any_time_and_nothing_is_lost() {
    rig::run(async |net| {
        const LEN: usize = 2 << 20;
        let (socket, mut peer) = pair(&net);
        let writer = thread::spawn(move || {
            for at in (0..LEN).step_by(1000) {
                peer.write_all(&bytes_from(at as u64, 1000.min(LEN - at))).unwrap();
            }
        });
        let mut at = 0;
        while at < LEN as u64 {
            for _ in 0..at % 3 {
                if at < LEN as u64
                    && let Some(chunk) = poll_once(socket.receive()).await
                {
                    let chunk = chunk.unwrap().unwrap();
                    assert_eq!(&*chunk, bytes_from(at, chunk.len()));
                    at += chunk.len() as u64;
                }
                yield_now().await;
            }
            if at < LEN as u64 {
                let chunk = socket.receive().await.unwrap().unwrap();
                assert_eq!(&*chunk, bytes_from(at, chunk.len()));
                at += chunk.len() as u64;
            }
        }
        joined(writer).await;
    });
}

#[test]
fn a_send_that_nobody_waits_for_any_more_is_sent_before_the_next() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        let mut at = 0;
        let reader = thread::spawn(move || {
            rig::rest(Duration::from_millis(50));
            let mut got = Vec::new();
            peer.read_to_end(&mut got).unwrap();
            got
        });
        for len in [10, 8 << 20, 5, 1 << 20, 1] {
            socket.flush().await.unwrap();
            let mut outgoing = net.outgoing();
            outgoing.bytes().extend(bytes_from(at, len));
            let _ = poll_once(socket.send(outgoing)).await;
            at += len as u64;
            if len > 1 << 20 {
                // One that never began is not sent.
                let mut never = net.outgoing();
                never.bytes().extend_from_slice(b"never");
                assert!(poll_once(socket.send(never)).await.is_none());
                assert!(socket.take_sent().is_none(), "the kernel has it");
            }
        }
        socket.flush().await.unwrap();
        socket.shut_down();
        let got = joined(reader).await;
        assert!(got == bytes_from(0, at as usize));
    });
}

#[test]
fn both_directions_can_be_dropped_and_used_again() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        assert!(poll_once(socket.receive()).await.is_none());
        let mut outgoing = net.outgoing();
        outgoing.bytes().extend_from_slice(b"hello");
        let _ = poll_once(socket.send(outgoing)).await;
        socket.detach();
        let mut got = [0; 5];
        rig::let_be(Duration::from_millis(5)).await;
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
        peer.write_all(&bytes_from(0, 100)).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        expect_bytes(&socket, 0, 100).await;
        assert!(socket.receive().await.unwrap().is_none());
    });
}
