//! `grpc.health.v1.Health/Check` as its client: what is asked, and what an answer means. Sans-io.
//!
//! Input: the service that is asked about, then the head, content and trailers of the answer. Output: the content of the
//! request, and nothing or what is wrong in words. An answer's content is bounded by [`ANSWER_BYTES_MAX`]; what is not as
//! it should be is an error, never a panic.
//!
//! The two messages have one field each, so their encoding (protobuf.dev/programming-guides/encoding) is written out here
//! rather than generated: no compiler of protocol buffers is needed to build, and nothing is allocated for a message.

use http::HeaderMap;

use crate::http::grpc::is_content_type;

/// The method's path.
pub const PATH: &str = "/grpc.health.v1.Health/Check";

/// Longest content of an answer, in bytes. Its one message has two, and what later versions may add.
pub const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Bytes before a message: a flag, whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// gRPC's names of the values of `grpc-status`.
const STATUS_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const NOT_FOUND: u8 = 5;
const UNIMPLEMENTED: u8 = 12;

/// The content of a request: one `HealthCheckRequest` (field 1, a string), with its prefix. An empty name, which asks
/// about the whole server, is left out, as for any field with its default.
pub fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 3);
    if !service.is_empty() {
        message.push(1 << 3 | WireType::Length as u8);
        put_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut content = Vec::with_capacity(PREFIX_BYTES + message.len());
    content.push(0);
    content.extend_from_slice(&length.to_be_bytes());
    content.extend_from_slice(&message);
    content
}

/// An answer whose head was as it should be.
#[derive(Debug)]
pub struct Answer {
    content: Vec<u8>,
}

impl Answer {
    /// Takes its head.
    ///
    /// # Errors
    /// It is not gRPC's, or says that the call has failed.
    pub fn begin(status: u16, fields: &HeaderMap) -> Result<Self, String> {
        if status != 200 {
            return Err(format!("HTTP status {status}, not 200"));
        }
        let content_type = fields.get(http::header::CONTENT_TYPE);
        if !content_type.is_some_and(|value| is_content_type(value.as_bytes())) {
            return Err("the answer is not gRPC: its Content-Type is another".into());
        }
        // An answer without content has it here.
        if fields.contains_key("grpc-status") {
            succeeded(fields)?;
        }
        Ok(Self { content: Vec::new() })
    }

    /// Takes more of its content.
    ///
    /// # Errors
    /// It is too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() > ANSWER_BYTES_MAX - self.content.len() {
            return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
        self.content.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes its trailers. `Ok`: what was asked about is serving.
    ///
    /// # Errors
    /// It is not, or the call has failed, or this is not an answer to it.
    pub fn end(self, trailers: Option<&HeaderMap>) -> Result<(), String> {
        succeeded(trailers.ok_or("the answer ends without grpc-status")?)?;
        match serving_status(message(&self.content)?).ok_or("the answer's message is malformed")? {
            1 => Ok(()),
            2 => Err("NOT_SERVING".into()),
            3 => Err("SERVICE_UNKNOWN".into()),
            0 => Err("UNKNOWN".into()),
            other => Err(format!("a serving status that is not known: {other}")),
        }
    }
}

/// Whether `grpc-status` is OK.
fn succeeded(fields: &HeaderMap) -> Result<(), String> {
    let status = fields.get("grpc-status").ok_or("the answer ends without grpc-status")?;
    let code = status.to_str().ok().and_then(|text| text.parse::<u8>().ok());
    let code = code.ok_or("the answer's grpc-status is no number")?;
    if code == 0 {
        return Ok(());
    }
    let name = STATUS_NAMES.get(usize::from(code)).unwrap_or(&"not known");
    let hint = match code {
        NOT_FOUND => "; the node does not know the service that was asked about",
        UNIMPLEMENTED => "; the node does not offer grpc.health.v1.Health",
        _ => "",
    };
    // Percent-encoded, so it is one line of ASCII.
    let said = fields.get("grpc-message").and_then(|message| message.to_str().ok()).unwrap_or_default();
    let colon = if said.is_empty() { "" } else { ": " };
    Err(format!("grpc-status {code} ({name}){hint}{colon}{said}"))
}

/// The one message of an answer.
fn message(content: &[u8]) -> Result<&[u8], &'static str> {
    let (prefix, message) = content.split_at_checked(PREFIX_BYTES).ok_or("the answer has no message")?;
    let [flag, length @ ..] = prefix else { return Err("the answer has no message") };
    if *flag != 0 {
        return Err("the answer's message is compressed, which was not asked for");
    }
    let length = length.iter().fold(0, |length: u64, &byte| length << 8 | u64::from(byte));
    if length != message.len() as u64 {
        return Err("the answer is not one whole message");
    }
    Ok(message)
}

/// The `status` (field 1, an enum) of a `HealthCheckResponse`; 0 if it has none. The last one counts and unknown fields
/// are passed over, as everywhere in protocol buffers. `None`: malformed.
fn serving_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let (field, wire_type) = (tag >> 3, WireType::of(tag)?);
        // Numbers of fields have 29 bits.
        if field == 0 || field >= 1 << 29 {
            return None;
        }
        let skipped = match wire_type {
            WireType::Varint => {
                let value = varint(&mut message)?;
                if field == 1 {
                    status = value;
                }
                0
            }
            WireType::Fixed64 => 8,
            WireType::Length => usize::try_from(varint(&mut message)?).ok()?,
            WireType::Fixed32 => 4,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

/// How a field's value is written. Groups are not among them: nobody writes them any more.
#[derive(Clone, Copy)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

impl WireType {
    fn of(tag: u64) -> Option<Self> {
        match tag & 7 {
            0 => Some(Self::Varint),
            1 => Some(Self::Fixed64),
            2 => Some(Self::Length),
            5 => Some(Self::Fixed32),
            _ => None,
        }
    }
}

/// Seven bits a byte, the least first; up to 64 bits.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests;
