//! Configurations from elsewhere: gogate databases and TOML files; and the way out, as TOML.
//!
//! Whatever is read becomes an [`Outcome`]: items in the config crate's schema, and what the reader has to tell of them.
//! Readers are sans-io and know nothing of the store; [`apply`] makes one proposal of an outcome.

pub mod apply;
pub mod command;
pub mod export;
pub mod file;
pub mod gogate;
pub mod handlers;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::model::Kind;

/// What an import found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// In the order in which they stood.
    pub items: Vec<Imported>,
    /// What is not as it was, what could not be carried over, what looks wrong.
    pub warnings: Vec<Warning>,
}

/// An item that is to be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Which list it belongs to.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What it says.
    pub body: Value,
}

/// Something that whoever imports should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Warning {
    /// What it is about: `service "a"`, `gateway_app`.
    #[serde(rename = "where")]
    pub place: String,
    /// What was there, what became of it, what to do.
    pub message: String,
}

impl Outcome {
    /// Tells something.
    pub fn warn(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Warning { place: place.into(), message: message.into() });
    }

    /// The items as one configuration.
    pub fn document(&self) -> Value {
        let mut document = serde_json::Map::new();
        for kind in Kind::ALL {
            let of_kind: Vec<Value> =
                self.items.iter().filter(|item| item.kind == kind).map(|item| item.body.clone()).collect();
            if !of_kind.is_empty() {
                document.insert(kind.list().to_owned(), Value::Array(of_kind));
            }
        }
        Value::Object(document)
    }
}
