//! The state of the control thread, and what each message does to it.
//!
//! Input: messages, one at a time, with `now`. Output: orders to the shards, tasks that send messages back, log lines.
//! No method waits for anything but [`Engine::start`]. Owner: the loop in [`super::serve`].
//!
//! Invariants: `snapshot` is what was last sent to the shards; its revision counts up by one. What is wrong with a new
//! configuration changes nothing. The set of nodes that the checker knows is that of `snapshot`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coregate_config::checked::{Node, NodeAddress, Service};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::certificates::{self, Certificates};
use super::cluster_limits::ClusterLimits;
use super::flow::Flow;
use super::flow::calendar::{Calendar, Moment};
use super::flow::writer::Writer;
use super::health_checks::probe::{Approach, Security};
use super::health_checks::{Checker, Subject};
use super::listeners::OpenListener;
use super::reload::{Held, Watch};
use super::remote::Remote;
use super::resolve::{self, Addresses};
use super::shards::{self, Seed, Shards};
use super::snapshot::{self, Changes, Process, Routed, Snapshot};
use super::{Event, health_checks};
use crate::access_log;
use crate::boot::{Boot, Source};
use crate::clock;
use crate::message::{FromShard, NodesChanged, ToShard};

mod configuration;
mod counters;

/// How long after the drain deadline a shard may take to say that it is done.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
/// How long the last lines of the access log may take: a disk or a pipe that is stuck does not keep the process.
const LOG_PATIENCE: Duration = Duration::from_secs(2);
/// The same where the process is to end at once.
const LOG_PATIENCE_CUT: Duration = Duration::from_millis(200);

/// All that the control thread knows.
pub struct Engine {
    /// What was last sent to the shards.
    pub snapshot: Arc<Snapshot>,
    /// The health of all nodes.
    pub checker: Checker,
    /// What the shards counted.
    pub flow: Flow,
    /// The limits that it shares with other processes; `None` without a Redis.
    pub cluster_limits: Option<ClusterLimits>,
    /// How often the configuration was read again.
    pub reloads: Reloads,
    /// What is known of the admin; `None` where the configuration comes from a file.
    pub remote: Option<Remote>,
    /// The certificates' files.
    pub certificates: Certificates,
    /// The access log's thread, if there is a log.
    pub access_log: Option<access_log::Writer>,
    /// The listeners whose sockets the shards have.
    pub listeners: Vec<Held>,
    /// The links to the shards.
    pub shards: Shards,
    /// Snapshots that shards may still have. The last to let go of one pays for it, and that is not to be a shard.
    retired: Vec<Arc<Snapshot>>,
    addresses: Addresses,
    watch: Option<Watch>,
    loading: Loading,
    /// Names are being looked up.
    looking_up: bool,
    stopping: Option<Stopping>,
    events: mpsc::Sender<Event>,
}

/// How often the configuration was read again, by what came of it.
#[derive(Debug, Default)]
pub struct Reloads {
    /// It is in force.
    pub applied: u64,
    /// It was refused.
    pub refused: u64,
    /// Why the last one was refused; `None` if it was applied.
    pub last_error: Option<String>,
}

/// Whether the configuration is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loading {
    No,
    Yes,
    /// It is, and it has changed since that began.
    Again,
}

/// The process is on its way out.
#[derive(Debug)]
struct Stopping {
    /// When shards that have not answered are not waited for any more.
    gives_up_at: Instant,
    cut: u64,
    ending: Option<Ending>,
}

/// How the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Everything in flight was finished, apart from so many exchanges.
    Drained {
        /// Exchanges that the deadline cut.
        cut: u64,
    },
    /// At once, with this exit code.
    Cut {
        /// 128 + the signal's number.
        code: u8,
    },
    /// A shard's thread has ended by itself.
    ShardDied {
        /// Which.
        shard: usize,
    },
}

impl Engine {
    /// Looks up names, compiles the first snapshot and starts the shards. Gives back the ops server's socket.
    pub async fn start(
        boot: Boot,
        reports: &mpsc::Sender<FromShard>,
        events: mpsc::Sender<Event>,
    ) -> io::Result<(Self, Option<TcpListener>)> {
        let Boot { gateway, source, seats, listeners, ops, access_log, certificates, spawn_shard } = boot;
        let now = clock::read();
        let mut addresses = Addresses::default();
        addresses.retain(&gateway);
        addresses.update(resolve::look_up(addresses.names()).await);
        let mut checker = Checker::new(events.clone(), u64::from(std::process::id()));
        let stats = &gateway.stats;
        let writer = Writer::start(stats, events.clone(), now)
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, format!("stats.redis_url: {why}")))?;
        let cluster_limits =
            writer.as_ref().map(|writer| ClusterLimits::start(writer.redis.clone(), &stats.key_prefix));
        let moment = Moment::read();
        let calendar = Calendar::new(&stats.timezone);
        let mut flow = Flow::new(seats.len(), stats.interval, calendar, writer, moment);
        flow.retain(&gateway, moment);
        let process = Process { shards: seats.len(), now, tls: certificates.tls };
        let routed = Routed::new(gateway);
        let snapshot = Arc::new(Snapshot::compile(1, routed, &addresses, |_, _| true, process, None));
        let (changed, gone) = subjects(None, &snapshot, &addresses);
        checker.reconfigure(changed, gone, now);
        certificates::log_warnings(&snapshot.tls);
        if let Some(limits) = &cluster_limits {
            limits.apply(&snapshot);
        }
        let held = listeners.iter().map(as_held).collect();
        log_listeners(&listeners);
        let shards = Shards::spawn(Seed {
            spawn: &spawn_shard,
            seats: &seats,
            server: &snapshot.gateway.server,
            snapshot: &snapshot,
            opened: shards::deal(listeners, seats.len()),
            access_log: access_log.as_ref(),
            reports,
            events: &events,
        })?;
        info!(shards = shards.count(), "started");
        let (watch, copy) = match source {
            Source::File(watch) => (Some(watch), None),
            Source::Admin(copy) => (None, copy),
            Source::BuiltIn => (None, None),
        };
        let remote = Remote::new(&snapshot.gateway, copy);
        let mut watched = Certificates::default();
        watched.watch(certificates.watches);
        let engine = Self {
            snapshot,
            checker,
            flow,
            cluster_limits,
            reloads: Reloads::default(),
            remote,
            certificates: watched,
            access_log,
            listeners: held,
            shards,
            retired: Vec::new(),
            addresses,
            watch,
            loading: Loading::No,
            looking_up: false,
            stopping: None,
            events,
        };
        Ok((engine, ops))
    }

    /// Why /readyz does not answer 200; `None` if it does.
    pub fn not_ready(&self) -> Option<String> {
        if self.stopping.is_some() {
            return Some("the process is stopping".to_owned());
        }
        if let Some(why) = self.remote.as_ref().and_then(Remote::not_ready) {
            return Some(why);
        }
        let waiting = self.shards.not_ready();
        (!waiting.is_empty()).then(|| format!("shards {waiting:?} have no configuration in force yet"))
    }

    /// Where a node is; nowhere, if it is a name that is not resolved.
    pub fn addresses_of<'a>(&'a self, address: &'a NodeAddress) -> &'a [SocketAddr] {
        self.addresses.of(address)
    }

    /// What a shard has to say.
    pub fn on_report(&mut self, report: FromShard, now: Instant) {
        match report {
            FromShard::NodeFailed { service, node } => {
                let changed = self.checker.on_passive_failure(&service, node, now);
                self.tell_nodes(changed);
            }
            FromShard::Delta { shard, delta } => self.flow.add(shard, &delta, Moment::read()),
            FromShard::Applied { shard, revision } => self.on_applied(shard, revision),
            FromShard::Drained { shard, cut } => {
                self.shards.on_drained(shard);
                if let Some(stopping) = &mut self.stopping {
                    stopping.cut += cut;
                    if stopping.ending.is_none() && self.shards.not_drained().is_empty() {
                        stopping.ending = Some(Ending::Drained { cut: stopping.cut });
                    }
                }
            }
        }
    }

    /// What a task has to say.
    pub fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Loaded(loaded) => self.on_loaded(*loaded, now),
            Event::Resolved(answers) => {
                self.looking_up = false;
                if self.addresses.update(answers) && self.stopping.is_none() {
                    let (routed, tls) = (self.snapshot.routed(), self.snapshot.tls.clone());
                    self.apply(routed, tls, Vec::new(), now);
                }
            }
            Event::Remote(news) => self.on_remote(*news),
            Event::RemoteLoaded(loaded) => {
                let (fetched, loaded) = *loaded;
                self.on_remote_loaded(fetched, loaded, now);
            }
            Event::CertificatesRead(read) => self.on_certificates_read(*read, now),
            Event::Checked(result) => self.on_checked(&result, now),
            Event::Written(written) => self.on_written(&written, now),
            Event::QuotasRead(read) => self.on_quotas_read(&read),
            // A shard that is told to drain may stop listening to orders.
            Event::ShardGone(shard) if self.stopping.is_none() => self.end_with_dead(shard, now),
            Event::ShardGone(_) => {}
        }
    }

    /// Each [`super::reload::POLL`].
    pub fn on_poll(&mut self, now: Instant) {
        self.flow.tick(now);
        self.read_quotas(Moment::read());
        self.shards.flush();
        self.shards.wake();
        if let Some(shard) = self.shards.dead() {
            self.end_with_dead(shard, now);
        }
        if self.watch.as_mut().is_some_and(Watch::poll) {
            self.reload("the file has changed");
        }
        if self.certificates.poll() {
            self.read_certificates();
        }
    }

    /// SIGUSR1: the access log's file may have been renamed.
    pub fn reopen_logs(&self) {
        match &self.access_log {
            Some(log) => log.reopen(),
            None => info!("SIGUSR1: there is no access log to reopen"),
        }
    }

    /// Has what the shards handed over of the access log written, before the process ends.
    pub fn finish_logs(&self, ending: &Ending) {
        let patience = match ending {
            Ending::Drained { .. } => LOG_PATIENCE,
            Ending::Cut { .. } | Ending::ShardDied { .. } => LOG_PATIENCE_CUT,
        };
        if self.access_log.as_ref().is_some_and(|log| !log.finish(patience)) {
            warn!(waited = ?patience, "access log: not all lines could be written, they are lost");
        }
    }

    /// Looks all node names up again, unless that is going on.
    pub fn look_up_names(&mut self) {
        let names = self.addresses.names();
        if names.is_empty() || std::mem::replace(&mut self.looking_up, true) {
            return;
        }
        let events = self.events.clone();
        tokio::spawn(async move {
            let answers = resolve::look_up(names).await;
            let _ = events.send(Event::Resolved(answers)).await;
        });
    }

    /// SIGTERM or SIGINT: the first one drains, the second one ends it now.
    pub fn stop(&mut self, signal: &str, code: u8, now: Instant) {
        if let Some(stopping) = &mut self.stopping {
            warn!("{signal} again: stopping at once");
            stopping.ending = Some(Ending::Cut { code });
            return;
        }
        let timeout = self.snapshot.gateway.server.drain_timeout;
        let deadline = now + timeout;
        info!(?timeout, "{signal}: draining; a second one stops at once");
        self.stopping = Some(Stopping { gives_up_at: deadline + DRAIN_GRACE, cut: 0, ending: None });
        self.shards.send_all(|| ToShard::Drain { deadline });
    }

    /// When [`Engine::give_up`] is due.
    pub fn gives_up_at(&self) -> Option<Instant> {
        self.stopping.as_ref().map(|stopping| stopping.gives_up_at)
    }

    /// The shards have had their time to drain.
    pub fn give_up(&mut self) {
        let waiting = self.shards.not_drained();
        if let Some(stopping) = &mut self.stopping {
            warn!(shards = ?waiting, "shards have not said that they are drained: not waiting for them");
            stopping.ending.get_or_insert(Ending::Drained { cut: stopping.cut });
        }
    }

    /// How the process ends, once that is known.
    pub fn ending(&self) -> Option<Ending> {
        self.stopping.as_ref().and_then(|stopping| stopping.ending.clone())
    }

    fn end_with_dead(&mut self, shard: usize, now: Instant) {
        let stopping =
            self.stopping.get_or_insert(Stopping { gives_up_at: now + DRAIN_GRACE, cut: 0, ending: None });
        stopping.ending.get_or_insert(Ending::ShardDied { shard });
    }

    /// Says that a configuration is in force once it is on every shard, and not before.
    fn on_applied(&mut self, shard: usize, revision: u64) {
        let before = self.shards.applied();
        self.shards.on_applied(shard, revision);
        let now = self.shards.applied();
        if now > before && now == self.snapshot.revision {
            info!(revision = now, "configuration applied");
            let retired = std::mem::take(&mut self.retired);
            tokio::task::spawn_blocking(move || drop(retired));
            if let Some(remote) = &self.remote {
                remote.news.notify_one();
            }
        }
    }

    fn on_checked(&mut self, result: &health_checks::CheckResult, now: Instant) {
        let changed = self.checker.on_result(result, now);
        self.tell_nodes(changed);
    }

    fn tell_nodes(&mut self, changed: Option<NodesChanged>) {
        let Some(changed) = changed.map(Arc::new) else { return };
        // The checker may know of a service that the configuration has no more.
        if let Some(index) = self.snapshot.index_of(&changed.service) {
            self.shards.send_all(|| ToShard::Nodes { index, changed: Arc::clone(&changed) });
        }
    }
}

/// What the checker is to know of the services that have changed, and the names of those that need no checks any more.
fn subjects(
    before: Option<&Snapshot>,
    after: &Snapshot,
    addresses: &Addresses,
) -> (Vec<Subject>, Vec<Arc<str>>) {
    let Changes { services, mut gone } = Changes::between(before, after);
    let changed = services.into_iter().map(|index| &after.gateway.services[index]);
    let (on, off): (Vec<_>, Vec<_>) = changed.partition(|service| service.enabled);
    gone.extend(off.iter().map(|service| Arc::clone(&service.name)));
    let subject = |service: &Arc<Service>| {
        let approach = |(address, node): (SocketAddr, &Node)| {
            let security = match &service.tls {
                None => Security::Clear,
                Some(_) => {
                    let known = after.tls.nodes.node(&service.name, &node.address);
                    known.map_or(Security::Unusable, Security::Tls)
                }
            };
            (address, Approach { proxy_header: service.send_proxy_protocol, security })
        };
        Subject {
            service: Arc::clone(&service.name),
            check: service.health_check.clone(),
            nodes: snapshot::resolved_nodes(service, addresses).map(approach).collect(),
        }
    };
    (on.into_iter().map(subject).collect(), gone)
}

fn as_held(listener: &OpenListener) -> Held {
    Held { name: Arc::clone(&listener.name), configured: listener.configured, bound: listener.bound }
}

fn log_listeners(listeners: &[OpenListener]) {
    for listener in listeners {
        info!(listener = &*listener.name, address = %listener.bound, "listening");
    }
}

#[cfg(test)]
mod tests;
