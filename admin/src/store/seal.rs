//! Certificate keys at rest: AES-256-GCM, so that a copy of the database gives no key away.
//!
//! A sealed key is `enc:v1:` and base64 of nonce (12 bytes), ciphertext and tag (16 bytes); the certificate's name is
//! authenticated with it, so one row's key cannot be put into another. The sealing key comes from a file or the
//! environment, as 32 bytes, 64 hexadecimal digits or base64; a nonce is random, which is safe for 2^32 keys.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::StoreError;

const PREFIX: &str = "enc:v1:";
const KEY_BYTES: usize = 32;
/// Longest key file; 64 digits and an end of line are usual.
const FILE_BYTES_MAX: u64 = 1024;

/// The key that seals.
#[derive(Clone)]
pub struct SealingKey(Arc<RandomizedNonceKey>);

impl SealingKey {
    /// Reads a key file, which nobody but its owner and group may read.
    pub fn from_file(path: &Path) -> Result<Self, StoreError> {
        let wrong = |what: String| StoreError::Sealing(format!("key file {}: {what}", path.display()));
        let file = std::fs::File::open(path).map_err(|error| wrong(format!("{error}; {FORM}")))?;
        let mode = file.metadata().map_err(|error| wrong(error.to_string()))?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(wrong(format!("everybody may read it (mode {:o}): chmod o= it", mode & 0o777)));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
        if bytes.len() == KEY_BYTES {
            return Self::new(&bytes);
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong(FORM.to_owned()))?;
        text.parse().map_err(|_| wrong(FORM.to_owned()))
    }

    fn new(bytes: &[u8]) -> Result<Self, StoreError> {
        RandomizedNonceKey::new(&AES_256_GCM, bytes)
            .map(|key| Self(Arc::new(key)))
            .map_err(|_| StoreError::Sealing(FORM.to_owned()))
    }

    /// Reads a key file, or makes it, with a new key and mode 0600.
    pub fn from_file_or_new(path: &Path) -> Result<Self, StoreError> {
        let wrong =
            |error: std::io::Error| StoreError::Sealing(format!("key file {}: {error}", path.display()));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match made {
            Ok(mut file) => {
                let mut text: String = random()?.iter().map(|byte| format!("{byte:02x}")).collect();
                text.push('\n');
                file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
                text.parse()
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Self::from_file(path),
            Err(error) => Err(wrong(error)),
        }
    }

    /// `text`, sealed for that name.
    pub fn seal(&self, name: &str, text: &str) -> Result<String, StoreError> {
        let mut sealed = text.as_bytes().to_vec();
        let failed = |_| StoreError::Sealing("the key could not be sealed".to_owned());
        let nonce =
            self.0.seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut sealed).map_err(failed)?;
        let bytes = [nonce.as_ref().as_slice(), &sealed].concat();
        Ok(format!("{PREFIX}{}", STANDARD.encode(bytes)))
    }

    /// What was sealed for that name.
    pub fn open(&self, name: &str, sealed: &str) -> Result<String, StoreError> {
        let wrong = || {
            StoreError::Sealing(format!(
                "the key of {name:?} cannot be opened: it was sealed with another key than the one given (--key-file), \
                 or changed"
            ))
        };
        let text = sealed.strip_prefix(PREFIX).ok_or_else(wrong)?;
        let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut plain = sealed.to_vec();
        let opened =
            self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut plain).map_err(|_| wrong())?.len();
        plain.truncate(opened);
        String::from_utf8(plain).map_err(|_| wrong())
    }
}

/// Whether a text is sealed.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

const FORM: &str =
    "a key is 32 random bytes, as they are, as 64 hexadecimal digits or in base64 (openssl rand -hex 32)";

impl FromStr for SealingKey {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let wrong = || StoreError::Sealing(FORM.to_owned());
        let text = text.trim();
        let bytes = from_hex(text).or_else(|| STANDARD.decode(text).ok()).ok_or_else(wrong)?;
        Self::new(&bytes)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("SealingKey(***)")
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
        return None;
    }
    (0..KEY_BYTES).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}

fn random() -> Result<[u8; KEY_BYTES], StoreError> {
    let mut bytes = [0; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| StoreError::Sealing("the system gives no random numbers".to_owned()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> SealingKey {
        STANDARD.encode([fill; KEY_BYTES]).parse().unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_name_alone() {
        let sealed = key(1).seal("web", "a private key").unwrap();
        assert!(is_sealed(&sealed) && !sealed.contains("private"));
        assert_eq!(key(1).open("web", &sealed).unwrap(), "a private key");
        assert!(key(1).open("other", &sealed).is_err());
        assert!(key(2).open("web", &sealed).is_err());
        assert_ne!(sealed, key(1).seal("web", "a private key").unwrap(), "a nonce of its own each time");
    }

    #[test]
    fn what_was_changed_or_cut_does_not_open() {
        let sealed = key(1).seal("web", "a private key").unwrap();
        let bytes = STANDARD.decode(&sealed[PREFIX.len()..]).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let cut = &bytes[..at];
            for bytes in [&changed[..], cut] {
                assert!(key(1).open("web", &format!("{PREFIX}{}", STANDARD.encode(bytes))).is_err());
            }
        }
        assert!(key(1).open("web", "a private key").is_err());
    }

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coregate-admin.key");
        let sealed = SealingKey::from_file_or_new(&path).unwrap().seal("a", "b").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SealingKey::from_file_or_new(&path).unwrap().open("a", &sealed).unwrap(), "b");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = SealingKey::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("everybody may read it") && error.contains("644"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        for text in ["", "abc", &"0".repeat(63), &"g".repeat(64), "passwordpassword"] {
            let error = text.parse::<SealingKey>().unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
            assert!(text.is_empty() || !error.contains(text));
        }
        assert!("0f".repeat(32).parse::<SealingKey>().is_ok());
    }
}
