//! Whether a state may come into force: the config crate's checks, and that certificates can be used.
//!
//! Input: a [`State`]. Output: every [`Problem`], each with its item and a key that is relative to it
//! (`nodes[0].weight`). The whole configuration is checked each time, since names, routes and addresses clash across
//! items. Takes some 100 ms with 10,000 services, so it runs beside the runtime ([`checked`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use coregate::tls::certificates;
use coregate_config::checked::{Certificate, Gateway};
use coregate_config::limits::TEXT_BYTES_MAX;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::StoreError;
use super::seal::{SealingKey, is_sealed};
use super::state::State;
use crate::model::{Item, Kind};

/// Problems that are told; an import of a wrong file can have one for each line.
const PROBLEMS_MAX: usize = 1000;

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Which list; nothing for the configuration as a whole.
    pub kind: Option<Kind>,
    /// Which element.
    pub name: Option<String>,
    /// The key within it, such as `nodes[0].weight`; empty for the element itself.
    pub key: String,
    /// What was given, shortened, without secrets.
    pub value: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    /// With an element.
    pub fn of(kind: Kind, name: &str, key: &str, message: impl Into<String>) -> Self {
        Self {
            kind: Some(kind),
            name: Some(name.to_owned()),
            key: key.to_owned(),
            value: None,
            message: message.into(),
        }
    }

    fn of_all(message: impl Into<String>) -> Self {
        Self { kind: None, name: None, key: String::new(), value: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let (Some(kind), Some(name)) = (self.kind, &self.name) {
            write!(f, "{kind} {name:?}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}", self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

/// Checks a state on a thread for such things. `changed` are certificates whose keys are to be tried.
pub async fn checked(
    state: Arc<State>,
    key: Option<SealingKey>,
    changed: Vec<String>,
) -> Result<Vec<Problem>, StoreError> {
    tokio::task::spawn_blocking(move || problems(&state, key.as_ref(), &changed)).await.map_err(|_| {
        StoreError::Unusable("the check of the configuration has failed; its bug was logged".to_owned())
    })
}

fn problems(state: &State, key: Option<&SealingKey>, changed: &[String]) -> Vec<Problem> {
    let (text, mut problems) = match opened(state, key) {
        Ok(text) => (text, Vec::new()),
        Err(problems) => return problems,
    };
    if text.len() as u64 > TEXT_BYTES_MAX {
        return vec![Problem::of_all(format!(
            "the configuration is larger than {} MiB",
            TEXT_BYTES_MAX >> 20
        ))];
    }
    match coregate_config::parse_dynamic_json(&text, "configuration") {
        Ok(gateway) => problems.extend(unusable(&gateway, changed)),
        Err(report) => {
            let items = Items::of(state);
            let told = report.errors.into_iter().take(PROBLEMS_MAX);
            problems.extend(told.map(|problem| items.relative(problem)));
        }
    }
    problems
}

/// The configuration with the keys of certificates in clear, as engines get it.
pub fn opened(state: &State, key: Option<&SealingKey>) -> Result<String, Vec<Problem>> {
    let mut bodies: HashMap<&str, String> = HashMap::new();
    let mut problems = Vec::new();
    for item in state.list(Kind::Certificate) {
        match in_clear(item, key) {
            Ok(None) => {}
            Ok(Some(body)) => {
                bodies.insert(&item.name, body);
            }
            Err(message) => problems.push(Problem::of(Kind::Certificate, &item.name, "key", message)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(state.document_with(|item| match item.kind {
        Kind::Certificate => bodies.get(item.name.as_str()).map(String::as_str),
        Kind::Listener | Kind::Service | Kind::Tenant => None,
    }))
}

/// A certificate's body with its key in clear; `None` if it stands there so.
fn in_clear(item: &Item, key: Option<&SealingKey>) -> Result<Option<String>, String> {
    let mut body = item.body.value();
    let Some(sealed) = body.get("key").and_then(|it| it.as_str()).filter(|it| is_sealed(it)) else {
        return Ok(None);
    };
    let key =
        key.ok_or("is encrypted, and coregate-admin was started without the key for it (--key-file)")?;
    let opened = key.open(&item.name, sealed).map_err(|error| error.to_string())?;
    body["key"] = opened.into();
    Ok(Some(body.to_string()))
}

/// Certificates that no handshake could present: what an engine would refuse.
fn unusable(gateway: &Gateway, changed: &[String]) -> Vec<Problem> {
    let provider = coregate::tls::provider();
    let named = gateway.certificates.iter().filter(|it| changed.iter().any(|name| **name == *it.name));
    named
        .filter_map(|named| {
            let unusable = certificates::load(&Certificate::Named(Arc::clone(named)), &provider).err()?;
            let key = if unusable.place.contains("key") { "key" } else { "chain" };
            Some(Problem::of(Kind::Certificate, &named.name, key, unusable.why))
        })
        .collect()
}

/// The items in the order of the document, so that `services[17]` gets its name back.
struct Items<'a> {
    by_place: HashMap<Kind, Vec<&'a str>>,
}

impl<'a> Items<'a> {
    fn of(state: &'a State) -> Self {
        let names = |kind| state.list(kind).map(|item| item.name.as_str()).collect();
        Self { by_place: Kind::ALL.into_iter().map(|kind| (kind, names(kind))).collect() }
    }

    /// A problem of the document, as one of an item.
    fn relative(&self, problem: coregate_config::Problem) -> Problem {
        let message = self.message(&problem.message);
        let Some((kind, name, key)) = self.place(&problem.key) else {
            return Problem { kind: None, name: None, key: problem.key, value: problem.value, message };
        };
        let owner = format!(" ({kind} {name:?})");
        let message = message.strip_suffix(&owner).map(str::to_owned).unwrap_or(message);
        Problem {
            kind: Some(kind),
            name: Some(name.to_owned()),
            key: key.to_owned(),
            value: problem.value,
            message,
        }
    }

    /// `services[17].nodes[0]` is the service of that name, and `nodes[0]`.
    fn place<'k>(&self, key: &'k str) -> Option<(Kind, &'a str, &'k str)> {
        let (list, rest) = key.split_once('[')?;
        let (index, rest) = rest.split_once(']')?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.list() == list)?;
        let name = self.by_place.get(&kind)?.get(index.parse::<usize>().ok()?)?;
        Some((kind, name, rest.strip_prefix('.').unwrap_or(rest)))
    }

    /// Lines and indices mean nothing to somebody who sees items: `services[3].routes[0] (service "b", line 1)` becomes
    /// `routes[0] of service "b"`.
    fn message(&self, message: &str) -> String {
        let Some((start, end)) = other_half(message) else { return message.to_owned() };
        let (before, rest) = message.split_at(start);
        let (other, after) = rest.split_at(end - start);
        let path = other.split_once(" (").map_or(other, |(path, _)| path);
        match self.place(path) {
            Some((kind, name, "")) => format!("{before}{kind} {name:?}{after}"),
            Some((kind, name, key)) => format!("{before}{key} of {kind} {name:?}{after}"),
            None => message.to_owned(),
        }
    }
}

/// Where a message names another key with its line: `services[3].name (line 1)`.
fn other_half(message: &str) -> Option<(usize, usize)> {
    let line = message.rfind("line ")?;
    let end = line + message.get(line..)?.find(')')? + 1;
    let before = message.get(..line)?;
    let start = Kind::ALL.into_iter().filter_map(|kind| before.rfind(&format!(" {}[", kind.list()))).max()?;
    Some((start + 1, end))
}
