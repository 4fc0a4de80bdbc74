//! `/instances`: the engines that report.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, Code, ErrorBody};
use super::extract::InPath;
use crate::app::App;
use crate::auth::{Operator, Viewer};
use crate::live::InstanceView;

/// The handlers of this file.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(forget))
}

/// All engines that report, or did within two days.
#[utoipa::path(get, path = "/instances", tag = "instances", responses(
    (status = 200, body = Vec<InstanceView>), (status = "4XX", body = ErrorBody)
))]
async fn list(State(app): State<App>, _who: Viewer) -> Json<Vec<InstanceView>> {
    Json(app.live.with_table(|table, head, now| {
        table.iter().map(|(name, instance)| InstanceView::of(name, instance, head, now)).collect()
    }))
}

/// Forgets an engine that does not report any more, with what it counted.
#[utoipa::path(delete, path = "/instances/{instance}", tag = "instances",
    params(("instance" = String, Path, description = "Its name")),
    responses((status = 204), (status = "4XX", body = ErrorBody))
)]
async fn forget(
    State(app): State<App>,
    Operator(who): Operator,
    InPath(instance): InPath<String>,
) -> Result<StatusCode, ApiError> {
    match app.live.with_table(|table, _, now| table.is_gone(&instance, now)) {
        Some(true) => {
            let object = format!("instance:{instance}");
            app.store.audit(&who.actor, "instance_forgotten", &object, &json!({}), Timestamp::now()).await?;
            app.store.forget_told(&instance).await?;
            app.live.forget(&instance);
            Ok(StatusCode::NO_CONTENT)
        }
        Some(false) => Err(ApiError::new(
            Code::Conflict,
            format!(
                "{instance:?} reports, so it would come back; stop the engine first, or revoke its token"
            ),
        )),
        None => Err(ApiError::new(
            Code::NotFound,
            format!("there is no instance {instance:?}; GET /instances lists them"),
        )),
    }
}
