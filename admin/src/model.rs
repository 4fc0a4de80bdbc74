//! What all parts of the admin speak of: items of the configuration, changes to them, revisions.
//!
//! An [`Item`] is one element of one of the configuration's lists, in the config crate's schema: what a file can say, an
//! item can say, and nothing else. A [`Proposal`] is what somebody wants to change, and becomes one [`Revision`] or
//! nothing. An item's version is the number of the revision that wrote it, so optimistic locking compares two numbers.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The lists of the configuration that the admin keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `listeners`
    Listener,
    /// `services`
    Service,
    /// `tenants`
    Tenant,
    /// `certificates`
    Certificate,
}

impl Kind {
    /// All of them, in the order of a configuration file.
    pub const ALL: [Kind; 4] = [Kind::Listener, Kind::Certificate, Kind::Service, Kind::Tenant];

    /// The word for one, as stored and as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Service => "service",
            Self::Tenant => "tenant",
            Self::Certificate => "certificate",
        }
    }

    /// The list's key in the configuration, and its path in the API.
    pub fn list(self) -> &'static str {
        match self {
            Self::Listener => "listeners",
            Self::Service => "services",
            Self::Tenant => "tenants",
            Self::Certificate => "certificates",
        }
    }

    /// The key that names an element.
    pub fn name_key(self) -> &'static str {
        match self {
            Self::Tenant => "app_id",
            Self::Listener | Self::Service | Self::Certificate => "name",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An element of the configuration as it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Item {
    /// Which list it stands in.
    pub kind: Kind,
    /// Unique among its kind.
    pub name: String,
    /// The revision that wrote it; 0 if none has yet.
    pub version: u64,
    /// The element, in the configuration's schema; secrets as they are stored (hashed or encrypted).
    #[schema(value_type = Object)]
    pub body: Body,
    /// Who wrote that revision.
    pub changed_by: String,
    /// When, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: jiff::Timestamp,
}

/// An element as JSON text: a tenth of the memory of a [`Value`], and ready to be sent.
///
/// Invariant: valid JSON, compact, keys in order, so that equal texts are equal elements.
#[derive(Clone)]
pub struct Body(Box<RawValue>);

impl Body {
    /// What stands in the database; `None` if it is no JSON.
    pub fn from_stored(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self)
    }

    /// The JSON.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The JSON, to look into.
    pub fn value(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }
}

impl From<&Value> for Body {
    fn from(value: &Value) -> Self {
        // A `Value` always is JSON.
        Self(RawValue::from_string(value.to_string()).unwrap_or_default())
    }
}

impl From<Value> for Body {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // The text may hold what is not for a log.
        write!(f, "Body({} bytes)", self.text().len())
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// One thing to change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// Which list.
    pub kind: Kind,
    /// Which element. A new name in `body` renames it.
    pub name: String,
    /// What it is to be; `None` deletes it.
    pub body: Option<Value>,
    /// The version that its author has seen; `None`: there was none, it is new.
    pub based_on: Option<u64>,
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// `admin:alice`, `token:deploy`, `command line`, `system`.
    pub name: String,
    /// Where from; `None` for the process itself and its command line.
    #[schema(value_type = Option<String>)]
    pub address: Option<std::net::IpAddr>,
}

/// What kind of event a revision was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody changed something.
    Change,
    /// Somebody brought an older state back.
    Rollback,
    /// A file or a gogate database was imported.
    Import,
    /// Nobody confirmed it in time, so the state before came back.
    Revert,
}

impl Cause {
    const ALL: [Cause; 4] = [Cause::Change, Cause::Rollback, Cause::Import, Cause::Revert];

    /// As stored and as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Rollback => "rollback",
            Self::Import => "import",
            Self::Revert => "revert",
        }
    }
}

impl std::str::FromStr for Cause {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word).ok_or(())
    }
}

/// What somebody wants to change, all of it or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// At least one; no two of the same kind and name.
    pub changes: Vec<Change>,
    /// Why, for people; may be empty.
    pub message: String,
    /// Who.
    pub author: Actor,
    /// What kind of event.
    pub cause: Cause,
    /// It is taken back unless it is confirmed within so many seconds.
    pub confirm_within: Option<std::time::Duration>,
}

/// One state of the whole configuration; they count up by one.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Revision {
    /// From 1.
    pub id: u64,
    /// When, UTC.
    #[schema(value_type = String, format = DateTime)]
    pub at: jiff::Timestamp,
    /// Who.
    pub author: String,
    /// Why; may be empty.
    pub message: String,
    /// What kind of event.
    pub cause: Cause,
    /// The older revision that it brought back, for a rollback or a revert.
    pub restores: Option<u64>,
    /// How many items it changed.
    pub changes: u64,
    /// When it is taken back by itself; `None` if it is confirmed or needed no confirmation.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub confirm_by: Option<jiff::Timestamp>,
    /// Who confirmed it, if it needed that and somebody did.
    pub confirmed_by: Option<String>,
    /// The revision that took it back, if it was not confirmed.
    pub reverted_by: Option<u64>,
}
