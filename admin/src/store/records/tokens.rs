//! Tokens of programs and engines, and links that work once.

use jiff::Timestamp;

use super::super::Store;
use super::super::database::{Access, Row, values};
use super::super::error::{RecordError, StoreError};
use super::{ACTOR_BYTES_MAX, count, cut};
use crate::auth::Role;

/// Most tokens.
const TOKENS_MAX: u64 = 10_000;
const COLUMNS: &str = "id, name, role, created_by, created_at, last_used_at, expires_at";

/// A token; the token itself is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its number.
    pub id: u64,
    /// Unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// When it ends; `None` = never.
    pub expires_at: Option<Timestamp>,
}

/// A new token.
#[derive(Clone)]
pub struct NewToken {
    /// Unique.
    pub name: String,
    /// SHA-256 of the token, in hexadecimal digits.
    pub sha256: String,
    /// What it may do.
    pub role: Role,
    /// Who makes it.
    pub created_by: String,
    /// When it ends; `None` = never.
    pub expires_at: Option<Timestamp>,
}

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPurpose {
    /// Makes the first account.
    Setup,
    /// Sets an account's password.
    Password,
}

/// A link that works once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRecord {
    /// What for.
    pub purpose: LinkPurpose,
    /// Whose password.
    pub admin_id: Option<u64>,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl LinkPurpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Password => "password",
        }
    }
}

impl std::str::FromStr for LinkPurpose {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Setup, Self::Password].into_iter().find(|it| it.as_str() == word).ok_or(())
    }
}

impl Store {
    /// All tokens, by name.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM tokens ORDER BY name");
        self.0.database.query(&sql, vec![]).await?.into_iter().map(record).collect()
    }

    /// The token of that SHA-256.
    pub async fn token(&self, sha256: &str) -> Result<Option<TokenRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM tokens WHERE token_sha256 = ?");
        self.0.database.query(&sql, values![sha256]).await?.into_iter().next().map(record).transpose()
    }

    /// The token of that number.
    pub async fn token_of(&self, id: u64) -> Result<Option<TokenRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM tokens WHERE id = ?");
        self.0.database.query(&sql, values![id]).await?.into_iter().next().map(record).transpose()
    }

    /// Keeps a token.
    pub async fn add_token(&self, token: NewToken, now: Timestamp) -> Result<TokenRecord, RecordError> {
        let NewToken { name, sha256, role, created_by, expires_at } = token;
        let created_by = cut(&created_by, ACTOR_BYTES_MAX);
        let mut transaction = self.0.database.begin(Access::Write).await?;
        // Two of the same name at once: the second one waits here.
        transaction.execute("UPDATE meta SET value = value WHERE name = 'head'", vec![]).await?;
        if count(&mut transaction, "SELECT COUNT(*) FROM tokens").await? >= TOKENS_MAX {
            return Err(RecordError::TooMany);
        }
        if !transaction.query("SELECT id FROM tokens WHERE name = ?", values![&name]).await?.is_empty() {
            return Err(RecordError::Exists);
        }
        let sql = "INSERT INTO tokens (name, token_sha256, role, created_by, created_at, expires_at) VALUES \
                   (?, ?, ?, ?, ?, ?)";
        let row = values![&name, sha256, role.as_str(), created_by, now, expires_at];
        let done = transaction.execute(sql, row).await?;
        transaction.commit().await?;
        let created_by = created_by.to_owned();
        Ok(TokenRecord {
            id: done.id,
            name,
            role,
            created_by,
            created_at: now,
            last_used_at: None,
            expires_at,
        })
    }

    /// Ends a token; gives back what it was.
    pub async fn remove_token(&self, id: u64) -> Result<TokenRecord, RecordError> {
        let mut transaction = self.0.database.begin(Access::Write).await?;
        let sql = format!("SELECT {COLUMNS} FROM tokens WHERE id = ?");
        let rows = transaction.query(&sql, values![id]).await?;
        let found = rows.into_iter().next().map(record).transpose()?.ok_or(RecordError::Missing)?;
        transaction.execute("DELETE FROM tokens WHERE id = ?", values![id]).await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// It was used.
    pub async fn touch_token(&self, id: u64, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE tokens SET last_used_at = ? WHERE id = ?";
        self.0.database.execute(sql, values![at, id]).await.map(drop)
    }

    /// Keeps a link. One for the same account, or for the set-up, that was there before works no more.
    pub async fn add_link(&self, sha256: &str, link: &LinkRecord, now: Timestamp) -> Result<(), StoreError> {
        let purpose = link.purpose.as_str();
        let mut transaction = self.0.database.begin(Access::Write).await?;
        match link.admin_id {
            Some(id) => {
                let sql = "DELETE FROM links WHERE purpose = ? AND admin_id = ?";
                transaction.execute(sql, values![purpose, id]).await?;
            }
            None => {
                transaction.execute("DELETE FROM links WHERE purpose = ?", values![purpose]).await?;
            }
        }
        transaction.execute("DELETE FROM links WHERE expires_at <= ?", values![now]).await?;
        let sql = "INSERT INTO links (token_sha256, purpose, admin_id, created_at, expires_at) VALUES (?, ?, ?, ?, ?)";
        transaction.execute(sql, values![sha256, purpose, link.admin_id, now, link.expires_at]).await?;
        transaction.commit().await
    }

    /// What a link is for, without using it up.
    pub async fn link(&self, sha256: &str) -> Result<Option<LinkRecord>, StoreError> {
        let sql = "SELECT purpose, admin_id, expires_at FROM links WHERE token_sha256 = ?";
        self.0.database.query(sql, values![sha256]).await?.into_iter().next().map(link).transpose()
    }

    /// Uses a link up: of several who try at once, one gets it.
    pub async fn take_link(&self, sha256: &str) -> Result<Option<LinkRecord>, StoreError> {
        let mut transaction = self.0.database.begin(Access::Write).await?;
        let sql = "SELECT purpose, admin_id, expires_at FROM links WHERE token_sha256 = ?";
        let rows = transaction.query(sql, values![sha256]).await?;
        let Some(found) = rows.into_iter().next().map(link).transpose()? else { return Ok(None) };
        let done = transaction.execute("DELETE FROM links WHERE token_sha256 = ?", values![sha256]).await?;
        transaction.commit().await?;
        Ok((done.rows > 0).then_some(found))
    }
}

fn record(mut row: Row) -> Result<TokenRecord, StoreError> {
    Ok(TokenRecord {
        id: row.count()?,
        name: row.text()?,
        role: row.word()?,
        created_by: row.text()?,
        created_at: row.time()?,
        last_used_at: row.maybe_time()?,
        expires_at: row.maybe_time()?,
    })
}

fn link(mut row: Row) -> Result<LinkRecord, StoreError> {
    Ok(LinkRecord { purpose: row.word()?, admin_id: row.maybe_count()?, expires_at: row.time()? })
}
