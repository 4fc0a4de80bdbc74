//! What a client may do to an HTTP/2 connection that costs it little and the gateway much.
//!
//! Input: the bytes that it sends, with the time, and those that are sent to it. Output: [`Abuse`], once it has done too
//! much; its connection is then ended with ENHANCE_YOUR_CALM. Sans-io.
//!
//! The `h2` crate bounds memory by itself: it reads no further while an answer to a PING or SETTINGS waits, ends
//! connections for header lists of several times the limit, too many CONTINUATION frames, empty or tiny DATA frames, and
//! resets that it had to send. What is bounded here is work:
//!
//! | what | bound |
//! |---|---|
//! | streams that the client resets ("rapid reset", CVE-2023-44487) | `max_resets_per_second`, as many at once |
//! | frames that carry nothing: all but HEADERS, RST_STREAM and filled DATA | [`IDLE_FRAMES_PER_SECOND`], [`IDLE_FRAMES_BURST`] at once, and more as traffic earns them |
//! | CONTINUATION frames of one header block | [`CONTINUATIONS_MAX`] |
//! | time for a header block | the listener's `header_timeout`, see [`Guard::block_since`] |

use std::time::Instant;

use super::frames::{Head, Kind, Scanner, Seen};

/// Frames without content that a client may send at once ...
pub const IDLE_FRAMES_BURST: u32 = 2_000;
/// ... and how many more each second gives it the right to, each stream that it opens, and each DATA frame that is sent to
/// it: a client may answer each with WINDOW_UPDATEs for stream and connection, and a PING to measure the path.
pub const IDLE_FRAMES_PER_SECOND: u32 = 500;
const IDLE_FRAMES_PER_STREAM: u64 = 8;
const IDLE_FRAMES_PER_DATA: u64 = 4;
/// A block of the largest size in frames of the smallest useful size.
pub const CONTINUATIONS_MAX: u32 = 64;

/// What was too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abuse {
    /// Streams opened and reset.
    Resets,
    /// Frames without content.
    IdleFrames,
    /// CONTINUATION frames.
    Continuations,
}

/// Watches over one connection.
#[derive(Debug)]
pub struct Guard {
    from_client: Scanner,
    to_client: Scanner,
    counts: Counts,
}

#[derive(Debug)]
struct Counts {
    resets: Bucket,
    idle_frames: Bucket,
    /// CONTINUATION frames of the header block that is coming.
    continuations: u32,
    block_since: Option<Instant>,
    abuse: Option<Abuse>,
}

impl Guard {
    /// For a connection that begins now.
    pub fn new(now: Instant, resets_per_second: u32) -> Self {
        let counts = Counts {
            resets: Bucket::full(now, resets_per_second, resets_per_second),
            idle_frames: Bucket::full(now, IDLE_FRAMES_PER_SECOND, IDLE_FRAMES_BURST),
            continuations: 0,
            block_since: None,
            abuse: None,
        };
        Self { from_client: Scanner::of_client(), to_client: Scanner::of_server(), counts }
    }

    /// Looks at what was received.
    pub fn received(&mut self, now: Instant, bytes: &[u8]) {
        let Self { from_client, counts, .. } = self;
        from_client.scan(bytes, |seen| match seen {
            Seen::Begun(head) => counts.begun(now, head),
            Seen::Ended(head) => counts.ended(head),
        });
    }

    /// Looks at what is sent to the client.
    pub fn sent(&mut self, bytes: &[u8]) {
        let Self { to_client, counts, .. } = self;
        to_client.scan(bytes, |seen| {
            if let Seen::Begun(Head { kind: Kind::Data, .. }) = seen {
                counts.idle_frames.add(IDLE_FRAMES_PER_DATA * MILLION);
            }
        });
    }

    /// What the client has done too much of.
    pub fn abuse(&self) -> Option<Abuse> {
        self.counts.abuse
    }

    /// When the header block began that has not come to its end.
    pub fn block_since(&self) -> Option<Instant> {
        self.counts.block_since
    }
}

impl Counts {
    fn begun(&mut self, now: Instant, head: Head) {
        let (within, abuse) = match head.kind {
            Kind::Reset => (self.resets.take(now), Abuse::Resets),
            Kind::Headers => {
                self.idle_frames.add(IDLE_FRAMES_PER_STREAM * MILLION);
                self.continuations = 0;
                self.block_since = Some(now);
                return;
            }
            Kind::Continuation => {
                self.continuations += 1;
                (self.continuations <= CONTINUATIONS_MAX, Abuse::Continuations)
            }
            Kind::Data if head.len > 0 || head.end_stream => return,
            Kind::Data | Kind::WindowUpdate | Kind::Other => (self.idle_frames.take(now), Abuse::IdleFrames),
        };
        if !within {
            self.abuse.get_or_insert(abuse);
        }
    }

    fn ended(&mut self, head: Head) {
        if matches!(head.kind, Kind::Headers | Kind::Continuation) && head.end_headers {
            self.block_since = None;
        }
    }
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    /// Millionths of tokens.
    millionths: u64,
    /// Tokens that it holds at most.
    max: u32,
    per_second: u32,
    /// Up to when its tokens have been filled in.
    filled: Instant,
}

const MILLION: u64 = 1_000_000;

impl Bucket {
    fn full(now: Instant, per_second: u32, max: u32) -> Self {
        Self { millionths: u64::from(max) * MILLION, max, per_second, filled: now }
    }

    fn add(&mut self, millionths: u64) {
        self.millionths = self.millionths.saturating_add(millionths).min(u64::from(self.max) * MILLION);
    }

    /// Takes a token; whether there was one.
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled);
        self.filled = now;
        let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        self.add(micros.saturating_mul(u64::from(self.per_second)));
        let left = self.millionths.checked_sub(MILLION);
        self.millionths = left.unwrap_or(self.millionths);
        left.is_some()
    }
}

#[cfg(test)]
mod tests;
