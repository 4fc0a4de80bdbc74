//! Accepting, stopping, running out of descriptors.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::poll_once;

use super::rig::{self, bytes_from, expect_bytes};
use crate::net::{Accepted, Listener, Net, Socket};

fn listen(net: &Rc<Net>) -> (Listener, SocketAddr) {
    let (listener, address) = rig::listener();
    (Listener::adopt(net, listener.into()), address)
}

async fn connection(listener: &Listener) -> OwnedFd {
    match listener.accept().await {
        Accepted::Connection(fd) => fd,
        other => panic!("{other:?}"),
    }
}

/// The connection that was accepted is one of these peers'.
async fn serve(net: &Rc<Net>, fd: OwnedFd, peers: &mut [TcpStream]) {
    let socket = Socket::adopt(net, fd);
    let address = socket2::SockRef::from(&socket.fd()).peer_addr().unwrap().as_socket().unwrap();
    let peer = peers.iter_mut().find(|peer| peer.local_addr().unwrap() == address).unwrap();
    peer.write_all(&bytes_from(0, 3)).unwrap();
    expect_bytes(&socket, 0, 3).await;
}

#[test]
fn a_burst_is_accepted_whole() {
    rig::run(async |net| {
        let (listener, address) = listen(&net);
        assert!(poll_once(listener.accept()).await.is_none());
        for _ in 0..3 {
            let mut peers: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
            for _ in 0..100 {
                let fd = connection(&listener).await;
                serve(&net, fd, &mut peers).await;
            }
        }
        assert!(poll_once(listener.accept()).await.is_none());
    });
}

#[test]
fn a_listener_that_stops_hands_out_its_backlog_first() {
    rig::run(async |net| {
        for armed in [true, false] {
            let (listener, address) = listen(&net);
            if armed {
                assert!(poll_once(listener.accept()).await.is_none());
                rig::let_be(Duration::from_millis(10)).await;
            }
            let mut peers: Vec<_> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
            listener.stop();
            listener.stop();
            peers.extend((0..60).map(|_| TcpStream::connect(address).unwrap()));
            for _ in 0..120 {
                let fd = connection(&listener).await;
                serve(&net, fd, &mut peers).await;
            }
            assert!(matches!(listener.accept().await, Accepted::Stopped));
            assert!(matches!(listener.accept().await, Accepted::Stopped));
            drop(listener);
            assert!(TcpStream::connect(address).is_err());
        }
    });
}

#[test]
fn a_waiting_accept_hears_of_the_stop() {
    rig::run(async |net| {
        let (listener, _) = listen(&net);
        let listener = Rc::new(listener);
        let stopping = listener.clone();
        glommio::spawn_local(async move {
            rig::let_be(Duration::from_millis(100)).await;
            stopping.stop();
        })
        .detach();
        assert!(matches!(listener.accept().await, Accepted::Stopped));
    });
}

#[test]
fn a_dropped_listener_closes() {
    rig::run(async |net| {
        for wait in [0, 1, 20] {
            let (listener, address) = rig::listener();
            let name = rig::name_of(&listener);
            let listener = Listener::adopt(&net, listener.into());
            assert!(poll_once(listener.accept()).await.is_none());
            rig::let_be(Duration::from_millis(wait)).await;
            // One that was accepted, and nobody took.
            let mut peer = TcpStream::connect(address).unwrap();
            drop(listener);
            rig::until(|| !rig::is_open(&name)).await;
            peer.set_read_timeout(Some(rig::PATIENCE / 2)).unwrap();
            assert!(!matches!(peer.read(&mut [0; 1]), Ok(1..)));
            assert!(TcpStream::connect(address).is_err());
        }
    });
}

const OUT_OF_DESCRIPTORS: &str = "net::tests::listening::out_of_descriptors";

#[test]
fn without_descriptors_accepting_pauses_and_goes_on_afterwards() {
    // The limit is the process's: a process of its own.
    let test = std::env::current_exe().unwrap();
    let output = Command::new(test)
        .args([OUT_OF_DESCRIPTORS, "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

#[test]
#[ignore = "started by another test: it lowers this process's limit of open files"]
fn out_of_descriptors() {
    rig::run(async |net| {
        let (listener, address) = listen(&net);
        let peers: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut taken = Vec::new();
        limit_descriptors(Some(10));
        let mut pauses = 0;
        while pauses < 3 {
            match listener.accept().await {
                Accepted::Connection(fd) => taken.push(fd),
                Accepted::Paused(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                    pauses += 1;
                }
                Accepted::Stopped => panic!("it goes on"),
            }
        }
        assert!(taken.len() >= 5 && taken.len() < 20, "{}", taken.len());
        // Stopping does not turn away who connected in time, either.
        listener.stop();
        for _ in 0..2 {
            assert!(matches!(listener.accept().await, Accepted::Paused(_)));
        }
        let mut accepted = taken.len();
        taken.clear();
        loop {
            match listener.accept().await {
                Accepted::Connection(_) => accepted += 1,
                Accepted::Paused(_) => {}
                Accepted::Stopped => break,
            }
        }
        assert_eq!(accepted, peers.len());
        limit_descriptors(None);
    });
}

/// Leaves so many descriptors, or as many as may be.
fn limit_descriptors(left: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let next_free = TcpListener::bind("127.0.0.1:0").unwrap().as_raw_fd();
    let current = left.map_or(maximum, |left| Some(u64::try_from(next_free).unwrap() + left));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}
