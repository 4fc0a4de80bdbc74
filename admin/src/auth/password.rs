//! Passwords: their rules, and argon2id on threads of their own.
//!
//! Hashing takes tens of milliseconds and [`MEMORY_KIB`] of memory on purpose, so at most [`AT_ONCE`] run at a time and at
//! most [`WAITING_MAX`] wait; further ones are refused ([`Busy`]). [`Hasher::verify`] takes as long for an account that
//! does not exist as for one that does: it then hashes against a password that nobody knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use super::secret;

/// Memory for one hash; with [`PASSES`] the first choice of OWASP's password storage cheat sheet for argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes at a time.
const AT_ONCE: usize = 2;
/// Hashes that wait for their turn.
const WAITING_MAX: usize = 32;

/// Fewest characters of a password.
pub const CHARACTERS_MIN: usize = 10;
/// Most bytes of a password.
pub const BYTES_MAX: usize = 256;

/// Too many passwords are being checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Busy;

/// Hashes and verifies.
#[derive(Clone)]
pub struct Hasher {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// Of a password that nobody knows.
    decoy: Arc<str>,
}

impl Hasher {
    /// Takes as long as one hash.
    pub fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(AtomicUsize::new(0)),
            decoy: hash(&secret::random()).into(),
        }
    }

    /// The hash to store, in PHC's format.
    pub async fn hash(&self, password: String) -> Result<String, Busy> {
        self.run(move || hash(&password)).await
    }

    /// Whether it is that password. Without a stored hash, or with one that is none, it never is, and takes as long.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool, Busy> {
        let usable = stored.filter(|stored| PasswordHash::new(stored).is_ok());
        let known = usable.is_some();
        let against = usable.unwrap_or_else(|| self.decoy.as_ref().to_owned());
        self.run(move || verify(&password, &against)).await.map(|is| is && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let _waiting = Waiting::begin(&self.waiting).ok_or(Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Busy)?;
        // The turn goes with the work, which goes on when whoever asked is gone.
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await
        .map_err(|_| Busy)
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

/// One that waits or runs.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn begin(count: &Arc<AtomicUsize>) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(Arc::clone(count));
        (before < AT_ONCE + WAITING_MAX).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn argon2() -> Argon2<'static> {
    // The numbers are constants that argon2 takes; its defaults are no weaker.
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> String {
    // 16 random bytes are a salt of the right length, and a password within its bounds can be hashed: an empty hash, which
    // no password matches, is never made.
    SaltString::encode_b64(&secret::bytes::<16>())
        .and_then(|salt| argon2().hash_password(password.as_bytes(), &salt).map(|hash| hash.to_string()))
        .unwrap_or_default()
}

fn verify(password: &str, stored: &str) -> bool {
    PasswordHash::new(stored)
        .is_ok_and(|stored| argon2().verify_password(password.as_bytes(), &stored).is_ok())
}

/// What is wrong with a new password, if anything.
pub fn weakness(password: &str, name: &str) -> Option<String> {
    let characters = password.chars().count();
    if characters < CHARACTERS_MIN {
        return Some(format!(
            "at least {CHARACTERS_MIN} characters, not {characters}; several words make a good one"
        ));
    }
    if password.len() > BYTES_MAX {
        return Some(format!("at most {BYTES_MAX} bytes, not {}", password.len()));
    }
    let lower = password.to_lowercase();
    if !name.is_empty() && lower.replace(&name.to_lowercase(), "").chars().count() < CHARACTERS_MIN / 2 {
        return Some("it is little more than the account's name".to_owned());
    }
    let different = lower.chars().collect::<std::collections::HashSet<_>>().len();
    if different < 5 {
        return Some("it has too few different characters".to_owned());
    }
    if COMMON.iter().any(|common| lower.starts_with(common) && lower.len() < common.len() + 4) {
        return Some("it is one of the first that anybody tries".to_owned());
    }
    None
}

/// Those of ten characters and more that head the lists of passwords that were stolen.
const COMMON: [&str; 16] = [
    "1234567890",
    "0123456789",
    "1q2w3e4r5t",
    "qwertyuiop",
    "password12",
    "password!",
    "passw0rd12",
    "adminadmin",
    "administrator",
    "changeme12",
    "letmein123",
    "welcome123",
    "iloveyou12",
    "coregate12",
    "1qaz2wsx3e",
    "abcdefghij",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_another_one_is_not() {
        let hasher = Hasher::new();
        let stored = hasher.hash("correct horse battery".to_owned()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(hasher.verify("correct horse battery".to_owned(), Some(stored.clone())).await, Ok(true));
        assert_eq!(hasher.verify("correct horse batterz".to_owned(), Some(stored)).await, Ok(false));
    }

    #[tokio::test]
    async fn nothing_matches_an_account_without_a_password() {
        let hasher = Hasher::new();
        for stored in [None, Some(String::new()), Some("link:00:1".to_owned())] {
            assert_eq!(hasher.verify(String::new(), stored).await, Ok(false));
        }
    }

    #[tokio::test]
    async fn those_that_would_wait_too_long_are_refused() {
        let hasher = Hasher::new();
        let many = (0..AT_ONCE + WAITING_MAX + 1).map(|_| hasher.verify("x".to_owned(), None));
        let answers = futures_util::future::join_all(many).await;
        assert_eq!(answers.iter().filter(|answer| **answer == Err(Busy)).count(), 1);
        assert_eq!(hasher.verify("x".to_owned(), None).await, Ok(false));
    }

    #[test]
    fn weak_passwords_are_told_why() {
        for (password, name) in [
            ("short", "alice"),
            ("aaaaaaaaaaaaaa", "alice"),
            ("Alexandria123", "alexandria"),
            ("Password123", "alice"),
            ("1234567890", "alice"),
        ] {
            assert!(weakness(password, name).is_some(), "{password}");
        }
        assert!(weakness(&"ab cd ef".repeat(40), "alice").is_some());
        for password in ["correct horse battery", "päßwörter sind gut", "kD8#mm20!x"] {
            assert_eq!(weakness(password, "alice"), None, "{password}");
        }
    }
}
