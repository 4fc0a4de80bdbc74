//! `/listeners`: list, detail, create, update, delete.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::changes::{self, Deletion, Detail, IfMatch, Save, Saved};
use super::error::{ApiError, ErrorBody};
use super::extract::{Body, InPath, Params};
use super::index::{Entry, Listener, Terms};
use super::page::{Paged, Paging};
use crate::app::App;
use crate::auth::{Operator, Viewer};
use crate::model::Kind;

/// `/listeners` and below.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(detail, update, delete))
}

/// What to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Words, all of which must be found.
    search: String,
}

/// A listener in a list.
#[derive(Debug, Serialize, ToSchema)]
struct ListenerSummary {
    /// Unique.
    name: String,
    /// The revision that wrote it.
    version: u64,
    /// Where it listens.
    address: String,
    /// `http`, `https` or `tcp`.
    protocol: String,
    /// Whether it is open.
    enabled: bool,
    /// Whose nodes get the bytes, for tcp.
    service: Option<String>,
    /// Names of its certificates, or the files of those that are not kept here.
    certificates: Vec<String>,
}

#[utoipa::path(get, path = "/listeners", tag = "listeners", params(Filter, Paging), responses(
    (status = 200, description = "A page of them", body = Paged<ListenerSummary>),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn list(
    _: Viewer,
    State(app): State<App>,
    Params(filter): Params<Filter>,
    Params(paging): Params<Paging>,
) -> Result<axum::Json<Paged<ListenerSummary>>, ApiError> {
    let which = paging.which()?;
    let index = app.indexes.current(&app.store).await;
    let terms = Terms::new(&filter.search);
    let found: Vec<&Entry<Listener>> =
        index.listeners.iter().map(AsRef::as_ref).filter(|it| it.matches(&terms)).collect();
    let mut page = which.cut(&found, |entry| ListenerSummary {
        name: entry.item.name.clone(),
        version: entry.item.version,
        address: entry.facts.address.clone(),
        protocol: entry.facts.protocol.clone(),
        enabled: entry.facts.enabled,
        service: entry.facts.service.clone(),
        certificates: entry.facts.certificates(),
    });
    page.revision = Some(index.state.revision);
    Ok(axum::Json(page))
}

#[utoipa::path(get, path = "/listeners/{name}", tag = "listeners", params(("name" = String, Path)), responses(
    (status = 200, description = "It; the header etag is its version", body = Detail),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn detail(
    _: Viewer,
    State(app): State<App>,
    InPath(name): InPath<String>,
) -> Result<impl IntoResponse, ApiError> {
    let state = app.store.state();
    let item = state.get(Kind::Listener, &name).ok_or_else(|| ApiError::not_found("listener", &name))?;
    Ok(([(header::ETAG, format!("\"{}\"", item.version))], axum::Json(Detail::of(item))))
}

#[utoipa::path(post, path = "/listeners", tag = "listeners", request_body = Save, responses(
    (status = 201, description = "It is there, or in the draft", body = Saved),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn create(
    Operator(who): Operator,
    State(app): State<App>,
    Body(save): Body<Save>,
) -> Result<(StatusCode, axum::Json<Saved>), ApiError> {
    let saved = changes::create(&app, &who, Kind::Listener, save).await?;
    Ok((StatusCode::CREATED, axum::Json(saved)))
}

#[utoipa::path(put, path = "/listeners/{name}", tag = "listeners", params(("name" = String, Path)), request_body = Save,
    responses(
        (status = 200, description = "It is so, or in the draft", body = Saved),
        (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn update(
    Operator(who): Operator,
    State(app): State<App>,
    InPath(name): InPath<String>,
    if_match: IfMatch,
    Body(save): Body<Save>,
) -> Result<axum::Json<Saved>, ApiError> {
    changes::update(&app, &who, Kind::Listener, name, save, if_match).await.map(axum::Json)
}

#[utoipa::path(delete, path = "/listeners/{name}", tag = "listeners", params(("name" = String, Path), Deletion),
    responses(
        (status = 200, description = "It is gone, or will be with the draft", body = Saved),
        (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn delete(
    Operator(who): Operator,
    State(app): State<App>,
    InPath(name): InPath<String>,
    Params(deletion): Params<Deletion>,
    if_match: IfMatch,
) -> Result<axum::Json<Saved>, ApiError> {
    changes::delete(&app, &who, Kind::Listener, name, deletion, if_match).await.map(axum::Json)
}
