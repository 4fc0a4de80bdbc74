//! `POST /explain`, `POST /compare`.
//!
//! Both compile configurations, which takes some 100 ms with 10,000 services, and a comparison asks up to some 100,000
//! requests: they run beside the runtime, [`AT_ONCE`] at a time.

use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State as Shared};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::compare::{self, Comparison, Sample};
use super::request::Wrong;
use super::{Answer, Asked, Ground};
use crate::api::changes::refused;
use crate::api::error::{ApiError, Code, ErrorBody, FieldProblem};
use crate::api::extract::Body;
use crate::api::large_bodies;
use crate::app::App;
use crate::auth::Viewer;
use crate::model::Change;
use crate::store::{PublishError, Refused, State};

/// Largest request: an access log of some 100,000 lines.
const BODY_BYTES_MAX: usize = 32 << 20;
/// Most typed requests.
const REQUESTS_MAX: usize = 10_000;
/// Comparisons and questions that are worked on at once; others wait.
const AT_ONCE: usize = 2;

static WORKING: Semaphore = Semaphore::const_new(AT_ONCE);

/// What this file serves.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(
            OpenApiRouter::new()
                .routes(routes!(compare_two))
                .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
                .layer(large_bodies()),
        )
        .routes(routes!(explain))
}

/// A request to explain, and under which configuration; the one in force if nothing is said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Explain {
    /// For example `GET`, which it is if left out.
    method: Option<String>,
    /// `http://host/path?query`, or a path with the host in `headers`.
    url: String,
    /// Where it comes from; left out: the machine itself.
    client: Option<String>,
    /// Name and value; `host` and `authorization` are looked at.
    #[serde(default)]
    #[schema(value_type = Vec<[String; 2]>)]
    headers: Vec<(String, String)>,
    /// `app_id` of the tenant whose valid credentials it is to have.
    tenant: Option<String>,
    /// Of that revision.
    revision: Option<u64>,
    /// With the changes of one's own draft.
    #[serde(default)]
    draft: bool,
}

impl Explain {
    fn request(self) -> Result<Asked, ApiError> {
        let client = match self.client.as_deref() {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                let message = "not an IP address; right would be 192.0.2.1".to_owned();
                wrong(Wrong { key: "client", value: text.to_owned(), message })
            })?),
        };
        Ok(Asked {
            method: self.method.unwrap_or_else(|| "GET".to_owned()),
            url: self.url,
            client,
            headers: self.headers,
            tenant: self.tenant,
        })
    }
}

fn wrong(wrong: Wrong) -> ApiError {
    let mut error = ApiError::new(Code::Invalid, format!("{}: {}", wrong.key, wrong.message));
    error.problems = vec![FieldProblem {
        kind: None,
        name: None,
        key: wrong.key.to_owned(),
        value: Some(wrong.value),
        message: wrong.message,
    }];
    error
}

/// What would become of a request, and why
#[utoipa::path(
    post, path = "/explain", tag = "configuration", request_body = Explain,
    responses((status = 200, body = Answer), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody))
)]
async fn explain(
    Shared(app): Shared<App>,
    Viewer(identity): Viewer,
    Body(asked): Body<Explain>,
) -> Result<Json<Answer>, ApiError> {
    let side = match (asked.revision, asked.draft) {
        (Some(_), true) => return Err(ApiError::bad_request("revision and draft do not go together")),
        (Some(revision), false) => Side::revision(&app, revision).await?,
        (None, true) => Side::changed(&app, &draft(&app, identity.admin_id).await?)?,
        (None, false) => Side::in_force(&app),
    };
    let request = asked.request()?;
    // What engines report of nodes; one that none reports counts as up.
    let sums = app.live.sums();
    work(move || {
        let ground = side.ground()?;
        let request = request.request(ground.snapshot(), unix_seconds()).map_err(wrong)?;
        let explained = ground
            .ask(&request, |service, node| !sums.not_up.get(service).is_some_and(|it| it.contains(node)));
        Ok(Json(Answer::of(&ground, explained)))
    })
    .await
}

/// What to compare: the configuration in force (or revision `against`) with changes, a draft or a revision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Compare {
    /// With these changes.
    changes: Option<Vec<Change>>,
    /// With those of one's own draft.
    #[serde(default)]
    draft: bool,
    /// With that revision.
    revision: Option<u64>,
    /// From that revision; left out: from the one in force.
    against: Option<u64>,
    /// What to ask.
    #[serde(default)]
    requests: Vec<Asked>,
    /// Or lines of an access log, JSON or combined.
    access_log: Option<String>,
    /// The host of lines in the combined format, which has none.
    host: Option<String>,
}

/// Which requests two configurations route, refuse or limit differently
#[utoipa::path(
    post, path = "/compare", tag = "configuration", request_body = Compare,
    responses((status = 200, body = Comparison), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody))
)]
async fn compare_two(
    Shared(app): Shared<App>,
    Viewer(identity): Viewer,
    Body(asked): Body<Compare>,
) -> Result<Json<Comparison>, ApiError> {
    let before = match asked.against {
        Some(revision) => Side::revision(&app, revision).await?,
        None => Side::in_force(&app),
    };
    let after = match (asked.changes, asked.draft, asked.revision) {
        (Some(changes), false, None) => Side::changed(&app, &changes)?,
        (None, true, None) => Side::changed(&app, &draft(&app, identity.admin_id).await?)?,
        (None, false, Some(revision)) => Side::revision(&app, revision).await?,
        _ => {
            return Err(ApiError::bad_request(
                "exactly one of changes, draft and revision says what to compare with",
            ));
        }
    };
    let (requests, log, host) = (asked.requests, asked.access_log, asked.host);
    if requests.len() > REQUESTS_MAX {
        return Err(ApiError::bad_request(format!("requests: at most {REQUESTS_MAX} at once")));
    }
    if requests.is_empty() == log.is_none() {
        return Err(ApiError::bad_request("either requests or access_log says what to ask"));
    }
    work(move || {
        let (before, after) = (before.ground()?, after.ground()?);
        let sample = match &log {
            Some(log) => Sample::Log(log, host.as_deref()),
            None => Sample::Typed(&requests),
        };
        Ok(Json(compare::compare(&before, &after, &sample, unix_seconds())))
    })
    .await
}

/// Runs long work beside the runtime.
async fn work<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let broken = |_| ApiError::new(Code::Internal, "this has failed: a bug, which was logged");
    // It goes with the work: a client that leaves does not make room for another before that has ended.
    let permit = WORKING.acquire().await.map_err(|_| ApiError::new(Code::Unavailable, "the process ends"))?;
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    })
    .await
    .map_err(broken)?
}

/// What an account is preparing.
async fn draft(app: &App, admin_id: Option<u64>) -> Result<Vec<Change>, ApiError> {
    let owner =
        admin_id.ok_or_else(|| ApiError::bad_request("a token has no draft; name changes or a revision"))?;
    Ok(app.store.draft(owner).await?.map(|draft| draft.changes).unwrap_or_default())
}

fn unix_seconds() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

/// A configuration to ask.
struct Side(Arc<State>);

impl Side {
    fn in_force(app: &App) -> Self {
        Self(app.store.state())
    }

    async fn revision(app: &App, id: u64) -> Result<Self, ApiError> {
        match app.store.state_at(id).await? {
            Some(state) => Ok(Self(Arc::new(state))),
            None => Err(ApiError::new(
                Code::NotFound,
                format!("there is no revision {id}, or it is not kept any more"),
            )),
        }
    }

    fn changed(app: &App, changes: &[Change]) -> Result<Self, ApiError> {
        let state = app.store.state().apply(changes).map_err(|why| match why {
            Refused::Stale(conflicts) => refused(PublishError::Stale(conflicts), None),
            Refused::Invalid(problems) => refused(PublishError::Invalid(problems), None),
        })?;
        Ok(Self(Arc::new(state)))
    }

    fn ground(&self) -> Result<Ground, ApiError> {
        let document: Value = serde_json::from_str(&self.0.document()).unwrap_or_default();
        Ground::compile(self.0.revision, &document).map_err(|report| {
            let problem = |it: &coregate_config::Problem| FieldProblem {
                kind: None,
                name: None,
                key: it.key.clone(),
                value: it.value.clone(),
                message: it.message.clone(),
            };
            let mut error = ApiError::new(Code::Invalid, "the configuration to ask would not be valid");
            error.problems = report.errors.iter().map(problem).collect();
            error
        })
    }
}
