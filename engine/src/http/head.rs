//! Message heads: bytes to request and response heads, strictly by RFC 9112 (stage: parse).
//!
//! Input: what a connection has received so far, limits, and scratch for the fields. Output: a [`RequestHead`] or
//! [`ResponseHead`] that borrows from the input; `None` while it is incomplete. What a head *means* (framing,
//! persistence, host) is decided by [`request_meta`] and [`response_meta`], for HTTP/2 too.
//! Invariants: an accepted head ends every line in CRLF and has no other CR or LF, no folded line, no whitespace
//! before a colon, no control character. The result does not depend on how the bytes were split, except that a head
//! that is refused may be refused before it is complete. Errors: [`HeadError`]; the connection must then be closed.
//! Units: bytes. Sans-io, no allocation, no panics.

use std::fmt;
use std::mem::MaybeUninit;

use super::target::TargetError;

pub use super::body::BodyFraming;
pub use super::syntax::FIELDS_MAX;
pub use meta::{Method, RequestMeta, ResponseMeta, request_meta, response_meta};

mod meta;

/// A field line: name as it came, value without the whitespace around it.
pub type Field<'b> = httparse::Header<'b>;

/// Scratch for a head's fields: `[const { MaybeUninit::uninit() }; FIELDS_MAX]`, never zeroed.
pub type FieldSlots<'b> = [MaybeUninit<Field<'b>>; FIELDS_MAX];

/// A protocol version that the gateway speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    H2,
}

/// What bounds a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head: empty lines before it, start line, fields, blank line.
    pub bytes_max: usize,
    /// The request-target alone.
    pub target_bytes_max: usize,
    /// Field lines; beyond [`FIELDS_MAX`] it has no effect.
    pub fields_max: usize,
}

/// A whole request head.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'h, 'b> {
    /// A token.
    pub method: &'b str,
    /// Not empty, without whitespace and controls; [`request_meta`] checks the rest.
    pub target: &'b str,
    /// What the client speaks.
    pub version: Version,
    /// In their order. For HTTP/2: without pseudo-header fields, `:authority` as a `host` field.
    pub fields: &'h [Field<'b>],
    /// Bytes of the input that the head takes, blank line included; 0 for HTTP/2.
    pub len: usize,
}

/// A whole response head.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'h, 'b> {
    /// 100 to 999.
    pub status: u16,
    /// What the origin speaks.
    pub version: Version,
    /// May be empty; empty too where it had bytes beyond ASCII.
    pub reason: &'b str,
    /// In their order.
    pub fields: &'h [Field<'b>],
    /// Bytes of the input that the head takes, blank line included; 0 for HTTP/2.
    pub len: usize,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// Against the grammar or against a rule that keeps messages apart; what it was.
    Malformed(&'static str),
    /// The request line or its target is too long.
    UriTooLong,
    /// The head is too long or has too many fields.
    HeadersTooLarge,
    /// A transfer coding other than chunked.
    TransferCodingNotImplemented,
    /// CONNECT or TRACE.
    MethodNotAllowed,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported,
    /// An expectation other than 100-continue.
    ExpectationFailed,
    /// The HTTP/2 connection preface (RFC 9113 3.4): not an error where HTTP/2 is offered.
    Http2Preface,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            HeadError::Malformed(what) => what,
            HeadError::UriTooLong => "request line too long",
            HeadError::HeadersTooLarge => "head too large",
            HeadError::TransferCodingNotImplemented => "transfer coding other than chunked",
            HeadError::MethodNotAllowed => "method not allowed",
            HeadError::VersionNotSupported => "HTTP version not supported",
            HeadError::ExpectationFailed => "expectation other than 100-continue",
            HeadError::Http2Preface => "HTTP/2 connection preface",
        })
    }
}

impl std::error::Error for HeadError {}

impl From<TargetError> for HeadError {
    fn from(error: TargetError) -> Self {
        HeadError::Malformed(error.0)
    }
}

/// Parses a request head at the start of `buf`; `None` if it is not all there yet.
///
/// Up to two empty lines before it are passed over (RFC 9112 2.2) and counted in `len`.
pub fn parse_request<'h, 'b>(
    buf: &'b [u8],
    limits: &HeadLimits,
    slots: &'h mut [MaybeUninit<Field<'b>>],
) -> Result<Option<RequestHead<'h, 'b>>, HeadError> {
    if buf.first() == Some(&b'P') {
        match preface(buf) {
            Preface::Whole => return Err(HeadError::Http2Preface),
            Preface::Partial => return Ok(None),
            Preface::No => {}
        }
    }
    let window = &buf[..buf.len().min(limits.bytes_max)];
    let Some(start) = empty_lines(window)? else { return within_limits(window, 0, limits) };
    let slots = at_most(slots, limits.fields_max);
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(&window[start..], slots) {
        Ok(httparse::Status::Complete(len)) => start + len,
        Ok(httparse::Status::Partial) => return within_limits(window, start, limits),
        Err(httparse::Error::Version) => return Err(version_error(&window[start..])),
        Err(error) => return Err(refusal(error)),
    };
    let httparse::Request {
        method: Some(method),
        path: Some(target),
        version: Some(version),
        headers: fields,
    } = request
    else {
        return Err(HeadError::Malformed("incomplete request line"));
    };
    if target.len() > limits.target_bytes_max {
        return Err(HeadError::UriTooLong);
    }
    if !lines_end_in_crlf(&window[start..len]) {
        return Err(HeadError::Malformed("line that does not end in CRLF"));
    }
    Ok(Some(RequestHead { method, target, version: minor_version(version), fields, len }))
}

/// Parses a response head at the start of `buf`; `None` if it is not all there yet.
pub fn parse_response<'h, 'b>(
    buf: &'b [u8],
    limits: &HeadLimits,
    slots: &'h mut [MaybeUninit<Field<'b>>],
) -> Result<Option<ResponseHead<'h, 'b>>, HeadError> {
    let window = &buf[..buf.len().min(limits.bytes_max)];
    if window.first().is_some_and(|&byte| byte != b'H') {
        return Err(HeadError::Malformed("not an HTTP response"));
    }
    let slots = at_most(slots, limits.fields_max);
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut response, window, slots) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if window.len() >= limits.bytes_max => {
            return Err(HeadError::HeadersTooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::Version) => return Err(HeadError::VersionNotSupported),
        Err(error) => return Err(refusal(error)),
    };
    let httparse::Response { version: Some(version), code: Some(status), reason, headers: fields } = response
    else {
        return Err(HeadError::Malformed("incomplete status line"));
    };
    if status < 100 {
        return Err(HeadError::Malformed("bad status code"));
    }
    if !lines_end_in_crlf(&window[..len]) {
        return Err(HeadError::Malformed("line that does not end in CRLF"));
    }
    let version = minor_version(version);
    Ok(Some(ResponseHead { status, version, reason: reason.unwrap_or(""), fields, len }))
}

/// Is it worth parsing again, now that bytes came after the first `from` (which gave `None`)? So that a head that
/// trickles in is not parsed anew for every byte: parse when this is true *or* `limits.bytes_max` is reached.
///
/// True for a blank line, and for a line that ends in a bare LF, which the parser refuses.
pub fn has_head_end(buf: &[u8], from: usize) -> bool {
    let start = from.saturating_sub(3).min(buf.len());
    memchr::memchr_iter(b'\n', &buf[start..]).any(|at| {
        let line = &buf[..start + at];
        !line.ends_with(b"\r") || line.ends_with(b"\r\n\r")
    })
}

enum Preface {
    Whole,
    Partial,
    No,
}

/// RFC 9113 3.4.
#[cold]
fn preface(buf: &[u8]) -> Preface {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    if buf.starts_with(PREFACE) {
        Preface::Whole
    } else if PREFACE.starts_with(buf) {
        Preface::Partial
    } else {
        Preface::No
    }
}

/// Where the request line begins, after at most two empty lines; `None` if that cannot be told yet.
#[inline]
fn empty_lines(buf: &[u8]) -> Result<Option<usize>, HeadError> {
    const EMPTY_LINES_MAX: usize = 2;
    let mut start = 0;
    loop {
        match &buf[start..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] if start < 2 * EMPTY_LINES_MAX => start += 2,
            [b'\r' | b'\n', ..] => return Err(HeadError::Malformed("empty lines before the request line")),
            _ => return Ok(Some(start)),
        }
    }
}

/// The head at `start` is incomplete in `window`, which is at most `bytes_max` long: could it still become complete?
fn within_limits<T>(window: &[u8], start: usize, limits: &HeadLimits) -> Result<Option<T>, HeadError> {
    let line = &window[start..];
    let line_end = memchr::memchr(b'\n', line);
    let target = line.split(|&byte| byte == b' ').nth(1).unwrap_or(&[]);
    if line_end.is_none() && target.len() > limits.target_bytes_max {
        return Err(HeadError::UriTooLong);
    }
    match line_end {
        _ if window.len() < limits.bytes_max => Ok(None),
        None => Err(HeadError::UriTooLong),
        Some(_) => Err(HeadError::HeadersTooLarge),
    }
}

fn at_most<T>(slots: &mut [T], len: usize) -> &mut [T] {
    let len = slots.len().min(len).min(FIELDS_MAX);
    &mut slots[..len]
}

fn minor_version(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}

/// True if every LF follows a CR and a LF follows every CR. One pass without branches, which compilers vectorise.
#[inline]
fn lines_end_in_crlf(head: &[u8]) -> bool {
    let Some((first, rest)) = head.split_first() else { return true };
    let stray = head
        .iter()
        .zip(rest)
        .fold(0u8, |stray, (&a, &b)| stray | (u8::from(a == b'\r') ^ u8::from(b == b'\n')));
    stray == 0 && *first != b'\n'
}

/// What stands where the version should: `HTTP/` digit `.` digit is a version (RFC 9112 2.3), anything else an error.
#[cold]
fn version_error(line: &[u8]) -> HeadError {
    let version = line.splitn(3, |&byte| byte == b' ').nth(2).unwrap_or(&[]);
    let end = version.iter().position(|&byte| byte == b'\r' || byte == b'\n').unwrap_or(version.len());
    let same =
        |(&byte, &shape): (&u8, &u8)| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    let shape = b"HTTP/0.0";
    if end <= shape.len() && version[..end].iter().zip(shape).all(same) && (end == 8 || end == version.len())
    {
        HeadError::VersionNotSupported
    } else {
        HeadError::Malformed("bad HTTP version")
    }
}

#[cold]
fn refusal(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::HeadersTooLarge,
        httparse::Error::HeaderName => HeadError::Malformed("bad field name"),
        httparse::Error::HeaderValue => HeadError::Malformed("bad field value"),
        httparse::Error::NewLine => HeadError::Malformed("line that does not end in CRLF"),
        httparse::Error::Status => HeadError::Malformed("bad status line"),
        httparse::Error::Token => HeadError::Malformed("bad character in the start line"),
        httparse::Error::Version => HeadError::Malformed("bad HTTP version"),
    }
}

#[cfg(test)]
mod tests;
