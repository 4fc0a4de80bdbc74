//! Records beside the configuration: accounts, sessions, tokens, links, drafts, the audit.
//!
//! Data and no rules: who may do what, what a password is, when a session is over is decided in `auth/`. What has to be
//! true of several records at once (a name is unique, somebody is left who may administer) is held in the transaction
//! that writes, since several admins may share a database.
//!
//! Invariant: nothing that opens a door is stored as it is; tokens, links and sessions are known by their SHA-256 alone.

pub mod accounts;
pub mod audit;
pub mod drafts;
pub mod instances;
pub mod sessions;
pub mod tokens;

use super::database::Transaction;
use super::error::StoreError;

/// Longest name of whoever did something.
pub const ACTOR_BYTES_MAX: usize = 190;
/// Records of a page at most.
const PAGE_MAX: u64 = 200;

/// A part of a long list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    number: u64,
    size: u64,
}

impl Page {
    /// Page `number`, from 1, of so many records each; both are brought into their bounds.
    pub fn new(number: u64, size: u64) -> Self {
        Self { number: number.clamp(1, 1 << 32), size: size.clamp(1, PAGE_MAX) }
    }

    /// Its number, from 1.
    pub fn number(self) -> u64 {
        self.number
    }

    /// Most records of it.
    pub fn size(self) -> u64 {
        self.size
    }

    /// Records before it.
    pub fn offset(self) -> u64 {
        (self.number - 1) * self.size
    }
}

/// A text, cut to so many bytes.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

/// One number.
async fn count(transaction: &mut Transaction, sql: &str) -> Result<u64, StoreError> {
    let rows = transaction.query(sql, vec![]).await?;
    rows.into_iter().next().map_or(Ok(0), |mut row| row.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_within_bounds_whatever_is_asked_for() {
        assert_eq!(Page::new(0, 0), Page::new(1, 1));
        assert_eq!(Page::new(3, 50).offset(), 100);
        assert_eq!(Page::new(1, 9999).size(), PAGE_MAX);
        assert!(Page::new(u64::MAX, u64::MAX).offset() > 0);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aü", 2), "a");
        assert_eq!(cut("aü", 3), "aü");
    }
}
