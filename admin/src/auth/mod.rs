//! Who somebody is and what they may do.

mod extract;
pub mod origin;
pub mod password;
mod role;
pub mod secret;
pub mod throttle;

pub use extract::{Admin, Engine, Operator, Viewer};
pub use role::Role;

use crate::model::Actor;

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
}
