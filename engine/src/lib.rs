//! The engine of coregate: a thread-per-core reverse proxy. See ARCHITECTURE.md for the map.

pub mod clock;
pub mod net;
