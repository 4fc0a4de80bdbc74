//! Policy *random*: by weight, stratified.
//!
//! A draw is a point on a line on which each live node has a stretch as long as its weight; the node is found by binary
//! search. The line is cut into 64 strata that are drawn from in random order, each once before any comes again: every
//! single draw is as random as without, but what many draws add up to holds closer to the weights (stratified sampling:
//! Cochran, "Sampling Techniques", chapter 5; the order is an incremental Fisher-Yates shuffle: Knuth, TAOCP 2, 3.4.2).
//! With independent draws one in twenty runs of 10,000 would be off by more than 1%.
//!
//! The generator is SplitMix64, of its own for each shard. It is not for secrets.

use super::{NodeWeight, live_indices, mix, scale, weight_of};

const STRATA_BITS: u32 = 6;
const STRATA: usize = 1 << STRATA_BITS;

#[derive(Debug)]
pub(super) struct Random {
    weights: Vec<u64>,
    /// For each live node its index and where its stretch ends. Ascending.
    ends: Vec<(usize, u64)>,
    state: u64,
    /// A permutation of the strata; those before `drawn` have been drawn from.
    strata: [u8; STRATA],
    drawn: usize,
}

impl Random {
    pub(super) fn new(nodes: &[NodeWeight], seed: u64) -> Random {
        let mut strata = [0; STRATA];
        for (slot, number) in strata.iter_mut().zip(0..) {
            *slot = number;
        }
        let weights = nodes.iter().map(weight_of).collect();
        Random { weights, ends: Vec::new(), state: mix(seed ^ 0x5DEE_CE66_D1CE_4E5B), strata, drawn: 0 }
    }

    pub(super) fn set_live(&mut self, live: &[bool]) {
        let mut end = 0;
        self.ends.clear();
        for (index, weight) in live_indices(live).filter_map(|index| Some((index, *self.weights.get(index)?)))
        {
            end += weight;
            self.ends.push((index, end));
        }
    }

    pub(super) fn pick(&mut self, tried: &[usize]) -> Option<usize> {
        if !tried.is_empty() {
            return self.pick_untried(tried);
        }
        let total = self.ends.last()?.1;
        let point = scale(self.fraction(), total);
        let at = self.ends.partition_point(|&(_, end)| end <= point);
        self.ends.get(at).map(|&(index, _)| index)
    }

    /// By weight among the nodes that are left: two passes over the live nodes. Only retries come here.
    fn pick_untried(&mut self, tried: &[usize]) -> Option<usize> {
        let weights = &self.weights;
        let weight = |index: usize| weights.get(index).copied().unwrap_or(0);
        let left = || self.ends.iter().map(|&(index, _)| index).filter(|index| !tried.contains(index));
        let total: u64 = left().map(weight).sum();
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut point = scale(mix(self.state), total);
        left().find(|&index| {
            let stretch = weight(index);
            let here = point < stretch;
            point = point.wrapping_sub(stretch);
            here
        })
    }

    /// A number in [0, 1), as 64 bits after the point: the upper bits are the stratum.
    #[expect(clippy::cast_possible_truncation, reason = "at most 64")]
    fn fraction(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let random = mix(self.state);
        let left = STRATA - self.drawn;
        // The low half of the random bits chooses the stratum, the rest the place in it.
        let chosen = self.drawn + scale(random << 32, left as u64) as usize;
        self.strata.swap(self.drawn, chosen);
        let stratum = u64::from(self.strata[self.drawn]);
        self.drawn = (self.drawn + 1) % STRATA;
        (stratum << (64 - STRATA_BITS)) | (random >> STRATA_BITS)
    }
}
