//! `/draft`: what an account is preparing, checked as it goes, published as one revision.
//!
//! One draft an account. A change of an item that is in it already takes its place, with the version that was seen first.
//! Answers show items without their secrets; what comes back as `***` stays as it was put.

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::changes::{confirm_within, publish, refused};
use super::error::{ApiError, Code, ErrorBody};
use super::extract::{Body, OptionalBody};
use crate::app::App;
use crate::auth::{Identity, Operator, Viewer};
use crate::model::{Cause, Change, Kind, Revision};
use crate::store::{self, Action, Conflict, Over, Problem, REDACTED, redacted};

/// Changes of a draft.
const CHANGES_MAX: usize = 10_000;
/// A change is put into the draft so often when it is written to elsewhere at the same time.
const TRIES: usize = 10;

/// `/draft` and below.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, put, discard)).routes(routes!(publish_draft))
}

/// What an account is preparing.
#[derive(Debug, Serialize, ToSchema)]
pub struct Draft {
    /// In the order in which they were put.
    changes: Vec<DraftChange>,
    /// In force when it was last written; that of now if there is none.
    base_revision: u64,
    /// When it was last written; null if there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    updated_at: Option<Timestamp>,
    /// What would be wrong if it were published now.
    problems: Vec<Problem>,
    /// What somebody else changed meanwhile.
    conflicts: Vec<Conflict>,
}

/// A change in a draft.
#[derive(Debug, Serialize, ToSchema)]
struct DraftChange {
    /// Which list.
    kind: Kind,
    /// Which item.
    name: String,
    /// What becomes of it.
    action: Action,
    /// What it is to be, without secrets; null deletes it.
    #[schema(value_type = Option<Object>)]
    body: Option<Value>,
    /// The version that was seen; null: it is new.
    based_on: Option<u64>,
}

/// A draft, whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDraft {
    /// In place of those before.
    changes: Vec<Change>,
}

/// How to publish it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Publication {
    /// Why, for people.
    message: String,
    /// It is taken back unless somebody confirms it within so many seconds, 5 to 86400.
    #[schema(minimum = 5, maximum = 86400)]
    confirm_within_seconds: Option<u64>,
}

#[utoipa::path(get, path = "/draft", tag = "drafts", responses(
    (status = 200, description = "One's own, empty if there is none", body = Draft),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn show(Viewer(who): Viewer, State(app): State<App>) -> Result<axum::Json<Draft>, ApiError> {
    let draft = app.store.draft(owner(&who)?).await?;
    Ok(axum::Json(view(&app, draft).await))
}

#[utoipa::path(put, path = "/draft", tag = "drafts", request_body = NewDraft, responses(
    (status = 200, description = "It is so", body = Draft),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn put(
    Operator(who): Operator,
    State(app): State<App>,
    Body(NewDraft { changes }): Body<NewDraft>,
) -> Result<axum::Json<Draft>, ApiError> {
    let before = app.store.draft(owner(&who)?).await?.map(|draft| draft.changes).unwrap_or_default();
    let changes = changes.into_iter().map(|change| with_secrets(change, &before)).collect();
    let written = write(&app, &who, Over::Any, changes).await?;
    written.map(axum::Json).ok_or_else(overtaken)
}

#[utoipa::path(delete, path = "/draft", tag = "drafts", responses(
    (status = 204, description = "There is none"),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn discard(Operator(who): Operator, State(app): State<App>) -> Result<StatusCode, ApiError> {
    app.store.remove_draft(owner(&who)?, Over::Any).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/draft/publish", tag = "drafts", request_body = Option<Publication>, responses(
    (status = 200, description = "The revision that it became; there is no draft any more", body = Revision),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn publish_draft(
    Operator(who): Operator,
    State(app): State<App>,
    OptionalBody(how): OptionalBody<Publication>,
) -> Result<axum::Json<Revision>, ApiError> {
    let owner = owner(&who)?;
    let draft = app.store.draft(owner).await?.filter(|draft| !draft.changes.is_empty());
    let draft = draft.ok_or_else(|| ApiError::new(Code::Conflict, "there is nothing in the draft"))?;
    let published = Over::Written(Some(draft.updated_at));
    let confirm = confirm_within(how.confirm_within_seconds)?;
    let done = publish(&app, &who, draft.changes, how.message, Cause::Change, confirm).await;
    let revision = done.map_err(|error| refused(error, None))?;
    app.store.remove_draft(owner, published).await?;
    Ok(axum::Json(revision))
}

/// Puts one change into the draft.
pub async fn put_one(app: &App, who: &Identity, change: Change) -> Result<Draft, ApiError> {
    // The same account may be at it in another window.
    for _ in 0..TRIES {
        let before = app.store.draft(owner(who)?).await?;
        let over = Over::Written(before.as_ref().map(|draft| draft.updated_at));
        let changes = with(before.map(|draft| draft.changes).unwrap_or_default(), change.clone());
        if let Some(draft) = write(app, who, over, changes).await? {
            return Ok(draft);
        }
    }
    Err(overtaken())
}

/// Changes with one more.
fn with(mut changes: Vec<Change>, change: Change) -> Vec<Change> {
    let change = with_secrets(change, &changes);
    let same = changes.iter().position(|it| it.kind == change.kind && it.name == change.name);
    match same {
        // What was made in the draft alone, and is deleted there, never was.
        Some(at) if change.body.is_none() && changes[at].based_on.is_none() => {
            changes.remove(at);
        }
        Some(at) => {
            let based_on = changes[at].based_on.or(change.based_on);
            changes[at] = Change { based_on, ..change };
        }
        None => changes.push(change),
    }
    changes
}

fn overtaken() -> ApiError {
    ApiError::new(Code::Conflict, "the draft is being changed elsewhere at the same time; try again")
}

/// How many changes there are in somebody's draft.
pub async fn count(app: &App, who: &Identity) -> Result<usize, ApiError> {
    match who.admin_id {
        Some(owner) => Ok(app.store.draft(owner).await?.map_or(0, |draft| draft.changes.len())),
        None => Ok(0),
    }
}

/// `None`: somebody else has written over it.
async fn write(
    app: &App,
    who: &Identity,
    over: Over,
    changes: Vec<Change>,
) -> Result<Option<Draft>, ApiError> {
    if changes.len() > CHANGES_MAX {
        let message = format!("are {}; right would be up to {CHANGES_MAX}", changes.len());
        return Err(ApiError::field("changes", message));
    }
    let written = app.store.put_draft(owner(who)?, over, changes, Timestamp::now()).await;
    match written.map_err(|error| refused(error, None))? {
        Some(draft) => Ok(Some(view(app, Some(draft)).await)),
        None => Ok(None),
    }
}

/// A secret that the draft holds already and that comes back as people see it.
fn with_secrets(mut change: Change, before: &[Change]) -> Change {
    let same = before.iter().find(|it| it.kind == change.kind && it.name == change.name);
    let before = same.and_then(|it| it.body.as_ref()).and_then(Value::as_object);
    if let (Some(before), Some(body)) = (before, change.body.as_mut().and_then(Value::as_object_mut)) {
        for key in ["secret_sha256", "key"] {
            if let Some(kept) = before.get(key)
                && body.get(key).is_none_or(|it| it == REDACTED)
                && !body.contains_key("secret")
            {
                body.insert(key.to_owned(), kept.clone());
            }
        }
    }
    change
}

async fn view(app: &App, draft: Option<store::Draft>) -> Draft {
    let state = app.store.state();
    let Some(store::Draft { changes, base_revision, updated_at }) = draft else {
        return Draft {
            changes: Vec::new(),
            base_revision: state.revision,
            updated_at: None,
            problems: Vec::new(),
            conflicts: Vec::new(),
        };
    };
    let problems = if changes.is_empty() { Vec::new() } else { app.store.check(&changes).await };
    let conflicts = state.conflicts(&changes);
    let shown = changes.into_iter().map(|change| DraftChange {
        action: match (&change.body, change.based_on) {
            (None, _) => Action::Delete,
            (Some(_), None) => Action::Create,
            (Some(_), Some(_)) => Action::Update,
        },
        body: change.body.map(|body| redacted(change.kind, body)),
        kind: change.kind,
        name: change.name,
        based_on: change.based_on,
    });
    Draft { changes: shown.collect(), base_revision, updated_at: Some(updated_at), problems, conflicts }
}

fn owner(who: &Identity) -> Result<u64, ApiError> {
    who.admin_id.ok_or_else(|| {
        ApiError::new(Code::Forbidden, "a token has no draft: send the changes themselves, or log in")
    })
}
