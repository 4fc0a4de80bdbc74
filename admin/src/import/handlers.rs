//! `POST /import`, `GET /export`.

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::apply::{self, Order, Report};
use super::command;
use super::file::{self, Format};
use crate::api::changes::{check_message, refused};
use crate::api::error::{ApiError, Code, ErrorBody, FieldProblem};
use crate::api::extract::{Body, Params};
use crate::api::large_bodies;
use crate::app::App;
use crate::auth::{Operator, Role};

/// Largest configuration that is imported by the API; larger ones by the command.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What this file serves.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(
            OpenApiRouter::new()
                .routes(routes!(import))
                .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
                .layer(large_bodies()),
        )
        .routes(routes!(export))
}

/// A configuration to import.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Import {
    /// The text of a configuration file.
    toml: String,
    /// Only tell what would be done.
    #[serde(default)]
    dry_run: bool,
    /// Delete what is there and the text does not have.
    #[serde(default)]
    replace: bool,
    /// Why, for people.
    #[serde(default)]
    message: String,
}

/// Import a configuration file as one revision
#[utoipa::path(
    post, path = "/import", tag = "configuration", request_body = Import,
    responses((status = 200, body = Report), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody))
)]
async fn import(
    State(app): State<App>,
    Operator(identity): Operator,
    Body(asked): Body<Import>,
) -> Result<Json<Report>, ApiError> {
    let Import { toml, dry_run, replace, message } = asked;
    check_message(&message).map_err(|error| refused(error, None))?;
    let read = tokio::task::spawn_blocking(move || file::read(&toml, "import", Format::Toml)).await;
    let outcome = read
        .map_err(|_| ApiError::new(Code::Internal, "the text could not be read: a bug, which was logged"))?
        .map_err(|report| not_valid(&report))?;
    let message = if message.is_empty() { "import of a file".to_owned() } else { message };
    let order = Order { replace, dry_run, message, author: identity.actor };
    let report = apply::apply(&app.store, outcome, order).await.map_err(|error| refused(error, None))?;
    Ok(Json(report))
}

fn not_valid(report: &coregate_config::Report) -> ApiError {
    let problem = |problem: &coregate_config::Problem| {
        let line = problem.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        FieldProblem {
            kind: None,
            name: None,
            key: problem.key.clone(),
            value: problem.value.clone(),
            message: format!("{line}{}", problem.message),
        }
    };
    let mut error = ApiError::new(Code::Invalid, "the configuration is not valid; nothing was imported");
    error.problems = report.errors.iter().map(problem).collect();
    error
}

/// How to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Export {
    /// With certificates and their private keys, in clear; for admins.
    #[serde(default)]
    with_keys: bool,
}

/// The configuration in force, as TOML
#[utoipa::path(
    get, path = "/export", tag = "configuration", params(Export),
    responses(
        (status = 200, body = String, content_type = "application/toml"),
        (status = "4XX", body = ErrorBody),
        (status = "5XX", body = ErrorBody)
    )
)]
async fn export(
    State(app): State<App>,
    Operator(identity): Operator,
    Params(how): Params<Export>,
) -> Result<Response, ApiError> {
    if how.with_keys && identity.role != Role::Admin {
        return Err(ApiError::new(Code::Forbidden, "private keys are exported for the role admin alone"));
    }
    if how.with_keys {
        command::audit_keys(&app.store, &identity.actor).await?;
    }
    let store = app.store.clone();
    let text = tokio::task::spawn_blocking(move || command::text(&store, how.with_keys)).await;
    let text = text
        .map_err(|_| ApiError::new(Code::Internal, "the export has failed: a bug, which was logged"))?
        .map_err(|why| ApiError::new(Code::Internal, why))?;
    let headers = [
        (header::CONTENT_TYPE, "application/toml"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"coregate.toml\""),
    ];
    Ok((headers, text).into_response())
}
