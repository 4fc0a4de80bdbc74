//! The tables, and how an older database gets them.
//!
//! Migrations are numbered, run in order at start, and recorded in `coregate_migrations` with how many of their
//! statements are done, since MySQL commits each `CREATE` and `ALTER` at once: a start that was killed in between goes
//! on where it was. A statement may thus be run twice and must bear it (`IF NOT EXISTS`; a column that is there
//! already is no error). Two admins that start at once wait for each other, by a named lock (MySQL) or the write lock
//! (SQLite).
//!
//! A migration that was released never changes; a new one is added below it.
//!
//! Errors: a database that a newer coregate-admin has migrated is refused.

use std::time::Duration;

use jiff::Timestamp;
use mysql_async::prelude::Queryable as _;

use super::database::{Access, Database, Transaction, mysql, values};
use super::error::StoreError;

/// How long another admin's migration is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);

/// One step from a schema to the next.
pub struct Migration {
    /// What it is for, for people who look into the table.
    pub about: &'static str,
    /// In order. `{id}`, `{long}` and `{table}` stand for what differs between the databases.
    pub statements: &'static [&'static str],
}

/// All of them; the first is number 1.
pub const ALL: &[Migration] = &[
    Migration {
        about: "the configuration: revisions, and each item with the revisions between which it is in force",
        statements: &[
            "CREATE TABLE IF NOT EXISTS meta (name VARCHAR(64) NOT NULL PRIMARY KEY, value {long} NOT NULL){table}",
            "INSERT INTO meta (name, value) VALUES ('head', '0')",
            "CREATE TABLE IF NOT EXISTS revisions (
                id BIGINT NOT NULL PRIMARY KEY,
                at BIGINT NOT NULL,
                author VARCHAR(190) NOT NULL,
                address VARCHAR(64),
                message {long} NOT NULL,
                cause VARCHAR(16) NOT NULL,
                restores BIGINT,
                changes BIGINT NOT NULL,
                confirm_by BIGINT,
                confirmed_by VARCHAR(190),
                reverted_by BIGINT){table}",
            // `gone` is the revision that replaced or deleted it, or 2^63 - 1: the key over it lets no two be in force.
            "CREATE TABLE IF NOT EXISTS items (
                kind VARCHAR(16) NOT NULL,
                name VARCHAR(64) NOT NULL,
                revision BIGINT NOT NULL,
                gone BIGINT NOT NULL DEFAULT 9223372036854775807,
                body {long} NOT NULL,
                PRIMARY KEY (kind, name, revision),
                CONSTRAINT items_in_force UNIQUE (kind, name, gone)){table}",
        ],
    },
    Migration {
        about: "items are found by the revisions that made and ended them",
        statements: &[
            "CREATE INDEX items_by_revision ON items (revision)",
            "CREATE INDEX items_by_gone ON items (gone)",
        ],
    },
    Migration {
        about: "accounts, sessions, tokens, links, drafts, audit",
        statements: &[
            "CREATE TABLE IF NOT EXISTS admins (
                id {id},
                name VARCHAR(64) NOT NULL UNIQUE,
                role VARCHAR(16) NOT NULL,
                password_hash VARCHAR(255),
                enabled BIGINT NOT NULL,
                created_at BIGINT NOT NULL,
                last_login_at BIGINT,
                failed_logins BIGINT NOT NULL,
                locked_until BIGINT,
                version BIGINT NOT NULL){table}",
            "CREATE TABLE IF NOT EXISTS sessions (
                id_hash VARCHAR(64) NOT NULL PRIMARY KEY,
                admin_id BIGINT NOT NULL,
                csrf VARCHAR(64) NOT NULL,
                created_at BIGINT NOT NULL,
                seen_at BIGINT NOT NULL,
                expires_at BIGINT NOT NULL,
                address VARCHAR(64),
                user_agent VARCHAR(255) NOT NULL){table}",
            "CREATE INDEX sessions_by_admin ON sessions (admin_id)",
            "CREATE INDEX sessions_by_end ON sessions (expires_at)",
            "CREATE TABLE IF NOT EXISTS tokens (
                id {id},
                name VARCHAR(64) NOT NULL UNIQUE,
                token_sha256 VARCHAR(64) NOT NULL UNIQUE,
                role VARCHAR(16) NOT NULL,
                created_by VARCHAR(190) NOT NULL,
                created_at BIGINT NOT NULL,
                last_used_at BIGINT,
                expires_at BIGINT){table}",
            "CREATE TABLE IF NOT EXISTS links (
                token_sha256 VARCHAR(64) NOT NULL PRIMARY KEY,
                purpose VARCHAR(16) NOT NULL,
                admin_id BIGINT,
                created_at BIGINT NOT NULL,
                expires_at BIGINT NOT NULL){table}",
            "CREATE TABLE IF NOT EXISTS drafts (
                admin_id BIGINT NOT NULL PRIMARY KEY,
                base_revision BIGINT NOT NULL,
                body {long} NOT NULL,
                updated_at BIGINT NOT NULL){table}",
            "CREATE TABLE IF NOT EXISTS audit (
                id {id},
                at BIGINT NOT NULL,
                actor VARCHAR(190) NOT NULL,
                address VARCHAR(64),
                action VARCHAR(64) NOT NULL,
                object VARCHAR(255) NOT NULL,
                detail {long} NOT NULL){table}",
            "CREATE INDEX audit_by_time ON audit (at)",
        ],
    },
    Migration {
        about: "what each of several admins hears from engines",
        statements: &["CREATE TABLE IF NOT EXISTS instances (
                name VARCHAR(255) NOT NULL PRIMARY KEY,
                admin VARCHAR(64) NOT NULL,
                seen_at BIGINT NOT NULL,
                report {long} NOT NULL){table}"],
    },
];

/// Brings the database up to the newest schema.
pub async fn run(database: &Database, now: Timestamp) -> Result<(), StoreError> {
    run_to(database, ALL, now).await
}

/// Brings it up to the last of `migrations`.
pub async fn run_to(database: &Database, migrations: &[Migration], now: Timestamp) -> Result<(), StoreError> {
    match database {
        // A schema is part of SQLite's transactions, and only one process writes.
        Database::Sqlite(_) => {
            let mut transaction = database.begin(Access::Write).await?;
            apply(&mut transaction, migrations, now, &Dialect::SQLITE).await?;
            transaction.commit().await
        }
        Database::MySql(server) => {
            let mut holder = server.connection().await?;
            let sql = "SELECT GET_LOCK(CONCAT('coregate_admin:', DATABASE()), ?)";
            let got: Option<Option<i64>> = holder
                .exec_first(sql, (LOCK_PATIENCE.as_secs(),))
                .await
                .map_err(|error| mysql::told(&error))?;
            if got.flatten() != Some(1) {
                return Err(StoreError::Unavailable(
                    "another coregate-admin has been migrating the database for too long".to_owned(),
                ));
            }
            let mut transaction = database.begin(Access::Write).await?;
            let result = apply(&mut transaction, migrations, now, &Dialect::MYSQL).await;
            let result = match result {
                Ok(()) => transaction.commit().await,
                Err(error) => Err(error),
            };
            // Closing the connection gives the lock back, whatever happened.
            let _ = holder.disconnect().await;
            result
        }
    }
}

/// What differs in `CREATE TABLE`.
struct Dialect {
    id: &'static str,
    long: &'static str,
    table: &'static str,
}

impl Dialect {
    const SQLITE: Dialect = Dialect { id: "INTEGER PRIMARY KEY AUTOINCREMENT", long: "TEXT", table: "" };
    const MYSQL: Dialect = Dialect {
        id: "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY",
        long: "LONGTEXT",
        table: " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    };

    fn sql(&self, text: &str) -> String {
        text.replace("{id}", self.id).replace("{long}", self.long).replace("{table}", self.table)
    }
}

async fn apply(
    transaction: &mut Transaction,
    migrations: &[Migration],
    now: Timestamp,
    dialect: &Dialect,
) -> Result<(), StoreError> {
    let record = "CREATE TABLE IF NOT EXISTS coregate_migrations (number BIGINT NOT NULL PRIMARY KEY, \
                  about VARCHAR(255) NOT NULL, statements BIGINT NOT NULL, at BIGINT NOT NULL){table}";
    transaction.execute(&dialect.sql(record), vec![]).await?;
    let mut done = std::collections::HashMap::new();
    for mut row in transaction.query("SELECT number, statements FROM coregate_migrations", vec![]).await? {
        done.insert(row.count()?, row.count()?);
    }
    let newest = done.keys().copied().max().unwrap_or(0);
    if newest > migrations.len() as u64 {
        return Err(StoreError::Unusable(format!(
            "the database has schema {newest} and this coregate-admin knows {} at most: start the newer one",
            migrations.len()
        )));
    }
    for (number, migration) in (1u64..).zip(migrations) {
        let already = done.get(&number).copied();
        if already.is_none() {
            let row = values![number, migration.about, 0u64, now];
            let sql = "INSERT INTO coregate_migrations (number, about, statements, at) VALUES (?, ?, ?, ?)";
            transaction.execute(sql, row).await?;
        }
        for (count, statement) in (1u64..).zip(migration.statements) {
            if count <= already.unwrap_or(0) {
                continue;
            }
            match transaction.execute(&dialect.sql(statement), vec![]).await {
                Err(StoreError::Refused(why)) if is_there_already(&why) => {}
                other => {
                    other?;
                }
            }
            let sql = "UPDATE coregate_migrations SET statements = ?, at = ? WHERE number = ?";
            transaction.execute(sql, values![count, now, number]).await?;
        }
    }
    Ok(())
}

/// A column, an index or a row that a start which was killed has made: MySQL's errors 1060, 1061 and 1062.
fn is_there_already(why: &str) -> bool {
    ["(error 1060)", "(error 1061)", "(error 1062)"].iter().any(|code| why.ends_with(code))
}

#[cfg(test)]
mod tests;
