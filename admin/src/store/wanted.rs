//! From a change as somebody wrote it to what will stand in the database.
//!
//! Input: a [`Change`] and the state that it is for. Output: [`Wanted`], whose body is canonical (compact, keys in
//! order, no nulls), so that equal elements have equal texts. A tenant's secret becomes its hash here, before it gets
//! anywhere; a secret or key that is left out, or is the `***` that people are shown, stays the one in force.
//!
//! Errors: a [`Problem`] with the item.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::check::Problem;
use super::state::State;
use crate::model::{Body, Change, Kind};

/// Most bytes of one element: MySQL takes 16 MiB in a packet unless it is told otherwise.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// What stands for a secret.
pub const REDACTED: &str = "***";

/// One change, ready.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Which list.
    pub kind: Kind,
    /// The name before, or of a new element.
    pub name: String,
    /// The name and the element after; `None` if it is deleted.
    pub becomes: Option<(String, Body)>,
}

impl Wanted {
    /// What a change comes to.
    pub fn new(change: &Change, state: &State) -> Result<Self, Problem> {
        let Change { kind, name, .. } = change;
        let wrong = |key: &str, message: &str| Problem::of(*kind, name, key, message);
        let becomes = match &change.body {
            None => None,
            Some(Value::Object(body)) => {
                let mut body = body.clone();
                without_nulls(&mut body);
                let before = state.get(*kind, name).map(|it| it.body.value());
                secrets(*kind, &mut body, before.as_ref()).map_err(|(key, message)| wrong(key, &message))?;
                let name_key = kind.name_key();
                body.entry(name_key).or_insert_with(|| Value::String(name.clone()));
                let Some(after) = body.get(name_key).and_then(Value::as_str).map(str::to_owned) else {
                    return Err(wrong(name_key, "must be a string"));
                };
                if after != *name && before.is_none() {
                    return Err(wrong(name_key, &format!("must be {name:?}, as a new {kind} has one name")));
                }
                let body = Body::from(Value::Object(body));
                if body.text().len() > BODY_BYTES_MAX {
                    return Err(wrong("", &format!("is larger than {} MiB", BODY_BYTES_MAX >> 20)));
                }
                Some((after, body))
            }
            Some(_) => return Err(wrong("", &format!("a {kind} must be a table"))),
        };
        Ok(Self { kind: *kind, name: name.clone(), becomes })
    }

    /// Kind and name of what is no longer there after it: a deletion, or the old name.
    pub fn given_up(&self) -> Option<(Kind, &str)> {
        let stays = self.becomes.as_ref().is_some_and(|(name, _)| *name == self.name);
        (!stays).then_some((self.kind, self.name.as_str()))
    }
}

/// The new name of what a change renames.
pub fn renamed_to(change: &Change) -> Option<&str> {
    let name = change.body.as_ref()?.get(change.kind.name_key())?.as_str()?;
    (name != change.name).then_some(name)
}

/// An element as people see it.
pub fn redacted(kind: Kind, mut body: Value) -> Value {
    for key in secret_keys(kind) {
        if let Some(secret) = body.get_mut(key) {
            *secret = Value::String(REDACTED.to_owned());
        }
    }
    body
}

/// Keys of an element that nobody sees.
pub fn secret_keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Tenant => &["secret", "secret_sha256"],
        Kind::Certificate => &["key"],
        Kind::Listener | Kind::Service => &[],
    }
}

fn without_nulls(body: &mut Map<String, Value>) {
    body.retain(|_, value| !value.is_null());
    body.values_mut().for_each(within);

    fn within(value: &mut Value) {
        match value {
            Value::Object(table) => without_nulls(table),
            Value::Array(items) => items.iter_mut().for_each(within),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn secrets(
    kind: Kind,
    body: &mut Map<String, Value>,
    before: Option<&Value>,
) -> Result<(), (&'static str, String)> {
    let keys = secret_keys(kind);
    for key in keys {
        if body.get(*key).is_some_and(|it| it == REDACTED) {
            body.remove(*key);
        }
    }
    if !keys.is_empty() && keys.iter().all(|key| !body.contains_key(*key)) {
        for key in keys {
            if let Some(secret) = before.and_then(|it| it.get(key)) {
                body.insert((*key).to_owned(), secret.clone());
            }
        }
    }
    if kind == Kind::Tenant { hashed(body) } else { Ok(()) }
}

/// Puts the hash of a tenant's secret in its place.
fn hashed(body: &mut Map<String, Value>) -> Result<(), (&'static str, String)> {
    const BYTES_MAX: usize = coregate_config::limits::SECRET_BYTES_MAX;
    let Some(secret) = body.remove("secret") else { return Ok(()) };
    if body.contains_key("secret_sha256") {
        return Err(("secret_sha256", "does not go together with secret".to_owned()));
    }
    let Value::String(secret) = secret else {
        return Err(("secret", "must be a string".to_owned()));
    };
    if secret.is_empty() || secret.len() > BYTES_MAX {
        return Err(("secret", format!("must have 1 to {BYTES_MAX} bytes")));
    }
    // RFC 7617, section 2: a password has no control characters.
    if secret.chars().any(char::is_control) {
        return Err(("secret", "must not hold control characters".to_owned()));
    }
    let digits: String = Sha256::digest(&secret).iter().map(|byte| format!("{byte:02x}")).collect();
    body.insert("secret_sha256".to_owned(), Value::String(digits));
    Ok(())
}
