//! `/setup`, `/login`, `/logout`, `/session`, `/sessions`, `/password`, `/set-password`.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, Code, ErrorBody};
use super::extract::{Body, InPath};
use crate::app::{App, Client};
use crate::auth::login::{self, LoggedIn};
use crate::auth::session::{LIFE_MAX, Session};
use crate::auth::{Identity, Role, SameOrigin, Viewer, origin};

/// Names, passwords and tokens are short, and some of these paths read the body of whoever comes.
const BODY_BYTES_MAX: usize = 8 << 10;

/// All of them.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(set_up))
        .routes(routes!(log_in))
        .routes(routes!(log_out))
        .routes(routes!(session))
        .routes(routes!(sessions))
        .routes(routes!(end_session))
        .routes(routes!(password))
        .routes(routes!(set_password))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// The first account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FirstAccount {
    /// Out of the set-up link.
    token: String,
    /// Of the account: 1 to 64 of A-Z a-z 0-9 . _ - @
    name: String,
    /// At least 10 characters.
    password: String,
}

/// Who logs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// Of the account.
    name: String,
    /// Its password.
    password: String,
}

/// A new password for one's own account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// The one until now.
    current: String,
    /// At least 10 characters.
    new: String,
}

/// A password by a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LinkPassword {
    /// Out of the link.
    token: String,
    /// At least 10 characters.
    password: String,
}

/// Who is logged in.
#[derive(Debug, Serialize, ToSchema)]
struct SessionView {
    /// The account.
    admin: Who,
    /// For the header x-csrf-token of every change.
    csrf_token: String,
    /// When it ends at the latest.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// An account, in short.
#[derive(Debug, Serialize, ToSchema)]
struct Who {
    /// Never changes.
    id: u64,
    /// May change.
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: Role,
}

/// One of one's own sessions.
#[derive(Debug, Serialize, ToSchema)]
struct OwnSession {
    /// For `DELETE /sessions/{id}`; nobody can use it as a session.
    id: String,
    /// Where the login came from.
    address: Option<String>,
    /// What the browser called itself.
    user_agent: String,
    /// When the login was.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last used, to a minute.
    #[schema(value_type = String, format = DateTime)]
    seen_at: Timestamp,
    /// Whether it is the one that asks.
    current: bool,
}

#[utoipa::path(post, path = "/setup", tag = "session", security(()), request_body = FirstAccount, responses(
    (status = 201, description = "The first account is there, and logged in", body = SessionView),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn set_up(
    _: SameOrigin,
    client: Client,
    State(app): State<App>,
    headers: HeaderMap,
    Body(first): Body<FirstAccount>,
) -> Result<Response, ApiError> {
    let FirstAccount { token, name, password } = first;
    let done = login::set_up(&app, client, &token, &name, password, user_agent(&headers)).await?;
    Ok(logged_in(&app, client, StatusCode::CREATED, done))
}

#[utoipa::path(post, path = "/login", tag = "session", security(()), request_body = Credentials, responses(
    (status = 200, description = "Logged in; the cookie is the session", body = SessionView),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn log_in(
    _: SameOrigin,
    client: Client,
    State(app): State<App>,
    headers: HeaderMap,
    Body(Credentials { name, password }): Body<Credentials>,
) -> Result<Response, ApiError> {
    let done = login::login(&app, client, &name, password, user_agent(&headers)).await?;
    Ok(logged_in(&app, client, StatusCode::OK, done))
}

#[utoipa::path(post, path = "/set-password", tag = "session", security(()), request_body = LinkPassword, responses(
    (status = 200, description = "The account has this password, and is logged in", body = SessionView),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn set_password(
    _: SameOrigin,
    client: Client,
    State(app): State<App>,
    headers: HeaderMap,
    Body(LinkPassword { token, password }): Body<LinkPassword>,
) -> Result<Response, ApiError> {
    let done = login::set_password(&app, client, &token, password, user_agent(&headers)).await?;
    Ok(logged_in(&app, client, StatusCode::OK, done))
}

#[utoipa::path(post, path = "/logout", tag = "session", responses(
    (status = 204, description = "The session is over"),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn log_out(client: Client, Viewer(who): Viewer, State(app): State<App>) -> Result<Response, ApiError> {
    let (_, session) = own(&who)?;
    app.auth.sessions.remove(session).await?;
    app.store.audit(&who.actor, "logout", &who.actor.name, &json!({}), Timestamp::now()).await?;
    let cookie = origin::set_cookie("", origin::secure(&app.settings, client), 0);
    let mut response = StatusCode::NO_CONTENT.into_response();
    put_cookie(&mut response, &cookie);
    Ok(response)
}

#[utoipa::path(get, path = "/session", tag = "session", responses(
    (status = 200, description = "Who is logged in", body = SessionView),
    (status = "4XX", description = "Nobody: see setup_required", body = ErrorBody),
))]
async fn session(Viewer(who): Viewer, State(app): State<App>) -> Result<axum::Json<SessionView>, ApiError> {
    let (admin_id, session) = own(&who)?;
    let account = app.store.admin(admin_id).await?.ok_or_else(|| ApiError::not_found("account", admin_id))?;
    Ok(axum::Json(SessionView {
        admin: Who { id: account.id, name: account.name, role: account.role },
        csrf_token: session.csrf.clone(),
        expires_at: session.expires_at,
    }))
}

#[utoipa::path(get, path = "/sessions", tag = "session", responses(
    (status = 200, description = "One's own sessions, the one that was used last first", body = Vec<OwnSession>),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn sessions(
    Viewer(who): Viewer,
    State(app): State<App>,
) -> Result<axum::Json<Vec<OwnSession>>, ApiError> {
    let (admin_id, current) = own(&who)?;
    let all = app.auth.sessions.of(admin_id, Timestamp::now()).await?;
    let view = |session: Session| OwnSession {
        current: session.id_hash == current.id_hash,
        id: session.id_hash,
        address: session.address.map(|address| address.to_string()),
        user_agent: session.user_agent,
        created_at: session.created_at,
        seen_at: session.seen_at,
    };
    Ok(axum::Json(all.into_iter().map(view).collect()))
}

#[utoipa::path(delete, path = "/sessions/{id}", tag = "session", params(("id" = String, Path)), responses(
    (status = 204, description = "It is over"),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn end_session(
    Viewer(who): Viewer,
    State(app): State<App>,
    InPath(id): InPath<String>,
) -> Result<StatusCode, ApiError> {
    let (admin_id, _) = own(&who)?;
    let now = Timestamp::now();
    let all = app.auth.sessions.of(admin_id, now).await?;
    let session = all.iter().find(|session| session.id_hash == id);
    let session = session.ok_or_else(|| ApiError::new(Code::NotFound, "you have no such session"))?;
    app.auth.sessions.remove(session).await?;
    app.store.audit(&who.actor, "session_revoked", &who.actor.name, &json!({}), now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/password", tag = "session", request_body = NewPassword, responses(
    (status = 204, description = "Changed; the other sessions are over"),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn password(
    Viewer(who): Viewer,
    State(app): State<App>,
    Body(NewPassword { current, new }): Body<NewPassword>,
) -> Result<StatusCode, ApiError> {
    login::change_password(&app, &who, current, new).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What only a browser has.
fn own(who: &Identity) -> Result<(u64, &Session), ApiError> {
    match (who.admin_id, &who.session) {
        (Some(admin_id), Some(session)) => Ok((admin_id, session)),
        _ => {
            Err(ApiError::new(Code::Forbidden, "a token has no session; this is for browsers that logged in"))
        }
    }
}

fn logged_in(app: &App, client: Client, status: StatusCode, done: LoggedIn) -> Response {
    let LoggedIn { account, session, id } = done;
    let view = SessionView {
        admin: Who { id: account.id, name: account.name, role: account.role },
        csrf_token: session.csrf,
        expires_at: session.expires_at,
    };
    let cookie = origin::set_cookie(&id, origin::secure(&app.settings, client), LIFE_MAX.as_secs());
    let mut response = (status, axum::Json(view)).into_response();
    put_cookie(&mut response, &cookie);
    response
}

fn put_cookie(response: &mut Response, cookie: &str) {
    // Made of characters that a header takes.
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        value.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

fn user_agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
