//! Time as the engine reads it: once a turn of a shard's driver, handed down as `now`.
//!
//! The one place that asks the operating system, so that everything else can be driven by a test.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::limit::Day;

/// Reads the monotonic clock (about 25 ns).
#[allow(clippy::disallowed_methods)]
pub fn read() -> Instant {
    Instant::now()
}

/// Seconds since 1970, by the wall clock (about 25 ns).
pub fn unix_seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

/// How often the date is made anew.
const DATE_INTERVAL: Duration = Duration::from_millis(500);

/// The Date field's value (RFC 9110 5.6.7), made at most twice a second.
#[derive(Default)]
pub struct HttpDate {
    made: RefCell<Option<(Instant, Rc<str>)>>,
}

impl HttpDate {
    /// The date at `now`, at most half a second old.
    pub fn at(&self, now: Instant) -> Rc<str> {
        let mut made = self.made.borrow_mut();
        match &*made {
            Some((at, date)) if now.saturating_duration_since(*at) < DATE_INTERVAL => date.clone(),
            _ => {
                let date = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                made.insert((now, date.into())).1.clone()
            }
        }
    }
}

/// How often the wall clock is looked at for the day: it may jump.
const DAY_INTERVAL: Duration = Duration::from_secs(1);

/// The day in a time zone, for limits that are counted by the day.
pub struct DayClock {
    zone: TimeZone,
    read: Cell<Option<(Instant, Day)>>,
}

impl DayClock {
    /// For an IANA time zone; UTC if it does not exist, which the configuration's check has seen to.
    pub fn new(timezone: &str) -> Self {
        Self { zone: TimeZone::get(timezone).unwrap_or(TimeZone::UTC), read: Cell::new(None) }
    }

    /// The day at `now`.
    pub fn at(&self, now: Instant) -> Day {
        match self.read.get() {
            Some((at, day)) if now < day.ends && now.saturating_duration_since(at) < DAY_INTERVAL => day,
            _ => {
                let (number, left) = day_in(&Timestamp::now().to_zoned(self.zone.clone()));
                let day = Day { number, ends: now + left };
                self.read.set(Some((now, day)));
                day
            }
        }
    }
}

/// Days since 1970-01-01 in its time zone, and the time until the next one.
pub fn day_in(time: &Zoned) -> (u32, Duration) {
    let left = time.tomorrow().and_then(|tomorrow| tomorrow.start_of_day());
    let left =
        left.map_or(DAY_INTERVAL, |next| Duration::try_from(next.duration_since(time)).unwrap_or_default());
    (day_number(time.date()), left.max(Duration::from_millis(1)))
}

/// Days since 1970-01-01.
pub fn day_number(date: Date) -> u32 {
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = date.since((jiff::Unit::Day, epoch)).map_or(0, |span| span.get_days());
    u32::try_from(days).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(time: &str) -> (u32, Duration) {
        day_in(&time.parse().unwrap())
    }

    #[test]
    fn a_day_begins_at_midnight_of_its_time_zone() {
        let (utc, left) = day("2026-11-23T23:59:59.5Z[UTC]");
        assert_eq!((utc, left), (20_780, Duration::from_millis(500)));
        assert_eq!(day("2026-11-24T00:00:00Z[UTC]"), (utc + 1, Duration::from_secs(86_400)));
        assert_eq!(day("2026-11-24T00:00:00+08:00[Asia/Shanghai]").0, utc + 1);
        assert_eq!(day("2026-11-23T23:59:59+08:00[Asia/Shanghai]").0, utc);
    }

    #[test]
    fn a_day_may_have_23_or_25_hours() {
        assert_eq!(day("2026-03-29T00:00:00+01:00[Europe/Berlin]").1, Duration::from_secs(23 * 3600));
        assert_eq!(day("2026-10-25T00:00:00+02:00[Europe/Berlin]").1, Duration::from_secs(25 * 3600));
    }

    #[test]
    fn before_1970_is_day_0() {
        assert_eq!(day("1969-12-31T00:00:00Z[UTC]").0, 0);
    }
}
