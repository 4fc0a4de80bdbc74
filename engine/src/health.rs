//! Node health: the subject. Who observes it (the shards' balancers) is told by its owner when a call says "changed".
//!
//! Input: results of checks, failures that traffic has met, and time. Output: which checks to start and which nodes
//! take traffic. One [`ServiceHealth`] a service, owned by the control thread, which makes the connections; nothing
//! here does I/O or looks at a clock.
//!
//! A node starts live, so that a gateway starts without its upstreams. It goes down after `unhealthy_after` failed
//! checks in a row, or at once when traffic could not reach it. While it is down it is probed each second (or each
//! interval, if that is shorter), and comes back after `healthy_after` successes in a row. A service without a health
//! check is probed too, by connecting, but only while a node is down.
//!
//! Invariants: at most one check of a node is under way; a result that never comes counts as none after the check's
//! timeout. A success of a check that began before the node went down is not believed. First checks are spread over an
//! interval and each period varies by 5%, so that thousands of services do not check in step. Units: durations are
//! `Duration`s. Errors: none; what is said of unknown nodes is ignored.

pub mod grpc;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coregate_config::checked::{HealthCheck, HealthCheckKind};
use foldhash::fast::RandomState;

/// How often a node that is down is probed, at most.
const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// Longest interval and timeout; keeps sums of times in range, whatever was configured.
const PERIOD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a result may come after the check's timeout before the check counts as lost.
const RESULT_GRACE: Duration = Duration::from_millis(500);

/// Bytes kept of an error text.
const ERROR_BYTES_MAX: usize = 200;

/// How nodes without an active check are probed while they are down.
const PASSIVE: HealthCheck = HealthCheck {
    kind: HealthCheckKind::Tcp,
    interval: PROBE_INTERVAL_MAX,
    timeout: PROBE_INTERVAL_MAX,
    unhealthy_after: 1,
    healthy_after: 1,
};

/// The nodes of one service and how they are.
#[derive(Debug)]
pub struct ServiceHealth {
    rules: Rules,
    /// In the order of the configuration.
    nodes: Vec<NodeHealth>,
    by_address: HashMap<SocketAddr, usize, RandomState>,
    jitter: Jitter,
}

impl ServiceHealth {
    /// All nodes live. `check` is `None` for a service that is watched by its traffic alone; `seed` should differ
    /// for each service.
    pub fn new(check: Option<HealthCheck>, nodes: &[SocketAddr], seed: u64, now: Instant) -> ServiceHealth {
        let mut service = ServiceHealth {
            rules: Rules::new(check),
            nodes: Vec::new(),
            by_address: HashMap::default(),
            jitter: Jitter(seed),
        };
        service.set_nodes(nodes, now);
        service
    }

    /// What a check does, and after how long it has failed.
    pub fn check(&self) -> (&HealthCheckKind, Duration) {
        (&self.rules.check.kind, self.rules.check.timeout)
    }

    /// The nodes whose checks are to be started now. Each answers with [`ServiceHealth::on_check`].
    pub fn due(&mut self, now: Instant) -> Vec<SocketAddr> {
        let ServiceHealth { rules, nodes, jitter, .. } = self;
        let due = nodes.iter_mut().filter(|node| node.next_due().is_some_and(|due| due <= now));
        due.map(|node| node.start_check(rules, now, jitter)).collect()
    }

    /// When to call [`ServiceHealth::due`] next; `None`: not before something changes.
    pub fn next_due(&self) -> Option<Instant> {
        self.nodes.iter().filter_map(NodeHealth::next_due).min()
    }

    /// The result of a check; an error says what went wrong. True if [`ServiceHealth::live`] has changed.
    pub fn on_check(&mut self, node: SocketAddr, result: Result<(), &str>, now: Instant) -> bool {
        let ServiceHealth { rules, nodes, by_address, jitter } = self;
        let node = by_address.get(&node).and_then(|&index| nodes.get_mut(index));
        node.is_some_and(|node| node.on_check(rules, result, now, jitter))
    }

    /// Traffic could not reach a node; `cause` says how. True if [`ServiceHealth::live`] has changed.
    pub fn on_passive_failure(&mut self, node: SocketAddr, cause: &str, now: Instant) -> bool {
        let ServiceHealth { rules, nodes, by_address, jitter } = self;
        let node = by_address.get(&node).and_then(|&index| nodes.get_mut(index));
        node.is_some_and(|node| node.on_passive_failure(rules, cause, now, jitter))
    }

    /// Another configuration. Nodes that stay keep their state. True if [`ServiceHealth::live`] has changed.
    pub fn reconfigure(&mut self, check: Option<HealthCheck>, nodes: &[SocketAddr], now: Instant) -> bool {
        let before = self.live();
        self.rules = Rules::new(check);
        self.set_nodes(nodes, now);
        for node in &mut self.nodes {
            node.reschedule(&self.rules, now, &mut self.jitter);
        }
        self.live() != before
    }

    /// Each node and whether it takes traffic, in the order of the configuration.
    pub fn live(&self) -> Vec<(SocketAddr, bool)> {
        self.nodes.iter().map(|node| (node.address, node.live)).collect()
    }

    /// Each node's state, for the ops API.
    pub fn nodes(&self) -> &[NodeHealth] {
        &self.nodes
    }

    fn set_nodes(&mut self, addresses: &[SocketAddr], now: Instant) {
        let mut known: HashMap<SocketAddr, NodeHealth, RandomState> =
            std::mem::take(&mut self.nodes).into_iter().map(|node| (node.address, node)).collect();
        self.by_address.clear();
        for &address in addresses {
            // Two names for one address are one node.
            if self.by_address.contains_key(&address) {
                continue;
            }
            self.by_address.insert(address, self.nodes.len());
            let new = || NodeHealth::new(address, &self.rules, now, &mut self.jitter);
            self.nodes.push(known.remove(&address).unwrap_or_else(new));
        }
    }
}

/// A service's check, or what stands in for one.
#[derive(Debug)]
struct Rules {
    check: HealthCheck,
    /// Live nodes are checked too.
    active: bool,
}

impl Rules {
    fn new(check: Option<HealthCheck>) -> Rules {
        let active = check.is_some();
        let mut check = check.unwrap_or(PASSIVE);
        check.interval = check.interval.min(PERIOD_MAX);
        check.timeout = check.timeout.min(PERIOD_MAX);
        Rules { check, active }
    }

    /// Time between two checks of a node; `None` = it is not checked.
    fn period(&self, live: bool) -> Option<Duration> {
        match live {
            true => self.active.then_some(self.check.interval),
            false => Some(self.check.interval.min(PROBE_INTERVAL_MAX)),
        }
    }
}

/// One node: whether it takes traffic, why, and when it is checked next.
#[derive(Debug, Clone)]
pub struct NodeHealth {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it takes traffic.
    pub live: bool,
    /// Since when it has, or has not.
    pub since: Instant,
    /// What went wrong last and when, whether or not it has recovered.
    pub last_error: Option<(Instant, Box<str>)>,
    /// When the last check ended.
    pub last_check: Option<Instant>,
    /// Checks of the other opinion in a row: failures of a live node, successes of one that is down.
    against: u32,
    /// When the next check starts.
    next_check: Option<Instant>,
    /// The check under way: when it began, and when it counts as lost.
    under_way: Option<(Instant, Instant)>,
}

impl NodeHealth {
    fn new(address: SocketAddr, rules: &Rules, now: Instant, jitter: &mut Jitter) -> NodeHealth {
        let mut node = NodeHealth {
            address,
            live: true,
            since: now,
            last_error: None,
            last_check: None,
            against: 0,
            next_check: None,
            under_way: None,
        };
        node.reschedule(rules, now, jitter);
        node
    }

    /// When [`NodeHealth::start_check`] may be called.
    fn next_due(&self) -> Option<Instant> {
        match self.under_way {
            Some((_, lost)) => self.next_check.map(|next| next.max(lost)),
            None => self.next_check,
        }
    }

    fn start_check(&mut self, rules: &Rules, now: Instant, jitter: &mut Jitter) -> SocketAddr {
        self.under_way = Some((now, now + rules.check.timeout + RESULT_GRACE));
        self.next_check = rules.period(self.live).map(|period| now + jitter.about(period));
        self.address
    }

    fn on_check(
        &mut self,
        rules: &Rules,
        result: Result<(), &str>,
        now: Instant,
        jitter: &mut Jitter,
    ) -> bool {
        let began = self.under_way.take().map(|(began, _)| began);
        self.last_check = Some(now);
        if let Err(error) = result {
            self.note_error(error, now);
        }
        match (self.live, result) {
            (true, Ok(())) | (false, Err(_)) => {
                self.against = 0;
                return false;
            }
            // It began before traffic found the node down, so it says nothing about now.
            (false, Ok(())) if began.is_some_and(|began| began < self.since) => return false,
            (true, Err(_)) | (false, Ok(())) => self.against = self.against.saturating_add(1),
        }
        let enough = if self.live { rules.check.unhealthy_after } else { rules.check.healthy_after };
        if self.against < enough {
            return false;
        }
        self.turn(!self.live, rules, now, jitter);
        true
    }

    fn on_passive_failure(&mut self, rules: &Rules, cause: &str, now: Instant, jitter: &mut Jitter) -> bool {
        self.note_error(cause, now);
        if !self.live {
            return false;
        }
        self.turn(false, rules, now, jitter);
        true
    }

    fn turn(&mut self, live: bool, rules: &Rules, now: Instant, jitter: &mut Jitter) {
        self.live = live;
        self.since = now;
        self.against = 0;
        self.next_check = None;
        self.reschedule(rules, now, jitter);
    }

    /// Sets when the next check starts, after the state or the rules have changed; never later than it was set.
    fn reschedule(&mut self, rules: &Rules, now: Instant, jitter: &mut Jitter) {
        let next = rules.period(self.live).map(|period| {
            // Live nodes anywhere within an interval. One that is down waits at least half its probe interval: what
            // has just refused a connection gets a moment.
            if self.live { now + jitter.below(period) } else { now + period / 2 + jitter.below(period / 2) }
        });
        self.next_check = match (next, self.next_check) {
            (Some(next), Some(set)) => Some(next.min(set)),
            (next, _) => next,
        };
    }

    fn note_error(&mut self, error: &str, now: Instant) {
        let end = (0..=ERROR_BYTES_MAX.min(error.len())).rev().find(|&end| error.is_char_boundary(end));
        self.last_error = Some((now, error[..end.unwrap_or(0)].into()));
    }
}

/// Random durations, to keep checks out of step. SplitMix64 (Steele, Lea, Flood, 2014).
#[derive(Debug)]
struct Jitter(u64);

impl Jitter {
    /// Within 5% of this.
    fn about(&mut self, period: Duration) -> Duration {
        period - period / 20 + self.below(period / 10)
    }

    /// From zero to this.
    fn below(&mut self, end: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let share = f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        end.mul_f64(share)
    }
}
