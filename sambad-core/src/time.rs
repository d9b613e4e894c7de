//! Instants as the contract writes them: RFC 3339, UTC, microseconds.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds of a UTC day.
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// An instant in microseconds since 1970-01-01T00:00:00Z, shown as `2025-01-15T12:00:00.000000Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `us` microseconds after 1970 began.
    #[must_use]
    pub const fn from_micros(us: i64) -> Self {
        Self(us)
    }

    /// Microseconds since 1970 began.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Reads the system clock.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// The UTC day this instant lies in.
    #[must_use]
    pub const fn day(self) -> Day {
        Day(self.0.div_euclid(DAY_US))
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The instant `duration` before this one.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The instant `duration` after this one.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    fn to_jiff(self) -> jiff::Timestamp {
        // Out of jiff's range (years -9999 to 9999) only if a database was tampered with.
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.to_jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(|at| Self(at.as_microsecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A UTC day, counted from 1970-01-01, shown as `2025-01-15`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// The day `number` days after 1970-01-01.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The day `days` before this one.
    #[must_use]
    pub const fn minus(self, days: i64) -> Self {
        Self(self.0 - days)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = Timestamp(self.0.saturating_mul(DAY_US)).to_jiff();
        start.to_zoned(jiff::tz::TimeZone::UTC).date().fmt(f)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        format!("{text}T00:00:00Z").parse::<Timestamp>().map(Timestamp::day).map_err(serde::de::Error::custom)
    }
}

/// Says that a text is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as 500ms, 10s, 5m, 12h or 30d")]
pub struct InvalidDuration;

/// Reads a whole number with its unit: `ms`, `s`, `m`, `h` or `d`; at most a hundred years.
///
/// # Errors
/// [`InvalidDuration`] for any other text.
pub fn duration(text: &str) -> Result<Duration, InvalidDuration> {
    const MAX: Duration = Duration::from_secs(100 * 366 * 86_400);
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(InvalidDuration)?;
    let (number, unit) = text.split_at(unit_at);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(InvalidDuration),
    };
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis)).ok_or(InvalidDuration)?;
    Some(Duration::from_millis(millis)).filter(|duration| *duration <= MAX).ok_or(InvalidDuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: lengths of time have a unit and a bound. Method: a table.
    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("0s", 0), ("30d", 30 * 86_400_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "10", "1.5s", "-1s", "1 s", "1w", "99999d", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(duration(bad), Err(InvalidDuration), "{bad}");
        }
    }

    /// Goal: the written form is fixed. Method: known instants, there and back.
    #[test]
    fn writes_and_reads_microseconds_and_z() {
        for (us, text) in [(0, "1970-01-01T00:00:00.000000Z"), (1_736_942_400_000_001, "2025-01-15T12:00:00.000001Z")] {
            assert_eq!(Timestamp::from_micros(us).to_string(), text);
            assert_eq!(text.parse::<Timestamp>().unwrap().as_micros(), us);
        }
    }

    /// Goal: days begin at midnight UTC, also before 1970. Method: instants on both sides of it.
    #[test]
    fn days_begin_at_midnight_utc() {
        let midnight = "2025-01-15T00:00:00Z".parse::<Timestamp>().unwrap();
        assert_eq!(midnight.day().to_string(), "2025-01-15");
        assert_eq!(Timestamp::from_micros(midnight.as_micros() - 1).day(), midnight.day().minus(1));
        assert_eq!(Timestamp::from_micros(-1).day().to_string(), "1969-12-31");
    }
}
