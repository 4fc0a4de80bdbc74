//! Relay: moving a body from one side to the other, in bounded memory.
//!
//! Input: a [`Source`] of content and a [`Sink`] for it; who they are (client or upstream, HTTP/1.1 or HTTP/2) does not
//! matter here. Output: all of it moved, or what went wrong and on which side. At most what one send carries is held
//! besides what the socket queues; reading waits while the other side does not take what was read.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use crate::http::body::BodyError;
use crate::net::{Chunk, Elapsed, Net, Timer};

/// Where content comes from.
#[allow(async_fn_in_trait)] // used in this crate alone, on one thread
pub trait Source {
    /// What has already arrived, without waiting.
    ///
    /// # Errors
    /// The body is malformed or over its limit; nothing after it can be read.
    fn try_next(&mut self) -> Result<Piece, ReadError>;

    /// Waits until [`Self::try_next`] has something to say.
    ///
    /// # Errors
    /// The connection failed, or ended within the body.
    async fn ready(&mut self) -> Result<(), ReadError>;

    /// Whether the connection that it comes from has failed (a reset; not an end). Whoever reads is woken by that.
    fn has_failed(&self) -> bool;

    /// From here on, whatever comes is content, until the stream ends.
    fn begin_tunnel(&mut self);

    /// Trailer fields as lines, once [`Piece::End`] was seen.
    fn trailers(&self) -> &[u8];
}

/// What content can be appended to, without waiting.
pub trait Append {
    /// Appends content.
    fn push(&mut self, chunk: Chunk);

    /// Appends the end, with trailer fields as lines.
    fn end(&mut self, trailers: &[u8]);

    /// Whether it should be sent before more is appended.
    fn is_full(&self) -> bool;
}

/// Where content goes.
#[allow(async_fn_in_trait)] // as above
pub trait Sink: Append {
    /// Ends the stream of a tunnel once everything has been sent.
    ///
    /// # Errors
    /// The connection failed.
    async fn shut_down(&mut self) -> io::Result<()>;

    /// Sends what was appended. It may return before the peer has taken it, but not before it has taken what was
    /// flushed before.
    ///
    /// # Errors
    /// The connection failed.
    async fn flush(&mut self) -> io::Result<()>;
}

/// What a source has.
#[derive(Debug)]
pub enum Piece {
    /// Content.
    Data(Chunk),
    /// Nothing yet.
    Wait,
    /// All of it was read.
    End,
}

/// Why a source cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// Framing, or an end before the end.
    Body(BodyError),
    /// More than the limit.
    TooLarge,
    /// The connection failed.
    Gone,
}

/// Why a relay ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayError {
    /// The source failed.
    Read(ReadError),
    /// The source brought nothing for too long.
    ReadTimeout,
    /// The sink failed.
    Write,
    /// The sink took nothing for too long.
    WriteTimeout,
}

/// How long a relay waits.
pub struct Pace<'a> {
    /// For the next bytes of the source.
    pub read: Duration,
    /// For the sink to take what it was given.
    pub write: Duration,
    /// When either direction last moved: reading waits on while the other direction moves.
    pub moved: &'a Cell<Instant>,
}

/// Moves everything from `source` to `sink`, waiting with `timer`.
///
/// # Errors
/// See [`RelayError`].
pub async fn relay<R: Source, W: Sink>(
    net: &Net,
    timer: &Timer,
    pace: &Pace<'_>,
    source: &mut R,
    sink: &mut W,
) -> Result<(), RelayError> {
    loop {
        let progress = fill(source, sink)?;
        timer.set(net.now() + pace.write);
        match timer.within(sink.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(RelayError::Write),
            Err(Elapsed) => return Err(RelayError::WriteTimeout),
        }
        pace.moved.set(net.now());
        match progress {
            Progress::Ended => return Ok(()),
            Progress::Full => continue,
            Progress::Waiting => {}
        }
        until(net, timer, pace.read, pace.moved, source.ready())
            .await
            .map_err(|Elapsed| RelayError::ReadTimeout)?
            .map_err(RelayError::Read)?;
        pace.moved.set(net.now());
    }
}

/// How far [`fill`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The source has ended, and so has the sink been told.
    Ended,
    /// The sink wants to be flushed.
    Full,
    /// The source has nothing more yet.
    Waiting,
}

/// Moves what has already arrived, without waiting.
///
/// # Errors
/// The source's.
pub fn fill<R: Source, W: Append>(source: &mut R, sink: &mut W) -> Result<Progress, RelayError> {
    while !sink.is_full() {
        match source.try_next().map_err(RelayError::Read)? {
            Piece::Data(chunk) => sink.push(chunk),
            Piece::Wait => return Ok(Progress::Waiting),
            Piece::End => {
                sink.end(source.trailers());
                return Ok(Progress::Ended);
            }
        }
    }
    Ok(Progress::Full)
}

/// Runs a future for as long as something has moved within `limit`.
///
/// # Errors
/// [`Elapsed`].
pub async fn until<F: Future>(
    net: &Net,
    timer: &Timer,
    limit: Duration,
    moved: &Cell<Instant>,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut future = std::pin::pin!(future);
    timer.set(moved.get() + limit);
    loop {
        match timer.within(future.as_mut()).await {
            Err(Elapsed) if moved.get() + limit > net.now() => timer.set(moved.get() + limit),
            result => return result,
        }
    }
}
