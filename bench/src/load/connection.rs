//! One connection: takes requests, sends them, reads their answers; makes itself anew when it breaks.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use coregate::clock;
use coregate::net::{Net, Socket, Timer};

use super::pace::Waiting;
use super::tally::Tally;
use super::{Plan, Target};
use crate::wire::{Message, Reader, Side};

/// How long a connection that could not be made waits before the next try.
const RETRY: Duration = Duration::from_millis(20);

/// Why a request got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Connect,
    Io,
    Closed,
    Timeout,
    Malformed,
}

/// What the connections of a run share.
pub(super) struct Run {
    pub(super) net: Rc<Net>,
    pub(super) tally: Tally,
    /// Where the measured window begins and ends.
    pub(super) begin: Instant,
    pub(super) end: Instant,
    pub(super) waiting: Waiting,
    target: Target,
    timeout: Duration,
    schedule: Option<Schedule>,
    /// Requests on their way.
    open: Cell<usize>,
    over: Cell<bool>,
}

/// When the requests of an open loop are due.
struct Schedule {
    start: Instant,
    rate: f64,
    next: Cell<u64>,
}

impl Schedule {
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 requests are made")]
    fn due(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// Takes the next request, if it is due before the end.
    fn take(&self, end: Instant) -> Option<Instant> {
        let due = self.due(self.next.get());
        (due < end).then(|| {
            self.next.set(self.next.get() + 1);
            due
        })
    }
}

impl Run {
    pub(super) fn new(net: &Rc<Net>, plan: &Plan) -> Self {
        let start = clock::read();
        let begin = start + plan.warmup;
        Self {
            net: net.clone(),
            tally: Tally::new(),
            begin,
            end: begin + plan.duration,
            waiting: Waiting::default(),
            target: plan.target.clone(),
            timeout: plan.timeout,
            schedule: plan.rate.map(|rate| Schedule { start, rate, next: Cell::new(0) }),
            open: Cell::new(0),
            over: Cell::new(false),
        }
    }

    /// When the first request of an open loop is due, and the time between two.
    pub(super) fn pace(&self) -> Option<(Instant, Duration)> {
        self.schedule.as_ref().map(|schedule| (schedule.start, Duration::from_secs_f64(1.0 / schedule.rate)))
    }

    /// Nothing more is due, and nothing is on its way.
    pub(super) fn is_drained(&self) -> bool {
        let all_taken =
            self.schedule.as_ref().is_none_or(|schedule| schedule.due(schedule.next.get()) >= self.end);
        all_taken && self.open.get() == 0
    }

    /// Counts what is still on its way, and what was due and never went out.
    pub(super) fn give_up(&self, now: Instant) {
        self.over.set(true);
        (0..self.open.get()).for_each(|_| self.tally.failure(Failure::Timeout));
        let Some(schedule) = &self.schedule else { return };
        while let Some(due) = schedule.take(self.end) {
            if due >= self.begin {
                self.tally.unsent(now.saturating_duration_since(due));
            }
        }
    }

    /// The time from which the next request's latency counts, once it may go out; `None` when there are no more.
    async fn next(&self) -> Option<Instant> {
        match &self.schedule {
            None => Some(clock::read()).filter(|&now| now < self.end),
            Some(_) if self.over.get() => None,
            Some(schedule) => {
                let due = schedule.take(self.end)?;
                self.open.set(self.open.get() + 1);
                self.waiting.until(due).await;
                Some(due)
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over.get() || (self.schedule.is_none() && self.net.now() >= self.end)
    }

    /// Counts what became of a request.
    fn count(&self, since: Instant, outcome: Result<Message, Failure>) {
        let latency = clock::read().saturating_duration_since(since);
        let measured = match &self.schedule {
            None => self.tally.is_running(),
            Some(_) => {
                self.open.set(self.open.get() - 1);
                since >= self.begin && !self.over.get()
            }
        };
        match outcome {
            Ok(answer) => self.tally.answer(answer, latency, measured),
            Err(failure) if measured => {
                self.tally.failure(failure);
                if self.schedule.is_some() {
                    self.tally.waited(latency);
                }
            }
            Err(_) => {}
        }
    }
}

/// Keeps one connection busy until the run is over.
pub(super) async fn keep_asking(run: Rc<Run>) {
    let timer = run.net.timer();
    while !run.is_over() {
        timer.set(run.net.now() + run.timeout);
        match timer.within(Socket::connect(&run.net, run.target.address)).await {
            Ok(Ok(socket)) => {
                if ask(&run, &socket, &timer).await.is_break() {
                    return;
                }
            }
            failed => {
                if run.tally.is_running() {
                    run.tally.failure(if failed.is_ok() { Failure::Connect } else { Failure::Timeout });
                }
                timer.set(run.net.now() + RETRY);
                timer.wait().await;
            }
        }
    }
}

/// Asks on a connection for as long as it holds; breaks when there is nothing more to ask.
async fn ask(run: &Run, socket: &Socket, timer: &Timer) -> ControlFlow<()> {
    let mut reader = Reader::new(Side::Answers);
    while let Some(since) = run.next().await {
        timer.set(run.net.now() + run.timeout);
        let outcome = timer.within(exchange(run, socket, &mut reader)).await.unwrap_or(Err(Failure::Timeout));
        run.count(since, outcome);
        if !outcome.is_ok_and(|answer| !answer.close) {
            return ControlFlow::Continue(());
        }
    }
    ControlFlow::Break(())
}

/// One request and its answer.
async fn exchange(run: &Run, socket: &Socket, reader: &mut Reader) -> Result<Message, Failure> {
    let mut out = run.net.outgoing();
    out.bytes().extend_from_slice(&run.target.request);
    socket.post(out).await.map_err(|_| Failure::Io)?;
    loop {
        let Some(chunk) = socket.receive().await.map_err(|_| Failure::Io)? else {
            return reader.end().ok_or(Failure::Closed);
        };
        let mut bytes = &chunk[..];
        match reader.next(&mut bytes) {
            // More than was asked for.
            Ok(Some(_)) if !bytes.is_empty() => return Err(Failure::Malformed),
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(_) => return Err(Failure::Malformed),
        }
    }
}
