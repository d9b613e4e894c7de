//! Positions in the event log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Position of an event in the log: 1, 2, 3, … without holes, in commit order; 0 is before the first.
///
/// What is read from a text or from JSON is at most 2⁶³ − 1, which is what a database's column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Seq(pub u64);

/// Says that a number is beyond every log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a seq: expected 0 to 9223372036854775807")]
pub struct InvalidSeq;

impl TryFrom<u64> for Seq {
    type Error = InvalidSeq;

    fn try_from(number: u64) -> Result<Self, InvalidSeq> {
        if number <= i64::MAX.unsigned_abs() { Ok(Self(number)) } else { Err(InvalidSeq) }
    }
}

impl From<Seq> for u64 {
    fn from(seq: Seq) -> Self {
        seq.0
    }
}

impl Seq {
    /// The position before the first event.
    pub const ZERO: Self = Self(0);

    /// The position of the event after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position of the event before this one; `ZERO` stays `ZERO`.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of one life of the log, made with the database; shown as 8 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// "I have everything up to and including `seq` of the log `epoch`"; shown as `9f3a01c7-1042`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The log's life.
    pub epoch: Epoch,
    /// The last position processed: an exclusive lower bound on what comes next.
    pub seq: Seq,
}

/// Says that a text is neither a cursor nor, where one may stand, a seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of the form 9f3a01c7-1042")]
pub struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (epoch, seq) = text.split_once('-').ok_or(InvalidCursor)?;
        let lower_hex = epoch.len() == 8 && epoch.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !lower_hex {
            return Err(InvalidCursor);
        }
        let epoch = u32::from_str_radix(epoch, 16).map_err(|_| InvalidCursor)?;
        Ok(Self { epoch: Epoch(epoch), seq: parse_seq(seq)? })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a reader asks to begin: a cursor, or a bare seq of whatever life the log is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Everything after this position, if the log is still of that epoch.
    Cursor(Cursor),
    /// Everything after this position, without a check of the epoch; 0 is the whole stored log.
    Seq(Seq),
}

impl FromStr for After {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if text.contains('-') { text.parse().map(Self::Cursor) } else { parse_seq(text).map(Self::Seq) }
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cursor(cursor) => cursor.fmt(f),
            Self::Seq(seq) => seq.fmt(f),
        }
    }
}

impl From<Cursor> for After {
    fn from(cursor: Cursor) -> Self {
        Self::Cursor(cursor)
    }
}

/// Reads digits only (no sign, no zero before others), up to what a signed 64-bit column holds.
fn parse_seq(text: &str) -> Result<Seq, InvalidCursor> {
    let one_spelling = text == "0" || !text.starts_with('0');
    if text.is_empty() || !one_spelling || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidCursor);
    }
    text.parse().ok().and_then(|seq: u64| seq.try_into().ok()).ok_or(InvalidCursor)
}

/// What part of the log can be read: its identity and both its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// The log's life.
    pub epoch: Epoch,
    /// Lowest seq still stored; `head + 1` when none is.
    pub first: Seq,
    /// Highest committed seq; 0 when none is.
    pub head: Seq,
}

/// Why a position cannot be served; the reader reloads its state and goes on from the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ResyncReason {
    /// Events right after the cursor are no longer stored.
    CursorExpired,
    /// The cursor belongs to another life of the log.
    EpochChanged,
    /// The cursor lies beyond the head.
    CursorAhead,
}

impl ResyncReason {
    /// The stable name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CursorExpired => "cursor_expired",
            Self::EpochChanged => "epoch_changed",
            Self::CursorAhead => "cursor_ahead",
        }
    }
}

impl LogBounds {
    /// The cursor of the head.
    #[must_use]
    pub const fn head_cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.head }
    }

    /// Finds the seq after which a reader that asks for `after` continues.
    ///
    /// # Errors
    /// The reason, when that position cannot be served without a hole.
    pub fn locate(&self, after: After) -> Result<Seq, ResyncReason> {
        let seq = match after {
            After::Seq(Seq::ZERO) => return Ok(self.first.prev()),
            After::Seq(seq) => seq,
            After::Cursor(cursor) if cursor.epoch != self.epoch => return Err(ResyncReason::EpochChanged),
            After::Cursor(cursor) => cursor.seq,
        };
        if seq > self.head {
            Err(ResyncReason::CursorAhead)
        } else if seq.next() < self.first {
            Err(ResyncReason::CursorExpired)
        } else {
            Ok(seq)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a cursor has exactly one spelling. Method: good ones there and back, bad ones refused.
    #[test]
    fn cursors_have_one_spelling() {
        let cursor: Cursor = "9f3a01c7-1042".parse().unwrap();
        assert_eq!(cursor, Cursor { epoch: Epoch(0x9f3a_01c7), seq: Seq(1042) });
        assert_eq!(cursor.to_string(), "9f3a01c7-1042");
        for bad in [
            "",
            "-",
            "9f3a01c7-",
            "9F3A01C7-1",
            "9f3a01c-1",
            "9f3a01c7-+1",
            "9f3a01c7--1",
            "9f3a01c7-99999999999999999999",
            "9f3a01c7-9223372036854775808",
            "9f3a01c7-01042",
            "9f3a01c7-00",
            "007",
            "garbage",
            "-1",
            "+1",
            "1.5",
        ] {
            assert_eq!(bad.parse::<After>(), Err(InvalidCursor), "{bad}");
        }
        assert_eq!("17".parse::<After>(), Ok(After::Seq(Seq(17))));
        assert_eq!("0".parse::<After>(), Ok(After::Seq(Seq(0))));
        assert_eq!(serde_json::from_str("9223372036854775807").ok(), Some(Seq(i64::MAX.unsigned_abs())));
        assert!(serde_json::from_str::<Seq>("9223372036854775808").is_err());
    }

    /// Goal: a reader is let in exactly where nothing is missing. Method: both ends of a trimmed log.
    #[test]
    fn locates_only_what_has_no_hole() {
        let log = LogBounds { epoch: Epoch(1), first: Seq(10), head: Seq(20) };
        let at = |epoch, seq| log.locate(After::Cursor(Cursor { epoch: Epoch(epoch), seq: Seq(seq) }));
        assert_eq!(at(1, 9), Ok(Seq(9)));
        assert_eq!(at(1, 20), Ok(Seq(20)));
        assert_eq!(at(1, 8), Err(ResyncReason::CursorExpired));
        assert_eq!(at(1, 0), Err(ResyncReason::CursorExpired));
        assert_eq!(at(1, 21), Err(ResyncReason::CursorAhead));
        assert_eq!(at(2, 15), Err(ResyncReason::EpochChanged));
        assert_eq!(log.locate(After::Seq(Seq(0))), Ok(Seq(9)));
        assert_eq!(log.locate(After::Seq(Seq(5))), Err(ResyncReason::CursorExpired));
    }

    /// Goal: an empty log serves its only position. Method: a fresh log.
    #[test]
    fn an_empty_log_starts_at_zero() {
        let log = LogBounds { epoch: Epoch(1), first: Seq(1), head: Seq(0) };
        assert_eq!(log.locate(After::Seq(Seq(0))), Ok(Seq(0)));
        assert_eq!(log.locate(After::Cursor(log.head_cursor())), Ok(Seq(0)));
        assert_eq!(log.locate(After::Seq(Seq(1))), Err(ResyncReason::CursorAhead));
    }
}
