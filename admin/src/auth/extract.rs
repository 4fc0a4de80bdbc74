//! Extractors that let a handler say who may call it.
//!
//! `Viewer(who): Viewer` lets viewers, operators and admins in, and so on. Nobody: 401. Somebody with too small a role: 403.
//! A change by cookie without the session's CSRF token, or from another origin: 403.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use jiff::{SignedDuration, Timestamp};

use super::{Identity, Role, origin, secret};
use crate::api::error::{ApiError, Code};
use crate::app::{App, Client};
use crate::model::Actor;

/// When a token was used is written down again after this, so that reading does not write.
const USED_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// May read.
pub struct Viewer(pub Identity);
/// May change the configuration.
pub struct Operator(pub Identity);
/// May change accounts and tokens.
pub struct Admin(pub Identity);
/// An engine.
pub struct Engine(pub Identity);

macro_rules! extractor {
    ($name:ident) => {
        impl FromRequestParts<App> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
                allowed(parts, app, Role::$name).await.map($name)
            }
        }
    };
}

extractor!(Viewer);
extractor!(Operator);
extractor!(Admin);
extractor!(Engine);

impl FromRequestParts<App> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        client(parts)
    }
}

/// The server puts it on every request.
fn client(parts: &Parts) -> Result<Client, ApiError> {
    let found = parts.extensions.get::<Client>().copied();
    found.ok_or_else(|| ApiError::new(Code::Internal, "it is not known where this request comes from"))
}

async fn allowed(parts: &Parts, app: &App, needed: Role) -> Result<Identity, ApiError> {
    let who = identify(parts, app).await?;
    if who.role.covers(needed) {
        return Ok(who);
    }
    let (name, role) = (&who.actor.name, who.role.as_str());
    let message = format!("this needs the role {}; {name} has the role {role}", needed.as_str());
    Err(ApiError::new(Code::Forbidden, message))
}

async fn identify(parts: &Parts, app: &App) -> Result<Identity, ApiError> {
    let client = client(parts)?;
    let now = Timestamp::now();
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let bearer = value.to_str().ok().and_then(|text| text.split_once(' '));
        let token =
            bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        return match token {
            Some(token) => by_token(token, client, app, now).await,
            None => Err(unauthenticated("the header authorization: right would be \"Bearer TOKEN\"")),
        };
    }
    let secure = origin::secure(&app.settings, client);
    match origin::session_id(&parts.headers, secure) {
        Some(id) => by_session(id, parts, client, app, now).await,
        None => {
            let mut error =
                unauthenticated("log in first: POST /api/v1/login, or send \"Authorization: Bearer TOKEN\"");
            error.setup_required = app.auth.needs_set_up(&app.store).await;
            Err(error)
        }
    }
}

async fn by_token(token: &str, client: Client, app: &App, now: Timestamp) -> Result<Identity, ApiError> {
    let unknown = || unauthenticated("the token is not known; it may have been deleted, or have expired");
    if !token.starts_with(secret::TOKEN_PREFIX) {
        return Err(unknown());
    }
    let found = app.store.token(&secret::digest(token)).await?.ok_or_else(unknown)?;
    if found.expires_at.is_some_and(|end| end <= now) {
        return Err(unknown());
    }
    if found.last_used_at.is_none_or(|last| now.duration_since(last) >= USED_EVERY) {
        app.store.touch_token(found.id, now).await?;
    }
    let actor = Actor { name: format!("token:{}", found.name), address: Some(client.address) };
    Ok(Identity { actor, role: found.role, admin_id: None, session: None, token_id: Some(found.id) })
}

async fn by_session(
    id: &str,
    parts: &Parts,
    client: Client,
    app: &App,
    now: Timestamp,
) -> Result<Identity, ApiError> {
    let over = || unauthenticated("the session is over: log in again");
    let session = app.auth.sessions.find(id, now).await?.ok_or_else(over)?;
    let account = app.store.admin(session.admin_id).await?.filter(|it| it.enabled).ok_or_else(over)?;
    if !origin::is_safe(&parts.method) {
        ours(parts, app)?;
        let given = parts.headers.get(origin::CSRF_HEADER).and_then(|value| value.to_str().ok());
        if !given.is_some_and(|given| secret::same(given, &session.csrf)) {
            return Err(ApiError::new(
                Code::Csrf,
                "the header x-csrf-token is missing or not the session's; GET /api/v1/session has it",
            ));
        }
    }
    let actor = Actor { name: format!("admin:{}", account.name), address: Some(client.address) };
    let (role, admin_id) = (account.role, Some(account.id));
    Ok(Identity { actor, role, admin_id, session: Some(session), token_id: None })
}

/// Whether somebody who was let in would be let in again, with the same role.
///
/// # Errors
/// Why nobody knows: what it is read from is away.
pub async fn still(who: &Identity, app: &App, now: Timestamp) -> Result<bool, ApiError> {
    if let Some(id) = who.token_id {
        let found = app.store.token_of(id).await?;
        return Ok(found.is_some_and(|it| it.role == who.role && it.expires_at.is_none_or(|end| end > now)));
    }
    let (Some(session), Some(admin_id)) = (&who.session, who.admin_id) else { return Ok(false) };
    if !app.auth.sessions.is_alive(session, now).await? {
        return Ok(false);
    }
    Ok(app.store.admin(admin_id).await?.is_some_and(|it| it.enabled && it.role == who.role))
}

/// Refuses what another site's page has a browser send.
fn ours(parts: &Parts, app: &App) -> Result<(), ApiError> {
    if origin::is_ours(&app.settings, &parts.headers, &parts.uri) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Csrf,
        "the request comes from another origin; behind a proxy --public-url says which one is right",
    ))
}

/// Lets a request in that needs no session, unless another site's page sends it: logins.
pub struct SameOrigin;

impl FromRequestParts<App> for SameOrigin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        ours(parts, app).map(|()| Self)
    }
}

fn unauthenticated(message: &str) -> ApiError {
    ApiError::new(Code::Unauthenticated, message)
}
