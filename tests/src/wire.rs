//! One end of a TCP connection that speaks HTTP/1.1: what the test client and the test origin both read with.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::body::Body;
use crate::message::{Broken, Fields, Framing, Head, parse_fields, parse_head};
use crate::wait::Deadline;

/// Largest head that the tests read.
const HEAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A connection and what was read from it but not used yet.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    patience: Duration,
}

impl Wire {
    /// Takes over a connection; each message may take `patience`.
    pub fn new(stream: TcpStream, patience: Duration) -> Wire {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_write_timeout(Some(patience)).expect("a write timeout");
        Wire { stream, buffer: Vec::new(), patience }
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Changes how long a message may take.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads up to and with the blank line that ends a head.
    pub fn read_head(&mut self) -> Result<Head, Broken> {
        let deadline = Deadline::after(self.patience);
        let mut looked = 0;
        let end = loop {
            if let Some(at) = find(&self.buffer[looked..], b"\r\n\r\n") {
                break looked + at + 4;
            }
            looked = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(Broken::Malformed(format!("no end of head in {} bytes", self.buffer.len())));
            }
            self.fill("head", deadline)?;
        };
        let raw: Vec<u8> = self.buffer.drain(..end).collect();
        parse_head(&raw)
    }

    /// Reads the body that a message framed like this has.
    pub fn read_body(&mut self, framing: Framing) -> Result<(Body, Fields), Broken> {
        let mut body = Body::default();
        let trailers = match framing {
            Framing::None => Fields::default(),
            Framing::Length(length) => {
                self.read_length(length, "body", &mut body)?;
                Fields::default()
            }
            Framing::Chunked => self.read_chunked(&mut body)?,
            Framing::Close => {
                self.read_to_close(&mut body)?;
                Fields::default()
            }
        };
        Ok((body, trailers))
    }

    /// Reads exactly that many bytes, whatever they are.
    pub fn read_exact(&mut self, length: usize) -> Result<Vec<u8>, Broken> {
        let deadline = Deadline::after(self.patience);
        while self.buffer.len() < length {
            self.fill("bytes", deadline)?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Reads whatever comes next, at least a byte.
    pub fn read_some(&mut self) -> Result<Vec<u8>, Broken> {
        if self.buffer.is_empty() {
            self.fill("bytes", Deadline::after(self.patience))?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Reads until the peer closes or resets; what came.
    pub fn read_until_gone(&mut self) -> Result<Vec<u8>, Broken> {
        let deadline = Deadline::after(self.patience);
        loop {
            match self.fill("end", deadline) {
                Ok(()) => {}
                Err(Broken::Closed | Broken::CutShort(..) | Broken::Failed(..)) => {
                    return Ok(std::mem::take(&mut self.buffer));
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Sends FIN: nothing more will be sent, but answers are still read.
    pub fn half_close(&self) {
        // The peer may have gone already, and then there is nothing to close.
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// Makes the close of this connection a reset (SO_LINGER of zero).
    pub fn reset_on_close(&self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }

    fn read_length(&mut self, length: u64, what: &'static str, body: &mut Body) -> Result<(), Broken> {
        let mut left = length;
        while left > 0 {
            if self.buffer.is_empty() {
                self.fill_more(what)?;
            }
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            body.push(&self.buffer[..take]);
            self.buffer.drain(..take);
            left -= take as u64;
        }
        Ok(())
    }

    fn read_chunked(&mut self, body: &mut Body) -> Result<Fields, Broken> {
        loop {
            let line = self.read_line("chunk size")?;
            let digits = line.split(';').next().unwrap_or_default();
            let hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let size = u64::from_str_radix(digits, 16).ok().filter(|_| hex);
            let size = size.ok_or_else(|| Broken::Malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                return self.read_trailers();
            }
            self.read_length(size, "chunk", body)?;
            let end = self.read_line("end of chunk")?;
            if !end.is_empty() {
                return Err(Broken::Malformed(format!("{end:?} after a chunk")));
            }
        }
    }

    fn read_trailers(&mut self) -> Result<Fields, Broken> {
        let mut lines = Vec::new();
        loop {
            let line = self.read_line("trailers")?;
            if line.is_empty() {
                return parse_fields(lines.iter().map(String::as_str));
            }
            lines.push(line);
        }
    }

    fn read_line(&mut self, what: &'static str) -> Result<String, Broken> {
        let at = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            self.fill_more(what)?;
        };
        let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
        String::from_utf8(line[..at].to_vec()).map_err(|e| Broken::Malformed(e.to_string()))
    }

    fn read_to_close(&mut self, body: &mut Body) -> Result<(), Broken> {
        loop {
            body.push(&self.buffer);
            self.buffer.clear();
            match self.fill("body", Deadline::after(self.patience)) {
                Ok(()) => {}
                Err(Broken::Closed) => return Ok(()),
                Err(other) => return Err(other),
            }
        }
    }

    /// [`Wire::fill`] in the middle of a message, where a close is always too early.
    fn fill_more(&mut self, what: &'static str) -> Result<(), Broken> {
        match self.fill(what, Deadline::after(self.patience)) {
            Err(Broken::Closed) => Err(Broken::CutShort(what, Vec::new())),
            Err(Broken::Failed(error, _)) => Err(Broken::Failed(error, true)),
            other => other,
        }
    }

    /// Reads once. Waits at most until the deadline.
    fn fill(&mut self, what: &'static str, deadline: Deadline) -> Result<(), Broken> {
        let Some(left) = deadline.left() else {
            return Err(Broken::TimedOut(self.buffer.clone()));
        };
        self.stream.set_read_timeout(Some(left)).expect("a read timeout");
        let mut piece = [0; 64 * 1024];
        loop {
            return match self.stream.read(&mut piece) {
                Ok(0) if self.buffer.is_empty() => Err(Broken::Closed),
                Ok(0) => Err(Broken::CutShort(what, self.buffer.clone())),
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    Ok(())
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    Err(Broken::TimedOut(self.buffer.clone()))
                }
                Err(error) => Err(Broken::Failed(error, !self.buffer.is_empty())),
            };
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
