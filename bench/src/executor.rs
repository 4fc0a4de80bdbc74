//! A thread with the engine's network ring, pinned to a CPU: what a shard is, without the gateway.
//!
//! Input: a CPU and the main task. Output: what the main task returns; then the ring stops. Errors: texts for people.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use coregate::net::Net;
use glommio::{LocalExecutorBuilder, Placement};

/// The same as the engine's shards have.
const EXECUTOR_IO_MEMORY: usize = 64 << 10;
const EXECUTOR_RING_DEPTH: usize = 128;

/// Runs `main` on this thread, beside the ring's driver, until it is done.
///
/// # Errors
/// The ring or the executor could not be made, or the ring failed.
pub fn run<F, T>(cpu: Option<usize>, main: impl FnOnce(Rc<Net>) -> F) -> Result<T, String>
where
    F: Future<Output = T> + 'static,
    T: 'static,
{
    pin(cpu);
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(EXECUTOR_IO_MEMORY)
        .ring_depth(EXECUTOR_RING_DEPTH)
        .preempt_timer(coregate::net::EXECUTOR_PREEMPT)
        .make()
        .map_err(|error| error.to_string())?;
    executor.run(async {
        let net = Net::new().map_err(|error| format!("the network ring: {error}"))?;
        let result = Rc::new(RefCell::new(None));
        let (main, main_net, main_result) = (main(net.clone()), net.clone(), result.clone());
        glommio::spawn_local(async move {
            let output = main.await;
            *main_result.borrow_mut() = Some(output);
            main_net.stop();
        })
        .detach();
        net.drive().await.map_err(|error| format!("the network ring: {error}"))?;
        let output = result.borrow_mut().take();
        output.ok_or_else(|| "the network ring stopped early".to_owned())
    })
}

/// Pins this thread, and what it starts later; says so if it cannot.
pub fn pin(cpu: Option<usize>) {
    if let Some(id) = cpu
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        eprintln!("could not pin to CPU {id}; going on without");
    }
}
