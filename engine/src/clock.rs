//! Time as the engine reads it: once a turn of a shard's driver, handed down as `now`.
//!
//! The one place that asks the operating system, so that everything else can be driven by a test.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Reads the monotonic clock (about 25 ns).
#[allow(clippy::disallowed_methods)]
pub fn read() -> Instant {
    Instant::now()
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
                let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                made.insert((now, date.into())).1.clone()
            }
        }
    }
}
