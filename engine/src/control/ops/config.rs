//! `/api/v1/config`: the configuration in force, without secrets, and what came of the last reload.

use serde::Serialize;

use crate::control::engine::Engine;

/// The answer.
#[derive(Debug, Serialize)]
pub struct Config {
    /// Counts up with each configuration that was applied.
    revision: u64,
    /// The oldest revision that a shard has in force.
    applied_revision: u64,
    reloads: Reloads,
    config: serde_json::Value,
}

#[derive(Debug, Serialize)]
struct Reloads {
    applied: u64,
    refused: u64,
    /// Why the last one was refused.
    last_error: Option<String>,
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
        config: coregate_config::redacted_json(&engine.snapshot.gateway),
    }
}
