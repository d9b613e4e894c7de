//! Short texts: phones, cursors, names of users, and what the command line takes.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use sambad_core::time::duration;
use sambad_core::{After, CountryCode, Cursor, Phone, Retention, UserId, UserRef, WrittenPhone, phone as phones};

use super::check_refusal;
use crate::extract;
use crate::sse::{LAST_EVENT_ID, last_event_id};

/// Phones, country codes and names of users: what is accepted is E.164 and is read back as the same.
///
/// # Panics
/// When a promise does not hold.
pub fn phone(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let india = CountryCode::default();
    if let Ok(code) = text.parse::<CountryCode>() {
        let digits = code.as_str().strip_prefix('+').expect("a country code begins with +");
        assert!((1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()), "{code}");
        assert_eq!(code.as_str().parse(), Ok(code));
    }
    let elsewhere: CountryCode = "+1246".parse().expect("a country code");
    for code in [&india, &elsewhere] {
        if let Ok(phone) = WrittenPhone::read(text, code) {
            check_written(&phone);
        }
        if let Some(beginning) = phones::beginning(text, code) {
            assert!(beginning[1..].bytes().all(|b| b.is_ascii_digit()), "{beginning}");
        }
    }
    if let Ok(phone) = text.parse::<Phone>() {
        check_phone(&phone);
        let written = WrittenPhone::read(text, &india);
        let found = written.is_ok_and(|written| written.readings().any(|reading| *reading == phone));
        assert!(found || phone.as_str().len() < 9, "{phone}: older versions had it");
    }
    for read in [extract::user_ref("userId", text, &india), extract::recipient_ref("toUserId", text, &india)] {
        match read {
            Ok(user) => check_user_ref(&user),
            Err(error) => check_refusal(error),
        }
    }
}

/// What is read is a number or two, and the one that is meant is read as itself, whatever country the server is in.
pub(super) fn check_written(phone: &WrittenPhone) {
    phone.readings().for_each(check_phone);
    assert!((1..=2).contains(&phone.readings().count()));
    if let Ok(meant) = phone.meant() {
        let again = WrittenPhone::read(meant.as_str(), &CountryCode::default());
        assert!(again.is_ok_and(|again| again.meant() == Ok(meant)), "{meant}");
    }
}

pub(super) fn check_phone(phone: &Phone) {
    let text = phone.to_string();
    let digits = text.strip_prefix('+').expect("a phone begins with +");
    assert!((6..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()), "{text}");
    assert_ne!(digits.as_bytes()[0], b'0', "{text}");
    assert_eq!(text.parse::<Phone>().as_ref(), Ok(phone), "{text}");
    assert_eq!(format!("{}{}", phone.country_code(), phone.national()), text, "a phone is its two parts");
    let json = serde_json::to_string(phone).expect("a phone is text");
    assert_eq!(serde_json::from_str::<Phone>(&json).ok().as_ref(), Some(phone), "{json}");
}

/// What names a user is read back as the same, and is no longer than a name: it waits in the queue that is bounded in bytes.
pub(super) fn check_user_ref(user: &UserRef) {
    match user {
        UserRef::Id(id) => assert_eq!(id.to_string().parse::<UserId>().as_ref(), Ok(id)),
        UserRef::Phone(phone) => check_written(phone),
        UserRef::National(number) => {
            let chars = number.chars().count();
            assert!((1..=31).contains(&chars), "{chars} characters: {:?}", number.chars().take(40).collect::<String>());
        }
    }
}

/// Cursors and positions: one spelling each, the same in a query and in `Last-Event-ID`.
///
/// # Panics
/// When a promise does not hold.
pub fn cursor(bytes: &[u8]) {
    let header = HeaderValue::from_bytes(bytes).ok();
    let header = header.map(|value| last_event_id(&HeaderMap::from_iter([(LAST_EVENT_ID, value)])));
    let text = std::str::from_utf8(bytes).ok();
    let parsed = text.and_then(|text| text.parse::<Cursor>().ok());
    match header {
        Some(Ok(read)) => assert_eq!(read, parsed, "Last-Event-ID"),
        Some(Err(error)) => {
            assert_eq!(parsed, None, "Last-Event-ID refuses what is a cursor");
            check_refusal(error);
        }
        None => assert_eq!(parsed, None, "a cursor can stand in a header"),
    }
    let Some(text) = text else { return };
    let after = text.parse::<After>().ok();
    if let Some(cursor) = parsed {
        assert_eq!(after, Some(After::Cursor(cursor)), "a cursor is a position");
        let json = serde_json::to_string(&cursor).expect("a cursor is text");
        assert_eq!(serde_json::from_str::<Cursor>(&json).ok(), Some(cursor));
    }
    if let Some(after) = after {
        assert_eq!(after.to_string(), text, "a position has one spelling");
    }
}

/// What the command line takes: times, and how much of the log is kept.
///
/// # Panics
/// When a promise does not hold.
pub fn setting(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(time) = duration(text) {
        assert!(time <= Duration::from_secs(100 * 366 * 86_400), "{text}: {time:?}");
        assert_eq!(duration(&format!("{}ms", time.as_millis())), Ok(time), "{text}");
    }
    if let Ok(retention) = text.parse::<Retention>() {
        assert_ne!(text.trim_matches('0'), "", "nothing kept is no retention");
        assert_eq!(retention.to_string().parse(), Ok(retention), "{text} is shown as what it is");
    }
}
