//! Phone numbers: E.164, the identity by which people know each other.

mod invalid;
mod marks;
#[cfg(feature = "store")]
mod numbering;
#[cfg(feature = "store")]
mod written;

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::invalid::{InvalidPhone, Lengths};
#[cfg(feature = "store")]
pub(crate) use self::written::respelled;
#[cfg(feature = "store")]
pub use self::written::{WrittenPhone, beginning, prepare};

/// Digits of an E.164 number, the country code included. The shortest that there are have six.
const DIGITS: std::ops::RangeInclusive<usize> = 6..=15;

/// A country calling code such as `+91`: `+` and 1 to 4 digits, the first not 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountryCode(String);

impl CountryCode {
    /// The code with its `+`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The calling code that it begins with: an area's digits may follow, as in `+1246`.
    #[cfg(feature = "store")]
    fn calling_code(&self) -> &str {
        &self.0[..=country_code_len(&self.0[1..])]
    }
}

impl Default for CountryCode {
    fn default() -> Self {
        Self("+91".into())
    }
}

impl FromStr for CountryCode {
    type Err = InvalidPhone;

    /// Reads a code with what phones may have in them: separators, marks that cannot be seen, digits of full width. Digits of other
    /// scripts are read where the phone library is, which is with the feature `store`.
    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        let shown = text.chars().filter_map(marks::shown).filter(|c| !matches!(c, ' ' | '-'));
        #[cfg(feature = "store")]
        let shown = shown.map(written::ascii_digit);
        let text: String = shown.collect();
        // It is dialled as 00 91 or written as +91.
        let digits = text.strip_prefix('+').or_else(|| text.strip_prefix("00")).unwrap_or(&text);
        let valid = (1..=4).contains(&digits.len()) && all_digits(digits) && !digits.starts_with('0');
        if valid { Ok(Self(format!("+{digits}"))) } else { Err(InvalidPhone::NotACountryCode) }
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An E.164 phone number: `+`, a country code that does not begin with 0, 6 to 15 digits in all.
///
/// It says nothing of whether its country has such numbers: users of older versions may have some that it has not.
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

    /// The same number as one of an area that is written as part of `code`, if it is one.
    #[cfg(feature = "store")]
    fn split_after(self, code: &CountryCode) -> Self {
        let national_at = if self.e164.starts_with(code.as_str()) { code.0.len() } else { self.national_at };
        Self { national_at, ..self }
    }

    /// The country code, by which a national number that this phone's owner types is completed.
    #[must_use]
    pub fn country_code(&self) -> CountryCode {
        CountryCode(self.e164[..self.national_at].into())
    }
}

impl FromStr for Phone {
    type Err = InvalidPhone;

    /// Reads a number that must begin with `+`; spaces, dashes and round brackets are dropped.
    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        let e164 = without_separators(text);
        let digits = e164.strip_prefix('+').ok_or(InvalidPhone::NotE164)?;
        let valid = DIGITS.contains(&digits.len()) && all_digits(digits) && !digits.starts_with('0');
        let national_at = 1 + country_code_len(digits);
        if valid { Ok(Self { e164, national_at }) } else { Err(InvalidPhone::NotE164) }
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
        // E.164 is ASCII, and as long as both ends together at least. Of the shortest less is shown.
        let shown = if self.e164.len() < 9 { 2 } else { 4 };
        let (begin, end) = (&self.e164[..3], &self.e164[self.e164.len() - shown..]);
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

    /// Goal: a number with `+` is taken for what it is, and split at the country code. Method: a table.
    #[test]
    fn reads_e164() {
        for (text, e164, national) in [
            ("+919876543210", "+919876543210", "9876543210"),
            ("+91 98765-43210", "+919876543210", "9876543210"),
            ("+1 (415) 555-0100", "+14155550100", "4155550100"),
            ("+35312345678", "+35312345678", "12345678"),
            ("+79161234567", "+79161234567", "9161234567"),
            // Stored by versions that knew nothing of lengths.
            ("+9109876543210", "+9109876543210", "09876543210"),
            ("+491234", "+491234", "1234"),
            ("+123456789012345", "+123456789012345", "23456789012345"),
        ] {
            let phone: Phone = text.parse().unwrap();
            assert_eq!((phone.as_str(), phone.national()), (e164, national), "{text}");
        }
        for bad in [
            "",
            "+",
            "abc",
            "+91abc",
            "+12345",
            "+1234567890123456",
            "+0123456789",
            "++919876543210",
            "9876543210",
            "+९१९८७६५४३२१०",
        ] {
            assert_eq!(bad.parse::<Phone>(), Err(InvalidPhone::NotE164), "{bad}");
        }
    }

    /// Goal: country codes are read as people write them. Method: a table, and what is none.
    #[test]
    fn reads_country_codes() {
        for (text, code) in [
            ("+91", "+91"),
            ("91", "+91"),
            ("00 91", "+91"),
            (" (+1) ", "+1"),
            ("+1 246", "+1246"),
            ("＋91", "+91"),
            ("+９１", "+91"),
            ("+\u{200e}91", "+91"),
            ("\u{a0}+91\u{a0}", "+91"),
            ("[+91]", "+91"),
        ] {
            assert_eq!(text.parse::<CountryCode>().unwrap().as_str(), code, "{text}");
        }
        #[cfg(feature = "store")]
        assert_eq!("+९१".parse::<CountryCode>().unwrap().as_str(), "+91");
        for bad in ["", "+", "+0", "91a", "+9½", "९a", "+91,", "+12345", "IN", "India"] {
            assert_eq!(bad.parse::<CountryCode>(), Err(InvalidPhone::NotACountryCode), "{bad}");
        }
    }

    /// Goal: a phone that gets into a log by `{:?}` is masked. Method: the shortest and an ordinary one.
    #[test]
    fn debug_shows_the_ends_alone() {
        for (text, masked) in [("+123456", "+12…56"), ("+12345678", "+12…5678"), ("+919876543210", "+91…3210")] {
            assert_eq!(format!("{:?}", text.parse::<Phone>().unwrap()), masked);
        }
    }
}
