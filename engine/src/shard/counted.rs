//! What a shard has counted since its last delta, by subject.
//!
//! A delta costs what has counted something, not what is configured: the shard serves nobody while it makes one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::account::{Counters, Ending};

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
pub(super) struct ByName {
    all: RefCell<HashMap<Arc<str>, Weak<Tally>>>,
    /// Those that have counted something, or did in the interval before.
    busy: RefCell<Vec<Rc<Tally>>>,
}

/// One subject's counters.
pub(super) struct Tally {
    name: Arc<str>,
    counters: RefCell<Counters>,
    /// It is among the busy.
    listed: Cell<bool>,
}

impl ByName {
    /// The counters of one.
    pub(super) fn of(&self, name: &Arc<str>) -> Rc<Tally> {
        let mut all = self.all.borrow_mut();
        if let Some(known) = all.get(name).and_then(Weak::upgrade) {
            return known;
        }
        let made =
            Rc::new(Tally { name: name.clone(), counters: RefCell::default(), listed: Cell::new(false) });
        all.insert(name.clone(), Rc::downgrade(&made));
        made
    }

    /// Counts one ending.
    pub(super) fn count(&self, tally: &Rc<Tally>, ending: &Ending) {
        tally.counters.borrow_mut().count(ending);
        if !tally.listed.replace(true) {
            self.busy.borrow_mut().push(tally.clone());
        }
    }

    /// What each has counted since the last time; only those that counted something.
    pub(super) fn hand_over(&self) -> Vec<(Arc<str>, Counters)> {
        let mut counted = Vec::new();
        self.busy.borrow_mut().retain(|tally| {
            let since = tally.counters.borrow_mut().hand_over();
            // One that has counted nothing has let go of its memory, too.
            tally.listed.set(since.is_some());
            counted.extend(since.map(|since| (tally.name.clone(), since)));
            tally.listed.get()
        });
        counted
    }

    /// Forgets the names of subjects that are gone. It looks at all of them.
    pub(super) fn forget_gone(&self) {
        self.all.borrow_mut().retain(|_, tally| tally.strong_count() > 0);
    }
}

impl Tally {
    /// Whether it has counted nothing since the last delta.
    pub(super) fn is_empty(&self) -> bool {
        self.counters.borrow().requests == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::tests::ending;

    fn requests(counted: &ByName) -> Vec<(String, u64)> {
        let mut all: Vec<_> =
            counted.hand_over().into_iter().map(|(name, since)| (name.to_string(), since.requests)).collect();
        all.sort();
        all
    }

    #[test]
    fn only_what_has_counted_is_handed_over_and_nothing_is_lost_of_what_is_gone() {
        let counted = ByName::default();
        let name = |name: &str| Arc::<str>::from(name);
        let (one, other) = (counted.of(&name("one")), counted.of(&name("other")));
        let idle = counted.of(&name("idle"));
        let ending = ending(100, 50);
        counted.count(&one, &ending);
        counted.count(&one, &ending);
        counted.count(&other, &ending);
        drop(other);
        counted.forget_gone();
        // The same name again, before what the old one has counted is reported.
        let again = counted.of(&name("other"));
        counted.count(&again, &ending);
        assert_eq!(requests(&counted), [("one".to_owned(), 2), ("other".to_owned(), 2)]);
        counted.count(&one, &ending);
        assert_eq!(requests(&counted), [("one".to_owned(), 1)]);
        assert_eq!((requests(&counted).len(), counted.busy.borrow().len()), (0, 0));
        assert!(idle.is_empty() && one.is_empty());
        drop((one, again, idle));
        counted.forget_gone();
        assert!(counted.all.borrow().is_empty());
    }
}
