//! Bytes, ends and errors of one socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Type};

use super::rig::{self, bytes_from, expect_bytes, joined, pair};
use crate::net::limits::{BUFFER_BYTES, CHUNKS_QUEUED_MAX};
use crate::net::{Outgoing, Socket};

#[test]
fn bytes_arrive_in_order_whatever_the_sizes() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        let sizes = [1, 7, 100, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 65_536, 3, 200_000, 1];
        let writer = thread::spawn(move || {
            let mut at = 0;
            for size in sizes {
                peer.write_all(&bytes_from(at, size)).unwrap();
                at += size as u64;
                rig::rest(Duration::from_millis(2));
            }
        });
        expect_bytes(&socket, 0, sizes.iter().sum()).await;
        assert!(socket.receive().await.unwrap().is_none());
        assert!(socket.receive().await.unwrap().is_none(), "the end stays the end");
        assert!(socket.is_ended() && !socket.is_fresh());
        joined(writer).await;
    });
}

#[test]
fn a_send_of_many_parts_arrives_whole_and_in_order() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        SockRef::from(&socket.fd()).set_send_buffer_size(8 << 10).unwrap();
        let peer = thread::spawn(move || {
            let mut sent = Vec::new();
            for n in 0..400usize {
                let bytes = bytes_from(sent.len() as u64, n * 97 % 20_000);
                peer.write_all(&bytes).unwrap();
                sent.extend(bytes);
            }
            peer.shutdown(Shutdown::Write).unwrap();
            let mut back = Vec::new();
            peer.read_to_end(&mut back).unwrap();
            (sent, back)
        });
        // Everything that came goes back, with a mark before each chunk.
        let mut expected = Vec::new();
        let mut outgoing = net.outgoing();
        while let Some(chunk) = socket.receive().await.unwrap() {
            let mark = format!("<{}>", chunk.len());
            outgoing.bytes().extend_from_slice(mark.as_bytes());
            expected.extend_from_slice(mark.as_bytes());
            expected.extend_from_slice(&chunk);
            outgoing.push_chunk(chunk);
            if outgoing.is_full() {
                let len = outgoing.len();
                let (result, sent) = socket.send(outgoing).await;
                result.unwrap();
                let sent = sent.unwrap();
                assert_eq!((sent.sent(), sent.len()), (len, len));
                net.recycle(sent);
                outgoing = net.outgoing();
                assert!(outgoing.is_empty() && outgoing.sent() == 0);
            }
        }
        outgoing.bytes().extend_from_slice(b"end");
        expected.extend_from_slice(b"end");
        socket.post(outgoing).await.unwrap();
        socket.flush().await.unwrap();
        socket.shut_down();
        let (sent, back) = joined(peer).await;
        assert!(sent.len() > 1 << 20);
        assert!(back == expected);
    });
}

#[test]
fn what_was_sent_comes_back_and_can_be_sent_again() {
    rig::run(async |net| {
        let (first, mut first_peer) = pair(&net);
        let (second, mut second_peer) = pair(&net);
        first_peer.write_all(&bytes_from(0, 5000)).unwrap();
        let chunk = first.receive().await.unwrap().unwrap();
        let mut outgoing = Outgoing::default();
        outgoing.bytes().extend_from_slice(b"head ");
        let mut expected = b"head ".to_vec();
        expected.extend_from_slice(&chunk);
        outgoing.push_chunk(chunk);
        first.post(outgoing).await.unwrap();
        first.flush().await.unwrap();
        let mut outgoing = first.take_sent().unwrap();
        outgoing.rewind();
        second.send(outgoing).await.0.unwrap();
        for peer in [&mut first_peer, &mut second_peer] {
            let mut got = vec![0; expected.len()];
            peer.read_exact(&mut got).unwrap();
            assert!(got == expected);
        }
    });
}

#[test]
fn nothing_to_send_is_sent_at_once() {
    rig::run(async |net| {
        let (socket, _peer) = pair(&net);
        socket.send(net.outgoing()).await.0.unwrap();
    });
}

#[test]
fn each_side_can_end_and_the_other_goes_on() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        peer.shutdown(Shutdown::Write).unwrap();
        assert!(socket.receive().await.unwrap().is_none());
        let mut outgoing = net.outgoing();
        outgoing.bytes().extend_from_slice(b"after the end");
        socket.send(outgoing).await.0.unwrap();
        socket.shut_down();
        let reader = thread::spawn(move || {
            let mut got = String::new();
            peer.read_to_string(&mut got).unwrap();
            got
        });
        assert_eq!(joined(reader).await, "after the end");

        let (socket, mut peer) = pair(&net);
        socket.shut_down();
        let peer = thread::spawn(move || {
            assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
            peer.write_all(&bytes_from(0, 40_000)).unwrap();
        });
        expect_bytes(&socket, 0, 40_000).await;
        assert!(socket.receive().await.unwrap().is_none());
        joined(peer).await;
    });
}

fn reset(peer: TcpStream) {
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
}

#[test]
fn a_reset_is_an_error() {
    rig::run(async |net| {
        let (socket, peer) = pair(&net);
        socket.arm();
        assert!(socket.is_fresh());
        reset(peer);
        assert_eq!(socket.receive().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(socket.is_ended() && !socket.is_fresh());
        let mut outgoing = net.outgoing();
        outgoing.bytes().push(1);
        let (result, back) = socket.send(outgoing).await;
        assert!(matches!(result.unwrap_err().kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
        assert_eq!(back.unwrap().sent(), 0);
        assert!(socket.flush().await.is_err(), "the error stays");
    });
}

#[test]
fn a_reset_ends_a_send_that_waits() {
    rig::run(async |net| {
        let (socket, peer) = pair(&net);
        let peer = thread::spawn(move || {
            rig::rest(Duration::from_millis(100));
            reset(peer);
        });
        let mut outgoing = net.outgoing();
        outgoing.bytes().resize(32 << 20, 7);
        let (result, back) = socket.send(outgoing).await;
        assert!(matches!(result.unwrap_err().kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
        assert!(back.unwrap().sent() < 32 << 20);
        joined(peer).await;
    });
}

#[test]
fn a_close_can_be_a_reset() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        socket.reset_on_close();
        drop(socket);
        rig::until(|| net.stats().sockets == 0).await;
        assert_eq!(peer.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_connection_can_be_made() {
    rig::run(async |net| {
        let (listener, address) = rig::listener();
        let socket = Socket::connect(&net, address).await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(&bytes_from(0, 10)).unwrap();
        expect_bytes(&socket, 0, 10).await;
    });
}

#[test]
fn a_refused_connection_is_an_error() {
    rig::run(async |net| {
        let (listener, address) = rig::listener();
        drop(listener);
        let error = Socket::connect(&net, address).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// A listener that answers nobody any more, with what keeps it so.
fn black_hole() -> (SocketAddr, impl Sized) {
    let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut crowd = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        crowd.push(stream);
        assert!(crowd.len() < 64, "the backlog has an end");
    }
    (address, (listener, crowd))
}

#[test]
fn a_connection_that_is_not_answered_can_be_given_up() {
    rig::run(async |net| {
        let (address, _kept) = black_hole();
        let timer = net.timer();
        timer.set(net.now() + Duration::from_millis(100));
        assert!(timer.within(Socket::connect(&net, address)).await.is_err());
        rig::until(|| net.stats().sockets == 0).await;
    });
}

#[test]
fn a_reader_that_pauses_bounds_what_is_queued_and_loses_nothing() {
    rig::run(async |net| {
        const LEN: usize = 8 << 20;
        let (socket, mut peer) = pair(&net);
        let writer = thread::spawn(move || peer.write_all(&bytes_from(0, LEN)).unwrap());
        let mut at = 0;
        let mut most = 0;
        while at < LEN as u64 {
            let chunk = socket.receive().await.unwrap().unwrap();
            assert_eq!(&*chunk, bytes_from(at, chunk.len()));
            at += chunk.len() as u64;
            if at.is_multiple_of(5) {
                rig::let_be(Duration::from_millis(5)).await;
            }
            most = most.max(net.stats().buffers_lent);
        }
        // What the kernel has received by the time of the pause comes too: it takes some dozens in one go.
        assert!(most <= CHUNKS_QUEUED_MAX + 256, "{most} buffers");
        joined(writer).await;
    });
}
