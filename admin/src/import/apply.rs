//! From an [`Outcome`] to one revision.
//!
//! Items of the same kind and name are replaced, others stay unless everything is to be replaced. What stands there already
//! changes nothing, so that an import can be repeated. All of it comes into force or nothing.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Imported, Outcome, Warning};
use crate::model::{Actor, Cause, Change, Item, Kind, Proposal, Revision};
use crate::store::{Problem, PublishError, Refused, State, Store};

/// How an import is to be made.
#[derive(Debug, Clone)]
pub struct Order {
    /// Items that the import does not have are deleted.
    pub replace: bool,
    /// Nothing is written.
    pub dry_run: bool,
    /// Why, for people.
    pub message: String,
    /// Who.
    pub author: Actor,
}

/// What came of an import.
#[derive(Debug, Serialize, ToSchema)]
pub struct Report {
    /// What is new, other than before, or gone.
    pub changes: Vec<Changed>,
    /// Items that were there already, as they are.
    pub unchanged: usize,
    /// What is not as it was, what could not be carried over, what looks wrong.
    pub warnings: Vec<Warning>,
    /// What would be wrong with the configuration; for a dry run alone, as otherwise nothing is imported.
    pub problems: Vec<Problem>,
    /// What it became; nothing for a dry run and where nothing changed.
    pub revision: Option<Revision>,
}

/// One item that an import changes.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Changed {
    /// Which list.
    pub kind: Kind,
    /// Which element.
    pub name: String,
    /// `create`, `update` or `delete`.
    pub action: &'static str,
}

/// Imports into a store.
///
/// # Errors
/// The configuration would not be valid, somebody else changes it at the same time, or the database is away.
pub async fn apply(store: &Store, outcome: Outcome, order: Order) -> Result<Report, PublishError> {
    let state = store.state();
    let items = outcome.items.len();
    let mut changes = changes(outcome.items, &state, order.replace);
    let next = state.apply(&changes).map_err(|refused| match refused {
        Refused::Stale(conflicts) => PublishError::Stale(conflicts),
        Refused::Invalid(problems) => PublishError::Invalid(problems),
    })?;
    let told = difference(&state, &next);
    let is_told: HashSet<(Kind, &str)> = told.iter().map(|it| (it.kind, it.name.as_str())).collect();
    changes.retain(|change| is_told.contains(&(change.kind, change.name.as_str())));
    let gone = told.iter().filter(|it| it.action == "delete").count();
    let mut report = Report {
        unchanged: items - (told.len() - gone),
        changes: told,
        warnings: outcome.warnings,
        problems: Vec::new(),
        revision: None,
    };
    if changes.is_empty() {
        return Ok(report);
    }
    if order.dry_run {
        report.problems = store.check(&changes).await;
        return Ok(report);
    }
    let proposal = Proposal {
        changes,
        message: order.message,
        author: order.author,
        cause: Cause::Import,
        confirm_within: None,
    };
    match store.publish(proposal, jiff::Timestamp::now()).await {
        Ok(revision) => report.revision = Some(revision),
        // A certificate's key is sealed anew each time, so only the store can tell that it is the same.
        Err(PublishError::Empty) => {
            report.changes.clear();
            report.unchanged = items;
        }
        Err(error) => return Err(error),
    }
    Ok(report)
}

/// What has to change for these items to be there, and with `replace` no others.
fn changes(items: Vec<Imported>, state: &State, replace: bool) -> Vec<Change> {
    let wanted = |item: Imported| Change {
        based_on: state.get(item.kind, &item.name).map(|before| before.version),
        kind: item.kind,
        name: item.name,
        body: Some(item.body),
    };
    let mut changes: Vec<Change> = items.into_iter().map(wanted).collect();
    if replace {
        let kept: HashSet<(Kind, &str)> = changes.iter().map(|it| (it.kind, it.name.as_str())).collect();
        let gone: Vec<Change> = Kind::ALL
            .into_iter()
            .flat_map(|kind| state.list(kind))
            .filter(|item| !kept.contains(&(item.kind, item.name.as_str())))
            .map(|item| Change {
                kind: item.kind,
                name: item.name.clone(),
                body: None,
                based_on: Some(item.version),
            })
            .collect();
        changes.extend(gone);
    }
    changes
}

fn difference(before: &State, after: &State) -> Vec<Changed> {
    let changed = |pair| {
        let (item, action) = match pair {
            (None, Some(item)) => (item, "create"),
            (Some(item), None) => (item, "delete"),
            (Some(_), Some(item)) => (item, "update"),
            (None, None) => return None,
        };
        let item: &Arc<Item> = item;
        Some(Changed { kind: item.kind, name: item.name.clone(), action })
    };
    before.difference(after).into_iter().filter_map(changed).collect()
}
