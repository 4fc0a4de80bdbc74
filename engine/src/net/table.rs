//! Whom a completion is for: operations are tagged with their kind and an index, by which the state is found that they
//! belong to.

use std::rc::Rc;

use slab::Slab;

/// What a completion belongs to: the upper byte of its user data; the lower half is the index in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Ignored,
    Accept,
    Receive,
    Send,
    Connect,
    Alarm,
    Close,
}

impl Kind {
    /// The user data of an operation. Only one of each kind is in flight for an index, and an index is not reused
    /// before all of its operations have completed; so a completion finds its own.
    pub(super) fn tag(self, index: u32) -> u64 {
        (self as u64) << 56 | u64::from(index)
    }

    pub(super) fn of(tag: u64) -> (Self, u32) {
        let kind = match tag >> 56 {
            1 => Self::Accept,
            2 => Self::Receive,
            3 => Self::Send,
            4 => Self::Connect,
            5 => Self::Alarm,
            6 => Self::Close,
            _ => Self::Ignored,
        };
        (kind, tag as u32)
    }
}

/// States by index; an index is reused.
pub(super) struct Table<T>(Slab<Rc<T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Slab::new())
    }
}

impl<T> Table<T> {
    pub(super) fn insert_with(&mut self, make: impl FnOnce(u32) -> Rc<T>) -> Rc<T> {
        let entry = self.0.vacant_entry();
        let index = u32::try_from(entry.key()).expect("fewer than 2^32 descriptors exist");
        entry.insert(make(index)).clone()
    }

    pub(super) fn get(&self, index: u32) -> Option<Rc<T>> {
        self.0.get(index as usize).cloned()
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Rc<T>> {
        self.0.try_remove(index as usize)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rc<T>> {
        self.0.iter().map(|(_, state)| state)
    }
}
