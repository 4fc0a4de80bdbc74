//! An HTTP/2 origin (in clear, by prior knowledge) that does as it is told, frame by frame.
//!
//! `H2Origin::that(|connection| ...)` runs a script for each connection, which reads requests and writes frames; when it
//! returns, the connection is closed. Heads are not decoded, but for the method, which the gateway writes first.
//! Everything has a deadline; a connection that has ended makes [`Connection::next_frame`] say `None`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::h2_raw::{ACK, END_HEADERS, END_STREAM};
pub use crate::h2_raw::{PREFACE, code, kind};
use crate::ports::Port;
use crate::wait::PATIENCE;

/// SETTINGS_MAX_CONCURRENT_STREAMS
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
/// SETTINGS_INITIAL_WINDOW_SIZE
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// A running origin.
pub struct H2Origin {
    port: Port,
    listener: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicUsize,
    /// Heads of requests, in order of arrival.
    seen: Mutex<Vec<Seen>>,
}

/// A request as it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Number of the connection that it came on, from 0.
    pub connection: usize,
    /// Its stream.
    pub stream: u32,
    /// Its method: GET or POST, or anything else.
    pub method: &'static str,
    /// It ended with its head.
    pub ended: bool,
}

impl H2Origin {
    /// Runs that script for every connection, once the preface has come and been answered with no settings.
    pub fn that(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> H2Origin {
        Self::with_settings(&[], script)
    }

    /// The same with settings of its own.
    pub fn with_settings(
        settings: &[(u16, u32)],
        script: impl Fn(&mut Connection) + Send + Sync + 'static,
    ) -> H2Origin {
        let port = Port::free();
        let listener = TcpListener::bind(port.address()).expect("a free port");
        let (shared, script, settings) = (Arc::new(Shared::default()), Arc::new(script), settings.to_vec());
        let (accepting, sharing) = (listener.try_clone().expect("a second handle"), shared.clone());
        std::thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let number = sharing.accepted.fetch_add(1, Ordering::SeqCst);
                let (shared, script, settings) = (sharing.clone(), script.clone(), settings.clone());
                std::thread::spawn(move || {
                    if let Some(mut connection) = Connection::begin(number, stream, shared, &settings) {
                        script(&mut connection);
                    }
                });
            }
        });
        H2Origin { port, listener, shared }
    }

    /// Answers every request with that text.
    pub fn named(name: &'static str) -> H2Origin {
        Self::that(move |connection| {
            while let Some(stream) = connection.next_request() {
                connection.answer(stream, name.as_bytes());
            }
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("seen").clone()
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        // Wakes the acceptor with an error.
        socket2::SockRef::from(&self.listener).shutdown(Shutdown::Both).ok();
    }
}

/// A frame as it arrived.
#[derive(Debug, Clone)]
pub struct Frame {
    /// See [`kind`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 = the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// It ends its stream.
    pub fn ends(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }

    /// The first four bytes as a number: the code of an RST_STREAM.
    pub fn number(&self) -> u32 {
        self.payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}

/// One connection of the gateway's.
pub struct Connection {
    /// Its number, from 0.
    pub number: usize,
    stream: TcpStream,
    shared: Arc<Shared>,
}

impl Connection {
    fn begin(
        number: usize,
        mut stream: TcpStream,
        shared: Arc<Shared>,
        settings: &[(u16, u32)],
    ) -> Option<Connection> {
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).ok()?;
        if preface != PREFACE {
            return None;
        }
        let mut connection = Connection { number, stream, shared };
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        connection.write(kind::SETTINGS, 0, 0, &payload);
        Some(connection)
    }

    /// The next frame that means something: settings and pings are answered, acknowledgements passed over. `None` once the
    /// gateway has closed the connection.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            match frame.kind {
                kind::SETTINGS if frame.flags & ACK == 0 => self.write(kind::SETTINGS, ACK, 0, &[]),
                kind::PING if frame.flags & ACK == 0 => self.write(kind::PING, ACK, 0, &frame.payload),
                kind::SETTINGS | kind::PING => {}
                kind::HEADERS => {
                    let method = match frame.payload.first() {
                        Some(0x82) => "GET",
                        Some(0x83) => "POST",
                        _ => "other",
                    };
                    let seen =
                        Seen { connection: self.number, stream: frame.stream, method, ended: frame.ends() };
                    self.shared.seen.lock().expect("seen").push(seen);
                    return Some(frame);
                }
                _ => return Some(frame),
            }
        }
    }

    /// Reads on to the next head; its stream.
    pub fn next_request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next_frame()?;
            if frame.kind == kind::HEADERS {
                return Some(frame.stream);
            }
        }
    }

    /// Reads on to the next frame of that kind.
    pub fn next_of(&mut self, wanted: u8) -> Option<Frame> {
        loop {
            let frame = self.next_frame()?;
            if frame.kind == wanted {
                return Some(frame);
            }
        }
    }

    /// Answers 200 with that body.
    pub fn answer(&mut self, stream: u32, body: &[u8]) {
        self.head(stream, 200, &[], false);
        self.data(stream, body, true);
    }

    /// Writes a head.
    pub fn head(&mut self, stream: u32, status: u16, fields: &[(&str, &str)], end: bool) {
        let mut block = vec![0x08, 3];
        block.extend_from_slice(status.to_string().as_bytes());
        block.extend(literals(fields));
        self.write(kind::HEADERS, END_HEADERS | u8::from(end), stream, &block);
    }

    /// Writes trailers, which end the stream.
    pub fn trailers(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.write(kind::HEADERS, END_HEADERS | END_STREAM, stream, &literals(fields));
    }

    /// Writes content, at most a frame of it.
    pub fn data(&mut self, stream: u32, content: &[u8], end: bool) {
        self.write(kind::DATA, u8::from(end), stream, content);
    }

    /// Resets a stream.
    pub fn reset(&mut self, stream: u32, code: u32) {
        self.write(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    /// Says that no stream after `last` was or will be processed.
    pub fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.write(kind::GOAWAY, 0, 0, &payload);
    }

    /// Ends this side, and reads on until the gateway has ended its own: what was answered arrives.
    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).ok();
        while self.read().is_some() {}
    }

    /// Lets so many more bytes come on a stream; 0 = the connection.
    pub fn open_window(&mut self, stream: u32, bytes: u32) {
        self.write(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a frame's length");
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend_from_slice(payload);
        // A gateway that has gone away is found out by reading.
        self.stream.write_all(&frame).ok();
    }

    fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }
}

/// Literal fields without indexing and without Huffman coding (RFC 7541 6.2.2).
fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|len| *len < 127).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
