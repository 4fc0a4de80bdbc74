//! Policy *weighted round robin*, smooth: a node of weight 5 among ten is picked every other time, not five times in a
//! row.
//!
//! Two ways to the same quality:
//! - When the weights, divided by their greatest common divisor, add up to little, nginx's sequence is computed once
//!   and walked in a circle (nginx, `ngx_http_upstream_get_peer`: each node gains its weight, the richest is picked and
//!   pays the total). Each shard starts elsewhere in the circle.
//! - Otherwise earliest deadline first: a node's next deadline lies 1/weight after its last one, the earliest is picked
//!   from a heap (stride scheduling: Waldspurger and Weihl, 1995; Envoy's `EdfScheduler`). First deadlines are spread
//!   over 1/weight by node and by shard, so that equal nodes take turns and shards differ.
//!
//! Both keep their place when the set of live nodes changes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use smallvec::SmallVec;

use super::{NodeWeight, live_indices, scale, start_phase, weight_of};

/// Most steps to spend on a sequence: nodes x length. Some 50 microseconds of a shard's time when health changes.
const SEQUENCE_STEPS_MAX: u64 = 65_536;

#[derive(Debug)]
pub(super) struct Weighted {
    weights: Vec<u64>,
    seed: u64,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Circle(Circle),
    Deadlines(Deadlines),
}

impl Weighted {
    pub(super) fn new(nodes: &[NodeWeight], seed: u64) -> Weighted {
        let weights = nodes.iter().map(weight_of).collect();
        let circle = Circle { sequence: Vec::new(), next: 0, start: start_phase(seed) };
        Weighted { weights, seed, form: Form::Circle(circle) }
    }

    pub(super) fn set_live(&mut self, live: &[bool]) {
        let nodes: Vec<(usize, u64)> =
            live_indices(live).filter_map(|index| Some((index, *self.weights.get(index)?))).collect();
        let divisor =
            nodes.iter().fold(0, |divisor, &(_, weight)| greatest_common_divisor(divisor, weight)).max(1);
        let total: u64 = nodes.iter().map(|&(_, weight)| weight / divisor).sum();
        let fits = total.saturating_mul(nodes.len() as u64) <= SEQUENCE_STEPS_MAX;
        match &mut self.form {
            Form::Circle(circle) if fits => circle.set(smooth_sequence(&nodes, divisor)),
            Form::Deadlines(deadlines) if !fits => deadlines.set(&nodes, self.seed),
            form if fits => {
                let mut circle = Circle { sequence: Vec::new(), next: 0, start: start_phase(self.seed) };
                circle.set(smooth_sequence(&nodes, divisor));
                *form = Form::Circle(circle);
            }
            form => {
                let mut deadlines = Deadlines { heap: BinaryHeap::new(), strides: Vec::new(), now: 0 };
                deadlines.strides = self.weights.iter().map(|weight| STRIDE_OF_ONE / weight).collect();
                deadlines.set(&nodes, self.seed);
                *form = Form::Deadlines(deadlines);
            }
        }
    }

    pub(super) fn pick(&mut self, tried: &[usize]) -> Option<usize> {
        match &mut self.form {
            Form::Circle(circle) => circle.pick(tried),
            Form::Deadlines(deadlines) => deadlines.pick(tried),
        }
    }
}

/// A sequence of node indices, walked round and round.
#[derive(Debug)]
struct Circle {
    sequence: Vec<usize>,
    next: usize,
    /// Where to start while there is no place to keep, in [0, 1) as 64 bits after the point.
    start: u64,
}

impl Circle {
    /// Walks another sequence from the same share of the way round.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "next < len, so the quotient is below 2^64; see scale"
    )]
    fn set(&mut self, sequence: Vec<usize>) {
        let way = match self.sequence.len() {
            0 => self.start,
            len => ((self.next as u128) << 64).checked_div(len as u128).unwrap_or(0) as u64,
        };
        self.next = scale(way, sequence.len() as u64) as usize;
        self.sequence = sequence;
    }

    fn pick(&mut self, tried: &[usize]) -> Option<usize> {
        for _ in 0..self.sequence.len() {
            let index = *self.sequence.get(self.next)?;
            self.next = if self.next + 1 < self.sequence.len() { self.next + 1 } else { 0 };
            if !tried.contains(&index) {
                return Some(index);
            }
        }
        None
    }
}

/// nginx's sequence for these (index, weight) pairs, one whole cycle.
fn smooth_sequence(nodes: &[(usize, u64)], divisor: u64) -> Vec<usize> {
    let weights: Vec<i64> =
        nodes.iter().map(|&(_, weight)| i64::try_from(weight / divisor).unwrap_or(i64::MAX)).collect();
    let total: i64 = weights.iter().sum();
    let mut current = vec![0i64; weights.len()];
    let mut sequence = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    for _ in 0..total {
        let mut richest = 0;
        for at in 0..weights.len() {
            current[at] += weights[at];
            if current[at] > current[richest] {
                richest = at;
            }
        }
        current[richest] -= total;
        sequence.push(nodes[richest].0);
    }
    sequence
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Virtual time between two picks of a node of weight 1. Large, so that 1/weight loses nothing that counts (2^-24 for
/// the largest weight).
pub(super) const STRIDE_OF_ONE: u64 = 1 << 40;

/// Virtual time is taken back to 0 here; leaves room for any stride above it.
pub(super) const TIME_MAX: u64 = 1 << 62;

/// Nodes by their next deadline in virtual time.
#[derive(Debug)]
pub(super) struct Deadlines {
    pub(super) heap: BinaryHeap<Reverse<(u64, usize)>>,
    /// For each node of the service, live or not.
    pub(super) strides: Vec<u64>,
    /// The deadline picked last; none in the heap is earlier.
    pub(super) now: u64,
}

impl Deadlines {
    /// Nodes that stay keep their deadline. One that comes gets its first somewhere within its stride.
    pub(super) fn set(&mut self, nodes: &[(usize, u64)], seed: u64) {
        let mut known = vec![None; self.strides.len()];
        for Reverse((deadline, index)) in self.heap.drain() {
            known[index] = Some(deadline);
        }
        self.heap = nodes
            .iter()
            .map(|&(index, _)| {
                let first = || self.now + scale(first_phase(index, seed), self.strides[index]);
                Reverse((known[index].unwrap_or_else(first), index))
            })
            .collect();
    }

    pub(super) fn pick(&mut self, tried: &[usize]) -> Option<usize> {
        let mut aside: SmallVec<[Reverse<(u64, usize)>; 4]> = SmallVec::new();
        let mut picked = None;
        while let Some(mut top) = self.heap.peek_mut() {
            let Reverse((deadline, index)) = *top;
            if tried.contains(&index) {
                aside.push(PeekMut::pop(top));
                continue;
            }
            self.now = deadline;
            top.0.0 = deadline + self.strides.get(index)?;
            picked = Some(index);
            break;
        }
        self.heap.extend(aside);
        if self.now >= TIME_MAX {
            self.restart_time();
        }
        picked
    }

    fn restart_time(&mut self) {
        let mut deadlines = std::mem::take(&mut self.heap).into_vec();
        for Reverse((deadline, _)) in &mut deadlines {
            *deadline = deadline.saturating_sub(self.now);
        }
        self.heap = deadlines.into();
        self.now = 0;
    }
}

/// Where in its stride a node starts, as 64 bits after the point: low discrepancy over nodes and over seeds alike
/// (Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences", 2018: powers of the inverse plastic number).
fn first_phase(index: usize, seed: u64) -> u64 {
    let by_node = (index as u64).wrapping_mul(0xC13F_A9A9_02A6_328F);
    let by_seed = seed.wrapping_mul(0x91E1_0DA5_C79E_7B1D);
    by_node.wrapping_add(by_seed)
}
