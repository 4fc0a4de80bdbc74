//! The conversation with rustls: what its unbuffered connections, of either side, are asked and what comes of it.
//!
//! Input: records as they came, clear bytes to send. Output: what rustls has to say and what it enciphered, appended to
//! `out`; clear bytes, lent to a closure; how many bytes of the input it is done with. Which bytes it is shown, and when, is
//! the session's matter. Errors are rustls'.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CommonState, Error};

use super::{HEADER, RECORD_CLEAR_MAX};

/// What a record is longer than its clear bytes, at most: header, nonce, type, tag.
const OVERHEAD_MAX: usize = HEADER + 8 + 1 + 16;
/// Bytes that a close_notify takes, behind an answer to a key update.
const CLOSE_MAX: usize = 128;

/// The connection of either side.
pub(super) enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What one look of rustls at the input came to.
pub(super) enum Looked {
    /// It has more to say.
    Again,
    /// It waits for input.
    Waits,
    /// The peer has ended its side (close_notify).
    PeerClosed,
}

impl Side {
    /// What was negotiated.
    pub fn common(&self) -> &CommonState {
        match self {
            Self::Client(connection) => connection,
            Self::Server(connection) => connection,
        }
    }

    /// Lets rustls look at the input. Returns how many bytes at its front it is done with.
    pub fn look(
        &mut self,
        input: &mut [u8],
        out: &mut Vec<u8>,
        clear: impl FnMut(&[u8]),
    ) -> (usize, Result<Looked, Error>) {
        match self {
            Self::Client(connection) => took(connection.process(input), out, clear),
            Self::Server(connection) => took(connection.process(input), out, clear),
        }
    }

    /// Enciphers all of `clear`, behind what rustls itself has to say first.
    pub fn write(&mut self, input: &mut [u8], clear: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Client(connection) => write(connection, input, clear, out),
            Self::Server(connection) => write(connection, input, clear, out),
        }
    }

    /// Appends a close_notify.
    pub fn end(&mut self, input: &mut [u8], out: &mut Vec<u8>) {
        match self {
            Self::Client(connection) => end(connection, input, out),
            Self::Server(connection) => end(connection, input, out),
        }
    }
}

/// What both sides' unbuffered connections do under the same name.
trait Connection {
    type Data;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Connection for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }
}

impl Connection for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }
}

/// Does what rustls asks for next: what it has to send goes to `out`, what is clear to `clear`.
fn took<D>(
    status: UnbufferedStatus<'_, '_, D>,
    out: &mut Vec<u8>,
    mut clear: impl FnMut(&[u8]),
) -> (usize, Result<Looked, Error>) {
    let UnbufferedStatus { discard, state, .. } = status;
    let mut more = 0;
    let looked = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    more += record.discard;
                    clear(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Looked::Again),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let at = out.len();
            let mut result = data.encode(&mut []);
            if let Err(EncodeError::InsufficientSize(size)) = &result {
                out.resize(at + size.required_size, 0);
                result = data.encode(&mut out[at..]);
            }
            out.truncate(at + result.as_ref().copied().unwrap_or(0));
            result.map(|_| Looked::Again).map_err(|error| Error::General(error.to_string()))
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // `out` keeps the order; when it is sent is its owner's matter.
            data.done();
            Ok(Looked::Again)
        }
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Looked::PeerClosed),
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Looked::Waits),
        // Early data is never offered or accepted.
        Ok(_) => Err(Error::General("early data".into())),
    };
    (discard + more, looked)
}

fn write(
    connection: &mut impl Connection,
    input: &mut [u8],
    clear: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    loop {
        match connection.process(input) {
            UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(mut traffic)), .. } => {
                let at = out.len();
                out.resize(at + clear.len() + (clear.len() / RECORD_CLEAR_MAX + 1) * OVERHEAD_MAX, 0);
                let mut result = traffic.encrypt(clear, &mut out[at..]);
                if let Err(EncryptError::InsufficientSize(size)) = &result {
                    // An answer to a key update goes first.
                    out.resize(at + size.required_size, 0);
                    result = traffic.encrypt(clear, &mut out[at..]);
                }
                out.truncate(at + result.as_ref().copied().unwrap_or(0));
                return result.map(drop).map_err(|error| Error::General(error.to_string()));
            }
            status => match took(status, out, |_| {}) {
                (_, Ok(Looked::Again | Looked::PeerClosed)) => {}
                (_, Ok(Looked::Waits)) => return Err(Error::HandshakeNotComplete),
                (_, Err(error)) => return Err(error),
            },
        }
    }
}

fn end(connection: &mut impl Connection, input: &mut [u8], out: &mut Vec<u8>) {
    loop {
        match connection.process(input) {
            UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(mut traffic)), .. } => {
                let at = out.len();
                out.resize(at + CLOSE_MAX, 0);
                let written = traffic.queue_close_notify(&mut out[at..]).unwrap_or(0);
                return out.truncate(at + written);
            }
            status => match took(status, out, |_| {}) {
                (_, Ok(Looked::Again | Looked::PeerClosed)) => {}
                _ => return,
            },
        }
    }
}
