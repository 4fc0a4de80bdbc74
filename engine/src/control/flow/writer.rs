//! The writer: sends the ledger to Redis, and reads back what other processes have used of a tenant's day.
//!
//! Input: the ledger, `now`, and what tasks report ([`Written`], [`QuotasRead`]). Output: tasks that send one pipeline
//! each. Owner: the control thread, through [`Flow`](super::Flow). Decisions are made here with `now` passed in; the tasks
//! only carry.
//!
//! One pipeline each `stats.interval`, whatever the load (more only for more than [`BATCH_KEYS_MAX`] keys); none while there is nothing to write or one is under way. A
//! pipeline that failed is tried again with the next interval, during the end of the process every [`END_PAUSE`].
//!
//! **What others have used.** Every flush that wrote to a tenant's quota brings its value over all processes back. It is
//! read once for each tenant after the start (or after the tenant was configured), so that a restart forgets nothing.
//! [`QuotaUse::others`] is that value less what this process has written itself: what it admitted and has not written
//! yet is counted where it is admitted.
//!
//! [`BATCH_KEYS_MAX`]: super::ledger::BATCH_KEYS_MAX

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coregate_config::checked::Stats;
use jiff::civil::Date;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::ledger::{Batch, Key, Ledger, PART_KEYS_MAX, Settled};
use super::script::{self, Names};
use crate::control::Event;
use crate::control::redis::{Address, Call, Failure, Redis, Refused, Reply};

/// Between attempts while the process ends.
const END_PAUSE: Duration = Duration::from_millis(200);
/// Quotas read in one pipeline.
const QUOTAS_READ_MAX: usize = 1000;
/// Refused keys are logged again after this.
const LOG_AGAIN: Duration = Duration::from_secs(60);
/// Refused keys named in one log line.
const KEYS_NAMED_MAX: usize = 5;

/// Sends the ledger.
pub struct Writer {
    /// What is to be written.
    pub ledger: Ledger,
    /// Where to.
    pub redis: Redis,
    /// How keys are called.
    pub names: Names,
    interval: Duration,
    /// When the next pipeline may be sent.
    due: Instant,
    under_way: bool,
    /// The process ends: the next batch is the last.
    ending: bool,
    quotas: BTreeMap<Arc<str>, Quota>,
    /// Tenants whose quota was not read yet.
    unread: BTreeSet<Arc<str>>,
    reading: bool,
    logged: Option<Instant>,
    events: mpsc::Sender<Event>,
}

/// What is known of one tenant's day.
#[derive(Debug, Clone, Copy)]
struct Quota {
    date: Date,
    /// Written by this process, in this day.
    own: u64,
    /// Over all processes, as Redis said last.
    used: u64,
}

/// What all processes have admitted of a tenant's requests on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUse {
    /// Whose.
    pub app_id: Arc<str>,
    /// The day, in `stats.timezone`.
    pub date: Date,
    /// All processes, as far as they have written it.
    pub used: u64,
    /// Of that, by other processes and by earlier runs of this one.
    pub others: u64,
}

/// A pipeline has ended.
#[derive(Debug)]
pub struct Written {
    batch: Batch,
    answers: Result<Vec<Result<Reply, Refused>>, Failure>,
}

/// Quotas were read.
#[derive(Debug)]
pub struct QuotasRead {
    date: Date,
    apps: Vec<Arc<str>>,
    answers: Result<Vec<Result<Reply, Refused>>, Failure>,
}

impl Writer {
    /// For a configuration that names a Redis; connects in the background.
    ///
    /// # Errors
    /// What is wrong with `[stats]`: [`check`] finds it before.
    pub fn start(stats: &Stats, events: mpsc::Sender<Event>, now: Instant) -> Result<Option<Self>, String> {
        let Some(url) = &stats.redis_url else { return Ok(None) };
        let redis = Redis::start(Address::parse(url)?);
        let names = Names::new(&stats.key_prefix, &instance(), &boot(), stats.retention, redis.is_cluster());
        let part_keys_max = if names.spread() { 1 } else { PART_KEYS_MAX };
        Ok(Some(Self {
            ledger: Ledger::new(stats.retention, part_keys_max),
            redis,
            names,
            interval: stats.interval,
            due: now + stats.interval,
            under_way: false,
            ending: false,
            quotas: BTreeMap::new(),
            unread: BTreeSet::new(),
            reading: false,
            logged: None,
            events,
        }))
    }

    /// When [`Writer::send_due`] has something to do at the earliest.
    pub fn next_due(&self) -> Option<Instant> {
        (!self.under_way).then_some(self.due)
    }

    /// Sends what is to be written, if it is time.
    pub fn send_due(&mut self, now: Instant) {
        if self.under_way || now < self.due {
            return;
        }
        self.due = now + if self.ending { END_PAUSE.min(self.interval) } else { self.interval };
        let Some(batch) = self.ledger.batch(now) else { return };
        let calls = self.names.calls(&batch, self.ending);
        let (redis, events) = (self.redis.clone(), self.events.clone());
        self.under_way = true;
        tokio::spawn(async move {
            let answers = redis.run(calls).await;
            let _ = events.send(Event::Written(Box::new(Written { batch, answers }))).await;
        });
    }

    /// Takes what came of a pipeline. Gives back what it said about quotas.
    pub fn on_written(&mut self, written: &Written, now: Instant) -> Vec<QuotaUse> {
        self.under_way = false;
        let Written { batch, answers } = written;
        let answers = answers.as_deref().unwrap_or_default();
        let outcome = script::read(batch, answers);
        let refusals = self.ledger.settle(batch, &outcome.settled, now);
        let all_applied = outcome.settled.iter().all(|settled| *settled != Settled::Open);
        if all_applied && self.ledger.has_rest() {
            self.due = now;
        }
        let refused: BTreeSet<&Key> = refusals.iter().map(|(key, _)| key).collect();
        for (part, settled) in batch.parts.iter().zip(&outcome.settled) {
            if *settled != Settled::Open {
                let written = part.entries.iter().filter(|(key, _)| !refused.contains(key));
                written.for_each(|(key, count)| self.count_own(key, *count));
            }
        }
        // What makes the whole server no use is logged with its connection.
        let because = outcome.open_because.as_ref().filter(|_| self.redis.health().trouble.is_none());
        self.log_refusals(&refusals, because.or(outcome.unkept.as_ref()), now);
        let uses = outcome.quotas.into_iter().filter_map(|(key, used)| match key {
            Key::Quota(date, app) => self.learn(&app, date, used),
            Key::Day(..) | Key::Hour(..) => None,
        });
        uses.collect()
    }

    /// The process ends: what is left is sent at once, and again until [`Writer::is_done`].
    pub fn end(&mut self, now: Instant) {
        self.ending = true;
        self.due = now;
    }

    /// Whether everything is written.
    pub fn is_done(&self) -> bool {
        !self.under_way && self.ledger.keys() == 0
    }

    /// Exactly these tenants have a limit a day from now on.
    pub fn retain_quotas(&mut self, apps: &BTreeSet<Arc<str>>, today: Date) {
        self.quotas.retain(|app, _| apps.contains(app));
        self.unread.retain(|app| apps.contains(app));
        for app in apps {
            if !self.quotas.contains_key(app) {
                self.quotas.insert(Arc::clone(app), Quota { date: today, own: 0, used: 0 });
                self.unread.insert(Arc::clone(app));
            }
        }
    }

    /// Reads quotas that were not read yet, once there is a connection.
    pub fn read_quotas(&mut self, today: Date) {
        if self.reading || self.unread.is_empty() || !self.redis.health().connected {
            return;
        }
        self.reading = true;
        let apps: Vec<Arc<str>> = self.unread.iter().take(QUOTAS_READ_MAX).cloned().collect();
        let name = |app: &Arc<str>| self.names.key(&Key::Quota(today, Arc::clone(app)));
        let calls = apps.iter().map(|app| Call::command("GET", vec![name(app)], Vec::new())).collect();
        let (redis, events) = (self.redis.clone(), self.events.clone());
        tokio::spawn(async move {
            let answers = redis.run(calls).await;
            let read = Box::new(QuotasRead { date: today, apps, answers });
            let _ = events.send(Event::QuotasRead(read)).await;
        });
    }

    /// Takes quotas that were read.
    pub fn on_quotas_read(&mut self, read: &QuotasRead) -> Vec<QuotaUse> {
        self.reading = false;
        let Ok(answers) = &read.answers else { return Vec::new() };
        let mut uses = Vec::new();
        for (app, answer) in read.apps.iter().zip(answers) {
            let used = match answer {
                Ok(Reply::Null) => 0,
                Ok(value) => value.as_u64().unwrap_or(0),
                // Of another type: every flush says so.
                Err(_) => 0,
            };
            self.unread.remove(app);
            uses.extend(self.learn(app, read.date, used));
        }
        uses
    }

    /// What is known of a tenant's day, if it has a limit.
    pub fn quota(&self, app: &str) -> Option<QuotaUse> {
        let (app_id, quota) = self.quotas.get_key_value(app)?;
        Some(quota.of(app_id))
    }

    fn count_own(&mut self, key: &Key, count: u64) {
        let Key::Quota(date, app) = key else { return };
        let Some(quota) = self.quotas.get_mut(app) else { return };
        if *date > quota.date {
            *quota = Quota { date: *date, own: 0, used: 0 };
        }
        if *date == quota.date {
            quota.own = quota.own.saturating_add(count);
        }
    }

    /// Notes a value that Redis told. `None` if it is old.
    fn learn(&mut self, app: &Arc<str>, date: Date, used: u64) -> Option<QuotaUse> {
        let quota = self.quotas.get_mut(app)?;
        if date > quota.date {
            *quota = Quota { date, own: 0, used: 0 };
        }
        if date != quota.date {
            return None;
        }
        quota.used = used;
        Some(quota.of(app))
    }

    /// Says which keys cannot be written; not each interval.
    fn log_refusals(&mut self, refusals: &[(Key, Arc<str>)], because: Option<&Arc<str>>, now: Instant) {
        if refusals.is_empty() && because.is_none() {
            return;
        }
        if self.logged.is_some_and(|at| now.saturating_duration_since(at) < LOG_AGAIN) {
            return;
        }
        self.logged = Some(now);
        if let Some((_, why)) = refusals.first() {
            let named = refusals.iter().take(KEYS_NAMED_MAX).map(|(key, _)| self.names.key(key));
            let keys = named.collect::<Vec<_>>().join(", ");
            error!(
                refused = refusals.len(),
                "Redis does not count under these keys: {keys}: {why}. Their counts are kept and tried again; \
                 remove the keys if they are nobody's"
            );
        }
        if let Some(why) = because {
            warn!("a flush of the flow counters was not taken as a whole: {why}");
        }
    }

    /// Says how the last flush ended.
    pub fn log_end(&self) {
        let stats = self.ledger.stats;
        if self.is_done() {
            info!(flushes = stats.confirmed, "all flow counters are written to Redis");
            return;
        }
        let why = self.redis.health().trouble.map_or_else(|| "no answer yet".into(), |trouble| trouble.why);
        error!(
            keys = self.ledger.keys(),
            requests = self.ledger.unwritten_requests(),
            "flow counters could not be written to Redis and are lost: {why}"
        );
    }
}

impl Quota {
    fn of(&self, app_id: &Arc<str>) -> QuotaUse {
        QuotaUse {
            app_id: Arc::clone(app_id),
            date: self.date,
            used: self.used,
            others: self.used.saturating_sub(self.own),
        }
    }
}

/// What is wrong with `[stats]` where Redis is concerned: key and what would be right.
pub fn check(stats: &Stats) -> Vec<String> {
    let Some(url) = &stats.redis_url else { return Vec::new() };
    match Address::parse(url) {
        Err(why) => vec![format!("stats.redis_url: {why}")],
        Ok(address) if address.is_cluster() => script::check_prefix(&stats.key_prefix)
            .err()
            .map(|why| format!("stats.key_prefix = {:?}: {why}", stats.key_prefix))
            .into_iter()
            .collect(),
        Ok(_) => Vec::new(),
    }
}

/// The machine's name, for people who look at the keys.
pub fn instance() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).take(64).collect()
}

/// This start of this process, told apart from every other: when, and a random number.
pub fn boot() -> String {
    use std::hash::BuildHasher;
    let random = std::collections::hash_map::RandomState::new().hash_one(std::process::id());
    format!("{:x}-{random:016x}", jiff::Timestamp::now().as_microsecond())
}
