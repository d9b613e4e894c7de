//! Why a text is no phone number.

use std::fmt;

/// Says that a text is no phone number, or no country code, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPhone {
    /// It is not written as E.164.
    #[error("expected + and 6 to 15 digits")]
    NotE164,
    /// It is more than digits with punctuation between them, or less.
    #[error("expected digits, with only spaces and punctuation between them")]
    NotANumber,
    /// It begins with a calling code that no country has.
    #[error("its calling code belongs to no country")]
    UnknownCountry,
    /// No number of its country has its length.
    #[error("{} for +{code}: {digits} digits after the country code, expected {lengths}", lengths.miss(*digits))]
    Length {
        /// The country's calling code.
        code: u32,
        /// Digits after it.
        digits: usize,
        /// How many there can be.
        lengths: Lengths,
    },
    /// It is shorter than any number.
    #[error("too short for a phone number")]
    TooShort,
    /// It is longer than any number.
    #[error("too long for a phone number")]
    TooLong,
    /// It is no country code.
    #[error("expected a country code: + and 1 to 4 digits, such as +91")]
    NotACountryCode,
}

/// The lengths that the national numbers of a country can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths(
    /// A bit for each.
    pub(super) u32,
);

impl Lengths {
    pub(super) const fn contains(self, length: usize) -> bool {
        length < 32 && self.0 & (1 << length) != 0
    }

    /// How a length that is none of them misses them.
    fn miss(self, length: usize) -> &'static str {
        match (self.iter().next(), self.iter().next_back()) {
            (Some(min), _) if length < min => "too short",
            (_, Some(max)) if length > max => "too long",
            _ => "wrong length",
        }
    }

    pub(super) fn iter(self) -> impl DoubleEndedIterator<Item = usize> {
        (0..32).filter(move |length| self.contains(*length))
    }
}

impl fmt::Display for Lengths {
    /// Runs of lengths, for example `4, 7 to 10`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for start in self.iter().filter(|length| *length == 0 || !self.contains(length - 1)) {
            let end = (start..).find(|length| !self.contains(length + 1)).unwrap_or(start);
            if end > start {
                write!(f, "{comma}{start} to {end}")?
            } else {
                write!(f, "{comma}{start}")?
            }
            comma = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a refusal says what is wrong with the length, and lengths are listed as people read them. Method: a table.
    #[test]
    fn lengths_are_listed_as_runs() {
        for (lengths, digits, text) in [
            (&[10][..], 9, "too short for +1: 9 digits after the country code, expected 10"),
            (&[4, 7, 8, 9], 6, "wrong length for +1: 6 digits after the country code, expected 4, 7 to 9"),
            (&[5, 6, 8, 10, 11], 12, "too long for +1: 12 digits after the country code, expected 5 to 6, 8, 10 to 11"),
        ] {
            let lengths = Lengths(lengths.iter().fold(0, |bits, length| bits | 1 << length));
            assert_eq!(InvalidPhone::Length { code: 1, digits, lengths }.to_string(), text);
        }
    }
}
