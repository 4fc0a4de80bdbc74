//! Sessions against an ordinary rustls peer, on either side.

use std::io::{Read, Write};
use std::rc::Rc;

use proptest::prelude::*;
use rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
use rustls::{ClientConnection, Connection as Peer, ServerConnection, SupportedCipherSuite};

use super::*;
use crate::net::Net;
use crate::net::limits::BUFFER_BYTES;
use crate::tls::testing::configs;

/// Which side ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ours {
    Client,
    Server,
}

/// A session and its peer, with a wire between them.
struct Pair {
    net: Rc<Net>,
    session: Session,
    peer: Peer,
    clear: VecDeque<Chunk>,
    out: Vec<u8>,
    scratch: Vec<u8>,
    /// Sizes of the pieces that the wire carries to us, in turn.
    pieces: Vec<usize>,
    turn: usize,
    /// Received in lent buffers, as a socket does; else in other memory.
    lent: bool,
}

impl Pair {
    fn new(ours: Ours, suite: SupportedCipherSuite, pieces: Vec<usize>, lent: bool) -> Self {
        let (client, server) = configs(&[suite.version()], vec![suite]);
        let name = ServerName::try_from("one.test").unwrap();
        let (session, peer) = match ours {
            Ours::Client => {
                (Session::client(client, name).unwrap(), ServerConnection::new(server).unwrap().into())
            }
            Ours::Server => {
                (Session::server(server).unwrap(), ClientConnection::new(client, name).unwrap().into())
            }
        };
        let mut pair = Self {
            net: Net::new().unwrap(),
            session,
            peer,
            clear: VecDeque::new(),
            out: Vec::new(),
            scratch: Vec::new(),
            pieces,
            turn: 0,
            lent,
        };
        if ours == Ours::Client {
            pair.session.start(&mut pair.out).unwrap();
        }
        pair
    }

    /// Shaken hands.
    fn ready(ours: Ours, suite: SupportedCipherSuite, pieces: Vec<usize>, lent: bool) -> Self {
        let mut pair = Self::new(ours, suite, pieces, lent);
        pair.settle().unwrap();
        assert!(!pair.session.is_handshaking() && !pair.peer.is_handshaking());
        assert!(!pair.session.careful, "after the handshake records are looked at one by one");
        pair
    }

    /// Carries bytes both ways until nobody has any.
    fn settle(&mut self) -> Result<(), Error> {
        loop {
            let mut moved = false;
            let mut to_peer = &std::mem::take(&mut self.out)[..];
            while !to_peer.is_empty() {
                moved = true;
                self.peer.read_tls(&mut to_peer).unwrap();
                self.peer.process_new_packets().unwrap();
                self.drain_peer();
            }
            let mut to_us = Vec::new();
            while self.peer.wants_write() {
                self.peer.write_tls(&mut to_us).unwrap();
            }
            moved |= !to_us.is_empty();
            self.deliver(&to_us)?;
            if !moved && self.out.is_empty() {
                return Ok(());
            }
        }
    }

    /// The wire's pieces to us.
    fn deliver(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let len = self.pieces[self.turn % self.pieces.len()].clamp(1, BUFFER_BYTES).min(bytes.len());
            self.turn += 1;
            let chunk = match self.lent {
                true => self.net.received(&bytes[..len]),
                false => Chunk::from(Bytes::copy_from_slice(&bytes[..len])),
            };
            bytes = &bytes[len..];
            self.session.receive(chunk, &mut self.clear, &mut self.out)?;
            let bound = if self.session.careful { HANDSHAKE_BYTES_MAX } else { HEADER + BODY_MAX };
            assert!(self.session.gathered.len() <= bound);
        }
        Ok(())
    }

    fn drain_peer(&mut self) {
        PEER_GOT.with_borrow_mut(|got| {
            // An error here is that there is nothing now.
            let _ = self.peer.reader().read_to_end(got);
        });
    }

    fn got(&mut self) -> Vec<u8> {
        let got = self.clear.iter().flat_map(|chunk| chunk.to_vec()).collect();
        self.clear.clear();
        got
    }

    fn send(&mut self, pieces: &[&[u8]]) -> Result<(), Error> {
        self.session.encipher(pieces.iter().copied(), &mut self.scratch, &mut self.out)
    }
}

thread_local! {
    static PEER_GOT: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn peer_got() -> Vec<u8> {
    PEER_GOT.take()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..251).map(|n: u8| n.wrapping_mul(31)).cycle().take(len).collect()
}

const OURS: [Ours; 2] = [Ours::Client, Ours::Server];
/// A record of its own, one that is as long as they may be, one byte more.
const LENS: [usize; 7] = [1, 2, 100, 5000, RECORD_CLEAR_MAX - 1, RECORD_CLEAR_MAX, RECORD_CLEAR_MAX + 1];

#[test]
fn every_suite_carries_every_length_both_ways() {
    for suite in ALL_CIPHER_SUITES {
        // The certificate in these tests has an ECDSA key.
        if format!("{:?}", suite.suite()).contains("RSA") {
            continue;
        }
        for (ours, lent) in [(OURS[0], true), (OURS[1], true), (OURS[0], false), (OURS[1], false)] {
            let mut pair = Pair::ready(ours, *suite, vec![BUFFER_BYTES], lent);
            for len in LENS {
                let bytes = bytes(len);
                pair.peer.writer().write_all(&bytes).unwrap();
                pair.settle().unwrap();
                assert_eq!(pair.got(), bytes, "{ours:?} {:?} {len}", suite.suite());
                pair.send(&[&bytes]).unwrap();
                pair.settle().unwrap();
                assert_eq!(peer_got(), bytes);
            }
            assert!(!pair.session.is_midway());
        }
    }
}

fn suite(tls13: bool) -> SupportedCipherSuite {
    let versions = ALL_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_some() == tls13);
    let mut ecdsa = versions.filter(|suite| !format!("{:?}", suite.suite()).contains("RSA"));
    *ecdsa.next().unwrap()
}

#[test]
fn bytes_may_be_split_anywhere() {
    for (ours, tls13) in [(OURS[0], true), (OURS[1], true), (OURS[0], false), (OURS[1], false)] {
        // One handshake byte by byte; then three records, cut in two at every byte.
        let mut pair = Pair::ready(ours, suite(tls13), vec![1], true);
        pair.settle().unwrap();
        for cut in 0..3 * 30 + 60 {
            for len in [10, 40, 10] {
                pair.peer.writer().write_all(&bytes(len)).unwrap();
            }
            pair.pieces = vec![cut.max(1), BUFFER_BYTES];
            pair.turn = 0;
            pair.settle().unwrap();
            assert_eq!(pair.got(), [bytes(10), bytes(40), bytes(10)].concat(), "{ours:?} {cut}");
        }
    }
}

#[test]
fn records_of_one_chunk_are_one_chunk_of_clear_bytes() {
    let mut pair = Pair::ready(Ours::Server, suite(true), vec![BUFFER_BYTES], true);
    for len in [1, 700, 3] {
        pair.peer.writer().write_all(&bytes(len)).unwrap();
    }
    pair.settle().unwrap();
    assert_eq!(pair.clear.len(), 1);
    assert!(format!("{:?}", pair.clear[0]).contains("of buffer"), "it is the receive buffer itself");
    assert_eq!(pair.got(), [bytes(1), bytes(700), bytes(3)].concat());
    assert_eq!(pair.net.stats().buffers_lent, 0);
}

#[test]
fn small_pieces_that_stand_together_become_one_record() {
    let mut pair = Pair::ready(Ours::Server, suite(true), vec![BUFFER_BYTES], true);
    let long = bytes(RECORD_CLEAR_MAX);
    pair.send(&[b"5\r\n", b"", b"hello", b"\r\n"]).unwrap();
    assert_eq!(pair.out.len(), 10 + HEADER + 1 + TAG);
    pair.send(&[b"4000\r\n", &long, b"\r\n", b""]).unwrap();
    assert_eq!(pair.out.len(), 10 + 8 + RECORD_CLEAR_MAX + 3 * (HEADER + 1 + TAG));
    pair.settle().unwrap();
    assert_eq!(peer_got(), [b"5\r\nhello\r\n4000\r\n", &long[..], b"\r\n"].concat());
}

#[test]
fn keys_are_updated_by_either_side() {
    for ours in OURS {
        let mut pair = Pair::ready(ours, suite(true), vec![7, 100], true);
        for _ in 0..3 {
            pair.peer.refresh_traffic_keys().unwrap();
            pair.peer.writer().write_all(b"under new keys").unwrap();
            pair.settle().unwrap();
            assert_eq!(pair.got(), b"under new keys");
            // Our answer to it goes with what we send next.
            pair.send(&[b"answer"]).unwrap();
            pair.settle().unwrap();
            assert_eq!(peer_got(), b"answer");
        }
    }
}

#[test]
fn either_side_may_close_and_the_other_go_on() {
    for (ours, tls13) in [(OURS[0], true), (OURS[1], true), (OURS[0], false), (OURS[1], false)] {
        let mut pair = Pair::ready(ours, suite(tls13), vec![3], true);
        pair.peer.writer().write_all(b"last words").unwrap();
        pair.peer.send_close_notify();
        pair.settle().unwrap();
        assert_eq!(pair.got(), b"last words");
        assert!(pair.session.peer_closed());
        pair.send(&[b"still here"]).unwrap();
        pair.session.close(&mut pair.out);
        pair.session.close(&mut pair.out);
        pair.settle().unwrap();
        assert_eq!(peer_got(), b"still here");
        assert!(pair.peer.process_new_packets().unwrap().peer_has_closed());
        assert!(pair.send(&[b"too late"]).is_err());
        assert!(pair.out.is_empty());

        let mut pair = Pair::ready(ours, suite(tls13), vec![BUFFER_BYTES], true);
        pair.session.close(&mut pair.out);
        pair.settle().unwrap();
        pair.peer.writer().write_all(b"still here").unwrap();
        pair.settle().unwrap();
        assert_eq!(pair.got(), b"still here", "half closed");
        assert!(!pair.session.peer_closed());
    }
}

#[test]
fn what_follows_a_close_is_ignored() {
    let mut pair = Pair::ready(Ours::Server, suite(true), vec![BUFFER_BYTES], true);
    pair.peer.send_close_notify();
    pair.settle().unwrap();
    pair.deliver(b"garbage that is no record at all").unwrap();
    assert!(pair.session.peer_closed() && pair.out.is_empty() && !pair.session.is_midway());
}

#[test]
fn closing_within_a_handshake_says_nothing() {
    let mut pair = Pair::new(Ours::Server, suite(true), vec![BUFFER_BYTES], true);
    pair.session.close(&mut pair.out);
    assert!(pair.out.is_empty());
    assert!(pair.send(&[b"too early"]).is_err());
}

/// An alert's description, of a plaintext record.
fn alert(out: &[u8]) -> u8 {
    assert_eq!((out.len(), out[0], out[5]), (7, 21, 2), "{out:?}");
    out[6]
}

#[test]
fn garbage_is_answered_by_an_alert_and_ends_it() {
    for (garbage, description) in [
        (&b"\x47ET / HTTP/1.1\r\n\r\n"[..], 50), // decode_error
        (b"\x16\x03\x01\xff\xff\x01", 50),
        (b"\x17\x03\x01\x00\x01x", 10), // unexpected_message
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 50),
    ] {
        let mut pair = Pair::new(Ours::Server, suite(true), vec![BUFFER_BYTES], true);
        pair.deliver(garbage).unwrap_err();
        assert_eq!(alert(&pair.out), description, "{garbage:?}");
        let len = pair.out.len();
        pair.deliver(b"more").unwrap_err();
        assert_eq!(pair.out.len(), len);
        assert!(!pair.session.is_midway());
    }
}

#[test]
fn a_record_that_was_tampered_with_ends_it() {
    for (ours, tls13) in [(OURS[0], true), (OURS[1], true), (OURS[0], false), (OURS[1], false)] {
        let mut pair = Pair::ready(ours, suite(tls13), vec![BUFFER_BYTES], true);
        pair.peer.writer().write_all(b"fine").unwrap();
        pair.peer.writer().write_all(b"not so").unwrap();
        let mut wire = Vec::new();
        pair.peer.write_tls(&mut wire).unwrap();
        *wire.last_mut().unwrap() ^= 1;
        pair.deliver(&wire).unwrap_err();
        assert_eq!(pair.got(), b"fine");
        assert!(!pair.out.is_empty(), "an alert");
        assert!(pair.send(&[b"x"]).is_err());
        let mut alert = &pair.out[..];
        pair.peer.read_tls(&mut alert).unwrap();
        assert!(matches!(
            pair.peer.process_new_packets(),
            Err(Error::AlertReceived(rustls::AlertDescription::BadRecordMac))
        ));
    }
}

#[test]
fn a_handshake_message_without_end_is_not_gathered_without_end() {
    let mut pair = Pair::new(Ours::Server, suite(true), vec![BUFFER_BYTES], true);
    // A ClientHello of 60,000 bytes, in records of a byte each.
    let mut flood = vec![0x16, 3, 1, 0, 4, 1, 0, 0xea, 0x60];
    for _ in 0..59_000 {
        flood.extend_from_slice(&[0x16, 3, 1, 0, 1, 0]);
    }
    pair.deliver(&flood).unwrap_err();
}

#[test]
fn nothing_is_sent_while_a_handshake_message_is_half_there() {
    let mut pair = Pair::new(Ours::Server, suite(true), vec![BUFFER_BYTES], true);
    let mut hello = Vec::new();
    pair.peer.write_tls(&mut hello).unwrap();
    let (first, second) = hello[HEADER..].split_at(50);
    pair.deliver(&[&[0x16, 3, 1, 0, 50], first].concat()).unwrap();
    assert!(pair.send(&[b"too early"]).is_err());
    pair.session.close(&mut pair.out);
    assert!(pair.out.is_empty() && pair.session.is_midway());
    let len = u16::try_from(second.len()).unwrap().to_be_bytes();
    pair.deliver(&[&[0x16, 3, 1], &len[..], second].concat()).unwrap();
    pair.settle().unwrap();
    assert!(!pair.session.is_handshaking());

    // Another record within a message is an error, which finds it half there.
    let mut pair = Pair::new(Ours::Server, suite(true), vec![BUFFER_BYTES], true);
    pair.deliver(&[&[0x16, 3, 1, 0, 50], first].concat()).unwrap();
    pair.deliver(&[0x15, 3, 1, 0, 2, 1, 0]).unwrap_err();
    assert!(pair.send(&[b"x"]).is_err());
}

#[test]
fn a_handshake_message_may_span_records_after_the_handshake_too() {
    // In clear (no suite protects it) this is about who gathers what; a KeyUpdate in two records comes from a peer made by
    // hand, so the boundary is forced here: careful mode with a begin of a record behind whole ones.
    let mut pair = Pair::ready(Ours::Server, suite(true), vec![BUFFER_BYTES], true);
    pair.session.careful = true;
    pair.peer.writer().write_all(&bytes(300)).unwrap();
    pair.peer.writer().write_all(&bytes(20)).unwrap();
    pair.pieces = vec![330, 5, 3, 1];
    pair.settle().unwrap();
    assert_eq!(pair.got(), [bytes(300), bytes(20)].concat());
    assert!(!pair.session.careful);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_arrive_whatever_the_pieces(
        server: bool,
        tls13: bool,
        lent: bool,
        pieces in prop::collection::vec(1..3000usize, 1..6),
        messages in prop::collection::vec((0..40_000usize, any::<bool>(), 1..5usize), 1..8),
    ) {
        let ours = if server { Ours::Server } else { Ours::Client };
        let mut pair = Pair::ready(ours, suite(tls13), pieces, lent);
        for (len, from_peer, parts) in messages {
            let bytes = bytes(len);
            if from_peer {
                for part in bytes.chunks(len / parts + 1) {
                    pair.peer.writer().write_all(part).unwrap();
                    pair.settle().unwrap();
                }
                prop_assert_eq!(pair.got(), bytes);
            } else {
                let parts: Vec<&[u8]> = bytes.chunks(len / parts + 1).collect();
                pair.send(&parts).unwrap();
                pair.settle().unwrap();
                prop_assert_eq!(peer_got(), bytes);
            }
        }
        prop_assert_eq!(pair.net.stats().buffers_lent, 0);
    }
}
