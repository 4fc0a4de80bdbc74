//! `control.source = "admin"`: listeners, certificates, services and tenants come from a coregate-admin process.
//!
//! Input: snapshots of the admin (`/engine/v1/snapshot`, a long poll), the last good copy on disk. Output: configurations,
//! checked together with this process's own settings and taken over as those of a file are; reports of this engine to the
//! admin, one a second. Two tasks of the control thread's runtime ask ([`follow`]) and report ([`report`]); what is known of
//! the admin is in [`Remote`], which the [`Engine`](super::engine::Engine) owns.
//!
//! | file | what |
//! |---|---|
//! | `schedule.rs` | when the admin is asked, sans-io |
//! | `client.rs` | HTTP |
//! | `follow.rs` | the task that asks, and hands over what comes |
//! | `copy.rs` | the last good copy |
//! | `report.rs`, `report/` | what the admin is told, and the task that tells it |
//!
//! Invariants: what does not check, or cannot be taken over, changes nothing, and the admin is told why. The copy on disk is
//! always one that was in force. An engine with a copy starts whether the admin is there or not; one without listens to
//! nothing and is not ready until the admin sends a configuration. Whatever the admin does or fails to do, what is in force
//! stays in force.

pub mod client;
pub mod copy;
pub mod follow;
pub mod report;
pub mod schedule;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use coregate_config::checked::{Control, Gateway};
use coregate_config::{Report, SCHEMA};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::certificates;
use super::reload::LoadError;
use crate::tls::Tls;

/// Problems of a refused configuration that the admin is told.
const PROBLEMS_MAX: usize = 100;

/// What an admin sends.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    revision: u64,
    schema: u32,
    #[serde(borrow)]
    configuration: &'a RawValue,
}

/// A snapshot of the admin, not yet checked.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The admin's number of it.
    pub revision: u64,
    /// Its name for it.
    pub etag: Option<Arc<str>>,
    /// As it came.
    pub text: Arc<str>,
    /// The schema that the admin wrote it by.
    schema: u32,
    /// Where in the text the configuration is.
    configuration: Range<usize>,
}

impl Snapshot {
    /// Looks at what an admin has sent.
    ///
    /// # Errors
    /// It is not a snapshot.
    pub fn new(text: String, etag: Option<Arc<str>>) -> Result<Self, String> {
        let envelope: Envelope = serde_json::from_str(&text)
            .map_err(|error| format!("what the admin sent is no snapshot: {error}"))?;
        let Envelope { revision, schema, configuration } = envelope;
        let length = configuration.get().len();
        let start = configuration.get().as_ptr().addr() - text.as_ptr().addr();
        Ok(Self { revision, etag, text: text.into(), schema, configuration: start..start + length })
    }

    /// Checks it together with an engine's own settings. Takes its time.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self, own: &Gateway) -> Result<Gateway, LoadError> {
        let name = format!("revision {}", self.revision);
        let configuration = &self.text[self.configuration.clone()];
        coregate_config::merge(own, configuration, &name).map_err(|mut report: Report| {
            if self.schema > SCHEMA {
                report.errors.push(newer_schema(&name, self.schema));
            }
            LoadError::Invalid(report)
        })
    }
}

fn newer_schema(name: &str, schema: u32) -> coregate_config::Problem {
    coregate_config::Problem {
        file: name.to_owned(),
        line: None,
        column: None,
        key: String::new(),
        value: None,
        message: format!(
            "the admin's configuration is of schema {schema}, and this engine (coregate {}) knows schema {SCHEMA}: \
             update it",
            crate::metrics::VERSION
        ),
    }
}

/// One thing that is wrong with a configuration, as the admin is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The key, such as `services[0].nodes[1].weight`; empty for what is wrong with this machine.
    pub key: String,
    /// What was given, without secrets.
    pub value: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// A configuration that this engine did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The admin's number of it.
    pub revision: u64,
    /// Why; not empty, and not all if there are very many.
    pub problems: Vec<Problem>,
}

impl Refused {
    fn new(revision: u64, error: &LoadError) -> Self {
        let local = |message: &String| Problem { key: String::new(), value: None, message: message.clone() };
        let problems = match error {
            LoadError::Invalid(report) => {
                let told = |it: &coregate_config::Problem| Problem {
                    key: it.key.clone(),
                    value: it.value.clone(),
                    message: it.message.clone(),
                };
                report.errors.iter().take(PROBLEMS_MAX).map(told).collect()
            }
            LoadError::Certificates(lines) | LoadError::Unfit(lines) => {
                lines.iter().take(PROBLEMS_MAX).map(local).collect()
            }
            LoadError::Panicked => vec![local(&error.to_string())],
        };
        Self { revision, problems }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = {value}: {}", self.key, self.message),
            None if self.key.is_empty() => f.write_str(&self.message),
            None => write!(f, "{}: {}", self.key, self.message),
        }
    }
}

/// A configuration of the admin that was handed to the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The admin's number of it.
    pub revision: u64,
    /// Its name for it.
    pub etag: Option<Arc<str>>,
    /// The first revision of this process that holds it.
    pub since: u64,
}

/// Whether the admin answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// It has not been asked yet.
    Unknown,
    /// It does.
    Up,
    /// It cannot be reached, or its answers make no sense: why.
    Down(String),
    /// It does not know this engine's token.
    TokenRefused,
}

/// What is known of the admin.
pub struct Remote {
    /// `control.admin_url`
    pub url: String,
    /// This engine's name among the admin's.
    pub instance: String,
    /// Whether it answers.
    pub contact: Contact,
    /// When it last did.
    pub answered_at: Option<Timestamp>,
    /// What was taken last; `None`: nothing yet.
    pub taken: Option<Taken>,
    /// What was taken before it, until the shards have the last.
    before: Option<Taken>,
    /// The last configuration that came was refused.
    pub refused: Option<Refused>,
    /// How many were, each counted once.
    pub refused_count: u64,
    /// Has the configuration fetched again.
    pub demand: Arc<Notify>,
    /// Has a report sent at once.
    pub news: Arc<Notify>,
}

impl Remote {
    /// Nothing known yet; `copy` is what the process starts with. `None` where the configuration comes from a file.
    pub fn new(gateway: &Gateway, copy: Option<Started>) -> Option<Self> {
        let Control::Admin { url, cache_path, .. } = &gateway.control else { return None };
        let taken = |it: Started| Taken { revision: it.revision, etag: it.etag, since: 1 };
        Some(Self {
            url: url.clone(),
            instance: instance(cache_path),
            contact: Contact::Unknown,
            answered_at: None,
            taken: copy.map(taken),
            before: None,
            refused: None,
            refused_count: 0,
            demand: Arc::default(),
            news: Arc::default(),
        })
    }

    /// Why there is no configuration; `None` if there is one.
    pub fn not_ready(&self) -> Option<String> {
        if self.taken.is_some() {
            return None;
        }
        let why = match (&self.refused, &self.contact) {
            (Some(refused), _) => {
                let first = refused.problems.first().map_or_else(String::new, Problem::to_string);
                format!("has sent revision {}, which was refused: {first}", refused.revision)
            }
            (None, Contact::Unknown | Contact::Up) => "has sent none yet".to_owned(),
            (None, Contact::Down(why)) => format!("does not answer: {why}"),
            (None, Contact::TokenRefused) => "refuses the token in control.token_file".to_owned(),
        };
        Some(format!("no configuration: no copy of one was kept, and the admin at {} {why}", self.url))
    }

    /// What all shards have in force, given the oldest revision of this process that one of them has.
    pub fn in_force(&self, applied: u64) -> Option<&Taken> {
        let has = |taken: &&Taken| applied >= taken.since;
        self.taken.as_ref().filter(has).or(self.before.as_ref().filter(has))
    }

    /// The admin has answered, or not.
    pub fn on_contact(&mut self, contact: Contact, now: Timestamp) {
        match &contact {
            Contact::Up => {
                self.answered_at = Some(now);
                if self.contact != Contact::Up {
                    info!(admin = self.url, "the admin answers");
                }
            }
            Contact::Down(why) if self.contact != contact => {
                let keeps = self.keeps();
                warn!(admin = self.url, why, "the admin does not answer{keeps}; trying again");
            }
            Contact::TokenRefused if self.contact != contact => {
                let keeps = self.keeps();
                error!(
                    admin = self.url,
                    "the admin refuses the token in control.token_file: make one of the role engine at the admin \
                     (coregate-admin token --role engine --name NAME) and write it there; it is read again by itself{keeps}"
                );
            }
            Contact::Down(_) | Contact::TokenRefused | Contact::Unknown => {}
        }
        self.contact = contact;
    }

    fn keeps(&self) -> &'static str {
        if self.taken.is_some() { "; the configuration in force stays in force" } else { "" }
    }

    /// A configuration was handed to the shards, as this revision of the process.
    pub fn on_taken(&mut self, snapshot: &Snapshot, since: u64) {
        self.before = self.taken.take();
        self.taken = Some(Taken { revision: snapshot.revision, etag: snapshot.etag.clone(), since });
        self.refused = None;
        self.news.notify_one();
    }

    /// A configuration was refused. Whether that is news: it may be one that is tried again.
    pub fn on_refused(&mut self, snapshot: &Snapshot, error: &LoadError) -> bool {
        let refused = Refused::new(snapshot.revision, error);
        let is_news = self.refused.as_ref() != Some(&refused);
        if is_news {
            self.refused_count += 1;
            self.news.notify_one();
        }
        self.refused = Some(refused);
        is_news
    }
}

/// The machine's name, and something that tells engines on one machine apart and outlives a restart: where the copy is.
fn instance(cache_path: &Path) -> String {
    let path = std::path::absolute(cache_path).unwrap_or_else(|_| cache_path.to_owned());
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let digits: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{digits}", super::flow::writer::instance())
}

/// What a process starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The admin's number of it.
    pub revision: u64,
    /// Its name for it.
    pub etag: Option<Arc<str>>,
}

/// The configuration of the last good copy, with what was read of its certificates. `None`, and a line in the log, if there
/// is none that can be used. Blocks.
pub fn from_copy(own: &Gateway) -> Option<(Gateway, certificates::Read, Started)> {
    let Control::Admin { url, cache_path, .. } = &own.control else { return None };
    let unusable = |why: &str| {
        error!(file = %cache_path.display(), "the last good copy cannot be used: {why}");
        warn!(
            admin = url,
            "starting without a configuration, listening to nothing until the admin sends one"
        );
    };
    let copy = match copy::read(cache_path) {
        Ok(Some(copy)) => copy,
        Ok(None) => {
            info!(admin = url, file = %cache_path.display(),
                "no copy of a configuration is kept yet: listening to nothing until the admin sends one");
            return None;
        }
        Err(why) => {
            unusable(&why);
            return None;
        }
    };
    let snapshot = match Snapshot::new(copy.snapshot, copy.etag.map(Into::into)) {
        Ok(snapshot) => snapshot,
        Err(why) => {
            unusable(&why);
            return None;
        }
    };
    let checked = snapshot.check(own).map_err(|error| error.to_string()).and_then(|gateway| {
        let read = certificates::read_anew(&gateway, &Tls::default()).map_err(|lines| lines.join("\n"))?;
        Ok((gateway, read))
    });
    match checked {
        Ok((gateway, read)) => {
            info!(revision = snapshot.revision, file = %cache_path.display(), "starting with the last good copy");
            Some((gateway, read, Started { revision: snapshot.revision, etag: snapshot.etag }))
        }
        Err(why) => {
            unusable(&why);
            None
        }
    }
}

/// Where the admin is and what its clients need.
#[derive(Debug, Clone)]
pub struct Place {
    /// `control.admin_url`
    pub url: String,
    /// `control.token_file`
    pub token_file: PathBuf,
    /// `control.cache_path`
    pub cache_path: PathBuf,
}

impl Place {
    /// That of a configuration; `None` where there is no admin.
    pub fn of(gateway: &Gateway) -> Option<Self> {
        match gateway.control.clone() {
            Control::File => None,
            Control::Admin { url, token_file, cache_path } => Some(Self { url, token_file, cache_path }),
        }
    }
}

/// What the task that asks has to say.
#[derive(Debug)]
pub enum News {
    /// Whether the admin answers.
    Contact(Contact),
    /// It has sent a configuration.
    Fetched(Fetched),
}

/// A configuration to be tried, and who waits for what becomes of it.
#[derive(Debug)]
pub struct Fetched {
    /// It.
    pub snapshot: Snapshot,
    /// Whether it is in force now.
    pub verdict: tokio::sync::oneshot::Sender<bool>,
}

/// For deadlines of the tasks: the moment, for [`schedule::Schedule`].
fn now() -> Instant {
    crate::clock::read()
}

#[cfg(test)]
mod tests;
