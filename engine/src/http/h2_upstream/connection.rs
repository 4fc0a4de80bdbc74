//! An HTTP/2 connection to a node: opening it, the task that drives it, and who has a stream on it.
//!
//! Input: a node. Output: a [`Seat`], the right to one stream. The pool keeps a [`Multiplexed`] for as long as it takes new
//! streams; when the pool and all seats have dropped it, its task says GOAWAY and ends. While one exchange opens a
//! connection others wait for it rather than open their own.
//!
//! Invariants: a connection has at most [`STREAMS_MAX`] streams and no more than the node allows; its window is as large
//! as those of all its streams together, so that a client that does not read holds up nobody else's answer.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::FutureExt;
use h2::SendStream;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::control::snapshot::NodeShared;
use crate::error::Error;
use crate::http::h2_io::{H2Io, Wire};
use crate::limits::{RESPONSE_FIELDS_MAX, RESPONSE_HEAD_BYTES_MAX};
use crate::net::{Chunk, Elapsed, Net, Timer};
use crate::shard::{ServiceState, Shard};
use crate::stream::Stream;
use crate::tls::nodes::Spoken;
use crate::upstream;

/// Streams on one connection. More than that gets another connection, for one connection's packets arrive in order.
const STREAMS_MAX: usize = 100;
/// Bytes of an answer that may be under way on one stream.
const STREAM_WINDOW: u32 = 128 << 10;
/// Bytes of a request that `h2` may hold for one stream.
const SEND_BUFFER_BYTES_MAX: usize = 64 << 10;
/// What small DATA frames that nobody has read yet may cost beyond their content, for a connection.
const SMALL_FRAMES_BYTES_MAX: usize = 64 << 20;
/// What SETTINGS_MAX_HEADER_LIST_SIZE counts for a field beside name and value (RFC 9113 6.5.2).
const FIELD_OVERHEAD: usize = 32;
#[expect(clippy::cast_possible_truncation, reason = "checked below")]
const HEADER_LIST_BYTES_MAX: u32 = (RESPONSE_HEAD_BYTES_MAX + RESPONSE_FIELDS_MAX * FIELD_OVERHEAD) as u32;
#[expect(clippy::cast_possible_truncation, reason = "checked below")]
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS_MAX as u32;

const _: () =
    assert!(STREAM_WINDOW as u64 * STREAMS_MAX as u64 <= 0x7fff_ffff, "the largest window there is");
const _: () = assert!(RESPONSE_HEAD_BYTES_MAX + RESPONSE_FIELDS_MAX * FIELD_OVERHEAD <= 1 << 24);

/// A connection that takes streams.
pub struct Multiplexed {
    net: Rc<Net>,
    requests: RefCell<SendRequest<Chunk>>,
    /// Seats taken.
    streams: Cell<usize>,
    /// It takes no more.
    retired: Cell<bool>,
    opened: Instant,
    /// When bytes last came.
    heard: Rc<Cell<Option<Instant>>>,
    /// With nobody on it, it is kept until then.
    idle_until: Cell<Instant>,
    idle_timeout: Duration,
    /// What the shards count together of its node.
    pub node: Arc<NodeShared>,
}

/// The right to one stream.
pub struct Seat {
    /// On it.
    pub connection: Rc<Multiplexed>,
    /// The connection was there before.
    pub used: bool,
}

impl Seat {
    /// Gives it back, and lets another have it.
    pub fn release(self, shard: &Shard, service: &ServiceState, node: usize) {
        let pool = &service.pools[node];
        let connection = self.connection.clone();
        drop(self);
        let config = &service.plan.config.pool;
        let idle_max = config.max_idle_per_node.div_ceil(shard.shards);
        if pool.keep_multiplexed(&connection, idle_max, config.max_connections_per_node > 0) {
            shard.net.hurry();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.streams.set(connection.streams.get() - 1);
        if connection.streams.get() == 0 {
            connection.idle_until.set(connection.now() + connection.idle_timeout);
        }
    }
}

impl Multiplexed {
    /// Takes a seat, if there is one.
    pub fn seat(self: &Rc<Self>, used: bool) -> Option<Seat> {
        let max = self.requests.borrow().current_max_send_streams().min(STREAMS_MAX);
        (self.streams.get() < max).then(|| {
            self.streams.set(self.streams.get() + 1);
            Seat { connection: self.clone(), used }
        })
    }

    /// Whether it takes new streams, as far as is known.
    pub fn is_open(&self) -> bool {
        // Nothing waits to be opened on this handle, so it is never pending: it says whether the connection has failed or
        // the node has sent GOAWAY.
        let asked = self.requests.borrow_mut().poll_ready(&mut Context::from_waker(Waker::noop()));
        !self.retired.get() && matches!(asked, Poll::Ready(Ok(())))
    }

    /// Whether nobody has a seat.
    pub fn is_idle(&self) -> bool {
        self.streams.get() == 0
    }

    /// Whether nobody has had a seat for too long.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.is_idle() && self.idle_until.get() <= now
    }

    /// Takes no more streams; ends with those that are there.
    pub fn retire(&self) {
        self.retired.set(true);
    }

    /// When bytes last came.
    pub fn heard(&self) -> Instant {
        self.heard.get().unwrap_or(self.opened)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.net.now()
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// The connection takes no more.
    pub fn send(
        &self,
        head: http::Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Chunk>), h2::Error> {
        // A handle of its own: one remembers a stream that the node does not let it open yet.
        let mut requests = self.requests.borrow().clone();
        requests.send_request(head, end)
    }
}

/// Opens a connection, or waits for the one that is being opened, and takes a seat.
///
/// # Errors
/// The node could not be reached or does not speak HTTP/2, which marks it; or it has its most connections.
pub async fn open(
    shard: &Rc<Shard>,
    service: &ServiceState,
    node: usize,
    timer: &Timer,
) -> Result<Seat, Error> {
    let pool = &service.pools[node];
    let began = shard.net.now();
    timer.set(began + service.plan.config.timeouts.connect);
    while pool.is_connecting() {
        match timer.within(pool.wait()).await {
            Ok(true) => {}
            Ok(false) => return Err(Error::NodesBusy),
            Err(Elapsed) => return Err(Error::ConnectTimeout),
        }
        if let Some(seat) = pool.take_seat(None) {
            return Ok(seat);
        }
        if let Some(error) = pool.failed_since(began) {
            return Err(error);
        }
    }
    let connecting = pool.connect();
    match connect(shard, service, node, timer).await {
        Ok(connection) => {
            let seat = connection.seat(false);
            pool.add_multiplexed(connection);
            // None: a node that allows no streams at all.
            seat.ok_or(Error::NodesBusy)
        }
        Err(Error::NodesBusy) => {
            // Found out without waiting, so nobody has begun to wait for it.
            connecting.dismiss();
            Err(Error::NodesBusy)
        }
        Err(error) => {
            pool.set_failed(shard.net.now(), error.clone());
            Err(error)
        }
    }
}

async fn connect(
    shard: &Rc<Shard>,
    service: &ServiceState,
    node: usize,
    timer: &Timer,
) -> Result<Rc<Multiplexed>, Error> {
    let stream = upstream::connect(shard, service, node, (&[], Spoken::Http2), timer).await?;
    let plan = &service.plan.nodes[node];
    let error = match timer.within(handshake(&shard.net, stream)).await {
        Ok(Ok(Opened { requests, connection, wire, heard })) => {
            let now = shard.net.now();
            let idle_timeout = service.plan.config.timeouts.idle;
            let multiplexed = Rc::new(Multiplexed {
                net: shard.net.clone(),
                requests: RefCell::new(requests),
                streams: Cell::new(0),
                retired: Cell::new(false),
                opened: now,
                heard,
                idle_until: Cell::new(now + idle_timeout),
                idle_timeout,
                node: plan.shared.clone(),
            });
            let driver = drive(shard.clone(), connection, wire, Rc::downgrade(&multiplexed));
            glommio::spawn_local(driver).detach();
            return Ok(multiplexed);
        }
        Ok(Err(error)) if error.get_io().is_some_and(|error| error.kind() == io::ErrorKind::InvalidData) => {
            upstream::complain(shard, service, node, &error.to_string());
            Error::TlsFailed
        }
        Ok(Err(error)) => {
            let service = &service.plan.config.name;
            tracing::warn!(%service, node = %plan.address, %error, "the node does not speak HTTP/2");
            Error::ConnectFailed
        }
        Err(Elapsed) => Error::ConnectTimeout,
    };
    shard.node_failed(service, node);
    Err(error)
}

/// Drives a connection to its end.
async fn drive(shard: Rc<Shard>, mut connection: Driven, wire: Rc<Wire>, multiplexed: Weak<Multiplexed>) {
    let driven = poll_fn(|cx| turn(&mut connection, &wire, cx));
    let driven = AssertUnwindSafe(driven).catch_unwind().await;
    if driven.is_err() {
        shard.counters.panicked();
    }
    if let Some(multiplexed) = multiplexed.upgrade() {
        multiplexed.retire();
    }
}

type Driven = Connection<Heard, Chunk>;

/// One turn: frames in, frames out, and what was gathered is sent.
fn turn(connection: &mut Driven, wire: &Wire, cx: &mut Context) -> Poll<Result<(), h2::Error>> {
    let ended = Pin::new(connection).poll(cx);
    // What an end leaves to be sent (GOAWAY), its shutdown has sent.
    match wire.pump(cx) {
        Err(_) if ended.is_pending() => Poll::Ready(Err(h2::Reason::INTERNAL_ERROR.into())),
        _ => ended,
    }
}

/// What came of a handshake.
struct Opened {
    requests: SendRequest<Chunk>,
    connection: Driven,
    wire: Rc<Wire>,
    heard: Rc<Cell<Option<Instant>>>,
}

/// Exchanges prefaces: ready once the node's has come, so that what does not speak HTTP/2 is found out here.
async fn handshake(net: &Rc<Net>, stream: Stream) -> Result<Opened, h2::Error> {
    let heard = Rc::new(Cell::new(None));
    let wire = Wire::new(net, stream, None, None);
    let io = Heard { io: wire.io(), net: net.clone(), at: heard.clone() };
    // This writes our preface, and does not wait.
    let (mut requests, mut connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
        .data_frame_budget(SMALL_FRAMES_BYTES_MAX)
        .initial_max_send_streams(STREAMS_MAX)
        .handshake::<_, Chunk>(io)
        .await?;
    poll_fn(|cx| match turn(&mut connection, &wire, cx) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Ready(Ok(())) => Poll::Ready(Err(h2::Reason::NO_ERROR.into())),
        // One that has failed says so once it has told the node.
        Poll::Pending if heard.get().is_some() => match requests.poll_ready(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        },
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok(Opened { requests, connection, wire, heard })
}

/// Notes when bytes come.
struct Heard {
    io: H2Io,
    net: Rc<Net>,
    at: Rc<Cell<Option<Instant>>>,
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context, buf: &mut ReadBuf) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.at.set(Some(self.net.now()));
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context,
        slices: &[IoSlice],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
