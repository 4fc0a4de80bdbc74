//! The key of a WebSocket that the gateway opens for an HTTP/2 client, which has none (RFC 6455 4, RFC 8441 5).

use std::hash::{BuildHasher, RandomState};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// A Sec-WebSocket-Key.
pub struct Key(String);

impl Key {
    /// One that was not used before. It need not be secret, only different (RFC 6455 10.3).
    pub fn random() -> Self {
        let random = [RandomState::new().hash_one(0), RandomState::new().hash_one(1)];
        Self(STANDARD.encode(random.map(u64::to_ne_bytes).as_flattened()))
    }

    /// The field's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The Sec-WebSocket-Accept that answers it.
    pub fn accept(&self) -> String {
        let mut hash = Sha1::new();
        hash.update(self.0.as_bytes());
        hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        STANDARD.encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_in_the_rfc() {
        let key = Key("dGhlIHNhbXBsZSBub25jZQ==".into());
        assert_eq!(key.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_of_sixteen_bytes_and_differ() {
        let (one, other) = (Key::random(), Key::random());
        assert_eq!(STANDARD.decode(one.as_str()).unwrap().len(), 16);
        assert_ne!(one.as_str(), other.as_str());
    }
}
