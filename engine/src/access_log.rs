//! Access log: one line for each request and each TCP session, written off the shards.
//!
//! Input: what is known of a request when it has been decided on ([`Requested`]) and when it has ended ([`Ended`]).
//! Output: lines in the configured file or on standard output. Owner: each shard has an [`AccessLog`], the control
//! thread has the process's [`Writer`].
//!
//! A request's part of its line is rendered when its head has been decided on, as the head's bytes are gone later, into
//! a [`Draft`] out of a pool. [`AccessLog::write`] appends the whole line to the shard's buffer. A full buffer, and each
//! second one that is not, goes through a bounded queue to the writer's thread and comes back empty. So a request takes
//! no lock, no system call and, once the pool is warm, no memory.
//!
//! Invariants: a shard never waits. When the queue is full because the disk or the reader of a pipe is slow, the lines
//! of the buffer in hand are dropped and counted ([`Tally`]). Whole lines only: a value that a client chose cannot end a
//! line or begin a field ([`escape`]). Each value is clipped to a bound.
//!
//! Errors: a file that cannot be opened keeps the process from starting; later errors drop lines, are counted, and
//! warned of once in a while ([`writer`]).
//!
//! # JSON
//!
//! One object a line (RFC 8259), fields in this order. Bytes that are not UTF-8 are shown as U+FFFD.
//!
//! | field | what | there |
//! |---|---|---|
//! | `time` | when the head had been decided on, RFC 3339 in UTC, with milliseconds | always |
//! | `client` | address of the real client, as trusted proxies tell it | always |
//! | `peer` | address of the other end of the connection | where it is another than `client` |
//! | `method`, `target`, `version` | as received; `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0` | if the head could be read |
//! | `host` | as received | if there was one |
//! | `request_id` | the client's or one that was made | for HTTP |
//! | `referer`, `user_agent` | as received | if there was one |
//! | `status` | 0: none was sent | always |
//! | `cause`, `phase` | why and where it ended, as in the metrics ([`crate::account`]) | always |
//! | `bytes_in`, `bytes_out` | of heads and bodies, from and to the client | always |
//! | `duration_us` | from the head's first byte to the answer's last, in microseconds | always |
//! | `upstream_us` | of that, from the request sent upstream to its answer's last byte; 0: no upstream was asked | always |
//! | `service`, `node` | name; address and port | if it got so far |
//! | `tenant` | its app_id | if it is known |
//! | `retried` | `true` | if it was sent upstream more than once |
//!
//! # Combined
//!
//! NCSA combined, as nginx and Apache write it; what is not known is `-`, a status that was not sent `000`:
//!
//! ```text
//! client - tenant [10/Oct/2000:13:55:36 +0000] "GET /a HTTP/1.1" status bytes "referer" "user agent"
//! ```
//!
//! `bytes` are those of the answer's body as it was sent, chunk framing included. `"`, `\`, control characters and bytes
//! beyond ASCII are written as `\xHH`, as nginx does.

pub mod escape;
pub mod line;
pub mod stamp;
pub mod writer;

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Instant;

use coregate_config::checked::AccessLogFormat;

use crate::account::Ending;
use crate::http::head::{RequestHead, Version};
use stamp::Stamp;
use writer::Batch;
pub use writer::{OpenError, Seed, Tally, Writer};

/// A shard's buffer is handed over before it grows beyond this.
pub const BUFFER_BYTES: usize = 32 << 10;
/// The most that a line's second part has, names and addresses at their longest.
const ENDED_BYTES_MAX: usize = 1 << 10;
/// Drafts that are kept for later requests, and the largest of them.
const DRAFTS_KEPT_MAX: usize = 1024;
const DRAFT_BYTES_KEPT_MAX: usize = 4 << 10;

/// What is known of a request once it has been decided on.
#[derive(Debug, Clone, Copy)]
pub struct Requested<'a> {
    /// The shard's time.
    pub now: Instant,
    /// The real client.
    pub client: IpAddr,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Its head, if it could be read.
    pub asked: Option<Asked<'a>>,
    /// Whom it asks, empty if it does not say.
    pub host: &'a str,
    /// Empty for a TCP session.
    pub request_id: &'a str,
}

/// What the line shows of a request's head.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// As received.
    pub method: &'a str,
    /// As received.
    pub target: &'a str,
    /// What the client speaks.
    pub version: Version,
    /// The Referer field.
    pub referer: Option<&'a [u8]>,
    /// The User-Agent field.
    pub user_agent: Option<&'a [u8]>,
}

/// What is known of a request once it has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// How it ended.
    pub ending: &'a Ending,
    /// Of `ending.bytes_out`, those of the answer's body.
    pub body_bytes_out: u64,
    /// Where it went.
    pub service: Option<&'a str>,
    /// The node that was asked last.
    pub node: Option<SocketAddr>,
    /// Whose it was.
    pub tenant: Option<&'a str>,
    /// It was sent upstream more than once.
    pub retried: bool,
}

/// A request's part of a line.
#[derive(Debug)]
pub struct Draft {
    text: Vec<u8>,
    /// Where in `text` the tenant goes; used by the combined format.
    tenant_at: usize,
    /// Where in `text` the ending goes.
    ending_at: usize,
}

/// A shard's part of the access log.
pub struct AccessLog {
    /// `None` = there is no access log.
    on: Option<On>,
}

struct On {
    format: AccessLogFormat,
    sampler: Sampler,
    stamp: RefCell<Stamp>,
    drafts: RefCell<Vec<Vec<u8>>>,
    buffer: RefCell<Buffer>,
}

/// Lines that have not been handed over, and the way to the writer's thread.
struct Buffer {
    text: Vec<u8>,
    lines: u64,
    seed: Seed,
    /// Gives a buffer back; goes with each batch.
    back: SyncSender<Vec<u8>>,
    returned: Receiver<Vec<u8>>,
}

impl<'a> Asked<'a> {
    /// What the line shows of that head.
    pub fn of(head: &RequestHead<'_, 'a>) -> Self {
        let (mut referer, mut user_agent) = (None, None);
        for field in head.fields {
            match field.name.len() {
                7 if field.name.eq_ignore_ascii_case("referer") => referer = Some(field.value),
                10 if field.name.eq_ignore_ascii_case("user-agent") => user_agent = Some(field.value),
                _ => {}
            }
        }
        Self { method: head.method, target: head.target, version: head.version, referer, user_agent }
    }
}

impl AccessLog {
    /// A shard's part of that log; none if there is no log.
    pub fn new(seed: Option<Seed>) -> Self {
        Self { on: seed.map(|seed| On::new(seed, RandomState::new().hash_one("access log"))) }
    }

    /// Begins a request's line; `None` if it gets none.
    #[inline]
    pub fn draft(&self, requested: &Requested) -> Option<Draft> {
        let on = self.on.as_ref()?;
        on.sampler.takes().then(|| on.draft(requested))
    }

    /// Whether there is a log; if not, there is no need to gather what it shows.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.is_some()
    }

    /// Ends a request's line.
    pub fn write(&self, draft: Draft, ended: &Ended) {
        if let Some(on) = &self.on {
            on.write(draft, ended);
        }
    }

    /// Hands over what there is. To be called each second or so, and before the shard ends.
    pub fn flush(&self) {
        if let Some(on) = &self.on {
            on.buffer.borrow_mut().hand_over();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl On {
    fn new(seed: Seed, random: u64) -> Self {
        let (back, returned) = std::sync::mpsc::sync_channel(writer::BUFFERS_KEPT_MAX);
        Self {
            format: seed.format,
            sampler: Sampler::new(seed.sample, random),
            stamp: RefCell::new(Stamp::new(seed.format)),
            drafts: RefCell::default(),
            buffer: RefCell::new(Buffer { text: Vec::new(), lines: 0, seed, back, returned }),
        }
    }

    fn draft(&self, requested: &Requested) -> Draft {
        let mut text = self.drafts.borrow_mut().pop().unwrap_or_default();
        text.clear();
        let mut draft = Draft { text, tenant_at: 0, ending_at: 0 };
        let mut stamp = self.stamp.borrow_mut();
        let time = stamp.at(requested.now, stamp::wall_ms);
        match self.format {
            AccessLogFormat::Json => line::begin_json(&mut draft, time, requested),
            AccessLogFormat::Combined => line::begin_combined(&mut draft, time, requested),
        }
        draft
    }

    fn write(&self, draft: Draft, ended: &Ended) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.text.len() + draft.text.len() + ENDED_BYTES_MAX > BUFFER_BYTES {
            buffer.hand_over();
        }
        match self.format {
            AccessLogFormat::Json => line::end_json(&mut buffer.text, &draft, ended),
            AccessLogFormat::Combined => line::end_combined(&mut buffer.text, &draft, ended),
        }
        buffer.lines += 1;
        let mut drafts = self.drafts.borrow_mut();
        if drafts.len() < DRAFTS_KEPT_MAX && draft.text.capacity() <= DRAFT_BYTES_KEPT_MAX {
            drafts.push(draft.text);
        }
    }
}

impl Buffer {
    fn hand_over(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if lines == 0 {
            return;
        }
        let text = std::mem::take(&mut self.text);
        let batch = Batch { text, lines, back: self.back.clone() };
        match self.seed.queue.try_send(batch) {
            Ok(()) => {
                self.seed.thread.unpark();
                self.text = self.returned.try_recv().unwrap_or_else(|_| Vec::with_capacity(BUFFER_BYTES));
            }
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                self.seed.tally.dropped_queue_full.fetch_add(lines, Ordering::Relaxed);
                self.text = batch.text;
                self.text.clear();
            }
        }
    }
}

/// Takes a share of the requests, each by chance (xorshift64*: Marsaglia 2003, Vigna 2016).
struct Sampler {
    state: Cell<u64>,
    /// A draw below this is taken; `None` = all are.
    below: Option<u64>,
}

impl Sampler {
    #[expect(clippy::cast_possible_truncation, reason = "a share below 1 stays below 2^64")]
    fn new(share: f64, random: u64) -> Self {
        let below = (share < 1.0).then(|| (share.max(0.0) * u64::MAX as f64) as u64);
        Self { state: Cell::new(random | 1), below }
    }

    #[inline]
    fn takes(&self) -> bool {
        let Some(below) = self.below else { return true };
        let mut x = self.state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.state.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d) < below
    }
}

#[cfg(test)]
mod tests;
