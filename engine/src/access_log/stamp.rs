//! The time in a line: rendered once a millisecond (JSON) or once a second (combined), not once a request.
//!
//! Input: the shard's monotonic `now`. Output: text. The wall clock is read once a second and counted on from there, so
//! that a clock that jumps is followed after a second. UTC always.

use std::time::{Duration, Instant};

use coregate_config::checked::AccessLogFormat;
use jiff::Timestamp;

/// How long the monotonic clock is believed to run as the wall clock does.
const ANCHOR_AGE_MAX: Duration = Duration::from_secs(1);

/// The time, as text.
pub struct Stamp {
    format: AccessLogFormat,
    anchor: Option<Anchor>,
    /// Milliseconds since the epoch that `text` shows.
    shown_ms: Option<i64>,
    text: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Anchor {
    at: Instant,
    wall_ms: i64,
}

/// The wall clock, in milliseconds since the epoch.
pub fn wall_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

impl Stamp {
    /// For that format.
    pub fn new(format: AccessLogFormat) -> Self {
        Self { format, anchor: None, shown_ms: None, text: Vec::new() }
    }

    /// The time at `now`; `wall_ms` is asked when the last answer is too old.
    pub fn at(&mut self, now: Instant, wall_ms: impl FnOnce() -> i64) -> &[u8] {
        let anchor = match self.anchor {
            Some(anchor) if now.saturating_duration_since(anchor.at) < ANCHOR_AGE_MAX => anchor,
            _ => *self.anchor.insert(Anchor { at: now, wall_ms: wall_ms() }),
        };
        // Less than a second, so it fits.
        let passed = now.saturating_duration_since(anchor.at).subsec_millis();
        let wall_ms = anchor.wall_ms.saturating_add(i64::from(passed));
        if self.shown_ms != Some(wall_ms) {
            self.show(wall_ms);
        }
        &self.text
    }

    fn show(&mut self, wall_ms: i64) {
        let second = |ms: i64| ms.div_euclid(1000);
        if self.shown_ms.map(second) != Some(second(wall_ms)) {
            let format = match self.format {
                AccessLogFormat::Json => "%Y-%m-%dT%H:%M:%S.000Z",
                AccessLogFormat::Combined => "%d/%b/%Y:%H:%M:%S +0000",
            };
            // Beyond the year 9999 there is no such text.
            let time = Timestamp::from_second(second(wall_ms)).unwrap_or(Timestamp::UNIX_EPOCH);
            self.text = time.strftime(format).to_string().into_bytes();
        }
        if self.format == AccessLogFormat::Json {
            let ms = wall_ms.rem_euclid(1000);
            let digits =
                [ms / 100, ms / 10 % 10, ms % 10].map(|digit| b'0' + u8::try_from(digit).unwrap_or(0));
            // Before the closing "Z".
            let end = self.text.len() - 1;
            self.text[end - 3..end].copy_from_slice(&digits);
        }
        self.shown_ms = Some(wall_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T07:02:24Z
    const WALL: i64 = 1_795_417_344_000;

    fn at(stamp: &mut Stamp, now: Instant, wall_ms: i64) -> String {
        String::from_utf8(stamp.at(now, || wall_ms).to_vec()).unwrap()
    }

    #[test]
    fn counts_on_from_the_anchor() {
        let start = crate::clock::read();
        let mut stamp = Stamp::new(AccessLogFormat::Json);
        assert_eq!(at(&mut stamp, start, WALL + 7), "2026-11-23T07:02:24.007Z");
        let later = |ms| start + Duration::from_millis(ms);
        assert_eq!(at(&mut stamp, later(1), 0), "2026-11-23T07:02:24.008Z", "the wall clock is not asked");
        assert_eq!(at(&mut stamp, later(999), 0), "2026-11-23T07:02:25.006Z");
        assert_eq!(at(&mut stamp, later(1), 0), "2026-11-23T07:02:24.008Z", "an older turn's time");
    }

    #[test]
    fn follows_a_clock_that_jumps() {
        let start = crate::clock::read();
        let mut stamp = Stamp::new(AccessLogFormat::Json);
        at(&mut stamp, start, WALL);
        assert_eq!(at(&mut stamp, start + ANCHOR_AGE_MAX, WALL - 3_600_000), "2026-11-23T06:02:24.000Z");
        assert_eq!(at(&mut stamp, start + 2 * ANCHOR_AGE_MAX, -1), "1969-12-31T23:59:59.999Z");
        assert_eq!(at(&mut stamp, start + 3 * ANCHOR_AGE_MAX, i64::MAX), "1970-01-01T00:00:00.807Z");
    }

    #[test]
    fn writes_the_date_of_logs() {
        let start = crate::clock::read();
        let mut stamp = Stamp::new(AccessLogFormat::Combined);
        assert_eq!(at(&mut stamp, start, WALL + 999), "23/Nov/2026:07:02:24 +0000");
        assert_eq!(at(&mut stamp, start + Duration::from_millis(1), 0), "23/Nov/2026:07:02:25 +0000");
    }
}
