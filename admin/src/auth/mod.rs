//! Who somebody is and what they may do.
//!
//! | file | what |
//! |---|---|
//! | `extract.rs` | lets a handler say who may call it |
//! | `login.rs` | from a name and a password to a session; set-up; links to set a password |
//! | `session.rs` | sessions, in Redis or the database |
//! | `password.rs`, `secret.rs` | passwords and their hashes; random secrets and their digests |
//! | `throttle.rs` | how often a login may be tried |
//! | `origin.rs` | cookies, CSRF |
//! | `role.rs` | what a role may do |
//!
//! Invariants: nothing that lets somebody in is stored, only hashes; an account's role and whether it is enabled are read
//! with each request, so a change holds at once; what lasts longer than a request asks [`still`] from time to time.

mod extract;
pub mod login;
pub mod origin;
pub mod password;
mod role;
pub mod secret;
pub mod session;
pub mod throttle;

use tokio::sync::Mutex;

pub use extract::{Admin, Engine, Operator, SameOrigin, Viewer, still};
pub use role::Role;

use crate::api::error::{ApiError, Code};
use crate::model::Actor;
use crate::store::Store;
use login::SetUp;
use password::Hasher;
use session::{Session, Sessions, Unavailable};
use throttle::Throttle;

/// The session's cookie; under TLS its name begins with `__Host-`.
pub const COOKIE: &str = "coregate_session";

/// Somebody who has shown who they are.
#[derive(Debug, Clone)]
pub struct Identity {
    /// For revisions and the audit.
    pub actor: Actor,
    /// What they may do.
    pub role: Role,
    /// The account, if it is one; a token has none.
    pub admin_id: Option<u64>,
    /// The session, if it is a browser.
    pub session: Option<Session>,
    /// The token's number, if it is a program.
    pub token_id: Option<u64>,
}

/// What logins need.
pub struct Auth {
    /// Hashes passwords.
    pub hasher: Hasher,
    /// Sessions.
    pub sessions: Sessions,
    throttle: Mutex<Throttle>,
    set_up: SetUp,
}

impl Auth {
    /// Puts it together. Takes as long as one hash.
    pub fn new(sessions: Sessions, set_up: SetUp) -> Self {
        Self { hasher: Hasher::new(), sessions, throttle: Mutex::default(), set_up }
    }

    /// Whether the first account is still to be made.
    pub async fn needs_set_up(&self, store: &Store) -> bool {
        self.set_up.is_open() && !store.has_admins().await.unwrap_or(true)
    }
}

impl From<password::Busy> for ApiError {
    fn from(_: password::Busy) -> Self {
        let message = "too many passwords are being checked; try again in a moment";
        Self { retry_after: Some(1), ..Self::new(Code::Unavailable, message) }
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Database(error) => error.into(),
            Unavailable::Redis(why) => {
                tracing::warn!(%why, "sessions are in Redis, which cannot be used");
                let message = "sessions are kept in Redis, which cannot be used at the moment";
                Self { retry_after: Some(1), ..Self::new(Code::Unavailable, message) }
            }
        }
    }
}
