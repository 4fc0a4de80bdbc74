//! The control thread: everything that one process does once, whatever the number of shards.
//!
//! Input: a [`Boot`], signals, the configuration file, reports of the shards. Output: orders to the shards
//! ([`crate::message::ToShard`]), the ops address, an exit code. A std thread named `control` runs a tokio
//! current-thread runtime; one loop ([`serve`]) owns all state ([`Engine`]) and everything else sends it messages, so
//! nothing here is locked. It may be slow; shards never wait for it.
//!
//! | file | what |
//! |---|---|
//! | `engine.rs` | the state, and what each message does to it |
//! | `shards.rs` | the links to the shards |
//! | `snapshot.rs` | a configuration, compiled for the shards |
//! | `certificates.rs` | listeners' certificates, and the changes of their files |
//! | `remote.rs`, `remote/` | the configuration from an admin process, and reports to it |
//! | `reload.rs` | when the configuration is read again, and what of it can be taken over |
//! | `listeners.rs` | listening sockets |
//! | `resolve.rs` | node names |
//! | `health_checks.rs` | the checker |
//! | `flow.rs`, `flow/` | totals of what the shards counted, and what goes to Redis |
//! | `redis.rs`, `redis/` | the connection to Redis |
//! | `cluster_limits.rs` | leases of limits that processes share |
//! | `ops.rs` | health, metrics and the read-only API |
//!
//! Signals: SIGHUP reads the configuration again. SIGTERM and SIGINT drain: stop accepting, finish what is in flight
//! within `server.drain_timeout`, write the last counters to Redis within five seconds, exit 0; a second one ends the
//! process at once, with 143 (SIGTERM) or 130 (SIGINT). SIGUSR1 reopens the access log's file. A shard thread that ends
//! by itself aborts the process: its sockets would go on taking connections that nobody serves.

pub mod certificates;
pub mod cluster_limits;
pub mod engine;
pub mod flow;
pub mod health_checks;
pub mod listeners;
pub mod ops;
pub mod redis;
pub mod reload;
pub mod remote;
pub mod resolve;
pub mod shards;
pub mod snapshot;
#[cfg(test)]
mod testing;

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tracing::{error, info};

use crate::boot::Boot;
use crate::clock;
use crate::limits::REPORTS_QUEUED_MAX;
use crate::message::FromShard;
use certificates::Reread;
use engine::{Ending, Engine};
use flow::calendar::Moment;
use flow::writer::{QuotasRead, Written};
use health_checks::CheckResult;
use ops::Question;
use reload::{LoadError, Loaded};
use resolve::{Answer, Name};

/// For writing the last counters to Redis after the shards have drained.
const LAST_FLUSH: Duration = Duration::from_secs(5);
/// Results of tasks that may wait to be taken; the tasks wait beyond that.
const EVENTS_QUEUED_MAX: usize = 1024;
/// How much nicer than the shards the control thread is, which may be on a CPU of theirs: it has a third of their share.
const CONTROL_NICE: i32 = 5;
/// How much nicer the threads are that check configurations, read files and look up names: a tenth of a shard's share.
const HELPERS_NICE: i32 = 10;
/// The nicest that there is.
const NICE_MAX: i32 = 19;
/// Requests to the ops address that may wait for an answer; more are told to come back.
const QUESTIONS_QUEUED_MAX: usize = 64;

/// What the control thread's own tasks tell it.
#[derive(Debug)]
pub enum Event {
    /// The configuration was read again.
    Loaded(Box<Result<Loaded, LoadError>>),
    /// What is known of the admin has changed, or it has sent a configuration.
    Remote(Box<remote::News>),
    /// What the admin sent was checked.
    RemoteLoaded(Box<(remote::Fetched, Result<Loaded, LoadError>)>),
    /// Certificate files that have changed were read again.
    CertificatesRead(Box<Reread>),
    /// Node names were looked up again.
    Resolved(Vec<(Name, Answer)>),
    /// A health check ended.
    Checked(CheckResult),
    /// A pipeline with counters has ended.
    Written(Box<Written>),
    /// What was used of the tenants' days was read.
    QuotasRead(Box<QuotasRead>),
    /// A shard takes no orders any more.
    ShardGone(usize),
}

/// Runs the gateway until it is told to stop. Returns what the process exits with.
pub fn run(boot: Boot) -> ExitCode {
    let control = thread::Builder::new().name("control".to_owned()).spawn(move || run_here(boot));
    match control.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(ending))) => end(&ending),
        Ok(Ok(Err(error))) => {
            error!(%error, "the gateway could not be started");
            ExitCode::FAILURE
        }
        // The shards have nobody to answer to.
        Ok(Err(_)) => die("the control thread has panicked"),
        Err(error) => {
            error!(%error, "the control thread could not be started");
            ExitCode::FAILURE
        }
    }
}

fn end(ending: &Ending) -> ExitCode {
    match ending {
        Ending::Drained { cut: 0 } => info!("stopped"),
        Ending::Drained { cut } => info!(cut, "stopped; the drain timeout cut exchanges"),
        Ending::Cut { code } => {
            info!("stopped at once");
            return ExitCode::from(*code);
        }
        Ending::ShardDied { shard } => die(&format!("the thread of shard {shard} has ended unexpectedly")),
    }
    ExitCode::SUCCESS
}

fn die(why: &str) -> ! {
    error!("{why}: aborting, as its sockets would take connections that nobody serves");
    std::process::abort();
}

fn run_here(boot: Boot) -> io::Result<Ending> {
    // As the process was started; a thread is as nice as the one that starts it.
    let nice = getpriority_process(None).unwrap_or_default();
    // Checking a large configuration takes tens of milliseconds, and with a shard on each CPU it is on one of theirs.
    let help = move || step_back(nice + HELPERS_NICE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().on_thread_start(help).build()?;
    runtime.block_on(async {
        // Before the shards start, so that no signal is missed.
        let signals = Signals::new()?;
        let (reports_to, reports) = mpsc::channel(REPORTS_QUEUED_MAX);
        let (events_to, events) = mpsc::channel(EVENTS_QUEUED_MAX);
        let (questions_to, questions) = mpsc::channel(QUESTIONS_QUEUED_MAX);
        let (engine, ops) = Engine::start(boot, &reports_to, events_to).await?;
        // The shards are there, and stay as they are.
        step_back(nice + CONTROL_NICE);
        engine.follow_admin(questions_to.clone());
        if let Some(socket) = ops {
            ops::start(socket, questions_to)?;
        }
        serve(engine, Inbox { reports, events, questions }, signals).await
    })
}

/// Has this thread give way to shards.
fn step_back(nice: i32) {
    // Whoever may not lower its own priority works on with the one it has.
    let _ = setpriority_process(None, nice.min(NICE_MAX));
}

/// Where messages for the loop come from.
struct Inbox {
    reports: mpsc::Receiver<FromShard>,
    events: mpsc::Receiver<Event>,
    questions: mpsc::Receiver<Question>,
}

/// The loop: one message at a time, until there is an ending.
async fn serve(mut engine: Engine, mut inbox: Inbox, mut signals: Signals) -> io::Result<Ending> {
    let mut poll = interval(reload::POLL);
    let mut look_up = interval(resolve::INTERVAL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look_up.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // In this order, so that a shard's last reports are taken before its end is.
            biased;
            signal = signals.next() => match signal {
                Order::Reload => engine.reload("SIGHUP"),
                Order::Stop { name, code } => engine.stop(name, code, clock::read()),
                Order::ReopenLogs => engine.reopen_logs(),
            },
            Some(report) = inbox.reports.recv() => engine.on_report(report, clock::read()),
            Some(event) = inbox.events.recv() => engine.on_event(event, clock::read()),
            Some(question) = inbox.questions.recv() => question(&engine),
            () = at(engine.next_flush()) => engine.flush(clock::read()),
            () = at(Some(engine.hour_ends(Moment::read()))) => engine.on_hour(Moment::read()),
            () = at(engine.checker.next_due()) => engine.checker.start_due(clock::read()),
            () = at(engine.gives_up_at()) => engine.give_up(),
            _ = poll.tick() => engine.on_poll(clock::read()),
            _ = look_up.tick() => engine.look_up_names(),
        }
        if let Some(ending) = engine.ending() {
            while let Ok(report) = inbox.reports.try_recv() {
                engine.on_report(report, clock::read());
            }
            let ending = last_flush(&mut engine, inbox, signals, ending).await;
            if let Some(limits) = &mut engine.cluster_limits {
                limits.leave().await;
            }
            engine.finish_logs(&ending);
            return Ok(ending);
        }
    }
}

/// Writes what the shards have counted last, within [`LAST_FLUSH`].
async fn last_flush(engine: &mut Engine, mut inbox: Inbox, mut signals: Signals, ending: Ending) -> Ending {
    if !matches!(ending, Ending::Drained { .. }) || !engine.begin_last_flush(clock::read()) {
        return ending;
    }
    let give_up = clock::read() + LAST_FLUSH;
    while !engine.is_flushed() {
        tokio::select! {
            biased;
            signal = signals.next() => if let Order::Stop { name, code } = signal {
                engine.stop(name, code, clock::read());
                break;
            },
            Some(event) = inbox.events.recv() => engine.on_event(event, clock::read()),
            Some(question) = inbox.questions.recv() => question(engine),
            () = at(engine.next_flush()) => engine.flush(clock::read()),
            () = at(Some(give_up)) => break,
        }
    }
    engine.end_last_flush();
    engine.ending().unwrap_or(ending)
}

/// Waits until then; without a time, for ever.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// What a signal asks for.
enum Order {
    Reload,
    ReopenLogs,
    Stop { name: &'static str, code: u8 },
}

struct Signals {
    hang_up: Signal,
    interrupt: Signal,
    terminate: Signal,
    user_1: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user_1: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop { name: "SIGTERM", code: 143 },
            _ = self.interrupt.recv() => Order::Stop { name: "SIGINT", code: 130 },
            _ = self.hang_up.recv() => Order::Reload,
            _ = self.user_1.recv() => Order::ReopenLogs,
        }
    }
}
