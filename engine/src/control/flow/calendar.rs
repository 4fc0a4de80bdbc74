//! Which day and which hour a moment belongs to, in `stats.timezone`. Sans-io: the caller says what time it is.
//!
//! Invariants: an [`Hour`] is a stretch of time in which neither the local hour nor the distance to UTC changes, so when
//! clocks are put back there are two of the same name, told apart by when they began. No time that a clock may show
//! panics: what cannot be reckoned stays at the end of the calendar.

use std::fmt;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// One moment on both clocks: the one that only goes forward, and the one on the wall, which may jump.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Monotonic.
    pub instant: Instant,
    /// On the wall.
    pub wall: Timestamp,
}

impl Moment {
    /// Reads both clocks.
    pub fn read() -> Self {
        Self { instant: crate::clock::read(), wall: Timestamp::now() }
    }

    /// What the wall clock showed at an earlier instant, if it has not jumped since.
    pub fn wall_at(&self, earlier: Instant) -> Timestamp {
        let ago = self.instant.saturating_duration_since(earlier);
        let ago = SignedDuration::try_from(ago).unwrap_or(SignedDuration::MAX);
        self.wall.checked_sub(ago).unwrap_or(Timestamp::MIN)
    }

    /// When the wall clock will show `later`, if it does not jump until then.
    pub fn instant_of(&self, later: Timestamp) -> Instant {
        let wait = Duration::try_from(later.duration_since(self.wall)).unwrap_or_default();
        // A clock that is centuries wrong is looked at again within the day.
        self.instant + wait.min(Duration::from_secs(24 * 3600))
    }
}

/// An hour of a day. Ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour {
    /// When it began.
    pub began: Timestamp,
    /// The day.
    pub date: Date,
    /// 0 to 23.
    pub hour: i8,
}

/// A day as it stands in keys: `YYYYMMDD`.
pub struct DayText(pub Date);

impl fmt::Display for DayText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}{:02}{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

/// Days and hours of one time zone.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
}

impl Calendar {
    /// Of a zone. The configuration's check has found it; should it be gone it is UTC.
    pub fn new(zone: &str) -> Self {
        Self { zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC) }
    }

    /// The hour that a moment is in.
    pub fn hour(&self, at: Timestamp) -> Hour {
        let local = self.zone.to_datetime(at);
        let into = SignedDuration::from_secs(i64::from(local.minute()) * 60 + i64::from(local.second()))
            + SignedDuration::from_nanos(i64::from(local.subsec_nanosecond()));
        let began = at.checked_sub(into).unwrap_or(Timestamp::MIN);
        // Clocks were put forward or back since: that is when it began.
        let changed = self.zone.preceding(at).next().map_or(Timestamp::MIN, |change| change.timestamp());
        // A change at this very moment is not one before it.
        let changed_now = self.zone.to_offset(at) != self.zone.to_offset(before(at));
        let began = if changed_now { at } else { began.max(changed) };
        Hour { began, date: local.date(), hour: local.hour() }
    }

    /// When the hour that a moment is in ends.
    pub fn hour_ends(&self, at: Timestamp) -> Timestamp {
        let local = self.zone.to_datetime(at);
        let left =
            SignedDuration::from_secs(3600 - i64::from(local.minute()) * 60 - i64::from(local.second()))
                - SignedDuration::from_nanos(i64::from(local.subsec_nanosecond()));
        let ends = at.checked_add(left).unwrap_or(Timestamp::MAX);
        let changes = self.zone.following(at).next().map_or(Timestamp::MAX, |change| change.timestamp());
        ends.min(changes)
    }

    /// The day that a moment is in.
    pub fn date(&self, at: Timestamp) -> Date {
        self.zone.to_datetime(at).date()
    }

    /// All hours of a day: 24, or 23 to 26 when clocks are put forward or back.
    pub fn hours_of(&self, date: Date) -> Vec<Hour> {
        let Ok(start) = date.to_zoned(self.zone.clone()) else { return Vec::new() };
        let mut hours: Vec<Hour> = Vec::with_capacity(25);
        let mut at = start.timestamp();
        while self.date(at) == date {
            let hour = self.hour(at);
            // A change of the zone's name alone ends no hour.
            let same = |last: &Hour| last.hour == hour.hour && self.offset(last.began) == self.offset(at);
            if !hours.last().is_some_and(same) {
                hours.push(hour);
            }
            let next = self.hour_ends(at);
            if next <= at {
                break;
            }
            at = next;
        }
        hours
    }

    /// An hour for people: when it began, with its distance to UTC.
    pub fn show(&self, at: Timestamp) -> String {
        at.display_with_offset(self.offset(at)).to_string()
    }

    fn offset(&self, at: Timestamp) -> jiff::tz::Offset {
        self.zone.to_offset(at)
    }
}

fn before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at)
}

/// The day before.
pub fn day_before(date: Date) -> Date {
    date.yesterday().unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn keys(zone: &str, time: &str) -> String {
        let hour = Calendar::new(zone).hour(at(time));
        format!("{} {:02}", DayText(hour.date), hour.hour)
    }

    #[test]
    fn a_moment_has_another_day_and_hour_in_each_zone() {
        let before = "2026-06-30T16:29:59.999Z";
        let after = "2026-06-30T18:30:00Z";
        assert_eq!(keys("UTC", before), "20260630 16");
        assert_eq!(keys("Asia/Shanghai", before), "20260701 00");
        assert_eq!(keys("Asia/Kolkata", before), "20260630 21");
        assert_eq!(keys("Asia/Kolkata", "2026-06-30T16:30:00Z"), "20260630 22");
        assert_eq!(keys("Asia/Kolkata", "2026-06-30T18:29:59.999Z"), "20260630 23");
        assert_eq!(keys("Asia/Kolkata", after), "20260701 00");
    }

    #[test]
    fn hours_end_on_the_local_clock() {
        let kolkata = Calendar::new("Asia/Kolkata");
        assert_eq!(kolkata.hour_ends(at("2026-06-30T16:29:59.5Z")), at("2026-06-30T16:30:00Z"));
        assert_eq!(kolkata.hour_ends(at("2026-06-30T16:30:00Z")), at("2026-06-30T17:30:00Z"));
        assert_eq!(kolkata.hour(at("2026-06-30T16:45:12.25Z")).began, at("2026-06-30T16:30:00Z"));
    }

    #[test]
    fn a_day_has_an_hour_less_in_spring_and_one_more_in_autumn() {
        let berlin = Calendar::new("Europe/Berlin");
        let names = |date| berlin.hours_of(date).iter().map(|hour| hour.hour).collect::<Vec<_>>();
        assert_eq!(names(jiff::civil::date(2026, 6, 1)), (0..24).collect::<Vec<_>>());
        let spring = names(jiff::civil::date(2026, 3, 29));
        assert_eq!((spring.len(), &spring[..4]), (23, &[0, 1, 3, 4][..]));
        let autumn = names(jiff::civil::date(2026, 10, 25));
        assert_eq!((autumn.len(), &autumn[..5]), (25, &[0, 1, 2, 2, 3][..]));
        let twice: Vec<Hour> = berlin
            .hours_of(jiff::civil::date(2026, 10, 25))
            .into_iter()
            .filter(|hour| hour.hour == 2)
            .collect();
        assert_eq!(twice[0].began, at("2026-10-25T00:00:00Z"));
        assert_eq!(twice[1].began, at("2026-10-25T01:00:00Z"));
        assert_eq!(berlin.show(twice[0].began), "2026-10-25T02:00:00+02:00");
        assert_eq!(berlin.show(twice[1].began), "2026-10-25T02:00:00+01:00");
        // Half an hour back at two: from 2:00 it is 1:30 again.
        let lord_howe = Calendar::new("Australia/Lord_Howe");
        let hours = lord_howe.hours_of(jiff::civil::date(2026, 4, 5));
        assert_eq!(hours.iter().map(|hour| hour.hour).collect::<Vec<_>>()[..4], [0, 1, 1, 2]);
        assert_eq!(lord_howe.hour_ends(at("2026-04-04T14:59:00Z")), at("2026-04-04T15:00:00Z"));
    }

    #[test]
    fn every_hour_of_a_year_is_one_of_its_day() {
        for zone in ["UTC", "Asia/Shanghai", "Asia/Kolkata", "Europe/Berlin", "Australia/Lord_Howe"] {
            let calendar = Calendar::new(zone);
            let (mut time, end) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
            while time < end {
                let (hour, ends) = (calendar.hour(time), calendar.hour_ends(time));
                assert!(hour.began <= time && time < ends, "{zone} {time}");
                assert!(calendar.hours_of(hour.date).contains(&hour), "{zone} {time} {hour:?}");
                assert_eq!(calendar.hour(before(ends)), hour, "{zone} {time}");
                assert_ne!(calendar.hour(ends), hour, "{zone} {time}");
                time = ends;
            }
        }
    }

    #[test]
    fn no_clock_is_too_wrong() {
        for zone in ["UTC", "Asia/Kolkata", "Europe/Berlin"] {
            let calendar = Calendar::new(zone);
            for time in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
                let hour = calendar.hour(time);
                calendar.hour_ends(time);
                calendar.hours_of(hour.date);
                day_before(hour.date);
                let moment = Moment { instant: crate::clock::read(), wall: time };
                moment.wall_at(moment.instant);
                moment.instant_of(Timestamp::MAX);
                moment.instant_of(Timestamp::MIN);
            }
        }
    }
}
