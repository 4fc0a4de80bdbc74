//! What `lease.lua` does, in Rust: for the simulation, and to be compared with the script in a real Redis.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Answer, Ask, slack};

/// The key.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Key {
    /// Free tokens.
    pub(crate) tokens: Option<f64>,
    /// When they were refilled, in the server's microseconds.
    pub(crate) at: u64,
    /// Each process: tokens in its stock, until when that is valid, and whether its shards had to refuse.
    pub(crate) processes: BTreeMap<String, (u64, u64, bool)>,
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as the script does it, below 2^53"
)]
impl Key {
    /// Runs the script at a time of the server.
    pub(crate) fn lease(&mut self, me: &str, ask: &Ask, now: u64) -> Answer {
        let (rate, burst) = (ask.rate.requests_per_second, ask.rate.burst);
        let cap = burst + slack(ask.rate);
        let elapsed = if self.tokens.is_some() { now.saturating_sub(self.at) } else { 0 };
        self.processes.retain(|name, (_, till, _)| name == me || *till > now);
        let leased: u64 = self.processes.values().map(|(held, ..)| held).sum();
        let mine = self.processes.remove(me).map_or(0, |(held, ..)| held);
        let room = (cap - leased as f64).max(0.0);
        let mut tokens = self.tokens.unwrap_or(cap).min(ask.most);
        tokens = (tokens + elapsed as f64 * rate / 1e6).min(room);
        tokens += ask.returned.min(mine.saturating_sub(ask.stock)) as f64;
        tokens = (tokens - ask.owed as f64).max(-cap);
        let mut processes = self.processes.len() as u32;
        let others_short = self.processes.values().filter(|(.., short)| *short).count() as u32;
        let mut granted = 0;
        if !ask.valid.is_zero() {
            processes += 1;
            let mut free = tokens.floor().max(0.0) as u64;
            if others_short > 0 {
                free = free.min((2.0 * tokens / f64::from(others_short + 1)).ceil().max(0.0) as u64);
            }
            granted = ask.need.saturating_sub(ask.stock).min(free);
            if others_short == 0 {
                let share = (burst / f64::from(processes)).floor() as u64;
                let of_burst = (tokens - slack(ask.rate)).floor().max(0.0) as u64;
                granted = granted.max(share.saturating_sub(ask.stock).min(of_burst));
            }
            tokens -= granted as f64;
            let till = now + ask.valid.as_micros() as u64;
            self.processes.insert(me.to_owned(), (ask.stock + granted, till, ask.short));
        }
        // As it is written and read again.
        self.tokens = format!("{tokens:.6}").parse().ok();
        self.at = now;
        let next = if tokens < 1.0 { ((1.0 - tokens) / rate * 1e6).min(1e15).ceil() as u64 } else { 0 };
        Answer {
            granted,
            left: tokens.floor().max(0.0) as u64,
            processes,
            others_short,
            next: Duration::from_micros(next),
            fit: (cap - (leased - mine) as f64).floor().max(0.0) as u64,
        }
    }
}
