//! Policy *round robin*: the live nodes in turn, weights ignored.
//!
//! When the set of live nodes changes the rotation goes on from the node after the last one picked.

use super::{live_indices, scale, start_phase};

#[derive(Debug)]
pub(super) struct RoundRobin {
    /// Indices of the live nodes, ascending.
    live: Vec<usize>,
    /// Place in `live` of the next pick.
    next: usize,
    /// Where the rotation starts whenever no node was live before.
    start: u64,
}

impl RoundRobin {
    pub(super) fn new(seed: u64) -> RoundRobin {
        RoundRobin { live: Vec::new(), next: 0, start: start_phase(seed) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "scaled to the length of a Vec")]
    pub(super) fn set_live(&mut self, live: &[bool]) {
        let next_node = self.live.get(self.next).copied();
        self.live.clear();
        self.live.extend(live_indices(live));
        self.next = match next_node {
            Some(node) => self.live.partition_point(|&index| index < node),
            None => scale(self.start, self.live.len() as u64) as usize,
        };
        if !self.live.is_empty() {
            self.next %= self.live.len();
        }
    }

    pub(super) fn pick(&mut self, tried: &[usize]) -> Option<usize> {
        for _ in 0..self.live.len() {
            let index = *self.live.get(self.next)?;
            self.next = if self.next + 1 < self.live.len() { self.next + 1 } else { 0 };
            if !tried.contains(&index) {
                return Some(index);
            }
        }
        None
    }
}
