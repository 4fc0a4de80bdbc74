//! Reading an HTTP/1.1 answer's head from a node.

use std::mem::MaybeUninit;

use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::head::{
    FIELDS_MAX, HeadError, HeadLimits, Method, ResponseHead, ResponseMeta, has_head_end, parse_response,
    response_meta,
};
use crate::http::inbox::Inbox;
use crate::limits::{RESPONSE_FIELDS_MAX, RESPONSE_HEAD_BYTES_MAX};

const LIMITS: HeadLimits =
    HeadLimits { bytes_max: RESPONSE_HEAD_BYTES_MAX, target_bytes_max: 0, fields_max: RESPONSE_FIELDS_MAX };

/// What stood at the front of the inbox; a whole head has been taken off.
#[derive(Debug)]
pub enum Head {
    /// Not all of a head yet.
    Partial,
    /// 1xx, but not 101.
    Interim,
    /// The answer's head.
    Final {
        /// Of the body that follows.
        framing: BodyFraming,
        /// The node lets the connection carry another request.
        keep_alive: bool,
        /// 101, and it was asked for.
        upgrade: bool,
    },
}

/// Reads a head, shows it to `visit` (with whether it is final) and takes it off. `parsed` = bytes that have been
/// looked at in vain; starts at 0.
///
/// # Errors
/// [`Error::UpstreamMalformed`].
pub fn read(
    inbox: &mut Inbox,
    parsed: &mut usize,
    method: Method,
    upgrade_asked: bool,
    visit: impl FnOnce(&ResponseHead, &ResponseMeta, bool),
) -> Result<Head, Error> {
    let bytes = inbox.bytes();
    if *parsed > 0 && bytes.len() < RESPONSE_HEAD_BYTES_MAX && !has_head_end(bytes, *parsed) {
        *parsed = bytes.len();
        return Ok(Head::Partial);
    }
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let Some(head) = parse_response(bytes, &LIMITS, &mut slots).map_err(malformed)? else {
        *parsed = bytes.len();
        return Ok(Head::Partial);
    };
    let meta = response_meta(&head, method).map_err(malformed)?;
    if meta.upgrade && !upgrade_asked {
        return Err(Error::UpstreamMalformed("switched protocols unasked"));
    }
    let is_final = head.status >= 200 || meta.upgrade;
    if head.status == 101 && !meta.upgrade {
        return Err(Error::UpstreamMalformed("101 without a protocol"));
    }
    visit(&head, &meta, is_final);
    let len = head.len;
    inbox.consume_head(len);
    *parsed = 0;
    Ok(if is_final {
        Head::Final { framing: meta.body, keep_alive: meta.keep_alive, upgrade: meta.upgrade }
    } else {
        Head::Interim
    })
}

fn malformed(error: HeadError) -> Error {
    Error::UpstreamMalformed(match error {
        HeadError::Malformed(what) => what,
        HeadError::HeadersTooLarge | HeadError::UriTooLong => "head too large",
        HeadError::TransferCodingNotImplemented => "transfer coding other than chunked",
        HeadError::VersionNotSupported => "HTTP version",
        HeadError::MethodNotAllowed | HeadError::ExpectationFailed | HeadError::Http2Preface => "head",
    })
}
