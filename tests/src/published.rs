//! A stand-in for the admin, where a test needs one that says what the real one never would: snapshots that do not check,
//! of a newer schema, to the wrong token.
//!
//! It serves `/engine/v1/snapshot` (a long poll by ETag) and takes `/engine/v1/report`. [`Published::stop`] is a crash.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::gateway::{Builder, Gateway};
use crate::origin::Origin;
use crate::wait::{PATIENCE, eventually};

/// The longest that a request waits here.
const WAIT_MAX: Duration = Duration::from_secs(25);

/// A running (or stopped) stand-in.
pub struct Published {
    origin: Origin,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// ETag and text.
    snapshot: Option<(String, String)>,
    token: String,
    reports: Vec<Value>,
    stopped: bool,
}

impl Published {
    /// One that publishes this as its first revision.
    pub fn with(configuration: &Value) -> Published {
        let published = Published::nothing();
        published.publish(1, configuration);
        published
    }

    /// One that answers 503 until something is published.
    pub fn nothing() -> Published {
        let shared = Arc::new(Shared::default());
        shared.state.lock().expect("state").token = "secret-token".into();
        let script = Arc::clone(&shared);
        let origin = Origin::that(move |exchange| serve(exchange, &script));
        Published { origin, shared }
    }

    /// Publishes a configuration.
    pub fn publish(&self, revision: u64, configuration: &Value) {
        self.publish_as(revision, 1, configuration);
    }

    /// The same as a configuration of that schema.
    pub fn publish_as(&self, revision: u64, schema: u64, configuration: &Value) {
        let snapshot =
            json!({ "revision": revision, "at": null, "schema": schema, "configuration": configuration });
        self.publish_text(revision, &snapshot.to_string());
    }

    /// Publishes whatever that text is.
    pub fn publish_text(&self, revision: u64, text: &str) {
        self.shared.state.lock().expect("state").snapshot = Some((format!("\"{revision}-x\""), text.into()));
        self.shared.changed.notify_all();
    }

    /// Takes another token from now on.
    pub fn token(&self, token: &str) {
        self.shared.state.lock().expect("state").token = token.into();
    }

    /// All reports that came.
    pub fn reports(&self) -> Vec<Value> {
        self.shared.state.lock().expect("state").reports.clone()
    }

    /// Waits for a report of which this is true, and returns it.
    #[track_caller]
    pub fn expect_report(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually(&format!("a report: {what}; the last was {:?}", self.reports().last()), PATIENCE, || {
            found = self.reports().into_iter().rev().find(&is_it);
            found.is_some()
        });
        found.expect("found")
    }

    /// Waits until the engine reports that it has this revision in force.
    #[track_caller]
    pub fn expect_applied(&self, revision: u64) {
        self.expect_report(&format!("revision {revision} applied"), |it| it["revision_applied"] == revision);
    }

    /// How often a snapshot was asked for.
    pub fn asked(&self) -> usize {
        self.origin.seen().iter().filter(|seen| seen.line() == "GET /engine/v1/snapshot").count()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.origin.address()
    }

    /// An engine that follows it.
    pub fn follower(&self) -> Builder {
        Gateway::empty().following(&format!("http://{}", self.address()), "secret-token")
    }

    /// Crashes.
    pub fn stop(&mut self) {
        self.shared.state.lock().expect("state").stopped = true;
        self.shared.changed.notify_all();
        self.origin.stop();
    }

    /// Comes back on the same port.
    pub fn restart(&mut self) {
        self.shared.state.lock().expect("state").stopped = false;
        self.origin.restart();
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(exchange: &mut Exchange, shared: &Shared) {
    let field = |exchange: &Exchange, name: &str| {
        exchange.head().fields.get(name).map(str::to_owned).unwrap_or_default()
    };
    let expected = format!("Bearer {}", shared.state.lock().expect("state").token);
    if field(exchange, "authorization") != expected {
        return exchange.answer(401, "{}");
    }
    match exchange.line().to_owned().as_str() {
        "POST /engine/v1/report" => {
            let body = exchange.read_body().bytes.clone();
            let report = serde_json::from_slice(&body).expect("a report is JSON");
            shared.state.lock().expect("state").reports.push(report);
            exchange.answer(200, "{\"want\":\"changes\"}");
        }
        "GET /engine/v1/snapshot" => {
            let (known, prefer) = (field(exchange, "if-none-match"), field(exchange, "prefer"));
            let seconds = prefer.strip_prefix("wait=").and_then(|it| it.parse().ok()).unwrap_or(0);
            match shared.other_than(&known, Duration::from_secs(seconds).min(WAIT_MAX)) {
                Some((etag, text)) if etag != known => {
                    exchange.answer_with(200, &format!("etag: {etag}\r\n"), &text);
                }
                Some(_) => exchange.answer(304, ""),
                None => exchange.answer(503, "{}"),
            }
        }
        other => panic!("an engine asked for {other}"),
    }
}

impl Shared {
    /// What is published; waits while that is what the engine knows.
    fn other_than(&self, known: &str, at_most: Duration) -> Option<(String, String)> {
        let state = self.state.lock().expect("state");
        let is_known = |state: &mut State| {
            !state.stopped && state.snapshot.as_ref().is_some_and(|(etag, _)| etag == known)
        };
        let (state, _) = self.changed.wait_timeout_while(state, at_most, is_known).expect("state");
        state.snapshot.clone()
    }
}
