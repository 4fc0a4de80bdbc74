//! Rates and bursts of token buckets.

use crate::checked::{LimitMode, Rate};
use crate::limits::RATE_MAX;
use crate::path::At;
use crate::raw;
use crate::report::Problems;

/// A bucket under the keys `requests_per_second` and `burst` of a table; the outer `None` is an error, the inner "off".
pub fn rate(requests_per_second: f64, burst: f64, at: &At, problems: &mut Problems) -> Option<Option<Rate>> {
    let rate = plain_rate(requests_per_second, &at.key("requests_per_second"), problems);
    let at_burst = at.key("burst");
    if burst != 0.0 && !(1.0..=RATE_MAX).contains(&burst) {
        problems.add(&at_burst, format!("must be 1 to {RATE_MAX:e}, or 0 for the same as the rate"));
        return None;
    }
    let rate = rate?;
    if burst != 0.0 && rate.is_none() && !problems.is_unread(&at.key("requests_per_second")) {
        problems.add(&at_burst, "needs requests_per_second, which is 0 (off)");
    }
    Some(rate.map(|requests_per_second| Rate {
        requests_per_second,
        // A bucket must hold at least the one token that a request takes.
        burst: if burst == 0.0 { requests_per_second.max(1.0) } else { burst },
    }))
}

/// A rate alone; the outer `None` is an error, the inner "off".
pub fn plain_rate(value: f64, at: &At, problems: &mut Problems) -> Option<Option<f64>> {
    // NaN is in no range.
    if !(0.0..=RATE_MAX).contains(&value) {
        problems.add(at, format!("must be above 0 and at most {RATE_MAX:e}, or 0 for off"));
        return None;
    }
    Some((value > 0.0).then_some(value))
}

/// What becomes of requests beyond a limit.
pub fn mode(raw: raw::LimitMode) -> LimitMode {
    match raw {
        raw::LimitMode::Enforce => LimitMode::Enforce,
        raw::LimitMode::Observe => LimitMode::Observe,
    }
}
