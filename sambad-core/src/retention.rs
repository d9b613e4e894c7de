//! How much of the event log is kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::Clock;
use crate::cursor::Seq;
use crate::time::{Timestamp, duration};

/// What an event takes on disk beside its data: its other columns and its entries in two indexes.
///
/// Measured with `dbstat` on a million events: 230 to 260 bytes, pages that are not quite full included.
const ROW_BYTES: u64 = 250;

/// How much of the event log is kept; older events are trimmed, rows of users, contacts and messages never.
///
/// A reader whose cursor lies before the first retained event is told to resync; none meets a silent hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// Everything.
    #[default]
    Forever,
    /// Events younger than this.
    Age(Duration),
    /// This many of the newest events.
    Events(u64),
    /// The newest events that together take about this many bytes of the database.
    Bytes(u64),
}

/// Says that a text is no retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as 30d, a number of events such as 10000000, a size such as 2GiB, or forever")]
pub struct InvalidRetention;

/// The log as a whole, as far as trimming depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) head: Seq,
    /// Bytes of the data of all stored events.
    pub(crate) data_bytes: u64,
    /// Stored events.
    pub(crate) events: u64,
}

/// One of the oldest events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Oldest {
    pub(crate) seq: Seq,
    pub(crate) created_at: Timestamp,
    pub(crate) data_bytes: u64,
}

/// An operator's word on the log's clock: events up to `seq` were committed before the instant `at`, whatever they say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reset {
    pub(crate) seq: Seq,
    pub(crate) at: Timestamp,
}

/// When an event was committed at the latest.
fn committed_at(event: &Oldest, resets: &[Reset]) -> Timestamp {
    let resets = resets.iter().filter(|reset| event.seq <= reset.seq).map(|reset| reset.at);
    resets.fold(event.created_at, Timestamp::min)
}

impl Retention {
    /// The instant from which age is counted, if that is what decides and it can be counted now.
    pub(crate) fn aged(self, clock: &Clock) -> Option<Timestamp> {
        if let Self::Age(age) = self { clock.aged(age) } else { None }
    }

    /// How many of `oldest`, the oldest events in their order, are no longer kept where age is counted from the instant `aged`:
    /// without it, nothing is old.
    pub(crate) fn expired(self, extent: Extent, oldest: &[Oldest], resets: &[Reset], aged: Option<Timestamp>) -> usize {
        match self {
            Self::Forever => 0,
            Self::Age(age) => {
                let Some(since) = aged.map(|aged| aged.minus(age)) else { return 0 };
                oldest.iter().take_while(|event| committed_at(event, resets) < since).count()
            }
            Self::Events(kept) => {
                let through = Seq(extent.head.0.saturating_sub(kept));
                oldest.iter().take_while(|event| event.seq <= through).count()
            }
            Self::Bytes(kept) => {
                let excess = (extent.data_bytes + extent.events * ROW_BYTES).saturating_sub(kept);
                with_bytes_before(oldest).take_while(|before| *before < excess).count()
            }
        }
    }
}

/// For each event, what those before it take.
fn with_bytes_before(oldest: &[Oldest]) -> impl Iterator<Item = u64> {
    oldest.iter().scan(0, |total, event| {
        let before = *total;
        *total += event.data_bytes + ROW_BYTES;
        Some(before)
    })
}

const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

impl FromStr for Retention {
    type Err = InvalidRetention;

    fn from_str(text: &str) -> Result<Self, InvalidRetention> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().ok().filter(|events| *events > 0).map(Self::Events).ok_or(InvalidRetention);
        }
        for (unit, bytes) in UNITS {
            if let Some(number) = text.strip_suffix(unit).filter(|number| number.bytes().all(|b| b.is_ascii_digit())) {
                let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(bytes));
                return bytes.filter(|bytes| *bytes > 0).map(Self::Bytes).ok_or(InvalidRetention);
            }
        }
        duration(text).ok().filter(|age| *age >= Duration::from_secs(1)).map(Self::Age).ok_or(InvalidRetention)
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::Age(age) if age.subsec_nanos() == 0 => write!(f, "{}s", age.as_secs()),
            Self::Age(age) => write!(f, "{}ms", age.as_millis()),
            Self::Events(events) => write!(f, "{events}"),
            Self::Bytes(bytes) => write!(f, "{}KiB", bytes.div_ceil(1 << 10)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each form is read, everything else refused. Method: a table.
    #[test]
    fn reads_times_counts_and_sizes() {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        for (text, retention) in [
            ("forever", Ok(Retention::Forever)),
            ("30d", Ok(Retention::Age(days(30)))),
            ("1500ms", Ok(Retention::Age(Duration::from_millis(1500)))),
            ("90s", Ok(Retention::Age(Duration::from_secs(90)))),
            ("10000000", Ok(Retention::Events(10_000_000))),
            ("2GiB", Ok(Retention::Bytes(2 << 30))),
            ("1KiB", Ok(Retention::Bytes(1024))),
        ] {
            assert_eq!(text.parse::<Retention>(), retention, "{text}");
            assert_eq!(retention.map(|retention| retention.to_string().parse()), Ok(retention), "{text} is shown as what it is");
        }
        for bad in
            ["", "0", "0d", "-1", "1.5d", "10ms", "2GB", "GiB", "0MiB", "99999999999TiB", "30 days", "99999999999999999999"]
        {
            assert_eq!(bad.parse::<Retention>(), Err(InvalidRetention), "{bad}");
        }
    }

    /// Goal: exactly what is not kept goes, the oldest first. Method: ten events of 100 bytes, a second apart; each policy
    /// around its bound.
    #[test]
    fn only_what_is_not_kept_expires() {
        let second = |n: u64| Timestamp::from_micros(i64::try_from(n * 1_000_000).unwrap());
        let oldest: Vec<Oldest> = (1..=10).map(|n| Oldest { seq: Seq(n), created_at: second(n), data_bytes: 100 }).collect();
        let extent = Extent { head: Seq(10), data_bytes: 1000, events: 10 };
        let each = 100 + ROW_BYTES;
        for (retention, expired) in [
            (Retention::Forever, 0),
            (Retention::Events(10), 0),
            (Retention::Events(7), 3),
            (Retention::Events(99), 0),
            (Retention::Age(Duration::from_secs(10)), 0),
            (Retention::Age(Duration::from_secs(4)), 6),
            (Retention::Bytes(10 * each), 0),
            (Retention::Bytes(10 * each - 1), 1),
            (Retention::Bytes(each), 9),
            (Retention::Bytes(1), 10),
        ] {
            assert_eq!(retention.expired(extent, &oldest, &[], Some(second(11))), expired, "{retention}");
        }
        let age = Retention::Age(Duration::from_secs(4));
        assert_eq!(age.expired(extent, &oldest, &[], None), 0, "nothing is old by a clock that is not trusted");
    }

    /// Goal: events that a wrong clock stamped grow old once an operator has said when they were committed at the latest. Method:
    /// ten events of the far future, some of them before a reset.
    #[test]
    fn a_reset_lets_events_of_the_future_grow_old() {
        let second = |n: i64| Timestamp::from_micros(n * 1_000_000);
        let oldest: Vec<Oldest> =
            (1..=10).map(|n| Oldest { seq: Seq(n), created_at: second(1_000_000), data_bytes: 100 }).collect();
        let extent = Extent { head: Seq(10), data_bytes: 1000, events: 10 };
        let resets = [Reset { seq: Seq(3), at: second(20) }, Reset { seq: Seq(7), at: second(10) }];
        for (now, expired) in [(14, 0), (15, 7), (999_999, 7)] {
            let found = Retention::Age(Duration::from_secs(4)).expired(extent, &oldest, &resets, Some(second(now)));
            assert_eq!(found, expired, "at second {now}");
        }
    }
}
