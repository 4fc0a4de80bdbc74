//! An HTTP/2 request's head as every stage wants it: a [`RequestHead`] with its meaning (RFC 9113 8.2 and 8.3, RFC 8441).
//!
//! Input: what the `h2` crate has decoded. Output: head and meta, shown to a closure, since they borrow from both. `h2`
//! has refused by then what it takes for malformed: forbidden connection fields, TE other than `trailers`, pseudo-fields
//! that are unknown, doubled, missing or out of place, fields of more bytes than it was told, a Content-Length that
//! END_STREAM belies. Here the rest is: what the gateway refuses in HTTP/1.1, too. Sans-io.
//!
//! Some things are not passed on as they came. Cookie fields are joined into one (RFC 9113 8.2.3). An extended CONNECT for
//! `websocket` becomes what it stands for: a GET that asks for the upgrade (RFC 8441 5), under a key of the gateway's own.

use http::request::Parts;
use smallvec::SmallVec;

use super::super::body::BodyFraming;
use super::super::head::{Field, HeadError, HeadLimits, RequestHead, RequestMeta, Version, request_meta};
use super::super::syntax::{self, Known};

/// What head fields take in HTTP/1.1 beside name and value: colon, space and line end.
const FIELD_OVERHEAD: usize = 4;
/// The same in HTTP/2's reckoning (RFC 9113 6.5.2).
const H2_FIELD_OVERHEAD: usize = 32;
/// Pseudo-fields of a request.
const PSEUDO_FIELDS_MAX: usize = 5;

/// The SETTINGS_MAX_HEADER_LIST_SIZE that lets every head through which is within these limits in HTTP/1.1.
pub fn header_list_bytes_max(limits: &HeadLimits) -> usize {
    limits.bytes_max + (limits.fields_max + PSEUDO_FIELDS_MAX) * H2_FIELD_OVERHEAD
}

/// Bytes that a head would take in HTTP/1.1.
pub fn head_bytes(parts: &Parts) -> usize {
    let fields = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
    let authority =
        parts.uri.authority().map_or(0, |authority| authority.as_str().len() + "host: \r\n".len());
    let line = parts.method.as_str().len() + target(parts).len() + "  HTTP/2.0\r\n\r\n".len();
    line + authority + fields.sum::<usize>()
}

/// What a request asks, beside its head.
#[derive(Debug, Clone, Copy)]
pub struct Asks<'a> {
    /// The request ends with its head.
    pub end_stream: bool,
    /// The protocol of an extended CONNECT.
    pub protocol: Option<&'a str>,
    /// The Sec-WebSocket-Key, should it be for a WebSocket.
    pub websocket_key: &'a str,
}

/// Makes head and meta of a request and shows them to `visit`.
///
/// # Errors
/// What is wrong with the head.
pub fn convert<T>(
    parts: &Parts,
    asks: &Asks,
    limits: &HeadLimits,
    visit: impl FnOnce(&RequestHead, &RequestMeta) -> T,
) -> Result<T, HeadError> {
    let target = target(parts);
    if target.len() > limits.target_bytes_max {
        return Err(HeadError::UriTooLong);
    }
    if head_bytes(parts) > limits.bytes_max || parts.headers.len() > limits.fields_max {
        return Err(HeadError::HeadersTooLarge);
    }
    if parts.uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(HeadError::Malformed(":scheme is neither http nor https"));
    }
    let connect = parts.method == http::Method::CONNECT;
    let websocket = match asks.protocol {
        Some(protocol) if connect && protocol.eq_ignore_ascii_case("websocket") => true,
        None if !connect => false,
        _ => return Err(HeadError::MethodNotAllowed),
    };

    let cookie = joined_cookies(parts);
    let mut fields = fields(parts, cookie.as_deref())?;
    let method = if websocket { "GET" } else { parts.method.as_str() };
    let version = Version::H2;
    let mut meta = request_meta(&RequestHead { method, target, version, fields: &fields, len: 0 })?;
    if websocket {
        if meta.body != BodyFraming::None || asks.end_stream {
            return Err(HeadError::Malformed("a WebSocket has neither a length nor an end"));
        }
        meta.hide(|index| fields[index].name == "sec-websocket-key", fields.len());
        fields.push(Field { name: "sec-websocket-key", value: asks.websocket_key.as_bytes() });
        meta.ask_for_upgrade(fields.len());
        fields.push(Field { name: "upgrade", value: b"websocket" });
    } else if !asks.end_stream && (meta.body == BodyFraming::None || parts.headers.contains_key("trailer")) {
        // Trailers that are announced need chunks, whatever else is known of the length.
        meta.body = BodyFraming::Chunked;
        meta.expect_continue = fields.iter().any(|field| syntax::classify(field.name) == Known::Expect);
    }
    Ok(visit(&RequestHead { method, target, version, fields: &fields, len: 0 }, &meta))
}

fn target(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("", |target| target.as_str())
}

type Fields<'b> = SmallVec<[Field<'b>; 24]>;

/// Its fields, with `:authority` as Host (RFC 9113 8.3.1) and the cookies as one.
fn fields<'b>(parts: &'b Parts, cookie: Option<&'b [u8]>) -> Result<Fields<'b>, HeadError> {
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let mut fields = Fields::new();
    fields.extend(authority.map(|authority| Field { name: "host", value: authority.as_bytes() }));
    let mut cookie_is_in = false;
    for (name, value) in &parts.headers {
        let mut value = value.as_bytes();
        if let Some(authority) = authority
            && name == http::header::HOST
        {
            if !value.eq_ignore_ascii_case(authority.as_bytes()) {
                return Err(HeadError::Malformed("Host is not what :authority says"));
            }
            continue;
        }
        if let Some(cookie) = cookie
            && name == http::header::COOKIE
        {
            if std::mem::replace(&mut cookie_is_in, true) {
                continue;
            }
            value = cookie;
        }
        fields.push(Field { name: name.as_str(), value });
    }
    Ok(fields)
}

/// RFC 9113 8.2.3: what stood in several Cookie fields; `None` if there is at most one.
fn joined_cookies(parts: &Parts) -> Option<Vec<u8>> {
    let mut cookies = parts.headers.get_all(http::header::COOKIE).iter();
    let (first, second) = (cookies.next()?, cookies.next()?);
    let mut joined = first.as_bytes().to_vec();
    for cookie in std::iter::once(second).chain(cookies) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    Some(joined)
}

#[cfg(test)]
mod tests;
