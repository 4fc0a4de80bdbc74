//! Durations and sizes as they are written: `"250ms"`, `"16KiB"`.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::path::At;
use crate::read::{Kind, Read, wrong_kind};
use crate::report::Problems;
use crate::tree::{Node, Value};

/// Units of time in milliseconds, largest first.
const TIME_UNITS: &[(&str, u64)] =
    &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size in bytes, largest first.
const SIZE_UNITS: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A duration in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub Duration);

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

impl Time {
    /// Whole seconds, for defaults.
    pub const fn seconds(seconds: u64) -> Self {
        Time(Duration::from_secs(seconds))
    }
}

impl Size {
    /// Units of 1024 bytes, for defaults.
    pub const fn kib(kib: u64) -> Self {
        Size(kib << 10)
    }

    /// Units of 1024 x 1024 bytes, for defaults.
    pub const fn mib(mib: u64) -> Self {
        Size(mib << 20)
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        f.write_str(&format_units(millis, TIME_UNITS, "s"))
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&format_units(self.0, SIZE_UNITS, "B"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Read for Time {
    fn read(node: &Node, at: &At, problems: &mut Problems) -> Self {
        let expected = "a duration: a whole number and one of ms, s, m, h, d, such as \"250ms\" or \"10s\"";
        match &node.value {
            Value::String(text) => match parse_units(text, TIME_UNITS) {
                Some(millis) => Time(Duration::from_millis(millis)),
                None => {
                    problems.unread(at, format!("must be {expected}"));
                    Time::default()
                }
            },
            // The usual slip deserves the exact answer.
            Value::Integer(number @ 0..) => {
                problems.unread(at, format!("has no unit; for seconds write \"{number}s\""));
                Time::default()
            }
            _ => wrong_kind(expected, node, at, problems),
        }
    }

    fn describe() -> Kind {
        Kind::Scalar("duration")
    }
}

impl Read for Size {
    fn read(node: &Node, at: &At, problems: &mut Problems) -> Self {
        let expected =
            "a size: a whole number and one of B, KiB, MiB, GiB, such as \"16KiB\", or a number of bytes";
        match &node.value {
            Value::String(text) => match parse_units(text, SIZE_UNITS) {
                Some(bytes) => Size(bytes),
                None => {
                    problems.unread(at, format!("must be {expected}"));
                    Size::default()
                }
            },
            Value::Integer(bytes) if *bytes >= 0 => Size(bytes.unsigned_abs()),
            _ => wrong_kind(expected, node, at, problems),
        }
    }

    fn describe() -> Kind {
        Kind::Scalar("size")
    }
}

/// Digits directly followed by a unit; `None` for anything else and for what does not fit.
fn parse_units(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(digits_end)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// In the largest unit that keeps it whole.
fn format_units(amount: u64, units: &[(&str, u64)], unit_of_zero: &str) -> String {
    match units.iter().find(|(_, factor)| amount != 0 && amount.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", amount / factor),
        None => format!("0{unit_of_zero}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_written() {
        for (text, millis) in [("250ms", 250), ("10s", 10_000), ("90s", 90_000), ("2m", 120_000), ("0s", 0)] {
            assert_eq!(parse_units(text, TIME_UNITS), Some(millis), "{text}");
            assert_eq!(Time(Duration::from_millis(millis)).to_string(), text);
        }
        for (text, bytes) in [("1023B", 1023), ("16KiB", 16 << 10), ("64MiB", 64 << 20), ("3GiB", 3 << 30)] {
            assert_eq!(parse_units(text, SIZE_UNITS), Some(bytes), "{text}");
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_number_and_a_unit_is_refused() {
        for text in
            ["", "s", "10", "10 s", " 10s", "-1s", "+1s", "1.5s", "10sec", "10S", "99999999999999999999s"]
        {
            assert_eq!(parse_units(text, TIME_UNITS), None, "{text:?}");
        }
        assert_eq!(parse_units("18446744073709551615h", TIME_UNITS), None, "does not fit");
        for text in ["16KB", "16k", "16kib", "KiB", "1e3B"] {
            assert_eq!(parse_units(text, SIZE_UNITS), None, "{text:?}");
        }
    }
}
