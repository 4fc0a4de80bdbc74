//! What goes over: the heads that the gateway writes, to origins and to HTTP/1 clients; for HTTP/2, their fields.
//!
//! Input: a parsed head with its meaning, what the exchange decided (path, framing, connection), who is asking
//! ([`Hop`]) and the service's [`Rules`]. Output: the bytes of a head, appended to the caller's vector.
//! Invariants: end-to-end fields keep their order and spelling; hop-by-hop fields and those that Connection names do
//! not pass; there is exactly one Host and at most one of Content-Length and Transfer-Encoding, both made here from
//! the framing; nothing that a stranger says of its origin (X-Forwarded-*, Forwarded) passes. No errors: what could
//! fail was refused with the head. Sans-io; allocates only when `out` grows.

use std::io::Write;
use std::net::IpAddr;

use coregate_config::checked::Hsts;

use super::body::BodyFraming;
use super::head::{Field, Method, RequestHead, RequestMeta, ResponseHead, ResponseMeta, Version};
use super::syntax::{self, Known};

pub use forwarding::real_client;
use forwarding::{is_kept_from_trusted, write_forwarding};
pub use rules::Rules;
use rules::{Made, RuleSet};

mod forwarding;
mod rules;

/// Who sent a request, and what the gateway says of it to the origin.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// The other end of the connection (or who it says it is by the PROXY protocol).
    pub peer: IpAddr,
    /// The peer is one of `trusted_proxies`: what it says of its own peers is passed on and added to.
    pub trusted: bool,
    /// The client's connection is TLS.
    pub https: bool,
    /// The Host field that the origin gets: [`RequestMeta::host`], or the node's name where that is empty.
    pub host: &'a str,
    /// The X-Request-Id that the origin gets: [`RequestMeta::request_id`] or one that was made; empty = none.
    pub request_id: &'a str,
    /// The tenant that it is from.
    pub tenant: Option<&'a str>,
    /// A field that tells who the client is by its certificate: name and value. A client's own field of that name does not
    /// pass ([`Rules::withholding`]).
    pub subject: Option<(&'a str, &'a str)>,
}

/// How a request goes upstream, as decided by the exchange.
#[derive(Debug, Clone, Copy)]
pub struct RequestOut<'a> {
    /// Stripped and rewritten; starts with `/`, or is `*`. See `target::is_valid_path`.
    pub path: &'a str,
    /// Without `?`.
    pub query: Option<&'a str>,
    /// What will be sent after the head. Not `UntilClose`.
    pub body: BodyFraming,
    /// Pass `Expect: 100-continue` on. If not, the gateway answers 100 (Continue) itself (RFC 9110 10.1.1).
    pub expect_continue: bool,
}

/// What becomes of the client's connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionOut {
    /// It stays.
    KeepAlive,
    /// It closes.
    Close,
    /// It speaks another protocol: with 101 (Switching Protocols) alone.
    Upgrade,
}

/// How a response goes to the client, as decided by the exchange.
#[derive(Debug, Clone, Copy)]
pub struct ResponseOut<'a> {
    /// What becomes of the connection.
    pub connection: ConnectionOut,
    /// What will be sent after the head.
    pub body: BodyFraming,
    /// What the client speaks.
    pub client_version: Version,
    /// A Date to add where the origin sent none (RFC 9110 6.6.1), as an IMF-fixdate.
    pub date: Option<&'a str>,
    /// Strict-Transport-Security in place of what the origin says of it.
    pub hsts: Option<Hsts>,
}

/// Appends the head of a request to an origin that speaks HTTP/1.1.
pub fn write_request(
    out: &mut Vec<u8>,
    head: &RequestHead,
    meta: &RequestMeta,
    to: &RequestOut,
    rules: &Rules,
    hop: &Hop,
) {
    let rules = &rules.request;
    out.reserve(head.len + to.path.len() + 384 + rules.lines.len());
    write_request_line(out, head.method, to);
    write_field(out, "Host", request_host(rules, hop).as_bytes());
    write_end_to_end(out, head, meta, rules, hop);
    write_request_length(out, meta, to);
    if to.body == BodyFraming::Chunked {
        out.extend_from_slice(CHUNKED);
    }
    write_forwarding(out, head, meta, to, rules, hop);
    write_request_connection(out, head, meta);
    out.extend_from_slice(&rules.lines);
    out.extend_from_slice(b"\r\n");
}

/// Gives the fields of a request to an origin that speaks HTTP/2, and returns what its `:authority` says (RFC 9113
/// 8.3.1: in place of Host). Names are spelled as they came.
pub fn request_fields<'a>(
    out: &mut impl Fields,
    head: &RequestHead,
    meta: &RequestMeta,
    to: &RequestOut,
    rules: &'a Rules,
    hop: &Hop<'a>,
) -> &'a str {
    let rules = &rules.request;
    write_end_to_end(out, head, meta, rules, hop);
    write_request_length(out, meta, to);
    write_forwarding(out, head, meta, to, rules, hop);
    if meta.takes_trailers {
        out.field("te", b"trailers");
    }
    for (name, value) in &rules.fields {
        out.field(name, value.as_bytes());
    }
    request_host(rules, hop)
}

/// Where fields are written: lines of HTTP/1, or a list for HTTP/2.
pub trait Fields {
    /// Begins a field. Its name must be valid.
    fn begin(&mut self, name: &str);

    /// Appends to its value, which must be valid in the end.
    fn part(&mut self, value: &[u8]);

    /// Ends it.
    fn end(&mut self);

    /// A field whose value is whole.
    #[inline]
    fn field(&mut self, name: &str, value: &[u8]) {
        self.begin(name);
        self.part(value);
        self.end();
    }
}

impl Fields for Vec<u8> {
    #[inline]
    fn begin(&mut self, name: &str) {
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(b": ");
    }

    #[inline]
    fn part(&mut self, value: &[u8]) {
        self.extend_from_slice(value);
    }

    #[inline]
    fn end(&mut self) {
        self.extend_from_slice(b"\r\n");
    }
}

/// Appends the head of a response to an HTTP/1 client.
pub fn write_response(
    out: &mut Vec<u8>,
    head: &ResponseHead,
    meta: &ResponseMeta,
    to: &ResponseOut,
    rules: &Rules,
) {
    out.reserve(head.len + 192 + rules.response.lines.len());
    write_status_line(out, head.status, head.reason);
    response_fields(head, meta, to, rules, |name, value| write_field(out, name, value));
    if to.body == BodyFraming::Chunked {
        out.extend_from_slice(CHUNKED);
    }
    match to.connection {
        ConnectionOut::Upgrade => {
            out.extend_from_slice(b"Connection: upgrade\r\n");
            copy_known(out, head.fields, Known::Upgrade);
        }
        // RFC 9110 15.2: a 1xx is not the last word on this connection.
        _ if head.status < 200 => {}
        ConnectionOut::Close => out.extend_from_slice(b"Connection: close\r\n"),
        ConnectionOut::KeepAlive if to.client_version == Version::Http10 => {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        ConnectionOut::KeepAlive => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Every field of a response that any client gets, whatever version it speaks: all of them but those that frame an
/// HTTP/1 message and its connection. Names are spelled as they came; HTTP/2 wants them in lower case.
pub fn response_fields(
    head: &ResponseHead,
    meta: &ResponseMeta,
    to: &ResponseOut,
    rules: &Rules,
    mut field: impl FnMut(&str, &[u8]),
) {
    let rules = &rules.response;
    for (index, Field { name, value }) in head.fields.iter().enumerate() {
        let replaced = to.hsts.is_some() && name.eq_ignore_ascii_case(HSTS);
        if !meta.special.contains(index) && !rules.takes(name) && !replaced {
            field(name, value);
        }
    }
    // RFC 9110 8.6: none with 1xx and 204; of an answer to HEAD and a 304, what the origin said.
    let length = match to.body {
        _ if matches!(head.status, 100..=199 | 204) => None,
        BodyFraming::Length(bytes) => Some(bytes),
        BodyFraming::None if meta.body == BodyFraming::None => meta.content_length,
        BodyFraming::None | BodyFraming::Chunked | BodyFraming::UntilClose => None,
    };
    if let Some(length) = length {
        field("Content-Length", itoa::Buffer::new().format(length).as_bytes());
    }
    if let (Some(date), false) = (to.date, meta.dated || head.status < 200 || rules.makes(Made::Date)) {
        field("Date", date.as_bytes());
    }
    if !rules.makes(Made::Via) {
        field("Via", via(head.version).as_bytes());
    }
    if let Some(hsts) = to.hsts.filter(|_| head.status >= 200) {
        field(HSTS, hsts_value(hsts, &mut [0; HSTS_BYTES_MAX]));
    }
    for (name, value) in &rules.fields {
        field(name, value.as_bytes());
    }
}

/// Name of the field by which a host asks to be spoken to by TLS alone (RFC 6797).
pub const HSTS: &str = "Strict-Transport-Security";

/// Its value, written into `buffer`.
pub fn hsts_value(hsts: Hsts, buffer: &mut [u8; HSTS_BYTES_MAX]) -> &[u8] {
    let mut rest = &mut buffer[..];
    let subdomains = if hsts.include_subdomains { "; includeSubDomains" } else { "" };
    let written = write!(rest, "max-age={}{subdomains}", hsts.max_age.as_secs());
    debug_assert!(written.is_ok());
    let len = HSTS_BYTES_MAX - rest.len();
    &buffer[..len]
}

/// `max-age=18446744073709551615; includeSubDomains`
pub const HSTS_BYTES_MAX: usize = 47;

const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";

fn write_request_line(out: &mut Vec<u8>, method: &str, to: &RequestOut) {
    debug_assert!(super::target::is_valid_path(to.path), "{:?}", to.path);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(to.path.as_bytes());
    if let Some(query) = to.query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Appends a status line. A server answers in its own version, whatever the client's (RFC 9110 6.2).
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line. Name and value must be valid.
#[inline]
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.field(name, value);
}

/// Appends a Content-Length field.
pub fn write_content_length(out: &mut impl Fields, bytes: u64) {
    out.field("Content-Length", itoa::Buffer::new().format(bytes).as_bytes());
}

/// The Host that the origin gets.
fn request_host<'a>(rules: &'a RuleSet, hop: &Hop<'a>) -> &'a str {
    rules.host.as_deref().unwrap_or(hop.host)
}

/// What the client's head has that goes on as it is.
#[inline]
fn write_end_to_end(
    out: &mut impl Fields,
    head: &RequestHead,
    meta: &RequestMeta,
    rules: &RuleSet,
    hop: &Hop,
) {
    for (index, field) in head.fields.iter().enumerate() {
        if meta.special.contains(index) && !(hop.trusted && is_kept_from_trusted(field.name)) {
            continue;
        }
        if !rules.takes(field.name) {
            out.field(field.name, field.value);
        }
    }
}

/// The length of the request's body, where there is one.
fn write_request_length(out: &mut impl Fields, meta: &RequestMeta, to: &RequestOut) {
    match to.body {
        BodyFraming::Length(bytes) => write_content_length(out, bytes),
        // RFC 9110 8.6: some origins wait for a length where the method gives content a meaning.
        BodyFraming::None if matches!(meta.method, Method::Post | Method::Put | Method::Patch) => {
            write_content_length(out, 0);
        }
        BodyFraming::None | BodyFraming::Chunked => {}
        BodyFraming::UntilClose => debug_assert!(false, "no request is framed so"),
    }
}

/// RFC 9110 7.6.3: the version in which the message was received, and a pseudonym.
fn via(received: Version) -> &'static str {
    match received {
        Version::Http10 => "1.0 coregate",
        Version::Http11 => "1.1 coregate",
        Version::H2 => "2.0 coregate",
    }
}

/// Connection and what it names (RFC 9110 7.6.1). TE has to be named (10.1.4).
fn write_request_connection(out: &mut Vec<u8>, head: &RequestHead, meta: &RequestMeta) {
    out.extend_from_slice(match (meta.upgrade, meta.takes_trailers) {
        (false, false) => return,
        (false, true) => b"Connection: TE\r\nTE: trailers\r\n",
        (true, false) => b"Connection: upgrade\r\n",
        (true, true) => b"Connection: upgrade, TE\r\nTE: trailers\r\n",
    });
    if meta.upgrade {
        copy_known(out, head.fields, Known::Upgrade);
    }
}

fn copy_known(out: &mut Vec<u8>, fields: &[Field], known: Known) {
    for field in fields.iter().filter(|field| syntax::classify(field.name) == known) {
        write_field(out, field.name, field.value);
    }
}

#[cfg(test)]
mod tests;
