//! The network ring: whatever is done with sockets, bytes stay whole and in order, and everything comes back.
//!
//! The input is a list of operations (see `simulate`) on real sockets. An input is done on an executor of its own.
#![no_main]

use coregate_fuzz::ring::{rig, simulation};
use libfuzzer_sys::fuzz_target;

/// Operations of one input at most: more find nothing that fewer do not, and take time.
const LEN_MAX: usize = 512;

fuzz_target!(|data: &[u8]| {
    let choices = data[..data.len().min(LEN_MAX)].to_vec();
    rig::run(move |net| simulation::simulate(net, choices));
});
