//! Reading requests: JSON bodies, queries and path parameters, with errors as the API words them.

use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::{HeaderMap, header, request::Parts};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::error::{ApiError, Code};

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "the body must be JSON, and the header content-type must say so: \"application/json\"",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| body_error(&error))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| json_error(&error))
    }
}

/// A JSON body that may be left out.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|error| body_error(&error))?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !json {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "the body must be JSON, and the header content-type must say so: \"application/json\"",
            ));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| json_error(&error))
    }
}

/// The query of the URL.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(QueryRejection::FailedToDeserializeQueryString(error)) => {
                Err(ApiError::bad_request(format!("the query: {}", innermost(&error))))
            }
            Err(error) => Err(ApiError::bad_request(format!("the query: {error}"))),
        }
    }
}

/// Parameters in the path.
pub struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(path)) => Ok(Self(path)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                Err(ApiError::bad_request(format!("the path: {}", innermost(&error))))
            }
            Err(error) => Err(ApiError::bad_request(format!("the path: {error}"))),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn body_error(error: &BytesRejection) -> ApiError {
    if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::new(Code::BodyTooLarge, "the body is larger than this path takes")
    } else {
        ApiError::bad_request("the body could not be read")
    }
}

/// serde_json's own words name what was given only for short scalars, but a body may hold a secret there: of a type error
/// only the place is told where the value is a text.
fn json_error(error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let text = match (text.find("string \""), text.rfind(", expected")) {
        (Some(from), Some(to)) if from < to => format!("{}a string{}", &text[..from], &text[to..]),
        _ => text,
    };
    ApiError::bad_request(format!("the body: {text}"))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_type_does_not_repeat_what_was_given() {
        let error = serde_json::from_str::<Vec<u64>>("[\"my secret, expected\"]").unwrap_err();
        let told = json_error(&error).message;
        assert!(!told.contains("secret"), "{told}");
        assert!(told.contains("line 1"), "{told}");
    }
}
