//! What differs between two states: which elements, and which keys in them. Without secrets.
//!
//! Lists are compared from both ends and place by place between, so a node that is added in the middle is one line and
//! not all that follow it.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::state::State;
use super::wanted::{REDACTED, redacted, secret_keys};
use crate::model::{Item, Kind};

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

/// All elements that differ, in order of kind and name.
pub fn states(before: &State, after: &State) -> Vec<ItemDiff> {
    before
        .difference(after)
        .into_iter()
        .filter_map(|(old, new)| match (old, new) {
            (None, None) => None,
            (None, Some(new)) => Some(one(new, Action::Create, None, Some(new.body.value()))),
            (Some(old), None) => Some(one(old, Action::Delete, Some(old.body.value()), None)),
            (Some(old), Some(new)) => {
                Some(one(new, Action::Update, Some(old.body.value()), Some(new.body.value())))
            }
        })
        .collect()
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
    let shown = |value: Option<Value>| value.map(|it| redacted(item.kind, it));
    ItemDiff {
        kind: item.kind,
        name: item.name.clone(),
        action,
        before: shown(before),
        after: shown(after),
        paths,
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
