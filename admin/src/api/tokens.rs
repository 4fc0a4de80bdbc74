//! `/tokens`: for programs and engines. A token is shown once and kept as a hash.

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admins::taken;
use super::error::{ApiError, ErrorBody};
use super::extract::{Body, InPath};
use crate::app::App;
use crate::auth::login::check_name;
use crate::auth::{Admin, Role, secret};
use crate::store::{self, RecordError, TokenRecord};

/// `/tokens` and below.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(delete))
}

/// A token, without itself.
#[derive(Debug, Serialize, ToSchema)]
struct TokenView {
    /// For `DELETE /tokens/{id}`.
    id: u64,
    /// Unique.
    name: String,
    /// `viewer`, `operator`, `admin` or `engine`.
    role: Role,
    /// Who.
    created_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// To a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// Null = never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// What a program sends: `Authorization: Bearer TOKEN`. It is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenView {
    fn of(record: TokenRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            role: record.role,
            created_by: record.created_by,
            created_at: record.created_at,
            last_used_at: record.last_used_at,
            expires_at: record.expires_at,
            token: None,
        }
    }
}

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// 1 to 64 of A-Z a-z 0-9 . _ - @
    name: String,
    /// What it may do.
    role: Role,
    /// Left out = never.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

#[utoipa::path(get, path = "/tokens", tag = "accounts", responses(
    (status = 200, description = "All tokens, without themselves", body = Vec<TokenView>),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn list(_: Admin, State(app): State<App>) -> Result<axum::Json<Vec<TokenView>>, ApiError> {
    let all = app.store.tokens().await?;
    Ok(axum::Json(all.into_iter().map(TokenView::of).collect()))
}

#[utoipa::path(post, path = "/tokens", tag = "accounts", request_body = NewToken, responses(
    (status = 201, description = "It is there", body = TokenView),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn create(
    Admin(who): Admin,
    State(app): State<App>,
    Body(NewToken { name, role, expires_at }): Body<NewToken>,
) -> Result<(StatusCode, axum::Json<TokenView>), ApiError> {
    let now = Timestamp::now();
    check_name(&name)?;
    if expires_at.is_some_and(|end| end <= now) {
        return Err(ApiError::field("expires_at", "is over already; right would be a time to come, or none"));
    }
    let token = secret::token();
    let new = store::NewToken {
        name: name.clone(),
        sha256: secret::digest(&token),
        role,
        created_by: who.actor.name.clone(),
        expires_at,
    };
    let made = app.store.add_token(new, now).await;
    let record = made.map_err(|error| match error {
        RecordError::Exists => taken("a token", &name),
        error => error.into(),
    })?;
    let detail = json!({ "role": role, "expires_at": expires_at });
    app.store.audit(&who.actor, "token_created", &format!("token:{name}"), &detail, now).await?;
    Ok((StatusCode::CREATED, axum::Json(TokenView { token: Some(token), ..TokenView::of(record) })))
}

#[utoipa::path(delete, path = "/tokens/{id}", tag = "accounts", params(("id" = u64, Path)), responses(
    (status = 204, description = "It is of no use any more"),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn delete(
    Admin(who): Admin,
    State(app): State<App>,
    InPath(id): InPath<u64>,
) -> Result<StatusCode, ApiError> {
    let none = || ApiError::not_found("token", id);
    if i64::try_from(id).is_err() {
        return Err(none());
    }
    let record = app.store.remove_token(id).await.map_err(|error| match error {
        RecordError::Missing => none(),
        error => error.into(),
    })?;
    let object = format!("token:{}", record.name);
    app.store
        .audit(&who.actor, "token_deleted", &object, &json!({ "role": record.role }), Timestamp::now())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
