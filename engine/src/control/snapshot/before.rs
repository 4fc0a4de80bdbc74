//! From one snapshot to the next: what goes on as it is, and what has changed.
//!
//! Input: the snapshot before, and the configuration or the snapshot after it. With many services nearly all stay, so
//! what costs anything is done for those that do not: a change of one service among ten thousand is to hold nobody up.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use coregate_config::checked::{NodeAddress, Service};

use super::{ServicePlan, Snapshot, identity_headers};

/// What goes on from the snapshot before.
pub(super) struct Before<'a> {
    plans: &'a [Arc<ServicePlan>],
    by_name: OnceCell<HashMap<&'a str, &'a Arc<ServicePlan>>>,
    /// The same headers are withheld from origins.
    pub(super) headers_stay: bool,
}

impl<'a> Before<'a> {
    pub(super) fn of(previous: Option<&'a Snapshot>, identity_headers_now: &BTreeSet<&str>) -> Self {
        Self {
            plans: previous.map(|previous| previous.services.as_slice()).unwrap_or_default(),
            by_name: OnceCell::new(),
            headers_stay: previous
                .is_some_and(|previous| identity_headers(&previous.gateway) == *identity_headers_now),
        }
    }

    /// A service's plan. Most are at the same `index` as before, and those need no table of all names.
    pub(super) fn plan(&self, index: usize, name: &str) -> Option<&'a Arc<ServicePlan>> {
        let is_it = |plan: &&Arc<ServicePlan>| &*plan.config.name == name;
        self.plans.get(index).filter(is_it).or_else(|| {
            let table = || self.plans.iter().map(|plan| (&*plan.config.name, plan)).collect();
            self.by_name.get_or_init(table).get(name).copied()
        })
    }

    /// Whether nothing of a service has changed, which the configuration alone tells if that says where its nodes are.
    pub(super) fn stays(&self, old: &ServicePlan, service: &Arc<Service>) -> bool {
        self.headers_stay
            && Arc::ptr_eq(&old.config, service)
            && service.tls.is_none()
            && has_no_names(service)
    }
}

fn has_no_names(service: &Service) -> bool {
    service.nodes.iter().all(|node| matches!(node.address, NodeAddress::Ip(_)))
}

/// In what a snapshot differs from the one before it.
#[derive(Debug, Default)]
pub struct Changes {
    /// Services that are new or other than before: indices into the new one's.
    pub services: Vec<usize>,
    /// The names of services that are not there any more.
    pub gone: Vec<Arc<str>>,
}

impl Changes {
    /// From `before`, or from nothing, to `after`.
    pub fn between(before: Option<&Snapshot>, after: &Snapshot) -> Self {
        let before = before.map(|before| before.services.as_slice()).unwrap_or_default();
        let (mut services, mut missing) = (Vec::new(), HashSet::new());
        for index in 0..before.len().max(after.services.len()) {
            let (old, new) = (before.get(index), after.services.get(index));
            if old.zip(new).is_some_and(|(old, new)| Arc::ptr_eq(old, new)) {
                continue;
            }
            services.extend(new.map(|_| index));
            missing.extend(old.map(|old| Arc::clone(&old.config.name)));
        }
        // A service that is at another place than before counts as changed, not as gone.
        services.iter().for_each(|&index| {
            missing.remove(&after.services[index].config.name);
        });
        Self { services, gone: missing.into_iter().collect() }
    }
}
