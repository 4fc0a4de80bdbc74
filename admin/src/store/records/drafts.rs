//! Drafts: changes that an account collects before they are published.

use jiff::Timestamp;

use super::super::check::Problem;
use super::super::database::{Access, values};
use super::super::error::{PublishError, StoreError};
use super::super::state::State;
use super::super::wanted::Wanted;
use super::super::{Store, history, key, publish};
use crate::model::{Change, Kind};

/// What somebody is preparing.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The changes; secrets hashed or sealed, as they are stored.
    pub changes: Vec<Change>,
    /// The revision in force when it was begun.
    pub base_revision: u64,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Which draft is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Whatever is there.
    Any,
    /// The one that was written then; `None`: there is to be none.
    Written(Option<Timestamp>),
}

impl Store {
    /// An account's draft.
    pub async fn draft(&self, admin_id: u64) -> Result<Option<Draft>, StoreError> {
        let sql = "SELECT base_revision, body, updated_at FROM drafts WHERE admin_id = ?";
        let rows = self.0.database.query(sql, values![admin_id]).await?;
        let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
        let (base_revision, body, updated_at) = (row.count()?, row.text()?, row.time()?);
        let changes = serde_json::from_str(&body).map_err(|error| {
            StoreError::Unusable(format!("a draft in the database cannot be read: {error}"))
        })?;
        Ok(Some(Draft { changes, base_revision, updated_at }))
    }

    /// Keeps these changes in place of the draft before; `None`: that is not the one there, and it stays. What they hold of
    /// secrets is hashed and sealed first, which is the one thing that can be wrong with a change here.
    pub async fn put_draft(
        &self,
        admin_id: u64,
        over: Over,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<Option<Draft>, PublishError> {
        let state = self.state();
        let changes = self.kept(&state, changes).map_err(PublishError::Invalid)?;
        let draft = Draft { changes, base_revision: state.revision, updated_at: now };
        let body = serde_json::to_string(&draft.changes)
            .map_err(|error| StoreError::Unusable(format!("the draft cannot be written: {error}")))?;
        let mut transaction = self.0.database.begin(Access::Write).await?;
        // Its base must not be forgotten, the sealing key not be replaced, and nobody else write, while it is written.
        history::lock_head(&mut transaction).await?;
        let sql = "SELECT updated_at FROM drafts WHERE admin_id = ?";
        let rows = transaction.query(sql, values![admin_id]).await?;
        let there = rows.into_iter().next().map(|mut row| row.time()).transpose()?;
        if matches!(over, Over::Written(expected) if expected != there) {
            return Ok(None);
        }
        if draft.changes.iter().any(|it| it.kind == Kind::Certificate && it.body.is_some()) {
            key::still(&mut transaction, self.0.key.as_ref()).await?;
        }
        transaction.execute("DELETE FROM drafts WHERE admin_id = ?", values![admin_id]).await?;
        let sql = "INSERT INTO drafts (admin_id, base_revision, body, updated_at) VALUES (?, ?, ?, ?)";
        transaction.execute(sql, values![admin_id, draft.base_revision, body, now]).await?;
        transaction.commit().await?;
        Ok(Some(draft))
    }

    /// Changes as they may be written down.
    fn kept(&self, state: &State, changes: Vec<Change>) -> Result<Vec<Change>, Vec<Problem>> {
        let (mut kept, mut problems) = (Vec::with_capacity(changes.len()), Vec::new());
        for change in changes {
            let sealed = Wanted::new(&change, state).map_err(|problem| vec![problem]).and_then(|wanted| {
                let mut one = [wanted];
                publish::seal(&mut one, state, self.0.key.as_ref())?;
                let [wanted] = one;
                Ok(wanted.becomes.map(|(_, body)| body.value()))
            });
            match sealed {
                Ok(body) => kept.push(Change { body, ..change }),
                Err(wrong) => problems.extend(wrong),
            }
        }
        if problems.is_empty() { Ok(kept) } else { Err(problems) }
    }

    /// Throws it away, if it is that one; with [`Over::Written`] one that was written since stays.
    pub async fn remove_draft(&self, admin_id: u64, over: Over) -> Result<(), StoreError> {
        let (sql, values) = match over {
            Over::Any => ("DELETE FROM drafts WHERE admin_id = ?", values![admin_id]),
            Over::Written(None) => return Ok(()),
            Over::Written(Some(at)) => {
                ("DELETE FROM drafts WHERE admin_id = ? AND updated_at = ?", values![admin_id, at])
            }
        };
        self.0.database.execute(sql, values).await.map(drop)
    }
}
