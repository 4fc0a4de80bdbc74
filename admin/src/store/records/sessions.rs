//! Sessions of browsers, where they are not kept in Redis.

use std::net::IpAddr;

use jiff::Timestamp;

use super::super::Store;
use super::super::database::{Access, Row, values};
use super::super::error::StoreError;

const COLUMNS: &str = "id_hash, admin_id, csrf, created_at, seen_at, expires_at, address, user_agent";

/// A session.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// SHA-256 of what the browser holds.
    pub id_hash: String,
    /// Whose.
    pub admin_id: u64,
    /// What its changes must carry.
    pub csrf: String,
    /// When the login was.
    pub created_at: Timestamp,
    /// When it was last used.
    pub seen_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// Where the login came from.
    pub address: Option<IpAddr>,
    /// What the browser called itself; at most 255 bytes.
    pub user_agent: String,
}

impl Store {
    /// Keeps a session, and of its account `most` at the most: those go that were not used for longest.
    pub async fn add_session(&self, session: SessionRecord, most: usize) -> Result<(), StoreError> {
        let SessionRecord { id_hash, admin_id, csrf, created_at, seen_at, expires_at, address, user_agent } =
            session;
        let address = address.map(|it| it.to_string());
        let mut transaction = self.0.database.begin(Access::Write).await?;
        // Two logins of one account at once: the second one waits here, and counts the first one's.
        transaction.execute("UPDATE admins SET id = id WHERE id = ?", values![admin_id]).await?;
        let others = "SELECT id_hash FROM sessions WHERE admin_id = ? ORDER BY seen_at DESC, created_at DESC";
        for mut over in transaction.query(others, values![admin_id]).await?.into_iter().skip(most - 1) {
            transaction.execute("DELETE FROM sessions WHERE id_hash = ?", values![over.text()?]).await?;
        }
        let sql = format!("INSERT INTO sessions ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
        let row = values![id_hash, admin_id, csrf, created_at, seen_at, expires_at, address, user_agent];
        transaction.execute(&sql, row).await?;
        transaction.commit().await
    }

    /// A session.
    pub async fn session(&self, id_hash: &str) -> Result<Option<SessionRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM sessions WHERE id_hash = ?");
        self.0.database.query(&sql, values![id_hash]).await?.into_iter().next().map(record).transpose()
    }

    /// Those of an account, the one that was used last first.
    pub async fn sessions_of(&self, admin_id: u64) -> Result<Vec<SessionRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM sessions WHERE admin_id = ? ORDER BY seen_at DESC");
        self.0.database.query(&sql, values![admin_id]).await?.into_iter().map(record).collect()
    }

    /// It was used.
    pub async fn touch_session(&self, id_hash: &str, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET seen_at = ? WHERE id_hash = ?";
        self.0.database.execute(sql, values![at, id_hash]).await.map(drop)
    }

    /// Ends one.
    pub async fn remove_session(&self, id_hash: &str) -> Result<(), StoreError> {
        self.0.database.execute("DELETE FROM sessions WHERE id_hash = ?", values![id_hash]).await.map(drop)
    }

    /// Ends all of an account but `keep`.
    pub async fn remove_sessions_of(&self, admin_id: u64, keep: Option<&str>) -> Result<(), StoreError> {
        let sql = "DELETE FROM sessions WHERE admin_id = ? AND id_hash <> ?";
        self.0.database.execute(sql, values![admin_id, keep.unwrap_or_default()]).await.map(drop)
    }

    /// Forgets those that have ended by `now`, or were not used since `seen_before`.
    pub async fn forget_sessions(&self, now: Timestamp, seen_before: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM sessions WHERE expires_at <= ? OR seen_at <= ?";
        self.0.database.execute(sql, values![now, seen_before]).await.map(drop)
    }
}

fn record(mut row: Row) -> Result<SessionRecord, StoreError> {
    Ok(SessionRecord {
        id_hash: row.text()?,
        admin_id: row.count()?,
        csrf: row.text()?,
        created_at: row.time()?,
        seen_at: row.time()?,
        expires_at: row.time()?,
        address: row.maybe_text()?.and_then(|it| it.parse().ok()),
        user_agent: row.text()?,
    })
}
