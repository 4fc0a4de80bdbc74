//! HTTP/2 from clients: one connection, one task; its streams are futures in it.
//!
//! Input: an accepted stream, and what was received of it. The `h2` crate speaks the protocol (RFC 9113); this drives it
//! over the network ring, runs each request through the same stages as HTTP/1.1 ([`stream`]), and bounds what a client can
//! do to the connection ([`guard`]). The connection ends when either side wants it, when it has been idle for too long, or
//! for what the client does with it; requests in flight are served to their end where the connection still stands.
//!
//! Each turn of the task polls what can go on until nothing can, then starts one send with all frames of the turn.
//!
//! Memory of one connection is bounded by its windows and buffers, see the constants here and in [`reply`].

mod frames;
pub mod guard;
mod reply;
pub mod request;
mod stream;
mod tasks;
mod websocket;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use coregate_config::checked::{Http2, Listener};
use h2::{Reason, server};

use crate::account::{Http2Cut, Phase};
use crate::error::Error;
use crate::http::exchange::{Origin, Outcome};
use crate::http::h1;
use crate::http::h2_io::{H2Io, Wire};
use crate::http::head::HeadError;
use crate::http::record::{Moved, Record};
use crate::limits::DRAIN_GRACE;
use crate::net::{Chunk, Elapsed, Timer};
use crate::shard::{ListenerState, Shard};
use crate::stream::Stream;
use guard::Guard;
use tasks::Tasks;

/// What a client may send of a request's body before the relay takes it, ...
const STREAM_WINDOW: u32 = 256 << 10;
/// ... and of all bodies of one connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// What of an answer may lie in `h2`'s buffer, within the windows that the client grants.
const SEND_BUFFER_BYTES_MAX: usize = 32 << 10;
/// Streams that were reset are remembered for so long, and so many, since their peer may not know yet.
const RESET_REMEMBERED: Duration = Duration::from_secs(1);
const RESETS_REMEMBERED_MAX: usize = 64;
/// Streams that may be reset because of what the client did to them, over the life of a connection.
const ERRORS_MAX: usize = 1024;
/// Rounds of polling in one turn, before other connections have theirs.
const ROUNDS_MAX: usize = 16;
/// A connection that has been idle for so long gives the memory back that it needs while it is busy.
const BUSY: Duration = Duration::from_millis(50);

/// Serves one connection to its end. `unread`: what has been received of it.
pub async fn serve(
    shard: Rc<Shard>,
    carried: Stream,
    listener: Rc<ListenerState>,
    origin: Origin,
    unread: Option<Chunk>,
) {
    let config = listener.config();
    let Some(settings) = config.http2 else { return };
    let began = shard.net.now();
    let guard = Guard::new(began, settings.max_resets_per_second);
    let wire = Wire::new(&shard.net, carried, unread, Some(Box::new(guard)));
    let timer = shard.net.timer();
    let protocol = match shake_hands(&shard, &wire, &timer, &config, settings).await {
        Ok(protocol) => protocol,
        Err(error) => {
            if error.is_library() && error.is_go_away() {
                no_preface(&shard, &origin, began);
                close(&shard, &wire, &timer, &config).await;
            }
            return;
        }
    };
    shard.counters.http2_begun();
    let open = |request, respond| {
        let (shard, listener) = (shard.clone(), listener.config());
        stream::serve(shard, listener, origin.clone(), request, respond)
    };
    let mut connection = Connection {
        shard: &shard,
        listener: &listener,
        protocol: Some(protocol),
        wire: &wire,
        tasks: Tasks::new(settings.max_concurrent_streams as usize + RESETS_REMEMBERED_MAX),
        timer: &timer,
        idle_since: Some(shard.net.now()),
        shrunk: true,
        full: false,
        cut: false,
        ends_at: None,
        open,
    };
    poll_fn(|cx| connection.poll(cx)).await;
    let Connection { protocol, .. } = connection;
    drop(protocol);
    close(&shard, &wire, &timer, &config).await;
}

/// Accounts for a connection that began with something else than HTTP/2's preface, as for a head that cannot be read.
fn no_preface(shard: &Shard, origin: &Origin, began: Instant) {
    let mut record = Record::new(began, origin.peer);
    record.begin_line(shard, None, "", shard.request_ids.next(None).as_str());
    let error = Error::Head(HeadError::Malformed("no HTTP/2 preface"));
    record.end(shard, &Outcome::new(Some(error), Phase::RequestHead), Moved::default());
}

/// Sends what is left to be sent, and ends the connection.
async fn close(shard: &Shard, wire: &Wire, timer: &Timer, listener: &Listener) {
    timer.set(shard.net.now() + listener.header_timeout);
    if matches!(timer.within(wire.stream().flush()).await, Ok(Ok(()))) {
        h1::linger(shard, wire.stream(), timer).await;
    }
}

/// Sends the server's preface and reads the client's.
///
/// # Errors
/// The connection's, or `h2`'s: what came is no preface.
async fn shake_hands(
    shard: &Shard,
    wire: &Rc<Wire>,
    timer: &Timer,
    listener: &Listener,
    settings: Http2,
) -> Result<server::Connection<H2Io, Chunk>, h2::Error> {
    let list_bytes = request::header_list_bytes_max(&stream::head_limits(listener));
    let mut handshake = pin!(
        server::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(settings.max_concurrent_streams)
            .max_header_list_size(u32::try_from(list_bytes).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
            .reset_stream_duration(RESET_REMEMBERED)
            .max_concurrent_reset_streams(RESETS_REMEMBERED_MAX)
            .max_pending_accept_reset_streams(settings.max_resets_per_second.max(1) as usize)
            .max_local_error_reset_streams(Some(ERRORS_MAX))
            .enable_connect_protocol()
            .handshake::<H2Io, Chunk>(wire.io())
    );
    timer.set(shard.net.now() + listener.header_timeout);
    let shaken = timer.within(poll_fn(|cx| {
        let shaken = handshake.as_mut().poll(cx);
        match wire.pump(cx) {
            Ok(()) => shaken,
            Err(error) => Poll::Ready(Err(h2_error(error))),
        }
    }));
    shaken.await.unwrap_or_else(|Elapsed| Err(Reason::INTERNAL_ERROR.into()))
}

/// `h2` makes no errors of others'.
fn h2_error(_: std::io::Error) -> h2::Error {
    Reason::INTERNAL_ERROR.into()
}

/// A connection at work. `O`: makes a stream's future of a request.
struct Connection<'a, F, O> {
    shard: &'a Rc<Shard>,
    listener: &'a Rc<ListenerState>,
    /// `None` once the connection has ended; streams may still be coming to their end.
    protocol: Option<server::Connection<H2Io, Chunk>>,
    wire: &'a Wire,
    tasks: Tasks<F>,
    timer: &'a Timer,
    /// Since when no stream has been open.
    idle_since: Option<Instant>,
    /// What memory it had for streams is given back.
    shrunk: bool,
    /// There is no room for another stream.
    full: bool,
    /// It has been counted as ended for what the client did.
    cut: bool,
    /// It has said GOAWAY and waits for the client to have seen it; until then at most, once no stream is open.
    ends_at: Option<Instant>,
    open: O,
}

impl<F, O> Connection<'_, F, O>
where
    F: Future<Output = ()>,
    O: Fn(http::Request<h2::RecvStream>, server::SendResponse<Chunk>) -> F,
{
    /// One turn. Ready at the connection's end.
    fn poll(&mut self, cx: &mut Context) -> Poll<()> {
        self.tasks.begin_turn();
        self.look_around();
        for _ in 0..ROUNDS_MAX {
            let went_on = self.tasks.take_connection() && self.poll_protocol();
            if !self.tasks.poll_ready() && !went_on {
                break;
            }
            if self.full && self.tasks.has_room() {
                self.full = false;
                self.tasks.connection().wake_by_ref();
            }
        }
        if self.protocol.is_some() {
            let waker = self.tasks.connection().clone();
            if self.wire.pump(&mut Context::from_waker(&waker)).is_err() {
                self.protocol = None;
            }
        }
        if self.protocol.is_none() && self.tasks.is_empty() {
            return Poll::Ready(());
        }
        self.watch_time(cx);
        self.tasks.end_turn(cx);
        Poll::Pending
    }

    /// Lets `h2` read and write. Whether there was anything.
    fn poll_protocol(&mut self) -> bool {
        let Some(protocol) = &mut self.protocol else { return false };
        let waker = self.tasks.connection().clone();
        let cx = &mut Context::from_waker(&waker);
        loop {
            self.full = !self.tasks.has_room();
            let request = if self.full {
                // Those of streams that are gone have not ended yet.
                protocol.poll_closed(cx).map(|_| None)
            } else {
                protocol.poll_accept(cx)
            };
            match request {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.tasks.add((self.open)(request, respond));
                    (self.idle_since, self.shrunk) = (None, false);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.failed(&error);
                    return true;
                }
                Poll::Ready(None) => {
                    self.protocol = None;
                    return true;
                }
                Poll::Pending => break,
            }
        }
        if let Some(abuse) = self.wire.with_guard(|guard| guard.abuse()).flatten()
            && self.ends_at.is_none()
        {
            self.count_cut(abuse.into());
            self.go_away(Reason::ENHANCE_YOUR_CALM);
        }
        true
    }

    /// The connection is over, maybe for what the client did. What is left are streams, which find out.
    fn failed(&mut self, error: &h2::Error) {
        self.protocol = None;
        if error.is_library() && error.is_go_away() {
            self.count_cut(error.reason().into());
        }
    }

    /// Counts that the connection ends for what the client did.
    fn count_cut(&mut self, why: Http2Cut) {
        if !std::mem::replace(&mut self.cut, true) {
            tracing::debug!(why = why.label(), "HTTP/2 connection ended");
            self.shard.counters.http2_cut(why);
        }
    }

    /// Ends the connection at once, telling the client why.
    fn go_away(&mut self, reason: Reason) {
        if let Some(protocol) = &mut self.protocol {
            protocol.abrupt_shutdown(reason);
            self.ends_at = Some(self.shard.net.now() + DRAIN_GRACE);
            self.tasks.connection().wake_by_ref();
        }
    }

    /// Asks the client to open no more streams, and ends the connection once those that are open have ended.
    fn retire(&mut self) {
        if let (Some(protocol), None) = (&mut self.protocol, self.ends_at) {
            protocol.graceful_shutdown();
            self.ends_at = Some(self.shard.net.now() + DRAIN_GRACE);
            self.tasks.connection().wake_by_ref();
        }
    }

    /// Sees what has changed besides the connection's own bytes.
    fn look_around(&mut self) {
        if self.shard.draining() {
            self.retire();
        }
        let now = self.shard.net.now();
        let config = self.listener.config();
        let block = self.wire.with_guard(|guard| guard.block_since()).flatten();
        if block.is_some_and(|since| now >= since + config.header_timeout) && self.ends_at.is_none() {
            self.count_cut(Http2Cut::SlowHeaders);
            self.go_away(Reason::ENHANCE_YOUR_CALM);
        }
        let Some(idle_since) = self.idle_since else { return };
        if now >= idle_since + config.idle_timeout {
            self.retire();
        }
        if !self.shrunk && now >= idle_since + BUSY {
            self.shrunk = true;
            self.tasks.shrink();
        }
        if self.ends_at.is_some_and(|at| now >= at) {
            self.protocol = None;
        }
    }

    /// Sets the timer to when something is to be seen to.
    fn watch_time(&mut self, cx: &mut Context) {
        let now = self.shard.net.now();
        if self.tasks.is_empty() {
            self.idle_since.get_or_insert(now);
        }
        let config = self.listener.config();
        let block = self.wire.with_guard(|guard| guard.block_since()).flatten();
        let block = block.filter(|_| self.ends_at.is_none()).map(|since| since + config.header_timeout);
        let idle = self.idle_since.map(|since| match self.ends_at {
            Some(at) => at,
            None if self.shrunk => since + config.idle_timeout,
            None => since + BUSY.min(config.idle_timeout),
        });
        match block.into_iter().chain(idle).min() {
            Some(at) => self.timer.set(at),
            None => self.timer.clear(),
        }
        if pin!(self.timer.wait()).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
