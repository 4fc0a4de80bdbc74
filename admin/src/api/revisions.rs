//! `/revisions`: history, differences, rollback, confirmation.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::changes::{check_message, confirm_within, refused};
use super::error::{ApiError, Code, ErrorBody};
use super::extract::{InPath, OptionalBody, Params};
use super::page::{Paged, Paging};
use crate::app::App;
use crate::auth::{Operator, Viewer};
use crate::model::Revision;
use crate::store::{ItemDiff, Page};

/// `/revisions` and below.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(diff))
        .routes(routes!(rollback))
        .routes(routes!(confirm))
        .routes(routes!(revert))
}

/// How a revision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// It is what engines get.
    InForce,
    /// A later one is.
    Superseded,
    /// It is in force, and taken back unless it is confirmed.
    Pending,
    /// It was taken back.
    Reverted,
}

/// A revision and how it stands.
#[derive(Debug, Serialize, ToSchema)]
struct RevisionView {
    #[serde(flatten)]
    revision: Revision,
    /// How it stands.
    state: Standing,
}

impl RevisionView {
    fn of(revision: Revision, head: u64) -> Self {
        let state = if revision.reverted_by.is_some() {
            Standing::Reverted
        } else if revision.id < head {
            Standing::Superseded
        } else if revision.confirm_by.is_some() {
            Standing::Pending
        } else {
            Standing::InForce
        };
        Self { revision, state }
    }
}

#[utoipa::path(get, path = "/revisions", tag = "revisions", params(Paging), responses(
    (status = 200, description = "A page of revisions, the newest first", body = Paged<RevisionView>),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn list(
    _: Viewer,
    State(app): State<App>,
    Params(paging): Params<Paging>,
) -> Result<axum::Json<Paged<RevisionView>>, ApiError> {
    let which = paging.which()?;
    let page = Page::new(which.page, which.per_page);
    let (revisions, total) = app.store.revisions(page).await?;
    let head = app.store.state().revision;
    let views = revisions.into_iter().map(|revision| RevisionView::of(revision, head)).collect();
    Ok(axum::Json(which.of(views, total)))
}

#[utoipa::path(get, path = "/revisions/{id}", tag = "revisions", params(("id" = u64, Path)), responses(
    (status = 200, description = "It", body = RevisionView),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn one(
    _: Viewer,
    State(app): State<App>,
    InPath(id): InPath<u64>,
) -> Result<axum::Json<RevisionView>, ApiError> {
    let revision = find(&app, id).await?;
    Ok(axum::Json(RevisionView::of(revision, app.store.state().revision)))
}

/// What to compare with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Against {
    /// Another revision; left out = the one before it. 0 is the empty configuration before the first.
    against: Option<u64>,
}

/// What differs between two revisions.
#[derive(Debug, Serialize, ToSchema)]
struct Diff {
    /// The older side.
    from: u64,
    /// The newer side.
    to: u64,
    /// Items that differ, without secrets; 1000 at most.
    changes: Vec<ItemDiff>,
    /// How many more differ.
    more: u64,
}

#[utoipa::path(get, path = "/revisions/{id}/diff", tag = "revisions", params(("id" = u64, Path), Against), responses(
    (status = 200, description = "From the other one to it", body = Diff),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn diff(
    _: Viewer,
    State(app): State<App>,
    InPath(to): InPath<u64>,
    Params(Against { against }): Params<Against>,
) -> Result<axum::Json<Diff>, ApiError> {
    let from = against.unwrap_or(to.saturating_sub(1));
    for id in [from, to] {
        if id > known(&app) {
            return Err(ApiError::not_found("revision", id));
        }
    }
    let diff = app.store.diff(from, to).await?.ok_or_else(|| missing(&app, from.min(to)))?;
    Ok(axum::Json(Diff { from, to, changes: diff.items, more: diff.more }))
}

/// How to bring an older state back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Rollback {
    /// Why, for people; left out = "rollback to revision N".
    message: Option<String>,
    /// It is taken back unless somebody confirms it within so many seconds, 5 to 86400.
    #[schema(minimum = 5, maximum = 86400)]
    confirm_within_seconds: Option<u64>,
}

#[utoipa::path(post, path = "/revisions/{id}/rollback", tag = "revisions", params(("id" = u64, Path)),
    request_body = Option<Rollback>,
    responses(
        (status = 200, description = "The new revision, whose state is that of the old one", body = Revision),
        (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn rollback(
    Operator(who): Operator,
    State(app): State<App>,
    InPath(id): InPath<u64>,
    OptionalBody(how): OptionalBody<Rollback>,
) -> Result<axum::Json<Revision>, ApiError> {
    let confirm = confirm_within(how.confirm_within_seconds)?;
    if id > known(&app) {
        return Err(ApiError::not_found("revision", id));
    }
    let message = how.message.unwrap_or_else(|| format!("rollback to revision {id}"));
    check_message(&message).map_err(|error| refused(error, None))?;
    let done = app.store.rollback(id, who.actor, message, confirm, Timestamp::now()).await;
    done.map(axum::Json).map_err(|error| refused(error, None))
}

#[utoipa::path(post, path = "/revisions/{id}/confirm", tag = "revisions", params(("id" = u64, Path)), responses(
    (status = 200, description = "It stays", body = Revision),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn confirm(
    Operator(who): Operator,
    State(app): State<App>,
    InPath(id): InPath<u64>,
) -> Result<axum::Json<Revision>, ApiError> {
    find(&app, id).await?;
    Ok(axum::Json(app.store.confirm(id, who.actor, Timestamp::now()).await?))
}

#[utoipa::path(post, path = "/revisions/{id}/revert", tag = "revisions", params(("id" = u64, Path)), responses(
    (status = 200, description = "The new revision, whose state is that before the pending one", body = Revision),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn revert(
    Operator(who): Operator,
    State(app): State<App>,
    InPath(id): InPath<u64>,
) -> Result<axum::Json<Revision>, ApiError> {
    find(&app, id).await?;
    let done = app.store.revert(id, who.actor, Timestamp::now()).await;
    done.map(axum::Json).map_err(|error| refused(error, None))
}

async fn find(app: &App, id: u64) -> Result<Revision, ApiError> {
    if id > known(app) {
        return Err(ApiError::not_found("revision", id));
    }
    app.store.revision(id).await?.ok_or_else(|| missing(app, id))
}

/// There is no such revision, or it was forgotten.
fn missing(app: &App, id: u64) -> ApiError {
    if id == 0 || id > app.store.state().revision {
        return ApiError::not_found("revision", id);
    }
    let kept = app.settings.keep_revisions;
    ApiError::new(Code::NotFound, format!("revision {id} is not kept any more: the last {kept} are"))
}

/// The newest revision that can be asked for: another admin's may be a moment ahead of what is in force here.
fn known(app: &App) -> u64 {
    app.store.state().revision.saturating_add(1000)
}
