//! `/tenants`: list, detail, create, update, delete; secrets, which are made here, shown once and kept as a hash.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::changes::{self, Deletion, Detail, IfMatch, Save, Saved};
use super::error::{ApiError, ErrorBody};
use super::extract::{Body, InPath, OptionalBody, Params};
use super::index::{Entry, Tenant, Terms};
use super::page::{Paged, Paging};
use crate::app::App;
use crate::auth::{Operator, Viewer, secret};
use crate::model::Kind;

/// `/tenants` and below.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(detail, update, delete))
        .routes(routes!(new_secret))
}

/// What to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Words, all of which must be found.
    search: String,
    /// `app_id`, `name`, `qps_now` or `today`; with `-` in front the other way round.
    sort: String,
    /// Only those that may call, or only those that may not.
    enabled: Option<bool>,
}

/// A tenant in a list.
#[derive(Debug, Serialize, ToSchema)]
struct TenantSummary {
    /// Unique.
    app_id: String,
    /// The revision that wrote it.
    version: u64,
    /// For people.
    name: String,
    /// Whether it may call.
    enabled: bool,
    /// Its limit; 0 = none.
    requests_per_second: f64,
    /// Its limit; 0 = none.
    requests_per_day: i64,
    /// Over all engines; null if none reports.
    qps_now: Option<f64>,
    /// Requests of today, as engines report; null if none does.
    today: Option<u64>,
}

#[utoipa::path(get, path = "/tenants", tag = "tenants", params(Filter, Paging), responses(
    (status = 200, description = "A page of them", body = Paged<TenantSummary>),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn list(
    _: Viewer,
    State(app): State<App>,
    Params(filter): Params<Filter>,
    Params(paging): Params<Paging>,
) -> Result<axum::Json<Paged<TenantSummary>>, ApiError> {
    let which = paging.which()?;
    let index = app.indexes.current(&app.store).await;
    let terms = Terms::new(&filter.search);
    let mut found: Vec<&Entry<Tenant>> = index
        .tenants
        .iter()
        .map(AsRef::as_ref)
        .filter(|it| filter.enabled.is_none_or(|enabled| it.facts.enabled == enabled) && it.matches(&terms))
        .collect();
    let figures = app.figures();
    let (key, down) = filter.sort.strip_prefix('-').map_or((filter.sort.as_str(), false), |key| (key, true));
    match key {
        "" | "app_id" => {}
        "name" => found.sort_by(|one, other| one.facts.name.cmp(&other.facts.name)),
        "today" => found.sort_by_key(|it| figures.tenant_today(&it.item.name)),
        "qps_now" => found.sort_by(|one, other| {
            let rate = |it: &Entry<Tenant>| figures.tenant_rate(&it.item.name).unwrap_or(-1.0);
            rate(one).total_cmp(&rate(other))
        }),
        _ => {
            return Err(ApiError::bad_request(format!(
                "sort: \"{key}\" is not known; right would be app_id, name, qps_now or today"
            )));
        }
    }
    if down {
        found.reverse();
    }
    let mut page = which.cut(&found, |entry| TenantSummary {
        app_id: entry.item.name.clone(),
        version: entry.item.version,
        name: entry.facts.name.clone(),
        enabled: entry.facts.enabled,
        requests_per_second: entry.facts.requests_per_second,
        requests_per_day: entry.facts.requests_per_day,
        qps_now: figures.tenant_rate(&entry.item.name),
        today: figures.tenant_today(&entry.item.name),
    });
    page.revision = Some(index.state.revision);
    Ok(axum::Json(page))
}

#[utoipa::path(get, path = "/tenants/{name}", tag = "tenants", params(("name" = String, Path)), responses(
    (status = 200, description = "It; the header etag is its version", body = Detail),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn detail(
    _: Viewer,
    State(app): State<App>,
    InPath(name): InPath<String>,
) -> Result<impl IntoResponse, ApiError> {
    let state = app.store.state();
    let item = state.get(Kind::Tenant, &name).ok_or_else(|| ApiError::not_found("tenant", &name))?;
    Ok(([(header::ETAG, format!("\"{}\"", item.version))], axum::Json(Detail::of(item))))
}

#[utoipa::path(post, path = "/tenants", tag = "tenants", request_body = Save, responses(
    (status = 201, description = "It is there, or in the draft", body = Saved),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn create(
    Operator(who): Operator,
    State(app): State<App>,
    Body(mut save): Body<Save>,
) -> Result<(StatusCode, axum::Json<Saved>), ApiError> {
    let secret = made_secret(&mut save);
    let saved = changes::create(&app, &who, Kind::Tenant, save).await?;
    Ok((StatusCode::CREATED, axum::Json(Saved { secret, ..saved })))
}

#[utoipa::path(put, path = "/tenants/{name}", tag = "tenants", params(("name" = String, Path)), request_body = Save,
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
    changes::update(&app, &who, Kind::Tenant, name, save, if_match).await.map(axum::Json)
}

#[utoipa::path(delete, path = "/tenants/{name}", tag = "tenants", params(("name" = String, Path), Deletion),
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
    changes::delete(&app, &who, Kind::Tenant, name, deletion, if_match).await.map(axum::Json)
}

/// A secret for a tenant that is given none.
fn made_secret(save: &mut Save) -> Option<String> {
    if save.body.contains_key("secret") || save.body.contains_key("secret_sha256") {
        return None;
    }
    let secret = secret::random();
    save.body.insert("secret".to_owned(), secret.clone().into());
    Some(secret)
}

/// How to change a secret.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    /// The new secret; left out = one is made.
    secret: Option<String>,
    /// Why, for people.
    message: String,
}

#[utoipa::path(post, path = "/tenants/{name}/secret", tag = "tenants", params(("name" = String, Path)),
    request_body = Option<Rotation>,
    responses(
        (status = 200, description = "The old secret is of no use any more; the new one is shown this once", body = Saved),
        (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn new_secret(
    Operator(who): Operator,
    State(app): State<App>,
    InPath(name): InPath<String>,
    OptionalBody(rotation): OptionalBody<Rotation>,
) -> Result<axum::Json<Saved>, ApiError> {
    let made = rotation.secret.is_none().then(secret::random);
    let new = rotation.secret.or_else(|| made.clone()).unwrap_or_default();
    let saved = changes::adjust(&app, &who, Kind::Tenant, &name, rotation.message, |body| {
        if let Some(body) = body.as_object_mut() {
            body.remove("secret_sha256");
            body.insert("secret".to_owned(), new.clone().into());
        }
        Ok(())
    });
    Ok(axum::Json(Saved { secret: made, ..saved.await? }))
}
