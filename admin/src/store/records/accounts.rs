//! Accounts of those who administer.

use jiff::{SignedDuration, Timestamp};

use super::super::Store;
use super::super::database::{Access, Row, Transaction, values};
use super::super::error::{RecordError, StoreError};
use super::count;
use crate::auth::Role;

/// Most accounts.
const ACCOUNTS_MAX: u64 = 1000;
const COLUMNS: &str = "id, name, role, password_hash, enabled, created_at, last_login_at, failed_logins, \
                       locked_until, version";

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminRecord {
    /// Its number.
    pub id: u64,
    /// Unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// In PHC form; `None` until one is set by a link.
    pub password_hash: Option<String>,
    /// Whether it may log in.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last logged in.
    pub last_login_at: Option<Timestamp>,
    /// Wrong passwords since the last right one.
    pub failed_logins: u32,
    /// Nobody may try before.
    pub locked_until: Option<Timestamp>,
    /// Counts up with each change by an administrator.
    pub version: u64,
}

impl AdminRecord {
    /// For how long it is still locked.
    pub fn locked(&self, now: Timestamp) -> Option<SignedDuration> {
        self.locked_until.filter(|until| *until > now).map(|until| until.duration_since(now))
    }
}

impl Store {
    /// All accounts, by name.
    pub async fn admins(&self) -> Result<Vec<AdminRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM admins ORDER BY name");
        self.0.database.query(&sql, vec![]).await?.into_iter().map(record).collect()
    }

    /// An account.
    pub async fn admin(&self, id: u64) -> Result<Option<AdminRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM admins WHERE id = ?");
        self.0.database.query(&sql, values![id]).await?.into_iter().next().map(record).transpose()
    }

    /// The account of a name.
    pub async fn admin_by_name(&self, name: &str) -> Result<Option<AdminRecord>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM admins WHERE name = ?");
        self.0.database.query(&sql, values![name]).await?.into_iter().next().map(record).transpose()
    }

    /// Whether there is any account.
    pub async fn has_admins(&self) -> Result<bool, StoreError> {
        let rows = self.0.database.query("SELECT id FROM admins LIMIT 1", vec![]).await?;
        Ok(!rows.is_empty())
    }

    /// Makes an account.
    pub async fn add_admin(
        &self,
        name: &str,
        role: Role,
        password_hash: Option<&str>,
        now: Timestamp,
    ) -> Result<AdminRecord, RecordError> {
        self.insert_admin(name, role, password_hash, false, now).await
    }

    /// Makes the first account; [`RecordError::TooMany`] if there is one already.
    pub async fn add_first_admin(
        &self,
        name: &str,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<AdminRecord, RecordError> {
        self.insert_admin(name, Role::Admin, Some(password_hash), true, now).await
    }

    async fn insert_admin(
        &self,
        name: &str,
        role: Role,
        password_hash: Option<&str>,
        only_first: bool,
        now: Timestamp,
    ) -> Result<AdminRecord, RecordError> {
        let mut transaction = self.0.database.begin(Access::Write).await?;
        lock(&mut transaction).await?;
        let most = if only_first { 1 } else { ACCOUNTS_MAX };
        if count(&mut transaction, "SELECT COUNT(*) FROM admins").await? >= most {
            return Err(RecordError::TooMany);
        }
        if by_name(&mut transaction, name).await?.is_some() {
            return Err(RecordError::Exists);
        }
        let sql = "INSERT INTO admins (name, role, password_hash, enabled, created_at, failed_logins, version) \
                   VALUES (?, ?, ?, 1, ?, 0, 1)";
        let done = transaction.execute(sql, values![name, role.as_str(), password_hash, now]).await?;
        transaction.commit().await?;
        Ok(AdminRecord {
            id: done.id,
            name: name.to_owned(),
            role,
            password_hash: password_hash.map(str::to_owned),
            enabled: true,
            created_at: now,
            last_login_at: None,
            failed_logins: 0,
            locked_until: None,
            version: 1,
        })
    }

    /// Changes name, role and whether it may log in, if nobody did since that version; ends its lock.
    pub async fn update_admin(
        &self,
        id: u64,
        version: u64,
        name: &str,
        role: Role,
        enabled: bool,
    ) -> Result<AdminRecord, RecordError> {
        let mut transaction = self.0.database.begin(Access::Write).await?;
        lock(&mut transaction).await?;
        let before = at_version(&mut transaction, id, version).await?;
        if by_name(&mut transaction, name).await?.is_some_and(|other| other.id != id) {
            return Err(RecordError::Exists);
        }
        let sql = "UPDATE admins SET name = ?, role = ?, enabled = ?, failed_logins = 0, locked_until = NULL, \
                   version = version + 1 WHERE id = ?";
        transaction.execute(sql, values![name, role.as_str(), enabled, id]).await?;
        somebody_is_left(&mut transaction).await?;
        transaction.commit().await?;
        let name = name.to_owned();
        Ok(AdminRecord {
            name,
            role,
            enabled,
            failed_logins: 0,
            locked_until: None,
            version: version + 1,
            ..before
        })
    }

    /// Deletes an account with its sessions, its draft and its links, if nobody changed it since that version.
    pub async fn remove_admin(&self, id: u64, version: u64) -> Result<(), RecordError> {
        let mut transaction = self.0.database.begin(Access::Write).await?;
        lock(&mut transaction).await?;
        at_version(&mut transaction, id, version).await?;
        for sql in [
            "DELETE FROM admins WHERE id = ?",
            "DELETE FROM sessions WHERE admin_id = ?",
            "DELETE FROM drafts WHERE admin_id = ?",
            "DELETE FROM links WHERE admin_id = ?",
        ] {
            transaction.execute(sql, values![id]).await?;
        }
        somebody_is_left(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Sets its password; ends its lock.
    pub async fn set_password(&self, id: u64, password_hash: &str) -> Result<(), RecordError> {
        let sql = "UPDATE admins SET password_hash = ?, failed_logins = 0, locked_until = NULL WHERE id = ?";
        match self.0.database.execute(sql, values![password_hash, id]).await?.rows {
            0 => Err(RecordError::Missing),
            _ => Ok(()),
        }
    }

    /// It has logged in.
    pub async fn note_login(&self, id: u64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE admins SET last_login_at = ?, failed_logins = 0, locked_until = NULL WHERE id = ?";
        self.0.database.execute(sql, values![now, id]).await.map(drop)
    }

    /// A wrong password: counts it, and locks the account for what `lock_until` says of the number. Admins that share the
    /// database count together.
    pub async fn note_failed_login(
        &self,
        id: u64,
        lock_until: impl Fn(u32) -> Option<Timestamp> + Send,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut transaction = self.0.database.begin(Access::Write).await?;
        let sql = "UPDATE admins SET failed_logins = failed_logins + 1 WHERE id = ?";
        transaction.execute(sql, values![id]).await?;
        let rows = transaction.query("SELECT failed_logins FROM admins WHERE id = ?", values![id]).await?;
        let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
        let failures = u32::try_from(row.count()?).unwrap_or(u32::MAX);
        let until = lock_until(failures);
        transaction.execute("UPDATE admins SET locked_until = ? WHERE id = ?", values![until, id]).await?;
        transaction.commit().await?;
        Ok(until)
    }
}

/// Nobody else changes accounts until the end of the transaction. Otherwise two administrators could each take the other's
/// role away.
async fn lock(transaction: &mut Transaction) -> Result<(), StoreError> {
    transaction.execute("UPDATE meta SET value = value WHERE name = 'head'", vec![]).await.map(drop)
}

async fn at_version(
    transaction: &mut Transaction,
    id: u64,
    version: u64,
) -> Result<AdminRecord, RecordError> {
    let sql = format!("SELECT {COLUMNS} FROM admins WHERE id = ?");
    let rows = transaction.query(&sql, values![id]).await?;
    let found = rows.into_iter().next().map(record).transpose()?.ok_or(RecordError::Missing)?;
    if found.version == version { Ok(found) } else { Err(RecordError::Stale) }
}

async fn by_name(transaction: &mut Transaction, name: &str) -> Result<Option<AdminRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM admins WHERE name = ?");
    transaction.query(&sql, values![name]).await?.into_iter().next().map(record).transpose()
}

async fn somebody_is_left(transaction: &mut Transaction) -> Result<(), RecordError> {
    let sql = "SELECT COUNT(*) FROM admins WHERE enabled = 1 AND role = 'admin'";
    if count(transaction, sql).await? == 0 { Err(RecordError::LastAdmin) } else { Ok(()) }
}

fn record(mut row: Row) -> Result<AdminRecord, StoreError> {
    Ok(AdminRecord {
        id: row.count()?,
        name: row.text()?,
        role: row.word()?,
        password_hash: row.maybe_text()?,
        enabled: row.yes()?,
        created_at: row.time()?,
        last_login_at: row.maybe_time()?,
        failed_logins: u32::try_from(row.count()?).unwrap_or(u32::MAX),
        locked_until: row.maybe_time()?,
        version: row.count()?,
    })
}
