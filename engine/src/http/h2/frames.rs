//! Frames in a stream of bytes: their heads, wherever the bytes were split (RFC 9113 4.1).
//!
//! Input: what a peer sends, from a connection's first byte on. Output: [`Seen`]s, in order. Nothing but a frame's head is
//! held, payloads are passed over. Whether a frame may come where it comes is the `h2` crate's to judge; this only looks.

/// Bytes of a client's connection preface (RFC 9113 3.4).
const PREFACE_BYTES: usize = 24;
/// Bytes of a frame's head.
const HEAD_BYTES: usize = 9;

/// What a frame is. The rest is [`Kind::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RFC 9113 6.1
    Data,
    /// RFC 9113 6.2
    Headers,
    /// RFC 9113 6.4
    Reset,
    /// RFC 9113 6.10
    Continuation,
    /// RFC 9113 6.9
    WindowUpdate,
    /// PRIORITY, SETTINGS, PUSH_PROMISE, PING, GOAWAY, and what is not known.
    Other,
}

/// A frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of payload.
    pub len: u32,
    /// What it is.
    pub kind: Kind,
    /// The flag END_STREAM (or ACK, of frames that have that).
    pub end_stream: bool,
    /// The flag END_HEADERS.
    pub end_headers: bool,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A frame has begun: its head is there.
    Begun(Head),
    /// All of that frame is there.
    Ended(Head),
}

/// Follows the frames of one connection.
#[derive(Debug)]
pub struct Scanner {
    /// Bytes of the head that are there.
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Bytes to pass over: of the preface, then of payloads.
    skip: usize,
    /// The frame whose payload is passed over.
    current: Option<Head>,
}

impl Scanner {
    /// Of what a client sends.
    pub fn of_client() -> Self {
        Self { skip: PREFACE_BYTES, ..Self::of_server() }
    }

    /// Of what a server sends, which begins with a frame.
    pub fn of_server() -> Self {
        Self { head: [0; HEAD_BYTES], head_bytes: 0, skip: 0, current: None }
    }

    /// Takes the next bytes and tells what is seen in them.
    pub fn scan(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Seen)) {
        loop {
            let passed = self.skip.min(bytes.len());
            bytes = &bytes[passed..];
            self.skip -= passed;
            if self.skip > 0 {
                return;
            }
            if let Some(head) = self.current.take() {
                seen(Seen::Ended(head));
            }
            let taken = (HEAD_BYTES - self.head_bytes).min(bytes.len());
            self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.head_bytes += taken;
            if self.head_bytes < HEAD_BYTES {
                return;
            }
            self.head_bytes = 0;
            let head = Head::from(&self.head);
            self.skip = head.len as usize;
            self.current = Some(head);
            seen(Seen::Begun(head));
        }
    }
}

impl From<&[u8; HEAD_BYTES]> for Head {
    fn from(bytes: &[u8; HEAD_BYTES]) -> Self {
        let kind = match bytes[3] {
            0x0 => Kind::Data,
            0x1 => Kind::Headers,
            0x3 => Kind::Reset,
            0x8 => Kind::WindowUpdate,
            0x9 => Kind::Continuation,
            _ => Kind::Other,
        };
        let len = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        Self { len, kind, end_stream: bytes[4] & 0x1 != 0, end_headers: bytes[4] & 0x4 != 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<Seen> {
        let (mut scanner, mut all) = (Scanner::of_client(), Vec::new());
        pieces.iter().for_each(|piece| scanner.scan(piece, |seen| all.push(seen)));
        all
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn frames_are_seen_wherever_the_bytes_are_split() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, flags, payload) in
            [(4, 0, &b""[..]), (1, 0, b"abc"), (9, 4, b"de"), (0, 0, &[7; 300]), (3, 0, b"1234"), (0, 1, b"")]
        {
            bytes.extend(frame(kind, flags, payload));
        }
        let whole = all(&[&bytes]);
        let head = |len, kind, end_stream, end_headers| Head { len, kind, end_stream, end_headers };
        let heads = [
            head(0, Kind::Other, false, false),
            head(3, Kind::Headers, false, false),
            head(2, Kind::Continuation, false, true),
            head(300, Kind::Data, false, false),
            head(4, Kind::Reset, false, false),
            head(0, Kind::Data, true, false),
        ];
        let expected: Vec<_> =
            heads.iter().flat_map(|&head| [Seen::Begun(head), Seen::Ended(head)]).collect();
        assert_eq!(whole, expected);
        for at in 0..bytes.len() {
            assert_eq!(all(&[&bytes[..at], &bytes[at..]]), whole, "split at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(all(&single), whole);
    }

    proptest! {
        #[test]
        fn any_bytes_are_passed_over_the_same_way_in_any_pieces(
            bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1usize..50
        ) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(all(&pieces), all(&[&bytes]));
        }
    }
}
