//! Message bodies on the wire: where they end, and what of the bytes is content (RFC 9112 6 and 7).
//!
//! Input: slices of what was received after a head, split anywhere. Output: [`Step`]s that name the ranges of the
//! slice which are content, and the end. Nothing is copied or held but trailer fields, which go to the caller's vector
//! as lines that can be written as they are.
//! Invariants: a decoder never reads past its body's end; the same bytes give the same content however they are split;
//! memory is bounded by [`TRAILER_BYTES_MAX`]. After an error the connection must be closed.
//! Errors: [`BodyError`]. Units: bytes. Owner: the exchange owns a decoder for each body.

use std::fmt;
use std::ops::Range;

use super::syntax::{self, Known, TOKEN, VALUE};

/// Bytes of chunk extensions that one body may carry. They are dropped (RFC 9112 7.1.1); this bounds the work.
pub const EXTENSION_BYTES_MAX: u16 = 4 << 10;
/// Bytes of a trailer section, line ends among them.
pub const TRAILER_BYTES_MAX: u16 = 8 << 10;
/// Largest chunk: 2^60 bytes; keeps sums of sizes far from overflow.
pub const CHUNK_BYTES_MAX: u64 = 1 << 60;
/// Digits of a chunk size, leading zeros among them.
pub const CHUNK_SIZE_DIGITS_MAX: u8 = 16;

/// How a body is framed: what a head says, and what a head that is written is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body, and no field says so.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// All that comes until the connection closes; responses only.
    UntilClose,
}

/// What a decoder found next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These bytes of the slice are content; never empty. Give the decoder what follows `range.end` next.
    Data(Range<usize>),
    /// The slice is used up (`consumed` is its length) and the body goes on.
    NeedMore {
        /// Bytes of the slice that belong to the body: all of them.
        consumed: usize,
    },
    /// The body ends; what follows in the slice belongs to the next message.
    End {
        /// Bytes of the slice that belong to the body.
        consumed: usize,
    },
}

/// Why a body cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// A chunk header, a chunk's end or a trailer field is malformed.
    Malformed(&'static str),
    /// Chunk extensions beyond [`EXTENSION_BYTES_MAX`].
    ExtensionsTooLarge,
    /// A trailer section beyond [`TRAILER_BYTES_MAX`].
    TrailersTooLarge,
    /// The connection ended before the body.
    Truncated,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            BodyError::Malformed(what) => what,
            BodyError::ExtensionsTooLarge => "chunk extensions too large",
            BodyError::TrailersTooLarge => "trailer section too large",
            BodyError::Truncated => "connection ended before the body",
        })
    }
}

impl std::error::Error for BodyError {}

/// Reads one body of whatever framing.
#[derive(Debug, Clone)]
pub enum BodyDecoder {
    /// No body.
    None,
    /// So many bytes to come.
    Length(u64),
    /// Chunked.
    Chunked(ChunkedDecoder),
    /// Until the connection ends.
    UntilClose,
}

impl From<BodyFraming> for BodyDecoder {
    fn from(framing: BodyFraming) -> Self {
        match framing {
            BodyFraming::None => BodyDecoder::None,
            BodyFraming::Length(bytes) => BodyDecoder::Length(bytes),
            BodyFraming::Chunked => BodyDecoder::Chunked(ChunkedDecoder::default()),
            BodyFraming::UntilClose => BodyDecoder::UntilClose,
        }
    }
}

impl BodyDecoder {
    /// Takes the next step in `buf`. Trailer fields are appended to `trailers` as `name: value CRLF` lines; they are
    /// all there, without those that RFC 9110 6.5.1 forbids, once the end is reached.
    #[inline]
    pub fn next(&mut self, buf: &[u8], trailers: &mut Vec<u8>) -> Result<Step, BodyError> {
        match self {
            BodyDecoder::None | BodyDecoder::Length(0) => Ok(Step::End { consumed: 0 }),
            BodyDecoder::Length(_) | BodyDecoder::UntilClose if buf.is_empty() => {
                Ok(Step::NeedMore { consumed: 0 })
            }
            BodyDecoder::Length(remaining) => {
                let taken = at_most(buf.len(), *remaining);
                *remaining -= taken as u64;
                Ok(Step::Data(0..taken))
            }
            BodyDecoder::Chunked(chunked) => chunked.next(buf, trailers),
            BodyDecoder::UntilClose => Ok(Step::Data(0..buf.len())),
        }
    }

    /// True once the end was reached, without another step.
    #[inline]
    pub fn is_done(&self) -> bool {
        match self {
            BodyDecoder::None | BodyDecoder::Length(0) => true,
            BodyDecoder::Chunked(chunked) => chunked.is_done(),
            BodyDecoder::Length(_) | BodyDecoder::UntilClose => false,
        }
    }

    /// The connection has ended: is the body whole (RFC 9112 8)?
    pub fn on_eof(&self) -> Result<(), BodyError> {
        match self {
            BodyDecoder::UntilClose => Ok(()),
            decoder if decoder.is_done() => Ok(()),
            _ => Err(BodyError::Truncated),
        }
    }
}

fn at_most(len: usize, bound: u64) -> usize {
    usize::try_from(bound).map_or(len, |bound| bound.min(len))
}

/// Reads the chunked transfer coding (RFC 9112 7.1): a state machine over bytes that holds nothing but numbers.
///
/// Stricter than the RFC's advice to recipients where readers are known to differ: every line ends in CRLF, no
/// whitespace stands before or after a size unless an extension follows, an extension has a name.
#[derive(Debug, Clone, Default)]
pub struct ChunkedDecoder {
    /// Of the current chunk: its size so far in the states of its header, else the bytes still to come.
    remaining: u64,
    /// Bytes of extensions so far in the whole body.
    extension_bytes: u16,
    /// Bytes of the trailer section so far.
    trailer_bytes: u16,
    /// Bytes of the current trailer line, which are the last ones in the caller's vector.
    line_bytes: u16,
    /// Digits of the current size.
    digits: u8,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// In the digits of a chunk's size.
    #[default]
    Size,
    /// In whitespace between size and `;`.
    BeforeExtension,
    /// After `;`, before the extension's name.
    ExtensionName,
    /// In an extension.
    Extension,
    /// After the CR of a chunk's header.
    HeaderLf,
    /// In a chunk's data.
    Data,
    /// After a chunk's data.
    DataCr,
    /// After the CR that follows a chunk's data.
    DataLf,
    /// At the first byte of a trailer line or of the last, empty one.
    LineStart,
    /// In a trailer line.
    Line,
    /// After the CR of a trailer line.
    LineLf,
    /// After the CR of the empty line.
    EndLf,
    /// Past the end.
    Done,
}

impl ChunkedDecoder {
    /// Takes the next step in `buf`; see [`BodyDecoder::next`].
    pub fn next(&mut self, buf: &[u8], trailers: &mut Vec<u8>) -> Result<Step, BodyError> {
        let mut at = 0;
        while let Some(&byte) = buf.get(at) {
            match self.state {
                State::Data => {
                    let taken = at_most(buf.len() - at, self.remaining);
                    self.remaining -= taken as u64;
                    if self.remaining == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Step::Data(at..at + taken));
                }
                State::LineStart | State::Line | State::LineLf | State::EndLf => {
                    self.trailer_byte(byte, trailers)?;
                }
                State::Done => return Ok(Step::End { consumed: at }),
                _ => self.framing_byte(byte)?,
            }
            at += 1;
        }
        Ok(if self.is_done() { Step::End { consumed: at } } else { Step::NeedMore { consumed: at } })
    }

    /// True once the end was reached.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// A byte of a chunk's header or of the line end after its data.
    fn framing_byte(&mut self, byte: u8) -> Result<(), BodyError> {
        use BodyError::Malformed;
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9') => self.digit(byte - b'0')?,
            (State::Size, b'a'..=b'f') => self.digit(byte - b'a' + 10)?,
            (State::Size, b'A'..=b'F') => self.digit(byte - b'A' + 10)?,
            (State::Size, _) if self.digits == 0 => return Err(Malformed("chunk without a size")),
            (State::Size | State::Extension, b'\r') => State::HeaderLf,
            (State::Size | State::BeforeExtension, b';') => self.extension(State::ExtensionName)?,
            (State::Size | State::BeforeExtension, b' ' | b'\t') => self.extension(State::BeforeExtension)?,
            (State::Size | State::BeforeExtension, _) => return Err(Malformed("bad chunk size")),
            (State::ExtensionName, b' ' | b'\t') => self.extension(State::ExtensionName)?,
            (State::ExtensionName, byte) if syntax::is(byte, TOKEN) => self.extension(State::Extension)?,
            (State::Extension, byte) if syntax::is(byte, VALUE) => self.extension(State::Extension)?,
            (State::ExtensionName | State::Extension, _) => return Err(Malformed("bad chunk extension")),
            (State::HeaderLf, b'\n') => {
                self.digits = 0;
                if self.remaining == 0 { State::LineStart } else { State::Data }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::HeaderLf, _) => return Err(Malformed("chunk header that ends in a bare CR")),
            (State::DataCr | State::DataLf, _) => return Err(Malformed("chunk longer than its size")),
            (state, _) => {
                debug_assert!(false, "{state:?} is no state of a chunk's framing");
                return Err(Malformed("chunk in a wrong state"));
            }
        };
        Ok(())
    }

    fn digit(&mut self, value: u8) -> Result<State, BodyError> {
        if self.digits == CHUNK_SIZE_DIGITS_MAX || self.remaining >> 60 != 0 {
            return Err(BodyError::Malformed("chunk size too large"));
        }
        self.digits += 1;
        self.remaining = self.remaining << 4 | u64::from(value);
        if self.remaining > CHUNK_BYTES_MAX {
            return Err(BodyError::Malformed("chunk size too large"));
        }
        Ok(State::Size)
    }

    fn extension(&mut self, next: State) -> Result<State, BodyError> {
        if self.extension_bytes == EXTENSION_BYTES_MAX {
            return Err(BodyError::ExtensionsTooLarge);
        }
        self.extension_bytes += 1;
        Ok(next)
    }

    /// A byte of the trailer section (RFC 9112 7.1.2).
    fn trailer_byte(&mut self, byte: u8, trailers: &mut Vec<u8>) -> Result<(), BodyError> {
        use BodyError::Malformed;
        if self.trailer_bytes == TRAILER_BYTES_MAX {
            return Err(BodyError::TrailersTooLarge);
        }
        self.trailer_bytes += 1;
        self.state = match (self.state, byte) {
            (State::LineStart, b'\r') => State::EndLf,
            (State::LineStart, byte) if !syntax::is(byte, TOKEN) => {
                return Err(Malformed("bad trailer field"));
            }
            (State::Line, b'\r') => State::LineLf,
            (State::LineStart | State::Line, byte) if syntax::is(byte, VALUE) => {
                trailers.push(byte);
                self.line_bytes += 1;
                State::Line
            }
            (State::LineLf, b'\n') => {
                finish_trailer(trailers, usize::from(self.line_bytes))?;
                self.line_bytes = 0;
                State::LineStart
            }
            (State::EndLf, b'\n') => State::Done,
            _ => return Err(Malformed("control character in a trailer field")),
        };
        Ok(())
    }
}

/// The last `line_bytes` of `trailers` are a whole line without its end: makes it `name: value CRLF`, or drops it.
fn finish_trailer(trailers: &mut Vec<u8>, line_bytes: usize) -> Result<(), BodyError> {
    let start = trailers.len().saturating_sub(line_bytes);
    let line = trailers.split_off(start);
    let colon = line.iter().position(|&byte| byte == b':');
    let Some((name, value)) = colon.map(|at| (&line[..at], &line[at + 1..])) else {
        return Err(BodyError::Malformed("trailer field without a colon"));
    };
    match std::str::from_utf8(name) {
        Ok(name) if syntax::is_token(name.as_bytes()) => {
            if !is_forbidden_in_trailers(name) {
                for part in [name.as_bytes(), b": ", syntax::trim_ows(value), b"\r\n"] {
                    trailers.extend_from_slice(part);
                }
            }
            Ok(())
        }
        _ => Err(BodyError::Malformed("bad trailer field name")),
    }
}

/// RFC 9110 6.5.1: fields for framing, routing, request modifiers, authentication, or how to take the content.
pub fn is_forbidden_in_trailers(name: &str) -> bool {
    const FORBIDDEN: [&str; 21] = [
        "trailer",
        "content-encoding",
        "content-type",
        "content-range",
        "cache-control",
        "max-forwards",
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "authorization",
        "www-authenticate",
        "cookie",
        "set-cookie",
        "age",
        "expires",
        "location",
        "retry-after",
        "vary",
    ];
    syntax::classify(name) != Known::Other || FORBIDDEN.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Appends a chunk's header: size in hexadecimal and CRLF. `bytes` must not be 0, which would end the body. The
/// chunk's data and [`CHUNK_END`] follow.
pub fn write_chunk_size(out: &mut Vec<u8>, bytes: usize) {
    debug_assert!(bytes != 0);
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let digits = (usize::BITS - (bytes | 1).leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(HEX[bytes >> (4 * digit) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Follows each chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends the last chunk and the trailer section: `trailers` are lines as a decoder collects them, maybe none.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
