//! What the tests of coregate are written with: a gateway process, origins that do as they are told, a client that
//! reads strictly, and a load that counts.
//!
//! A test reads as a sentence: `Gateway::with(service("api").route("/api").node(&origin)).start()`. Everything here is
//! blocking and has a deadline; nothing sleeps and nothing is tried twice. A condition that another process has to
//! reach is waited for with [`eventually`].
//!
//! [`Gateway`] starts the `coregate` binary that stands beside the test executables (`make test` builds it first, with
//! the feature `fault-injection`); the environment variable `COREGATE_BIN` names another.
#![allow(clippy::disallowed_types, reason = "the harness is made of plain threads; no shard runs in it")]

pub mod admin;
pub mod admin_client;
pub mod body;
pub mod certs;
pub mod client;
pub mod config;
pub mod exchange;
pub mod gateway;
pub mod h2;
pub mod h2_origin;
pub mod h2_raw;
pub mod load;
pub mod mariadb;
pub mod message;
pub mod nginx;
pub mod origin;
pub mod peers;
pub mod ports;
pub mod process;
pub mod published;
pub mod redis;
pub mod request;
pub mod wait;
pub mod wire;

pub use admin::Admin;
pub use admin_client::{AdminClient, Told};
pub use certs::{Authority, Pair};
pub use client::Client;
pub use config::{Service, route, service, tcp_listener};
pub use exchange::Exchange;
pub use gateway::{Finished, Gateway};
pub use h2::H2;
pub use h2_origin::H2Origin;
pub use h2_raw::RawH2;
pub use load::Load;
pub use mariadb::MariaDb;
pub use message::{Answer, Broken};
pub use origin::Origin;
pub use published::Published;
pub use redis::Redis;
pub use request::{Request, get, post, request};
pub use wait::{Deadline, PATIENCE, eventually};

/// Bytes in a mebibyte.
pub const MIB: u64 = 1024 * 1024;
