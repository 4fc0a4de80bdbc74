//! What the loop does for the counters: hours that end, flushes, and what other processes have used of tenants' days.
//!
//! Each method hands on to [`crate::control::flow`], which decides.

use std::time::Instant;

use tracing::debug;

use super::Engine;
use crate::clock::day_number;
use crate::control::flow::calendar::Moment;
use crate::control::flow::writer::{QuotaUse, QuotasRead, Writer, Written};
use crate::message::ToShard;

impl Engine {
    /// When [`Engine::on_hour`] is due.
    pub fn hour_ends(&self, now: Moment) -> Instant {
        self.flow.hour_ends(now)
    }

    /// An hour may have ended in `stats.timezone`: what was counted until now belongs to it.
    pub fn on_hour(&mut self, now: Moment) {
        if self.flow.is_next_hour(now) {
            self.shards.send_all(|| ToShard::Report);
        }
    }

    /// When [`Engine::flush`] is due.
    pub fn next_flush(&self) -> Option<Instant> {
        self.flow.writer.as_ref().and_then(Writer::next_due)
    }

    /// Sends what is to be written to Redis.
    pub fn flush(&mut self, now: Instant) {
        if let Some(writer) = &mut self.flow.writer {
            writer.send_due(now);
        }
    }

    /// After the last delta of the shards. Says whether there is a Redis to write it to.
    pub fn begin_last_flush(&mut self, now: Instant) -> bool {
        let Some(writer) = &mut self.flow.writer else { return false };
        writer.end(now);
        true
    }

    /// Whether all that was counted is written to Redis.
    pub fn is_flushed(&self) -> bool {
        self.flow.writer.as_ref().is_none_or(Writer::is_done)
    }

    /// Says what became of the last flush.
    pub fn end_last_flush(&self) {
        if let Some(writer) = &self.flow.writer {
            writer.log_end();
        }
    }

    /// Reads what was used of tenants' days before this process knew of them.
    pub(super) fn read_quotas(&mut self, now: Moment) {
        let today = self.flow.calendar.date(now.wall);
        if let Some(writer) = &mut self.flow.writer {
            writer.read_quotas(today);
        }
    }

    pub(super) fn on_written(&mut self, written: &Written, now: Instant) {
        let uses = self.flow.writer.as_mut().map(|writer| writer.on_written(written, now));
        self.on_quotas(&uses.unwrap_or_default());
    }

    pub(super) fn on_quotas_read(&mut self, read: &QuotasRead) {
        let uses = self.flow.writer.as_mut().map(|writer| writer.on_quotas_read(read));
        self.on_quotas(&uses.unwrap_or_default());
    }

    /// What all processes have used of tenants' days, as Redis said just now: it is used here, too.
    fn on_quotas(&mut self, uses: &[QuotaUse]) {
        let snapshot = &self.snapshot;
        for QuotaUse { app_id, date, used, others } in uses {
            debug!(app_id = &**app_id, %date, used, others, "requests of a tenant's day");
            let tenant = snapshot.callers.index_of(app_id).and_then(|index| snapshot.tenants.get(index));
            if let Some(quota) = tenant.and_then(|tenant| tenant.day.as_ref()) {
                quota.learn(day_number(*date), *used);
            }
        }
    }
}
