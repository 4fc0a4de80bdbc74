//! Random operations on real sockets, checked against a model: bytes arrive unchanged and in order, nobody waits who
//! could go on, a lent buffer is never written, and everything comes back.
//!
//! One task plays both sides: sockets on the ring, and peers that are non-blocking sockets of the standard library. A
//! future is polled only when it has been woken, so a lost wake shows as a wait in vain. What is done next comes from a
//! list of bytes: random ones in the test here, those of the fuzzer in the fuzz target `ring`.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_lite::future::yield_now;
use socket2::SockRef;

use super::rig::{self, byte_at, bytes_from};
use crate::net::{Chunk, Net, Outgoing, Socket};

/// Connections at a time.
const LINKS: usize = 5;
/// Chunks that are kept for a while.
const HELD_MAX: usize = 24;
/// Bytes on their way to a peer at most, so that the model stays small.
const UNREAD_MAX: usize = 4 << 20;

/// Does what `choices` say, then lets everything come to its end.
pub async fn simulate(net: Rc<Net>, choices: Vec<u8>) {
    let mut choices = Choices { bytes: choices.into_iter() };
    let mut world = World { links: (0..LINKS).map(|_| Link::new(&net)).collect(), held: Vec::new(), net };
    while let Some(choice) = choices.bytes.next() {
        world.step(choice, &mut choices).await;
    }
    for link in &mut world.links {
        link.settle().await;
    }
    world.held.drain(..).for_each(Held::check);
}

struct Choices {
    bytes: std::vec::IntoIter<u8>,
}

impl Choices {
    fn byte(&mut self) -> usize {
        usize::from(self.bytes.next().unwrap_or(0))
    }

    /// Mostly small, sometimes larger than any buffer.
    fn size(&mut self) -> usize {
        let byte = self.byte();
        match byte % 8 {
            0..4 => byte + 1,
            4 | 5 => byte * 40,
            6 => byte * 300,
            _ => byte * 4000,
        }
    }
}

struct World {
    net: Rc<Net>,
    links: Vec<Link>,
    held: Vec<Held>,
}

/// A chunk kept, and what is in it.
struct Held {
    chunk: Chunk,
    bytes: Vec<u8>,
}

impl Held {
    fn new(chunk: Chunk) -> Self {
        Self { bytes: chunk.to_vec(), chunk }
    }

    fn check(self) {
        assert!(*self.chunk == *self.bytes, "a lent buffer was written");
    }
}

impl World {
    async fn step(&mut self, choice: u8, choices: &mut Choices) {
        let which = usize::from(choice >> 4) % LINKS;
        let link = &mut self.links[which];
        match choice & 15 {
            0 | 1 => link.peer_writes(choices.size()),
            2 | 3 => link.peer_reads(choices.size()),
            4 | 5 => link.start_receive(),
            6 => link.receive = None,
            7 | 8 => {
                let size = choices.size();
                let chunks = self.held.len().min(choices.byte() % 6);
                link.start_send(&self.net, size, self.held.drain(..chunks));
            }
            9 => link.drop_send(),
            10 => self.divide(choices.byte(), choices.byte()),
            11 => {
                let chunk = link.socket.try_receive();
                self.keep(which, chunk);
            }
            12 => link.end(choices.byte()),
            13 => {
                if choices.byte() < 64 {
                    let fresh = Link::new(&self.net);
                    std::mem::replace(link, fresh).leave();
                }
            }
            14 => match choices.byte() {
                0..8 => rig::let_be(Duration::from_millis(40)).await,
                8..32 => rig::let_be(Duration::from_millis(2)).await,
                32..64 => self.net.wake_receivers(),
                64..128 => link.socket.arm(),
                _ => yield_now().await,
            },
            _ => yield_now().await,
        }
        for which in 0..LINKS {
            let chunk = self.links[which].poll();
            self.keep(which, chunk);
        }
    }

    /// Checks a chunk that a link received, and keeps it for a while.
    fn keep(&mut self, which: usize, chunk: Option<Chunk>) {
        let Some(chunk) = chunk else { return };
        self.links[which].check(&chunk);
        self.held.push(Held::new(chunk));
        if self.held.len() > HELD_MAX {
            self.held.swap_remove(which).check();
        }
    }

    fn divide(&mut self, which: usize, at: usize) {
        let Some(mut held) = self.held.pop() else { return };
        let at = at * 33;
        match which % 5 {
            0 => {
                let chunk = held.chunk.split_to(at);
                let rest = held.bytes.split_off(at.min(held.bytes.len()));
                self.held.push(Held { chunk, bytes: std::mem::replace(&mut held.bytes, rest) });
                self.held.push(held);
            }
            1 => {
                held.chunk.advance(at);
                held.bytes.drain(..at.min(held.bytes.len()));
                self.held.push(held);
            }
            2 => {
                held.chunk.truncate(at);
                held.bytes.truncate(at);
                self.held.push(held);
            }
            3 => self.held.push(Held { chunk: held.chunk.clone(), bytes: held.bytes }),
            _ => held.check(),
        }
    }
}

/// A future that is polled only when it was woken.
struct Woken<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    flag: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<T> Woken<T> {
    fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self { future: Box::pin(future), flag: Arc::new(Flag(AtomicBool::new(true))) }
    }

    fn poll(&mut self) -> Option<T> {
        if !self.flag.0.swap(false, Ordering::Relaxed) {
            return None;
        }
        let waker = Waker::from(self.flag.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}

type Received = std::io::Result<Option<Chunk>>;
type Sent = (std::io::Result<()>, Option<Outgoing>);

/// One connection: both its sides, and what is known of it.
struct Link {
    socket: Rc<Socket>,
    peer: Option<TcpStream>,
    /// Bytes that the peer wrote, and of these those that were received.
    written: u64,
    received: u64,
    /// Bytes sent that the peer has not read.
    unread: VecDeque<u8>,
    receive: Option<Woken<Received>>,
    send: Option<Woken<Sent>>,
    /// The send may be in flight although nobody waits for it: only a flush tells.
    unflushed: bool,
    shut_down: bool,
    peer_shut_down: bool,
    /// The peer has reset it: what is on the way may be lost.
    reset: bool,
    ended: bool,
}

impl Link {
    fn new(net: &Rc<Net>) -> Self {
        let (socket, peer) = rig::pair(net);
        peer.set_nonblocking(true).expect("a socket");
        SockRef::from(&socket.fd()).set_send_buffer_size(16 << 10).expect("a socket");
        Self {
            socket: Rc::new(socket),
            peer: Some(peer),
            written: 0,
            received: 0,
            unread: VecDeque::new(),
            receive: None,
            send: None,
            unflushed: false,
            shut_down: false,
            peer_shut_down: false,
            reset: false,
            ended: false,
        }
    }

    fn peer_writes(&mut self, len: usize) {
        let Some(peer) = self.peer.as_mut().filter(|_| !self.peer_shut_down) else { return };
        match peer.write(&bytes_from(self.written, len)) {
            Ok(written) => self.written += written as u64,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    fn peer_reads(&mut self, len: usize) {
        let Some(peer) = self.peer.as_mut() else { return };
        let mut buffer = vec![0; len.max(1)];
        match peer.read(&mut buffer) {
            Ok(0) => assert!(self.shut_down && self.unread.is_empty(), "an end that nobody made"),
            Ok(read) => {
                assert!(read <= self.unread.len(), "the peer got more than was sent");
                let expected: Vec<u8> = self.unread.drain(..read).collect();
                assert!(buffer[..read] == expected, "the peer got something else than was sent");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    fn start_receive(&mut self) {
        if self.receive.is_none() && !self.ended {
            let socket = self.socket.clone();
            self.receive = Some(Woken::new(async move { socket.receive().await }));
        }
    }

    fn start_send(&mut self, net: &Net, len: usize, chunks: impl Iterator<Item = Held>) {
        if self.send.is_some() || self.shut_down || self.reset || self.unread.len() > UNREAD_MAX {
            return chunks.for_each(Held::check);
        }
        let socket = self.socket.clone();
        if self.unflushed {
            self.send = Some(Woken::new(async move { (socket.flush().await, None) }));
            return chunks.for_each(Held::check);
        }
        let mut outgoing = net.outgoing();
        outgoing.bytes().extend(bytes_from(len as u64, len));
        self.unread.extend(bytes_from(len as u64, len));
        for (n, held) in chunks.enumerate() {
            self.unread.extend(&held.bytes);
            assert!(*held.chunk == *held.bytes, "a lent buffer was written");
            outgoing.push_chunk(held.chunk);
            outgoing.bytes().push(byte_at(n as u64));
            self.unread.push_back(byte_at(n as u64));
        }
        // Nothing is in flight, so its first poll starts it.
        self.unflushed = true;
        self.send = Some(Woken::new(async move { socket.send(outgoing).await }));
        self.poll_send();
    }

    fn drop_send(&mut self) {
        self.send = None;
    }

    fn end(&mut self, how: usize) {
        match how {
            0..48 if self.send.is_none() && !self.unflushed && !self.shut_down => {
                self.socket.shut_down();
                self.shut_down = true;
            }
            48..96 if !self.peer_shut_down => {
                if let Some(peer) = &self.peer {
                    // It fails if the connection has been reset by now.
                    let _ = peer.shutdown(Shutdown::Write);
                    self.peer_shut_down = true;
                }
            }
            96..112 => {
                if let Some(peer) = self.peer.take() {
                    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("a socket");
                    self.reset = true;
                }
            }
            112..120 => self.socket.reset_on_close(),
            _ => {}
        }
    }

    fn check(&mut self, chunk: &Chunk) {
        let expected = bytes_from(self.received, chunk.len());
        assert!(!chunk.is_empty() && **chunk == *expected, "something else was received than was sent");
        self.received += chunk.len() as u64;
        assert!(self.received <= self.written, "more was received than was sent");
    }

    /// Polls what was woken. Returns what was received.
    fn poll(&mut self) -> Option<Chunk> {
        self.poll_send();
        let result = self.receive.as_mut()?.poll()?;
        self.receive = None;
        match result {
            Ok(Some(chunk)) => return Some(chunk),
            Ok(None) => {
                let whole = self.peer_shut_down && self.received == self.written;
                assert!(whole || self.reset, "an end too early");
            }
            Err(error) => assert!(self.reset, "{error}"),
        }
        self.ended = true;
        None
    }

    fn poll_send(&mut self) {
        let Some((result, sent)) = self.send.as_mut().and_then(Woken::poll) else { return };
        self.send = None;
        if let Err(error) = result {
            assert!(self.reset, "{error}");
        } else {
            assert!(sent.is_none_or(|sent| sent.sent() == sent.len()));
            self.unflushed = false;
        }
    }

    /// Drops both sides as they are.
    fn leave(self) {}

    /// Lets everything that is on its way arrive, in both directions.
    async fn settle(&mut self) {
        let mut rounds = 0;
        loop {
            if self.unflushed && self.send.is_none() && !self.reset {
                let socket = self.socket.clone();
                self.send = Some(Woken::new(async move { (socket.flush().await, None) }));
            }
            self.start_receive();
            if let Some(chunk) = self.poll() {
                self.check(&chunk);
            }
            self.peer_reads(1 << 20);
            let received = if self.reset { self.ended } else { self.received == self.written };
            let sent = self.reset || (self.unread.is_empty() && !self.unflushed);
            if received && sent && (self.ended || !self.peer_shut_down) {
                return;
            }
            rounds += 1;
            if rounds > 200 {
                rig::let_be(Duration::from_millis(1)).await;
            } else {
                yield_now().await;
            }
            assert!(rounds < 10_000, "it waits in vain: {self:?}");
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("written", &self.written)
            .field("received", &self.received)
            .field("unread", &self.unread.len())
            .field("sending", &self.send.is_some())
            .field("unflushed", &self.unflushed)
            .field("shut_down", &self.shut_down)
            .field("peer_shut_down", &self.peer_shut_down)
            .field("reset", &self.reset)
            .field("ended", &self.ended)
            .finish()
    }
}

/// How long the test goes on with new lists of choices.
#[cfg(test)]
const TIME: Duration = Duration::from_secs(4);

#[test]
fn whatever_is_done_bytes_stay_whole_and_everything_comes_back() {
    use std::hash::{BuildHasher, RandomState};
    // COREGATE_SEED=N repeats one run.
    let fixed = std::env::var("COREGATE_SEED").ok().map(|seed| seed.parse::<u64>().expect("a number"));
    let end = crate::clock::read() + TIME;
    loop {
        let seed = fixed.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("COREGATE_SEED={seed}");
        rig::run(move |net| simulate(net, random(seed, 3000)));
        if fixed.is_some() || crate::clock::read() > end {
            return;
        }
    }
}

/// Bytes of a splitmix64 sequence.
#[cfg(test)]
fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}
