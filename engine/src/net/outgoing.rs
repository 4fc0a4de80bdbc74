//! What one send carries: bytes of its own and received chunks, in order.
//!
//! Small pieces are copied into the bytes, since a few hundred nanoseconds of copying cost less than another entry in
//! the kernel's list; large chunks are sent from where they were received. The whole is handed to the kernel as it is
//! and comes back with the completion, so it is made once and reused (`Net::outgoing`).

use std::mem::MaybeUninit;
use std::ptr;

use super::buffers::Chunk;
use super::limits::CHUNKS_SENT_MAX;

/// A chunk of at most this many bytes is copied.
const COPY_MAX: usize = 2048;

/// Bytes to send, in order. Invariant: `parts` covers `bytes` and all chunks in sending order; while the kernel has it
/// (it then lives in a socket's state and in nobody's hands) nothing of it changes but `message`, `vectors` and `sent`.
#[derive(Default)]
pub struct Outgoing {
    /// Heads, framing and copied data.
    bytes: Vec<u8>,
    /// Empty as long as `bytes` alone is all there is; then a part for each chunk and for the bytes before it.
    parts: Vec<Part>,
    /// Bytes in `parts` that are chunks.
    chunk_bytes: usize,
    /// Bytes that the kernel has taken.
    sent: usize,
    /// What the kernel reads when there is more than one part.
    message: Option<Box<Message>>,
}

enum Part {
    /// `bytes` up to this offset, from where the part before left off.
    BytesTo(usize),
    Chunk(Chunk),
}

struct Message {
    header: libc::msghdr,
    vectors: Vec<libc::iovec>,
}

/// What to tell the kernel to send. Valid for as long as the `Outgoing` it came from is neither changed nor dropped
/// (moving it is allowed: what it points at is on the heap).
pub(super) enum Pointers {
    Bytes(*const u8, usize),
    Message(*const libc::msghdr),
}

impl Outgoing {
    /// Bytes to append to: heads and framing.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a received chunk: copied if it is small, sent from where it is otherwise.
    pub fn push_chunk(&mut self, chunk: Chunk) {
        if chunk.len() <= COPY_MAX {
            self.bytes.extend_from_slice(&chunk);
            return;
        }
        self.chunk_bytes += chunk.len();
        self.parts.push(Part::BytesTo(self.bytes.len()));
        self.parts.push(Part::Chunk(chunk));
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.chunk_bytes
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it should be sent before more is appended.
    pub fn is_full(&self) -> bool {
        self.parts.len() >= 2 * CHUNKS_SENT_MAX || self.bytes.len() >= 16 * COPY_MAX
    }

    /// Empties it for reuse.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.parts.clear();
        self.chunk_bytes = 0;
        self.sent = 0;
    }

    /// Bytes allocated for its own bytes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Sends it from the start again, after a failure.
    pub fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Notes that some of it may be on its way, though the kernel did not get it in this form.
    pub fn mark_sent(&mut self) {
        self.sent = self.sent.max(1);
    }

    /// Notes that the kernel took `n` more bytes. Returns whether all of it is sent.
    pub(super) fn advance(&mut self, n: usize) -> bool {
        self.sent += n;
        self.sent >= self.len()
    }

    /// Bytes that the kernel has taken so far.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// What is left to send.
    pub(super) fn pointers(&mut self) -> Pointers {
        if self.parts.is_empty() {
            let rest = &self.bytes[self.sent.min(self.bytes.len())..];
            return Pointers::Bytes(rest.as_ptr(), rest.len());
        }
        let mut message = self.message.take().unwrap_or_else(|| Box::new(Message::new()));
        message.vectors.clear();
        let mut skip = self.sent;
        for piece in self.pieces() {
            let rest = &piece[skip.min(piece.len())..];
            skip = skip.saturating_sub(piece.len());
            if !rest.is_empty() {
                let iov_base = rest.as_ptr().cast_mut().cast();
                message.vectors.push(libc::iovec { iov_base, iov_len: rest.len() });
            }
        }
        let message = self.message.insert(message);
        message.header.msg_iov = message.vectors.as_mut_ptr();
        message.header.msg_iovlen = message.vectors.len();
        Pointers::Message(&raw const message.header)
    }

    /// All of it, in order; some pieces may be empty.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let rest_from = self.parts.iter().rev().find_map(|part| match part {
            Part::BytesTo(to) => Some(*to),
            Part::Chunk(_) => None,
        });
        let parts = self.parts.iter().map(move |part| match part {
            Part::BytesTo(to) => {
                let piece = &self.bytes[from..*to];
                from = *to;
                piece
            }
            Part::Chunk(chunk) => &chunk[..],
        });
        parts.chain(std::iter::once(&self.bytes[rest_from.unwrap_or(0)..]))
    }
}

impl Message {
    fn new() -> Self {
        // SAFETY: msghdr is plain data for which all zeroes is a valid value: no name, no vectors, no control data.
        let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        header.msg_name = ptr::null_mut();
        Self { header, vectors: Vec::with_capacity(2 * CHUNKS_SENT_MAX + 1) }
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Outgoing({} of {} bytes sent)", self.sent, self.len())
    }
}
