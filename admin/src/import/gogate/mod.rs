//! From the rows of a gogate database to items, by gogate's own rules.
//!
//! Input: [`Rows`]. Output: an [`Outcome`] whose items pass the configuration's checks, whatever the rows say. Each column
//! is carried over or told of; what is only different is told, too. Sans-io: [`mysql`] reads the rows.
//!
//! Rules: an item that would admit callers whom gogate refused is switched off and not opened up; names, ports and rules
//! that clash leave the first row as it is; the last word has the config crate's check ([`repair`]).

mod access;
mod balance;
mod lists;
pub mod mysql;
pub mod names;
mod notes;
mod repair;
pub mod rows;
mod rules;
mod services;
mod tenants;

use crate::import::{Imported, Outcome};
use crate::model::Kind;
use names::Names;
use rows::Rows;
use serde_json::json;

/// What the database does not say.
#[derive(Debug, Clone)]
pub struct Options {
    /// gogate took its HTTP address from a file of its own; with one here a listener is made.
    pub http_listener: Option<String>,
    /// The address that TCP and gRPC services listen on.
    pub bind: std::net::IpAddr,
    /// Services with `open_auth = 1` need a tenant, as they did in gogate.
    pub require_tenants: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { http_listener: None, bind: std::net::Ipv4Addr::UNSPECIFIED.into(), require_tenants: true }
    }
}

/// Makes items of rows.
pub fn convert(rows: &Rows, options: &Options) -> Outcome {
    let mut outcome = Outcome::default();
    let mut listeners = Names::default();
    if let Some(address) = &options.http_listener {
        let name = listeners.take("http").name;
        let body = json!({ "name": name, "address": address, "protocol": "http" });
        outcome.items.push(Imported { kind: Kind::Listener, name, body });
    }
    services::convert(rows, options, &mut listeners, &mut outcome);
    tenants::convert(&rows.apps, &mut outcome);
    notes::deleted_and_orphaned(rows, &mut outcome);
    notes::general(rows, options, &mut outcome);
    repair::repair(&mut outcome);
    outcome
}

#[cfg(test)]
pub(super) mod tests;
