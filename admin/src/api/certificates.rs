//! `/certificates`: list, detail, create, update, delete. Keys go in and never come out.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::certificate_facts::CertificateFacts;
use super::changes::{self, Deletion, IfMatch, ItemView, Save, Saved};
use super::error::{ApiError, ErrorBody};
use super::extract::{Body, InPath, Params};
use super::index::{Entry, Index, Terms};
use super::page::{Paged, Paging};
use crate::app::App;
use crate::auth::{Operator, Viewer};
use crate::model::Kind;

/// `/certificates` and below.
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

/// A certificate in a list.
#[derive(Debug, Serialize, ToSchema)]
struct CertificateSummary {
    /// Unique.
    name: String,
    /// The revision that wrote it.
    version: u64,
    /// DNS names that it is for.
    names: Vec<String>,
    /// Who signed it.
    issuer: String,
    /// From when it is valid.
    #[schema(value_type = String, format = DateTime)]
    not_before: Timestamp,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    not_after: Timestamp,
    /// Whole days until it is over; negative when it is.
    days_left: i64,
    /// Listeners that present it.
    used_by: Vec<String>,
}

impl CertificateSummary {
    fn of(entry: &Entry<CertificateFacts>, index: &Index, now: Timestamp) -> Self {
        let name = &entry.item.name;
        let users = index.listeners.iter().filter(|it| it.facts.presents(name));
        Self {
            name: name.clone(),
            version: entry.item.version,
            names: entry.facts.names.clone(),
            issuer: entry.facts.issuer.clone(),
            not_before: entry.facts.not_before,
            not_after: entry.facts.not_after,
            days_left: entry.facts.days_left(now),
            used_by: users.map(|it| it.item.name.clone()).collect(),
        }
    }
}

/// A certificate, with what it says of itself.
#[derive(Debug, Serialize, ToSchema)]
struct CertificateDetail {
    /// It, without its key.
    item: ItemView,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// Who.
    changed_by: String,
    #[serde(flatten)]
    summary: CertificateSummary,
}

#[utoipa::path(get, path = "/certificates", tag = "certificates", params(Filter, Paging), responses(
    (status = 200, description = "A page of them", body = Paged<CertificateSummary>),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn list(
    _: Viewer,
    State(app): State<App>,
    Params(filter): Params<Filter>,
    Params(paging): Params<Paging>,
) -> Result<axum::Json<Paged<CertificateSummary>>, ApiError> {
    let which = paging.which()?;
    let index = app.indexes.current(&app.store).await;
    let terms = Terms::new(&filter.search);
    let found: Vec<&Entry<CertificateFacts>> =
        index.certificates.iter().map(AsRef::as_ref).filter(|it| it.matches(&terms)).collect();
    let now = Timestamp::now();
    let mut page = which.cut(&found, |entry| CertificateSummary::of(entry, &index, now));
    page.revision = Some(index.state.revision);
    Ok(axum::Json(page))
}

#[utoipa::path(get, path = "/certificates/{name}", tag = "certificates", params(("name" = String, Path)), responses(
    (status = 200, description = "It; the header etag is its version", body = CertificateDetail),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn detail(
    _: Viewer,
    State(app): State<App>,
    InPath(name): InPath<String>,
) -> Result<impl IntoResponse, ApiError> {
    let index = app.indexes.current(&app.store).await;
    let entry = index.certificate(&name).ok_or_else(|| ApiError::not_found("certificate", &name))?;
    let detail = CertificateDetail {
        item: ItemView::of(&entry.item),
        changed_at: entry.item.changed_at,
        changed_by: entry.item.changed_by.clone(),
        summary: CertificateSummary::of(entry, &index, Timestamp::now()),
    };
    Ok(([(header::ETAG, format!("\"{}\"", entry.item.version))], axum::Json(detail)))
}

#[utoipa::path(post, path = "/certificates", tag = "certificates", request_body = Save, responses(
    (status = 201, description = "It is there, or in the draft", body = Saved),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn create(
    Operator(who): Operator,
    State(app): State<App>,
    Body(save): Body<Save>,
) -> Result<(StatusCode, axum::Json<Saved>), ApiError> {
    let saved = changes::create(&app, &who, Kind::Certificate, save).await?;
    Ok((StatusCode::CREATED, axum::Json(saved)))
}

#[utoipa::path(put, path = "/certificates/{name}", tag = "certificates", params(("name" = String, Path)), request_body = Save,
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
    changes::update(&app, &who, Kind::Certificate, name, save, if_match).await.map(axum::Json)
}

#[utoipa::path(delete, path = "/certificates/{name}", tag = "certificates", params(("name" = String, Path), Deletion),
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
    changes::delete(&app, &who, Kind::Certificate, name, deletion, if_match).await.map(axum::Json)
}
