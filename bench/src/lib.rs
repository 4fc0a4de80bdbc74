//! Measuring coregate: what its origin, load generator and comparison are made of. See README.md beside `src/`.
//!
//! | module | what |
//! |---|---|
//! | [`executor`] | a pinned thread with the engine's network ring |
//! | [`wire`] | where messages end: the little of HTTP/1.1 that both sides need |
//! | [`origin`] | the origin |
//! | [`load`] | the load generator |
//! | [`process`] | CPU time and memory of a process tree |
//! | [`compare`] | coregate, nginx and HAProxy in turn; the table |

pub mod compare;
pub mod executor;
pub mod load;
pub mod origin;
pub mod process;
pub mod wire;
