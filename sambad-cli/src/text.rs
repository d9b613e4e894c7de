//! Text for people: times in their zone, strangers' words made harmless.

use std::fmt::Write;

use jiff::Zoned;
use jiff::tz::TimeZone;
use sambad_client::{Timestamp, is_deceptive};

/// Characters of a message or of unknown data shown on one line.
const EXCERPT_CHARS: usize = 100;

/// Replaces what would move the cursor, colour the terminal or hide text: other people wrote it.
pub(crate) fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) {
            let _ = write!(clean, "{}", c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// The beginning of a text, on one line.
pub(crate) fn excerpt(text: &str) -> String {
    let mut chars = text.chars();
    let begin: String = chars.by_ref().take(EXCERPT_CHARS).collect();
    let rest = if chars.next().is_some() { "…" } else { "" };
    format!("{}{rest}", harmless(&begin))
}

/// An instant in the local time zone.
#[derive(Debug)]
pub(crate) struct Local(Zoned);

impl Local {
    pub(crate) fn of(at: Timestamp) -> Self {
        let at = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default();
        Self(at.to_zoned(TimeZone::system()))
    }

    /// Date and time to the second.
    pub(crate) fn date_time(&self) -> String {
        self.0.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// Time to the millisecond, with the date unless it is today.
    pub(crate) fn brief(&self) -> String {
        let today = self.0.date() == Zoned::now().date();
        self.0.strftime(if today { "%H:%M:%S%.3f" } else { "%Y-%m-%d %H:%M:%S%.3f" }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: nobody's message takes over a terminal. Method: escapes, line ends, overrides; and what must stay.
    #[test]
    fn strangers_words_are_harmless() {
        for (text, shown) in [
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("a\nb\tc", "a\\nb\\tc"),
            ("abc\u{202e}fed", "abc\\u{202e}fed"),
            ("\u{9b}31m\u{feff}\u{61c}\u{200b}", "\\u{9b}31m\\u{feff}\\u{61c}\\u{200b}"),
            ("क्\u{200d}ष", "क्\u{200d}ष"),
            ("नमस्ते 👋 \"ok\"", "नमस्ते 👋 \"ok\""),
        ] {
            assert_eq!(harmless(text), shown);
        }
        assert_eq!(excerpt(&"x".repeat(101)), format!("{}…", "x".repeat(100)));
        assert_eq!(excerpt(&"x".repeat(100)), "x".repeat(100));
    }
}
