//! `/audit`: who did what, when, from where. What concerns accounts, logins and tokens is for admins alone.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::extract::Params;
use super::page::{Paged, Paging};
use crate::app::App;
use crate::auth::{Role, Viewer};
use crate::store::{AuditFilter, AuditRecord, Page};

/// What only admins see.
const OF_ACCOUNTS: [&str; 15] = [
    "setup",
    "setup_refused",
    "login",
    "login_failed",
    "login_refused",
    "logout",
    "session_revoked",
    "password_set",
    "password_refused",
    "password_link",
    "admin_created",
    "admin_changed",
    "admin_deleted",
    "token_created",
    "token_deleted",
];

/// `/audit`
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// By this one, such as `admin:alice`.
    actor: String,
    /// With this action, such as `publish`.
    action: String,
    /// With this in actor, action, object or detail.
    search: String,
}

/// One thing that was done, or tried.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEntry {
    /// They count up.
    id: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who.
    actor: String,
    /// Where from; null for the process itself and its command line.
    address: Option<String>,
    /// What.
    action: String,
    /// To what.
    object: String,
    /// More, without secrets.
    #[schema(value_type = Object)]
    detail: Value,
}

impl AuditEntry {
    fn of(record: AuditRecord) -> Self {
        Self {
            id: record.id,
            at: record.at,
            actor: record.actor.name,
            address: record.actor.address.map(|address| address.to_string()),
            action: record.action,
            object: record.object,
            detail: record.detail,
        }
    }
}

#[utoipa::path(get, path = "/audit", tag = "audit", params(Filter, Paging), responses(
    (status = 200, description = "A page of entries, the newest first", body = Paged<AuditEntry>),
    (status = "4XX", description = "Not done, and why", body = ErrorBody),
))]
async fn list(
    Viewer(who): Viewer,
    State(app): State<App>,
    Params(filter): Params<Filter>,
    Params(paging): Params<Paging>,
) -> Result<axum::Json<Paged<AuditEntry>>, ApiError> {
    let which = paging.which()?;
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let filter = AuditFilter {
        actor: given(filter.actor),
        action: given(filter.action),
        search: given(filter.search),
        without: if who.role.covers(Role::Admin) { Vec::new() } else { OF_ACCOUNTS.to_vec() },
    };
    let (records, total) = app.store.audits(&filter, Page::new(which.page, which.per_page)).await?;
    Ok(axum::Json(which.of(records.into_iter().map(AuditEntry::of).collect(), total)))
}
