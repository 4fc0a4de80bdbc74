//! The audit: who did what, when, from where. Only ever added to; the last [`RECORDS_MAX`] are kept.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::super::Store;
use super::super::database::{Access, Transaction, Value, values};
use super::super::error::StoreError;
use super::{ACTOR_BYTES_MAX, Page, cut};
use crate::model::Actor;

const ACTION_BYTES_MAX: usize = 64;
const OBJECT_BYTES_MAX: usize = 255;
/// Longest detail; a longer one is left out, and says so.
const DETAIL_BYTES_MAX: usize = 64 << 10;
/// How many records are kept, so that failed logins cannot fill a disk: more than a year of 100 an hour.
pub const RECORDS_MAX: u64 = 1_000_000;

/// One thing that was done, or tried.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// They count up.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What was done: `publish`, `login`, `login_failed` ...
    pub action: String,
    /// To what: `revision 12`, `account alice`.
    pub object: String,
    /// More, without secrets.
    pub detail: Json,
}

/// Which records.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// By this actor.
    pub actor: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// With this in actor, action, object or detail.
    pub search: Option<String>,
    /// Without those actions.
    pub without: Vec<&'static str>,
}

impl Store {
    /// Writes one down.
    pub async fn audit(
        &self,
        actor: &Actor,
        action: &str,
        object: &str,
        detail: &Json,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.0.database.begin(Access::Write).await?;
        write(&mut transaction, actor, action, object, detail, now).await?;
        transaction.commit().await
    }

    /// What was written down, the newest first, and how many there are of it.
    pub async fn audits(
        &self,
        filter: &AuditFilter,
        page: Page,
    ) -> Result<(Vec<AuditRecord>, u64), StoreError> {
        let (condition, values) = filter.condition();
        let mut transaction = self.0.database.begin(Access::Read).await?;
        let sql = format!("SELECT COUNT(*) FROM audit WHERE {condition}");
        let total = transaction.query(&sql, values.clone()).await?;
        let total = total.into_iter().next().map_or(Ok(0), |mut row| row.count())?;
        let sql = format!(
            "SELECT id, at, actor, address, action, object, detail FROM audit WHERE {condition} ORDER BY id DESC LIMIT \
             {} OFFSET {}",
            page.size(),
            page.offset()
        );
        let rows = transaction.query(&sql, values).await?;
        transaction.commit().await?;
        let mut records = Vec::with_capacity(rows.len());
        for mut row in rows {
            let (id, at, name, address) = (row.count()?, row.time()?, row.text()?, row.maybe_text()?);
            records.push(AuditRecord {
                id,
                at,
                actor: Actor { name, address: address.and_then(|it| it.parse().ok()) },
                action: row.text()?,
                object: row.text()?,
                detail: serde_json::from_str(&row.text()?).unwrap_or_default(),
            });
        }
        Ok((records, total))
    }
}

impl AuditFilter {
    fn condition(&self) -> (String, Vec<Value>) {
        let (mut parts, mut values) = (vec!["1 = 1".to_owned()], Vec::new());
        for (column, wanted) in [("actor", &self.actor), ("action", &self.action)] {
            if let Some(wanted) = wanted {
                parts.push(format!("{column} = ?"));
                values.push(Value::from(wanted));
            }
        }
        for action in &self.without {
            parts.push("action <> ?".to_owned());
            values.push(Value::from(*action));
        }
        if let Some(search) = &self.search {
            // `!`, as a backslash means something else to each of the databases.
            let like = |column: &str| format!("{column} LIKE ? ESCAPE '!'");
            parts.push(format!("({})", ["actor", "action", "object", "detail"].map(like).join(" OR ")));
            let text = search.replace('!', "!!").replace('%', "!%").replace('_', "!_");
            values.extend(std::iter::repeat_n(Value::from(format!("%{text}%")), 4));
        }
        (parts.join(" AND "), values)
    }
}

/// Writes one down in the transaction that does it.
pub async fn write(
    transaction: &mut Transaction,
    actor: &Actor,
    action: &str,
    object: &str,
    detail: &Json,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut text = detail.to_string();
    if text.len() > DETAIL_BYTES_MAX {
        text = serde_json::json!({ "left_out": format!("{} bytes of detail", text.len()) }).to_string();
    }
    let sql = "INSERT INTO audit (at, actor, address, action, object, detail) VALUES (?, ?, ?, ?, ?, ?)";
    let row = values![
        now,
        cut(&actor.name, ACTOR_BYTES_MAX),
        actor.address.map(|it| it.to_string()),
        cut(action, ACTION_BYTES_MAX),
        cut(object, OBJECT_BYTES_MAX),
        text
    ];
    let id = transaction.execute(sql, row).await?.id;
    // By number and not by count, which would read the table; numbers may have gaps, so fewer may be kept.
    if let Some(last) = id.checked_sub(RECORDS_MAX) {
        transaction.execute("DELETE FROM audit WHERE id <= ?", values![last]).await?;
    }
    Ok(())
}
