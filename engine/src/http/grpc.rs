//! gRPC over HTTP/2, as far as a gateway has to know it: which requests are gRPC, their deadline, and how the gateway's
//! own errors are told to a client that looks for `grpc-status` (PROTOCOL-HTTP2.md of the gRPC project). Sans-io.

use std::borrow::Cow;
use std::time::Duration;

/// Whether a Content-Type says gRPC: `application/grpc`, maybe with a `+` and a message format, or parameters. Not
/// gRPC-Web, which is another protocol.
pub fn is_content_type(value: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    value.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
        && matches!(value.get(GRPC.len()), None | Some(b'+' | b';' | b' '))
}

/// Codes of `grpc-status`, those that the gateway uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "named as in gRPC's own list")]
pub enum Status {
    Unknown = 2,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Status {
    /// What an error is called whose HTTP status is this. As gRPC's clients understand answers of HTTP proxies
    /// (http-grpc-status-mapping.md), but for what is more exactly known here: what is over a limit
    /// (RESOURCE_EXHAUSTED), and what took too long (DEADLINE_EXCEEDED).
    pub fn of_http(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 | 405 | 501 => Self::Unimplemented,
            413 | 429 | 431 => Self::ResourceExhausted,
            408 | 504 => Self::DeadlineExceeded,
            502 | 503 => Self::Unavailable,
            400 | 414 | 417 | 500 => Self::Internal,
            _ => Self::Unknown,
        }
    }

    /// The field's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "2",
            Self::DeadlineExceeded => "4",
            Self::PermissionDenied => "7",
            Self::ResourceExhausted => "8",
            Self::Unimplemented => "12",
            Self::Internal => "13",
            Self::Unavailable => "14",
            Self::Unauthenticated => "16",
        }
    }
}

/// The value of `grpc-timeout`: one to eight digits and a unit. `None`: it is not valid, and is passed on as it is.
pub fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A text as the value of `grpc-message`: percent-encoded but for printable ASCII.
pub fn message(text: &str) -> Cow<'_, str> {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'%';
    if text.as_bytes().iter().all(plain) {
        return text.into();
    }
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if plain(&byte) {
            out.push(byte.into());
        } else {
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)].into());
            out.push(HEX[usize::from(byte & 0xf)].into());
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_from_what_is_called_alike() {
        for grpc in ["application/grpc", "application/grpc+proto", "Application/GRPC;charset=utf-8"] {
            assert!(is_content_type(grpc.as_bytes()), "{grpc}");
        }
        for other in
            ["application/grpc-web", "application/grpc-web+proto", "application/json", "application/grp", ""]
        {
            assert!(!is_content_type(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn timeouts_have_a_unit_and_at_most_eight_digits() {
        for (value, time) in [
            ("1H", Duration::from_secs(3600)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
            ("2M", Duration::from_secs(120)),
            ("03S", Duration::from_secs(3)),
            ("100m", Duration::from_millis(100)),
            ("7u", Duration::from_micros(7)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(timeout(value.as_bytes()), Some(time), "{value}");
        }
        for value in ["", "S", "1", "1s", "123456789S", "-1S", "1.5S", " 1S", "1S "] {
            assert_eq!(timeout(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn messages_are_percent_encoded_where_they_must_be() {
        assert_eq!(message("plain text"), "plain text");
        assert_eq!(message("100% für\n"), "100%25 f%C3%BCr%0A");
    }

    #[test]
    fn codes_are_written_as_their_numbers() {
        for http in [400, 401, 403, 404, 429, 500, 502, 503, 504, 418] {
            let status = Status::of_http(http);
            assert_eq!(status.as_str(), (status as u8).to_string());
        }
    }
}
