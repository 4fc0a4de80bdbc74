//! Session: TLS records to clear bytes and back, sans-io, for both sides of a connection.
//!
//! Input: received chunks, and clear bytes to send. Output: clear chunks, and bytes for the wire. The protocol and the
//! ciphers are rustls' (its unbuffered connections); here is who owns which bytes.
//!
//! A record that lies whole in one received chunk is deciphered where it is, and the chunk itself, cut to what is clear,
//! is handed on; the records of one chunk are moved together, so that it stays one. A record that spans chunks is gathered
//! first. During the handshake, and where a handshake message spans records, rustls wants to see them together: then
//! everything is gathered ([`Session::careful`]).
//!
//! Invariants: between calls at most one part of a record is gathered, or [`HANDSHAKE_BYTES_MAX`] bytes of a handshake;
//! what is put into `out` has to be sent in this order. Errors: once there was one nothing is received or sent any more,
//! but for the alert that `out` got.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

use self::side::{Looked, Side};
use crate::net::Chunk;

mod side;

/// Clear bytes of one record at most (RFC 8446 5.1).
pub const RECORD_CLEAR_MAX: usize = 1 << 14;
/// Bytes of a record's header.
const HEADER: usize = 5;
/// Bytes after the header at most (RFC 5246 6.2.3; TLS 1.3 allows less).
const BODY_MAX: usize = RECORD_CLEAR_MAX + 2048;
/// Bytes of the authentication tag: the same in all suites.
const TAG: usize = 16;
/// Bytes that are gathered of a handshake: rustls takes messages of up to 64 KiB, here with the records they come in.
pub const HANDSHAKE_BYTES_MAX: usize = 96 << 10;

/// One side of a TLS connection.
pub struct Session {
    side: Side,
    /// What came and could not be handed on yet; see the module's invariants.
    gathered: Vec<u8>,
    /// Everything is gathered before rustls sees it, and what is clear is copied.
    careful: bool,
    /// Of `gathered`, what lies in whole records (while `careful`): rustls has seen that. What follows it is the begin of
    /// a record.
    walked: usize,
    peer_closed: bool,
    closed: bool,
    failed: Option<Error>,
}

impl Session {
    /// The server's side.
    ///
    /// # Errors
    /// The configuration is unusable.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self::new(Side::Server(UnbufferedServerConnection::new(config)?)))
    }

    /// The client's side; [`Self::start`] makes its first bytes.
    ///
    /// # Errors
    /// The configuration is unusable.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        Ok(Self::new(Side::Client(UnbufferedClientConnection::new(config, name)?)))
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            gathered: Vec::new(),
            careful: true,
            walked: 0,
            peer_closed: false,
            closed: false,
            failed: None,
        }
    }

    /// What ended it: an alert of the peer, or what it did wrong.
    pub fn failure(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// Appends what is to be sent before anything is received.
    ///
    /// # Errors
    /// There is no beginning.
    pub fn start(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.carefully(&mut VecDeque::new(), out)
    }

    /// Takes received bytes. Appends what is clear of them, and what is to be sent because of them.
    ///
    /// # Errors
    /// The peer does not keep to the protocol, or is refused; `clear` has what came before, `out` the alert.
    pub fn receive(
        &mut self,
        mut chunk: Chunk,
        clear: &mut VecDeque<Chunk>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        // RFC 8446 6.1: what follows a close_notify is ignored.
        while !chunk.is_empty() && !self.peer_closed {
            if self.careful {
                self.gathered.extend_from_slice(&chunk);
                return self.carefully(clear, out);
            }
            if self.gathered.is_empty()
                && let Some(bytes) = chunk.unique()
            {
                let (done, range, result) = self.in_place(bytes, out);
                let mut rest = chunk.clone();
                rest.advance(done);
                push(clear, chunk, range);
                result?;
                chunk = rest;
            }
            self.gather(&mut chunk);
            if !self.careful && record_len(&self.gathered).is_some() {
                let mut record = std::mem::take(&mut self.gathered);
                let (done, range, result) = self.in_place(&mut record, out);
                self.gathered.extend_from_slice(&record[done..]);
                push(clear, Chunk::from(Bytes::from(record)), range);
                result?;
            }
        }
        Ok(())
    }

    /// Takes off a chunk what belongs to the record whose begin is gathered; everything while careful.
    fn gather(&mut self, chunk: &mut Chunk) {
        while !self.careful && !chunk.is_empty() {
            let wanted = match self.gathered.get(..HEADER) {
                None => HEADER - self.gathered.len(),
                Some(header) => (HEADER + body_len(header)).saturating_sub(self.gathered.len()),
            };
            if wanted == 0 {
                return;
            }
            let taken = chunk.split_to(wanted.min(chunk.len()));
            self.gathered.reserve_exact(wanted);
            self.gathered.extend_from_slice(&taken);
        }
    }

    /// Deciphers the whole records at the front of `bytes`. Returns how many bytes are done with, and where the clear ones
    /// are.
    fn in_place(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> (usize, Range<usize>, Result<(), Error>) {
        let (mut done, mut clear) = (0, 0..0);
        while !self.peer_closed
            && let Some(len) = record_len(&bytes[done..])
        {
            let record = done..done + len;
            let (discard, payload, result) = self.look_at_record(&mut bytes[record.clone()], out);
            if payload > 0 {
                let from = done + self.clear_from(len, payload);
                if clear.is_empty() {
                    clear = from..from + payload;
                } else {
                    bytes.copy_within(from..from + payload, clear.end);
                    clear.end += payload;
                }
            }
            if let Err(error) = result {
                return (bytes.len(), clear, Err(self.fail(error, out)));
            }
            done += discard.min(len);
            if discard < len && !self.peer_closed {
                // A handshake message that goes on in the next record.
                self.careful = true;
                self.walked = record.end - done;
                break;
            }
        }
        (if self.peer_closed { bytes.len() } else { done }, clear, Ok(()))
    }

    /// Lets rustls process one whole record. Returns the bytes that it is done with, and how many clear bytes it found.
    fn look_at_record(&mut self, record: &mut [u8], out: &mut Vec<u8>) -> (usize, usize, Result<(), Error>) {
        let (mut done, mut payload) = (0, 0);
        loop {
            let (discard, looked) = self.side.look(&mut record[done..], out, |clear| payload += clear.len());
            done = record.len().min(done + discard);
            match looked {
                Ok(Looked::Again) if payload > 0 && done == record.len() => return (done, payload, Ok(())),
                Ok(Looked::Again) => {}
                Ok(Looked::Waits) => return (done, payload, Ok(())),
                Ok(Looked::PeerClosed) => {
                    self.peer_closed = true;
                    return (done, payload, Ok(()));
                }
                Err(error) => return (done, payload, Err(error)),
            }
        }
    }

    /// Where the clear bytes of a record of so many bytes are. rustls deciphers in place: its decipherers return a part of
    /// what they are given.
    fn clear_from(&self, record: usize, payload: usize) -> usize {
        match self.side.common().protocol_version() {
            // RFC 5246 6.2.3.3: an explicit nonce (or none), the content, the tag.
            Some(rustls::ProtocolVersion::TLSv1_2) => record - TAG - payload,
            // RFC 8446 5.2: the content, its type, padding, the tag.
            _ => HEADER,
        }
    }

    /// Lets rustls process all that is gathered.
    fn carefully(&mut self, clear: &mut VecDeque<Chunk>, out: &mut Vec<u8>) -> Result<(), Error> {
        while let Some(len) = record_len(&self.gathered[self.walked..]) {
            self.walked += len;
        }
        let mut copied = Vec::new();
        let mut done = 0;
        let result = loop {
            let (discard, looked) =
                self.side.look(&mut self.gathered[done..], out, |clear| copied.extend_from_slice(clear));
            done = self.gathered.len().min(done + discard);
            match looked {
                Ok(Looked::Again) => {}
                Ok(Looked::Waits) => break Ok(()),
                Ok(Looked::PeerClosed) => {
                    self.peer_closed = true;
                    break Ok(());
                }
                Err(error) => break Err(error),
            }
        };
        if !copied.is_empty() {
            clear.push_back(Chunk::from(Bytes::from(copied)));
        }
        if let Err(error) = result {
            return Err(self.fail(error, out));
        }
        if self.peer_closed {
            self.gathered = Vec::new();
            return Ok(());
        }
        self.gathered.drain(..done);
        self.walked = self.walked.saturating_sub(done);
        if self.gathered.is_empty() {
            self.gathered = Vec::new();
        }
        if self.gathered.len() > HANDSHAKE_BYTES_MAX {
            return Err(self.fail(Error::General("handshake message too long".into()), out));
        }
        // No handshake message is half there: from here on records are looked at one by one.
        self.careful = self.is_handshaking() || self.walked > 0;
        Ok(())
    }

    /// Notes an error, and appends the alert that tells the peer of it.
    fn fail(&mut self, error: Error, out: &mut Vec<u8>) -> Error {
        self.failed = Some(error.clone());
        self.gathered = Vec::new();
        // rustls is not to look at any input again, and does not as long as it has something to send.
        while self.side.common().wants_write() {
            if self.side.look(&mut [], out, |_| {}).1.is_err() {
                break;
            }
        }
        error
    }

    /// Appends records with these bytes. Pieces that stand together share records. `scratch` is left empty.
    ///
    /// # Errors
    /// Nothing can be sent: the handshake is not done, or the connection has failed or was closed on this side.
    pub fn encipher<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut pieces = pieces.filter(|piece| !piece.is_empty()).peekable();
        while let Some(mut piece) = pieces.next() {
            if scratch.is_empty() && pieces.peek().is_none() {
                return self.seal(piece, out);
            }
            while !piece.is_empty() {
                let (taken, rest) = piece.split_at(piece.len().min(RECORD_CLEAR_MAX - scratch.len()));
                scratch.extend_from_slice(taken);
                piece = rest;
                if scratch.len() == RECORD_CLEAR_MAX {
                    self.seal(scratch, out)?;
                    scratch.clear();
                }
            }
        }
        let result = if scratch.is_empty() { Ok(()) } else { self.seal(scratch, out) };
        scratch.clear();
        result
    }

    fn seal(&mut self, clear: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.closed {
            return Err(Error::General("closed on this side".into()));
        }
        // rustls wants to see a handshake message that is half there whenever it is asked anything.
        let input = if self.careful { &mut self.gathered[..] } else { &mut [] };
        self.side.write(input, clear, out)
    }

    /// Ends our side: appends a close_notify, once. Nothing can be sent after it.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.closed || self.failed.is_some() || self.is_handshaking() {
            return;
        }
        self.closed = true;
        let input = if self.careful { &mut self.gathered[..] } else { &mut [] };
        self.side.end(input, out);
    }

    /// Whether the handshake is still under way.
    pub fn is_handshaking(&self) -> bool {
        self.side.common().is_handshaking()
    }

    /// Whether the peer has ended its side as it should.
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Whether a record, or a handshake message, is there in part.
    pub fn is_midway(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// What was negotiated.
    pub fn common(&self) -> &CommonState {
        self.side.common()
    }
}

/// Hands a chunk's clear part on.
fn push(clear: &mut VecDeque<Chunk>, mut chunk: Chunk, range: Range<usize>) {
    if !range.is_empty() {
        chunk.truncate(range.end);
        chunk.advance(range.start);
        clear.push_back(chunk);
    }
}

/// Length of the record at the front, if all of it is there. Of what is no record all, for rustls to refuse.
fn record_len(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..HEADER)?;
    // RFC 8446 5.1: change_cipher_spec, alert, handshake, application_data.
    if !(20..=23).contains(&header[0]) || body_len(header) > BODY_MAX {
        return Some(bytes.len());
    }
    let len = HEADER + body_len(header);
    (bytes.len() >= len).then_some(len)
}

fn body_len(header: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([header[3], header[4]]))
}

#[cfg(test)]
mod tests;
