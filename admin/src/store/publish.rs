//! From a proposal to a revision.
//!
//! The long part (what is wanted, the check) is done before the transaction; under the lock of the head it is done once
//! more only if another admin has published in between, so what is written is what was checked. Errors leave nothing
//! behind. A revision that waits to be confirmed keeps others out, so that what comes back without a confirmation is
//! the state before it and nobody else's work is lost.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Store;
use super::check::{self, Problem};
use super::database::{Access, Transaction, marks, values};
use super::error::{ConfirmError, PublishError, StoreError};
use super::history::{self, NEVER};
use super::key;
use super::records::{self, audit};
use super::seal::{SealingKey, is_sealed};
use super::state::State;
use super::wanted::Wanted;
use crate::model::{Actor, Body, Cause, Change, Item, Kind, Proposal, Revision};

/// Longest message of a revision.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Longest time to confirm.
pub const CONFIRM_MAX: Duration = Duration::from_secs(24 * 3600);
/// Names in one statement.
const NAMES_MAX: usize = 200;

/// What is to be done, whatever asked for it.
struct Order {
    plan: Plan,
    message: String,
    author: Actor,
    cause: Cause,
    confirm_within: Option<Duration>,
}

enum Plan {
    /// Change these.
    Change(Vec<Change>),
    /// Bring that state back.
    Restore(u64),
    /// Take that revision back, if it (still) waits to be confirmed.
    TakeBack(u64),
}

/// An order worked out for a state.
struct Ready {
    base: Arc<State>,
    wanted: Vec<Wanted>,
}

impl Store {
    /// Makes one revision of a proposal, or nothing.
    pub async fn publish(&self, proposal: Proposal, now: Timestamp) -> Result<Revision, PublishError> {
        let Proposal { changes, message, author, cause, confirm_within } = proposal;
        self.carry_out(Order { plan: Plan::Change(changes), message, author, cause, confirm_within }, now)
            .await
    }

    /// Brings the state of an older revision back, as a new one. While a revision waits to be confirmed, only to before it.
    pub async fn rollback(
        &self,
        to: u64,
        author: Actor,
        message: String,
        confirm_within: Option<Duration>,
        now: Timestamp,
    ) -> Result<Revision, PublishError> {
        if to == 0 {
            return Err(PublishError::NoSuchRevision(0));
        }
        let cause = Cause::Rollback;
        self.carry_out(Order { plan: Plan::Restore(to), message, author, cause, confirm_within }, now).await
    }

    /// Takes a revision back that waits to be confirmed.
    pub async fn revert(&self, id: u64, author: Actor, now: Timestamp) -> Result<Revision, PublishError> {
        let message = format!("revision {id} taken back");
        let (plan, cause) = (Plan::TakeBack(id), Cause::Revert);
        self.carry_out(Order { plan, message, author, cause, confirm_within: None }, now).await
    }

    /// Takes the newest revision back if nobody confirmed it in time. To be called each second; of several admins, one
    /// does it.
    pub async fn revert_due(&self, now: Timestamp) -> Result<Option<Revision>, PublishError> {
        let Some(pending) = self.pending().await? else { return Ok(None) };
        if pending.confirm_by.is_none_or(|by| by > now) {
            return Ok(None);
        }
        let message = format!("revision {} was not confirmed in time", pending.id);
        let author = Actor { name: "system".to_owned(), address: None };
        let (plan, cause) = (Plan::TakeBack(pending.id), Cause::Revert);
        let order = Order { plan, message, author, cause, confirm_within: None };
        match self.carry_out(order, now).await {
            Ok(revision) => Ok(Some(revision)),
            // Another admin, or a person, was quicker.
            Err(PublishError::NotPending(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a revision that waits to be confirmed.
    pub async fn confirm(&self, id: u64, by: Actor, now: Timestamp) -> Result<Revision, ConfirmError> {
        let mut transaction = self.0.database.begin(Access::Write).await?;
        history::lock_head(&mut transaction).await?;
        let sql = format!("SELECT {} FROM revisions WHERE id = ?", history::REVISION);
        let row = transaction.query(&sql, values![id]).await?.into_iter().next();
        let mut revision = history::revision(row.ok_or(ConfirmError::NoSuchRevision)?)?;
        match (revision.reverted_by, revision.confirm_by) {
            (Some(by), _) => return Err(ConfirmError::Reverted(by)),
            (None, None) => return Err(ConfirmError::NotPending),
            (None, Some(until)) if until <= now => return Err(ConfirmError::TooLate),
            (None, Some(_)) => {}
        }
        let author = records::cut(&by.name, records::ACTOR_BYTES_MAX);
        let sql = "UPDATE revisions SET confirm_by = NULL, confirmed_by = ? WHERE id = ?";
        transaction.execute(sql, values![author, id]).await?;
        let detail = serde_json::json!({ "confirms": id });
        audit::write(&mut transaction, &by, "confirm", &format!("revision {id}"), &detail, now).await?;
        transaction.commit().await?;
        revision.confirm_by = None;
        revision.confirmed_by = Some(author.to_owned());
        Ok(revision)
    }

    async fn carry_out(&self, order: Order, now: Timestamp) -> Result<Revision, PublishError> {
        // As the database keeps it, so that every admin says the same of a revision, now and after a restart.
        let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        let _changing = self.0.changing.lock().await;
        let base = self.0.refresh().await?;
        let mut ready = self.prepare(&order, base).await?;
        let mut transaction = self.0.database.begin(Access::Write).await?;
        let head = history::lock_head(&mut transaction).await?;
        if head != ready.base.revision {
            let base = history::advance(&mut transaction, &ready.base).await?;
            ready = self.prepare(&order, Arc::new(base)).await?;
        }
        if !certificates(&ready.wanted).is_empty() {
            key::still(&mut transaction, self.0.key.as_ref()).await?;
        }
        let ended = order.ends(history::pending(&mut transaction).await?)?;
        let (revision, next) = write(&mut transaction, &order, &ready, ended, now).await?;
        transaction.commit().await?;
        self.0.install(next);
        Ok(revision)
    }

    async fn prepare(&self, order: &Order, base: Arc<State>) -> Result<Ready, PublishError> {
        let mut wanted = match &order.plan {
            Plan::Change(changes) => {
                let conflicts = base.conflicts(changes);
                if !conflicts.is_empty() {
                    return Err(PublishError::Stale(conflicts));
                }
                base.wanted(changes).map_err(PublishError::Invalid)?
            }
            Plan::Restore(to) => self.difference(&base, *to).await?,
            Plan::TakeBack(id) => self.difference(&base, id.saturating_sub(1)).await?,
        };
        seal(&mut wanted, &base, self.0.key.as_ref()).map_err(PublishError::Invalid)?;
        wanted.retain(|one| !stays(one, &base));
        // What is taken back was in force a moment ago: it must come back, whatever is thought of it.
        if let Plan::TakeBack(_) = order.plan {
            return Ok(Ready { base, wanted });
        }
        if wanted.is_empty() {
            return Err(PublishError::Empty);
        }
        let next = Arc::new(base.with(&wanted, 0, "", Timestamp::UNIX_EPOCH));
        let problems = check::checked(next, self.0.key.clone(), certificates(&wanted)).await?;
        if problems.is_empty() { Ok(Ready { base, wanted }) } else { Err(PublishError::Invalid(problems)) }
    }

    /// What has to change for the state of a revision to come back.
    async fn difference(&self, base: &State, to: u64) -> Result<Vec<Wanted>, PublishError> {
        let then = self.state_at(to).await?.ok_or(PublishError::NoSuchRevision(to))?;
        let wanted = |(before, after): (Option<&Arc<Item>>, Option<&Arc<Item>>)| {
            let item = after.or(before)?;
            let becomes = after.map(|it| (it.name.clone(), it.body.clone()));
            Some(Wanted { kind: item.kind, name: item.name.clone(), becomes })
        };
        Ok(base.difference(&then).into_iter().filter_map(wanted).collect())
    }
}

impl Order {
    /// Which revision it ends that waits to be confirmed.
    fn ends(&self, pending: Option<Revision>) -> Result<Option<u64>, PublishError> {
        match (&self.plan, pending) {
            (Plan::TakeBack(id), pending) => match pending {
                Some(pending) if pending.id == *id => Ok(Some(*id)),
                Some(_) | None => Err(PublishError::NotPending(*id)),
            },
            (Plan::Restore(to), Some(pending)) if *to < pending.id => Ok(Some(pending.id)),
            (Plan::Change(_) | Plan::Restore(_), Some(pending)) => {
                Err(PublishError::Pending(Box::new(pending)))
            }
            (Plan::Change(_) | Plan::Restore(_), None) => Ok(None),
        }
    }

    fn restores(&self) -> Option<u64> {
        match self.plan {
            Plan::Change(_) => None,
            Plan::Restore(to) => Some(to),
            Plan::TakeBack(id) => Some(id.saturating_sub(1)),
        }
    }
}

/// Seals the keys of certificates that are wanted. A key that is the one in force stays as it is, so that nothing
/// changes that did not.
pub fn seal(wanted: &mut [Wanted], base: &State, key: Option<&SealingKey>) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for one in wanted.iter_mut().filter(|it| it.kind == Kind::Certificate) {
        let old_name = one.name.clone();
        let Some((name, body)) = &mut one.becomes else { continue };
        let before = base.get(Kind::Certificate, &old_name).map(|it| it.body.value());
        let before = before.as_ref().and_then(|it| it.get("key")?.as_str());
        if let Err(message) = seal_one(&old_name, name, body, before, key) {
            problems.push(Problem::of(Kind::Certificate, name, "key", message));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn seal_one(
    old_name: &str,
    name: &str,
    body: &mut Body,
    before: Option<&str>,
    key: Option<&SealingKey>,
) -> Result<(), String> {
    let mut value = body.value();
    // Whether it is there at all is the config crate's matter.
    let Some(given) = value.get("key").and_then(|it| it.as_str()) else { return Ok(()) };
    if is_sealed(given) && old_name == name {
        return Ok(());
    }
    let key = key.ok_or(
        "cannot be stored: coregate-admin was started without a key to encrypt it with (--key-file or \
         COREGATE_ADMIN_KEY)",
    )?;
    let told = |error: StoreError| error.to_string();
    let plain = if is_sealed(given) { key.open(old_name, given).map_err(told)? } else { given.to_owned() };
    let stays = before.filter(|it| old_name == name && key.open(name, it).is_ok_and(|old| old == plain));
    let sealed = match stays {
        Some(sealed) => sealed.to_owned(),
        None => key.seal(name, &plain).map_err(told)?,
    };
    value["key"] = sealed.into();
    *body = Body::from(value);
    Ok(())
}

/// The names of certificates that are new or other ones.
pub fn certificates(wanted: &[Wanted]) -> Vec<String> {
    let of = |one: &Wanted| one.becomes.as_ref().map(|(name, _)| name.clone());
    wanted.iter().filter(|it| it.kind == Kind::Certificate).filter_map(of).collect()
}

/// Whether it is so already.
fn stays(one: &Wanted, base: &State) -> bool {
    let before = base.get(one.kind, &one.name);
    match (&one.becomes, before) {
        (Some((name, body)), Some(before)) => *name == before.name && *body == before.body,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

async fn write(
    transaction: &mut Transaction,
    order: &Order,
    ready: &Ready,
    ended: Option<u64>,
    now: Timestamp,
) -> Result<(Revision, State), StoreError> {
    let Ready { base, wanted } = ready;
    let id = base.revision + 1;
    let within = order.confirm_within.map(|it| it.min(CONFIRM_MAX));
    let revision = Revision {
        id,
        // Clocks of several admins differ; the order of revisions is that of their numbers.
        at: base.at.map_or(now, |last| last.max(now)),
        author: records::cut(&order.author.name, records::ACTOR_BYTES_MAX).to_owned(),
        message: records::cut(&order.message, MESSAGE_BYTES_MAX).to_owned(),
        cause: order.cause,
        restores: order.restores(),
        changes: wanted.len() as u64,
        confirm_by: within.and_then(|it| now.checked_add(it).ok()),
        confirmed_by: None,
        reverted_by: None,
    };
    write_items(transaction, base, wanted, id).await?;
    let address = order.author.address.map(|it| it.to_string());
    let row = values![
        id,
        revision.at,
        &revision.author,
        address,
        &revision.message,
        revision.cause.as_str(),
        revision.restores,
        revision.changes,
        revision.confirm_by,
    ];
    let sql = "INSERT INTO revisions (id, at, author, address, message, cause, restores, changes, confirm_by) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    transaction.execute(sql, row).await?;
    if let Some(ended) = ended {
        let sql = "UPDATE revisions SET confirm_by = NULL, reverted_by = ? WHERE id = ?";
        transaction.execute(sql, values![id, ended]).await?;
    }
    transaction.execute("UPDATE meta SET value = ? WHERE name = 'head'", values![id.to_string()]).await?;
    let detail = detail(&revision, wanted);
    let action = match order.cause {
        Cause::Change => "publish",
        Cause::Rollback | Cause::Import | Cause::Revert => order.cause.as_str(),
    };
    audit::write(transaction, &order.author, action, &format!("revision {id}"), &detail, now).await?;
    let next = base.with(wanted, id, &revision.author, revision.at);
    Ok((revision, next))
}

async fn write_items(
    transaction: &mut Transaction,
    base: &State,
    wanted: &[Wanted],
    id: u64,
) -> Result<(), StoreError> {
    for kind in Kind::ALL {
        let replaced: Vec<&str> = wanted
            .iter()
            .filter(|it| it.kind == kind && base.get(kind, &it.name).is_some())
            .map(|it| it.name.as_str())
            .collect();
        for names in replaced.chunks(NAMES_MAX) {
            let marks = marks(names.len());
            let sql = format!("UPDATE items SET gone = ? WHERE kind = ? AND gone = ? AND name IN ({marks})");
            let mut row = values![id, kind.as_str(), NEVER];
            row.extend(names.iter().map(|name| (*name).into()));
            transaction.execute(&sql, row).await?;
        }
    }
    let rows = wanted.iter().filter_map(|one| {
        let (name, body) = one.becomes.as_ref()?;
        Some(values![one.kind.as_str(), name, id, body.text()])
    });
    transaction.insert("items (kind, name, revision, body)", rows.collect()).await
}

/// For the audit: what was changed, by name.
fn detail(revision: &Revision, wanted: &[Wanted]) -> serde_json::Value {
    const NAMED_MAX: usize = 20;
    let named: Vec<String> =
        wanted.iter().take(NAMED_MAX).map(|it| format!("{} {}", it.kind, it.name)).collect();
    serde_json::json!({
        "changes": revision.changes,
        "items": named,
        "message": revision.message,
        "restores": revision.restores,
        "confirm_by": revision.confirm_by,
    })
}
