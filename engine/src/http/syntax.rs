//! Characters and names of HTTP: which bytes may stand where, and which fields a proxy treats specially.
//!
//! Input: bytes and field names. Output: yes or no, or a [`Known`]. Pure, no allocation, no errors. One table of 256
//! bytes answers all character questions (RFC 9110 5.5 and 5.6.2, RFC 3986 2 and 3.2.2); one [`classify`] of a field's
//! name answers all questions about names, so that each name is looked at once a message.

/// RFC 9110 5.6.2: a character of a token (methods, field names, connection options).
pub const TOKEN: u8 = 1 << 0;
/// RFC 3986: a character of a path or query, `%` and the gen-delims `:/?@[]` among them; `#` is not.
pub const TARGET: u8 = 1 << 1;
/// A character of a host name as accepted here: RFC 3986 `unreserved` alone. See `target::authority`.
pub const HOST: u8 = 1 << 2;
/// RFC 3986 2.3: unreserved.
pub const UNRESERVED: u8 = 1 << 3;
/// RFC 9110 5.5: a byte of a field value: HTAB, SP, VCHAR, obs-text.
pub const VALUE: u8 = 1 << 4;

/// True if `byte` is of one of the classes in `class`.
#[inline(always)]
pub const fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// True if every byte is of `class`. True for no bytes. Looks at all of them, since they nearly always are: a branch a
/// byte costs more.
#[inline]
pub fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().fold(class, |all, &byte| all & CLASSES[usize::from(byte)]) != 0
}

/// True for a token: at least one character, all of them [`TOKEN`].
#[inline]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = u8::MIN;
    loop {
        table[byte as usize] = classes_of(byte);
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

const fn classes_of(byte: u8) -> u8 {
    let alphanumeric = byte.is_ascii_alphanumeric();
    let mut classes = 0;
    if alphanumeric || contains(b"!#$%&'*+-.^_`|~", byte) {
        classes |= TOKEN;
    }
    if alphanumeric || contains(b"-._~", byte) {
        classes |= UNRESERVED | HOST;
    }
    // Beyond RFC 3986: what browsers leave unescaped in paths and queries (the URL Standard's percent-encode sets).
    if alphanumeric || contains(b"-._~:/?[]@!$&'()*+,;=%|{}^`", byte) {
        classes |= TARGET;
    }
    if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
        classes |= VALUE;
    }
    classes
}

const fn contains(set: &[u8], byte: u8) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

/// Value without the optional whitespace around it (RFC 9110 5.6.3: SP and HTAB, nothing else).
#[inline]
pub fn trim_ows(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Elements of a comma-separated list, trimmed, empty ones among them (RFC 9110 5.6.1). Quoted strings are not
/// understood: for lists of tokens and addresses only.
#[inline]
pub fn list(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim_ows)
}

/// A field that the gateway does not simply copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Any other field: end to end.
    Other,
    /// RFC 9110 7.2.
    Host,
    /// RFC 9110 8.6.
    ContentLength,
    /// RFC 9112 6.1.
    TransferEncoding,
    /// RFC 9110 7.6.1.
    Connection,
    /// RFC 9110 7.8.
    Upgrade,
    /// RFC 9110 10.1.4.
    Te,
    /// RFC 9110 10.1.1.
    Expect,
    /// RFC 9110 6.6.1.
    Date,
    /// X-Forwarded-For: the list of addresses.
    ForwardedFor,
    /// X-Forwarded-Proto.
    ForwardedProto,
    /// X-Forwarded-Host.
    ForwardedHost,
    /// Any other X-Forwarded-*, X-Real-IP, and spellings of all of these with `_` for `-`, which CGI-like origins
    /// cannot tell apart: only trusted peers may say such things.
    ForwardedOther,
    /// RFC 7239.
    Forwarded,
    /// X-Request-Id.
    RequestId,
    /// X-Coregate-App-Id: which tenant a request is from, which the gateway alone may say.
    AppId,
    /// Never passed on. Hop-by-hop without further meaning here: Keep-Alive, Proxy-Connection, HTTP2-Settings;
    /// Proxy-Authenticate and Proxy-Authorization, which belong to the next proxy that asked (RFC 9110 11.7; this
    /// gateway never asks, and an origin has no business with them); Proxy, which CGI turns into `HTTP_PROXY`.
    Hop,
}

/// What `name` is, whatever its case.
#[inline]
pub fn classify(name: &str) -> Known {
    let name = name.as_bytes();
    let Some(first) = name.first() else { return Known::Other };
    let (expected, known): (&[u8], Known) = match (name.len(), first | 0x20) {
        (_, b'x') => return classify_x(name),
        (2, b't') => (b"te", Known::Te),
        (4, b'h') => (b"host", Known::Host),
        (4, b'd') => (b"date", Known::Date),
        (5, b'p') => (b"proxy", Known::Hop),
        (6, b'e') => (b"expect", Known::Expect),
        (7, b'u') => (b"upgrade", Known::Upgrade),
        (9, b'f') => (b"forwarded", Known::Forwarded),
        (10, b'c') => (b"connection", Known::Connection),
        (10, b'k') => (b"keep-alive", Known::Hop),
        (14, b'c') => (b"content-length", Known::ContentLength),
        (14, b'h') => (b"http2-settings", Known::Hop),
        (16, b'p') => (b"proxy-connection", Known::Hop),
        (17, b't') => (b"transfer-encoding", Known::TransferEncoding),
        (18, b'p') => (b"proxy-authenticate", Known::Hop),
        (19, b'p') => (b"proxy-authorization", Known::Hop),
        _ => return Known::Other,
    };
    if name.eq_ignore_ascii_case(expected) { known } else { Known::Other }
}

fn classify_x(name: &[u8]) -> Known {
    match name.len() {
        12 if name.eq_ignore_ascii_case(b"x-request-id") => Known::RequestId,
        15 if name.eq_ignore_ascii_case(b"x-forwarded-for") => Known::ForwardedFor,
        16 if name.eq_ignore_ascii_case(b"x-forwarded-host") => Known::ForwardedHost,
        17 if name.eq_ignore_ascii_case(b"x-forwarded-proto") => Known::ForwardedProto,
        17 if eq_as_cgi(name, b"x-coregate-app-id") => Known::AppId,
        9 if eq_as_cgi(name, b"x-real-ip") => Known::ForwardedOther,
        12.. if eq_as_cgi(&name[..12], b"x-forwarded-") => Known::ForwardedOther,
        _ => Known::Other,
    }
}

/// Equal when letter case and the difference between `_` and `-` are lost, as in CGI's variables (RFC 3875 4.1.18).
fn eq_as_cgi(name: &[u8], expected: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || (*a == b'_' && *b == b'-');
    name.len() == expected.len() && name.iter().zip(expected).all(same)
}

/// Most fields that a message may have; a [`FieldSet`] has a bit for each.
pub const FIELDS_MAX: usize = 256;

/// A set of fields of one message, by their index in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldSet([u64; FIELDS_MAX / 64]);

impl FieldSet {
    /// Adds the field at `index`; one at or beyond [`FIELDS_MAX`] is not added.
    #[inline]
    pub fn insert(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    /// True if the field at `index` is in the set.
    #[inline]
    pub fn contains(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_nothing_else_is() {
        let table = [
            ("Host", Known::Host),
            ("HOST", Known::Host),
            ("host", Known::Host),
            ("hosts", Known::Other),
            ("hose", Known::Other),
            ("te", Known::Te),
            ("Date", Known::Date),
            ("Proxy", Known::Hop),
            ("Expect", Known::Expect),
            ("Accept", Known::Other),
            ("Upgrade", Known::Upgrade),
            ("Forwarded", Known::Forwarded),
            ("Connection", Known::Connection),
            ("User-Agent", Known::Other),
            ("Keep-Alive", Known::Hop),
            ("CONTENT-length", Known::ContentLength),
            ("Content_Length", Known::Other),
            ("HTTP2-Settings", Known::Hop),
            ("Proxy-Connection", Known::Hop),
            ("Transfer-Encoding", Known::TransferEncoding),
            ("Proxy-Authenticate", Known::Hop),
            ("Proxy-Authorization", Known::Hop),
            ("X-Request-ID", Known::RequestId),
            ("X-Forwarded-For", Known::ForwardedFor),
            ("X-Forwarded-Host", Known::ForwardedHost),
            ("X-Forwarded-Proto", Known::ForwardedProto),
            ("X_Forwarded_For", Known::ForwardedOther),
            ("X-Forwarded-Prefix", Known::ForwardedOther),
            ("X-Forwarded-", Known::ForwardedOther),
            ("X-Real-IP", Known::ForwardedOther),
            ("x_real-ip", Known::ForwardedOther),
            ("X-Real-Ipv", Known::Other),
            ("X", Known::Other),
            ("", Known::Other),
        ];
        for (name, known) in table {
            assert_eq!(classify(name), known, "{name}");
        }
    }

    #[test]
    fn classes_hold_exactly_their_characters() {
        let count = |class| (0..=255).filter(|&byte| is(byte, class)).count();
        assert_eq!(count(TOKEN), 62 + 15);
        assert_eq!(count(UNRESERVED), 62 + 4);
        assert_eq!(count(TARGET), 62 + 27);
        assert_eq!(count(VALUE), 256 - 32 - 1 + 1);
        for byte in b"\0\r\n\x7f" {
            assert!(!is(*byte, TOKEN | TARGET | HOST | VALUE | UNRESERVED), "{byte:#x}");
        }
    }

    #[test]
    fn field_set_holds_every_index_up_to_the_limit() {
        let mut set = FieldSet::default();
        for index in [0, 1, 63, 64, 127, 255] {
            assert!(!set.contains(index));
            set.insert(index);
            assert!(set.contains(index));
        }
        set.insert(FIELDS_MAX);
        assert!(!set.contains(FIELDS_MAX));
        assert!(!set.contains(2));
    }
}
