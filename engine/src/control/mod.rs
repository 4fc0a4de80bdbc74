//! The control thread.

pub mod snapshot;
