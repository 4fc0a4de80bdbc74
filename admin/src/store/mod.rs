//! The store: the one place where the configuration changes.
//!
//! ```text
//! Proposal ─> wanted (canonical, secrets hashed) ─> sealed ─> check (whole state) ─> one transaction ─> State in memory
//!                                                                                        ^                  │
//!                                             another admin's revisions ─> poll of the head                 └─> watch
//! ```
//!
//! | file | what |
//! |---|---|
//! | `url.rs`, `database.rs`, `database/` | where the database is; statements and transactions, the same for MySQL and SQLite |
//! | `migrations.rs` | the tables |
//! | `state.rs`, `wanted.rs` | the configuration in memory; from a change to what is stored |
//! | `check.rs` | whether a state may come into force |
//! | `publish.rs` | from a proposal to a revision; rollback, confirmation, revert |
//! | `history.rs`, `diff.rs`, `forget.rs` | older states; what differs; which are kept |
//! | `seal.rs`, `key.rs` | certificate keys at rest; the key that seals them |
//! | `records/` | accounts, sessions, tokens, links, drafts, audit: data, no rules |
//!
//! Invariants: revisions count up by one; a revision is written whole or not at all, and only after the state that it
//! makes was checked while nothing else could change it; [`Store::state`] is a revision that was committed, at most
//! [`POLL`] behind the database while that can be reached. Reading the state never touches the database, so it goes on
//! when the database is away.

pub mod check;
pub mod database;
pub mod diff;
pub mod error;
mod forget;
mod history;
mod key;
mod migrations;
mod publish;
pub mod records;
pub mod seal;
pub mod state;
mod url;
mod wanted;

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, watch};

pub use check::Problem;
pub use diff::{Action, CHANGES_MAX, ItemDiff, KEYS_MAX, PathDiff, StateDiff};
pub use error::{ConfirmError, Conflict, PublishError, RecordError, StoreError};
pub use key::Resealed;
pub use records::Page;
pub use records::accounts::AdminRecord;
pub use records::audit::{AuditFilter, AuditRecord};
pub use records::drafts::{Draft, Over};
pub use records::instances::Told;
pub use records::sessions::SessionRecord;
pub use records::tokens::{LinkPurpose, LinkRecord, NewToken, TokenRecord};
pub use seal::SealingKey;
pub use state::{Refused, State};
pub use url::DatabaseUrl;
pub use wanted::{REDACTED, redacted};

use crate::model::Change;
use database::{Access, Database};

/// How often another admin's revisions are looked for.
pub const POLL: Duration = Duration::from_millis(250);
/// The same, while the database is away.
const POLL_AWAY: Duration = Duration::from_secs(1);

/// The store; a clone is a reference.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    database: Database,
    key: Option<SealingKey>,
    /// The newest state that is known.
    state: watch::Sender<Arc<State>>,
    /// Held by whoever replaces it, so that it only goes forward.
    changing: Mutex<()>,
    /// Why the database cannot be used, as of the last poll.
    away: watch::Sender<Option<StoreError>>,
}

impl Store {
    /// Opens a database, brings its tables up to date and loads what is in force. Must be called within a runtime, where
    /// it leaves a task that looks for other admins' revisions until the last clone is dropped.
    pub async fn open(url: &DatabaseUrl, key: Option<SealingKey>) -> Result<Self, StoreError> {
        let database = Database::open(url).await?;
        migrations::run(&database, Timestamp::now()).await?;
        let state = history::load(&database).await?;
        key::tried(&database, key.as_ref(), &state).await?;
        let inner = Arc::new(Inner {
            database,
            key,
            state: watch::Sender::new(Arc::new(state)),
            changing: Mutex::new(()),
            away: watch::Sender::new(None),
        });
        tokio::spawn(follow(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }

    /// The configuration in force.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.state.borrow())
    }

    /// Says when another state comes into force, whoever published it.
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.0.state.subscribe()
    }

    /// The configuration as engines get it: [`State::document`] with the keys of certificates in clear.
    pub fn configuration(&self, state: &State) -> Result<String, StoreError> {
        let text = check::opened(state, self.0.key.as_ref());
        text.map_err(|problems| {
            StoreError::Sealing(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })
    }

    /// What would be wrong with the configuration after these changes, whoever else changed the same. Writes nothing.
    pub async fn check(&self, changes: &[Change]) -> Vec<Problem> {
        let state = self.state();
        let mut wanted = match state.wanted(changes) {
            Ok(wanted) => wanted,
            Err(problems) => return problems,
        };
        if let Err(problems) = publish::seal(&mut wanted, &state, self.0.key.as_ref()) {
            return problems;
        }
        let changed = publish::certificates(&wanted);
        let next = state.with(&wanted, 0, "", Timestamp::UNIX_EPOCH);
        self.check_state(Arc::new(next), changed).await
    }

    /// What is wrong with a state; `certificates` are the names of those whose keys are tried, too.
    pub async fn check_state(&self, state: Arc<State>, certificates: Vec<String>) -> Vec<Problem> {
        let checked = check::checked(state, self.0.key.clone(), certificates).await;
        checked.unwrap_or_else(|error| {
            vec![Problem {
                kind: None,
                name: None,
                key: String::new(),
                value: None,
                message: error.to_string(),
            }]
        })
    }

    /// Whether certificates can be stored: a key to seal theirs with was given.
    pub fn has_key(&self) -> bool {
        self.0.key.is_some()
    }

    /// `"mysql"` or `"sqlite"`.
    pub fn database_name(&self) -> &'static str {
        self.0.database.name()
    }

    /// Asks the database whether it is there.
    pub async fn health(&self) -> Result<(), StoreError> {
        history::head(&self.0.database).await.map(|_| ())
    }

    /// Why the database cannot be used, as of the last poll; without asking it.
    pub fn away(&self) -> Option<StoreError> {
        self.0.away.borrow().clone()
    }

    /// Looks whether there are revisions that this process has not seen.
    pub async fn refresh(&self) -> Result<Arc<State>, StoreError> {
        let _changing = self.0.changing.lock().await;
        self.0.refresh().await
    }

    /// Ends the connections to the database.
    pub async fn close(&self) {
        self.0.database.close().await;
    }
}

impl Inner {
    /// The newest state; the caller holds `changing`.
    async fn refresh(&self) -> Result<Arc<State>, StoreError> {
        let known = Arc::clone(&self.state.borrow());
        let head = history::head(&self.database).await?;
        if head == known.revision {
            return Ok(known);
        }
        let newest = if head > known.revision {
            let mut transaction = self.database.begin(Access::Read).await?;
            let state = history::advance(&mut transaction, &known).await?;
            transaction.commit().await?;
            state
        } else {
            tracing::warn!(
                known = known.revision,
                head,
                "the database has gone back: was a copy of it restored?"
            );
            history::load(&self.database).await?
        };
        Ok(self.install(newest))
    }

    /// Makes a state the one in force; the caller holds `changing`.
    fn install(&self, state: State) -> Arc<State> {
        let state = Arc::new(state);
        self.state.send_replace(Arc::clone(&state));
        state
    }
}

/// Looks for other admins' revisions, as long as somebody has the store.
async fn follow(store: Weak<Inner>) {
    let mut pause = POLL;
    loop {
        tokio::time::sleep(pause).await;
        let Some(store) = store.upgrade() else { return };
        let result = {
            let _changing = store.changing.lock().await;
            store.refresh().await
        };
        let error = result.err();
        pause = if error.is_some() { POLL_AWAY } else { POLL };
        let was_away = store.away.borrow().is_some();
        match &error {
            Some(error) if !was_away => {
                tracing::error!(%error, "the database is away; going on with what is known");
            }
            None if was_away => tracing::info!("the database is back"),
            Some(_) | None => {}
        }
        store.away.send_if_modified(|away| {
            let differs = *away != error;
            *away = error;
            differs
        });
    }
}

#[cfg(test)]
mod tests;
