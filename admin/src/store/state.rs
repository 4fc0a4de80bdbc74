//! The configuration as of one revision, in memory.
//!
//! Input: rows of the database. A [`State`] never changes; the next one shares all items that stayed with it, so that a
//! revision costs what it changed and a list of pointers. Invariant: the items of a kind are in the order of their names.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::check::Problem;
use super::error::Conflict;
use super::wanted::{Wanted, redacted, renamed_to};
use crate::model::{Change, Item, Kind};

type List = BTreeMap<Arc<str>, Arc<Item>>;

/// The whole configuration.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The revision that it is, 0 before the first.
    pub revision: u64,
    /// When that came into force.
    pub at: Option<Timestamp>,
    lists: [List; 4],
}

/// Why changes cannot be made to a state.
#[derive(Debug, Clone, PartialEq)]
pub enum Refused {
    /// Somebody else was there first.
    Stale(Vec<Conflict>),
    /// Some make no sense by themselves.
    Invalid(Vec<Problem>),
}

/// An element in two states; nothing where it is not there.
pub type BeforeAndAfter<'a> = (Option<&'a Arc<Item>>, Option<&'a Arc<Item>>);

impl State {
    /// An item by its name.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Item>> {
        self.of(kind).get(name)
    }

    /// All of a kind, by name.
    pub fn list(&self, kind: Kind) -> impl ExactSizeIterator<Item = &Arc<Item>> {
        self.of(kind).values()
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.of(kind).len()
    }

    /// The configuration as JSON, `{"listeners": [..], "certificates": [..], ..}`, with the keys of certificates as they
    /// are stored: sealed. See [`Store::configuration`](super::Store::configuration) for what engines get.
    pub fn document(&self) -> String {
        self.document_with(|_| None)
    }

    /// The same, where `instead` may say another text for an item.
    pub fn document_with<'a>(&'a self, instead: impl Fn(&'a Item) -> Option<&'a str>) -> String {
        let bytes: usize =
            Kind::ALL.iter().flat_map(|kind| self.list(*kind)).map(|it| it.body.text().len() + 1).sum();
        let mut text = String::with_capacity(bytes + 128);
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            text.push(if at == 0 { '{' } else { ',' });
            text.push('"');
            text.push_str(kind.list());
            text.push_str("\":[");
            for (at, item) in self.list(kind).enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(instead(item).unwrap_or_else(|| item.body.text()));
            }
            text.push(']');
        }
        text.push('}');
        text
    }

    /// The state with these changes, for checks and drafts: changed items have version 0. Secrets are hashed, and keys
    /// of certificates stay as they are given.
    pub fn apply(&self, changes: &[Change]) -> Result<State, Refused> {
        let wanted = self.wanted(changes).map_err(Refused::Invalid)?;
        let conflicts = self.conflicts(changes);
        if !conflicts.is_empty() {
            return Err(Refused::Stale(conflicts));
        }
        Ok(self.with(&wanted, 0, "", Timestamp::UNIX_EPOCH))
    }

    /// What these changes come to, whoever was there first.
    pub(super) fn wanted(&self, changes: &[Change]) -> Result<Vec<Wanted>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut wanted = Vec::with_capacity(changes.len());
        for change in changes {
            match Wanted::new(change, self) {
                Ok(one) => wanted.push(one),
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(twice(&wanted));
        if problems.is_empty() { Ok(wanted) } else { Err(problems) }
    }

    /// Which of these changes are not based on what is in force, and new names that are taken.
    pub fn conflicts(&self, changes: &[Change]) -> Vec<Conflict> {
        let given_up: HashSet<(Kind, &str)> = changes
            .iter()
            .filter(|it| it.body.is_none() || renamed_to(it).is_some())
            .map(|it| (it.kind, it.name.as_str()))
            .collect();
        let mut conflicts = Vec::new();
        for change in changes {
            conflicts.extend(self.conflict(change, &change.name, change.based_on));
            // A new name may be one that another of the changes gives up.
            let taken = renamed_to(change).filter(|name| !given_up.contains(&(change.kind, name)));
            conflicts.extend(taken.and_then(|name| self.conflict(change, name, None)));
        }
        conflicts
    }

    fn conflict(&self, change: &Change, name: &str, based_on: Option<u64>) -> Option<Conflict> {
        let theirs = self.get(change.kind, name);
        if theirs.map(|it| it.version) == based_on {
            return None;
        }
        Some(Conflict {
            kind: change.kind,
            name: name.to_owned(),
            yours: change.body.clone().map(|body| redacted(change.kind, body)),
            theirs: theirs.map(|it| shown(it)),
            version: theirs.map(|it| it.version),
            changed_by: theirs.map(|it| it.changed_by.clone()).unwrap_or_default(),
            changed_at: theirs.map(|it| it.changed_at),
        })
    }

    /// The state after what is wanted, as that revision.
    pub(super) fn with(&self, wanted: &[Wanted], revision: u64, by: &str, at: Timestamp) -> State {
        let mut next = self.clone();
        for name in wanted.iter().filter_map(Wanted::given_up) {
            next.remove(name.0, name.1);
        }
        for one in wanted {
            if let Some((name, body)) = &one.becomes {
                next.put(Item {
                    kind: one.kind,
                    name: name.clone(),
                    version: revision,
                    body: body.clone(),
                    changed_by: by.to_owned(),
                    changed_at: at,
                });
            }
        }
        if revision > 0 {
            next.revision = revision;
            next.at = Some(at);
        }
        next
    }

    pub(super) fn put(&mut self, item: Item) {
        self.of_mut(item.kind).insert(Arc::from(item.name.as_str()), Arc::new(item));
    }

    pub(super) fn remove(&mut self, kind: Kind, name: &str) -> Option<Arc<Item>> {
        self.of_mut(kind).remove(name)
    }

    /// Whether both hold the same elements, whoever wrote them and when.
    pub fn same_as(&self, other: &State) -> bool {
        Kind::ALL.into_iter().all(|kind| {
            self.count(kind) == other.count(kind)
                && self.list(kind).zip(other.list(kind)).all(|(a, b)| a.name == b.name && a.body == b.body)
        })
    }

    /// Elements that differ, as before and after, in order of kind and name.
    pub fn difference<'a>(&'a self, after: &'a State) -> Vec<BeforeAndAfter<'a>> {
        let mut found = Vec::new();
        for kind in Kind::ALL {
            let (old, new) = (self.of(kind), after.of(kind));
            let names: std::collections::BTreeSet<&str> =
                old.keys().chain(new.keys()).map(|it| &**it).collect();
            for name in names {
                let (before, after) = (old.get(name), new.get(name));
                let same = match (before, after) {
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.body == b.body,
                    _ => false,
                };
                if !same {
                    found.push((before, after));
                }
            }
        }
        found
    }

    fn of(&self, kind: Kind) -> &List {
        &self.lists[slot(kind)]
    }

    fn of_mut(&mut self, kind: Kind) -> &mut List {
        &mut self.lists[slot(kind)]
    }
}

fn slot(kind: Kind) -> usize {
    match kind {
        Kind::Listener => 0,
        Kind::Certificate => 1,
        Kind::Service => 2,
        Kind::Tenant => 3,
    }
}

/// Names that more than one change is about, before or after.
fn twice(wanted: &[Wanted]) -> Vec<Problem> {
    let (mut before, mut after) = (HashSet::new(), HashSet::new());
    let mut problems = Vec::new();
    for one in wanted {
        let name_after = one.becomes.as_ref().map_or(one.name.as_str(), |(name, _)| name);
        let again = !before.insert((one.kind, one.name.as_str()));
        if again || (one.becomes.is_some() && !after.insert((one.kind, name_after))) {
            let message = "more than one of the changes is about it";
            problems.push(Problem::of(one.kind, name_after, "", message));
        }
    }
    problems
}

/// A value that is shown to people: as it is, without its secrets.
pub fn shown(item: &Item) -> Value {
    redacted(item.kind, item.body.value())
}
