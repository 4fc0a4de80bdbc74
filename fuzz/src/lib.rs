//! The subjects of the fuzz targets: the engine's sans-io modules, compiled from its own files.
//!
//! Not a dependency on the engine: that would build its executor and its ring, instrumented, for parsers that need
//! neither. The target `ring` needs both: it is a feature.

/// `engine/src/http`, as far as it moves no bytes.
#[path = "../../engine/src/http"]
pub mod http {
    pub mod body;
    pub mod h2 {
        pub mod frames;
        pub mod guard;
        pub mod request;
    }
    pub mod head;
    pub mod headers;
    pub mod syntax;
    pub mod target;
}

/// Who a tenant is, and what that needs.
#[path = "../../engine/src"]
mod engine {
    pub mod access;
    pub mod proxy_protocol;
    pub mod sni;
    pub mod tenant;
}
pub use engine::{access, proxy_protocol, sni, tenant};

/// What the ring tells the time with.
#[cfg(feature = "ring")]
#[path = "../../engine/src/clock.rs"]
pub mod clock;
/// The network ring.
#[cfg(feature = "ring")]
#[path = "../../engine/src/net/mod.rs"]
pub mod net;
/// The operations on it that are checked against a model.
#[cfg(feature = "ring")]
#[path = "../../engine/src/net/tests"]
pub mod ring {
    pub mod rig;
    pub mod simulation;
}
