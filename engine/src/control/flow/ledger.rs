//! The ledger: what has to be added to Redis, each count exactly once. Sans-io.
//!
//! Input: counts by key ([`Ledger::add`]), and what came of the batch that was sent ([`Ledger::settle`]). Output: the
//! [`Batch`] to send. Owner: the control thread, through [`Flow`](super::Flow).
//!
//! How a count is neither lost nor written twice while the process lives:
//!
//! - Counts that were not sent yet add up under their key, so memory grows with keys and not with the time that Redis is
//!   away. Keys are bounded: what nobody counted for during the time that Redis would have kept it is dropped, which
//!   is counted ([`Stats::dropped`]).
//! - At most one batch is under way. It does not change any more; what comes meanwhile waits for the next. It is sent
//!   again until Redis has confirmed each of its entries' parts.
//! - Each part has a number of its own, one more than the last. Redis keeps the number that it applied last, for this
//!   process's (instance, boot), and writes it in the same script as the counts: a part that it has is not applied
//!   again, however often and however late it comes. Parts are applied in their order: one that comes before the one
//!   ahead of it is sent again.
//! - A key that Redis refuses (of another type, over 2^63) does not stop the others of its part; what it refused goes
//!   back to the ledger and into a later batch. So nothing is lost when somebody removes such a key.
//!
//! What the numbers do not cover: a process that is killed loses what it had not written (at most about two intervals
//! while Redis works); a Redis that forgets what it has confirmed (a failover before replication, a crash without
//! `appendfsync always`) has lost it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::civil::Date;

/// Keys in one part, so that no script holds a server up for more than some milliseconds.
pub const PART_KEYS_MAX: usize = 1000;
const _: () = assert!(PART_KEYS_MAX <= BATCH_KEYS_MAX);

/// Keys in one pipeline, so that a server answers it within its time. What is more follows at once.
pub const BATCH_KEYS_MAX: usize = 20_000;

/// Whose counter it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The whole site.
    Total,
    /// A service, by name.
    Service(Arc<str>),
    /// A tenant, by `app_id`.
    App(Arc<str>),
}

/// Which counter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Requests of a local day.
    Day(Date, Subject),
    /// Requests of a local hour, both of them when clocks are put back.
    Hour(Date, i8, Subject),
    /// Admitted requests of a tenant that has a limit a day.
    Quota(Date, Arc<str>),
}

/// What is to be sent, all in one pipeline. Its parts are immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// In the order of their numbers.
    pub parts: Vec<Arc<Part>>,
}

/// What one script call writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Counts the parts of this process, from 1.
    pub sequence: u64,
    /// How much is to be added to which key; quotas last.
    pub entries: Vec<(Key, u64)>,
}

/// What came of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It was applied, now or before. The entries named here were not, for the reason given.
    Applied {
        /// Index into the part's entries, and the server's words.
        refused: Vec<(usize, Arc<str>)>,
    },
    /// It was not, or nobody knows: it is sent again.
    Open,
}

/// What the ledger has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches that were confirmed.
    pub confirmed: u64,
    /// Attempts that were not.
    pub failed: u64,
    /// Times that Redis refused a single key.
    pub refused: u64,
    /// Counts that were dropped, as they could not be written for as long as Redis would have kept them.
    pub dropped: u64,
}

#[derive(Debug)]
struct Open {
    count: u64,
    /// When something was added last.
    touched: Instant,
}

/// All that has to be written.
#[derive(Debug)]
pub struct Ledger {
    open: BTreeMap<Key, Open>,
    /// Under way, or to be sent again.
    sent: VecDeque<Arc<Part>>,
    /// The last number given out.
    sequence: u64,
    part_keys_max: usize,
    keep: Duration,
    /// What has happened.
    pub stats: Stats,
}

impl Ledger {
    /// Nothing to write. `keep`: how long Redis keeps a counter; `part_keys_max`: 1 where a script may touch one key
    /// only.
    pub fn new(keep: Duration, part_keys_max: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            sent: VecDeque::new(),
            sequence: 0,
            part_keys_max: part_keys_max.max(1),
            keep,
            stats: Stats::default(),
        }
    }

    /// Adds to a counter.
    pub fn add(&mut self, key: Key, count: u64, now: Instant) {
        if count == 0 {
            return;
        }
        let open = self.open.entry(key).or_insert(Open { count: 0, touched: now });
        open.count = open.count.saturating_add(count);
        open.touched = open.touched.max(now);
    }

    /// How many keys wait to be written, those under way included.
    pub fn keys(&self) -> usize {
        self.open.len() + self.sent.iter().map(|part| part.entries.len()).sum::<usize>()
    }

    /// Counts of the whole site's days that are not confirmed yet, for people.
    pub fn unwritten_requests(&self) -> u64 {
        let is_total = |key: &Key| matches!(key, Key::Day(_, Subject::Total));
        let open = self.open.iter().filter(|(key, _)| is_total(key)).map(|(_, open)| open.count);
        let sent = self.sent.iter().flat_map(|part| &part.entries).filter(|(key, _)| is_total(key));
        open.chain(sent.map(|(_, count)| *count)).fold(0, u64::saturating_add)
    }

    /// What has to be sent now: what is left of the last batch, else a new one; `None` if there is nothing.
    pub fn batch(&mut self, now: Instant) -> Option<Batch> {
        if self.sent.is_empty() {
            self.drop_outdated(now);
            let mut entries = std::mem::take(&mut self.open).into_iter().map(|(key, open)| (key, open.count));
            loop {
                let entries: Vec<(Key, u64)> = entries.by_ref().take(self.part_keys_max).collect();
                if entries.is_empty() {
                    break;
                }
                self.sequence += 1;
                self.sent.push_back(Arc::new(Part { sequence: self.sequence, entries }));
            }
        }
        let mut keys = 0;
        let fits = |part: &&Arc<Part>| {
            keys += part.entries.len();
            keys <= BATCH_KEYS_MAX
        };
        let parts: Vec<Arc<Part>> = self.sent.iter().take_while(fits).cloned().collect();
        (!parts.is_empty()).then_some(Batch { parts })
    }

    /// Whether a batch was too large for one pipeline and its rest is still to be sent.
    pub fn has_rest(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Takes what came of a batch, part by part. Gives back the keys that were refused.
    pub fn settle(&mut self, batch: &Batch, settled: &[Settled], now: Instant) -> Vec<(Key, Arc<str>)> {
        let mut refusals = Vec::new();
        let mut confirmed = 0;
        for (part, settled) in batch.parts.iter().zip(settled) {
            let Settled::Applied { refused } = settled else { continue };
            confirmed += 1;
            let before = self.sent.len();
            self.sent.retain(|sent| sent.sequence != part.sequence);
            if self.sent.len() == before {
                // Told before.
                continue;
            }
            for (index, why) in refused {
                let Some((key, count)) = part.entries.get(*index) else { continue };
                self.add(key.clone(), *count, now);
                self.stats.refused += 1;
                refusals.push((key.clone(), Arc::clone(why)));
            }
        }
        if confirmed == batch.parts.len() {
            self.stats.confirmed += 1;
        } else {
            self.stats.failed += 1;
        }
        refusals
    }

    /// A clock on the wall that jumps is no reason to drop anything, so it is not asked.
    fn drop_outdated(&mut self, now: Instant) {
        let (keep, dropped) = (self.keep, &mut self.stats.dropped);
        self.open.retain(|_, open| {
            let fresh = now.saturating_duration_since(open.touched) <= keep;
            if !fresh {
                *dropped = dropped.saturating_add(open.count);
            }
            fresh
        });
    }
}

#[cfg(test)]
mod tests;
