//! The ops address: health, metrics and a read-only API.
//!
//! Input: HTTP/1.1 requests, GET and HEAD only. Output: text or JSON. Handlers know nothing themselves: they send a
//! [`Question`] to the loop that owns the [`Engine`] and wait for its answer, so that what they say is never stale and
//! nothing is locked.
//!
//! Bounds: [`CONNECTIONS_MAX`] connections (more wait in the backlog), [`HEADER_TIMEOUT`] for a request's head and for
//! an idle connection, [`ANSWER_TIMEOUT`] for an answer, [`CONNECTION_TIMEOUT`] for a connection. Bodies are not read.

mod config;
mod explain;
mod flow;
mod metrics_text;
mod nodes;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::engine::Engine;
use super::flow::calendar::Moment;
use crate::clock;
use crate::metrics::CONTENT_TYPE;

/// Something that is to be read from the state.
pub type Question = Box<dyn FnOnce(&Engine) + Send>;

/// Connections served at a time.
const CONNECTIONS_MAX: usize = 64;
/// For the head of a request, from when the connection is ready for one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// For a whole connection: a client that never reads its answer gives its place up.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// For the loop to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long accepting pauses after an error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What there is, for whoever asks for something else.
const PATHS: [(&str, &str); 7] = [
    ("/healthz", "200 while the process is alive"),
    ("/readyz", "200 when every shard has a configuration in force and the process is not stopping"),
    ("/metrics", "Prometheus metrics"),
    ("/api/v1/nodes", "services, their nodes and how they are; listeners"),
    ("/api/v1/flow?service=&tenant=&scope=", "requests of today and yesterday by hour, rates, latencies"),
    ("/api/v1/config", "the configuration in force, without secrets"),
    ("/api/v1/explain?url=&method=&client=", "what would become of a request, and why"),
];

/// Serves on a socket until the runtime ends.
pub fn start(socket: TcpListener, questions: mpsc::Sender<Question>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::TcpListener::from_std(socket)?;
    info!(address = %socket.local_addr()?, "ops address");
    tokio::spawn(accept(socket, router(questions)));
    Ok(())
}

fn router(questions: mpsc::Sender<Question>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/nodes", get(nodes))
        .route("/api/v1/flow", get(flow))
        .route("/api/v1/config", get(config))
        .route("/api/v1/explain", get(explain))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Asker { questions })
}

async fn accept(socket: tokio::net::TcpListener, router: Router) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "ops address: accepting failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            match timeout(CONNECTION_TIMEOUT, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%peer, %error, "ops address: connection ended"),
                Err(_) => debug!(%peer, "ops address: connection closed, it lasted too long"),
            }
            drop(permit);
        });
    }
}

/// Asks the loop.
#[derive(Clone)]
struct Asker {
    questions: mpsc::Sender<Question>,
}

impl Asker {
    async fn ask<T, F>(&self, question: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&Engine) -> T + Send + 'static,
    {
        const BUSY: ApiError = ApiError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "busy",
            message: String::new(),
            details: None,
        };
        let (answer_to, answer) = oneshot::channel();
        let question: Question = Box::new(move |engine| {
            // Whoever asked may be gone.
            let _ = answer_to.send(question(engine));
        });
        let busy = |why: &str| ApiError { message: why.to_owned(), ..BUSY };
        self.questions
            .try_send(question)
            .map_err(|_| busy("too many requests wait for the control thread"))?;
        match timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(busy("the control thread did not answer in time")),
        }
    }
}

/// An error as JSON, in the shape that clients of the gateway get.
#[derive(Debug)]
struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Option<serde_json::Value>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": { "code": self.code, "message": self.message } });
        if let (Some(error), Some(serde_json::Value::Object(details))) =
            (body.get_mut("error").and_then(serde_json::Value::as_object_mut), self.details)
        {
            error.extend(details);
        }
        (self.status, json_text(&body)).into_response()
    }
}

/// Pretty JSON: people read it with curl.
fn json_text(value: &impl Serialize) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn readyz(State(asker): State<Asker>) -> Result<Response, ApiError> {
    Ok(match asker.ask(Engine::not_ready).await? {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    })
}

async fn metrics(State(asker): State<Asker>) -> Result<Response, ApiError> {
    let text = asker.ask(metrics_text::render).await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

async fn nodes(State(asker): State<Asker>) -> Result<Response, ApiError> {
    Ok(json_text(&asker.ask(nodes::list).await?))
}

async fn config(State(asker): State<Asker>) -> Result<Response, ApiError> {
    Ok(json_text(&asker.ask(config::show).await?))
}

async fn flow(
    State(asker): State<Asker>,
    query: Result<Query<flow::Params>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(params) = query.map_err(|error| ApiError {
        status: StatusCode::BAD_REQUEST,
        code: "bad_request",
        message: error.body_text(),
        details: Some(json!({ "usage": flow::USAGE })),
    })?;
    let missing = |missing: flow::Missing| {
        let (status, code) = match missing {
            flow::Missing::Unknown(_) => (StatusCode::NOT_FOUND, "not_found"),
            flow::Missing::NoRedis => (StatusCode::BAD_REQUEST, "bad_request"),
        };
        ApiError {
            status,
            code,
            message: missing.to_string(),
            details: Some(json!({ "usage": flow::USAGE })),
        }
    };
    let now = Moment::read();
    let (params, question) = asker
        .ask(move |engine| {
            let question = flow::cluster(engine, &params, now);
            (params, question)
        })
        .await?;
    let Some(question) = question.map_err(missing)? else {
        let view = asker.ask(move |engine| flow::show(engine, &params, now)).await?;
        return Ok(json_text(&view.map_err(missing)?));
    };
    let cluster = question.ask().await.map_err(|failure| ApiError {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "redis_unreachable",
        message: failure.to_string(),
        details: None,
    })?;
    Ok(json_text(&cluster))
}

async fn explain(
    State(asker): State<Asker>,
    query: Result<Query<explain::Params>, QueryRejection>,
) -> Result<Response, ApiError> {
    let wrong = |message: String| ApiError {
        status: StatusCode::BAD_REQUEST,
        code: "bad_request",
        message,
        details: Some(json!({ "usage": explain::USAGE })),
    };
    let Query(params) = query.map_err(|error| wrong(error.body_text()))?;
    let request = explain::parse(&params).map_err(wrong)?;
    let explained = asker.ask(move |engine| explain::explain(engine, &request, clock::read())).await?;
    Ok(json_text(&explained))
}

async fn not_found(uri: Uri) -> ApiError {
    let paths: serde_json::Map<_, _> =
        PATHS.into_iter().map(|(path, what)| (path.to_owned(), what.into())).collect();
    ApiError {
        status: StatusCode::NOT_FOUND,
        code: "not_found",
        message: format!("there is nothing at {}", uri.path()),
        details: Some(json!({ "paths": paths })),
    }
}

async fn method_not_allowed(method: Method) -> Response {
    let error = ApiError {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method_not_allowed",
        message: format!("{method}: this API is read-only, use GET"),
        details: None,
    };
    ([(header::ALLOW, "GET, HEAD")], error).into_response()
}

#[cfg(test)]
mod tests;
