//! Changing the configuration: what services, tenants, listeners and certificates have in common.
//!
//! A change is published at once, as one revision, or goes into the draft of its author. What is there already is only
//! changed with the version that the author has seen: `version` in the body or the query, or the header `if-match`.
//! Answers show items without their secrets.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::drafts::{self, Draft};
use super::error::{ApiError, Code, FieldProblem};
use crate::app::App;
use crate::auth::Identity;
use crate::model::{Cause, Change, Item, Kind, Proposal, Revision};
use crate::store::{ConfirmError, Conflict, Problem, PublishError, State, StoreError, redacted};

/// Bytes of a revision's message.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Shortest time to confirm: shorter would be over before anybody could.
const CONFIRM_SECONDS_MIN: u64 = 5;
/// Longest time to confirm.
const CONFIRM_SECONDS_MAX: u64 = 24 * 3600;
/// A change of one key is tried so often when others change the same item at the same time.
const TRIES: usize = 5;

/// What to save.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Save {
    /// The element, in the configuration's schema (see `/schema`).
    pub body: Map<String, Value>,
    /// The version that it is based on; needed for what is there already, unless `if-match` says it.
    #[serde(default)]
    pub version: Option<u64>,
    /// Why, for people; up to 4096 bytes.
    #[serde(default)]
    pub message: String,
    /// It is taken back unless somebody confirms it within so many seconds, 5 to 86400.
    #[serde(default)]
    #[schema(minimum = 5, maximum = 86400)]
    pub confirm_within_seconds: Option<u64>,
    /// Only into the draft.
    #[serde(default)]
    pub draft: bool,
}

/// How to delete.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Deletion {
    /// The version that was seen; needed unless `if-match` says it.
    version: Option<u64>,
    /// Why, for people.
    message: String,
    /// It is taken back unless somebody confirms it within so many seconds, 5 to 86400.
    confirm_within_seconds: Option<u64>,
    /// Only in the draft.
    draft: bool,
}

/// What was saved: an item with its revision, or the draft.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Saved {
    /// As it is in force now; left out when it was deleted or went into the draft.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemView>,
    /// The revision that it made; left out if nothing differed from what is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The draft that it went into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft: Option<Draft>,
    /// The tenant's new secret. It is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// An item as people see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ItemView {
    /// Which list.
    pub kind: Kind,
    /// Unique among its kind.
    pub name: String,
    /// The revision that wrote it.
    pub version: u64,
    /// The element; `***` stands for a secret.
    #[schema(value_type = Object)]
    pub body: Value,
}

impl ItemView {
    /// Without secrets.
    pub fn of(item: &Item) -> Self {
        let body = redacted(item.kind, item.body.value());
        Self { kind: item.kind, name: item.name.clone(), version: item.version, body }
    }
}

/// An item and who changed it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Detail {
    /// It.
    pub item: ItemView,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Timestamp,
    /// Who.
    pub changed_by: String,
}

impl Detail {
    /// Of an item.
    pub fn of(item: &Item) -> Self {
        Self { item: ItemView::of(item), changed_at: item.changed_at, changed_by: item.changed_by.clone() }
    }
}

/// What is to become of a change: published or put into the draft.
struct How {
    message: String,
    confirm_within_seconds: Option<u64>,
    draft: bool,
}

/// Makes a new item.
pub async fn create(app: &App, who: &Identity, kind: Kind, save: Save) -> Result<Saved, ApiError> {
    let name = name_in(kind, &save.body)?;
    if app.store.state().get(kind, &name).is_some() {
        return Err(already_exists(kind, &name));
    }
    let change = Change { kind, name, body: Some(Value::Object(save.body)), based_on: None };
    let how =
        How { message: save.message, confirm_within_seconds: save.confirm_within_seconds, draft: save.draft };
    apply(app, who, change, how).await
}

/// Changes an item.
pub async fn update(
    app: &App,
    who: &Identity,
    kind: Kind,
    name: String,
    save: Save,
    if_match: IfMatch,
) -> Result<Saved, ApiError> {
    let based_on = save.version.or(if_match.0);
    let state = app.store.state();
    // An item that is only in the draft so far has no version.
    if state.get(kind, &name).is_none() && based_on.is_none() && save.draft {
        let change = Change { kind, name, body: Some(Value::Object(save.body)), based_on: None };
        return drafts::put_one(app, who, change).await.map(in_draft);
    }
    let based_on = version(&state, kind, &name, based_on)?;
    let change = Change { kind, name, body: Some(Value::Object(save.body)), based_on: Some(based_on) };
    let how =
        How { message: save.message, confirm_within_seconds: save.confirm_within_seconds, draft: save.draft };
    apply(app, who, change, how).await
}

/// Deletes an item.
pub async fn delete(
    app: &App,
    who: &Identity,
    kind: Kind,
    name: String,
    deletion: Deletion,
    if_match: IfMatch,
) -> Result<Saved, ApiError> {
    let Deletion { version: seen, message, confirm_within_seconds, draft } = deletion;
    let based_on = version(&app.store.state(), kind, &name, seen.or(if_match.0))?;
    let change = Change { kind, name, body: None, based_on: Some(based_on) };
    apply(app, who, change, How { message, confirm_within_seconds, draft }).await
}

/// Changes what is in force, whichever version that is: for one key, which nobody else's work depends on.
pub async fn adjust(
    app: &App,
    who: &Identity,
    kind: Kind,
    name: &str,
    message: String,
    mut edit: impl FnMut(&mut Value) -> Result<(), ApiError>,
) -> Result<Saved, ApiError> {
    let mut last = None;
    for _ in 0..TRIES {
        let state = app.store.state();
        let item = state.get(kind, name).ok_or_else(|| ApiError::not_found(kind.as_str(), name))?;
        let mut body = item.body.value();
        edit(&mut body)?;
        let change = Change { kind, name: name.to_owned(), body: Some(body), based_on: Some(item.version) };
        let how = How { message: message.clone(), confirm_within_seconds: None, draft: false };
        match apply(app, who, change, how).await {
            Err(error) if error.code == Code::Stale => last = Some(error),
            other => return other,
        }
    }
    Err(last.unwrap_or_else(|| ApiError::not_found(kind.as_str(), name)))
}

async fn apply(app: &App, who: &Identity, change: Change, how: How) -> Result<Saved, ApiError> {
    if how.draft {
        return drafts::put_one(app, who, change).await.map(in_draft);
    }
    let (kind, old_name, deleted) = (change.kind, change.name.clone(), change.body.is_none());
    let name = match &change.body {
        Some(Value::Object(body)) => name_in(kind, body).unwrap_or_else(|_| old_name.clone()),
        _ => old_name.clone(),
    };
    let confirm = confirm_within(how.confirm_within_seconds)?;
    let published = publish(app, who, vec![change], how.message, Cause::Change, confirm).await;
    let revision = match published {
        Ok(revision) => Some(revision),
        Err(PublishError::Empty) => None,
        Err(PublishError::Invalid(problems)) if deleted && needed_elsewhere(&problems, kind, &name) => {
            return Err(in_use(kind, &name, &problems));
        }
        Err(PublishError::Stale(conflicts)) if is_new_name(&conflicts, &old_name, &name) => {
            return Err(already_exists(kind, &name));
        }
        Err(error) => return Err(refused(error, Some((kind, &name)))),
    };
    let state = app.store.state();
    let item = state.get(kind, &name).filter(|_| !deleted).map(|item| ItemView::of(item));
    Ok(Saved { item, revision, ..Saved::default() })
}

fn in_draft(draft: Draft) -> Saved {
    Saved { draft: Some(draft), ..Saved::default() }
}

/// Publishes changes, or says why not.
pub async fn publish(
    app: &App,
    who: &Identity,
    changes: Vec<Change>,
    message: String,
    cause: Cause,
    confirm_within: Option<Duration>,
) -> Result<Revision, PublishError> {
    check_message(&message)?;
    let proposal = Proposal { changes, message, author: who.actor.clone(), cause, confirm_within };
    app.store.publish(proposal, Timestamp::now()).await
}

/// Whether a revision can have that message as it is.
pub fn check_message(message: &str) -> Result<(), PublishError> {
    if message.len() <= MESSAGE_BYTES_MAX {
        return Ok(());
    }
    Err(PublishError::Invalid(vec![Problem {
        kind: None,
        name: None,
        key: "message".to_owned(),
        value: None,
        message: format!("is longer than {MESSAGE_BYTES_MAX} bytes"),
    }]))
}

/// How long there is to confirm.
pub fn confirm_within(seconds: Option<u64>) -> Result<Option<Duration>, ApiError> {
    match seconds {
        Some(seconds) if !(CONFIRM_SECONDS_MIN..=CONFIRM_SECONDS_MAX).contains(&seconds) => {
            Err(ApiError::field(
                "confirm_within_seconds",
                format!(
                    "is {seconds}; right would be {CONFIRM_SECONDS_MIN} to {CONFIRM_SECONDS_MAX} seconds"
                ),
            ))
        }
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

fn name_in(kind: Kind, body: &Map<String, Value>) -> Result<String, ApiError> {
    let key = kind.name_key();
    match body.get(key) {
        Some(Value::String(name)) => Ok(name.clone()),
        Some(_) => Err(ApiError::field(key, "must be a string")),
        None => Err(ApiError::field(key, format!("is missing; a {kind} needs a name"))),
    }
}

/// The version that a change is based on, if the item is there.
fn version(state: &State, kind: Kind, name: &str, seen: Option<u64>) -> Result<u64, ApiError> {
    if let Some(seen) = seen {
        return Ok(seen);
    }
    let item = state.get(kind, name).ok_or_else(|| ApiError::not_found(kind.as_str(), name))?;
    Err(ApiError::new(
        Code::VersionRequired,
        format!(
            "the {kind} \"{name}\" is at version {}; say which one you have seen, by \"version\" or the header \
             if-match, so that nobody's work is overwritten",
            item.version
        ),
    ))
}

/// A conflict over a name that the change gives to its item.
fn is_new_name(conflicts: &[Conflict], old_name: &str, name: &str) -> bool {
    conflicts.iter().all(|it| it.name == name && it.theirs.is_some()) && old_name != name
}

fn already_exists(kind: Kind, name: &str) -> ApiError {
    ApiError::new(Code::AlreadyExists, format!("there is a {kind} \"{name}\" already; choose another name"))
}

/// Whether all that is wrong is that others refer to it.
fn needed_elsewhere(problems: &[Problem], kind: Kind, name: &str) -> bool {
    let about_itself = |it: &Problem| it.kind == Some(kind) && it.name.as_deref() == Some(name);
    !problems.is_empty() && problems.iter().all(|it| it.kind.is_some() && !about_itself(it))
}

fn in_use(kind: Kind, name: &str, problems: &[Problem]) -> ApiError {
    let mut users: Vec<String> =
        problems.iter().filter_map(|it| Some(format!("{} \"{}\"", it.kind?, it.name.as_ref()?))).collect();
    users.dedup();
    let message = format!("the {kind} \"{name}\" is used by {}; change that first", users.join(", "));
    ApiError {
        problems: problems.iter().map(|it| field(it, None)).collect(),
        ..ApiError::new(Code::InUse, message)
    }
}

/// Why something was not published, in the API's words. Keys are relative to `about`.
pub fn refused(error: PublishError, about: Option<(Kind, &str)>) -> ApiError {
    let message = error.to_string();
    match error {
        PublishError::Stale(conflicts) => ApiError {
            conflicts: conflicts.iter().filter_map(|it| serde_json::to_value(it).ok()).collect(),
            ..ApiError::new(Code::Stale, format!("{message} compare the two, then save on top of theirs"))
        },
        PublishError::Invalid(problems) => {
            ApiError::invalid(problems.iter().map(|it| field(it, about)).collect())
        }
        PublishError::Empty => ApiError::new(Code::Conflict, "nothing differs from what is in force"),
        PublishError::Pending(_) => ApiError::new(Code::Pending, message),
        PublishError::NotPending(_) => ApiError::new(Code::Conflict, message),
        PublishError::NoSuchRevision(_) => ApiError::new(Code::NotFound, message),
        PublishError::Database(error) => error.into(),
    }
}

fn field(problem: &Problem, about: Option<(Kind, &str)>) -> FieldProblem {
    let itself =
        about.is_some_and(|(kind, name)| problem.kind == Some(kind) && problem.name.as_deref() == Some(name));
    FieldProblem {
        kind: problem.kind.filter(|_| !itself),
        name: problem.name.clone().filter(|_| !itself),
        key: problem.key.clone(),
        value: problem.value.clone(),
        message: problem.message.clone(),
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "a request could not be answered");
                let message = "the database cannot be reached; gateways go on with what they have, and so does this when it is back";
                Self { retry_after: Some(1), ..Self::new(Code::DatabaseUnavailable, message) }
            }
            StoreError::Unsure(_) => {
                tracing::warn!(%error, "a request could not be answered");
                let message = "the connection to the database broke while this was being saved, and it may have been; \
                               look before you repeat it";
                Self::new(Code::DatabaseUnavailable, message)
            }
            // Whoever operates it is to know which key it takes.
            StoreError::Sealing(why) => {
                tracing::error!(why, "a request could not be answered");
                Self::new(Code::Internal, why)
            }
            StoreError::Refused(_) | StoreError::Unusable(_) | StoreError::Url(_) => {
                tracing::error!(%error, "a request could not be answered");
                Self::new(
                    Code::Internal,
                    "the database does not do what it should; the admin's log says more",
                )
            }
        }
    }
}

impl From<ConfirmError> for ApiError {
    fn from(error: ConfirmError) -> Self {
        match error {
            ConfirmError::NoSuchRevision => Self::new(Code::NotFound, error.to_string()),
            ConfirmError::NotPending | ConfirmError::Reverted(_) | ConfirmError::TooLate => {
                Self::new(Code::Conflict, error.to_string())
            }
            ConfirmError::Database(error) => error.into(),
        }
    }
}

/// The version in the header `if-match`.
#[derive(Debug, Clone, Copy)]
pub struct IfMatch(pub Option<u64>);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(axum::http::header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim().trim_start_matches("W/").trim_matches('"');
        match text.parse() {
            Ok(version) => Ok(Self(Some(version))),
            Err(_) => {
                Err(ApiError::bad_request("if-match: right would be the version in quotes, as in \"12\""))
            }
        }
    }
}
