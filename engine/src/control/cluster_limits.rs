//! The control thread's side of limits that a cluster shares: carries what [`Limiter`]s ask to Redis, and the answers
//! back.
//!
//! Input: the limits of each snapshot, calls of shards whose stock runs low, the time. Output: tokens in the stocks, a
//! log line when limits go on alone and when they do not any more. Owner: one task on the control thread's runtime; the
//! control thread's loop only tells it which limits there are.
//!
//! All asks that are due go in one pipeline, at most one at a time and one each [`EARLY`]. One that is not answered
//! within [`DOWN`] has failed for its limits, and no other is sent before its end is known: asks that pile up in front of
//! a server that stands still would each be granted tokens that nobody hears of.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info, warn};

use super::at;
use super::redis::{Call, Failure, Redis, Refused, Reply, Script};
use super::snapshot::Snapshot;
use crate::clock;
use crate::limit::Bucket;
use crate::limit::cluster::{Answer, Ask, DOWN, EARLY, Limiter, SCRIPT, State};

static LEASE: Script = Script::new(SCRIPT);

/// For giving everything back at the end of the process.
const LEAVE_PATIENCE: Duration = Duration::from_millis(500);
/// Asks in one pipeline; more go in the next.
const ASKS_MAX: usize = 1000;

/// The limits of a snapshot by their services' names.
type Limits = Vec<(Arc<str>, Arc<Bucket>)>;

/// A handle to the task.
pub struct ClusterLimits {
    limits: watch::Sender<Limits>,
    leave: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl ClusterLimits {
    /// Starts the task on the runtime of the caller.
    pub fn start(redis: Redis, key_prefix: &str) -> Self {
        let (limits, changes) = watch::channel(Limits::new());
        let (leave, leaving) = oneshot::channel();
        let leases = Leases::new(redis, key_prefix);
        Self { limits, leave: Some(leave), task: tokio::spawn(leases.run(changes, leaving)) }
    }

    /// Exactly the limits of this snapshot are leased from now on.
    pub fn apply(&self, snapshot: &Snapshot) {
        let shared = |plan: &Arc<super::snapshot::ServicePlan>| {
            let bucket = plan.rate.as_ref().filter(|it| plan.config.enabled && it.stock().is_some())?;
            Some((Arc::clone(&plan.config.name), Arc::clone(bucket)))
        };
        self.limits.send_replace(snapshot.services.iter().filter_map(shared).collect());
    }

    /// Gives back what is leased. No limit is asked for any more.
    pub async fn leave(&mut self) {
        if let Some(leave) = self.leave.take() {
            let _ = leave.send(());
            // Its end, or none in time: what is not given back is counted as spent when the lease ends.
            let _ = timeout(LEAVE_PATIENCE, &mut self.task).await;
        }
    }
}

/// The task's state.
struct Leases {
    redis: Redis,
    /// What stands before a service's name in its key.
    prefix: String,
    /// This process, as a field of each key.
    me: String,
    limiters: BTreeMap<Arc<str>, Limiter>,
    /// Limits that are no more, to be left.
    gone: Vec<(Arc<str>, Ask)>,
    /// Shards call by it.
    calls: Arc<Notify>,
    /// Limits that go on alone, as was logged last.
    alone: usize,
    random: RandomState,
}

/// What was asked for which limits.
type Asked = Vec<(Arc<str>, Ask)>;
type Answers = Result<Vec<Result<Reply, Refused>>, Failure>;

impl Leases {
    fn new(redis: Redis, key_prefix: &str) -> Self {
        let random = RandomState::new();
        Self {
            redis,
            prefix: format!("{key_prefix}limit_"),
            me: format!("p:{:016x}", random.hash_one(std::process::id())),
            limiters: BTreeMap::new(),
            gone: Vec::new(),
            calls: Arc::new(Notify::new()),
            alone: 0,
            random,
        }
    }

    async fn run(mut self, mut changes: watch::Receiver<Limits>, mut leaving: oneshot::Receiver<()>) {
        loop {
            let calls = Arc::clone(&self.calls);
            tokio::select! {
                biased;
                _ = &mut leaving => break,
                changed = changes.changed() => match changed {
                    Ok(()) => self.apply(&changes.borrow_and_update(), clock::read()),
                    // Nobody is there who could want limits.
                    Err(_) => break,
                },
                () = calls.notified() => {}
                () = at(self.look_at(clock::read())) => {}
            }
            let began = clock::read();
            let asked = self.ask(began);
            if !asked.is_empty() {
                self.carry(asked).await;
            }
            sleep_until((began + EARLY).into()).await;
        }
        self.leave().await;
    }

    fn apply(&mut self, limits: &Limits, now: Instant) {
        let mut before = std::mem::take(&mut self.limiters);
        for (service, bucket) in limits {
            let same = before.remove(service).and_then(|mut it| it.renew(bucket).then_some(it));
            let limiter = same.or_else(|| {
                let calls = Arc::clone(&self.calls);
                bucket.stock()?.call_by(move || calls.notify_one());
                Limiter::new(Arc::clone(bucket), self.random.hash_one(service), now)
            });
            self.limiters.extend(limiter.map(|limiter| (Arc::clone(service), limiter)));
        }
        self.gone.extend(before.into_iter().map(|(service, mut limiter)| (service, limiter.leave())));
        debug!(limits = self.limiters.len(), "limits of the cluster");
    }

    fn look_at(&self, now: Instant) -> Option<Instant> {
        let gone = (!self.gone.is_empty()).then_some(now);
        gone.or_else(|| self.limiters.values().map(|limiter| limiter.look_at(now)).min())
    }

    fn ask(&mut self, now: Instant) -> Asked {
        let due =
            |(service, limiter): (&Arc<str>, &mut Limiter)| Some((Arc::clone(service), limiter.ask(now)?));
        let mut asked: Asked = std::mem::take(&mut self.gone);
        asked.extend(self.limiters.iter_mut().filter_map(due).take(ASKS_MAX));
        asked
    }

    async fn carry(&mut self, asked: Asked) {
        let calls = asked.iter().map(|(service, ask)| self.call(service, ask)).collect();
        let redis = self.redis.clone();
        let mut answers = std::pin::pin!(redis.run(calls));
        match timeout(DOWN, &mut answers).await {
            Ok(answers) => self.answered(&asked, &answers),
            Err(_) => {
                let why = format!("no answer within {} s", DOWN.as_secs());
                self.answered(&asked, &Err(Failure::Lost(why.into())));
                // Bounded by the connection's own patience. What it brings comes too late.
                let _ = answers.await;
            }
        }
    }

    fn call(&self, service: &str, ask: &Ask) -> Call {
        let arguments = std::iter::once(self.me.clone()).chain(ask.arguments());
        let key = format!("{}{service}", self.prefix);
        Call::script(&LEASE, vec![key], arguments.map(Reply::from).collect())
    }

    fn answered(&mut self, asked: &Asked, answers: &Answers) {
        let now = clock::read();
        let mut why = None;
        for (index, (service, ask)) in asked.iter().enumerate() {
            let answer = match answers {
                Ok(answers) => parse(answers.get(index)),
                Err(failure) => Err(failure.to_string()),
            };
            let Some(limiter) = self.limiters.get_mut(service).filter(|_| !ask.valid.is_zero()) else {
                continue;
            };
            match answer {
                Ok(answer) => limiter.answered(answer, now),
                Err(error) => {
                    limiter.failed(now);
                    why = Some(error);
                }
            }
        }
        self.log(why.as_deref().unwrap_or_default());
    }

    /// Says when limits begin to go on alone, and when none does any more.
    fn log(&mut self, why: &str) {
        let alone = self.limiters.values().filter(|limiter| limiter.state() == State::Degraded).count();
        match (self.alone, alone) {
            (0, 1..) => warn!(
                limits = alone,
                "limits of the cluster are not shared: each process goes on with its last share of the rate. {why}"
            ),
            (1.., 0) => info!("limits of the cluster are shared again"),
            _ => {}
        }
        self.alone = alone;
    }

    async fn leave(mut self) {
        let limiters = std::mem::take(&mut self.limiters);
        let leave = |(service, mut limiter): (Arc<str>, Limiter)| (service, limiter.leave());
        let asked: Asked = self.gone.drain(..).chain(limiters.into_iter().map(leave)).collect();
        let calls: Vec<Call> = asked.iter().map(|(service, ask)| self.call(service, ask)).collect();
        if !calls.is_empty()
            && let Err(failure) = self.redis.run(calls).await
        {
            debug!("leases could not be given back: {failure}");
        }
    }
}

fn parse(answer: Option<&Result<Reply, Refused>>) -> Result<Answer, String> {
    let reply = match answer {
        Some(Ok(reply)) => reply,
        Some(Err(Refused(words))) => return Err(words.to_string()),
        None => return Err("an answer is missing".to_owned()),
    };
    let numbers = reply.clone().convert::<Vec<i64>>().ok().and_then(|numbers| numbers.try_into().ok());
    numbers.and_then(Answer::from_numbers).ok_or_else(|| "the script's answer is not six numbers".to_owned())
}

#[cfg(test)]
mod tests;
