//! `/admins`: accounts of people.

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, Code, ErrorBody};
use super::extract::{Body, InPath, Params};
use crate::app::App;
use crate::auth::login::{check_name, check_password, make_link};
use crate::auth::{Admin, Role};
use crate::settings::link_base;
use crate::store::{AdminRecord, RecordError};

/// `/admins` and below.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(update, delete))
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
struct AdminView {
    /// Never changes.
    id: u64,
    /// Unique.
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: Role,
    /// Whether it may log in.
    enabled: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last logged in.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login_at: Option<Timestamp>,
    /// Until when it is locked, after too many wrong passwords.
    #[schema(value_type = Option<String>, format = DateTime)]
    locked_until: Option<Timestamp>,
    /// Counts its changes.
    version: u64,
    /// Sets its password, once, within 24 hours. It is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

impl AdminView {
    fn of(account: AdminRecord, now: Timestamp) -> Self {
        Self {
            id: account.id,
            name: account.name,
            role: account.role,
            enabled: account.enabled,
            created_at: account.created_at,
            last_login_at: account.last_login_at,
            locked_until: account.locked_until.filter(|until| *until > now),
            version: account.version,
            link: None,
        }
    }
}

/// A role of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PersonRole {
    /// Reads.
    Viewer,
    /// Also changes the configuration.
    Operator,
    /// Also accounts and tokens.
    Admin,
}

impl From<PersonRole> for Role {
    fn from(role: PersonRole) -> Self {
        match role {
            PersonRole::Viewer => Self::Viewer,
            PersonRole::Operator => Self::Operator,
            PersonRole::Admin => Self::Admin,
        }
    }
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAdmin {
    /// 1 to 64 of A-Z a-z 0-9 . _ - @
    name: String,
    /// What it may do.
    role: PersonRole,
    /// Left out = the answer has a link with which its owner sets one.
    #[serde(default)]
    password: Option<String>,
}

/// A changed account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangedAdmin {
    /// The version that was seen.
    version: Option<u64>,
    /// Left out = stays.
    name: Option<String>,
    /// Left out = stays.
    role: Option<PersonRole>,
    /// Left out = stays.
    enabled: Option<bool>,
    /// A new one, which ends its sessions; left out = stays.
    password: Option<String>,
}

#[utoipa::path(get, path = "/admins", tag = "accounts", responses(
    (status = 200, description = "All accounts", body = Vec<AdminView>),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn list(_: Admin, State(app): State<App>) -> Result<axum::Json<Vec<AdminView>>, ApiError> {
    let now = Timestamp::now();
    let all = app.store.admins().await?;
    Ok(axum::Json(all.into_iter().map(|account| AdminView::of(account, now)).collect()))
}

#[utoipa::path(post, path = "/admins", tag = "accounts", request_body = NewAdmin, responses(
    (status = 201, description = "It is there", body = AdminView),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn create(
    Admin(who): Admin,
    State(app): State<App>,
    Body(new): Body<NewAdmin>,
) -> Result<(StatusCode, axum::Json<AdminView>), ApiError> {
    let NewAdmin { name, role, password } = new;
    let role = Role::from(role);
    check_name(&name)?;
    let now = Timestamp::now();
    let hash = match password {
        Some(password) => {
            check_password("password", &password, &name)?;
            Some(app.auth.hasher.hash(password).await?)
        }
        None => None,
    };
    let made = app.store.add_admin(&name, role, hash.as_deref(), now).await;
    let account = made.map_err(|error| match error {
        RecordError::Exists => taken("an account", &name),
        error => error.into(),
    })?;
    let link = match hash {
        Some(_) => None,
        None => {
            let base = link_base(
                app.settings.public_url.as_deref(),
                app.settings.listen,
                app.settings.tls.is_some(),
            );
            Some(make_link(&app.store, account.id, &base, now).await?)
        }
    };
    let detail = json!({ "role": role });
    app.store.audit(&who.actor, "admin_created", &format!("admin:{name}"), &detail, now).await?;
    Ok((StatusCode::CREATED, axum::Json(AdminView { link, ..AdminView::of(account, now) })))
}

#[utoipa::path(put, path = "/admins/{id}", tag = "accounts", params(("id" = u64, Path)), request_body = ChangedAdmin,
    responses(
        (status = 200, description = "It is so", body = AdminView),
        (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn update(
    Admin(who): Admin,
    State(app): State<App>,
    InPath(id): InPath<u64>,
    Body(changed): Body<ChangedAdmin>,
) -> Result<axum::Json<AdminView>, ApiError> {
    let before = find(&app, id).await?;
    let ChangedAdmin { version, name, role, enabled, password } = changed;
    let version = version.ok_or_else(|| version_required(&before))?;
    let name = name.unwrap_or_else(|| before.name.clone());
    check_name(&name)?;
    let password_hash = match password {
        Some(password) => {
            check_password("password", &password, &name)?;
            Some(app.auth.hasher.hash(password).await?)
        }
        None => None,
    };
    let role = role.map_or(before.role, Role::from);
    let enabled = enabled.unwrap_or(before.enabled);
    let mut account =
        app.store.update_admin(id, version, &name, role, enabled).await.map_err(|error| match error {
            RecordError::Exists => taken("an account", &name),
            RecordError::Stale => stale(&before),
            error => error.into(),
        })?;
    let new_password = password_hash.is_some();
    if let Some(hash) = password_hash {
        app.store.set_password(id, &hash).await?;
        account = find(&app, id).await?;
    }
    if new_password || !enabled {
        app.auth.sessions.remove_of(id, None).await?;
    }
    let now = Timestamp::now();
    let detail = json!({
        "name": { "before": before.name, "after": name },
        "role": { "before": before.role, "after": role },
        "enabled": { "before": before.enabled, "after": enabled },
        "password": if new_password { "changed" } else { "unchanged" },
    });
    app.store.audit(&who.actor, "admin_changed", &format!("admin:{name}"), &detail, now).await?;
    Ok(axum::Json(AdminView::of(account, now)))
}

/// The version that was seen.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Seen {
    /// Of the account.
    version: Option<u64>,
}

#[utoipa::path(delete, path = "/admins/{id}", tag = "accounts", params(("id" = u64, Path), Seen), responses(
    (status = 204, description = "It is gone, and its sessions are over"),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn delete(
    Admin(who): Admin,
    State(app): State<App>,
    InPath(id): InPath<u64>,
    Params(seen): Params<Seen>,
) -> Result<StatusCode, ApiError> {
    let account = find(&app, id).await?;
    let version = seen.version.ok_or_else(|| version_required(&account))?;
    app.store.remove_admin(id, version).await.map_err(|error| match error {
        RecordError::Stale => stale(&account),
        error => error.into(),
    })?;
    app.auth.sessions.remove_of(id, None).await?;
    let object = format!("admin:{}", account.name);
    app.store
        .audit(&who.actor, "admin_deleted", &object, &json!({ "role": account.role }), Timestamp::now())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(app: &App, id: u64) -> Result<AdminRecord, ApiError> {
    let none = || ApiError::not_found("account", id);
    if i64::try_from(id).is_err() {
        return Err(none());
    }
    app.store.admin(id).await?.ok_or_else(none)
}

fn version_required(account: &AdminRecord) -> ApiError {
    ApiError::new(
        Code::VersionRequired,
        format!(
            "the account \"{}\" is at version {}; say which one you have seen, by version",
            account.name, account.version
        ),
    )
}

fn stale(account: &AdminRecord) -> ApiError {
    ApiError::new(
        Code::Stale,
        format!(
            "somebody else changed the account \"{}\" meanwhile: role {}, {}; version {} is the newest that is known",
            account.name,
            account.role.as_str(),
            if account.enabled { "enabled" } else { "disabled" },
            account.version
        ),
    )
}

/// 409: the name is another one's.
pub fn taken(what: &str, name: &str) -> ApiError {
    ApiError::new(Code::AlreadyExists, format!("there is {what} \"{name}\" already; choose another name"))
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        let message = error.to_string();
        match error {
            RecordError::Exists => Self::new(Code::AlreadyExists, message),
            RecordError::Missing => Self::new(Code::NotFound, message),
            RecordError::Stale => Self::new(Code::Stale, message),
            RecordError::LastAdmin | RecordError::TooMany => Self::new(Code::Conflict, message),
            RecordError::Database(error) => error.into(),
        }
    }
}
