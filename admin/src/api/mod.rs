//! `/api/v1`: handlers, errors, limits, the OpenAPI document.
//!
//! Each file of handlers exports `router() -> OpenApiRouter<App>` with paths relative to `/api/v1`, and [`router`] merges
//! them. Who may call is said by the extractor that a handler takes ([`Viewer`](crate::auth::Viewer) and so on); a handler
//! without one is open to everybody.
//!
//! Bounds: [`BODY_BYTES_MAX`] a request's body (a router may have its own by `DefaultBodyLimit`; those that take much more
//! share [`large_bodies`]), [`BODY_STALL`] between two parts of it, [`REQUEST_TIMEOUT`] for an answer's head.

mod admins;
mod audit;
mod certificate_facts;
mod certificates;
pub mod changes;
mod drafts;
pub mod error;
pub mod extract;
mod figures;
pub mod index;
mod instances;
mod listeners;
mod live_view;
pub mod page;
mod revisions;
mod services;
mod session;
mod status;
mod tenants;
mod tokens;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use crate::app::{App, Client};
use crate::{publish, web};
use error::{ApiError, Code};

/// A request's body, where nothing else is said.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Requests with large bodies at a time.
const LARGE_AT_ONCE: usize = 4;
/// Between two parts of a request's body.
const BODY_STALL: Duration = Duration::from_secs(10);
/// For an answer's head; longer than the longest wait of a long poll.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(75);

/// Nothing is loaded from elsewhere, nothing inline runs, nobody frames it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";

/// The frame of the OpenAPI document; paths and schemas come from the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "coregate-admin",
        description = "Configuration, revisions and figures of coregate gateways. Browsers use the session cookie and \
                       the header x-csrf-token; programs use `Authorization: Bearer cga_...`."
    ),
    modifiers(&Security),
    security(("token" = []), ("session" = []))
)]
struct Document;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "token",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        );
        components.add_security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(crate::auth::COOKIE))),
        );
    }
}

/// All that `/api/v1` has.
fn handlers() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(session::router())
        .merge(services::router())
        .merge(tenants::router())
        .merge(listeners::router())
        .merge(certificates::router())
        .merge(drafts::router())
        .merge(revisions::router())
        .merge(status::router())
        .merge(admins::router())
        .merge(tokens::router())
        .merge(audit::router())
        .merge(figures::router())
        .merge(instances::router())
        .merge(crate::explain::handlers::router())
        .merge(crate::import::handlers::router())
}

/// Everything that the process serves.
pub fn router(app: App) -> Router {
    let (router, document) =
        OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", handlers()).split_for_parts();
    let document = document.to_json().unwrap_or_default();
    let api = router
        .route(
            "/api/v1/openapi.json",
            get(move || {
                let document = document.clone();
                async move { ([(header::CONTENT_TYPE, "application/json")], document) }
            }),
        )
        .nest("/engine/v1", publish::router())
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(elsewhere)
        .method_not_allowed_fallback(method_not_allowed);
    api.layer(
        ServiceBuilder::new()
            .layer(middleware::from_fn(security_headers))
            .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
            .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_TIMEOUT))
            .layer(RequestBodyTimeoutLayer::new(BODY_STALL))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(SetResponseHeaderLayer::if_not_present(
                header::CACHE_CONTROL,
                HeaderValue::from_static("no-store"),
            )),
    )
    .with_state(app)
}

/// For routes that take configurations and access logs: whoever comes when others are at it waits, before the body is read.
pub fn large_bodies() -> GlobalConcurrencyLimitLayer {
    static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LARGE_AT_ONCE)));
    GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&AT_ONCE))
}

/// Puts what browsers are to obey on every answer.
async fn security_headers(request: axum::extract::Request, next: Next) -> Response {
    const FIXED: [(HeaderName, &str); 6] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let tls = request.extensions().get::<Client>().is_some_and(|client| client.tls);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    );
    if tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

/// What no handler has: an error of the API, or a file of the dashboard.
async fn elsewhere(method: Method, uri: Uri, headers: axum::http::HeaderMap) -> Response {
    let path = uri.path();
    if path.starts_with("/api/") || path.starts_with("/engine/") {
        let message = format!("there is nothing at {path}; see /api/v1/openapi.json");
        return ApiError::new(Code::NotFound, message).into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return method_not_allowed().await;
    }
    web::file(path, &headers)
}

async fn method_not_allowed() -> Response {
    ApiError::new(Code::MethodNotAllowed, "this path does not take this method; see /api/v1/openapi.json")
        .into_response()
}
