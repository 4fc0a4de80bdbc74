//! What one of several admins has heard from engines, for the others to read: the last word of each instance.

use std::time::Duration;

use jiff::Timestamp;

use super::super::Store;
use super::super::database::{Access, values};
use super::super::error::StoreError;

/// One instance, as the admin that it reports to tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// When its last report came, by that admin's clock.
    pub seen_at: Timestamp,
    /// The report, as JSON.
    pub report: String,
}

impl Store {
    /// Tells other admins of instances, each in place of what was told of it before by whomever, and forgets those that were
    /// last heard of longer ago than `kept`.
    pub async fn tell_of_instances(
        &self,
        admin: &str,
        instances: Vec<Told>,
        now: Timestamp,
        kept: Duration,
    ) -> Result<(), StoreError> {
        let rows = instances.into_iter().map(|it| values![it.name, admin, it.seen_at, it.report]).collect();
        let mut transaction = self.0.database.begin(Access::Write).await?;
        transaction.replace("instances (name, admin, seen_at, report)", rows).await?;
        let oldest = now.checked_sub(kept).unwrap_or(Timestamp::MIN);
        transaction.execute("DELETE FROM instances WHERE seen_at < ?", values![oldest]).await?;
        transaction.commit().await
    }

    /// What other admins than this one have told.
    pub async fn told_of_instances(&self, admin: &str) -> Result<Vec<Told>, StoreError> {
        let sql = "SELECT name, seen_at, report FROM instances WHERE admin <> ? ORDER BY name";
        let rows = self.0.database.query(sql, values![admin]).await?;
        let told = |mut row: super::super::database::Row| -> Result<Told, StoreError> {
            Ok(Told { name: row.text()?, seen_at: row.time()?, report: row.text()? })
        };
        rows.into_iter().map(told).collect()
    }

    /// Forgets what was told of an instance.
    pub async fn forget_told(&self, instance: &str) -> Result<(), StoreError> {
        self.0.database.execute("DELETE FROM instances WHERE name = ?", values![instance]).await.map(|_| ())
    }
}
