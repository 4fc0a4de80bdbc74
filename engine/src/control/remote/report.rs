//! What an engine tells the admin about itself, and the task that does.
//!
//! Input: the control thread's state, asked by a question as the ops address does it. Output: a [`Report`] to
//! `/engine/v1/report` each [`INTERVAL`], and at once when a configuration was taken or refused. Services and tenants are in a
//! report when something of theirs has changed since the admin last took one, [`NAMES_MAX`] at most; the others come with
//! the next. The admin asks for everything when it knows nothing of this engine ([`Want::Full`]), as after its own restart.
//!
//! All counts are totals since the process began (`boot`), so that a report which got lost, or arrived twice, does no harm.

mod collect;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::client::{self, Client};
use super::{Place, Refused};
use crate::control::ops::Question;
pub use collect::{Collector, Identity};

/// Between two reports.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// Services and tenants of a report, together.
pub const NAMES_MAX: usize = 2000;
/// Nodes that are listed for not being up.
pub const NODES_MAX: usize = 500;
/// Between two reports that something happened; the admin is asked no more often.
const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What an engine tells the admin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its name; the same after a restart.
    pub instance: String,
    /// This start of the process.
    pub boot: String,
    /// The machine's name.
    pub hostname: String,
    /// Of coregate.
    pub version: String,
    /// The schema of configurations that it knows.
    pub schema: u32,
    /// When the process began.
    pub started_at: Timestamp,
    /// How many.
    pub shards: usize,
    /// The admin's revision that all shards have in force; 0: none.
    pub revision_applied: u64,
    /// Its ETag.
    pub etag: Option<String>,
    /// The last configuration that came, if it was refused.
    pub refused: Option<Refused>,
    /// Whether /readyz says so.
    pub ready: bool,
    /// Why it does not.
    pub not_ready: Option<String>,
    /// Client connections open now.
    pub connections: u64,
    /// What was counted.
    pub flow: Flow,
    /// How nodes are.
    pub nodes: Nodes,
    /// All services and tenants that ever had traffic begin with this report; the admin is to forget older figures of this
    /// boot.
    pub full: bool,
}

/// What was counted since the process began.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Flow {
    /// `stats.timezone`
    pub timezone: String,
    /// The whole.
    pub site: Series,
    /// Answers of the whole by class of status.
    pub answers: BTreeMap<String, u64>,
    /// Exchanges of the whole by why they ended.
    pub causes: BTreeMap<String, u64>,
    /// Requests of the whole refused by kind of limit.
    pub limited: BTreeMap<String, u64>,
    /// How long exchanges took; `None` before the first.
    pub latency: Option<Latency>,
    /// By name; those that have changed.
    pub services: BTreeMap<String, Series>,
    /// By `app_id`; those that have changed.
    pub tenants: BTreeMap<String, Series>,
}

/// Figures of the site, a service or a tenant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Series {
    /// In the last interval.
    pub requests_per_second: f64,
    /// Since the process began.
    pub requests: u64,
    /// Hours, each by when it began (seconds since 1970), with its requests; those that have changed.
    pub hours: Vec<(i64, u64)>,
}

/// Histograms, each a list of microseconds (rounded up, by 6.25% at most) and how many took so long.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// From the first byte of the head to the last of the answer.
    pub total: Vec<(u64, u64)>,
    /// The node's part.
    pub upstream: Vec<(u64, u64)>,
    /// The gateway's own, and the client's.
    pub own: Vec<(u64, u64)>,
}

/// How the nodes of enabled services are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nodes {
    /// Take traffic.
    pub up: u64,
    /// Do not.
    pub down: u64,
    /// Names that are not resolved.
    pub unknown: u64,
    /// Those that are not up; not all if there are very many.
    pub not_up: Vec<NotUp>,
}

/// A node that is not up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotUp {
    /// Whose it is.
    pub service: String,
    /// As the configuration has it.
    pub address: String,
    /// How it is.
    pub state: NodeState,
    /// Why.
    pub why: String,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It takes no traffic.
    Down,
    /// Nobody knows where it is.
    Unknown,
}

/// What the admin answers a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What the next report is to hold.
    pub want: Want,
}

/// What a report is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// What has changed.
    Changes,
    /// Everything.
    Full,
}

/// What is needed to report.
pub struct Reporter {
    /// Where the admin is.
    pub place: Place,
    /// Who reports.
    pub identity: Identity,
    /// Something is to be told at once.
    pub news: Arc<Notify>,
    /// The loop.
    pub questions: mpsc::Sender<Question>,
}

impl Reporter {
    /// Reports until the loop is gone. That the admin does not answer is said by whoever asks it for configurations.
    pub async fn run(self) {
        let mut client = Client::new(&self.place.url, self.place.token_file.clone());
        let mut collector = Collector::new(self.identity.clone());
        let mut failures = 0_u32;
        loop {
            let began = Instant::now();
            let Some((report, back)) = self.collect(collector).await else { return };
            collector = back;
            let rest = match self.send(&mut client, report).await {
                Ok(want) => {
                    failures = 0;
                    collector.on_taken(want);
                    // Names that did not fit are not kept waiting.
                    if collector.has_rest() { INTERVAL_MIN } else { INTERVAL }
                }
                Err(why) => {
                    debug!(why, "the admin did not take a report");
                    failures = failures.saturating_add(1);
                    PAUSE_MAX.min(INTERVAL * failures)
                }
            };
            sleep_until(began + INTERVAL_MIN).await;
            tokio::select! {
                () = sleep_until(began + rest) => {}
                () = self.news.notified() => {}
            }
        }
    }

    /// `None`: the loop is gone.
    async fn collect(&self, mut collector: Collector) -> Option<(Report, Collector)> {
        let (answer_to, answer) = oneshot::channel();
        let question: Question = Box::new(move |engine| {
            let report = collector.collect(engine);
            let _ = answer_to.send((report, collector));
        });
        self.questions.send(question).await.ok()?;
        answer.await.ok()
    }

    async fn send(&self, client: &mut Client, report: Report) -> Result<Want, String> {
        let body = tokio::task::spawn_blocking(move || serde_json::to_vec(&report));
        let body = body.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let ask = client::Ask {
            method: Method::POST,
            path: "/engine/v1/report",
            headers: Vec::new(),
            body: body.into(),
            wait: Duration::ZERO,
        };
        let answer = client.ask(&ask).await?;
        if answer.status != StatusCode::OK {
            return Err(format!("it answers {}", answer.status));
        }
        serde_json::from_slice(&answer.body).map(|Answer { want }| want).map_err(|error| error.to_string())
    }
}
