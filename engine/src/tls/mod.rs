//! TLS, over the ring's sockets: rustls without its own I/O.
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | records to clear bytes and back, sans-io, both sides |
//! | `stream.rs` | a connection: a session over a socket |
//! | `accept.rs` | the stage between accept and parse: a client's handshake |
//! | `certificates.rs` | files to certificates, and which one is presented |
//! | `listeners.rs` | what each listener needs, made of its settings and files |
//! | `subject.rs` | who a client is by its certificate, as text |

pub mod accept;
pub mod certificates;
pub mod listeners;
pub mod session;
pub mod stream;
pub mod subject;
#[cfg(test)]
pub mod testing;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The ciphers, groups and signatures that are spoken: all of rustls', by aws-lc.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
