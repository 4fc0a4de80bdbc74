//! Today and yesterday by hour, in the admin's time zone.
//!
//! Input: a moment, requests by hour. Output: [`Day`]s of 24 hours of the clock each: where clocks are put back an hour has
//! what both of that name had, where they are put forward one has nothing (`None`), and so have hours that are yet to come.

use std::collections::BTreeSet;

use coregate::control::flow::calendar::{Calendar, Hour, day_before};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

/// Hours of the clock.
const HOURS: usize = 24;

/// Requests of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Day {
    /// Which.
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// All of it, so far.
    pub requests: u64,
    /// By hour of the clock, 24; null: yet to come, or skipped as clocks were put forward.
    pub hours: Vec<Option<u64>>,
}

/// Today and yesterday.
#[derive(Debug, Clone)]
pub struct Days {
    today: Vec<Hour>,
    yesterday: Vec<Hour>,
    dates: [Date; 2],
    now: Timestamp,
}

impl Days {
    /// As they are at that moment.
    pub fn at(calendar: &Calendar, now: Timestamp) -> Self {
        let date = calendar.date(now);
        let dates = [date, day_before(date)];
        Self { today: calendar.hours_of(dates[0]), yesterday: calendar.hours_of(dates[1]), dates, now }
    }

    /// Today, then yesterday.
    pub fn dates(&self) -> [Date; 2] {
        self.dates
    }

    /// The hours of the clock of today and of yesterday that have begun.
    pub fn begun(&self) -> [BTreeSet<i8>; 2] {
        let begun =
            |hours: &[Hour]| hours.iter().filter(|it| it.began <= self.now).map(|it| it.hour).collect();
        [begun(&self.today), begun(&self.yesterday)]
    }

    /// When today began, in seconds since 1970.
    pub fn today_began(&self) -> i64 {
        self.today.first().map_or(0, |hour| hour.began.as_second())
    }

    /// The hour of the clock that is going on.
    pub fn hour(&self) -> usize {
        let hour = self.today.iter().rev().find(|hour| hour.began <= self.now);
        hour.and_then(|hour| usize::try_from(hour.hour).ok()).unwrap_or(0)
    }

    /// Sorts requests into hours. Each stands with the moment (seconds since 1970) that its hour began.
    pub fn sort(&self, counts: impl Iterator<Item = (i64, u64)>) -> [Day; 2] {
        let mut days = [&self.today, &self.yesterday].map(|hours| {
            let mut day = vec![None; HOURS];
            for hour in hours.iter().filter(|hour| hour.began <= self.now) {
                if let Some(at) = slot(&mut day, hour.hour) {
                    at.get_or_insert(0_u64);
                }
            }
            day
        });
        for (began, count) in counts {
            for (day, hours) in days.iter_mut().zip([&self.today, &self.yesterday]) {
                if let Some(hour) = hour_of(hours, began)
                    && let Some(at) = slot(day, hour)
                {
                    *at = Some(at.unwrap_or(0).saturating_add(count));
                }
            }
        }
        let [today, yesterday] = days;
        let day = |date, hours: Vec<Option<u64>>| Day { date, requests: hours.iter().flatten().sum(), hours };
        [day(self.dates[0], today), day(self.dates[1], yesterday)]
    }
}

fn slot(day: &mut [Option<u64>], hour: i8) -> Option<&mut Option<u64>> {
    usize::try_from(hour).ok().and_then(|hour| day.get_mut(hour))
}

/// The hour of the clock that a moment is in, if it is one of these.
fn hour_of(hours: &[Hour], at: i64) -> Option<i8> {
    let index = hours.partition_point(|hour| hour.began.as_second() <= at).checked_sub(1)?;
    let hour = hours.get(index)?;
    // The last one of the day has no other behind it.
    let is_last = index + 1 == hours.len();
    (!is_last || at < hour.began.as_second() + 3600).then_some(hour.hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn days(zone: &str, now: &str) -> Days {
        Days::at(&Calendar::new(zone), now.parse().unwrap())
    }

    #[test]
    fn hours_stand_where_the_clock_has_them() {
        let days = days("Asia/Shanghai", "2026-03-10T02:30:00Z");
        let [today, yesterday] = days.sort(
            [
                (second("2026-03-10T02:00:00Z"), 1),
                (second("2026-03-09T16:00:00Z"), 2),
                (second("2026-03-09T15:00:00Z"), 4),
                (second("2026-03-08T15:00:00Z"), 8),
            ]
            .into_iter(),
        );
        assert_eq!((today.date.to_string(), today.requests), ("2026-03-10".to_owned(), 3));
        assert_eq!((today.hours[10], today.hours[0], today.hours[11]), (Some(1), Some(2), None));
        assert_eq!((yesterday.requests, yesterday.hours[23], yesterday.hours[0]), (4, Some(4), Some(0)));
        assert_eq!((today.hours.len(), yesterday.hours.len(), days.hour()), (24, 24, 10));
    }

    #[test]
    fn clocks_that_are_changed_lose_nothing() {
        let back = days("Europe/Berlin", "2026-10-25T12:00:00Z");
        let hours = ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"].map(|at| (second(at), 3));
        let [today, _] = back.sort(hours.into_iter());
        assert_eq!((today.hours[2], today.requests), (Some(6), 6));
        let forward = days("Europe/Berlin", "2026-03-29T12:00:00Z");
        let [today, _] = forward.sort([(second("2026-03-29T01:00:00Z"), 5)].into_iter());
        assert_eq!((today.hours[2], today.hours[3]), (None, Some(5)));
    }

    #[test]
    fn an_engine_of_a_zone_with_other_hours_is_sorted_by_when_its_hours_began() {
        let days = days("UTC", "2026-03-10T02:59:00Z");
        let [today, _] = days.sort([(second("2026-03-10T01:30:00Z"), 7)].into_iter());
        assert_eq!(today.hours[1], Some(7));
        let [today, yesterday] = days.sort([(second("2026-03-11T00:00:00Z"), 7)].into_iter());
        assert_eq!((today.requests, yesterday.requests), (0, 0), "another day's");
    }
}
