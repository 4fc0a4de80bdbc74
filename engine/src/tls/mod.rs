//! TLS, over the ring's sockets: rustls without its own I/O.
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | records to clear bytes and back, sans-io, both sides |
//! | `stream.rs` | a connection: a session over a socket |

pub mod session;
pub mod stream;
#[cfg(test)]
pub mod testing;
