//! The last word: what the configuration's check still finds is taken out, the smallest part that is wrong, and told.
//!
//! Each round takes something out of each item that has a problem, so that it ends. Where a part that is taken out would let
//! callers in whom it kept out, the item is switched off as well.

use std::collections::{BTreeMap, BTreeSet};

use coregate_config::limits::{LISTENERS_MAX, SERVICES_MAX, TENANTS_MAX};
use serde_json::{Value, json};

use crate::import::Outcome;
use crate::model::Kind;

/// A key, taken apart: `services[0].nodes[1]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

/// Rounds in which single parts are taken out; after them whole items are.
const GENTLE_ROUNDS: usize = 8;

/// Takes out whatever does not check.
pub fn repair(outcome: &mut Outcome) {
    let mut round = 0;
    while let Err(report) = coregate_config::parse_dynamic_json(&outcome.document().to_string(), "gogate") {
        let found: Vec<(Vec<Step>, String)> =
            report.errors.into_iter().map(|problem| (steps(&problem.key), problem.message)).collect();
        let mut wrong: BTreeMap<usize, BTreeMap<Vec<Step>, String>> = BTreeMap::new();
        for (steps, message) in &found {
            if let Some(item) = item_of(outcome, steps) {
                let inner = steps.get(2..).unwrap_or_default().to_vec();
                wrong.entry(item).or_default().entry(inner).or_insert_with(|| message.clone());
            }
        }
        if wrong.is_empty() && !shorten(outcome, &found) {
            outcome.items.clear();
            outcome.warn("gogate", "nothing could be carried over");
        }
        let mut drop = Vec::new();
        for (item, problems) in wrong {
            let mut done: BTreeSet<Vec<Step>> = BTreeSet::new();
            let mut fatal = None;
            // From behind, so that indices stay those of the check.
            for (steps, message) in problems.into_iter().rev() {
                if round >= GENTLE_ROUNDS || !take_out(outcome, item, &steps, &message, &mut done) {
                    fatal = Some(message);
                }
            }
            if let (Some(message), Some(it)) = (fatal, outcome.items.get(item)) {
                drop.push((it.kind, it.name.clone(), message));
            }
        }
        for (kind, name, message) in drop {
            remove_item(outcome, kind, &name, &message);
        }
        round += 1;
    }
}

/// Cuts lists that are too long; `false` if none is.
fn shorten(outcome: &mut Outcome, found: &[(Vec<Step>, String)]) -> bool {
    let mut cut = false;
    for (steps, message) in found {
        let [Step::Key(list)] = steps.as_slice() else { continue };
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.list() == list) else { continue };
        let max = match kind {
            Kind::Listener => LISTENERS_MAX,
            Kind::Service => SERVICES_MAX,
            Kind::Tenant => TENANTS_MAX,
            Kind::Certificate => 0,
        };
        let (mut kept, before) = (0, outcome.items.len());
        outcome.items.retain(|item| {
            kept += usize::from(item.kind == kind);
            item.kind != kind || kept <= max
        });
        cut |= outcome.items.len() < before;
        outcome.warn(list, format!("{message}: those beyond {max} are left out"));
    }
    cut
}

fn steps(key: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in key.split(['.', '[']) {
        match part.strip_suffix(']') {
            Some(index) => {
                steps.push(index.parse().map_or_else(|_| Step::Key(index.to_owned()), Step::Index));
            }
            None => steps.push(Step::Key(part.to_owned())),
        }
    }
    steps
}

/// Which of the outcome's items a key is about.
fn item_of(outcome: &Outcome, steps: &[Step]) -> Option<usize> {
    let [Step::Key(list), Step::Index(index), ..] = steps else { return None };
    let kind = Kind::ALL.into_iter().find(|kind| kind.list() == list)?;
    outcome.items.iter().enumerate().filter(|(_, item)| item.kind == kind).nth(*index).map(|(place, _)| place)
}

/// Takes the part out of an item that a problem is about; `false` if only the whole item is left.
fn take_out(
    outcome: &mut Outcome,
    item: usize,
    steps: &[Step],
    message: &str,
    done: &mut BTreeSet<Vec<Step>>,
) -> bool {
    let Some(it) = outcome.items.get_mut(item) else { return true };
    let place = format!("{} \"{}\"", it.kind, it.name);
    let keys: Vec<&str> = steps.iter().map(|step| if let Step::Key(key) = step { key } else { "" }).collect();
    let body = &mut it.body;
    // How much of the path is taken out, and whether the item may stay in force without it.
    let (depth, stays) = match (it.kind, keys.as_slice()) {
        (Kind::Service, ["routes", "", "rewrites", "", ..]) => (4, true),
        (Kind::Service, ["routes", "", ..]) => (2, true),
        (Kind::Service, ["headers", "request", "", ..]) => (3, true),
        (Kind::Service, ["nodes", "", ..]) => (2, true),
        (Kind::Service, ["access", "deny", "", ..]) => (3, true),
        (Kind::Service, ["timeouts" | "health_check" | "pool", _, ..]) => (2, true),
        (Kind::Service, ["limits", _, ..]) => (1, false),
        (Kind::Listener, ["address"]) if body["enabled"] != json!(false) => {
            body["enabled"] = json!(false);
            outcome.warn(place, format!("its address {message}: it is switched off"));
            return true;
        }
        _ => return false,
    };
    let Some(path) = steps.get(..depth) else { return false };
    if !done.insert(path.to_vec()) {
        return true;
    }
    let Some(removed) = remove(body, path) else { return false };
    if !stays {
        body["enabled"] = json!(false);
    }
    let what: Vec<String> = path
        .iter()
        .map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => format!("[{index}]"),
        })
        .collect();
    let end = if stays { "left out" } else { "left out, and it is switched off" };
    let removed = super::lists::quoted(&removed.to_string());
    outcome.warn(place, format!("{} = {removed}: {message}: {end}", what.join(".").replace(".[", "[")));
    true
}

fn remove(body: &mut Value, path: &[Step]) -> Option<Value> {
    let (last, before) = path.split_last()?;
    let mut at = body;
    for step in before {
        at = match step {
            Step::Key(key) => at.get_mut(key)?,
            Step::Index(index) => at.get_mut(*index)?,
        };
    }
    match last {
        Step::Key(key) => at.as_object_mut()?.remove(key),
        Step::Index(index) => {
            let list = at.as_array_mut()?;
            (*index < list.len()).then(|| list.remove(*index))
        }
    }
}

/// Takes an item out, and with a service the listeners that lead to it.
fn remove_item(outcome: &mut Outcome, kind: Kind, name: &str, message: &str) {
    outcome.items.retain(|it| {
        let leads_there =
            kind == Kind::Service && it.kind == Kind::Listener && it.body["service"] == json!(name);
        !(leads_there || it.kind == kind && it.name == name)
    });
    outcome.warn(format!("{kind} \"{name}\""), format!("{message}: left out"));
}
