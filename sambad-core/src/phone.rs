//! Phone numbers: E.164, the identity by which people know each other.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits of an E.164 number, the country code included.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// Says that a text is no phone number (or country code) of the accepted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a phone number: expected + and 8 to 15 digits")]
pub struct InvalidPhone;

/// A country calling code such as `+91`: `+` and 1 to 4 digits, the first not 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountryCode(String);

impl CountryCode {
    /// The code with its `+`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CountryCode {
    fn default() -> Self {
        Self("+91".into())
    }
}

impl FromStr for CountryCode {
    type Err = InvalidPhone;

    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        let text = without_separators(text);
        let digits = text.strip_prefix('+').unwrap_or(&text);
        let valid = (1..=4).contains(&digits.len()) && all_digits(digits) && !digits.starts_with('0');
        if valid { Ok(Self(format!("+{digits}"))) } else { Err(InvalidPhone) }
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An E.164 phone number: `+`, a country code that does not begin with 0, 8 to 15 digits in all.
#[derive(Clone)]
pub struct Phone {
    e164: String,
    /// Where the national number begins. Two phones with the same digits are the same phone, however they were split.
    national_at: usize,
}

/// Whether this process logs phones in full; nothing is decided by it but what people read.
static SHOWN_IN_LOGS: AtomicBool = AtomicBool::new(false);

impl Phone {
    /// From now on `{:?}` of a phone is all of it, in this process; otherwise it is masked: `+91…3210`.
    pub fn show_in_logs() {
        SHOWN_IN_LOGS.store(true, Ordering::Relaxed);
    }

    /// Whether logs are to show phones in full.
    #[must_use]
    pub fn is_shown_in_logs() -> bool {
        SHOWN_IN_LOGS.load(Ordering::Relaxed)
    }

    /// Reads a number; without a leading `+` it is a national number of `default`'s country.
    ///
    /// Spaces, dashes and round brackets are dropped.
    ///
    /// # Errors
    /// When anything else is left, or the digits are too few or too many.
    pub fn parse(text: &str, default: &CountryCode) -> Result<Self, InvalidPhone> {
        let text = without_separators(text);
        let (e164, national_at) = match text.strip_prefix('+') {
            Some(digits) => (text.clone(), 1 + country_code_len(digits)),
            None => (format!("{default}{text}"), default.0.len()),
        };
        let digits = &e164[1..];
        let valid = DIGITS.contains(&digits.len()) && all_digits(digits) && !digits.starts_with('0');
        if valid { Ok(Self { e164, national_at }) } else { Err(InvalidPhone) }
    }

    /// The number with its `+`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.e164
    }

    /// The number without its country code.
    #[must_use]
    pub fn national(&self) -> &str {
        &self.e164[self.national_at..]
    }

    /// The country code, by which a national number that this phone's owner types is completed.
    #[must_use]
    pub fn country_code(&self) -> CountryCode {
        CountryCode(self.e164[..self.national_at].into())
    }
}

impl FromStr for Phone {
    type Err = InvalidPhone;

    /// Reads a number that must begin with `+`.
    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        if text.trim_start().starts_with('+') { Self::parse(text, &CountryCode::default()) } else { Err(InvalidPhone) }
    }
}

impl PartialEq for Phone {
    fn eq(&self, other: &Self) -> bool {
        self.e164 == other.e164
    }
}

impl Eq for Phone {}

impl std::hash::Hash for Phone {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.e164.hash(state);
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.e164)
    }
}

/// As logs may show it: its ends alone, unless [`Phone::show_in_logs`] was called.
impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if Self::is_shown_in_logs() {
            return f.write_str(&self.e164);
        }
        // E.164 is ASCII, and longer than both ends together.
        let (begin, end) = (&self.e164[..3], &self.e164[self.e164.len() - 4..]);
        write!(f, "{begin}…{end}")
    }
}

impl Serialize for Phone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.e164)
    }
}

impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn without_separators(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect()
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// Length of the country code that a number begins with; codes are prefix-free, so the digits alone tell.
///
/// Source: ITU-T E.164, list of assigned country codes: zones 1 and 7 have one digit, the codes below two, all others three.
fn country_code_len(digits: &str) -> usize {
    const TWO: [&str; 44] = [
        "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51", "52",
        "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90", "91", "92",
        "93", "94", "95", "98",
    ];
    let len = match digits.as_bytes() {
        [b'1' | b'7', ..] => 1,
        [_, _, ..] if digits.get(..2).is_some_and(|two| TWO.contains(&two)) => 2,
        _ => 3,
    };
    len.min(digits.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what people type becomes E.164, and is split at the country code. Method: a table.
    #[test]
    fn reads_what_people_type() {
        let india = CountryCode::default();
        for (typed, e164, national) in [
            ("+919876543210", "+919876543210", "9876543210"),
            ("+91 98765-43210", "+919876543210", "9876543210"),
            ("9876543210", "+919876543210", "9876543210"),
            ("+1 (415) 555-0100", "+14155550100", "4155550100"),
            ("+35312345678", "+35312345678", "12345678"),
            ("+79161234567", "+79161234567", "9161234567"),
        ] {
            let phone = Phone::parse(typed, &india).unwrap();
            assert_eq!((phone.as_str(), phone.national()), (e164, national), "{typed}");
        }
    }

    /// Goal: nothing else is a phone. Method: lengths on both sides of the bounds, letters, other scripts' digits.
    #[test]
    fn refuses_everything_else() {
        for bad in [
            "",
            "+",
            "abc",
            "+91abc",
            "+1234567",
            "+1234567890123456",
            "+0123456789",
            "++919876543210",
            "+91.9876543210",
            "+९१९८७६५४३२१०",
            "12345",
        ] {
            assert_eq!(Phone::parse(bad, &CountryCode::default()), Err(InvalidPhone), "{bad}");
        }
        assert!("+12345678".parse::<Phone>().is_ok());
        assert!("+123456789012345".parse::<Phone>().is_ok());
        assert_eq!("9876543210".parse::<Phone>(), Err(InvalidPhone));
    }

    /// Goal: an explicit country code wins over the table. Method: Barbados, which apps write +1246.
    #[test]
    fn an_explicit_country_code_is_kept() {
        let barbados: CountryCode = "1246".parse().unwrap();
        let phone = Phone::parse("2345678", &barbados).unwrap();
        assert_eq!((phone.as_str(), phone.national(), phone.country_code()), ("+12462345678", "2345678", barbados));
        for bad in ["", "+", "+0", "91a", "+12345"] {
            assert_eq!(bad.parse::<CountryCode>(), Err(InvalidPhone), "{bad}");
        }
    }

    /// Goal: a phone that gets into a log by `{:?}` is masked. Method: the shortest and an ordinary one.
    #[test]
    fn debug_shows_the_ends_alone() {
        for (text, masked) in [("+12345678", "+12…5678"), ("+919876543210", "+91…3210")] {
            assert_eq!(format!("{:?}", text.parse::<Phone>().unwrap()), masked);
        }
    }
}
