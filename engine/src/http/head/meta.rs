//! What a head means: framing of the body, persistence, host, expectations, and which fields are not end to end.
//!
//! Input: a parsed head, of HTTP/1 or HTTP/2. Output: [`RequestMeta`], [`ResponseMeta`]. One pass over the fields
//! classifies each name once; the fields that the writers must not simply copy are remembered in a [`FieldSet`].
//! Invariant: a head whose body could be framed in two ways is refused, never guessed (RFC 9112 6.3).

use super::super::syntax::{self, FieldSet, Known, TOKEN, VALUE};
use super::super::target::{self, Target};
use super::{BodyFraming, FIELDS_MAX, Field, HeadError, RequestHead, ResponseHead, Version};
use HeadError::Malformed;

/// Connection options that name fields, in one head. Bounds the work of finding those fields.
const NOMINATIONS_MAX: usize = 16;
/// A client's X-Request-Id is kept up to this length.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// PATCH (RFC 5789)
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// RFC 9110 9.2.2, of the methods known here.
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::Put | Method::Delete | Method::Options => true,
            Method::Post | Method::Patch | Method::Other => false,
        }
    }
}

impl From<&str> for Method {
    #[inline]
    fn from(method: &str) -> Self {
        match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            "PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }
}

/// What a request head means.
#[derive(Debug, Clone, Copy)]
pub struct RequestMeta<'b> {
    /// Its method.
    pub method: Method,
    /// Its target, in parts.
    pub target: Target<'b>,
    /// Host and port: of an absolute-form target, else of the Host field. Valid; empty if there is none (HTTP/1.0) or
    /// the client said so.
    pub host: &'b str,
    /// Never `UntilClose`. HTTP/2 without Content-Length: `None`, and the HTTP/2 layer makes it `Chunked` if the
    /// stream has not ended.
    pub body: BodyFraming,
    /// The client wants the connection to stay.
    pub keep_alive: bool,
    /// The client waits for 100 (Continue).
    pub expect_continue: bool,
    /// The client asks for another protocol on this connection, which may be passed on.
    pub upgrade: bool,
    /// The client takes trailer fields.
    pub takes_trailers: bool,
    /// The client's own X-Request-Id, if there is one and it is fit to be kept.
    pub request_id: Option<&'b str>,
    /// Fields that are not copied as they are.
    pub(in super::super) special: FieldSet,
    /// Some of the X-Forwarded family or Forwarded is there.
    pub(in super::super) forwarded: bool,
}

/// What a response head means.
#[derive(Debug, Clone, Copy)]
pub struct ResponseMeta {
    /// `None` for answers to HEAD, 1xx, 204 and 304.
    pub body: BodyFraming,
    /// What Content-Length says: the framing, or (HEAD, 304) the length that a GET would have had.
    pub content_length: Option<u64>,
    /// The origin lets the connection stay. Never with `UntilClose`.
    pub keep_alive: bool,
    /// 101 (Switching Protocols), well-formed. Whether it was asked for is the caller's to check.
    pub upgrade: bool,
    /// There is a Date field.
    pub dated: bool,
    /// Fields that are not copied as they are.
    pub(in super::super) special: FieldSet,
}

impl RequestMeta<'_> {
    /// Says that it asks for another protocol, which the field at `index` names. For HTTP/2, where it is the method that
    /// asks (RFC 8441).
    pub fn ask_for_upgrade(&mut self, index: usize) {
        self.upgrade = true;
        self.special.insert(index);
    }

    /// Has the fields at those of the indices below `len` not passed on.
    pub fn hide(&mut self, which: impl Fn(usize) -> bool, len: usize) {
        (0..len).filter(|&index| which(index)).for_each(|index| self.special.insert(index));
    }
}

/// What a request head means, or why it is refused. CONNECT and TRACE are.
pub fn request_meta<'b>(head: &RequestHead<'_, 'b>) -> Result<RequestMeta<'b>, HeadError> {
    if matches!(head.method, "CONNECT" | "TRACE") {
        return Err(HeadError::MethodNotAllowed);
    }
    if head.version == Version::H2 {
        check_h2(head)?;
    }
    let method = Method::from(head.method);
    let target = Target::parse(head.target, method == Method::Options)?;
    let seen = Seen::scan(head.fields, head.version, Side::Request)?;
    let http10 = head.version == Version::Http10;
    let host = match (target, seen.host) {
        (_, None) if !http10 => return Err(Malformed("no Host field")),
        // RFC 9112 3.2.2: the target's host replaces the field's.
        (Target::Absolute { authority, .. }, _) => authority,
        (_, host) => host.unwrap_or(""),
    };
    let body = match (seen.chunked, seen.content_length) {
        (true, _) => BodyFraming::Chunked,
        (false, Some(length)) => BodyFraming::Length(length),
        (false, None) => BodyFraming::None,
    };
    let bodiless = matches!(body, BodyFraming::None | BodyFraming::Length(0));
    Ok(RequestMeta {
        method,
        target,
        host,
        body,
        keep_alive: seen.keep_alive(head.version),
        // RFC 9110 10.1.1: a server ignores it in HTTP/1.0, and without content there is nothing to wait for.
        expect_continue: seen.expect_continue && !http10 && !bodiless,
        // A request that has content is not upgraded: RFC 9110 7.8 lets a server ignore Upgrade.
        upgrade: head.version == Version::Http11 && bodiless && seen.may_upgrade(),
        takes_trailers: seen.takes_trailers,
        request_id: seen.request_id,
        special: seen.special,
        forwarded: seen.forwarded,
    })
}

/// What a response head to a request of `request_method` means, or why it cannot be relied on.
pub fn response_meta(head: &ResponseHead, request_method: Method) -> Result<ResponseMeta, HeadError> {
    let seen = Seen::scan(head.fields, head.version, Side::Response)?;
    let upgrade = head.status == 101;
    if upgrade && !(seen.upgrade && head.version == Version::Http11) {
        return Err(Malformed("101 (Switching Protocols) without Upgrade"));
    }
    // RFC 9112 6.3, rules 1 to 8, in their order.
    let bodiless = request_method == Method::Head || matches!(head.status, 100..=199 | 204 | 304);
    let body = match (seen.chunked, seen.content_length) {
        _ if bodiless => BodyFraming::None,
        (true, _) => BodyFraming::Chunked,
        (false, Some(length)) => BodyFraming::Length(length),
        (false, None) => BodyFraming::UntilClose,
    };
    Ok(ResponseMeta {
        body,
        content_length: seen.content_length,
        keep_alive: body != BodyFraming::UntilClose && !upgrade && seen.keep_alive(head.version),
        upgrade,
        dated: seen.dated,
        special: seen.special,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

/// What one pass over the fields has seen.
#[derive(Default)]
struct Seen<'b> {
    special: FieldSet,
    host: Option<&'b str>,
    content_length: Option<u64>,
    request_id: Option<&'b str>,
    transfer_encoding: bool,
    chunked: bool,
    other_coding: bool,
    close_option: bool,
    keep_alive_option: bool,
    upgrade_option: bool,
    nominates: bool,
    upgrade: bool,
    unfit_upgrade: bool,
    expect_continue: bool,
    takes_trailers: bool,
    forwarded: bool,
    dated: bool,
    saw_request_id: bool,
}

impl<'b> Seen<'b> {
    #[inline]
    fn scan(fields: &[Field<'b>], version: Version, side: Side) -> Result<Self, HeadError> {
        if fields.len() > FIELDS_MAX {
            return Err(HeadError::HeadersTooLarge);
        }
        let mut seen = Seen::default();
        for (index, field) in fields.iter().enumerate() {
            match syntax::classify(field.name) {
                Known::Other => {}
                known => seen.see(index, known, field.value, version, side)?,
            }
        }
        if seen.transfer_encoding && seen.content_length.is_some() {
            return Err(Malformed("both Transfer-Encoding and Content-Length"));
        }
        if seen.transfer_encoding && version != Version::Http11 {
            return Err(Malformed("Transfer-Encoding outside HTTP/1.1"));
        }
        if seen.other_coding || (seen.transfer_encoding && !seen.chunked) {
            return Err(HeadError::TransferCodingNotImplemented);
        }
        if seen.nominates {
            seen.nominate(fields)?;
        }
        Ok(seen)
    }

    fn see(
        &mut self,
        index: usize,
        known: Known,
        value: &'b [u8],
        version: Version,
        side: Side,
    ) -> Result<(), HeadError> {
        let request = side == Side::Request;
        match known {
            Known::Other => return Ok(()),
            Known::ContentLength => self.see_content_length(value)?,
            Known::TransferEncoding => self.see_transfer_encoding(value)?,
            Known::Connection if version == Version::H2 => {
                return Err(Malformed("Connection field in HTTP/2"));
            }
            Known::Connection => self.see_connection(value)?,
            Known::Hop => {}
            Known::Upgrade => self.see_upgrade(value),
            Known::Te => self.see_te(value, version)?,
            Known::Date => {
                self.dated = true;
                return Ok(());
            }
            // The rest means something in requests alone; in responses it is end to end.
            _ if !request => return Ok(()),
            Known::Host => self.see_host(value)?,
            Known::Expect if !value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(HeadError::ExpectationFailed);
            }
            Known::Expect => self.expect_continue = true,
            Known::RequestId => self.see_request_id(value),
            Known::AppId => {}
            Known::ForwardedFor
            | Known::ForwardedProto
            | Known::ForwardedHost
            | Known::ForwardedOther
            | Known::Forwarded => self.forwarded = true,
        }
        self.special.insert(index);
        Ok(())
    }

    /// RFC 9110 8.6, and stricter: one field with one number. A list of equal numbers is refused like one of
    /// different ones.
    fn see_content_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.content_length.is_some() {
            return Err(Malformed("more than one Content-Length"));
        }
        let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
        // 19 digits are below 2^64.
        let number = |value: &[u8]| value.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
        self.content_length = Some(digits.then(|| number(value)).ok_or(Malformed("bad Content-Length"))?);
        Ok(())
    }

    /// RFC 9112 6.1: `chunked` once and last; any other coding is well-formed but not implemented.
    fn see_transfer_encoding(&mut self, value: &[u8]) -> Result<(), HeadError> {
        self.transfer_encoding = true;
        for coding in syntax::list(value) {
            if self.chunked {
                return Err(Malformed("chunked is not the last transfer coding"));
            }
            let name = coding.split(|&byte| byte == b';').next().map_or(coding, syntax::trim_ows);
            if !syntax::is_token(name) {
                return Err(Malformed("bad transfer coding"));
            }
            if !name.eq_ignore_ascii_case(b"chunked") {
                // Not returned at once: what else is wrong with the head counts for more.
                self.other_coding = true;
            } else if name.len() != coding.len() {
                return Err(Malformed("chunked with parameters"));
            } else {
                self.chunked = true;
            }
        }
        Ok(())
    }

    /// RFC 9110 7.6.1.
    fn see_connection(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for option in syntax::list(value) {
            match option.len() {
                0 => {}
                5 if option.eq_ignore_ascii_case(b"close") => self.close_option = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade_option = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive_option = true,
                _ if syntax::all(option, TOKEN) => self.nominates = true,
                _ => return Err(Malformed("bad connection option")),
            }
        }
        Ok(())
    }

    /// RFC 9110 7.8. HTTP/2 over an upgraded connection would pass requests by the gateway's checks, and TLS its
    /// sight; a server may ignore Upgrade.
    fn see_upgrade(&mut self, value: &[u8]) {
        let unfit = |protocol: &[u8]| {
            let starts =
                |with: &[u8]| protocol.get(..with.len()).is_some_and(|p| p.eq_ignore_ascii_case(with));
            starts(b"h2") || starts(b"http") || starts(b"tls")
        };
        self.unfit_upgrade |= value.is_empty() || syntax::list(value).any(unfit);
        self.upgrade = true;
    }

    /// RFC 9110 10.1.4; RFC 9113 8.2.2 for HTTP/2.
    fn see_te(&mut self, value: &[u8], version: Version) -> Result<(), HeadError> {
        let trailers = |coding: &[u8]| coding.eq_ignore_ascii_case(b"trailers");
        self.takes_trailers |= syntax::list(value).any(trailers);
        if version == Version::H2 && !trailers(value) {
            Err(Malformed("TE other than trailers"))
        } else {
            Ok(())
        }
    }

    /// RFC 9112 3.2: one, and valid.
    fn see_host(&mut self, value: &'b [u8]) -> Result<(), HeadError> {
        if self.host.is_some() {
            return Err(Malformed("more than one Host"));
        }
        let text = std::str::from_utf8(value).map_err(|_| Malformed("bad host"))?;
        self.host = Some(target::authority(text)?);
        Ok(())
    }

    /// Kept if it is the only one, printable ASCII and not too long.
    fn see_request_id(&mut self, value: &'b [u8]) {
        let fit = (1..=REQUEST_ID_BYTES_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
        self.request_id = if fit && !self.saw_request_id { std::str::from_utf8(value).ok() } else { None };
        self.saw_request_id = true;
    }

    /// Marks the fields that Connection names. Those which the gateway handles are marked already, and are written by
    /// their own rules: nobody can talk it out of Host or a Content-Length.
    #[cold]
    fn nominate(&mut self, fields: &[Field]) -> Result<(), HeadError> {
        let mut nominations = 0;
        for connection in fields.iter().filter(|field| syntax::classify(field.name) == Known::Connection) {
            for option in syntax::list(connection.value).filter(|option| !option.is_empty()) {
                nominations += 1;
                if nominations > NOMINATIONS_MAX {
                    return Err(Malformed("too many connection options"));
                }
                for (index, field) in fields.iter().enumerate() {
                    if field.name.as_bytes().eq_ignore_ascii_case(option) {
                        self.special.insert(index);
                    }
                }
            }
        }
        Ok(())
    }

    /// RFC 9110 7.8: Upgrade is said twice, by the field and by the option.
    fn may_upgrade(&self) -> bool {
        self.upgrade && self.upgrade_option && !self.unfit_upgrade
    }

    /// RFC 9112 9.3.
    fn keep_alive(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive_option && !self.close_option,
            Version::Http11 => !self.close_option,
            Version::H2 => true,
        }
    }
}

/// What the HTTP/1 parser has checked already; HTTP/2 brings it as it likes (RFC 9113 8.2.1, 8.2.2 and 8.3.1).
fn check_h2(head: &RequestHead) -> Result<(), HeadError> {
    if !syntax::is_token(head.method.as_bytes()) {
        return Err(Malformed("bad method"));
    }
    if !matches!(head.target.as_bytes(), [b'/', ..] | b"*") {
        return Err(Malformed(":path is neither a path nor *"));
    }
    for field in head.fields {
        let name = field.name.as_bytes();
        if !syntax::is_token(name) || name.iter().any(u8::is_ascii_uppercase) {
            return Err(Malformed("bad field name"));
        }
        if !syntax::all(field.value, VALUE) || syntax::trim_ows(field.value).len() != field.value.len() {
            return Err(Malformed("bad field value"));
        }
        if matches!(field.name, "keep-alive" | "proxy-connection" | "upgrade") {
            return Err(Malformed("connection field in HTTP/2"));
        }
    }
    Ok(())
}
