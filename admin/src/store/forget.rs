//! Forgetting old revisions, so that the history does not grow for ever.
//!
//! The oldest revision that is kept stands in `meta` as `oldest` (1 while nothing was forgotten). Kept is what the states
//! from the one before it on are made of, so that the oldest one can be compared with what it changed; and the state that
//! a draft is based on. A row of `revisions` stays as long as something in force came with it: it says who changed that,
//! and when. Invariant: `oldest` is at most the newest revision but one, so what waits to be confirmed can be taken back.

use super::Store;
use super::database::{Access, Transaction, values};
use super::error::StoreError;
use super::history;

/// Fewest revisions that are kept.
const KEPT_MIN: u64 = 2;
/// Revisions that are forgotten in one transaction, which keeps others from publishing.
const AT_ONCE: u64 = 500;

impl Store {
    /// Forgets all revisions but the newest `keep`. Says how many it forgot. To be called now and then; of several admins,
    /// one does it.
    pub async fn forget_revisions(&self, keep: u64) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        loop {
            match self.forget_some(keep.max(KEPT_MIN)).await? {
                0 => return Ok(forgotten),
                some => forgotten += some,
            }
        }
    }

    async fn forget_some(&self, keep: u64) -> Result<u64, StoreError> {
        let mut transaction = self.0.database.begin(Access::Write).await?;
        let head = history::lock_head(&mut transaction).await?;
        let before = oldest(&mut transaction).await?;
        let after = (head + 1).saturating_sub(keep).min(before + AT_ONCE);
        if after > before {
            forget(&mut transaction, after).await?;
        }
        transaction.commit().await?;
        Ok(after.saturating_sub(before))
    }
}

/// Forgets what came before a revision.
async fn forget(transaction: &mut Transaction, oldest: u64) -> Result<(), StoreError> {
    let items = "DELETE FROM items WHERE gone < ? AND NOT EXISTS (SELECT 1 FROM drafts WHERE \
                 drafts.base_revision >= items.revision AND drafts.base_revision < items.gone)";
    transaction.execute(items, values![oldest]).await?;
    let revisions = "DELETE FROM revisions WHERE id < ? AND \
                     NOT EXISTS (SELECT 1 FROM items WHERE items.revision = revisions.id) AND \
                     NOT EXISTS (SELECT 1 FROM drafts WHERE drafts.base_revision = revisions.id)";
    transaction.execute(revisions, values![oldest]).await?;
    let row = values![oldest.to_string()];
    let done = transaction.execute("UPDATE meta SET value = ? WHERE name = 'oldest'", row.clone()).await?;
    if done.rows == 0 {
        transaction.execute("INSERT INTO meta (name, value) VALUES ('oldest', ?)", row).await?;
    }
    Ok(())
}

/// The oldest revision that is kept.
pub async fn oldest(transaction: &mut Transaction) -> Result<u64, StoreError> {
    let rows = transaction.query("SELECT value FROM meta WHERE name = 'oldest'", vec![]).await?;
    let Some(mut row) = rows.into_iter().next() else { return Ok(1) };
    let text = row.text()?;
    text.parse().map_err(|_| StoreError::Unusable(format!("`oldest` in the table `meta` is {text:?}")))
}

/// Whether the whole state of a revision is kept.
pub async fn is_kept(transaction: &mut Transaction, id: u64) -> Result<bool, StoreError> {
    // The one before the first has nothing in it.
    if id == 0 || id >= oldest(transaction).await? {
        return Ok(true);
    }
    let sql = "SELECT 1 FROM drafts WHERE base_revision = ?";
    Ok(!transaction.query(sql, values![id]).await?.is_empty())
}

/// Whether a revision can be compared with others, which takes less: so the oldest one can be with what was before.
pub async fn is_comparable(transaction: &mut Transaction, id: u64) -> Result<bool, StoreError> {
    Ok(id + 1 >= oldest(transaction).await? || is_kept(transaction, id).await?)
}
