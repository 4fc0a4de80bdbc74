//! What can go wrong with an exchange: one enum, and the one mapping to what the client is told and what is counted.
//!
//! The phase is not part of it: where an exchange was is known where it is accounted for.

use std::time::Duration;

use crate::account::{Cause, LimitKind};
use crate::http::body::BodyError;
use crate::http::head::HeadError;
use crate::limit::Quota;
use crate::tenant::Refusal;

/// Why an exchange did not go as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The request head is refused.
    Head(HeadError),
    /// The request body is malformed.
    RequestBody(BodyError),
    /// The request body is over the service's limit.
    BodyTooLarge,
    /// The request head or body came too slowly.
    RequestTimeout,
    /// The client went away.
    ClientGone,
    /// The client took the answer too slowly.
    ClientStalled,
    /// No route matches.
    NoRoute,
    /// The route refuses the method; the value of Allow.
    MethodRefused(Box<str>),
    /// The service's access lists refuse the client.
    IpDenied,
    /// The service is for tenants, and it is from none.
    Tenant(Refusal),
    /// No token is issued to it; its own answer says why.
    NoToken,
    /// A limit refuses it.
    Limited(Box<Limited>),
    /// The service or the client has its most connections; which limit.
    TooManyConnections(LimitKind),
    /// No node is live.
    NoHealthyNode,
    /// All nodes have their most connections.
    NodesBusy,
    /// No node took a connection.
    ConnectFailed,
    /// TLS with the node came to nothing: it or the gateway refused the other.
    TlsFailed,
    /// No node took a connection in time.
    ConnectTimeout,
    /// The node went away before its answer was whole; whether any of it had come.
    UpstreamGone,
    /// The node answered something malformed.
    UpstreamMalformed(&'static str),
    /// The node was too slow with its answer's head or the next part of its body.
    UpstreamTimeout,
    /// The deadline that the request itself has set has passed (gRPC).
    DeadlineExceeded,
    /// The task panicked.
    Panicked,
}

/// A limit that a request is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// Which.
    pub kind: LimitKind,
    /// When it may be let through.
    pub retry_after: Duration,
    /// How the limit stands.
    pub quota: Quota,
}

/// What the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Status; 0 = nobody is there to be told.
    pub status: u16,
    /// `error.code` of the JSON body.
    pub code: &'static str,
    /// `error.message` of the JSON body.
    pub message: &'static str,
}

impl Error {
    /// The one mapping to answers.
    pub fn told(&self) -> Told {
        let (status, code, message) = match self {
            Self::Head(error) => return head_told(*error),
            Self::RequestBody(BodyError::Malformed(what)) => (400, "bad_request", *what),
            Self::RequestBody(BodyError::ExtensionsTooLarge) => {
                (400, "bad_request", "chunk extensions too large")
            }
            Self::RequestBody(BodyError::TrailersTooLarge) => {
                (431, "headers_too_large", "trailer section too large")
            }
            Self::RequestBody(BodyError::Truncated) | Self::ClientGone | Self::ClientStalled => {
                (0, "client_gone", "")
            }
            Self::BodyTooLarge => {
                (413, "body_too_large", "the request body is larger than this service accepts")
            }
            Self::RequestTimeout => (408, "request_timeout", "the request took too long to arrive"),
            Self::NoRoute => (404, "no_route", "no service is configured for this host and path"),
            Self::MethodRefused(_) => (405, "method_not_allowed", "this path does not accept this method"),
            Self::IpDenied => (403, "ip_denied", "this client's address may not call this service"),
            Self::Tenant(refusal) => (401, refusal.code(), refusal.message()),
            Self::NoToken => (400, "bad_request", "no token is issued to this request"),
            Self::Limited(limited) => match limited.kind {
                LimitKind::Client => (
                    429,
                    "rate_limited",
                    "this client's address sends more requests than this service accepts",
                ),
                LimitKind::Service => {
                    (429, "rate_limited", "this service gets more requests than it accepts")
                }
                LimitKind::TenantRate => (429, "rate_limited", "this tenant sends more requests than it may"),
                LimitKind::TenantDay => {
                    (429, "quota_exhausted", "this tenant has used up its requests of today")
                }
                LimitKind::ServiceConnections | LimitKind::ClientConnections => TOO_MANY_CONNECTIONS,
            },
            Self::TooManyConnections(_) => TOO_MANY_CONNECTIONS,
            Self::NoHealthyNode => (503, "no_healthy_node", "no node of the service is healthy"),
            Self::NodesBusy => {
                (503, "no_healthy_node", "all nodes of the service have their most connections")
            }
            Self::ConnectFailed => (502, "upstream_unreachable", "the service's node could not be reached"),
            Self::TlsFailed => {
                (502, "upstream_unreachable", "no TLS connection to the service's node could be made")
            }
            Self::ConnectTimeout => {
                (504, "upstream_timeout", "the service's node did not accept a connection in time")
            }
            Self::UpstreamGone => (502, "upstream_unreachable", "the service's node closed the connection"),
            Self::UpstreamMalformed(_) => {
                (502, "upstream_unreachable", "the service's node sent an invalid answer")
            }
            Self::UpstreamTimeout => (504, "upstream_timeout", "the service's node did not answer in time"),
            Self::DeadlineExceeded => {
                (504, "deadline_exceeded", "the deadline that the request has set has passed")
            }
            Self::Panicked => (500, "internal", "the gateway failed on this request"),
        };
        Told { status, code, message }
    }

    /// The one mapping to what is counted.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Head(_) | Self::BodyTooLarge => Cause::ClientError,
            Self::RequestBody(BodyError::Truncated) | Self::ClientGone => Cause::ClientGone,
            Self::RequestBody(
                BodyError::Malformed(_) | BodyError::ExtensionsTooLarge | BodyError::TrailersTooLarge,
            ) => Cause::ClientError,
            Self::RequestTimeout | Self::ClientStalled => Cause::ClientTimeout,
            Self::NoRoute | Self::MethodRefused(_) | Self::IpDenied | Self::Tenant(_) | Self::NoToken => {
                Cause::Refused
            }
            Self::Limited(_) | Self::TooManyConnections(_) => Cause::Limited,
            Self::NoHealthyNode | Self::NodesBusy => Cause::NoNode,
            Self::ConnectFailed | Self::UpstreamGone => Cause::UpstreamGone,
            Self::TlsFailed => Cause::UpstreamTls,
            Self::UpstreamMalformed(_) => Cause::UpstreamError,
            Self::ConnectTimeout | Self::UpstreamTimeout | Self::DeadlineExceeded => Cause::UpstreamTimeout,
            Self::Panicked => Cause::Internal,
        }
    }
}

impl Error {
    /// The limit that refused.
    pub fn limited(&self) -> Option<LimitKind> {
        match self {
            Self::Limited(limited) => Some(limited.kind),
            Self::TooManyConnections(kind) => Some(*kind),
            _ => None,
        }
    }
}

const TOO_MANY_CONNECTIONS: (u16, &str, &str) =
    (429, "rate_limited", "there are more connections at once than this service accepts");

fn head_told(error: HeadError) -> Told {
    let (status, code, message) = match error {
        HeadError::Malformed(what) => (400, "bad_request", what),
        HeadError::UriTooLong => (414, "uri_too_long", "the request line is too long"),
        HeadError::HeadersTooLarge => (431, "headers_too_large", "the request's header fields are too large"),
        HeadError::TransferCodingNotImplemented => {
            (501, "not_implemented", "the only transfer coding is chunked")
        }
        HeadError::MethodNotAllowed => (405, "method_not_allowed", "CONNECT and TRACE are not served"),
        HeadError::VersionNotSupported => {
            (505, "version_not_supported", "the versions served are HTTP/1.0 and HTTP/1.1")
        }
        HeadError::ExpectationFailed => (417, "expectation_failed", "the only expectation is 100-continue"),
        HeadError::Http2Preface => (505, "version_not_supported", "this connection does not speak HTTP/2"),
    };
    Told { status, code, message }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Tenant(refusal)
    }
}

impl From<HeadError> for Error {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}
