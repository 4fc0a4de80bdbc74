//! Where HTTP/1.1 messages end: as much as an origin and a load generator need, at a fraction of a proxy's cost.
//!
//! Input: received bytes, split anywhere. Output: [`Message`]s, each once it is there to its last byte. The bytes are
//! taken for well-formed where it costs to check: both ends of a measurement are ours, and the gateway between them is
//! what parses strictly. Invariants: a head is at most [`HEAD_BYTES_MAX`]; bodies are counted, never kept.
//! Errors: [`Malformed`]; the connection is then of no more use.

use coregate::http::body::{BodyDecoder, BodyFraming, Step};

/// Longest head.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// What cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Which side's messages come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// An origin reads requests.
    Requests,
    /// A client reads the answers to requests other than HEAD.
    Answers,
}

/// One whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Of an answer; 0 for a request.
    pub status: u16,
    /// A HEAD request, whose answer has no body.
    pub head_only: bool,
    /// It says that the connection closes after it, or it ends only there.
    pub close: bool,
}

/// Reads the messages of one connection.
#[derive(Debug)]
pub struct Reader {
    side: Side,
    /// The start of a head whose end has not come yet.
    partial: Vec<u8>,
    /// The message whose body is being read.
    current: Option<(Message, BodyDecoder)>,
    trailers: Vec<u8>,
}

impl Reader {
    /// At the start of a connection.
    pub fn new(side: Side) -> Self {
        Self { side, partial: Vec::new(), current: None, trailers: Vec::new() }
    }

    /// Takes bytes off the front of `bytes` up to the end of a message; `None` once all are taken.
    ///
    /// # Errors
    /// [`Malformed`]: this is no HTTP/1.1.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, Malformed> {
        loop {
            let Some((message, body)) = &mut self.current else {
                let Some(head) = self.head(bytes)? else { return Ok(None) };
                // RFC 9110 15.2: the answer proper is still to come.
                if !(100..200).contains(&head.0.status) {
                    self.current = Some(head);
                }
                continue;
            };
            match body.next(bytes, &mut self.trailers).map_err(|_| Malformed)? {
                Step::Data(range) => *bytes = &bytes[range.end..],
                Step::NeedMore { consumed } => {
                    *bytes = &bytes[consumed..];
                    return Ok(None);
                }
                Step::End { consumed } => {
                    let message = *message;
                    *bytes = &bytes[consumed..];
                    self.trailers.clear();
                    self.current = None;
                    return Ok(Some(message));
                }
            }
        }
    }

    /// The connection has ended: the message that ends with it, if there is one.
    pub fn end(&mut self) -> Option<Message> {
        let (message, body) = self.current.take()?;
        body.on_eof().is_ok().then_some(message)
    }

    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<(Message, BodyDecoder)>, Malformed> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.partial.is_empty() {
            if let Some((len, message, body)) = scan(bytes, self.side)? {
                *bytes = &bytes[len..];
                return Ok(Some((message, body)));
            }
            self.partial.extend_from_slice(bytes);
            *bytes = &[];
        } else {
            let before = self.partial.len();
            self.partial.extend_from_slice(bytes);
            if let Some((len, message, body)) = scan(&self.partial, self.side)? {
                *bytes = &bytes[len - before..];
                self.partial.clear();
                return Ok(Some((message, body)));
            }
            *bytes = &[];
        }
        if self.partial.len() > HEAD_BYTES_MAX { Err(Malformed) } else { Ok(None) }
    }
}

/// Reads a head: its length, and how its body ends. `None` if it is not all there yet.
fn scan(bytes: &[u8], side: Side) -> Result<Option<(usize, Message, BodyDecoder)>, Malformed> {
    let mut framing = match side {
        Side::Requests => BodyFraming::None,
        Side::Answers => BodyFraming::UntilClose,
    };
    let mut close = false;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        let line = bytes[start..end].strip_suffix(b"\r").unwrap_or(&bytes[start..end]);
        if line.is_empty() && start > 0 {
            let message = first_line(bytes, side, close || framing == BodyFraming::UntilClose)?;
            if matches!(message.status, 100..=199 | 204 | 304) {
                framing = BodyFraming::None;
            }
            let message = Message { close: close || framing == BodyFraming::UntilClose, ..message };
            return Ok(Some((end + 1, message, framing.into())));
        }
        match line.first() {
            Some(b'C' | b'c') if start > 0 => {
                if let Some(value) = value(line, b"content-length") {
                    let digits = std::str::from_utf8(value).map_err(|_| Malformed)?;
                    framing = BodyFraming::Length(digits.parse().map_err(|_| Malformed)?);
                } else if let Some(value) = value(line, b"connection") {
                    close |= value.eq_ignore_ascii_case(b"close");
                }
            }
            Some(b'T' | b't') if start > 0 && value(line, b"transfer-encoding").is_some() => {
                framing = BodyFraming::Chunked;
            }
            _ => {}
        }
        start = end + 1;
    }
    Ok(None)
}

fn first_line(bytes: &[u8], side: Side, close: bool) -> Result<Message, Malformed> {
    match side {
        Side::Requests => Ok(Message { status: 0, head_only: bytes.starts_with(b"HEAD "), close }),
        Side::Answers => {
            let digits = bytes.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).ok_or(Malformed)?;
            let status = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
            Ok(Message { status: status.ok_or(Malformed)?, head_only: false, close })
        }
    }
}

/// The value of a field line, if it has this name (in lower case).
fn value<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a stream whose pieces have at most `piece` bytes; each message as (status, head only, close).
    fn read(side: Side, stream: &[u8], piece: usize) -> Result<Vec<(u16, bool, bool)>, Malformed> {
        let mut reader = Reader::new(side);
        let mut found = Vec::new();
        for mut bytes in stream.chunks(piece) {
            while let Some(message) = reader.next(&mut bytes)? {
                found.push((message.status, message.head_only, message.close));
            }
            assert!(bytes.is_empty());
        }
        found.extend(reader.end().map(|message| (message.status, message.head_only, message.close)));
        Ok(found)
    }

    #[test]
    fn requests_are_found_however_they_are_split() {
        let stream = b"GET / HTTP/1.1\r\nhost: x\r\n\r\nHEAD /a HTTP/1.1\r\nhost: x\r\n\r\n\
            POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        let expected =
            [(0, false, false), (0, true, false), (0, false, false), (0, false, false), (0, false, true)];
        for piece in 1..=stream.len() {
            assert_eq!(read(Side::Requests, stream, piece).unwrap(), expected, "{piece}");
        }
    }

    #[test]
    fn answers_end_by_length_chunks_or_close() {
        let stream = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 304 Not\r\n\r\n\
            HTTP/1.1 502 Bad\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall of it";
        let expected = [(200, false, false), (304, false, false), (502, false, false), (200, false, true)];
        for piece in 1..=stream.len() {
            assert_eq!(read(Side::Answers, stream, piece).unwrap(), expected, "{piece}");
        }
    }

    #[test]
    fn a_cut_answer_is_none_and_garbage_is_refused() {
        assert_eq!(read(Side::Answers, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", 7), Ok(vec![]));
        assert_eq!(read(Side::Answers, b"SSH-2.0\r\nx\r\n\r\n", 7), Err(Malformed));
        assert_eq!(read(Side::Requests, b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 7), Err(Malformed));
    }
}
