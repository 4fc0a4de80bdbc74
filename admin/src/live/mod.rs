//! Live figures: what engines report, summed; and flow by hour out of Redis where one is configured.
//!
//! ```text
//! POST /engine/v1/report ──> Table ──> Now, Sums (each second at most) ──> handlers, /live (server-sent events)
//!                                          Redis (flow_day_.., flow_hour_..) ──┘
//! ```
//!
//! | file | what |
//! |---|---|
//! | `table.rs` | the instances and their last reports, sans-io |
//! | `series.rs` | requests by hour of one subject of an instance |
//! | `days.rs` | hours of today and yesterday |
//! | `figures.rs` | sums over all instances, as the API shows them, sans-io |
//! | `redis.rs` | flow figures out of Redis |
//! | `shared.rs` | what other admins on the same database hear |
//!
//! All of it is in memory: after a restart the engines are asked for everything that they know of today. An engine reports
//! to one admin; of several on one MySQL each shows the instances of all, but what single services and tenants had today
//! without those of the others (with Redis, of all).

pub mod days;
pub mod figures;
mod redis;
mod series;
mod shared;
pub mod table;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use coregate::control::flow::calendar::Calendar;
use coregate::control::flow::ledger::Subject;
use coregate::control::remote::report::{Nodes, Report, Want};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tracing::debug;
use utoipa::ToSchema;

use crate::settings::Settings;
use crate::store::{State, Store};
use days::Days;
use figures::{Down, Figure, Flow, InstanceCounts, LatencyNow, Now, Scope, Source, Sums};
use redis::Counters;
use table::{Head, InstanceState, Table};

/// How old sums may be, and how often streams are told.
const EVERY: Duration = Duration::from_secs(1);
/// Streams (`/live`) at a time.
pub const STREAMS_MAX: usize = 256;

/// See the module; a clone is a reference.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    table: RwLock<Table>,
    head: RwLock<Head>,
    sums: RwLock<Option<(Instant, Arc<Sums>)>>,
    calendar: Calendar,
    timezone: String,
    redis: Option<Counters>,
    /// The figures of each second, as JSON, while somebody watches.
    figures: watch::Sender<Arc<str>>,
    streams: Arc<Semaphore>,
}

/// What streams are told each second.
#[derive(Debug, Serialize, ToSchema)]
pub struct Figures {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Requests a second; null if no engine reports.
    pub qps: Option<f64>,
    /// Share of answers of the last 10 to 15 seconds that were 5xx.
    pub error_rate: Option<f64>,
    /// Of the last 10 to 15 seconds.
    pub latency_us: Option<LatencyNow>,
    /// The busiest services.
    pub services: Vec<Rate>,
    /// The busiest tenants.
    pub tenants: Vec<Rate>,
    /// Nodes that are down on at least one engine.
    pub nodes_down: u64,
    /// Instances by how they are.
    pub instances: InstanceCounts,
    /// In force at the admin.
    pub revision: u64,
    /// Requests of today.
    pub today: u64,
    /// Requests of the hour that is going on.
    pub hour: HourNow,
}

/// A service's or tenant's rate.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rate {
    /// Its name.
    pub name: String,
    /// Requests a second.
    pub qps: f64,
}

/// An hour.
#[derive(Debug, Serialize, ToSchema)]
pub struct HourNow {
    /// Of the clock.
    pub hour: usize,
    /// So far.
    pub requests: u64,
}

/// How an engine is, and its nodes of one service.
#[derive(Debug, Clone)]
pub struct NodesOnInstance {
    /// Its name.
    pub instance: String,
    /// The admin's revision that it has in force.
    pub revision: u64,
    /// Those that are not up; not all if there are very many.
    pub not_up: Vec<coregate::control::remote::report::NotUp>,
}

impl Live {
    /// Nothing is known yet. Must be called within a runtime, where it leaves a task that runs until `stopping`.
    ///
    /// # Errors
    /// What is wrong with the URL of Redis.
    pub fn start(
        settings: &Settings,
        store: &Store,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let redis = match &settings.redis {
            Some(url) => {
                Some(Counters::start(url, &settings.key_prefix).map_err(|why| format!("--redis: {why}"))?)
            }
            None => None,
        };
        let states = store.watch();
        let head = Head { revision: states.borrow().revision, since: now() };
        let live = Self(Arc::new(Inner {
            table: RwLock::default(),
            head: RwLock::new(head),
            sums: RwLock::default(),
            calendar: Calendar::new(&settings.timezone_name),
            timezone: settings.timezone_name.clone(),
            redis,
            figures: watch::Sender::new(Arc::from("")),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }));
        tokio::spawn(shared::run(live.clone(), store.clone(), stopping.clone()));
        tokio::spawn(live.clone().run(states, stopping));
        Ok(live)
    }

    /// Notes new revisions, tells streams, forgets instances.
    async fn run(self, mut states: watch::Receiver<Arc<State>>, mut stopping: watch::Receiver<bool>) {
        let mut second = tokio::time::interval(EVERY);
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = states.changed() => {
                    let Ok(()) = changed else { return };
                    *write(&self.0.head) = Head { revision: states.borrow_and_update().revision, since: now() };
                }
                _ = second.tick() => {
                    write(&self.0.table).expire(now());
                    if self.0.figures.receiver_count() > 0 {
                        self.tell().await;
                    }
                }
                () = stopped(&mut stopping) => return,
            }
        }
    }

    async fn tell(&self) {
        if let Ok(text) = serde_json::to_string(&self.figures().await) {
            self.0.figures.send_replace(text.into());
        }
    }

    /// Takes an engine's report. `None`: there are too many engines.
    pub fn take(&self, report: Report) -> Option<Want> {
        write(&self.0.table).take(report, now(), Timestamp::now())
    }

    /// The figures of each second, as JSON; and what gives the stream's place back. `None`: there are too many.
    pub fn subscribe(&self) -> Option<(watch::Receiver<Arc<str>>, tokio::sync::OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.0.streams).try_acquire_owned().ok()?;
        Some((self.0.figures.subscribe(), place))
    }

    /// The last seconds.
    pub fn now(&self) -> Now {
        Now::of(&read(&self.0.table), self.head(), now())
    }

    /// The revision in force, and since when.
    pub fn head(&self) -> Head {
        *read(&self.0.head)
    }

    /// Sums for each service and tenant, a second old at most.
    pub fn sums(&self) -> Arc<Sums> {
        let now = now();
        if let Some((at, sums)) = &*read(&self.0.sums)
            && now.saturating_duration_since(*at) < EVERY
        {
            return Arc::clone(sums);
        }
        let sums = Arc::new(Sums::of(&read(&self.0.table), &self.days(), now));
        *write(&self.0.sums) = Some((now, Arc::clone(&sums)));
        sums
    }

    /// Whether there is a Redis.
    pub fn has_redis(&self) -> bool {
        self.0.redis.is_some()
    }

    /// The nodes that are down, and on which engine.
    pub fn down(&self) -> Vec<Down> {
        figures::down(&read(&self.0.table), now())
    }

    /// How the engines that report see the nodes of a service.
    pub fn nodes_of(&self, service: &str) -> Vec<NodesOnInstance> {
        let nodes = |nodes: &Nodes| nodes.not_up.iter().filter(|it| it.service == service).cloned().collect();
        let table = read(&self.0.table);
        let present = table.present(now()).map(|(name, instance)| NodesOnInstance {
            instance: name.clone(),
            revision: instance.report.revision_applied,
            not_up: nodes(instance.nodes()),
        });
        present.collect()
    }

    /// Looks at the instances.
    pub fn with_table<T>(&self, look: impl FnOnce(&Table, Head, Instant) -> T) -> T {
        look(&read(&self.0.table), self.head(), now())
    }

    /// Forgets an instance, unless it reports (again).
    pub fn forget(&self, instance: &str) {
        let mut table = write(&self.0.table);
        if table.is_gone(instance, now()) == Some(true) {
            table.remove(instance);
        }
    }

    /// Requests of today and yesterday by hour: out of Redis if there is one that can be asked, else as engines report.
    pub async fn flow(&self, scope: Scope, name: &str) -> Flow {
        let days = self.days();
        let from_redis = match &self.0.redis {
            Some(redis) => redis.days(&subject(scope, name), &days).await.map_err(not_asked).ok(),
            None => None,
        };
        let (source, [today, yesterday]) = match from_redis {
            Some(days) => (Source::Redis, days),
            None => (Source::Engines, self.reported(scope, name, &days)),
        };
        Flow {
            scope,
            name: name.to_owned(),
            source,
            timezone: self.0.timezone.clone(),
            requests_per_second: self.rate(scope, name),
            today,
            yesterday,
            at: Timestamp::now(),
        }
    }

    fn reported(&self, scope: Scope, name: &str, days: &Days) -> [days::Day; 2] {
        let table = read(&self.0.table);
        let series = table.iter().filter_map(|(_, instance)| match scope {
            Scope::Site => Some(&instance.site),
            Scope::Service => instance.services.get(name),
            Scope::Tenant => instance.tenants.get(name),
        });
        days.sort(series.flat_map(series::Series::hours))
    }

    fn rate(&self, scope: Scope, name: &str) -> Option<f64> {
        let table = read(&self.0.table);
        let mut rate = None;
        for (_, instance) in table.present(now()) {
            let series = match scope {
                Scope::Site => Some(&instance.site),
                Scope::Service => instance.services.get(name),
                Scope::Tenant => instance.tenants.get(name),
            };
            *rate.get_or_insert(0.0) += series.map_or(0.0, |series| series.requests_per_second);
        }
        rate
    }

    /// The busiest with what they had today; out of Redis if there is one that can be asked.
    pub async fn top(&self, scope: Scope) -> Vec<(String, Figure)> {
        let sums = self.sums();
        let all = if scope == Scope::Tenant { &sums.tenants } else { &sums.services };
        let mut top: Vec<(String, Figure)> =
            Sums::top(all).into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect();
        if let Some(redis) = &self.0.redis {
            let subjects: Vec<Subject> = top.iter().map(|(name, _)| subject(scope, name)).collect();
            if let Ok(today) = redis.today(&subjects, &self.days()).await.map_err(not_asked) {
                top.iter_mut().zip(today).for_each(|((_, figure), today)| figure.today = today);
            }
        }
        top
    }

    async fn figures(&self) -> Figures {
        let now = self.now();
        let sums = self.sums();
        let rates = |all| {
            let top = Sums::top(all).into_iter().filter(|(_, figure)| figure.requests_per_second > 0.0);
            top.map(|(name, figure)| Rate { name: name.to_owned(), qps: figure.requests_per_second })
                .collect()
        };
        let flow = self.flow(Scope::Site, "").await;
        let hour = self.days().hour();
        Figures {
            at: flow.at,
            qps: now.qps,
            error_rate: now.error_rate,
            latency_us: now.latency_us,
            services: rates(&sums.services),
            tenants: rates(&sums.tenants),
            nodes_down: now.nodes.down,
            instances: now.instances,
            revision: self.head().revision,
            today: flow.today.requests,
            hour: HourNow { hour, requests: flow.today.hours.get(hour).copied().flatten().unwrap_or(0) },
        }
    }

    fn days(&self) -> Days {
        Days::at(&self.0.calendar, Timestamp::now())
    }
}

fn subject(scope: Scope, name: &str) -> Subject {
    match scope {
        Scope::Site => Subject::Total,
        Scope::Service => Subject::Service(name.into()),
        Scope::Tenant => Subject::App(name.into()),
    }
}

/// The connection itself says in the log what is wrong with it.
fn not_asked(failure: coregate::control::redis::Failure) {
    debug!(%failure, "flow: as engines report, Redis cannot be asked");
}

/// How an instance is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct InstanceView {
    /// Its name.
    pub instance: String,
    /// The machine's name.
    pub hostname: String,
    /// Of coregate.
    pub version: String,
    /// The schema of configurations that it knows.
    pub schema: u32,
    /// When the process began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Its last report.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen_at: Timestamp,
    /// How it is.
    pub state: InstanceState,
    /// The revision that all its shards have in force; null: none.
    pub revision_applied: Option<u64>,
    /// The revision in force at the admin.
    pub revision_head: u64,
    /// The last revision that it got, if it refused that.
    pub refused: Option<RefusedView>,
    /// Whether it takes requests.
    pub ready: bool,
    /// Why it does not.
    pub not_ready: Option<String>,
    /// How many.
    pub shards: usize,
    /// Now; null if it is gone.
    pub requests_per_second: Option<f64>,
    /// Client connections open now.
    pub connections: u64,
    /// Its nodes.
    pub nodes: figures::NodeCounts,
}

/// A revision that an engine refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RefusedView {
    /// Its number.
    pub revision: u64,
    /// Why.
    pub problems: Vec<crate::api::error::FieldProblem>,
}

impl InstanceView {
    /// Of an instance.
    pub fn of(name: &str, instance: &table::Instance, head: Head, now: Instant) -> Self {
        let report = &instance.report;
        let problem = |it: &coregate::control::remote::Problem| crate::api::error::FieldProblem {
            kind: None,
            name: None,
            key: it.key.clone(),
            value: it.value.clone(),
            message: it.message.clone(),
        };
        let nodes = instance.nodes();
        Self {
            instance: name.to_owned(),
            hostname: report.hostname.clone(),
            version: report.version.clone(),
            schema: report.schema,
            started_at: report.started_at,
            last_seen_at: instance.seen_at,
            state: instance.state(head, now),
            revision_applied: (report.revision_applied > 0).then_some(report.revision_applied),
            revision_head: head.revision,
            refused: report.refused.as_ref().map(|refused| RefusedView {
                revision: refused.revision,
                problems: refused.problems.iter().map(problem).collect(),
            }),
            ready: report.ready,
            not_ready: report.not_ready.clone(),
            shards: report.shards,
            requests_per_second: (!instance.is_gone(now)).then_some(instance.site.requests_per_second),
            connections: report.connections,
            nodes: figures::NodeCounts { up: nodes.up, down: nodes.down, unknown: nodes.unknown },
        }
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error is a sender that is gone: the process ends.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// What is in a poisoned lock is still whole: nothing here stops halfway.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
