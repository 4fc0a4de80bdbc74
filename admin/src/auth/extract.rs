//! Extractors that let a handler say who may call it.
//!
//! `Viewer(who): Viewer` lets viewers, operators and admins in, and so on. Nobody: 401. Somebody with too small a role: 403.
//! A change by cookie without the session's CSRF token, or from another origin: 403.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::{Identity, Role};
use crate::api::error::{ApiError, Code};
use crate::app::App;

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

async fn allowed(parts: &Parts, app: &App, needed: Role) -> Result<Identity, ApiError> {
    let who = identify(parts, app).await?;
    if who.role.covers(needed) {
        return Ok(who);
    }
    Err(ApiError::new(
        Code::Forbidden,
        format!(
            "this needs the role {}; {} has the role {}",
            needed.as_str(),
            who.actor.name,
            who.role.as_str()
        ),
    ))
}

async fn identify(_parts: &Parts, _app: &App) -> Result<Identity, ApiError> {
    Err(ApiError::new(
        Code::Unauthenticated,
        "log in first: POST /api/v1/login, or send \"Authorization: Bearer TOKEN\"",
    ))
}
