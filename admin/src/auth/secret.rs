//! Random secrets: session ids, CSRF tokens, API tokens, one-time links, secrets of tenants.
//!
//! 256 bits each, from the system by way of aws-lc-rs, written in base64url. What is stored is their SHA-256: unlike
//! passwords they cannot be guessed, so a fast hash is enough, and a copy of the database lets nobody in.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What API tokens begin with, so that scanners for leaked secrets know them.
pub const TOKEN_PREFIX: &str = "cga_";

/// Random bytes.
///
/// # Panics
/// If the system has no randomness: nothing that needs a secret may go on then.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "a predictable secret would be worse")]
    rand::fill(&mut bytes).expect("the system gives no random bytes");
    bytes
}

/// A new secret, 43 characters.
pub fn random() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}

/// A new API token.
pub fn token() -> String {
    format!("{TOKEN_PREFIX}{}", random())
}

/// What is stored of a secret: SHA-256, 64 hexadecimal digits.
pub fn digest(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two secrets are the same, in a time that does not depend on where they differ.
pub fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn secrets_are_long_different_and_stored_as_a_digest() {
        let (one, other) = (super::random(), super::token());
        assert_eq!(one.len(), 43);
        assert!(other.starts_with("cga_") && other.len() == 47);
        assert_ne!(one, super::random());
        assert_eq!(super::digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(super::same("a", "a") && !super::same("a", "b") && !super::same("a", "ab"));
    }
}
