//! The key that a database's certificates are sealed with: whether it is the right one, and how it is replaced.
//!
//! `meta` holds a text that only the right key opens (`seal_check`). A key is replaced in one transaction, under the lock of
//! the head: all sealed keys of the present, of older revisions and of drafts, and that text. An admin that still has the
//! old key is kept from writing what nobody could open later ([`still`]).

use serde_json::{Value as Json, json};

use super::Store;
use super::database::{Access, Database, Transaction, values};
use super::error::StoreError;
use super::history::{self, NEVER};
use super::records::audit;
use super::seal::{SealingKey, is_sealed};
use super::state::State;
use crate::model::{Actor, Change, Kind};

const NAME: &str = "seal_check";
const TEXT: &str = "coregate";

/// What was sealed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resealed {
    /// Certificates in force.
    pub certificates: u64,
    /// Certificates of older revisions.
    pub older: u64,
    /// Certificates in drafts.
    pub in_drafts: u64,
}

/// Whether the key is the one that this database's certificates are sealed with; the first key that is given becomes it.
pub async fn tried(database: &Database, key: Option<&SealingKey>, state: &State) -> Result<(), StoreError> {
    let Some(key) = key else {
        return match state.count(Kind::Certificate) {
            0 => Ok(()),
            count => Err(StoreError::Sealing(format!(
                "the database holds {count} certificate(s) whose keys are encrypted: the key is needed that they were \
                 encrypted with (--key-file or COREGATE_ADMIN_KEY)"
            ))),
        };
    };
    let mut transaction = database.begin(Access::Write).await?;
    history::lock_head(&mut transaction).await?;
    match sealed_text(&mut transaction).await? {
        Some(sealed) if key.open(NAME, &sealed).is_err() => {
            return Err(StoreError::Sealing(
                "the key (--key-file or COREGATE_ADMIN_KEY) is not the one that this database's certificates are \
                 encrypted with"
                    .to_owned(),
            ));
        }
        Some(_) => {}
        None => {
            let row = values![NAME, key.seal(NAME, TEXT)?];
            transaction.execute("INSERT INTO meta (name, value) VALUES (?, ?)", row).await?;
        }
    }
    transaction.commit().await
}

/// Whether it still is, for somebody who holds the lock of the head and is about to write what it has sealed.
pub async fn still(transaction: &mut Transaction, key: Option<&SealingKey>) -> Result<(), StoreError> {
    let Some(sealed) = sealed_text(transaction).await? else { return Ok(()) };
    if key.is_some_and(|key| key.open(NAME, &sealed).is_err()) {
        return Err(StoreError::Sealing(
            "the key that certificates are encrypted with was replaced meanwhile: start this coregate-admin with the new \
             one (--key-file or COREGATE_ADMIN_KEY)"
                .to_owned(),
        ));
    }
    Ok(())
}

async fn sealed_text(transaction: &mut Transaction) -> Result<Option<String>, StoreError> {
    let rows = transaction.query("SELECT value FROM meta WHERE name = ?", values![NAME]).await?;
    rows.into_iter().next().map(|mut row| row.text()).transpose()
}

impl Store {
    /// Seals everything with another key, which the database is to be opened with from then on.
    pub async fn replace_key(
        self,
        new: &SealingKey,
        by: &Actor,
        now: jiff::Timestamp,
    ) -> Result<Resealed, StoreError> {
        let old = self.0.key.as_ref().ok_or_else(|| {
            StoreError::Sealing("the old key is needed, too (--key-file or COREGATE_ADMIN_KEY)".to_owned())
        })?;
        let mut transaction = self.0.database.begin(Access::Write).await?;
        history::lock_head(&mut transaction).await?;
        still(&mut transaction, Some(old)).await?;
        let check = sealed_text(&mut transaction).await?;
        if check.is_some_and(|sealed| new.open(NAME, &sealed).is_ok()) {
            return Err(StoreError::Sealing("the new key is the one that is in use already".to_owned()));
        }
        let keys = Keys { old, new };
        let (certificates, older) = keys.items(&mut transaction).await?;
        let in_drafts = keys.drafts(&mut transaction).await?;
        let row = values![new.seal(NAME, TEXT)?, NAME];
        transaction.execute("UPDATE meta SET value = ? WHERE name = ?", row).await?;
        let done = Resealed { certificates, older, in_drafts };
        let detail = json!({ "certificates": certificates, "older": older, "in_drafts": in_drafts });
        audit::write(&mut transaction, by, "key_replaced", "certificates", &detail, now).await?;
        transaction.commit().await?;
        Ok(done)
    }
}

struct Keys<'a> {
    old: &'a SealingKey,
    new: &'a SealingKey,
}

impl Keys<'_> {
    /// Certificates of all revisions; says how many are in force, and how many are not.
    async fn items(&self, transaction: &mut Transaction) -> Result<(u64, u64), StoreError> {
        let kind = Kind::Certificate.as_str();
        let sql = "SELECT name, revision, gone, body FROM items WHERE kind = ?";
        let (mut in_force, mut older) = (0, 0);
        for mut row in transaction.query(sql, values![kind]).await? {
            let (name, revision, gone, body) = (row.text()?, row.count()?, row.count()?, row.text()?);
            let mut body = json_of(&body)?;
            if !self.reseal(&name, &mut body)? {
                continue;
            }
            let sql = "UPDATE items SET body = ? WHERE kind = ? AND name = ? AND revision = ?";
            transaction.execute(sql, values![body.to_string(), kind, name, revision]).await?;
            let counted = if i64::try_from(gone) == Ok(NEVER) { &mut in_force } else { &mut older };
            *counted += 1;
        }
        Ok((in_force, older))
    }

    /// Certificates that are changed in drafts.
    async fn drafts(&self, transaction: &mut Transaction) -> Result<u64, StoreError> {
        let mut count = 0;
        for mut row in transaction.query("SELECT admin_id, body FROM drafts", vec![]).await? {
            let (owner, body) = (row.count()?, row.text()?);
            let mut changes: Vec<Change> = serde_json::from_str(&body).map_err(|error| {
                StoreError::Unusable(format!("a draft in the database cannot be read: {error}"))
            })?;
            let before = count;
            for change in changes.iter_mut().filter(|it| it.kind == Kind::Certificate) {
                let Some(body) = &mut change.body else { continue };
                let name = body["name"].as_str().unwrap_or(&change.name).to_owned();
                count += u64::from(self.reseal(&name, body)?);
            }
            if count > before {
                let sql = "UPDATE drafts SET body = ? WHERE admin_id = ?";
                transaction.execute(sql, values![json!(changes).to_string(), owner]).await?;
            }
        }
        Ok(count)
    }

    /// Seals the key of one anew, if it has one.
    fn reseal(&self, name: &str, body: &mut Json) -> Result<bool, StoreError> {
        let Some(sealed) = body["key"].as_str().filter(|it| is_sealed(it)) else { return Ok(false) };
        body["key"] = self.new.seal(name, &self.old.open(name, sealed)?)?.into();
        Ok(true)
    }
}

fn json_of(text: &str) -> Result<Json, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Unusable(format!("a certificate in the database is no JSON: {error}")))
}
