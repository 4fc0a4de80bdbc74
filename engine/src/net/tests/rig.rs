//! Runs a future with a network ring on an executor of its own, as a shard does, and makes peers for its sockets.

use std::cell::Cell;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use crate::clock;
use crate::net::{EXECUTOR_PREEMPT, Net, Socket};

/// After this a test hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often conditions are looked at.
const GLANCE: Duration = Duration::from_millis(1);

/// Runs `body` with a ring. Afterwards all its sockets must close and all buffers must have come back.
pub fn run<F: Future<Output = ()>>(body: impl FnOnce(Rc<Net>) -> F + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(64 << 10)
            .ring_depth(128)
            .preempt_timer(EXECUTOR_PREEMPT)
            .make()
            .expect("an executor");
        executor.run(with_net(body));
        let _ = done.send(());
    });
    assert!(ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout), "it hangs");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

async fn with_net<F: Future<Output = ()>>(body: impl FnOnce(Rc<Net>) -> F) {
    let net = Net::new().expect("a ring");
    let driver = Rc::new(Cell::new(None));
    let (driven, ended) = (net.clone(), driver.clone());
    glommio::spawn_local(async move { ended.set(Some(driven.drive().await)) }).detach();
    body(net.clone()).await;
    until(|| net.stats().sockets == 0).await;
    assert_eq!(net.stats().buffers_lent, 0, "a buffer was not given back");
    net.stop();
    let result = loop {
        match driver.take() {
            Some(result) => break result,
            None => glommio::timer::sleep(GLANCE).await,
        }
    };
    result.expect("the driver ends well");
}

/// Waits for a condition. The ring's timers are not used, so its driver may sleep meanwhile.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = clock::read() + PATIENCE / 2;
    while !condition() {
        assert!(clock::read() < deadline, "waited in vain");
        glommio::timer::sleep(GLANCE).await;
    }
}

/// Lets the ring do what it has to for some time, without its timers.
pub async fn let_be(time: Duration) {
    glommio::timer::sleep(time).await;
}

/// Blocks a peer's thread for some time.
pub fn rest(time: Duration) {
    let (_kept, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

/// What a peer's thread returns.
pub async fn joined<T>(thread: JoinHandle<T>) -> T {
    until(|| thread.is_finished()).await;
    thread.join().expect("the peer is well")
}

/// A listener on a free port.
pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A socket on the ring and its peer.
pub fn pair(net: &Rc<Net>) -> (Socket, TcpStream) {
    let (listener, address) = listener();
    let peer = TcpStream::connect(address).expect("loopback connects");
    let (ours, _) = listener.accept().expect("loopback accepts");
    for stream in [&peer, &ours] {
        stream.set_nodelay(true).expect("TCP");
    }
    peer.set_read_timeout(Some(PATIENCE / 2)).expect("a time");
    peer.set_write_timeout(Some(PATIENCE / 2)).expect("a time");
    (Socket::adopt(net, ours.into()), peer)
}

/// The byte at a position of the stream that tests send: any loss, repetition or exchange shows.
pub fn byte_at(position: u64) -> u8 {
    (position.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Bytes of that stream.
pub fn bytes_from(position: u64, len: usize) -> Vec<u8> {
    (position..position + len as u64).map(byte_at).collect()
}

/// What names a descriptor's socket in this process, whichever number it has.
pub fn name_of(fd: &impl AsRawFd) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("it is open");
    link.to_string_lossy().into_owned()
}

/// Whether this process still has the socket of that name open.
pub fn is_open(name: &str) -> bool {
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux");
    open.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == name))
}

/// Receives until `len` bytes have come, and checks that they are the stream's from `position` on.
pub async fn expect_bytes(socket: &Socket, position: u64, len: usize) {
    let mut at = position;
    while at < position + len as u64 {
        let chunk = socket.receive().await.expect("no error").expect("not the end yet");
        assert!(!chunk.is_empty());
        assert_eq!(&*chunk, bytes_from(at, chunk.len()), "at {at}");
        at += chunk.len() as u64;
    }
    assert_eq!(at, position + len as u64, "more came than was expected");
}
