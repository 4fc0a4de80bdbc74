//! Flow figures out of Redis: what all engines have written there, whichever admin they report to.
//!
//! The keys are those that engines write ([`Names`]), so an admin must have the engines' key prefix and time zone.

use std::collections::BTreeSet;
use std::time::Duration;

use coregate::control::flow::ledger::{Key, Subject};
use coregate::control::flow::script::Names;
use coregate::control::redis::{Address, Call, Failure, Redis, Refused, Reply};
use jiff::civil::Date;

use super::days::{Day, Days};

/// Reads counters.
pub struct Counters {
    redis: Redis,
    names: Names,
}

impl Counters {
    /// Connects in the background, for ever.
    ///
    /// # Errors
    /// The URL makes no sense.
    pub fn start(url: &str, key_prefix: &str) -> Result<Self, String> {
        let redis = Redis::start(Address::parse(url)?);
        // Nothing is written, so whose the keys are and how long they are kept does not matter.
        Ok(Self { redis, names: Names::new(key_prefix, "", "", Duration::ZERO, false) })
    }

    /// Today and yesterday of a subject.
    ///
    /// # Errors
    /// Redis cannot be asked.
    pub async fn days(&self, subject: &Subject, days: &Days) -> Result<[Day; 2], Failure> {
        let asked: Vec<(Date, BTreeSet<i8>)> = days.dates().into_iter().zip(days.begun()).collect();
        let mut calls = Vec::new();
        for (date, hours) in &asked {
            calls.push(self.get(&Key::Day(*date, subject.clone())));
            calls.extend(hours.iter().map(|hour| self.get(&Key::Hour(*date, *hour, subject.clone()))));
        }
        let answers = self.redis.run(calls).await?;
        let mut answers = answers.iter();
        let [mut today, mut yesterday] = days.sort(std::iter::empty());
        for (day, (_, hours)) in [&mut today, &mut yesterday].into_iter().zip(&asked) {
            day.requests = number(answers.next());
            for hour in hours {
                let count = number(answers.next());
                if let Some(at) = usize::try_from(*hour).ok().and_then(|hour| day.hours.get_mut(hour)) {
                    *at = Some(count);
                }
            }
        }
        Ok([today, yesterday])
    }

    /// Requests of today of each of some subjects.
    ///
    /// # Errors
    /// Redis cannot be asked.
    pub async fn today(&self, subjects: &[Subject], days: &Days) -> Result<Vec<u64>, Failure> {
        let [today, _] = days.dates();
        let calls = subjects.iter().map(|subject| self.get(&Key::Day(today, subject.clone()))).collect();
        let answers = self.redis.run(calls).await?;
        Ok(subjects.iter().enumerate().map(|(index, _)| number(answers.get(index))).collect())
    }

    fn get(&self, key: &Key) -> Call {
        Call::command("GET", vec![self.names.key(key)], Vec::new())
    }
}

/// A key that is not there, or of another type, counts nothing.
fn number(answer: Option<&Result<Reply, Refused>>) -> u64 {
    answer.and_then(|answer| answer.as_ref().ok()?.as_u64()).unwrap_or(0)
}
