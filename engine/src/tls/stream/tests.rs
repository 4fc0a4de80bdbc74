//! TLS streams over real sockets; the peer is a blocking rustls connection in a thread.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES;
use rustls::{ALL_VERSIONS, ClientConnection, NamedGroup, ServerConnection, StreamOwned};

use super::*;
use crate::net::tests::rig::{self, PATIENCE, bytes_from, joined, pair, until};
use crate::tls::testing::configs;

type ClientPeer = StreamOwned<ClientConnection, TcpStream>;
type ServerPeer = StreamOwned<ServerConnection, TcpStream>;

fn name() -> ServerName<'static> {
    ServerName::try_from("one.test").unwrap()
}

/// Our side as the server; the peer does something once the handshake is done.
async fn server<T: Send + 'static>(
    net: &Rc<Net>,
    act: impl FnOnce(&mut ClientPeer) -> T + Send + 'static,
) -> (TlsStream, JoinHandle<T>) {
    let (client, server) = configs(ALL_VERSIONS, DEFAULT_CIPHER_SUITES.to_vec());
    let (socket, peer) = pair(net);
    let peer = thread::spawn(move || {
        let mut peer = StreamOwned::new(ClientConnection::new(client, name()).unwrap(), peer);
        peer.conn.complete_io(&mut peer.sock).unwrap();
        act(&mut peer)
    });
    (accept(net, socket, server, None).await.unwrap(), peer)
}

/// Our side as the client.
async fn client<T: Send + 'static>(
    net: &Rc<Net>,
    act: impl FnOnce(&mut ServerPeer) -> T + Send + 'static,
) -> (TlsStream, JoinHandle<T>) {
    let (client, server) = configs(ALL_VERSIONS, DEFAULT_CIPHER_SUITES.to_vec());
    let (socket, peer) = pair(net);
    let peer = thread::spawn(move || {
        let mut peer = StreamOwned::new(ServerConnection::new(server).unwrap(), peer);
        peer.conn.complete_io(&mut peer.sock).unwrap();
        act(&mut peer)
    });
    (TlsStream::connect(net, socket, client, name()).await.unwrap(), peer)
}

async fn accept(
    net: &Rc<Net>,
    socket: Socket,
    config: Arc<ServerConfig>,
    first: Option<Chunk>,
) -> Result<TlsStream, HandshakeError> {
    let stream = TlsStream::server(net, socket, config)?;
    stream.handshake(first).await?;
    Ok(stream)
}

async fn receive(stream: &TlsStream) -> io::Result<Option<Chunk>> {
    poll_fn(|cx| stream.poll_receive(cx)).await
}

/// Everything up to the end, and what the end was.
async fn receive_all(stream: &TlsStream) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = Vec::new();
    loop {
        match receive(stream).await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, Ok(())),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

async fn send(net: &Net, stream: &TlsStream, bytes: &[u8]) {
    let mut out = net.outgoing();
    out.bytes().extend_from_slice(bytes);
    stream.post(out).await.unwrap();
}

#[test]
fn bytes_go_both_ways_and_a_close_notify_is_the_end() {
    rig::run(async |net| {
        let (stream, peer) = server(&net, |peer| {
            peer.write_all(&bytes_from(0, 100_000)).unwrap();
            peer.conn.send_close_notify();
            peer.flush().unwrap();
            let mut got = Vec::new();
            peer.read_to_end(&mut got).unwrap();
            got
        })
        .await;
        let (got, end) = receive_all(&stream).await;
        assert_eq!(got, bytes_from(0, 100_000));
        end.unwrap();
        send(&net, &stream, &bytes_from(0, 300_000)).await;
        stream.flush().await.unwrap();
        stream.shut_down();
        assert_eq!(joined(peer).await, bytes_from(0, 300_000));
    });
}

#[test]
fn a_dropped_stream_says_goodbye_unless_it_is_cut() {
    rig::run(async |net| {
        let read = |peer: &mut ClientPeer| peer.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        let (stream, peer) = server(&net, read).await;
        drop(stream);
        assert_eq!(joined(peer).await, Ok(0));

        let (stream, peer) = server(&net, read).await;
        stream.reset_on_close();
        drop(stream);
        assert_eq!(joined(peer).await, Err(io::ErrorKind::ConnectionReset));
    });
}

#[test]
fn an_end_without_a_close_notify_is_an_error() {
    rig::run(async |net| {
        let (stream, peer) = server(&net, |peer| {
            peer.write_all(b"half a").unwrap();
            peer.sock.shutdown(Shutdown::Write).unwrap();
            let _ = peer.sock.read(&mut [0; 1000]);
        })
        .await;
        let (got, end) = receive_all(&stream).await;
        assert_eq!(got, b"half a");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(!stream.has_failed(), "as with a connection in clear, an end is no reset");
        drop(stream);
        joined(peer).await;
    });
}

#[test]
fn after_the_end_of_our_side_a_bare_end_is_one() {
    rig::run(async |net| {
        let (stream, peer) = server(&net, |peer| {
            peer.write_all(b"all").unwrap();
            // Our close_notify.
            assert_eq!(peer.read(&mut [0; 1000]).unwrap(), 0);
        })
        .await;
        stream.shut_down();
        let (got, end) = receive_all(&stream).await;
        assert_eq!(got, b"all");
        assert!(end.is_ok());
        drop(stream);
        joined(peer).await;
    });
}

/// Counts tickets.
#[derive(Debug, Default)]
struct Tickets(AtomicUsize);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

#[test]
fn tickets_do_not_make_an_idle_connection_a_used_one() {
    rig::run(async |net| {
        let (go, may_end) = std::sync::mpsc::channel();
        let (client, server) = configs(ALL_VERSIONS, DEFAULT_CIPHER_SUITES.to_vec());
        let tickets = Arc::new(Tickets::default());
        let mut client = Arc::unwrap_or_clone(client);
        client.resumption = rustls::client::Resumption::store(tickets.clone());
        let (socket, peer) = pair(&net);
        let peer = thread::spawn(move || {
            let mut peer = StreamOwned::new(ServerConnection::new(server).unwrap(), peer);
            peer.conn.complete_io(&mut peer.sock).unwrap();
            may_end.recv_timeout(PATIENCE).unwrap();
            peer.write_all(b"?").unwrap();
        });
        let stream = TlsStream::connect(&net, socket, client.into(), name()).await.unwrap();
        stream.socket().arm();
        until(|| stream.is_fresh() && tickets.0.load(Ordering::Relaxed) == 2).await;
        go.send(()).unwrap();
        joined(peer).await;
        until(|| !stream.is_fresh()).await;
        assert_eq!(&*receive(&stream).await.unwrap().unwrap(), b"?");
        assert!(!stream.is_fresh(), "it has ended, too");
    });
}

#[test]
fn what_was_posted_comes_back_in_clear_and_says_whether_any_may_have_been_sent() {
    rig::run(async |net| {
        let (stream, peer) = client(&net, |peer| {
            let mut got = [0; 7];
            peer.read_exact(&mut got).unwrap();
            got
        })
        .await;
        send(&net, &stream, b"request").await;
        stream.flush().await.unwrap();
        let mut sent = stream.take_sent().unwrap();
        assert!(sent.sent() > 0);
        assert_eq!(sent.bytes(), b"request");
        assert!(stream.take_sent().is_none());
        assert_eq!(joined(peer).await, *b"request");

        // The peer has reset the connection: the first send tells, or the second.
        let (stream, peer) = client(&net, |peer| {
            socket2::SockRef::from(&peer.sock).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        })
        .await;
        joined(peer).await;
        stream.socket().arm();
        until(|| stream.has_failed()).await;
        send(&net, &stream, b"again").await;
        assert!(stream.flush().await.is_err());
        let mut sent = stream.take_sent().unwrap();
        assert_eq!((sent.sent(), &sent.bytes()[..]), (0, &b"again"[..]));
    });
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_and_has_failed() {
    rig::run(async |net| {
        let (stream, peer) = server(&net, |peer| {
            peer.read_exact(&mut [0; 2]).unwrap();
            peer.sock
                .write_all(&[0x17, 3, 3, 0, 20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
                .unwrap();
            peer.read_to_end(&mut Vec::new()).unwrap_err().to_string()
        })
        .await;
        send(&net, &stream, b"go").await;
        assert_eq!(receive(&stream).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(stream.has_failed());
        assert!(stream.post(net.outgoing()).await.is_err() || stream.flush().await.is_ok());
        stream.shut_down();
        let told = joined(peer).await;
        assert!(told.contains("BadRecordMac"), "{told}");
    });
}

#[test]
fn a_handshake_with_a_stranger_fails() {
    rig::run(async |net| {
        let (socket, mut peer) = pair(&net);
        let (_, config) = configs(ALL_VERSIONS, DEFAULT_CIPHER_SUITES.to_vec());
        peer.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").unwrap();
        let refused = accept(&net, socket, config.clone(), None).await.err().unwrap();
        assert!(matches!(refused, HandshakeError::Tls(_)), "{refused}");
        let alert = thread::spawn(move || {
            let mut alert = Vec::new();
            let _ = peer.read_to_end(&mut alert);
            alert
        });
        let alert = joined(alert).await;
        assert_eq!(alert.first(), Some(&21), "{alert:?}");

        let (socket, peer) = pair(&net);
        drop(peer);
        let refused = accept(&net, socket, config, None).await.err().unwrap();
        assert!(matches!(refused, HandshakeError::Gone), "{refused}");
    });
}

#[test]
fn a_future_that_is_dropped_loses_nothing_that_was_posted() {
    rig::run(async |net| {
        let (stream, peer) = server(&net, |peer| {
            let mut got = vec![0; 900_000];
            peer.read_exact(&mut got).unwrap();
            got
        })
        .await;
        send(&net, &stream, &bytes_from(0, 600_000)).await;
        let mut out = net.outgoing();
        out.bytes().extend_from_slice(b"never sent");
        {
            // Waits for the send before, and is given up.
            let mut post = std::pin::pin!(stream.post(out));
            let _ = futures_lite::future::poll_once(&mut post).await;
        }
        stream.flush().await.unwrap();
        let _ = stream.take_sent();
        send(&net, &stream, &bytes_from(600_000, 300_000)).await;
        stream.flush().await.unwrap();
        assert_eq!(joined(peer).await, bytes_from(0, 900_000));
    });
}
