//! Phone numbers as people and programs write them.

use std::borrow::Cow;
use std::str::FromStr;

use rlibphonenumber::{
    PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region, get_national_significant_number_owned,
};

use super::marks::shown;
use super::numbering::{Numbering, wrong_length};
use super::{CountryCode, DIGITS, InvalidPhone, Phone, all_digits, country_code_len};

/// Digits of a number as versions before this one took them.
const LITERAL_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// Digits before a fraction, at least: where fewer stand before a dot, what follows may be a group of the number.
const BEFORE_FRACTION: usize = 7;

/// Bytes of a written number, at most, when repeated spaces are left out: the phone library reads as many.
const BYTES_MAX: usize = 250;

/// A phone number as somebody wrote it: the number that is meant, and the one that versions before this one took it for.
///
/// A user who is stored under the older reading is found by it; new users get the number that is meant. So two stored users
/// can have the same number, each in another spelling, and the older spelling finds the older user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPhone {
    meant: Result<Phone, InvalidPhone>,
    /// `None` where it is the number that is meant, or was no number for older versions either.
    literal: Option<Phone>,
}

impl WrittenPhone {
    /// Reads a number; without a leading `+` it is a national number of `code`'s country, as it is dialled there.
    ///
    /// Digits, after a `+` or without one, are compared with the lengths of their country; anything else is read by the phone library: digits
    /// of any script, separators, national and international prefixes. Letters make no number.
    ///
    /// # Errors
    /// When it is no number, or none of a length that its country has, and older versions took it for none either.
    pub fn read(text: &str, code: &CountryCode) -> Result<Self, InvalidPhone> {
        let text = without_fraction(text);
        let plain = plain(text);
        if let Some(phone) = canonical(&plain).or_else(|| national(&plain, code)) {
            return Ok(phone.into());
        }
        let (meant, literal) = (meant(text, code), literal(text, code));
        match (&meant, literal) {
            (Err(error), None) => Err(*error),
            (_, literal) => Ok(Self { literal: literal.filter(|literal| meant.as_ref() != Ok(literal)), meant }),
        }
    }

    /// The number that is meant, which a new user gets.
    ///
    /// # Errors
    /// When its country has no number of its length, or there is no such country: then it can only be one that is stored.
    pub fn meant(&self) -> Result<&Phone, InvalidPhone> {
        self.meant.as_ref().map_err(|error| *error)
    }

    /// One or two numbers: the first of them that is stored is the user's.
    pub fn readings(&self) -> impl Iterator<Item = &Phone> {
        self.literal.iter().chain(&self.meant)
    }
}

/// Exactly this number.
impl From<Phone> for WrittenPhone {
    fn from(phone: Phone) -> Self {
        Self { meant: Ok(phone), literal: None }
    }
}

impl FromStr for WrittenPhone {
    type Err = InvalidPhone;

    /// Takes an E.164 number that begins with `+` for exactly what it is, as a [`Phone`].
    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        text.parse::<Phone>().map(Self::from)
    }
}

/// Makes the phone library read its tables, which takes some milliseconds, and what it needs for numbers of `code`'s country.
pub fn prepare(code: &CountryCode) {
    // What it says of this number does not matter.
    let _ = meant("1234567890", code);
}

/// The number that a stored phone is another spelling of; `None` if it is written as it should be. Versions before this one stored
/// national prefixes, and country codes twice, as part of the number.
pub(crate) fn respelled(phone: &Phone) -> Option<Phone> {
    meant(phone.as_str(), &phone.country_code()).ok().filter(|read| read != phone)
}

/// The number that `q` begins, read as a number would be, but of whatever length. `None` if it is no beginning of a number.
#[must_use]
pub fn beginning(q: &str, code: &CountryCode) -> Option<String> {
    // The library takes prefixes only from what would be long enough without them.
    const FILLER: &str = "2222222222222222";
    // What is a whole number of an assigned range is read as one.
    if let Some(phone) = meant(without_fraction(q), code).ok().filter(|phone| kind_of(phone.as_str()) != PhoneNumberType::Unknown)
    {
        return Some(phone.e164);
    }
    let q = clean(q).ok()?;
    let digits = PHONE_NUMBER_UTIL.normalize_digits_only(&q).len();
    let calling_code = code.calling_code()[1..].parse().ok()?;
    let longest = match Numbering::of(calling_code) {
        Some(numbering) if !q.starts_with('+') => numbering.longest() + 1,
        _ => FILLER.len(),
    };
    let filler = &FILLER[..longest.checked_sub(digits).filter(|_| digits > 0)?];
    let number = PHONE_NUMBER_UTIL.parse(q + filler, region_of(code)).ok()?;
    let number = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164);
    number.strip_suffix(filler).map(str::to_owned)
}

/// Without what most people put between digits.
fn plain(text: &str) -> Cow<'_, str> {
    let is_separator = |c: char| matches!(c, ' ' | '-' | '.' | '/' | '(' | ')');
    if text.contains(is_separator) { text.replace(is_separator, "").into() } else { text.into() }
}

/// Without the `.0` that spreadsheets put behind a number.
fn without_fraction(text: &str) -> &str {
    let text = text.trim();
    let zeros = text.bytes().rev().take_while(|byte| *byte == b'0').count();
    let whole = text[..text.len() - zeros].strip_suffix('.').filter(|_| zeros > 0);
    let is_number = |whole: &&str| {
        let digits = whole.strip_prefix('+').unwrap_or(whole);
        digits.len() >= BEFORE_FRACTION && all_digits(digits)
    };
    whole.filter(is_number).unwrap_or(text)
}

/// `+` and digits that the library would read as they are. Most requests have it so, and it costs no more than a look.
fn canonical(text: &str) -> Option<Phone> {
    let digits = text.strip_prefix('+')?;
    if !DIGITS.contains(&digits.len()) || !all_digits(digits) {
        return None;
    }
    let code_len = country_code_len(digits);
    let (code, national) = digits.split_at(code_len);
    let canonical = match Numbering::of(code.parse().ok()?) {
        Some(numbering) => numbering.is_canonical(code, national),
        None => is_of_no_country(digits),
    };
    canonical.then(|| Phone { e164: text.to_owned(), national_at: 1 + code_len })
}

/// Digits that the library would read as a national number of the country, as most apps send them.
fn national(text: &str, code: &CountryCode) -> Option<Phone> {
    let calling_code = code.as_str().strip_prefix('+')?;
    if text.starts_with(['0', '+']) || text.starts_with(calling_code) || code.calling_code() != code.as_str() || !all_digits(text)
    {
        return None;
    }
    let e164 = format!("{code}{text}");
    let national = match Numbering::of(calling_code.parse().ok()?) {
        Some(numbering) => numbering.is_national(calling_code, text) && DIGITS.contains(&(e164.len() - 1)),
        None => is_of_no_country(&e164[1..]),
    };
    national.then_some(Phone { e164, national_at: code.0.len() })
}

/// Whether these can be the digits of a number whose calling code nobody has, as far as the library knows: it may be newer than the
/// library, and the shortest and longest numbers that there are elsewhere say nothing of it.
fn is_of_no_country(digits: &str) -> bool {
    LITERAL_DIGITS.contains(&digits.len()) && all_digits(digits) && !digits.starts_with('0')
}

/// As versions before this one read it: spaces, dashes and round brackets are dropped, and `code` is put before what has no `+`.
fn literal(text: &str, code: &CountryCode) -> Option<Phone> {
    let text = super::without_separators(text);
    let phone = match text.strip_prefix('+') {
        Some(digits) => Phone { national_at: 1 + country_code_len(digits), e164: text },
        None => Phone { e164: format!("{code}{text}"), national_at: code.0.len() },
    };
    let digits = &phone.e164[1..];
    is_of_no_country(digits).then_some(phone)
}

fn meant(text: &str, code: &CountryCode) -> Result<Phone, InvalidPhone> {
    let text = clean(text)?;
    let digits = PHONE_NUMBER_UTIL.normalize_digits_only(&text);
    let Some(international) = digits.strip_prefix("00") else { return as_dialled(&text, &digits, code) };
    // Wherever it was written, 00 begins an international number. Where that is dialled otherwise, as 0011 or 001, digits after
    // the 00 belong to the prefix; then what is left seldom is a number that needs no change.
    let written = format!("+{international}");
    let (international, dialled) = (parse(&written, None), as_dialled(&text, &digits, code));
    let is_valid = |read: &Result<Phone, _>| read.as_ref().is_ok_and(|phone| kind_of(phone.as_str()) != PhoneNumberType::Unknown);
    let is_as_written = international.as_ref().is_ok_and(|phone| phone.as_str() == written);
    if is_valid(&international) && (is_as_written || !is_valid(&dialled)) {
        international
    } else {
        dialled.or_else(|error| international.map_err(|_| error))
    }
}

/// Reads what has no `+` as it is dialled in `code`'s country.
fn as_dialled(text: &str, digits: &str, code: &CountryCode) -> Result<Phone, InvalidPhone> {
    let region = region_of(code);
    if text.starts_with('+') {
        return parse(text, region);
    }
    // Some write +1246 for an area of +1; and calling codes of no country, such as +870, have no region.
    let as_continued = || parse(&format!("{code}{digits}"), None).map(|phone| phone.split_after(code));
    let nationally = || parse(text, region);
    let read = match (region, code.calling_code() == code.as_str()) {
        (Some(_), true) => nationally(),
        (Some(_), false) => as_continued().or_else(|_| nationally()),
        (None, _) => as_continued(),
    };
    // The country code without its `+`, where that is too long for a national number or of a length between.
    read.or_else(|error| {
        let international =
            format!("+{}", Some(digits).filter(|digits| digits.starts_with(&code.calling_code()[1..])).ok_or(error)?);
        let read = parse(&international, None).map_err(|_| error)?;
        if kind_of(read.as_str()) == PhoneNumberType::Unknown { Err(error) } else { Ok(read) }
    })
}

/// The main region of `code`'s calling code, if that is of countries.
fn region_of(code: &CountryCode) -> Option<Region> {
    let calling_code = code.calling_code().strip_prefix('+')?.parse().ok()?;
    PHONE_NUMBER_UTIL.get_region_for_country_code(calling_code).filter(|region| *region != Region::World)
}

/// Reads a number through the library, and checks its length.
fn parse(text: &str, region: Option<Region>) -> Result<Phone, InvalidPhone> {
    let number = match PHONE_NUMBER_UTIL.parse(text, region) {
        Ok(number) => number,
        Err(ParseError::InvalidCountryCode) => {
            let digits = PHONE_NUMBER_UTIL.normalize_digits_only(text);
            return if is_of_no_country(&digits) { format!("+{digits}").parse() } else { Err(InvalidPhone::UnknownCountry) };
        }
        Err(ParseError::TooShortAfterIdd | ParseError::TooShortNsn) => return Err(InvalidPhone::TooShort),
        Err(ParseError::TooLongNsn) => return Err(InvalidPhone::TooLong),
        Err(ParseError::NotANumber(_)) => return Err(InvalidPhone::NotANumber),
    };
    if number.extension.is_some() {
        return Err(InvalidPhone::NotANumber);
    }
    settled(&number)
}

/// The number that is left when nothing in it is a prefix or the country code once more. Its own text is read as the same number.
fn settled(number: &PhoneNumber) -> Result<Phone, InvalidPhone> {
    let national = get_national_significant_number_owned(number);
    if let Some(error) = wrong_length(number, &national) {
        return Err(error);
    }
    let phone: Phone = PHONE_NUMBER_UTIL.format(number, PhoneNumberFormat::E164).parse()?;
    if canonical(phone.as_str()).is_some() {
        return Ok(phone);
    }
    // The library takes one prefix, and people write several. What is shorter each time comes to an end.
    let again = |text: &str| {
        let read = PHONE_NUMBER_UTIL.parse(text, None).ok().filter(|read| read.country_code == number.country_code)?;
        let is_shorter = get_national_significant_number_owned(&read).len() < national.len();
        if is_shorter { settled(&read).ok() } else { None }
    };
    if let Some(shorter) = again(phone.as_str()) {
        return Ok(shorter);
    }
    if !national.starts_with(&number.country_code.to_string()) {
        return Ok(phone);
    }
    // Some countries have long numbers that begin with their own calling code, but people have mobiles.
    let is_mobile = |kind| matches!(kind, PhoneNumberType::Mobile | PhoneNumberType::FixedLineOrMobile);
    let kind = PHONE_NUMBER_UTIL.get_number_type(number);
    let without_code = again(&format!("+{national}")).filter(|other| match kind_of(other.as_str()) {
        PhoneNumberType::Unknown => false,
        other => kind == PhoneNumberType::Unknown || is_mobile(other) && !is_mobile(kind),
    });
    Ok(without_code.unwrap_or(phone))
}

/// A digit of any script as the ASCII one; anything else as it is.
pub(super) fn ascii_digit(c: char) -> char {
    if c.is_ascii() || !c.is_numeric() {
        return c;
    }
    PHONE_NUMBER_UTIL.normalize_digits_only(c.to_string()).chars().next().unwrap_or(c)
}

/// What an E.164 number is, as far as the library knows.
fn kind_of(e164: &str) -> PhoneNumberType {
    PHONE_NUMBER_UTIL.parse(e164, None).map_or(PhoneNumberType::Unknown, |number| PHONE_NUMBER_UTIL.get_number_type(&number))
}

/// Leaves out what cannot be seen, and refuses what is more than a number: letters, extensions, pauses and dialled codes.
fn clean(text: &str) -> Result<String, InvalidPhone> {
    let mut clean = String::with_capacity(text.len().min(BYTES_MAX));
    for c in text.chars().filter_map(shown) {
        if clean.len() > BYTES_MAX {
            return Err(InvalidPhone::TooLong);
        }
        if c != ' ' || !(clean.is_empty() || clean.ends_with(' ')) {
            clean.push(c);
        }
    }
    // As RFC 3966 writes it in contacts and links.
    if clean.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:")) {
        clean.drain(..4);
    }
    let is_more = |c: char| matches!(c, '*' | '#' | ',' | ';') || c.is_alphabetic();
    if clean.contains(is_more) { Err(InvalidPhone::NotANumber) } else { Ok(clean.trim().to_owned()) }
}

#[cfg(test)]
#[path = "written_tests.rs"]
mod tests;
