//! The subjects of the fuzz targets: the engine's sans-io modules, compiled from its own files.
//!
//! Not a dependency on the engine: that would build its executor and its ring, instrumented, for parsers that need
//! neither.

/// `engine/src/http`, as far as it moves no bytes.
#[path = "../../engine/src/http"]
pub mod http {
    pub mod body;
    pub mod head;
    pub mod headers;
    pub mod syntax;
    pub mod target;
}
