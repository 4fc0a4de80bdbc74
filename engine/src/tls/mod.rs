//! TLS, over the ring's sockets: rustls without its own I/O.
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | records to clear bytes and back, sans-io, both sides |
//! | `stream.rs` | a connection: a session over a socket |
//! | `accept.rs` | the stage between accept and parse: a client's handshake |
//! | `certificates.rs` | files to certificates, and which one is presented |
//! | `listeners.rs` | what each listener needs, made of its settings and files |
//! | `nodes.rs` | what each service needs for TLS with its nodes, the same way |
//! | `subject.rs` | who a client is by its certificate, as text |

pub mod accept;
pub mod certificates;
pub mod listeners;
pub mod nodes;
pub mod session;
pub mod stream;
pub mod subject;
#[cfg(test)]
pub mod testing;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

use listeners::TlsListeners;
use nodes::TlsNodes;

/// All that TLS needs of files, made on the control thread; part of the snapshot.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// With clients.
    pub listeners: Arc<TlsListeners>,
    /// With nodes.
    pub nodes: Arc<TlsNodes>,
}

/// The ciphers, groups and signatures that are spoken: all of rustls', by aws-lc.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
