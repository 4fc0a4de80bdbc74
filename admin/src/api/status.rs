//! `/status`, `/schema`, `/check`: how the admin is, what can be configured, what would be wrong.

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use coregate::metrics::VERSION;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::drafts;
use super::error::{ApiError, ErrorBody};
use super::extract::Body;
use crate::app::App;
use crate::auth::Viewer;
use crate::model::Change;
use crate::store::Problem;

/// Changes of one check.
const CHANGES_MAX: usize = 10_000;
/// A certificate that is over so soon is a problem.
const DAYS_WARNED: i64 = 14;

/// `/status`, `/schema` and `/check`.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(schema)).routes(routes!(check))
}

/// How the admin is.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    /// Its name for people.
    environment: String,
    /// Of coregate-admin.
    version: &'static str,
    /// In force.
    revision: u64,
    /// Since when; null before the first.
    #[schema(value_type = Option<String>, format = DateTime)]
    revision_at: Option<Timestamp>,
    /// The revision that waits to be confirmed.
    pending: Option<Pending>,
    /// Changes in one's own draft.
    draft_changes: usize,
    /// In which days begin.
    timezone: String,
    /// `mysql` or `sqlite`.
    database: &'static str,
    /// Whether there is a Redis.
    redis: bool,
    /// What somebody should look at.
    problems: Vec<String>,
}

/// A revision that waits to be confirmed.
#[derive(Debug, Serialize, ToSchema)]
struct Pending {
    /// Which.
    revision: u64,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    confirm_by: Timestamp,
    /// Whose.
    author: String,
}

#[utoipa::path(get, path = "/status", tag = "status", responses(
    (status = 200, description = "How the admin is", body = Status),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn status(Viewer(who): Viewer, State(app): State<App>) -> Result<axum::Json<Status>, ApiError> {
    let state = app.store.state();
    let mut problems = Vec::new();
    if let Some(why) = app.store.away() {
        tracing::debug!(%why, "asked for the status");
        problems
            .push("the database cannot be used at the moment; what is in force stays in force".to_owned());
    }
    if let Some(why) = app.redis.as_ref().and_then(|redis| redis.health().trouble.map(|it| it.why)) {
        problems.push(format!("Redis: {why}"));
    }
    let now = Timestamp::now();
    let index = app.indexes.current(&app.store).await;
    for certificate in &index.certificates {
        let (name, days) = (&certificate.item.name, certificate.facts.days_left(now));
        match days {
            ..0 => problems.push(format!("certificate \"{name}\" has expired")),
            0 => problems.push(format!("certificate \"{name}\" expires within a day")),
            1 => problems.push(format!("certificate \"{name}\" expires in a day")),
            2..DAYS_WARNED => problems.push(format!("certificate \"{name}\" expires in {days} days")),
            DAYS_WARNED.. => {}
        }
    }
    let pending = app.store.pending().await.unwrap_or_default();
    let draft_changes = drafts::count(&app, &who).await.unwrap_or_default();
    Ok(axum::Json(Status {
        environment: app.settings.environment.clone(),
        version: VERSION,
        revision: state.revision,
        revision_at: state.at,
        pending: pending
            .and_then(|it| Some(Pending { revision: it.id, confirm_by: it.confirm_by?, author: it.author })),
        draft_changes,
        timezone: app.settings.timezone_name.clone(),
        database: app.store.database_name(),
        redis: app.redis.is_some(),
        problems,
    }))
}

#[utoipa::path(get, path = "/schema", tag = "status", responses(
    (status = 200, description = "Every key of an element of each list, for forms", body = Object),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn schema(_: Viewer) -> impl IntoResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| coregate_config::reference_json::json().to_string());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str())
}

/// What to check.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Checked {
    /// Made to what is in force, in memory.
    changes: Vec<Change>,
}

/// What would be wrong.
#[derive(Debug, Serialize, ToSchema)]
struct Problems {
    /// Nothing if it is empty.
    problems: Vec<Problem>,
}

#[utoipa::path(post, path = "/check", tag = "drafts", request_body = Checked, responses(
    (status = 200, description = "What would be wrong; nothing is written", body = Problems),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn check(
    _: Viewer,
    State(app): State<App>,
    Body(Checked { changes }): Body<Checked>,
) -> Result<axum::Json<Problems>, ApiError> {
    if changes.len() > CHANGES_MAX {
        return Err(ApiError::field(
            "changes",
            format!("are {}; right would be up to {CHANGES_MAX}", changes.len()),
        ));
    }
    Ok(axum::Json(Problems { problems: app.store.check(&changes).await }))
}
