//! `/overview`, `/flow`, `/live`: what engines count, now and by hour.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, Code, ErrorBody};
use super::extract::Params;
use crate::app::App;
use crate::auth::{self, Identity, Viewer};
use crate::live::STREAMS_MAX;
use crate::live::figures::{Down, Figure, Flow, InstanceCounts, LatencyNow, NodeCounts, Scope};
use crate::live::table::Table;
use crate::model::Kind;
use crate::store;

/// A stream ends after this, and browsers begin another one by themselves.
const STREAM_LASTS: Duration = Duration::from_secs(300);
/// How often it is looked whether whoever watches still may.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two signs of life of a stream with nothing to say.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The handlers of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(flow)).routes(routes!(overview)).routes(routes!(live))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FlowParams {
    /// Whose figures.
    #[serde(default = "site")]
    #[param(required = false)]
    scope: Scope,
    /// The service's or tenant's name.
    #[serde(default)]
    #[param(required = false)]
    name: String,
}

fn site() -> Scope {
    Scope::Site
}

/// Requests of today and yesterday by hour.
#[utoipa::path(get, path = "/flow", tag = "figures", params(FlowParams), responses(
    (status = 200, body = Flow), (status = "4XX", body = ErrorBody)
))]
async fn flow(
    State(app): State<App>,
    _who: Viewer,
    Params(params): Params<FlowParams>,
) -> Result<Json<Flow>, ApiError> {
    let kind = match params.scope {
        Scope::Site if params.name.is_empty() => None,
        Scope::Site => {
            return Err(ApiError::bad_request("the query: name is for scope=service and scope=tenant"));
        }
        Scope::Service => Some(Kind::Service),
        Scope::Tenant => Some(Kind::Tenant),
    };
    if let Some(kind) = kind
        && app.store.state().get(kind, &params.name).is_none()
    {
        return Err(ApiError::new(Code::NotFound, format!("there is no {kind} {:?}", params.name)));
    }
    Ok(Json(app.live.flow(params.scope, &params.name).await))
}

/// All that stands on the first page.
#[derive(Debug, Serialize, ToSchema)]
struct Overview {
    /// In the configuration.
    services: usize,
    /// Of those, enabled.
    services_enabled: usize,
    /// In the configuration.
    tenants: usize,
    /// In the configuration.
    listeners: usize,
    /// Engines by how they are.
    instances: InstanceCounts,
    /// Nodes by how they are.
    nodes: NodeCounts,
    /// Nodes that are down, and on which engine; 200 at most.
    down: Vec<Down>,
    /// Requests a second; null if no engine reports.
    qps: Option<f64>,
    /// Of the site.
    flow: Flow,
    /// Of the last 10 to 15 seconds; null if there was no request.
    latency_us: Option<LatencyNow>,
    /// Share of answers of the last 10 to 15 seconds that were 5xx; null if there was none.
    error_rate: Option<f64>,
    /// Answers by class of status, since the engines started.
    answers: BTreeMap<String, u64>,
    /// Requests that a limit refused by kind of limit, and those that were refused otherwise by cause, since the engines
    /// started.
    refused: BTreeMap<String, u64>,
    /// The busiest.
    by_service: Vec<Busy>,
    /// The busiest.
    by_tenant: Vec<Busy>,
}

/// A service or tenant among the busiest.
#[derive(Debug, Serialize, ToSchema)]
struct Busy {
    /// Its name.
    name: String,
    /// Now.
    requests_per_second: f64,
    /// Today, so far.
    today: u64,
}

/// All that stands on the first page.
#[utoipa::path(get, path = "/overview", tag = "figures", responses(
    (status = 200, body = Overview), (status = "4XX", body = ErrorBody)
))]
async fn overview(State(app): State<App>, _who: Viewer) -> Json<Overview> {
    let index = app.indexes.current(&app.store).await;
    let now = app.live.now();
    let busy = |top: Vec<(String, Figure)>| {
        let busy = |(name, figure): (String, Figure)| Busy {
            name,
            requests_per_second: figure.requests_per_second,
            today: figure.today,
        };
        top.into_iter().map(busy).collect()
    };
    let (answers, refused) = app.live.with_table(|table, _, now| endings(table, now));
    let flow = app.live.flow(Scope::Site, "").await;
    Json(Overview {
        services: index.services.len(),
        services_enabled: index.services.iter().filter(|service| service.facts.enabled).count(),
        tenants: index.tenants.len(),
        listeners: index.listeners.len(),
        instances: now.instances,
        nodes: now.nodes,
        down: app.live.down(),
        qps: now.qps,
        flow,
        latency_us: now.latency_us,
        error_rate: now.error_rate,
        answers,
        refused,
        by_service: busy(app.live.top(Scope::Service).await),
        by_tenant: busy(app.live.top(Scope::Tenant).await),
    })
}

/// Sums over the engines that report: answers by class, refusals by why.
fn endings(table: &Table, now: std::time::Instant) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    /// Endings that are refusals; those of limits are told apart by kind.
    const REFUSALS: [&str; 2] = ["refused", "no_route"];
    let (mut answers, mut refused) = (BTreeMap::new(), BTreeMap::new());
    let add = |sums: &mut BTreeMap<String, u64>, name: &str, count: u64| {
        if count > 0 {
            *sums.entry(name.to_owned()).or_default() += count;
        }
    };
    for (_, instance) in table.present(now) {
        let Some((_, totals)) = instance.window() else { continue };
        totals.answers.iter().for_each(|(class, count)| add(&mut answers, class, *count));
        totals.limited.iter().for_each(|(kind, count)| add(&mut refused, kind, *count));
        for cause in REFUSALS {
            add(&mut refused, cause, totals.causes.get(cause).copied().unwrap_or(0));
        }
    }
    (answers, refused)
}

/// Server-sent events: `figures` each second, `revision` when one comes into force. The stream ends after five minutes;
/// browsers begin another one by themselves. It ends within seconds when the session, the account or the token does, or
/// has another role.
#[utoipa::path(get, path = "/live", tag = "figures", responses(
    (status = 200, content_type = "text/event-stream", body = crate::live::Figures),
    (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)
))]
async fn live(
    State(app): State<App>,
    Viewer(who): Viewer,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let (figures, place) = app.live.subscribe().ok_or_else(|| {
        ApiError::new(Code::Unavailable, format!("{STREAMS_MAX} streams are open already; try again later"))
    })?;
    let states = app.store.watch();
    let ends = Instant::now() + STREAM_LASTS;
    let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watcher = Watcher { app, who, figures, states, looks, ends, _place: place };
    let events = stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((Ok(event), watcher))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// One stream.
struct Watcher {
    app: App,
    who: Identity,
    figures: watch::Receiver<Arc<str>>,
    states: watch::Receiver<Arc<store::State>>,
    looks: Interval,
    ends: Instant,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// `None`: it ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                changed = self.figures.changed() => {
                    changed.ok()?;
                    let text = Arc::clone(&self.figures.borrow_and_update());
                    return Some(Event::default().event("figures").data(&*text));
                }
                changed = self.states.changed() => {
                    changed.ok()?;
                    let state = Arc::clone(&self.states.borrow_and_update());
                    let data = serde_json::json!({ "revision": state.revision, "at": state.at });
                    return Some(Event::default().event("revision").data(data.to_string()));
                }
                _ = self.looks.tick() => if !self.still_may().await { return None },
                () = sleep_until(self.ends) => return None,
                () = self.app.stopped() => return None,
            }
        }
    }

    /// Where sessions and accounts cannot be read, or only slowly, nobody is sent away for it.
    async fn still_may(&self) -> bool {
        let asked = auth::still(&self.who, &self.app, Timestamp::now());
        !matches!(timeout(LOOK_EVERY, asked).await, Ok(Ok(false)))
    }
}
