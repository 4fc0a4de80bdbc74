//! The thread that writes the access log.
//!
//! Input: batches of lines from all shards through one bounded queue; what the control thread asks for (reopen, finish).
//! Output: bytes in a file, a named pipe or standard output; a [`Tally`]. Owner: the control thread has the [`Writer`].
//! The thread sleeps until it is unparked; it may wait for the disk for as long as that takes.
//!
//! Errors: a file that cannot be opened is an [`OpenError`] at start; at a reopen the old one stays in use. A write that
//! fails drops the rest of its batch, is counted and warned of at most each [`WARNING_INTERVAL`]; the next batch tries
//! again, so a disk that has room once more is written to without further ado. A line that was cut is ended first, so
//! that it spoils no other.
//!
//! Nothing is opened in a way that could wait: a named pipe that nobody reads is an error (ENXIO), and one that is full
//! is waited for with `poll`, so that a reopen or the end of the process is seen meanwhile.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use coregate_config::checked::{self, AccessLogFormat, AccessLogPath};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{error, info, warn};

use super::BUFFER_BYTES;
use crate::clock;

/// Batches that may wait for the thread, for each shard: 4 MiB.
const BATCHES_QUEUED_MAX: usize = 128;
/// Empty buffers on their way back to one shard.
pub const BUFFERS_KEPT_MAX: usize = 16;
/// At most one warning about lost lines in so long.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);
/// How long a pipe is waited for before the thread looks at what else it was told.
const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// The owner writes, the group reads, others do not: a log tells who visited what.
const MODE: u32 = 0o640;

/// The process's end of the log: starts the thread, tells it things.
#[derive(Debug)]
pub struct Writer {
    seed: Seed,
    orders: Arc<Orders>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

/// What a shard makes its own part of.
#[derive(Debug, Clone)]
pub struct Seed {
    pub(super) format: AccessLogFormat,
    pub(super) sample: f64,
    pub(super) queue: SyncSender<Batch>,
    pub(super) tally: Arc<Tally>,
    pub(super) thread: Thread,
}

/// Whole lines, and where the buffer goes when they are written.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) text: Vec<u8>,
    pub(super) lines: u64,
    pub(super) back: SyncSender<Vec<u8>>,
}

/// What became of the lines.
#[derive(Debug, Default)]
pub struct Tally {
    /// Lines written.
    pub written: AtomicU64,
    /// Lines dropped by shards because the thread was behind.
    pub dropped_queue_full: AtomicU64,
    /// Lines dropped because they could not be written.
    pub dropped_write_error: AtomicU64,
    /// Times that the file was opened anew.
    pub reopened: AtomicU64,
    /// Times that this failed.
    pub reopen_failed: AtomicU64,
}

#[derive(Debug, Default)]
struct Orders {
    reopen: AtomicBool,
    finish: AtomicBool,
}

/// Why the log cannot be opened.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { path, error } = self;
        let right = match error.raw_os_error() {
            Some(libc::ENOENT) => "create its folder",
            Some(libc::ENOTDIR) => "a part of its path is no folder; name another file",
            Some(libc::EACCES) => "let this user create and write it (owner, mode), or name another file",
            Some(libc::EISDIR) => "that is a folder; name a file in it",
            Some(libc::EROFS) => "name a file on a file system that can be written to",
            Some(libc::ENXIO) => "nobody reads that pipe; start its reader first",
            Some(libc::ENOSPC | libc::EDQUOT) => "free some space",
            _ => "name a file that can be written to, \"stdout\" or \"none\"",
        };
        write!(f, "server.access_log.path = \"{}\": cannot be opened: {error}; {right}", path.display())
    }
}

impl std::error::Error for OpenError {}

impl Writer {
    /// Opens the log and starts its thread; `None` if there is to be no log.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn start(config: &checked::AccessLog, shards: usize) -> Result<Option<Self>, OpenError> {
        let output = match &config.path {
            _ if config.sample <= 0.0 => return Ok(None),
            AccessLogPath::None => return Ok(None),
            AccessLogPath::Stdout => Output::stdout()?,
            AccessLogPath::File(path) => Output::file(path)?,
        };
        let name = output.name();
        let (queue, batches) = sync_channel(BATCHES_QUEUED_MAX * shards.max(1));
        let (ends, ended) = sync_channel(1);
        let (orders, tally) = (Arc::<Orders>::default(), Arc::<Tally>::default());
        let (its_orders, its_tally) = (Arc::clone(&orders), Arc::clone(&tally));
        let thread = thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            Writing::new(output, its_orders, its_tally).run(&batches);
            drop(ends);
        });
        let thread = thread.map_err(|error| OpenError { path: name, error })?.thread().clone();
        let seed = Seed { format: config.format, sample: config.sample, queue, tally, thread };
        Ok(Some(Self { seed, orders, ended }))
    }

    /// What a shard is started with.
    pub fn seed(&self) -> Seed {
        self.seed.clone()
    }

    /// What became of the lines so far.
    pub fn tally(&self) -> &Tally {
        &self.seed.tally
    }

    /// Has the file opened anew, as it may have been renamed.
    pub fn reopen(&self) {
        self.orders.reopen.store(true, Ordering::Release);
        self.seed.thread.unpark();
    }

    /// Waits until all that the shards handed over is written, at most so long; whether it is.
    pub fn finish(&self, patience: Duration) -> bool {
        self.orders.finish.store(true, Ordering::Release);
        self.seed.thread.unpark();
        self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

/// Where lines go.
struct Output {
    file: File,
    /// `None` = standard output, which cannot be opened anew.
    path: Option<PathBuf>,
}

impl Output {
    fn stdout() -> Result<Self, OpenError> {
        let file = io::stdout().as_fd().try_clone_to_owned();
        let file = file.map_err(|error| OpenError { path: "stdout".into(), error })?;
        Ok(Self { file: file.into(), path: None })
    }

    fn file(path: &Path) -> Result<Self, OpenError> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(MODE).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = options.open(path).map_err(|error| OpenError { path: path.to_owned(), error })?;
        Ok(Self { file, path: Some(path.to_owned()) })
    }

    /// Device and inode.
    fn identity(&self) -> Option<(u64, u64)> {
        self.file.metadata().ok().map(|found| (found.dev(), found.ino()))
    }

    fn name(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| "stdout".into())
    }
}

/// The thread's state.
struct Writing {
    output: Output,
    orders: Arc<Orders>,
    tally: Arc<Tally>,
    /// The last write ended within a line.
    cut: bool,
    /// Lines dropped since a write succeeded.
    lost: u64,
    warned: Option<Instant>,
}

impl Writing {
    fn new(output: Output, orders: Arc<Orders>, tally: Arc<Tally>) -> Self {
        Self { output, orders, tally, cut: false, lost: 0, warned: None }
    }

    fn run(mut self, batches: &Receiver<Batch>) {
        loop {
            if self.orders.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            // Looked at before the queue: what was handed over before the order is written.
            let finish = self.orders.finish.load(Ordering::Acquire);
            match batches.try_recv() {
                Ok(batch) => self.batch(batch),
                Err(_) if finish => return,
                Err(_) => thread::park(),
            }
        }
    }

    fn batch(&mut self, batch: Batch) {
        let Batch { mut text, lines, back } = batch;
        match self.write_all(&text) {
            Ok(()) => {
                self.tally.written.fetch_add(lines, Ordering::Relaxed);
                self.recovered();
            }
            Err((done, error)) => {
                let whole = count_lines(&text[..done]);
                self.cut = done > 0 && text[done - 1] != b'\n';
                self.tally.written.fetch_add(whole, Ordering::Relaxed);
                self.failed(lines.saturating_sub(whole), &error);
            }
        }
        text.clear();
        if text.capacity() <= 2 * BUFFER_BYTES {
            // If that many are on their way this one is not needed.
            let _ = back.try_send(text);
        }
    }

    /// Writes all of it, or says how much of it was.
    fn write_all(&mut self, text: &[u8]) -> Result<(), (usize, io::Error)> {
        if self.cut {
            self.write(b"\n", &mut 0).map_err(|error| (0, error))?;
            self.cut = false;
        }
        let mut done = 0;
        while done < text.len() {
            self.write(text, &mut done).map_err(|error| (done, error))?;
        }
        Ok(())
    }

    /// Writes some of what is not `done`, waiting for a pipe that is full.
    fn write(&mut self, text: &[u8], done: &mut usize) -> io::Result<()> {
        loop {
            match self.output.file.write(&text[*done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    *done += written;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut pipe = [PollFd::new(&self.output.file, PollFlags::OUT)];
                    // A signal only ends the wait.
                    let _ = poll(&mut pipe, Some(&POLL));
                    if self.orders.reopen.swap(false, Ordering::AcqRel) && self.reopen() {
                        // Another file: the line at hand is written to it whole.
                        *done =
                            text[..*done].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens the file anew; whether that is another one now.
    fn reopen(&mut self) -> bool {
        let Some(path) = &self.output.path else {
            info!("access log: standard output cannot be reopened; it stays in use");
            return false;
        };
        match Output::file(path) {
            Ok(output) => {
                info!(path = %path.display(), "access log: reopened");
                let another = output.identity() != self.output.identity();
                self.output = output;
                self.cut &= !another;
                self.tally.reopened.fetch_add(1, Ordering::Relaxed);
                another
            }
            Err(error) => {
                error!("access log: {error}; the file that was open stays in use");
                self.tally.reopen_failed.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    fn failed(&mut self, lines: u64, error: &io::Error) {
        self.tally.dropped_write_error.fetch_add(lines, Ordering::Relaxed);
        self.lost += lines;
        let now = clock::read();
        if self.warned.is_none_or(|warned| now.saturating_duration_since(warned) >= WARNING_INTERVAL) {
            self.warned = Some(now);
            warn!(path = %self.output.name().display(), lines = self.lost, %error, "access log: lines are lost");
        }
    }

    fn recovered(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            info!(path = %self.output.name().display(), lost, "access log: lines can be written again");
        }
    }
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests;
