//! What the phone library knows of each country calling code, kept so that a number that is written canonically needs no library.

use std::sync::OnceLock;

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, ValidationError};

use super::DIGITS;
use super::invalid::{InvalidPhone, Lengths};

/// Calling codes have one to three digits.
const CALLING_CODES: usize = 1000;

/// What a national number is tried with behind each first digit: the library judges some by their other digits.
const FILLERS: [&str; 2] = ["22222222222222222", "98765432109876543"];

/// What follows the first digit of longer prefixes: of Luxembourg's carriers (15555), Brazil's (90), and of Australia's 1831.
const REST_OF_PREFIXES: [&str; 3] = ["55555555555555555", "00000000000000000", "83122222222222222"];

/// The numbers of a calling code.
#[derive(Debug)]
pub(super) struct Numbering {
    lengths: Lengths,
    /// A bit for each first digit of a national number with which the library may read another number than is written: the
    /// digits that are dialled before national numbers only, such as 0, and what is left of older numbering plans.
    rewritten: u16,
    /// A bit for each first digit with which international numbers may be dialled there, as far as they are known.
    international: OnceLock<u16>,
}

impl Numbering {
    /// The numbering of a calling code; `None` where no country has it. The library is asked when a code is first met, which
    /// takes about a millisecond.
    pub(super) fn of(code: usize) -> Option<&'static Self> {
        static NUMBERINGS: [OnceLock<Option<Numbering>>; CALLING_CODES] = [const { OnceLock::new() }; CALLING_CODES];
        NUMBERINGS.get(code)?.get_or_init(|| Self::ask(code)).as_ref()
    }

    /// Whether `+`, the calling code and these national digits are certainly read as what they are: the library changes nothing, and they
    /// are not the calling code once more before a number.
    pub(super) fn is_canonical(&self, code: &str, national: &str) -> bool {
        let Some(first) = national.bytes().next() else { return false };
        let repeats_code =
            || national.strip_prefix(code).is_some_and(|rest| self.lengths.iter().any(|length| length <= rest.len()));
        self.lengths.contains(national.len()) && self.rewritten & (1 << (first - b'0')) == 0 && !repeats_code()
    }

    /// Whether the library reads these digits, as they are dialled in the country of `code`, as the national number that they are.
    pub(super) fn is_national(&self, code: &str, digits: &str) -> bool {
        let first = |bits: u16| digits.bytes().next().is_some_and(|first| bits & (1 << (first - b'0')) != 0);
        self.is_canonical(code, digits) && !first(*self.international.get_or_init(|| international(code)))
    }

    /// Digits of its longest national numbers.
    pub(super) fn longest(&self) -> usize {
        self.lengths.iter().next_back().unwrap_or_default()
    }

    fn ask(code: usize) -> Option<Self> {
        let country_code = i32::try_from(code).ok()?;
        let digits_max = DIGITS.end() - code.to_string().len();
        let mut lengths = 0;
        for length in 1..=digits_max {
            let national_number = 10_u64.pow(u32::try_from(length - 1).ok()?);
            let number = PhoneNumber { country_code, national_number, ..PhoneNumber::default() };
            match PHONE_NUMBER_UTIL.is_possible_number_with_reason(&number) {
                Ok(NumberLengthType::IsPossible) => lengths |= 1 << length,
                Err(ValidationError::InvalidCountryCode) => return None,
                _ => {}
            }
        }
        let lengths = Lengths(lengths);
        let rewritten = (0..10).filter(|first| rewrites(code, *first, lengths)).fold(0, |bits, first| bits | 1 << first);
        Some(Self { lengths, rewritten, international: OnceLock::new() })
    }
}

/// Whether the library reads a number of `code` with this first national digit as another. Longer numbers than there are show
/// each prefix: the library keeps the digits of one only where a number of the country begins so. A 0 is dialled before numbers of most.
fn rewrites(code: usize, first: u8, lengths: Lengths) -> bool {
    let is_rewritten = |length: usize, filler: &str| {
        let written = format!("+{code}{first}{}", &filler[..(length - 1).min(filler.len())]);
        let read = PHONE_NUMBER_UTIL.parse(&written, None);
        read.is_ok_and(|number| PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164) != written)
    };
    let longer = lengths.iter().next_back().map_or(1, |longest| longest + 1);
    first == 0
        || lengths.iter().chain([longer]).any(|length| FILLERS.iter().any(|filler| is_rewritten(length, filler)))
        || REST_OF_PREFIXES.iter().any(|filler| is_rewritten(longer, filler))
}

/// The first digits with which numbers of other countries are dialled in the country of `code`: each beginning of three digits is
/// tried before such a number. Longer prefixes than that begin with 0, or with what no number begins with.
fn international(code: &str) -> u16 {
    let region = code.parse().ok().and_then(|code| PHONE_NUMBER_UTIL.get_region_for_country_code(code));
    let (elsewhere, number) = if code == "1" { (91, "919876543210") } else { (1, "14155550100") };
    let dials = |beginning: &u16| {
        let read = PHONE_NUMBER_UTIL.parse(format!("{beginning}{number}"), region);
        read.is_ok_and(|number| number.country_code == elsewhere)
    };
    (100..1000).filter(dials).fold(1, |bits, beginning| bits | 1 << (beginning / 100))
}

/// The lengths of a number's country, and why `number` has none of them; `None` if it has one.
pub(super) fn wrong_length(number: &PhoneNumber, national: &str) -> Option<InvalidPhone> {
    let Some(numbering) = usize::try_from(number.country_code).ok().and_then(Numbering::of) else {
        return Some(InvalidPhone::UnknownCountry);
    };
    if numbering.lengths.contains(national.len()) {
        return None;
    }
    let lengths = numbering.lengths;
    Some(InvalidPhone::Length { code: number.country_code.unsigned_abs(), digits: national.len(), lengths })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::country_code_len;

    /// Goal: the split of a number agrees with the library's list of calling codes, and each code has numbers. Method: all codes.
    #[test]
    fn every_calling_code_is_known() {
        let mut codes = 0;
        for code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
            let digits = code.to_string();
            assert_eq!(country_code_len(&format!("{digits}23456789")), digits.len(), "{code}");
            let numbering = Numbering::of(usize::try_from(code).unwrap());
            assert!(numbering.is_some_and(|numbering| numbering.lengths.iter().next().is_some()), "{code}: {numbering:?}");
            codes += 1;
        }
        assert!(codes > 200, "{codes}");
        for unknown in [0, 3, 210, 999, 1000] {
            assert!(Numbering::of(unknown).is_none(), "{unknown}");
        }
    }
}
