//! Stage *access*: whether an address may call.
//!
//! Input: the client's IP address. Output: yes or no. Deny goes first, and an empty allow list allows all. [`IpSet`]
//! answers alone wherever addresses are listed: trusted proxies, tenants.
//!
//! A set is a path-compressed trie of prefixes, one for IPv4 and one for IPv6, that branches sixteen ways (PATRICIA:
//! Morrison, 1968; several bits a step with prefixes expanded to fit: Srinivasan and Varghese, "Fast Address Lookups
//! Using Controlled Prefix Expansion", 1999). It only has to say whether any prefix contains an address, not which, so
//! prefixes within others are dropped: those that remain are leaves, an inner node is nothing but the place of the four
//! bits that it branches on, and one comparison at the leaf settles all bits that were skipped.
//!
//! Invariants: a set never changes once built; a look-up allocates nothing and visits at most one node for four bits.
//! IPv4-mapped IPv6 addresses and prefixes are IPv4; a shorter IPv6 prefix, `::/0` too, contains no IPv4 address.
//! Memory: at most 100 bytes a prefix. Errors: none. Owner: the configuration snapshot.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::IpNet;

/// Who may call.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    allow: IpSet,
    deny: IpSet,
}

impl AccessList {
    /// `allow` empty = all, but those that `deny` contains.
    pub fn build(allow: &[IpNet], deny: &[IpNet]) -> AccessList {
        AccessList { allow: IpSet::build(allow), deny: IpSet::build(deny) }
    }

    /// Whether this address may call.
    pub fn permits(&self, ip: IpAddr) -> bool {
        !self.deny.contains(ip) && (self.allow.is_empty() || self.allow.contains(ip))
    }
}

/// A set of addresses, made of prefixes.
#[derive(Debug, Clone, Default)]
pub struct IpSet {
    v4: Trie,
    v6: Trie,
}

impl IpSet {
    /// The addresses within any of `nets`, whose host bits do not matter.
    pub fn build(nets: &[IpNet]) -> IpSet {
        let (v4, v6): (Vec<_>, Vec<_>) = nets.iter().map(Prefix::new).partition(|&(is_v4, _)| is_v4);
        let prefixes = |side: Vec<(bool, Prefix)>| side.into_iter().map(|(_, prefix)| prefix).collect();
        IpSet { v4: Trie::build(prefixes(v4)), v6: Trie::build(prefixes(v6)) }
    }

    /// Whether this address is in the set.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(v4) => self.v4.contains(left_aligned(v4.to_bits())),
            IpAddr::V6(v6) => self.v6.contains(v6.to_bits()),
        }
    }

    /// Whether no address is in the set.
    pub fn is_empty(&self) -> bool {
        self.v4.leaves.is_empty() && self.v6.leaves.is_empty()
    }
}

/// The leftmost `length` bits of an address; IPv4 addresses stand in the leftmost 32. All other bits are zero.
///
/// The order puts a prefix before those that it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    bits: u128,
    length: u8,
}

impl Prefix {
    /// And whether it is of IPv4.
    fn new(net: &IpNet) -> (bool, Prefix) {
        let (is_v4, bits, length) = match net {
            IpNet::V4(net) => (true, left_aligned(net.addr().to_bits()), net.prefix_len()),
            IpNet::V6(net) => match (net.addr().to_ipv4_mapped(), net.prefix_len().checked_sub(96)) {
                (Some(v4), Some(length)) => (true, left_aligned(v4.to_bits()), length),
                _ => (false, net.addr().to_bits(), net.prefix_len()),
            },
        };
        (is_v4, Prefix { bits: bits & mask(length), length })
    }

    fn contains(self, address: u128) -> bool {
        (address ^ self.bits) & mask(self.length) == 0
    }

    fn last_address(self) -> u128 {
        self.bits | !mask(self.length)
    }
}

fn left_aligned(v4: u32) -> u128 {
    u128::from(v4) << 96
}

/// The leftmost `length` bits set.
fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0)
}

/// Whether any of some prefixes contains an address.
#[derive(Debug, Clone, Default)]
struct Trie {
    inner: Vec<Inner>,
    /// Ascending; none contains another.
    leaves: Vec<Prefix>,
    root: Child,
}

/// Branches on four bits. All leaves below agree on every bit to the left of them.
#[derive(Debug, Clone, Copy)]
struct Inner {
    /// Where the four bits are: how far an address is shifted to the right to bring them to its end.
    shift: u8,
    /// Where to go for each value of the four bits. A leaf that is shorter stands at all values that it contains.
    children: [Child; WAYS],
}

/// Bits that an inner node branches on, and how many ways.
const STRIDE: u8 = 4;
const WAYS: usize = 1 << STRIDE;

/// Index of a leaf; or, with the top bit set, of an inner node. An index beyond the leaves is none.
#[derive(Debug, Clone, Copy)]
struct Child(u32);

const INNER: u32 = 1 << 31;
const NONE: Child = Child(INNER - 1);

impl Default for Child {
    fn default() -> Child {
        NONE
    }
}

impl Trie {
    fn build(mut prefixes: Vec<Prefix>) -> Trie {
        prefixes.sort_unstable();
        // What is contained in a prefix follows it.
        prefixes.dedup_by(|later, kept| kept.contains(later.bits));
        let mut trie = Trie { inner: Vec::new(), leaves: prefixes, root: NONE };
        trie.root = trie.branch(0, trie.leaves.len());
        trie
    }

    /// Makes the subtrie of the leaves from `first` to before `end`. Recurses at most once for four bits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "2^31 prefixes do not fit into memory; a shift is below 128"
    )]
    fn branch(&mut self, first: usize, end: usize) -> Child {
        if end - first < 2 {
            return if first == end { NONE } else { Child(first as u32) };
        }
        let agreeing = (self.leaves[first].bits ^ self.leaves[end - 1].bits).leading_zeros() as u8;
        let shift = 128 - STRIDE - agreeing / STRIDE * STRIDE;
        let above = self.leaves[first].bits & !(u128::MAX >> (128 - STRIDE - shift));
        let at = self.inner.len();
        self.inner.push(Inner { shift, children: [NONE; WAYS] });
        for way in 0..WAYS {
            let low = above | (way as u128) << shift;
            let high = low | ((1 << shift) - 1);
            let leaves = &self.leaves[first..end];
            let from = first + leaves.partition_point(|leaf| leaf.last_address() < low);
            let to = first + leaves.partition_point(|leaf| leaf.bits <= high);
            self.inner[at].children[way] = self.branch(from, to);
        }
        Child(at as u32 | INNER)
    }

    fn contains(&self, address: u128) -> bool {
        let mut child = self.root;
        while child.0 & INNER != 0 {
            match self.inner.get((child.0 & !INNER) as usize) {
                Some(inner) => child = inner.children[(address >> inner.shift) as usize % WAYS],
                None => return false,
            }
        }
        self.leaves.get(child.0 as usize).is_some_and(|leaf| leaf.contains(address))
    }
}
