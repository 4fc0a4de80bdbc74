//! What differs between two states: which elements, and which keys in them. Without secrets.
//!
//! Lists are compared from both ends and place by place between, so a node that is added in the middle is one line and
//! not all that follow it. Bounds: [`CHANGES_MAX`] elements and [`KEYS_MAX`] keys of each are listed, the rest is counted.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::state::State;
use super::wanted::{REDACTED, redacted, secret_keys};
use crate::model::{Item, Kind};

/// Elements that are listed.
pub const CHANGES_MAX: usize = 1000;
/// Keys of an element that are listed.
pub const KEYS_MAX: usize = 1000;

/// What differs between two states.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateDiff {
    /// Elements that differ, in order of kind and name.
    pub items: Vec<ItemDiff>,
    /// How many more there are.
    pub more: u64,
}

/// What became of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is new.
    Create,
    /// It was there before.
    Update,
    /// It is gone.
    Delete,
}

/// An element that differs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ItemDiff {
    /// Which list.
    pub kind: Kind,
    /// Which element.
    pub name: String,
    /// What became of it.
    pub action: Action,
    /// It before; nothing if it is new.
    pub before: Option<Value>,
    /// It after; nothing if it is gone.
    pub after: Option<Value>,
    /// For an update: the keys that differ.
    pub paths: Vec<PathDiff>,
    /// How many more keys differ than are listed.
    pub more_paths: u64,
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PathDiff {
    /// The key, such as `nodes[1].weight`; an index counts in the list after, or before if it is gone.
    pub path: String,
    /// Its value before; nothing if it was not given.
    pub before: Option<Value>,
    /// Its value after.
    pub after: Option<Value>,
}

/// What differs.
pub fn states(before: &State, after: &State) -> StateDiff {
    let mut diff = StateDiff::default();
    for (old, new) in before.difference(after) {
        let (item, action) = match (old, new) {
            (None, None) => continue,
            (None, Some(new)) => (new, Action::Create),
            (Some(old), None) => (old, Action::Delete),
            (Some(_), Some(new)) => (new, Action::Update),
        };
        if diff.items.len() < CHANGES_MAX {
            let body = |item: Option<&Arc<Item>>| item.map(|it| it.body.value());
            diff.items.push(one(item, action, body(old), body(new)));
        } else {
            diff.more += 1;
        }
    }
    diff
}

fn one(item: &Item, action: Action, before: Option<Value>, after: Option<Value>) -> ItemDiff {
    let mut paths = Vec::new();
    if let (Some(Value::Object(before)), Some(Value::Object(after))) = (&before, &after) {
        tables(before, after, "", &mut paths);
        // That a secret changed is told, not what it was.
        for path in paths.iter_mut().filter(|it| secret_keys(item.kind).contains(&it.path.as_str())) {
            let hidden = |value: &mut Option<Value>| *value = value.take().map(|_| REDACTED.into());
            hidden(&mut path.before);
            hidden(&mut path.after);
        }
    }
    let more_paths = paths.len().saturating_sub(KEYS_MAX) as u64;
    paths.truncate(KEYS_MAX);
    let shown = |value: Option<Value>| value.map(|it| redacted(item.kind, it));
    ItemDiff {
        kind: item.kind,
        name: item.name.clone(),
        action,
        before: shown(before),
        after: shown(after),
        paths,
        more_paths,
    }
}

fn tables(before: &Map<String, Value>, after: &Map<String, Value>, at: &str, paths: &mut Vec<PathDiff>) {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        values(before.get(key), after.get(key), at, paths);
    }
}

fn values(before: Option<&Value>, after: Option<&Value>, at: String, paths: &mut Vec<PathDiff>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => tables(before, after, &at, paths),
        (Some(Value::Array(before)), Some(Value::Array(after))) => lists(before, after, &at, paths),
        (before, after) => {
            paths.push(PathDiff { path: at, before: before.cloned(), after: after.cloned() });
        }
    }
}

fn lists(before: &[Value], after: &[Value], at: &str, paths: &mut Vec<PathDiff>) {
    let shorter = before.len().min(after.len());
    let start = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let end =
        before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count().min(shorter - start);
    let before = before.get(start..before.len() - end).unwrap_or_default();
    let after = after.get(start..after.len() - end).unwrap_or_default();
    for index in 0..before.len().max(after.len()) {
        values(before.get(index), after.get(index), format!("{at}[{}]", start + index), paths);
    }
}
