//! States and revisions as the database has them.
//!
//! Each row of `items` is in force from its `revision` up to, and without, its `gone`. So the state at a revision R is
//! the rows with `revision <= R < gone`, and what came between two revisions is found by the same two columns. What was
//! forgotten ([`forget`]) is not there.

use jiff::Timestamp;

use super::Store;
use super::database::{Access, Database, Row, Transaction, values};
use super::diff::{self, StateDiff};
use super::error::StoreError;
use super::forget;
use super::records::Page;
use super::state::State;
use crate::model::{Body, Item, Kind, Revision};

/// The columns of a revision, in the order of [`revision`].
pub const REVISION: &str =
    "id, at, author, message, cause, restores, changes, confirm_by, confirmed_by, reverted_by";
/// As a row's `gone`: it is in force.
pub const NEVER: i64 = i64::MAX;

impl Store {
    /// Revisions that are kept, the newest first, and how many there are.
    pub async fn revisions(&self, page: Page) -> Result<(Vec<Revision>, u64), StoreError> {
        let mut transaction = self.0.database.begin(Access::Read).await?;
        let head = head_of(&mut transaction).await?;
        let forgotten = forget::oldest(&mut transaction).await? - 1;
        // They count up by one, so a page is a range.
        let newest = head.saturating_sub(page.offset());
        let last = newest.saturating_sub(page.size()).max(forgotten);
        let sql = format!("SELECT {REVISION} FROM revisions WHERE id > ? AND id <= ? ORDER BY id DESC");
        let rows = transaction.query(&sql, values![last, newest]).await?;
        transaction.commit().await?;
        Ok((rows.into_iter().map(revision).collect::<Result<_, _>>()?, head - forgotten))
    }

    /// A revision; nothing if there is none, or it is not kept any more.
    pub async fn revision(&self, id: u64) -> Result<Option<Revision>, StoreError> {
        let mut transaction = self.0.database.begin(Access::Read).await?;
        if !forget::is_kept(&mut transaction, id).await? {
            return Ok(None);
        }
        let sql = format!("SELECT {REVISION} FROM revisions WHERE id = ?");
        let rows = transaction.query(&sql, values![id]).await?;
        transaction.commit().await?;
        rows.into_iter().next().map(revision).transpose()
    }

    /// The revision that waits to be confirmed, if one does.
    pub async fn pending(&self) -> Result<Option<Revision>, StoreError> {
        let mut transaction = self.0.database.begin(Access::Read).await?;
        let pending = pending(&mut transaction).await?;
        transaction.commit().await?;
        Ok(pending)
    }

    /// The configuration as of a revision; revision 0 is the empty one. Nothing if it is not kept any more.
    pub async fn state_at(&self, id: u64) -> Result<Option<State>, StoreError> {
        let known = self.state();
        if id == known.revision {
            return Ok(Some(State::clone(&known)));
        }
        let mut transaction = self.0.database.begin(Access::Read).await?;
        let state = state_at(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(state)
    }

    /// What differs between two revisions; nothing if one of them is not there (any more).
    pub async fn diff(&self, from: u64, to: u64) -> Result<Option<StateDiff>, StoreError> {
        let mut transaction = self.0.database.begin(Access::Read).await?;
        let head = head_of(&mut transaction).await?;
        for id in [from, to] {
            if id > head || !forget::is_comparable(&mut transaction, id).await? {
                return Ok(None);
            }
        }
        // Only what is in force at one of them and not at the other.
        let sql = "SELECT i.kind, i.name, i.revision, i.body, r.author, r.at FROM items i \
                   JOIN revisions r ON r.id = i.revision WHERE i.revision <= ? AND i.gone > ? AND \
                   (i.revision > ? OR i.gone <= ?)";
        let mut states = [State::default(), State::default()];
        for (state, at, other) in [(0, from, to), (1, to, from)] {
            for row in transaction.query(sql, values![at, at, other, other]).await? {
                states[state].put(item(row)?);
            }
        }
        transaction.commit().await?;
        let [before, after] = &states;
        Ok(Some(diff::states(before, after)))
    }
}

/// What is in force.
pub async fn load(database: &Database) -> Result<State, StoreError> {
    let mut transaction = database.begin(Access::Read).await?;
    let head = head_of(&mut transaction).await?;
    let state = state_at(&mut transaction, head).await?.unwrap_or_default();
    transaction.commit().await?;
    Ok(state)
}

/// The newest revision, 0 if there is none.
pub async fn head(database: &Database) -> Result<u64, StoreError> {
    let mut transaction = database.begin(Access::Read).await?;
    let head = head_of(&mut transaction).await?;
    transaction.commit().await?;
    Ok(head)
}

/// The same, and nobody else publishes until the end of the transaction.
pub async fn lock_head(transaction: &mut Transaction) -> Result<u64, StoreError> {
    transaction.execute("UPDATE meta SET value = value WHERE name = 'head'", vec![]).await?;
    head_of(transaction).await
}

async fn head_of(transaction: &mut Transaction) -> Result<u64, StoreError> {
    let rows = transaction.query("SELECT value FROM meta WHERE name = 'head'", vec![]).await?;
    let missing =
        || StoreError::Unusable("the table `meta` has no row `head`: it was changed by hand".to_owned());
    rows.into_iter().next().ok_or_else(missing)?.text()?.parse().map_err(|_| missing())
}

/// From a known state to the newest.
pub async fn advance(transaction: &mut Transaction, known: &State) -> Result<State, StoreError> {
    let head = head_of(transaction).await?;
    // What went meanwhile may be forgotten already, where only few are kept.
    if !forget::is_comparable(transaction, known.revision).await? {
        return Ok(state_at(transaction, head).await?.unwrap_or_default());
    }
    let mut state = known.clone();
    let sql = "SELECT kind, name FROM items WHERE gone > ? AND gone <= ?";
    for mut row in transaction.query(sql, values![known.revision, head]).await? {
        state.remove(row.word::<Kind>()?, &row.text()?);
    }
    let sql = "SELECT i.kind, i.name, i.revision, i.body, r.author, r.at FROM items i \
               JOIN revisions r ON r.id = i.revision WHERE i.revision > ? AND i.revision <= ? AND i.gone > ?";
    for row in transaction.query(sql, values![known.revision, head, head]).await? {
        state.put(item(row)?);
    }
    state.revision = head;
    state.at = time_of(transaction, head).await?;
    Ok(state)
}

/// The configuration as of a revision.
pub async fn state_at(transaction: &mut Transaction, id: u64) -> Result<Option<State>, StoreError> {
    let at = time_of(transaction, id).await?;
    if (at.is_none() && id > 0) || !forget::is_kept(transaction, id).await? {
        return Ok(None);
    }
    let mut state = State::default();
    (state.revision, state.at) = (id, at);
    let sql = "SELECT i.kind, i.name, i.revision, i.body, r.author, r.at FROM items i \
               JOIN revisions r ON r.id = i.revision WHERE i.revision <= ? AND i.gone > ?";
    for row in transaction.query(sql, values![id, id]).await? {
        state.put(item(row)?);
    }
    Ok(Some(state))
}

async fn time_of(transaction: &mut Transaction, id: u64) -> Result<Option<Timestamp>, StoreError> {
    let rows = transaction.query("SELECT at FROM revisions WHERE id = ?", values![id]).await?;
    rows.into_iter().next().map(|mut row| row.time()).transpose()
}

/// The revision that waits to be confirmed: only ever the newest.
pub async fn pending(transaction: &mut Transaction) -> Result<Option<Revision>, StoreError> {
    let head = head_of(transaction).await?;
    let sql = format!("SELECT {REVISION} FROM revisions WHERE id = ? AND confirm_by IS NOT NULL");
    transaction.query(&sql, values![head]).await?.into_iter().next().map(revision).transpose()
}

/// A row of [`REVISION`].
pub fn revision(mut row: Row) -> Result<Revision, StoreError> {
    Ok(Revision {
        id: row.count()?,
        at: row.time()?,
        author: row.text()?,
        message: row.text()?,
        cause: row.word()?,
        restores: row.maybe_count()?,
        changes: row.count()?,
        confirm_by: row.maybe_time()?,
        confirmed_by: row.maybe_text()?,
        reverted_by: row.maybe_count()?,
    })
}

fn item(mut row: Row) -> Result<Item, StoreError> {
    let (kind, name, version) = (row.word()?, row.text()?, row.count()?);
    let body = Body::from_stored(row.text()?)
        .ok_or_else(|| StoreError::Unusable(format!("{kind} {name:?} in the database is no JSON")))?;
    Ok(Item { kind, name, version, body, changed_by: row.text()?, changed_at: row.time()? })
}
