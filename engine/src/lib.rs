//! The engine of coregate: a thread-per-core reverse proxy. See ARCHITECTURE.md for the map.

pub mod accept;
pub mod access;
pub mod account;
pub mod answer;
pub mod balance;
pub mod boot;
pub mod clock;
pub mod control;
pub mod demo;
pub mod error;
#[cfg(feature = "fault-injection")]
pub mod fault;
pub mod health;
pub mod http;
pub mod limit;
pub mod limits;
pub mod message;
pub mod metrics;
pub mod net;
pub mod pool;
pub mod relay;
pub mod request_id;
pub mod route;
pub mod shard;
pub mod tcp;
pub mod upstream;
