//! Request targets: their form, their authority, and the one spelling of a path that routes are matched on.
//!
//! Input: a request-target (RFC 9112 3.2) or a Host value. Output: [`Target`], [`Normalised`] paths, host and port;
//! all borrowed unless a path is not normal already, then its normal spelling is in the caller's scratch.
//! Invariants: what is accepted has no byte outside RFC 3986; a normalised path starts with `/`, has no dot segment,
//! no escape of an unreserved character, no escaped slash, backslash or control, and normalising it again changes
//! nothing. Whatever a gateway and an origin could read differently is refused. Errors: [`TargetError`], always
//! answered 400. Sans-io; no panics.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use coregate_config::checked::Route;

use super::syntax::{self, HOST, TARGET, UNRESERVED};

/// Why a request-target or an authority is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetError(pub &'static str);

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for TargetError {}

/// A request-target (RFC 9112 3.2). CONNECT's authority-form is not among them: CONNECT is refused before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'b> {
    /// `/path?query`
    Origin {
        /// Starts with `/`.
        path: &'b str,
        /// What follows the first `?`; `None` without one.
        query: Option<&'b str>,
    },
    /// `http://authority/path?query`
    Absolute {
        /// `http` or `https` in whatever case.
        scheme: &'b str,
        /// Valid, not empty, without userinfo.
        authority: &'b str,
        /// Starts with `/`, or is `*` (RFC 9112 3.2.4: OPTIONS with neither path nor query).
        path: &'b str,
        /// What follows the first `?`; `None` without one.
        query: Option<&'b str>,
    },
    /// `*`, of OPTIONS alone.
    Asterisk,
}

impl<'b> Target<'b> {
    /// Parses a request-target; `options` says that the method is OPTIONS.
    pub fn parse(target: &'b str, options: bool) -> Result<Self, TargetError> {
        match target.as_bytes() {
            [b'/', ..] => {
                let (path, query) = path_and_query(target)?;
                Ok(Target::Origin { path, query })
            }
            b"*" if options => Ok(Target::Asterisk),
            _ => absolute(target, options),
        }
    }

    /// The path; `*` for the asterisk-form.
    pub fn path(&self) -> &'b str {
        match *self {
            Target::Origin { path, .. } | Target::Absolute { path, .. } => path,
            Target::Asterisk => "*",
        }
    }

    /// The query, without its `?`.
    pub fn query(&self) -> Option<&'b str> {
        match *self {
            Target::Origin { query, .. } | Target::Absolute { query, .. } => query,
            Target::Asterisk => None,
        }
    }
}

/// Splits at the first `?`, every character checked.
#[inline]
fn path_and_query(target: &str) -> Result<(&str, Option<&str>), TargetError> {
    if !syntax::all(target.as_bytes(), TARGET) {
        return Err(TargetError("character in the request-target that RFC 3986 does not allow"));
    }
    Ok(match memchr::memchr(b'?', target.as_bytes()) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    })
}

fn absolute(target: &str, options: bool) -> Result<Target<'_>, TargetError> {
    const NEITHER: TargetError = TargetError("request-target is neither a path nor an http URI");
    let (scheme, rest) = target.split_once("://").ok_or(NEITHER)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(NEITHER);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(end);
    if host.is_empty() {
        return Err(TargetError("request-target without a host"));
    }
    let authority = authority(host)?;
    let (path, query) = path_and_query(rest)?;
    let path = match (path, query) {
        ("", None) if options => "*",
        ("", _) => "/",
        (path, _) => path,
    };
    Ok(Target::Absolute { scheme, authority, path, query })
}

/// Checks `host [":" port]`, of a Host field (RFC 9110 7.2) or an absolute-form target. Empty is valid.
///
/// Narrower than RFC 3986 3.2 on purpose: a name is of unreserved characters alone (no escapes, no sub-delims: `,`
/// and `;` there are only ever an attack on whoever splits lists), a literal is an IPv6 address, a port is at most
/// 65535; userinfo is refused (RFC 9110 4.2.4).
pub fn authority(text: &str) -> Result<&str, TargetError> {
    let host_end = match text.as_bytes() {
        [b'[', ..] => {
            let end = text.find(']').ok_or(TargetError("host with an unclosed bracket"))?;
            let literal: Result<Ipv6Addr, _> = text[1..end].parse();
            literal.map_err(|_| TargetError("host with brackets that hold no IPv6 address"))?;
            end + 1
        }
        bytes => bytes.iter().position(|&byte| !syntax::is(byte, HOST)).unwrap_or(bytes.len()),
    };
    match &text[host_end..] {
        "" => Ok(text),
        _ if host_end == 0 => Err(TargetError("bad host")),
        port => match port.strip_prefix(':') {
            Some(digits) if is_port(digits) => Ok(text),
            Some(_) => Err(TargetError("bad port")),
            None => Err(TargetError("bad character in the host")),
        },
    }
}

/// RFC 3986 3.2.3: digits, maybe none.
fn is_port(digits: &str) -> bool {
    digits.len() <= 5
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.is_empty() || digits.parse::<u16>().is_ok())
}

/// Takes a valid authority apart: the host (IPv6 in its brackets) and the port, if it names one.
pub fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

/// A path in its one spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normalised<'a> {
    /// Starts with `/`; or is `*`.
    pub path: &'a str,
    /// The original had dot segments, so that its own spelling must not go upstream.
    pub had_dot_segments: bool,
}

/// Normalises a path (RFC 3986 6.2.2): escapes of unreserved characters decoded once, other escapes in upper case,
/// dot segments resolved (5.2.4). Empty segments stay. `*` stays `*`.
///
/// Borrowed from `path` when it is normal already, else from `scratch`, which is overwritten. Refused, since two
/// readers could take them differently: `%2F`, `%5C`, escaped controls, backslashes, bad escapes, `..` above the root,
/// and dot segments with parameters (`..;x`, which Java servlet containers resolve).
pub fn normalise<'a>(path: &'a str, scratch: &'a mut String) -> Result<Normalised<'a>, TargetError> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return match path {
            "*" => Ok(Normalised { path, had_dot_segments: false }),
            _ => Err(TargetError("path without a leading slash")),
        };
    }
    let mut previous = 0;
    let plain = bytes.iter().all(|&byte| {
        let suspicious = byte == b'%' || byte == b'\\' || (byte == b'.' && previous == b'/');
        previous = byte;
        !suspicious
    });
    if plain {
        return Ok(Normalised { path, had_dot_segments: false });
    }
    normalise_slowly(path, scratch)
}

#[cold]
fn normalise_slowly<'a>(path: &'a str, scratch: &'a mut String) -> Result<Normalised<'a>, TargetError> {
    scratch.clear();
    scratch.reserve(path.len());
    let mut had_dot_segments = false;
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let start = scratch.len();
        scratch.push('/');
        decode_segment(segment, scratch)?;
        let dots = match &scratch[start + 1..] {
            "." => 1,
            ".." => 2,
            segment if segment.starts_with(".;") || segment.starts_with("..;") => {
                return Err(TargetError("dot segment with parameters in the path"));
            }
            _ => continue,
        };
        had_dot_segments = true;
        scratch.truncate(start);
        if dots == 2 {
            let parent = scratch.rfind('/').ok_or(TargetError("path that climbs above the root"))?;
            scratch.truncate(parent);
        }
        if segments.peek().is_none() {
            scratch.push('/');
        }
    }
    let path = if scratch == path { path } else { scratch };
    Ok(Normalised { path, had_dot_segments })
}

/// Appends one segment, its escapes in their one spelling.
fn decode_segment(segment: &str, out: &mut String) -> Result<(), TargetError> {
    let mut rest = segment;
    while let Some(at) = rest.find(['%', '\\']) {
        out.push_str(&rest[..at]);
        let &[b'%', high, low, ..] = &rest.as_bytes()[at..] else {
            return Err(TargetError("backslash or incomplete escape in the path"));
        };
        let (Some(high), Some(low)) = (hex_digit(high), hex_digit(low)) else {
            return Err(TargetError("bad escape in the path"));
        };
        match high << 4 | low {
            b'/' | b'\\' => return Err(TargetError("escaped slash or backslash in the path")),
            0..=0x1f | 0x7f => return Err(TargetError("escaped control character in the path")),
            byte if syntax::is(byte, UNRESERVED) => out.push(byte.into()),
            _ => {
                out.push('%');
                out.push(HEX_UPPER[usize::from(high)].into());
                out.push(HEX_UPPER[usize::from(low)].into());
            }
        }
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    Ok(())
}

const HEX_UPPER: [u8; 16] = *b"0123456789ABCDEF";

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// What goes upstream: the original spelling without its first `prefix_segments` segments; the normalised one where
/// the original has dot segments, so that gateway and origin cannot disagree about them. Starts with `/`, or is `*`.
///
/// Without dot segments the original and the normalised path have the same segments, since an escaped slash is
/// refused; so a prefix that matched the one comes off the other.
pub fn strip_prefix_original<'a>(
    original: &'a str,
    normalised: &Normalised<'a>,
    prefix_segments: usize,
) -> &'a str {
    let path = if normalised.had_dot_segments { normalised.path } else { original };
    if prefix_segments == 0 || !path.starts_with('/') {
        return path;
    }
    match memchr::memchr_iter(b'/', path.as_bytes()).nth(prefix_segments) {
        Some(at) => &path[at..],
        None => "/",
    }
}

/// The path that a route asks its nodes for: without its prefix where that comes off, and rewritten.
///
/// # Errors
/// A rewrite made of it what no path is.
#[inline]
pub fn path_upstream<'a>(
    original: &'a str,
    normalised: &Normalised<'a>,
    prefix_segments: usize,
    route: &Route,
) -> Result<Cow<'a, str>, TargetError> {
    let segments = if route.strip_prefix { prefix_segments } else { 0 };
    let mut path = Cow::Borrowed(strip_prefix_original(original, normalised, segments));
    for rewrite in &route.rewrites {
        if let Cow::Owned(new) = rewrite.pattern.replace(&path, &rewrite.replacement) {
            path = new.into();
        }
    }
    if !route.rewrites.is_empty() && !is_valid_path(&path) {
        return Err(TargetError("a rewrite made an invalid path of it"));
    }
    Ok(path)
}

/// True if `path` can stand in a request line: starts with `/` (or is `*`), with no character outside RFC 3986 and no
/// `?`. For paths that a rewrite has made.
pub fn is_valid_path(path: &str) -> bool {
    path == "*"
        || (path.starts_with('/') && path.bytes().all(|byte| syntax::is(byte, TARGET) && byte != b'?'))
}

#[cfg(test)]
mod tests;
