//! The load generator: HTTP/1.1 requests over kept-alive connections, closed or open loop.
//!
//! Input: [`Plan`]. Output: [`Report`].
//!
//! - *Closed loop*: each connection asks again as soon as it has its answer. Measures throughput, and the CPU of a
//!   request; its latencies are kind to a server that stalls, because it then asks less.
//! - *Open loop*: request n is due at a fixed time, whatever became of those before, and goes out on the first
//!   connection that is free. Its latency counts from when it was due, so that nothing is left out while a server
//!   stalls (no coordinated omission).
//!
//! Invariants: every wait has a deadline; an error is counted once, by its cause. Units: latencies are nanoseconds
//! inside, microseconds in the report.

mod connection;
mod pace;
mod report;
mod tally;
mod target;

use std::rc::Rc;
use std::time::Duration;

use coregate::clock;
use coregate::net::Net;

pub use report::{Errors, Latency, Report};
pub use target::Target;

use self::connection::Run;
use crate::process;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to, and what is asked.
    pub target: Target,
    /// Connections.
    pub connections: usize,
    /// How long is measured.
    pub duration: Duration,
    /// How long requests run before.
    pub warmup: Duration,
    /// Requests a second of an open loop; `None` = a closed loop.
    pub rate: Option<f64>,
    /// How long an answer may take, and a connection.
    pub timeout: Duration,
    /// A process whose CPU time over the measured window is reported, children included.
    pub watch: Option<u32>,
}

impl Plan {
    /// An upper bound of how long [`run`] takes.
    pub fn longest(&self) -> Duration {
        self.warmup + self.duration + 2 * self.timeout + Duration::from_secs(5)
    }
}

/// Runs the load on this thread's ring.
pub async fn run(net: Rc<Net>, plan: Plan) -> Report {
    let run = Rc::new(Run::new(&net, &plan));
    if plan.rate.is_some() {
        glommio::spawn_local(pace::pace(run.clone())).detach();
    }
    for _ in 0..plan.connections {
        glommio::spawn_local(connection::keep_asking(run.clone())).detach();
    }
    let timer = net.timer();
    timer.set(run.begin);
    timer.wait().await;
    run.tally.start(clock::read());
    let cpu_before = plan.watch.map(process::cpu_us);
    let completed_before = run.tally.completed();
    timer.set(run.end);
    timer.wait().await;
    let elapsed = run.tally.stop(clock::read());
    let completed = run.tally.completed() - completed_before;
    let cpu_us = plan.watch.map(|pid| process::cpu_us(pid) - cpu_before.unwrap_or(0));
    if plan.rate.is_some() {
        drain(&run, plan.timeout).await;
    }
    run.tally.report(&plan, elapsed, completed, cpu_us)
}

/// What was due before the end is still asked and awaited for a while; the rest counts as unsent, with the time that
/// it has waited.
async fn drain(run: &Rc<Run>, timeout: Duration) {
    let timer = run.net.timer();
    let deadline = run.end + 2 * timeout;
    while !run.is_drained() && run.net.now() < deadline {
        timer.set(run.net.now() + coregate::net::timer::TICK);
        timer.wait().await;
    }
    run.give_up(clock::read());
}
