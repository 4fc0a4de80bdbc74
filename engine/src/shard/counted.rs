//! What a shard has counted since its last delta, by subject.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::account::Counters;

/// Counters of the site, its services and its tenants.
#[derive(Default)]
pub(super) struct Counted {
    /// Of what reached no service.
    pub(super) rest: RefCell<Counters>,
    pub(super) services: ByName,
    pub(super) tenants: ByName,
}

/// Counters of subjects, kept over reconfigurations; those of subjects that are gone until they are reported.
#[derive(Default)]
pub(super) struct ByName(RefCell<HashMap<Arc<str>, Rc<RefCell<Counters>>>>);

impl ByName {
    /// The counters of one.
    pub(super) fn of(&self, name: &Arc<str>) -> Rc<RefCell<Counters>> {
        self.0.borrow_mut().entry(name.clone()).or_default().clone()
    }

    /// What each has counted since the last time; only those that counted something.
    pub(super) fn hand_over(&self) -> Vec<(Arc<str>, Counters)> {
        let mut all = Vec::new();
        self.0.borrow_mut().retain(|name, counters| {
            let counted = counters.borrow_mut().hand_over();
            let keep = Rc::strong_count(counters) > 1 || counted.is_some();
            all.extend(counted.map(|counted| (name.clone(), counted)));
            keep
        });
        all
    }
}
