//! What a shard keeps of a service and of a tenant: its own counters and leases, and of a service the balancer and the
//! pools.
//!
//! A service's state is made with the configuration that has it new or changed, a tenant's when it first calls: there may
//! be a million of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::counted::Tally;
use super::leases::Lent;
use super::{Live, Shard};
use crate::balance::{Balancer, NodeWeight};
use crate::control::snapshot::{ServicePlan, Snapshot, TenantPlan};
use crate::limit::{DayLease, Lease};
use crate::pool::{NodePool, PeerId};

/// One service's state on a shard.
pub struct ServiceState {
    /// As the control thread compiled it.
    pub plan: Arc<ServicePlan>,
    /// Picks its nodes.
    pub balancer: RefCell<Balancer>,
    /// Idle connections of each node, parallel to `plan.nodes`.
    pub pools: Vec<Rc<NodePool>>,
    /// This shard's share of its rate.
    pub rate: Option<Rc<Lent<Lease>>>,
    /// Which nodes take traffic, parallel to `plan.nodes`.
    live: RefCell<Vec<bool>>,
    pub(super) tally: Rc<Tally>,
}

/// The states of a snapshot's services, made of those before. What has not changed goes on as it is, and is not even
/// looked at where it is at the same place: with many services that would hold requests up.
pub(super) fn services(shard: &Shard, before: Live, snapshot: &Snapshot) -> Vec<Rc<ServiceState>> {
    let Live { snapshot: before, services } = before;
    let mut services: Vec<Option<Rc<ServiceState>>> = services.into_iter().map(Some).collect();
    let in_place = |(index, plan): (usize, &Arc<ServicePlan>)| {
        let is_same = before.services.get(index).is_some_and(|old| Arc::ptr_eq(old, plan));
        if is_same { services.get_mut(index)?.take() } else { None }
    };
    let kept: Vec<Option<Rc<ServiceState>>> = snapshot.services.iter().enumerate().map(in_place).collect();
    let named = |state: Rc<ServiceState>| (state.plan.config.name.clone(), state);
    let mut others: HashMap<Arc<str>, Rc<ServiceState>> = services.into_iter().flatten().map(named).collect();
    let now = shard.net.now();
    let state = |(kept, plan): (Option<Rc<ServiceState>>, &Arc<ServicePlan>)| {
        kept.unwrap_or_else(|| match others.remove(&*plan.config.name) {
            Some(old) if Arc::ptr_eq(&old.plan, plan) => old,
            old => Rc::new(ServiceState::new(shard, plan, old.as_ref(), now)),
        })
    };
    let services = kept.into_iter().zip(&snapshot.services).map(state).collect();
    if !others.is_empty() {
        drop(others);
        shard.counted.services.forget_gone();
    }
    services
}

impl ServiceState {
    /// What belongs to nodes that stay is kept.
    fn new(shard: &Shard, plan: &Arc<ServicePlan>, old: Option<&Rc<Self>>, now: Instant) -> Self {
        let nodes: Vec<NodeWeight> =
            plan.nodes.iter().map(|node| NodeWeight { weight: node.weight, address: node.address }).collect();
        let mut balancer = Balancer::new(plan.config.policy, &nodes, shard.index as u64);
        // What this shard has seen fail since the control thread made the snapshot still counts.
        let live: Vec<bool> = plan
            .nodes
            .iter()
            .map(|node| node.live && old.and_then(|old| old.is_live(node.address)).unwrap_or(true))
            .collect();
        balancer.set_live(&live);
        Self {
            plan: plan.clone(),
            balancer: RefCell::new(balancer),
            pools: plan.nodes.iter().map(|node| shard.pools.of(PeerId::of(node))).collect(),
            rate: plan.rate.as_ref().map(|bucket| Lent::new(Lease::new(bucket.clone(), now))),
            live: RefCell::new(live),
            tally: shard.counted.services.of(&plan.config.name),
        }
    }

    /// Notes which of its nodes take traffic; nodes that are not named stay as they are.
    pub(super) fn set_live(&self, changed: &[(SocketAddr, bool)]) {
        let mut live = self.live.borrow_mut();
        for (node, live) in self.plan.nodes.iter().zip(live.iter_mut()) {
            if let Some((_, now)) = changed.iter().find(|(address, _)| *address == node.address) {
                *live = *now;
            }
        }
        self.balancer.borrow_mut().set_live(&live);
    }

    fn is_live(&self, address: SocketAddr) -> Option<bool> {
        let index = self.plan.nodes.iter().position(|node| node.address == address)?;
        self.live.borrow().get(index).copied()
    }
}

/// One tenant's state on a shard.
pub struct TenantState {
    /// As the control thread compiled it.
    pub plan: Arc<TenantPlan>,
    /// This shard's share of its rate.
    pub rate: Option<Rc<Lent<Lease>>>,
    /// This shard's share of its day.
    pub day: Option<Rc<Lent<DayLease>>>,
    pub(super) tally: Rc<Tally>,
}

impl TenantState {
    pub(super) fn new(shard: &Shard, plan: &Arc<TenantPlan>, now: Instant) -> Self {
        Self {
            plan: plan.clone(),
            rate: plan.rate.as_ref().map(|bucket| Lent::new(Lease::new(bucket.clone(), now))),
            day: plan.day.as_ref().map(|quota| Lent::new(DayLease::new(quota.clone(), now))),
            tally: shard.counted.tenants.of(&plan.config.app_id),
        }
    }

    /// Whether nobody has needed it since the last delta.
    pub(super) fn is_idle(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) == 1 && self.tally.is_empty()
    }
}
