//! The open loop's clock: requests wait here until they are due.
//!
//! The ring's timers have a tick of 16 ms, and a hot wait lasts up to 1 ms: too coarse for latencies of microseconds.
//! So a thread of its own sleeps until requests are due, at most every [`TICK`], and tells the ring through a socket.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use coregate::clock;
use coregate::net::{Elapsed, Socket};

use super::connection::Run;

/// How often the thread looks at the clock at most.
const TICK: Duration = Duration::from_micros(100);

/// So late a tick is reported.
const STALL: Duration = Duration::from_millis(100);

/// Tasks that wait until their request is due. Requests are handed out in the order in which they are due, so the
/// first one waits for the next.
#[derive(Default)]
pub(super) struct Waiting(RefCell<VecDeque<(Instant, Waker)>>);

impl Waiting {
    /// Waits until a request is due.
    pub(super) async fn until(&self, due: Instant) {
        let mut listed = false;
        poll_fn(|cx| {
            if clock::read() >= due {
                return Poll::Ready(());
            }
            // Woken early by something else, it is listed already.
            if !std::mem::replace(&mut listed, true) {
                self.0.borrow_mut().push_back((due, cx.waker().clone()));
            }
            Poll::Pending
        })
        .await;
    }

    fn wake(&self, now: Instant) {
        loop {
            let mut waiting = self.0.borrow_mut();
            if waiting.front().is_none_or(|(due, _)| *due > now) {
                return;
            }
            let first = waiting.pop_front();
            drop(waiting);
            first.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }
}

/// Wakes what is due, until the process ends.
pub(super) async fn pace(run: Rc<Run>) {
    let (sender, receiver) = match UnixStream::pair() {
        Ok(pair) => pair,
        Err(error) => return eprintln!("no socket pair for the pace: {error}"),
    };
    let Some((start, interval)) = run.pace() else { return };
    let every = interval.max(TICK);
    let spawned = thread::Builder::new().name("pace".to_owned()).spawn(move || tick(sender, start, every));
    if let Err(error) = spawned {
        return eprintln!("no thread for the pace: {error}");
    }
    let receiver = Socket::adopt(&run.net, receiver.into());
    let timer = run.net.timer();
    loop {
        timer.set(run.net.now() + interval + STALL);
        match timer.within(receiver.receive()).await {
            Ok(Ok(Some(chunk))) => drop(chunk),
            Ok(_) => return eprintln!("the pace ended"),
            // The thread got no CPU. What is due goes out all the same, and the report tells.
            Err(Elapsed) => run.tally.pace_stalled(),
        }
        run.waiting.wake(clock::read());
    }
}

/// A byte at `start` and each time that something is due after it. Ends with the other side of the socket.
#[allow(clippy::disallowed_methods)] // this thread does nothing but sleep
fn tick(mut sender: UnixStream, start: Instant, every: Duration) {
    // The default slack of 50 us would be added to every latency.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let mut due = start;
    while sender.write_all(&[0]).is_ok() {
        // Ticks that were missed are made up for by the next one, in step with the schedule.
        while due <= clock::read() {
            due += every;
        }
        thread::sleep(due.saturating_duration_since(clock::read()));
    }
}
