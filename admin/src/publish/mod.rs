//! `/engine/v1`: the configuration for engines, and their reports.
//!
//! `GET /engine/v1/snapshot` answers the snapshot in force at once, unless the request has its ETag in `If-None-Match`; then
//! it waits for the next one as long as `Prefer: wait=SECONDS` says ([`WAIT_MAX`] at most) and answers 304 if none came.
//! `POST /engine/v1/report` takes what an engine says of itself.
//!
//! An engine behind several admins may have a newer revision than this one has seen yet. It is never sent back for that:
//! the database is asked first, and only what is in force there is older news (a copy of it was restored).
//!
//! Bounds: [`WAITING_MAX`] requests wait at a time, further ones are answered 304 at once (engines come back in half a
//! second); reports of [`REPORT_BYTES_MAX`].

pub mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use coregate::control::remote::report::{Answer, Report};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use crate::api::error::{ApiError, Code};
use crate::api::extract::Body;
use crate::app::App;
use crate::auth::{self, Engine};
use snapshot::Snapshot;

/// The longest wait of a long poll.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Engines that wait at a time.
pub const WAITING_MAX: usize = 2000;
/// A report: two thousand names with their hours.
const REPORT_BYTES_MAX: usize = 4 << 20;

/// What engines are given; a clone is a reference.
#[derive(Clone)]
pub struct Publisher {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    waiting: Arc<Semaphore>,
}

impl Publisher {
    /// Gives out the snapshots that come here.
    pub fn new(snapshot: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self { snapshot, waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }
}

/// All of `/engine/v1`.
pub fn router() -> Router<App> {
    Router::new()
        .route("/snapshot", get(snapshot))
        .route("/report", post(report).layer(DefaultBodyLimit::max(REPORT_BYTES_MAX)))
}

async fn snapshot(
    State(app): State<App>,
    Engine(who): Engine,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Publisher { mut snapshot, waiting } = app.publisher.clone();
    let known = header_text(&headers, &header::IF_NONE_MATCH);
    let deadline = Instant::now() + wait(header_text(&headers, &header::HeaderName::from_static("prefer")));
    // Held for as long as this request waits.
    let place = waiting.try_acquire();
    let mut has_waited = false;
    loop {
        let current = Arc::clone(&snapshot.borrow_and_update());
        let is_news = !knows(known, &current.etag) && !is_ahead(known, &current, &app).await?;
        if is_news {
            // Its token may be of no use any more.
            if has_waited && !auth::still(&who, &app, Timestamp::now()).await? {
                return Err(ApiError::new(Code::Unauthenticated, "the token was deleted, or has expired"));
            }
            return Ok(answer(&current, header_text(&headers, &header::ACCEPT_ENCODING)));
        }
        let unchanged = || Ok((StatusCode::NOT_MODIFIED, etag(&current)).into_response());
        if place.is_err() {
            return unchanged();
        }
        tokio::select! {
            changed = snapshot.changed() => if changed.is_err() {
                return unchanged();
            },
            () = sleep_until(deadline) => return unchanged(),
            () = app.stopped() => return unchanged(),
        }
        has_waited = true;
    }
}

fn etag(snapshot: &Snapshot) -> [(header::HeaderName, HeaderValue); 1] {
    // It is made of digits and quotes.
    let value = HeaderValue::from_str(&snapshot.etag).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

fn answer(snapshot: &Snapshot, encodings: &str) -> Response {
    const TYPE: [(header::HeaderName, &str); 2] =
        [(header::CONTENT_TYPE, "application/json"), (header::VARY, "accept-encoding")];
    if takes_gzip(encodings) {
        let coding = [(header::CONTENT_ENCODING, "gzip")];
        return (etag(snapshot), TYPE, coding, snapshot.packed.clone()).into_response();
    }
    (etag(snapshot), TYPE, snapshot.plain.clone()).into_response()
}

fn header_text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// RFC 9110 13.1.2, by strong comparison, as there is only one form of a snapshot.
fn knows(if_none_match: &str, etag: &str) -> bool {
    if_none_match.split(',').map(str::trim).any(|known| known == etag)
}

/// Whether what the engine has is newer than our snapshot, and stays so when the database is asked: ours is on its way.
async fn is_ahead(known: &str, current: &Snapshot, app: &App) -> Result<bool, ApiError> {
    let theirs = known.split(',').filter_map(|etag| snapshot::revision_of(etag.trim())).max();
    match theirs {
        Some(theirs) if theirs > current.revision => Ok(app.store.refresh().await?.revision >= theirs),
        Some(_) | None => Ok(false),
    }
}

/// RFC 7240: `wait=SECONDS` among others.
fn wait(prefer: &str) -> Duration {
    let seconds = prefer.split(',').filter_map(|one| one.trim().strip_prefix("wait="));
    let seconds = seconds.filter_map(|seconds| seconds.trim_matches('"').parse().ok()).next();
    Duration::from_secs(seconds.unwrap_or(0)).min(WAIT_MAX)
}

fn takes_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|one| {
        let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
        matches!(coding.trim(), "gzip" | "*") && !refused
    })
}

async fn report(
    State(app): State<App>,
    _engine: Engine,
    Body(report): Body<Report>,
) -> Result<axum::Json<Answer>, ApiError> {
    let want = app.live.take(report).ok_or_else(|| {
        ApiError::new(
            Code::Unavailable,
            format!(
                "this engine's report is not taken: its instance name makes no sense, or {} engines report already",
                crate::live::table::INSTANCES_MAX
            ),
        )
    })?;
    Ok(axum::Json(Answer { want }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_has_it_is_told_so() {
        assert!(knows("\"3-a\"", "\"3-a\""));
        assert!(knows("\"2-b\", \"3-a\"", "\"3-a\""));
        assert!(!knows("", "\"3-a\"") && !knows("\"3-b\"", "\"3-a\"") && !knows("W/\"3-a\"", "\"3-a\""));
    }

    #[test]
    fn waits_are_bounded() {
        for (prefer, seconds) in [
            ("", 0),
            ("wait=25", 25),
            ("respond-async, wait=10", 10),
            ("wait=100000", 60),
            ("wait=x", 0),
            ("wait=-1", 0),
            ("wait=99999999999999999999999", 0),
        ] {
            assert_eq!(wait(prefer), Duration::from_secs(seconds), "{prefer}");
        }
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        assert!(takes_gzip("gzip") && takes_gzip("br, gzip;q=0.5") && takes_gzip("*"));
        assert!(!takes_gzip("") && !takes_gzip("br") && !takes_gzip("gzip;q=0"));
    }
}
