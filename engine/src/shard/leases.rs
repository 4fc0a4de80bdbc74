//! The leases that a shard holds: tokens taken from a limit that all shards share, and given back when idle.
//!
//! A lease that holds something is on a list, and one task of the shard looks at that list every [`LEASE_IDLE`] for as
//! long as it is not empty ([`Leases::keep_flowing`]). So an idle shard looks at nothing, and neither do
//! limits so small that a lease is spent at once.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::limit::{Day, DayLease, Decision, FlowsBack, LEASE_IDLE, Lease, Quota};
use crate::net::Net;

/// A lease of this shard.
pub struct Lent<L> {
    lease: RefCell<L>,
    listed: Cell<bool>,
}

impl<L> Lent<L> {
    pub(super) fn new(lease: L) -> Rc<Self> {
        Rc::new(Self { lease: RefCell::new(lease), listed: Cell::new(false) })
    }
}

impl<L: FlowsBack + 'static> Lent<L> {
    /// Uses the lease, and sees to it that what it holds then flows back.
    fn using(self: &Rc<Self>, leases: &Leases, admit: impl FnOnce(&mut L) -> Decision) -> Decision {
        let mut lease = self.lease.borrow_mut();
        let decision = admit(&mut lease);
        if lease.holds() && !self.listed.replace(true) {
            leases.list(self.clone());
        }
        decision
    }
}

impl Lent<Lease> {
    /// Spends a token, if there is one.
    pub fn admit(self: &Rc<Self>, leases: &Leases, now: Instant) -> Decision {
        self.using(leases, |lease| lease.admit(now))
    }

    /// How the limit stands.
    pub fn quota(&self, now: Instant) -> Quota {
        self.lease.borrow().quota(now)
    }
}

impl Lent<DayLease> {
    /// Uses one of the day's requests, if one is left.
    pub fn admit(self: &Rc<Self>, leases: &Leases, day: Day, now: Instant) -> Decision {
        self.using(leases, |lease| lease.admit(day, now))
    }

    /// How the quota stands.
    pub fn quota(&self, day: Day, now: Instant) -> Quota {
        self.lease.borrow().quota(day, now)
    }
}

/// A lease of any kind, as the list of those that hold something sees it.
trait Held {
    /// Lets it give back when it is idle; whether it holds something still.
    fn flow_back(&self, now: Instant) -> bool;
}

impl<L: FlowsBack> Held for Lent<L> {
    fn flow_back(&self, now: Instant) -> bool {
        let mut lease = self.lease.borrow_mut();
        lease.flow_back(now);
        self.listed.set(lease.holds());
        self.listed.get()
    }
}

/// The leases of one shard that hold something.
#[derive(Default)]
pub struct Leases {
    held: RefCell<Vec<Rc<dyn Held>>>,
    waker: Cell<Option<Waker>>,
}

impl Leases {
    fn list(&self, lease: Rc<dyn Held>) {
        self.held.borrow_mut().push(lease);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Gives back what is idle, for as long as the shard runs.
    pub(super) async fn keep_flowing(&self, net: &Rc<Net>) {
        let timer = net.timer();
        loop {
            self.some().await;
            timer.set(net.now() + LEASE_IDLE);
            timer.wait().await;
            self.held.borrow_mut().retain(|lease| lease.flow_back(net.now()));
        }
    }

    /// Waits until a lease holds something.
    async fn some(&self) {
        poll_fn(|cx| {
            if self.held.borrow().is_empty() {
                self.waker.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}
