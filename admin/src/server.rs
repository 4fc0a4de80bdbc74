//! Sockets: accepts connections, shakes hands, serves HTTP/1.1 and HTTP/2, stops gracefully.
//!
//! Bounds: [`CONNECTIONS_MAX`] connections and [`CONNECTIONS_PER_ADDRESS_MAX`] of one address (further ones are closed),
//! [`HANDSHAKE_TIMEOUT`], [`HEAD_TIMEOUT`] for a request's head and for the first request, [`IDLE_TIMEOUT`] without a
//! request, heads of [`HEAD_BYTES_MAX`]. Bodies and answers have theirs in `api/mod.rs`. Which client it is goes with
//! each request as a [`Client`].

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;
use tracing::{debug, info, warn};

use crate::app::Client;
use crate::settings::Settings;
use crate::tls::ServerTls;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 4096;
/// Connections of one address at a time, unless it is a trusted proxy.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 512;
/// For a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the head of a request, and for the first request of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a request for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How often a connection is looked at for being idle.
const IDLE_CHECK: Duration = Duration::from_secs(5);
/// A request's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Fields of a request's head.
const FIELDS_MAX: usize = 100;
/// Requests of an HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 64;
/// How long accepting pauses after an error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests in flight may take once the process is to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until `stopping` says so and what is in flight has been answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<ServerTls>,
    settings: Settings,
    mut stopping: watch::Receiver<bool>,
) {
    let (alive, mut all_gone) = mpsc::channel::<Infallible>(1);
    let server = Arc::new(Server { router, settings, stopping: stopping.clone() });
    let mut open = Open::default();
    let (closed_to, mut closed) = mpsc::unbounded_channel();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => break,
            Some(address) = closed.recv() => {
                open.remove(address);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "accepting failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let address = peer.ip().to_canonical();
        if !open.add(address, server.settings.trusts(address)) {
            debug!(%peer, "connection closed: too many of them");
            continue;
        }
        let guard = Guard { address, closed: closed_to.clone(), _alive: alive.clone() };
        let tls = tls.as_ref().map(ServerTls::acceptor);
        tokio::spawn(Arc::clone(&server).connection(stream, peer, tls, guard));
    }
    drop(listener);
    drop(alive);
    info!("stopping: requests in flight are finished");
    if timeout(DRAIN_TIMEOUT, all_gone.recv()).await.is_err() {
        warn!("requests in flight took too long and were cut");
    }
}

/// How many connections are open, of whom; the accepting loop's own.
#[derive(Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Open {
    /// Whether there is room for one more, which is then counted.
    fn add(&mut self, address: IpAddr, trusted: bool) -> bool {
        let of_address = self.by_address.get(&address).copied().unwrap_or(0);
        if self.total >= CONNECTIONS_MAX || (!trusted && of_address >= CONNECTIONS_PER_ADDRESS_MAX) {
            return false;
        }
        self.total += 1;
        self.by_address.insert(address, of_address + 1);
        true
    }

    fn remove(&mut self, address: IpAddr) {
        self.total = self.total.saturating_sub(1);
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// Says that a connection is gone when dropped.
struct Guard {
    address: IpAddr,
    closed: mpsc::UnboundedSender<IpAddr>,
    _alive: mpsc::Sender<Infallible>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Nobody counts any more once the process ends.
        let _ = self.closed.send(self.address);
    }
}

struct Server {
    router: Router,
    settings: Settings,
    stopping: watch::Receiver<bool>,
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
        _guard: Guard,
    ) {
        // Answers are small and whole; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = tls else {
            return self.http(stream, peer, false).await;
        };
        match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream, peer, true).await,
            Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => debug!(%peer, "TLS handshake took too long"),
        }
    }

    async fn http<S>(self: Arc<Self>, stream: S, peer: SocketAddr, tls: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::new());
        let service = {
            let (server, activity) = (Arc::clone(&self), Arc::clone(&activity));
            hyper::service::service_fn(move |request: Request<Incoming>| {
                let busy = activity.begin();
                let server = Arc::clone(&server);
                async move {
                    let response = server.answer(request, peer, tls).await;
                    Ok::<_, Infallible>(response.map(|body| BusyBody { body, _busy: busy }))
                }
            })
        };
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT.max(IDLE_TIMEOUT))
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(FIELDS_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(HEAD_TIMEOUT);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut stopping = self.stopping.clone();
        let mut ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%peer, %error, "connection ended");
                    }
                    return;
                }
                _ = stopping.wait_for(|stopping| *stopping), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = sleep(IDLE_CHECK) => match activity.state() {
                    State::Busy => {}
                    // Nothing was asked: there is nothing to finish.
                    State::New(for_long) if for_long > HEAD_TIMEOUT => return,
                    State::Idle(for_long) if for_long > IDLE_TIMEOUT + IDLE_CHECK => return,
                    State::Idle(for_long) if for_long > IDLE_TIMEOUT => connection.as_mut().graceful_shutdown(),
                    State::New(_) | State::Idle(_) => {}
                },
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr, tls: bool) -> Response<Body> {
        let mut request = request.map(Body::new);
        let client = client(&self.settings, peer.ip(), tls, request.headers());
        request.extensions_mut().insert(client);
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Who the client is: the peer, or what a trusted proxy says of it. Of X-Forwarded-For the last address that is no trusted
/// proxy counts, since what stands before it was said by whoever that is.
fn client(settings: &Settings, peer: IpAddr, tls: bool, headers: &HeaderMap) -> Client {
    let peer = peer.to_canonical();
    if !settings.trusts(peer) {
        return Client { address: peer, tls };
    }
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let mut address = peer;
    for text in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Ok(hop) = text.trim().parse::<IpAddr>() else { break };
        address = hop.to_canonical();
        if !settings.trusts(address) {
            break;
        }
    }
    let proto = headers.get_all("x-forwarded-proto").iter().next_back().and_then(|value| value.to_str().ok());
    let tls = match proto.and_then(|list| list.rsplit(',').next()).map(str::trim) {
        Some(proto) => proto.eq_ignore_ascii_case("https"),
        None => tls,
    };
    Client { address, tls }
}

/// What a connection is doing.
struct Activity {
    since: Instant,
    in_flight: AtomicUsize,
    /// Milliseconds after `since`; 0 = there was no request yet.
    last_ms: AtomicU64,
}

enum State {
    New(Duration),
    Busy,
    Idle(Duration),
}

impl Activity {
    fn new() -> Self {
        Self { since: Instant::now(), in_flight: AtomicUsize::new(0), last_ms: AtomicU64::new(0) }
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    fn state(&self) -> State {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return State::Busy;
        }
        match self.last_ms.load(Ordering::Relaxed) {
            0 => State::New(self.since.elapsed()),
            last => State::Idle(self.since.elapsed().saturating_sub(Duration::from_millis(last))),
        }
    }
}

/// A request that is being answered.
struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.0.last_ms.store(now, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer's body; the request counts as being answered until it is gone, which for a stream of events may be hours.
struct BusyBody {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for BusyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Opens the socket; the error says what to do.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there; right would be a free port, by --listen ADDRESS"
            }
            io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            _ => "see --listen",
        };
        format!("cannot listen on {address}: {error} ({hint})")
    })
}
