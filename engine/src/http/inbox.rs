//! What an HTTP/1.1 peer has sent and nobody has read yet: heads that may be split over chunks, and bodies.
//!
//! Input: chunks as the socket received them. Output: one contiguous slice for a head, chunks for a body. The common
//! head lies whole in one chunk and is never copied; one that is split is gathered in memory of its own, so that a
//! slow head holds no receive buffer. Bounded by what a head may be long plus one chunk.

use bytes::Bytes;

use crate::net::Chunk;

/// Received and unread bytes of one connection.
#[derive(Debug, Default)]
pub struct Inbox {
    /// A head in parts. If it is not empty, it ends with the bytes of `chunk` (if there is one).
    gathered: Vec<u8>,
    chunk: Option<Chunk>,
}

impl From<Option<Chunk>> for Inbox {
    fn from(chunk: Option<Chunk>) -> Self {
        Self { gathered: Vec::new(), chunk }
    }
}

impl Inbox {
    /// All unread bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.chunk {
            Some(chunk) if self.gathered.is_empty() => chunk,
            _ => &self.gathered,
        }
    }

    /// Whether nothing is unread.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// Adds received bytes after those that are unread.
    pub fn add(&mut self, chunk: Chunk) {
        self.gather();
        if !self.gathered.is_empty() {
            self.gathered.extend_from_slice(&chunk);
        }
        self.chunk = Some(chunk);
    }

    /// Copies what is unread, which gives the receive buffer back: for a head that is not whole.
    pub fn gather(&mut self) {
        if let Some(chunk) = self.chunk.take()
            && self.gathered.is_empty()
        {
            self.gathered.extend_from_slice(&chunk);
        }
    }

    /// All unread bytes, for another protocol than HTTP/1.1.
    pub fn into_chunk(self) -> Option<Chunk> {
        match self.chunk {
            Some(chunk) if self.gathered.is_empty() => Some(chunk),
            _ => (!self.gathered.is_empty()).then(|| Bytes::from(self.gathered).into()),
        }
    }

    /// Takes a head of so many bytes off; what follows it is left as a chunk.
    pub fn consume_head(&mut self, len: usize) {
        if let Some(chunk) = &mut self.chunk {
            let before = if self.gathered.is_empty() { 0 } else { self.gathered.len() - chunk.len() };
            chunk.advance(len.saturating_sub(before));
            self.gathered = Vec::new();
            if chunk.is_empty() {
                self.chunk = None;
            }
        } else {
            // A head only becomes whole with a chunk, so nothing follows it here.
            debug_assert_eq!(len, self.gathered.len());
            self.gathered = Vec::new();
        }
    }

    /// The chunk at the front, for reading a body. A head has been taken off before, so nothing is gathered.
    pub fn chunk(&mut self) -> &mut Option<Chunk> {
        debug_assert!(self.gathered.is_empty());
        &mut self.chunk
    }
}
