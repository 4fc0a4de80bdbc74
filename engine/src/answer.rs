//! Answers of the gateway's own: errors as JSON, and the few that are not errors.
//!
//! Output: `{"error":{"code":"...","message":"...","request_id":"..."}}` with the status and the fields that the error
//! calls for. The body is the same for HTTP/1.1 and HTTP/2; only the head is written differently.

use std::borrow::Cow;
use std::time::Duration;

use coregate_config::checked::Hsts;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::{SmallVec, smallvec};

use crate::access_log::escape::json;
use crate::error::{Error, Limited};
use crate::http::grpc;
use crate::http::headers::{HSTS_BYTES_MAX, hsts_value};
use crate::tenant::endpoint::TokenAnswer;

/// The methods that the gateway itself knows to be accepted for `OPTIONS *`.
pub const ALLOW_ANY: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";

/// Fields beyond the usual ones: Allow, Retry-After, WWW-Authenticate, RateLimit.
pub type Fields<'a> = SmallVec<[(&'static str, Cow<'a, str>); 3]>;

/// An answer to write.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// Fields beyond the usual ones.
    pub fields: Fields<'a>,
    /// Body, with its content type.
    pub body: Body<'a>,
}

/// An answer's body.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// None.
    Empty,
    /// JSON.
    Json(&'a str),
    /// The error document.
    Error {
        /// Stable name of the error.
        code: &'a str,
        /// What was wrong and what would be right.
        message: &'a str,
        /// To be found in the logs.
        request_id: &'a str,
    },
}

impl<'a> Answer<'a> {
    /// The answer to a request that failed; `None` when nobody is there to be told.
    pub fn to(error: &'a Error, request_id: &'a str) -> Option<Self> {
        let told = error.told();
        let fields: Fields = match error {
            Error::MethodRefused(allow) => smallvec![("allow", (&**allow).into())],
            Error::Head(crate::http::head::HeadError::MethodNotAllowed) => {
                smallvec![("allow", ALLOW_ANY.into())]
            }
            Error::Tenant(refusal) => smallvec![("www-authenticate", refusal.www_authenticate().into())],
            Error::Limited(limited) => limit_fields(limited),
            Error::NoHealthyNode | Error::NodesBusy => smallvec![("retry-after", "1".into())],
            _ => Fields::new(),
        };
        let body = Body::Error { code: told.code, message: told.message, request_id };
        (told.status != 0).then_some(Self { status: told.status, fields, body })
    }

    /// The answer to `OPTIONS *`, which asks about the server as a whole (RFC 9110 9.3.7).
    pub fn to_options() -> Self {
        Self { status: 204, fields: smallvec![("allow", ALLOW_ANY.into())], body: Body::Empty }
    }

    /// The answer to a request that came in clear and is wanted by TLS (RFC 9110 15.4.9: method and body stay).
    pub fn to_https(location: &'a str, request_id: &'a str) -> Self {
        let (code, message) =
            ("https_required", "this is answered by https alone, at the address in Location");
        let body = Body::Error { code, message, request_id };
        Self { status: 308, fields: smallvec![("location", location.into())], body }
    }

    /// It as it goes out of a listener: with `hsts` it asks to be spoken to by TLS alone from now on.
    pub fn secured(&self, hsts: Option<Hsts>) -> Cow<'_, Self> {
        let Some(hsts) = hsts else { return Cow::Borrowed(self) };
        let mut buffer = [0; HSTS_BYTES_MAX];
        let value = String::from_utf8_lossy(hsts_value(hsts, &mut buffer)).into_owned();
        let mut secured = self.clone();
        secured.fields.push(("strict-transport-security", value.into()));
        Cow::Owned(secured)
    }

    /// The answer of the token endpoint.
    pub fn of_token_endpoint(answer: &'a TokenAnswer) -> Self {
        // Any JSON is given its type when it is written.
        let fields = answer.fields.iter().filter(|(name, _)| *name != "content-type");
        let fields = fields.map(|&(name, value)| (name, value.into())).collect();
        Self { status: answer.status, fields, body: Body::Json(&answer.body) }
    }

    /// Its head's fields for HTTP/2.
    pub fn h2_fields(&self) -> HeaderMap {
        let mut fields = self.own_fields();
        let len = self.body.len();
        if len > 0 {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            fields.insert(CONTENT_LENGTH, len.into());
        }
        fields
    }

    /// The fields of the same for a gRPC client, which looks for its status in them: all of an answer is its head, with
    /// status 200.
    pub fn grpc_fields(&self) -> HeaderMap {
        let message = match self.body {
            Body::Error { message, .. } => message,
            Body::Empty | Body::Json(_) => "",
        };
        let mut fields = self.own_fields();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        fields.extend(grpc_status(self.status, message));
        fields
    }

    fn own_fields(&self) -> HeaderMap {
        let field = |(name, value): &(&'static str, Cow<str>)| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
        };
        self.fields.iter().filter_map(field).collect()
    }

    /// Its body; none after a HEAD.
    pub fn body_bytes(&self, head_request: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !head_request {
            self.body.write(&mut bytes);
        }
        bytes
    }

    /// Writes it as HTTP/1.1: no body after a HEAD.
    pub fn write_h1(&self, out: &mut Vec<u8>, head_request: bool, close: bool) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(digits.format(self.status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        for (name, value) in &self.fields {
            for part in ["\r\n", name, ": ", value] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        if close {
            out.extend_from_slice(b"\r\nconnection: close");
        }
        let len = self.body.len();
        if len > 0 {
            out.extend_from_slice(b"\r\ncontent-type: application/json\r\ncontent-length: ");
            out.extend_from_slice(digits.format(len).as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
        if !head_request {
            self.body.write(out);
        }
    }
}

/// What a gRPC client is told of an error, in an answer's trailers or, if it has nothing else, in its head.
pub fn grpc_status(status: u16, message: &str) -> HeaderMap {
    let code = HeaderValue::from_static(grpc::Status::of_http(status).as_str());
    let message = HeaderValue::from_str(&grpc::message(message)).ok();
    let mut fields = HeaderMap::with_capacity(2);
    fields.insert(HeaderName::from_static("grpc-status"), code);
    fields.extend(message.map(|message| (HeaderName::from_static("grpc-message"), message)));
    fields
}

/// When to come again (RFC 9110 10.2.3), and how the limit stands: its name, its tokens and the seconds in which all of
/// them come; how many are left and the seconds until there are more (draft-ietf-httpapi-ratelimit-headers-10).
fn limit_fields<'a>(limited: &Limited) -> Fields<'a> {
    let Limited { kind, retry_after, quota } = limited;
    let (name, wait) = (kind.as_str(), seconds(*retry_after));
    let window = seconds(quota.window);
    smallvec![
        ("retry-after", wait.to_string().into()),
        ("ratelimit-policy", format!("\"{name}\";q={};w={window}", quota.limit).into()),
        ("ratelimit", format!("\"{name}\";r={};t={wait}", quota.remaining).into()),
    ]
}

/// Whole seconds, rounded up, at least one. At most what a structured field's integer holds (RFC 9651 3.3.1).
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).clamp(1, 999_999_999_999_999)
}

impl Body<'_> {
    /// Bytes of it.
    pub fn len(&self) -> usize {
        let mut count = Vec::new();
        self.write(&mut count);
        count.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (code, message, request_id) = match self {
            Self::Empty => return,
            Self::Json(text) => return out.extend_from_slice(text.as_bytes()),
            Self::Error { code, message, request_id } => (code, message, request_id),
        };
        for (before, text) in [
            (r#"{"error":{"code":""#, code),
            (r#"","message":""#, message),
            (r#"","request_id":""#, request_id),
        ] {
            out.extend_from_slice(before.as_bytes());
            json(out, text.as_bytes());
        }
        out.extend_from_slice(b"\"}}\n");
    }
}

/// Reason phrases of the statuses that the gateway makes (RFC 9110 15, RFC 6585).
fn reason(status: u16) -> &'static str {
    match status {
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_written_whole() {
        let mut out = Vec::new();
        let error = Error::MethodRefused("GET, HEAD".into());
        Answer::to(&error, "id\"1").unwrap().write_h1(&mut out, false, true);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 405 Method Not Allowed\r\nallow: GET, HEAD\r\nconnection: close\r\n")
        );
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["error"]["code"], "method_not_allowed");
        assert_eq!(document["error"]["request_id"], "id\"1");
    }

    #[test]
    fn a_head_request_gets_the_length_but_no_body() {
        let mut out = Vec::new();
        Answer::to(&Error::NoRoute, "x").unwrap().write_h1(&mut out, true, false);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("content-length: ") && text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_limited_client_is_told_when_to_come_again() {
        let quota = crate::limit::Quota {
            limit: 3,
            remaining: 0,
            reset: Duration::from_millis(2500),
            window: Duration::from_millis(2500),
        };
        let kind = crate::account::LimitKind::Client;
        let limited = Limited { kind, retry_after: Duration::from_millis(1001), quota };
        let mut out = Vec::new();
        Answer::to(&Error::Limited(Box::new(limited)), "x").unwrap().write_h1(&mut out, false, false);
        let text = String::from_utf8(out).unwrap();
        let fields =
            "\r\nretry-after: 2\r\nratelimit-policy: \"client\";q=3;w=3\r\nratelimit: \"client\";r=0;t=2\r\n";
        assert!(text.starts_with("HTTP/1.1 429 Too Many Requests\r\n") && text.contains(fields), "{text}");
        assert!(text.contains("\"code\":\"rate_limited\""), "{text}");
    }

    #[test]
    fn a_grpc_client_is_told_by_status_and_message() {
        let fields = Answer::to(&Error::NoRoute, "x").unwrap().grpc_fields();
        assert_eq!(
            (&fields["grpc-status"], &fields["content-type"]),
            (&"12".parse().unwrap(), &"application/grpc".parse().unwrap())
        );
        assert_eq!(fields["grpc-message"], "no service is configured for this host and path");
        let busy = Answer::to(&Error::NodesBusy, "x").unwrap().grpc_fields();
        assert_eq!(
            (&busy["grpc-status"], &busy["retry-after"]),
            (&"14".parse().unwrap(), &"1".parse().unwrap())
        );
    }

    #[test]
    fn nobody_is_told_when_the_client_is_gone() {
        assert!(Answer::to(&Error::ClientGone, "x").is_none());
    }
}
