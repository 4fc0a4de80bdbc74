//! An HTTP/2 client that sends any frames, and reads frames as they come. It understands nothing but their heads.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::wait::PATIENCE;

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub mod kind {
    #![expect(missing_docs, reason = "RFC 9113 6")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Error codes.
pub mod code {
    #![expect(missing_docs, reason = "RFC 9113 7")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// Flags.
pub const END_STREAM: u8 = 0x1;
/// Of SETTINGS and PING.
pub const ACK: u8 = 0x1;
/// Of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 0x4;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// See [`kind`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// 0 = the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a short frame").to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], self.kind, self.flags];
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The error code of a RST_STREAM or GOAWAY frame.
    pub fn code(&self) -> u32 {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    Frame { kind, flags, stream, payload: payload.to_vec() }.bytes()
}

/// A header block: a GET (or, with those, other) request with these further fields, nothing indexed.
pub fn block(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    literal(&mut block, 0x04, None, path);
    literal(&mut block, 0x01, None, "test");
    fields.iter().for_each(|(name, value)| literal(&mut block, 0x00, Some(name), value));
    block
}

/// A field as HPACK has it (RFC 7541 6.2.2): without Huffman codes.
fn literal(out: &mut Vec<u8>, index: u8, name: Option<&str>, value: &str) {
    out.push(index);
    for text in name.into_iter().chain([value]) {
        let mut length = text.len();
        if length < 127 {
            out.push(u8::try_from(length).expect("small"));
        } else {
            out.push(127);
            length -= 127;
            while length >= 128 {
                out.push(u8::try_from(length % 128).expect("small") | 0x80);
                length /= 128;
            }
            out.push(u8::try_from(length).expect("small"));
        }
        out.extend(text.as_bytes());
    }
}

/// A GET request that is whole.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &block(path, &[]))
}

/// One client connection.
#[derive(Debug)]
pub struct RawH2 {
    stream: TcpStream,
}

impl RawH2 {
    /// Connects, and sends preface and empty SETTINGS.
    pub fn connect(to: SocketAddr) -> RawH2 {
        RawH2::with_settings(to, &[])
    }

    /// Connects with these settings.
    pub fn with_settings(to: SocketAddr, settings: &[(u16, u32)]) -> RawH2 {
        let mut raw = RawH2::silent(to);
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        raw.send(PREFACE);
        raw.send(frame(kind::SETTINGS, 0, 0, &payload));
        raw
    }

    /// Connects and says nothing.
    pub fn silent(to: SocketAddr) -> RawH2 {
        let stream = TcpStream::connect_timeout(&to, PATIENCE).expect("connect");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        RawH2 { stream }
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("send");
    }

    /// Sends all of `floods` over and over on a thread of its own, until the connection takes no more or so many times.
    pub fn flood(&self, times: usize, mut flood: impl FnMut(usize) -> Vec<u8> + Send + 'static) {
        let mut stream = self.stream.try_clone().expect("a second handle");
        std::thread::spawn(move || {
            for n in 0..times {
                if stream.write_all(&flood(n)).is_err() {
                    return;
                }
            }
        });
    }

    /// The next frame; `None` at the connection's end.
    pub fn read(&mut self) -> io::Result<Option<Frame>> {
        let mut head = [0; 9];
        let mut read = 0;
        while read < head.len() {
            match self.stream.read(&mut head[read..])? {
                0 if read == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => read += n,
            }
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes(head[5..9].try_into().expect("four bytes")) & 0x7fff_ffff;
        Ok(Some(Frame { kind: head[3], flags: head[4], stream, payload }))
    }

    /// Reads until there is a frame like that, and returns it.
    #[track_caller]
    pub fn expect(&mut self, what: &str, mut like: impl FnMut(&Frame) -> bool) -> Frame {
        loop {
            match self.read() {
                Ok(Some(frame)) if like(&frame) => return frame,
                Ok(Some(_)) => {}
                other => panic!("{other:?} before {what}"),
            }
        }
    }

    /// Waits for the GOAWAY that ends the connection; its code.
    #[track_caller]
    pub fn expect_goaway(&mut self) -> u32 {
        self.expect("GOAWAY", |frame| frame.kind == kind::GOAWAY).code()
    }

    /// Reads to the connection's end, however it ends.
    pub fn read_to_end(&mut self) {
        while let Ok(Some(_)) = self.read() {}
    }

    /// Changes how long a frame may take.
    pub fn set_patience(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a read timeout");
    }

    /// Ends our side.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
    }
}
