//! Request ids: kept if the client sent one that is fit, else made: 16 hexadecimal digits of the shard's own, drawn at
//! start, and 16 of a count. So they differ over shards, processes and restarts, and cost a few nanoseconds.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// The id of one request.
#[derive(Debug, Clone)]
pub enum RequestId {
    /// The client's.
    Kept(Box<str>),
    /// Ours, as hexadecimal digits.
    Made([u8; 32]),
}

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Kept(id) => id,
            Self::Made(digits) => std::str::from_utf8(digits).unwrap_or_default(),
        }
    }
}

/// A shard's source of ids.
pub struct RequestIds {
    prefix: u64,
    count: Cell<u64>,
}

impl RequestIds {
    /// A source with a prefix of its own, from the operating system's randomness.
    pub fn new(shard: usize) -> Self {
        Self { prefix: RandomState::new().hash_one(shard), count: Cell::new(0) }
    }

    /// The id of the next request.
    pub fn next(&self, client: Option<&str>) -> RequestId {
        if let Some(id) = client {
            return RequestId::Kept(id.into());
        }
        self.count.set(self.count.get() + 1);
        let mut digits = [0; 32];
        hex(self.prefix, &mut digits[..16]);
        hex(self.count.get(), &mut digits[16..]);
        RequestId::Made(digits)
    }
}

fn hex(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 0xf) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_or_made_and_differ() {
        let ids = RequestIds::new(0);
        assert_eq!(ids.next(Some("abc")).as_str(), "abc");
        let (first, second) = (ids.next(None), ids.next(None));
        assert_ne!(first.as_str(), second.as_str());
        assert_eq!(first.as_str().len(), 32);
        assert_ne!(first.as_str()[..16], RequestIds::new(0).next(None).as_str()[..16]);
    }
}
