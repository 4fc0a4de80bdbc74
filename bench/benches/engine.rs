//! Micro-benchmarks of the request path's stages. `cargo bench -p coregate-bench`, or `... -- routing` for some.
//!
//! Short on purpose: they find a stage that has become twice as slow, not one percent.
#![allow(missing_docs)] // criterion's macros make items without
#![allow(clippy::unwrap_used)] // what is unwrapped is made here

#[path = "engine/access.rs"]
mod access;
#[path = "engine/access_log.rs"]
mod access_log;
#[path = "engine/balance.rs"]
mod balance;
#[path = "engine/framing.rs"]
mod framing;
#[path = "engine/heads.rs"]
mod heads;
#[path = "engine/limit.rs"]
mod limit;
#[path = "engine/routing.rs"]
mod routing;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
        .sample_size(40)
}

criterion_group! {
    name = engine;
    config = short();
    targets = heads::bench, framing::bench, routing::bench, balance::bench, access::bench, limit::bench,
        access_log::bench
}
criterion_main!(engine);
