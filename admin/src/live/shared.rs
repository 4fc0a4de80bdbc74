//! Several admins on one database: each tells the others what it hears from engines.
//!
//! Every [`EVERY`] the instances that report here are written to the database's `instances`, one row each, and the rows of
//! others are read into the [`Table`]. An engine that goes over to another admin is told of by that one
//! from then on. Rows carry the moment of the engine's last report by the writer's clock; whether that has changed since the
//! row was last read is what counts, so clocks need not agree. Only a row that is read for the first time has its age
//! taken by the clock.
//!
//! SQLite is for one admin, so nothing is written there. While the database is away the instances of others turn gone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::debug;

use super::table::{self, Table};
use super::{Live, now, read, stopped, write};
use crate::auth::secret;
use crate::store::{Store, StoreError, Told};

/// How often. Well within [`table::GONE_AFTER`], so that an instance that reports is never taken for gone.
const EVERY: Duration = Duration::from_secs(2);
/// A row that is longer is left out: one engine is not to cost all admins that much every two seconds.
const ROW_BYTES_MAX: usize = 256 << 10;

/// Runs until the process is to end.
pub async fn run(live: Live, store: Store, mut stopping: watch::Receiver<bool>) {
    if store.database_name() == "sqlite" {
        return;
    }
    let mut peers = Peers { me: secret::random(), read: HashMap::new() };
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stopped(&mut stopping) => return,
        }
        // That it is away is in the log already.
        if store.away().is_none()
            && let Err(error) = peers.exchange(&live, &store).await
        {
            debug!(%error, "instances are not exchanged with other admins this time");
        }
    }
}

/// What is known of other admins.
struct Peers {
    /// This start of the process.
    me: String,
    /// What the rows of instances said when they were last read.
    read: HashMap<String, Timestamp>,
}

impl Peers {
    async fn exchange(&mut self, live: &Live, store: &Store) -> Result<(), StoreError> {
        let here = told(live);
        if !here.is_empty() {
            store.tell_of_instances(&self.me, here, Timestamp::now(), table::FORGOTTEN_AFTER).await?;
        }
        let rows = store.told_of_instances(&self.me).await?;
        self.read.retain(|name, _| rows.iter().any(|row| row.name == *name));
        for row in rows {
            self.take(row, &mut write(&live.0.table), now(), Timestamp::now());
        }
        Ok(())
    }

    fn take(&mut self, row: Told, table: &mut Table, now: Instant, clock: Timestamp) {
        let seen = match self.read.insert(row.name, row.seen_at) {
            Some(before) if before == row.seen_at => return,
            Some(_) => now,
            None => {
                let age = Duration::try_from(clock.duration_since(row.seen_at)).unwrap_or_default();
                let Some(seen) = now.checked_sub(age) else { return };
                seen
            }
        };
        match serde_json::from_str(&row.report) {
            Ok(report) => table.take_told(report, seen, row.seen_at, now),
            Err(error) => debug!(%error, "another admin, of another version, tells of an instance"),
        }
    }
}

/// The rows of the instances that report here.
fn told(live: &Live) -> Vec<Told> {
    let table = read(&live.0.table);
    let row = |(instance, report): (&table::Instance, _)| {
        let report = serde_json::to_string(&report).ok().filter(|it| it.len() <= ROW_BYTES_MAX)?;
        Some(Told { name: instance.report.instance.clone(), seen_at: instance.seen_at, report })
    };
    table.to_tell(now()).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::{at, report};
    use super::*;

    fn row(seen_at: Timestamp) -> Told {
        let mut there = Table::default();
        there.take(report("a", "1", true, &[("s", 4)]), now(), seen_at);
        let report =
            there.to_tell(now()).map(|(_, report)| serde_json::to_string(&report).unwrap()).collect();
        Told { name: "a".into(), seen_at, report }
    }

    #[test]
    fn what_does_not_change_turns_gone_whatever_clocks_say() {
        let mut peers = Peers { me: "me".into(), read: HashMap::new() };
        let (mut table, now) = (Table::default(), now());
        let later = |seconds| now + Duration::from_secs(seconds);
        let clock = |seconds: i64| Timestamp::from_second(at().as_second() + seconds).unwrap();
        let mut take = |table: &mut Table, seen_at, now| peers.take(row(seen_at), table, now, at());
        // That admin's clock is an hour ahead.
        take(&mut table, clock(3600), now);
        take(&mut table, clock(3602), later(2));
        assert_eq!(table.is_gone("a", later(4)), Some(false));
        for second in [4, 6, 8, 10, 12, 14] {
            take(&mut table, clock(3602), later(second));
        }
        assert_eq!(table.is_gone("a", later(14)), Some(true));
    }

    #[test]
    fn a_row_that_somebody_left_long_ago_is_of_an_instance_that_is_gone() {
        let mut peers = Peers { me: "me".into(), read: HashMap::new() };
        let (mut table, now) = (Table::default(), now());
        let clock = Timestamp::from_second(at().as_second() + 20).unwrap();
        peers.take(row(at()), &mut table, now, clock);
        assert_eq!(table.is_gone("a", now), Some(true));
    }

    #[test]
    fn what_another_version_tells_is_passed_over() {
        let mut peers = Peers { me: "me".into(), read: HashMap::new() };
        let mut table = Table::default();
        let odd = Told { report: "{\"unknown\":1}".into(), ..row(at()) };
        peers.take(odd, &mut table, now(), at());
        assert_eq!(table.iter().count(), 0);
    }
}
