//! What goes wrong in the store.
//!
//! A [`StoreError`] is about the database; a [`PublishError`] about a change. No message holds a password or a secret.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::check::Problem;
use crate::model::{Kind, Revision};

/// The database cannot do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot be reached, or is too busy; the same may work later.
    Unavailable(String),
    /// The connection broke while a change was being saved, so nobody knows whether it was.
    Unsure(String),
    /// It says no: missing rights, a full disk, a table that somebody changed.
    Refused(String),
    /// What it holds makes no sense, or was written by a newer coregate-admin.
    Unusable(String),
    /// Certificate keys cannot be sealed or opened.
    Sealing(String),
    /// The URL of the database.
    Url(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the database cannot be reached: {why}"),
            Self::Unsure(why) => write!(
                f,
                "the connection to the database broke while this was being saved, and it may have been: {why}; look \
                 before you repeat it"
            ),
            Self::Refused(why) => write!(f, "the database refuses: {why}"),
            Self::Unusable(why) | Self::Sealing(why) | Self::Url(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}

/// Why a change did not become a revision.
#[derive(Debug, Clone, PartialEq)]
pub enum PublishError {
    /// Somebody else changed the same since its author looked.
    Stale(Vec<Conflict>),
    /// The configuration would not be valid.
    Invalid(Vec<Problem>),
    /// It changes nothing.
    Empty,
    /// That revision has to be confirmed or reverted first.
    Pending(Box<Revision>),
    /// That revision does not wait to be confirmed (any more), so it cannot be taken back; a rollback can.
    NotPending(u64),
    /// There is no such revision to go back to.
    NoSuchRevision(u64),
    /// The database.
    Database(StoreError),
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Stale(conflicts) => {
                f.write_str("somebody else changed the same in the meantime:")?;
                conflicts.iter().try_for_each(|it| write!(f, " {it};"))
            }
            Self::Invalid(problems) => {
                f.write_str("the configuration would not be valid:")?;
                problems.iter().try_for_each(|it| write!(f, " {it};"))
            }
            Self::Empty => f.write_str("it changes nothing"),
            Self::Pending(revision) => write!(
                f,
                "revision {} of {} waits to be confirmed: confirm it or take it back first",
                revision.id, revision.author
            ),
            Self::NotPending(id) => write!(
                f,
                "revision {id} does not wait to be confirmed (any more): roll back to the one before it instead"
            ),
            Self::NoSuchRevision(id) => write!(f, "there is no revision {id}, or it is not kept any more"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PublishError {}

/// Why a revision could not be confirmed.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfirmError {
    /// There is no such revision.
    NoSuchRevision,
    /// It needed no confirmation, or has one.
    NotPending,
    /// It was taken back, by that revision.
    Reverted(u64),
    /// Its time is over: it is being taken back.
    TooLate,
    /// The database.
    Database(StoreError),
}

impl From<StoreError> for ConfirmError {
    fn from(error: StoreError) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for ConfirmError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NoSuchRevision => f.write_str("there is no such revision"),
            Self::NotPending => f.write_str("the revision does not wait to be confirmed"),
            Self::Reverted(id) => write!(f, "the revision was taken back by revision {id}"),
            Self::TooLate => f.write_str("the time to confirm the revision is over: it is being taken back"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfirmError {}

/// Why an account, a token or the like could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordError {
    /// The name is taken.
    Exists,
    /// It is not there (any more).
    Missing,
    /// Somebody else changed it in the meantime.
    Stale,
    /// Nobody would be left who may administer.
    LastAdmin,
    /// There are as many as there may be.
    TooMany,
    /// The database.
    Database(StoreError),
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("the name is taken"),
            Self::Missing => f.write_str("it is not there"),
            Self::Stale => f.write_str("somebody else changed it in the meantime"),
            Self::LastAdmin => f.write_str("no enabled account with the role admin would be left"),
            Self::TooMany => f.write_str("there are as many as there may be"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecordError {}

/// Two people changed the same: what each of them wants it to be.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Conflict {
    /// Which list.
    pub kind: Kind,
    /// Which element.
    pub name: String,
    /// What the refused change wanted; nothing for a deletion. Without secrets.
    pub yours: Option<Value>,
    /// What is in force; nothing if it was deleted. Without secrets.
    pub theirs: Option<Value>,
    /// The version in force.
    pub version: Option<u64>,
    /// Who changed it last; empty if it is gone and nobody knows.
    pub changed_by: String,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub changed_at: Option<Timestamp>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (kind, name) = (self.kind, &self.name);
        match (self.version, self.changed_at) {
            (Some(version), Some(at)) => {
                write!(f, "{kind} {name:?} is at version {version} by {}, {at}", self.changed_by)
            }
            (Some(version), None) => write!(f, "{kind} {name:?} is at version {version}"),
            (None, _) => write!(f, "{kind} {name:?} is not there (any more)"),
        }
    }
}
