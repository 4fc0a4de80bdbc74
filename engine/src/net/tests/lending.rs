//! Chunks and buffers: each given back once, and what happens when they run out.

use std::cell::RefCell;
use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::rig::{self, bytes_from, expect_bytes, joined, pair};
use crate::net::limits::{
    BUFFERS_MAX, BUFFERS_STEP, CHUNKS_QUEUED_MAX, LARGE_BUFFER_BYTES, LARGE_BUFFERS_MAX,
};
use crate::net::{Chunk, Net, Socket};

#[test]
fn a_buffer_comes_back_when_the_last_piece_of_it_is_dropped() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        let bytes = bytes_from(0, 4000);
        peer.write_all(&bytes).unwrap();
        let mut rest = socket.receive().await.unwrap().unwrap();
        assert_eq!(rest.len(), 4000);
        let lent = || net.stats().buffers_lent;
        assert_eq!(lent(), 1);
        let head = rest.split_to(1000);
        let mut middle = rest.split_to(1500);
        let copy = middle.clone();
        middle.advance(100);
        rest.truncate(1000);
        assert_eq!(&*head, &bytes[..1000]);
        assert_eq!(&*middle, &bytes[1100..2500]);
        assert_eq!(&*copy, &bytes[1000..2500]);
        assert_eq!(&*rest, &bytes[2500..3500]);
        drop(head);
        drop(middle);
        drop(rest);
        assert_eq!(lent(), 1);
        drop(copy);
        assert_eq!(lent(), 0);
    });
}

#[test]
fn a_chunk_cannot_be_made_longer_than_it_is() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        peer.write_all(&bytes_from(0, 10)).unwrap();
        let mut chunk = socket.receive().await.unwrap().unwrap();
        chunk.truncate(usize::MAX);
        assert_eq!(chunk.len(), 10);
        let mut all = chunk.split_to(11);
        assert_eq!((all.len(), chunk.len()), (10, 0));
        chunk.advance(1);
        chunk.truncate(5);
        assert!(chunk.is_empty());
        all.advance(usize::MAX);
        assert!(all.is_empty());
        assert!(all.split_to(3).is_empty());
    });
}

#[test]
fn bytes_are_changed_where_they_are_by_their_only_reader_alone() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        let bytes = bytes_from(0, 100);
        peer.write_all(&bytes).unwrap();
        let mut chunk = socket.receive().await.unwrap().unwrap();
        let copy = chunk.clone();
        assert!(chunk.unique().is_none(), "another reads them");
        drop(copy);
        chunk.advance(10);
        chunk.unique().unwrap()[0] = !bytes[10];
        assert_eq!((chunk[0], &chunk[1..]), (!bytes[10], &bytes[11..]));
    });
}

#[test]
fn a_chunk_may_be_of_other_memory() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        let bytes = bytes::Bytes::from(bytes_from(0, 20_000));
        let mut rest = Chunk::from(bytes.slice(100..));
        drop(bytes);
        assert!(rest.unique().is_none(), "it may be shared");
        let head = rest.split_to(9_900);
        assert_eq!((&*head, &*rest), (&bytes_from(100, 9_900)[..], &bytes_from(10_000, 10_000)[..]));
        let mut outgoing = net.outgoing();
        outgoing.push_chunk(head);
        outgoing.push_chunk(rest);
        let reader = std::thread::spawn(move || {
            let mut read = vec![0; 19_900];
            std::io::Read::read_exact(&mut peer, &mut read).unwrap();
            read
        });
        socket.send(outgoing).await.0.unwrap();
        assert_eq!(joined(reader).await, bytes_from(100, 19_900));
        assert_eq!(net.stats().buffers_lent, 0);
    });
}

#[test]
fn a_small_chunk_is_copied_and_a_large_one_is_lent_until_it_is_sent() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        peer.write_all(&bytes_from(0, 100)).unwrap();
        let small = socket.receive().await.unwrap().unwrap();
        peer.write_all(&bytes_from(100, 4000)).unwrap();
        let large = socket.receive().await.unwrap().unwrap();
        let mut outgoing = net.outgoing();
        outgoing.push_chunk(small);
        assert_eq!(net.stats().buffers_lent, 1);
        outgoing.push_chunk(large);
        assert_eq!((outgoing.len(), net.stats().buffers_lent), (4100, 1));
        socket.send(outgoing).await.0.unwrap();
        assert_eq!(net.stats().buffers_lent, 0, "what was sent came back and was dropped");
    });
}

#[test]
fn chunks_outlive_their_socket() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        peer.write_all(&bytes_from(0, 5000)).unwrap();
        let chunk = socket.receive().await.unwrap().unwrap();
        drop(socket);
        rig::until(|| net.stats().sockets == 0).await;
        let (other, mut other_peer) = pair(&net);
        other_peer.write_all(&bytes_from(7, 400_000)).unwrap();
        expect_bytes(&other, 7, 400_000).await;
        assert_eq!(&*chunk, bytes_from(0, chunk.len()));
    });
}

#[test]
fn a_stream_that_fills_its_buffers_gets_large_ones_until_it_no_longer_does() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        let (more, wanted) = std::sync::mpsc::channel();
        let writer = thread::spawn(move || {
            peer.write_all(&bytes_from(0, 4 << 20)).unwrap();
            for (at, byte) in bytes_from(4 << 20, 20).into_iter().enumerate() {
                wanted.recv().unwrap();
                peer.write_all(&[byte]).unwrap_or_else(|error| panic!("byte {at}: {error}"));
            }
        });
        let (mut at, mut largest) = (0, 0);
        while at < 4 << 20 {
            let chunk = socket.receive().await.unwrap().unwrap();
            assert_eq!(&*chunk, bytes_from(at, chunk.len()));
            (at, largest) = (at + chunk.len() as u64, largest.max(chunk.len()));
            rig::let_be(Duration::from_millis(1)).await;
        }
        assert_eq!(largest, LARGE_BUFFER_BYTES);
        let before = net.stats().buffers;
        assert!(before > BUFFERS_STEP, "large ones were made when they were wanted");
        for _ in 0..20 {
            more.send(()).unwrap();
            let chunk = socket.receive().await.unwrap().unwrap();
            assert_eq!(&*chunk, bytes_from(at, 1));
            at += 1;
        }
        assert_eq!(net.stats().buffers, before);
        joined(writer).await;
    });
}

const HOARDERS: usize = 12;
/// All buffers that there can be.
const ALL: usize = BUFFERS_MAX + LARGE_BUFFERS_MAX;
/// More than the buffers that one of them can get.
const HOARD: usize = 16 << 20;

struct Hoarder {
    socket: Rc<Socket>,
    chunks: Rc<RefCell<Vec<Chunk>>>,
    writer: JoinHandle<()>,
}

fn write_hoard(mut peer: TcpStream) {
    peer.write_all(&bytes_from(0, HOARD)).unwrap();
}

/// Sockets whose tasks keep every chunk that they get, until there is no buffer left.
async fn hoard(net: &Rc<Net>) -> Vec<Hoarder> {
    let hoarders: Vec<Hoarder> = (0..HOARDERS)
        .map(|_| {
            let (socket, peer) = pair(net);
            let hoarder = Hoarder {
                socket: Rc::new(socket),
                chunks: Rc::default(),
                writer: thread::spawn(move || write_hoard(peer)),
            };
            let (socket, chunks) = (hoarder.socket.clone(), hoarder.chunks.clone());
            glommio::spawn_local(async move {
                let mut len = 0;
                while len < HOARD {
                    let chunk = socket.receive().await.unwrap().unwrap();
                    len += chunk.len();
                    chunks.borrow_mut().push(chunk);
                }
            })
            .detach();
            hoarder
        })
        .collect();
    assert_eq!(net.stats().buffers_exhausted, 0);
    rig::until(|| net.stats().buffers_lent == ALL).await;
    rig::let_be(Duration::from_millis(100)).await;
    hoarders
}

#[test]
fn when_buffers_run_out_sockets_wait_and_all_go_on_afterwards() {
    rig::run(async |net| {
        assert_eq!(net.stats().buffers, BUFFERS_STEP);
        let hoarders = hoard(&net).await;
        let stats = net.stats();
        assert_eq!((stats.buffers, stats.buffers_lent), (ALL, ALL));
        assert!(stats.buffers_exhausted >= HOARDERS as u64, "{stats:?}");
        // One whose chunks come only now has to wait like the others.
        let (late, mut late_peer) = pair(&net);
        late_peer.write_all(&bytes_from(3, 1000)).unwrap();
        late.arm();
        rig::let_be(Duration::from_millis(50)).await;
        assert!(late.try_receive().is_none());
        let mut at = [0u64; HOARDERS];
        while at.iter().any(|at| *at < HOARD as u64) {
            for (hoarder, at) in hoarders.iter().zip(&mut at) {
                for chunk in hoarder.chunks.take() {
                    assert_eq!(&*chunk, bytes_from(*at, chunk.len()));
                    *at += chunk.len() as u64;
                }
            }
            rig::let_be(Duration::from_millis(2)).await;
        }
        expect_bytes(&late, 3, 1000).await;
        for hoarder in hoarders {
            joined(hoarder.writer).await;
        }
    });
}

#[test]
fn a_socket_that_waits_for_buffers_goes_on_even_if_the_driver_had_slept() {
    rig::run(async |net| {
        let (late, mut late_peer) = pair(&net);
        let hoarders = hoard(&net).await;
        late_peer.write_all(&bytes_from(3, 1000)).unwrap();
        late.arm();
        rig::let_be(Duration::from_millis(200)).await;
        // Nothing but the drop of chunks tells that there are buffers again.
        hoarders[0].chunks.borrow_mut().truncate(CHUNKS_QUEUED_MAX);
        rig::until(|| late.try_receive().is_some()).await;
        for hoarder in &hoarders {
            hoarder.socket.reset_on_close();
        }
        end(&net, hoarders).await;
    });
}

#[test]
fn a_socket_that_waits_for_buffers_closes_when_it_is_dropped() {
    rig::run(async |net| {
        let hoarders = hoard(&net).await;
        let (late, mut late_peer) = pair(&net);
        late_peer.write_all(&bytes_from(3, 1000)).unwrap();
        late.arm();
        rig::let_be(Duration::from_millis(50)).await;
        let name = rig::name_of(&late);
        drop(late);
        rig::until(|| !rig::is_open(&name)).await;
        // Its slot is another's now, which nothing of it disturbs.
        let (other, mut other_peer) = pair(&net);
        hoarders[0].chunks.borrow_mut().truncate(1);
        other_peer.write_all(&bytes_from(0, 100_000)).unwrap();
        expect_bytes(&other, 0, 100_000).await;
        end(&net, hoarders).await;
    });
}

/// Lets hoarders read what is left for them.
async fn end(net: &Rc<Net>, hoarders: Vec<Hoarder>) {
    while !hoarders.iter().all(|hoarder| hoarder.writer.is_finished()) || net.stats().buffers_lent > 0 {
        hoarders.iter().for_each(|hoarder| hoarder.chunks.borrow_mut().clear());
        rig::let_be(Duration::from_millis(2)).await;
    }
}
