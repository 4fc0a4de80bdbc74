//! `/services`: list, search, detail, create, update, delete, a node's switch.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::changes::{self, Deletion, IfMatch, ItemView, Save, Saved};
use super::error::{ApiError, ErrorBody};
use super::extract::{Body, InPath, Params};
use super::index::{Entry, Service, Terms};
use super::page::{Paged, Paging};
use crate::app::App;
use crate::auth::{Operator, Viewer};
use crate::model::Kind;

/// `/services` and below.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(detail, update, delete))
        .routes(routes!(switch_node))
}

/// What to list, and in which order.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Words, all of which must be found: in names, descriptions, hosts, prefixes, nodes.
    search: String,
    /// `name`, `nodes`, `nodes_down`, `requests_per_second` or `changed_at`; with `-` in front the other way round.
    sort: String,
    /// Only those that are in use, or only those that are not.
    enabled: Option<bool>,
}

/// A service in a list.
#[derive(Debug, Serialize, ToSchema)]
struct ServiceSummary {
    /// Unique.
    name: String,
    /// The revision that wrote it.
    version: u64,
    /// For people.
    description: String,
    /// Whether it is in use.
    enabled: bool,
    /// `http` if it has routes, else `tcp`.
    kind: &'static str,
    /// Hosts of all routes.
    hosts: Vec<String>,
    /// Path prefixes of all routes.
    path_prefixes: Vec<String>,
    /// How many nodes it has.
    nodes: usize,
    /// Nodes that are down on at least one engine; null if no engine reports.
    nodes_down: Option<u64>,
    /// Over all engines; null if none reports.
    requests_per_second: Option<f64>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// Who.
    changed_by: String,
}

#[utoipa::path(get, path = "/services", tag = "services", params(Filter, Paging), responses(
    (status = 200, description = "A page of services", body = Paged<ServiceSummary>),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn list(
    _: Viewer,
    State(app): State<App>,
    Params(filter): Params<Filter>,
    Params(paging): Params<Paging>,
) -> Result<axum::Json<Paged<ServiceSummary>>, ApiError> {
    let which = paging.which()?;
    let index = app.indexes.current(&app.store).await;
    let terms = Terms::new(&filter.search);
    let figures = app.figures();
    let mut found: Vec<&Entry<Service>> = index
        .services
        .iter()
        .map(AsRef::as_ref)
        .filter(|it| filter.enabled.is_none_or(|enabled| it.facts.enabled == enabled) && it.matches(&terms))
        .collect();
    let (key, down) = filter.sort.strip_prefix('-').map_or((filter.sort.as_str(), false), |key| (key, true));
    // Sorting is stable and the entries are in the order of their names: equal ones stay so.
    match key {
        "" | "name" => {}
        "nodes" => found.sort_by_key(|it| it.facts.nodes.len()),
        "changed_at" => found.sort_by_key(|it| it.item.version),
        "nodes_down" => found.sort_by_key(|it| figures.nodes_down(&it.item.name)),
        "requests_per_second" => found.sort_by(|one, other| {
            let rate = |it: &Entry<Service>| figures.service_rate(&it.item.name).unwrap_or(-1.0);
            rate(one).total_cmp(&rate(other))
        }),
        _ => {
            return Err(ApiError::bad_request(format!(
                "sort: \"{key}\" is not known; right would be name, nodes, nodes_down, requests_per_second or changed_at"
            )));
        }
    }
    if down {
        found.reverse();
    }
    let mut page = which.cut(&found, |entry| ServiceSummary {
        name: entry.item.name.clone(),
        version: entry.item.version,
        description: entry.facts.description.clone(),
        enabled: entry.facts.enabled,
        kind: if entry.facts.is_tcp() { "tcp" } else { "http" },
        hosts: entry.facts.hosts(),
        path_prefixes: entry.facts.path_prefixes(),
        nodes: entry.facts.nodes.len(),
        nodes_down: figures.nodes_down(&entry.item.name),
        requests_per_second: figures.service_rate(&entry.item.name),
        changed_at: entry.item.changed_at,
        changed_by: entry.item.changed_by.clone(),
    });
    page.revision = Some(index.state.revision);
    Ok(axum::Json(page))
}

/// A service with its nodes as engines see them.
#[derive(Debug, Serialize, ToSchema)]
struct ServiceDetail {
    /// It.
    item: ItemView,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// Who.
    changed_by: String,
    /// Its nodes.
    nodes: Vec<NodeView>,
}

/// A node.
#[derive(Debug, Serialize, ToSchema)]
struct NodeView {
    /// Where.
    address: String,
    /// Whether it takes requests.
    enabled: bool,
    /// Its share.
    weight: i64,
    /// How each engine sees it.
    health: Vec<NodeHealth>,
}

/// How an engine sees a node.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeHealth {
    /// The engine.
    pub instance: String,
    /// `up`, `down` or `unknown`.
    pub state: &'static str,
    /// Why it is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[utoipa::path(get, path = "/services/{name}", tag = "services", params(("name" = String, Path)), responses(
    (status = 200, description = "The service; the header etag is its version", body = ServiceDetail),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn detail(
    _: Viewer,
    State(app): State<App>,
    InPath(name): InPath<String>,
) -> Result<impl IntoResponse, ApiError> {
    let index = app.indexes.current(&app.store).await;
    let entry = index.service(&name).ok_or_else(|| ApiError::not_found("service", &name))?;
    let health = app.node_health(&name, entry.item.version);
    let nodes = entry.facts.nodes.iter().map(|node| NodeView {
        address: node.address.clone(),
        enabled: node.enabled,
        weight: node.weight,
        health: health.of(&node.address),
    });
    let detail = ServiceDetail {
        item: ItemView::of(&entry.item),
        changed_at: entry.item.changed_at,
        changed_by: entry.item.changed_by.clone(),
        nodes: nodes.collect(),
    };
    Ok(([(header::ETAG, format!("\"{}\"", entry.item.version))], axum::Json(detail)))
}

#[utoipa::path(post, path = "/services", tag = "services", request_body = Save, responses(
    (status = 201, description = "It is there, or in the draft", body = Saved),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn create(
    Operator(who): Operator,
    State(app): State<App>,
    Body(save): Body<Save>,
) -> Result<(StatusCode, axum::Json<Saved>), ApiError> {
    let saved = changes::create(&app, &who, Kind::Service, save).await?;
    Ok((StatusCode::CREATED, axum::Json(saved)))
}

#[utoipa::path(put, path = "/services/{name}", tag = "services", params(("name" = String, Path)), request_body = Save,
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
    changes::update(&app, &who, Kind::Service, name, save, if_match).await.map(axum::Json)
}

#[utoipa::path(delete, path = "/services/{name}", tag = "services", params(("name" = String, Path), Deletion),
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
    changes::delete(&app, &who, Kind::Service, name, deletion, if_match).await.map(axum::Json)
}

/// A node's switch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NodeSwitch {
    /// Whether it takes requests.
    enabled: bool,
    /// Why, for people.
    #[serde(default)]
    message: String,
}

#[utoipa::path(patch, path = "/services/{name}/nodes/{address}", tag = "services",
    params(("name" = String, Path), ("address" = String, Path, description = "As in the service")),
    request_body = NodeSwitch,
    responses(
        (status = 200, description = "It is so", body = Saved),
        (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn switch_node(
    Operator(who): Operator,
    State(app): State<App>,
    InPath((name, address)): InPath<(String, String)>,
    Body(switch): Body<NodeSwitch>,
) -> Result<axum::Json<Saved>, ApiError> {
    let saved = changes::adjust(&app, &who, Kind::Service, &name, switch.message, |body| {
        let nodes = body.get_mut("nodes").and_then(Value::as_array_mut);
        let node = nodes.into_iter().flatten().find(|node| node["address"] == address.as_str());
        let node = node.ok_or_else(|| ApiError::not_found("node", &address))?;
        node["enabled"] = switch.enabled.into();
        Ok(())
    });
    saved.await.map(axum::Json)
}
