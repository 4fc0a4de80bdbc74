//! HTTP/1.1 bodies on a connection: reading one off a stream, and framing one into what is sent. The same for both
//! sides of the gateway.

use std::io;

use crate::http::body::{BodyDecoder, BodyFraming, Step, write_chunk_size, write_last_chunk};
use crate::http::inbox::Inbox;
use crate::net::{Chunk, Net, Outgoing};
use crate::relay::{Append, Piece, ReadError, Sink, Source};
use crate::stream::Stream;

/// A body to read from a connection.
pub struct Incoming<'a> {
    stream: &'a Stream,
    inbox: &'a mut Inbox,
    decoder: BodyDecoder,
    trailers: Vec<u8>,
    /// Content bytes that may still come.
    left_max: u64,
    /// Content bytes read.
    bytes: u64,
    /// The peer has ended its side.
    eof: bool,
}

impl<'a> Incoming<'a> {
    /// A body of this framing and of at most `bytes_max` bytes, of which the inbox may already hold a part.
    pub fn new(stream: &'a Stream, inbox: &'a mut Inbox, framing: BodyFraming, bytes_max: u64) -> Self {
        Self {
            stream,
            inbox,
            decoder: framing.into(),
            trailers: Vec::new(),
            left_max: bytes_max,
            bytes: 0,
            eof: false,
        }
    }

    /// Content bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether all of it has been read.
    pub fn is_done(&self) -> bool {
        self.decoder.is_done() || (self.eof && self.decoder.on_eof().is_ok())
    }

    fn step(&mut self) -> Result<Piece, ReadError> {
        let slot = self.inbox.chunk();
        let bytes = slot.as_deref().unwrap_or_default();
        let step = self.decoder.next(bytes, &mut self.trailers).map_err(ReadError::Body)?;
        let taken = match &step {
            Step::Data(range) => range.end,
            Step::NeedMore { consumed } | Step::End { consumed } => *consumed,
        };
        let head = match slot {
            Some(chunk) if chunk.len() > taken => Some(chunk.split_to(taken)),
            whole => whole.take(),
        };
        Ok(match (step, head) {
            (Step::Data(range), Some(mut data)) => {
                data.advance(range.start);
                self.bytes += data.len() as u64;
                self.left_max = self.left_max.checked_sub(data.len() as u64).ok_or(ReadError::TooLarge)?;
                Piece::Data(data)
            }
            (Step::End { .. }, _) => Piece::End,
            _ => Piece::Wait,
        })
    }
}

impl Source for Incoming<'_> {
    fn try_next(&mut self) -> Result<Piece, ReadError> {
        loop {
            match self.step()? {
                Piece::Wait => {}
                piece => return Ok(piece),
            }
            match self.stream.try_receive() {
                Some(chunk) => self.inbox.add(chunk),
                None if self.eof => {
                    return self.decoder.on_eof().map(|()| Piece::End).map_err(ReadError::Body);
                }
                None => return Ok(Piece::Wait),
            }
        }
    }

    async fn ready(&mut self) -> Result<(), ReadError> {
        match self.stream.receive().await {
            Ok(Some(chunk)) => self.inbox.add(chunk),
            Ok(None) => self.eof = true,
            Err(_) => return Err(ReadError::Gone),
        }
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.stream.has_failed()
    }

    fn begin_tunnel(&mut self) {
        self.decoder = BodyDecoder::UntilClose;
        self.left_max = u64::MAX;
    }

    fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}

/// Content on its way to a stream.
pub struct Upload<'a> {
    net: &'a Net,
    stream: &'a Stream,
    /// What is to be sent next; a head may be written into it.
    pub out: Outgoing,
    /// How content is framed from here on.
    pub framing: BodyFraming,
    /// Bytes handed to the stream.
    bytes: u64,
}

impl<'a> Upload<'a> {
    /// Content of this framing.
    pub fn new(net: &'a Net, stream: &'a Stream, framing: BodyFraming) -> Self {
        Self { net, stream, out: net.outgoing(), framing, bytes: 0 }
    }

    /// Bytes handed to the stream.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.net.recycle(std::mem::take(&mut self.out));
    }
}

impl Append for Upload<'_> {
    fn push(&mut self, chunk: Chunk) {
        frame(&mut self.out, self.framing, chunk);
    }

    fn end(&mut self, trailers: &[u8]) {
        frame_end(&mut self.out, self.framing, trailers);
    }

    fn is_full(&self) -> bool {
        self.out.is_full()
    }
}

impl Sink for Upload<'_> {
    async fn shut_down(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.flush().await?;
        self.stream.shut_down();
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.bytes += self.out.len() as u64;
        self.stream.post(std::mem::replace(&mut self.out, self.net.outgoing())).await
    }
}

/// Frames content into `out` (RFC 9112 6 and 7).
pub fn frame(out: &mut Outgoing, framing: BodyFraming, chunk: Chunk) {
    if framing == BodyFraming::Chunked {
        write_chunk_size(out.bytes(), chunk.len());
        out.push_chunk(chunk);
        out.bytes().extend_from_slice(b"\r\n");
    } else {
        out.push_chunk(chunk);
    }
}

/// Frames the end of content into `out`.
pub fn frame_end(out: &mut Outgoing, framing: BodyFraming, trailers: &[u8]) {
    if framing == BodyFraming::Chunked {
        write_last_chunk(out.bytes(), trailers);
    }
}
