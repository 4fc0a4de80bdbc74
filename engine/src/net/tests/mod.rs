//! The ring over real sockets: peers are blocking sockets of the standard library on loopback.
//!
//! | file | what |
//! |---|---|
//! | `rig.rs` | runs a future with a ring, and makes peers |
//! | `stream.rs` | bytes, ends and errors of one socket |
//! | `drops.rs` | sockets and futures dropped with operations in flight |
//! | `lending.rs` | chunks and buffers: each given back once, and what happens when they run out |
//! | `listening.rs` | accepting, stopping, running out of descriptors |
//! | `driver.rs` | timers and wakes while the driver sleeps |
//! | `simulation.rs` | random operations, checked against a model; also the fuzz target `ring` |

mod driver;
mod drops;
mod lending;
mod listening;
pub mod rig;
mod simulation;
mod stream;
