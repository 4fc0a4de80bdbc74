//! `/api/v1/config`: the configuration in force, without secrets, and what came of the last reload.

use serde::Serialize;

use crate::control::engine::Engine;
use crate::control::remote::{Contact, Refused};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Config {
    /// Counts up with each configuration that was applied.
    revision: u64,
    /// The oldest revision that a shard has in force.
    applied_revision: u64,
    reloads: Reloads,
    /// Where the configuration comes from, if not from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<Admin>,
    config: serde_json::Value,
}

#[derive(Debug, Serialize)]
struct Reloads {
    applied: u64,
    refused: u64,
    /// Why the last one was refused.
    last_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Admin {
    url: String,
    /// This engine's name among the admin's.
    instance: String,
    answers: bool,
    /// Why it does not.
    why: Option<String>,
    answered_at: Option<jiff::Timestamp>,
    /// The admin's revision that all shards have in force.
    revision: Option<u64>,
    etag: Option<String>,
    /// The last configuration that came, if it was refused.
    refused: Option<Refused>,
}

fn admin(engine: &Engine) -> Option<Admin> {
    let remote = engine.remote.as_ref()?;
    let in_force = remote.in_force(engine.shards.applied());
    Some(Admin {
        url: remote.url.clone(),
        instance: remote.instance.clone(),
        answers: remote.contact == Contact::Up,
        why: match &remote.contact {
            Contact::Unknown | Contact::Up => None,
            Contact::Down(why) => Some(why.clone()),
            Contact::TokenRefused => Some("it refuses the token in control.token_file".to_owned()),
        },
        answered_at: remote.answered_at,
        revision: in_force.map(|taken| taken.revision),
        etag: in_force.and_then(|taken| taken.etag.as_deref().map(str::to_owned)),
        refused: remote.refused.clone(),
    })
}

/// What is in force.
pub fn show(engine: &Engine) -> Config {
    Config {
        revision: engine.snapshot.revision,
        applied_revision: engine.shards.applied(),
        reloads: Reloads {
            applied: engine.reloads.applied,
            refused: engine.reloads.refused,
            last_error: engine.reloads.last_error.clone(),
        },
        admin: admin(engine),
        config: coregate_config::redacted_json(&engine.snapshot.gateway),
    }
}
