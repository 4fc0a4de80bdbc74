//! What the API says when something is not done: `{"error":{"code","message","problems"?,"conflicts"?}}`.
//!
//! The message says what, where and what would be right. `code` is for programs and one of [`Code`]. No secret is in any
//! of it. What went wrong inside (the database) is logged; clients are told that, not how.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Kind;

/// What kind of error, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// 400
    BadRequest,
    /// 401
    Unauthenticated,
    /// 403
    Forbidden,
    /// 403: the CSRF token is missing or wrong, or the request comes from elsewhere
    Csrf,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 409: somebody else changed it meanwhile
    Stale,
    /// 409
    AlreadyExists,
    /// 409: something else refers to it
    InUse,
    /// 409: not possible in this state
    Conflict,
    /// 409: a revision waits to be confirmed
    Pending,
    /// 413
    BodyTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 422
    Invalid,
    /// 428
    VersionRequired,
    /// 429
    TooManyRequests,
    /// 500
    Internal,
    /// 503
    DatabaseUnavailable,
    /// 503
    Unavailable,
}

impl Code {
    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Csrf => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Stale | Self::AlreadyExists | Self::InUse | Self::Conflict | Self::Pending => {
                StatusCode::CONFLICT
            }
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::VersionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::DatabaseUnavailable | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Something wrong with a value that was sent.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// Which list, if it is about another item than the one that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Which item of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where, relative to the item: `nodes[0].weight`.
    pub key: String,
    /// What was given; redacted for secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// An answer of the API that is not a success.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// What kind.
    pub code: Code,
    /// What, where, what would be right.
    pub message: String,
    /// For [`Code::Invalid`].
    pub problems: Vec<FieldProblem>,
    /// For [`Code::Stale`]: both versions of each item.
    pub conflicts: Vec<serde_json::Value>,
    /// For [`Code::TooManyRequests`], seconds.
    pub retry_after: Option<u64>,
    /// For [`Code::Unauthenticated`]: there is no account yet.
    pub setup_required: bool,
}

/// The JSON of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// All about it.
    error: ErrorDetail,
}

/// All about an error.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorDetail {
    /// For programs.
    code: Code,
    /// For people: what, where, what would be right.
    message: String,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<FieldProblem>,
    /// Both versions of what somebody else changed meanwhile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    conflicts: Vec<serde_json::Value>,
    /// There is no account yet: see `POST /api/v1/setup`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    setup_required: bool,
}

impl ApiError {
    /// One with a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            problems: Vec::new(),
            conflicts: Vec::new(),
            retry_after: None,
            setup_required: false,
        }
    }

    /// 400
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// 404: there is no such thing.
    pub fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what} \"{name}\""))
    }

    /// 422 with what is wrong.
    pub fn invalid(problems: Vec<FieldProblem>) -> Self {
        let message = match problems.as_slice() {
            [one] if one.key.is_empty() => one.message.clone(),
            [FieldProblem { kind: Some(kind), name: Some(name), key, message, .. }] => {
                format!("{kind} \"{name}\": {key}: {message}")
            }
            [one] => format!("{}: {}", one.key, one.message),
            several => format!("{} values are not right; see problems", several.len()),
        };
        Self { problems, ..Self::new(Code::Invalid, message) }
    }

    /// 422 about one field.
    pub fn field(key: &str, message: impl Into<String>) -> Self {
        let (key, message) = (key.to_owned(), message.into());
        Self::invalid(vec![FieldProblem { kind: None, name: None, key, value: None, message }])
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let body = ErrorBody {
            error: ErrorDetail {
                code: self.code,
                message: self.message,
                problems: self.problems,
                conflicts: self.conflicts,
                setup_required: self.setup_required,
            },
        };
        let mut response = (status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
