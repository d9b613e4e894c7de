//! The parts of a JWT that are judged alike whoever issued it: its header, and for how long it is valid.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use sambad_core::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// How long a token may live, whoever issued it.
pub(crate) const TTL_MAX: Duration = Duration::from_secs(366 * 86_400);
/// By how much the clock of a server that issued a token may be ahead of this one's before a token of the longest life is refused.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5 * 60);
/// The last instant that a token or a revocation may name: 9999-01-01, which every database and every date format can hold.
pub(crate) const LAST_INSTANT: Timestamp = Timestamp::from_micros(253_370_764_800_000_000);

/// Which key a token is signed with. The library ignores what a header calls critical, so it is judged here.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) kid: String,
    pub(super) alg: Algorithm,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
    /// Whether the payload is Base64: of a JWT it always is. Source: RFC 7797, 7.
    #[serde(default = "yes")]
    b64: bool,
}

fn yes() -> bool {
    true
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl Header {
    /// Reads a token's header; `None` if it names no key, or demands an extension: none is supported, and an empty or malformed list
    /// of demands is not valid either. Source: RFC 7515, 4.1.11.
    pub(super) fn of(token: &str) -> Option<Self> {
        let (header, _) = token.split_once('.')?;
        let header: Self = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        (!header.crit && header.b64).then_some(header)
    }
}

/// A number of seconds since 1970 that need not be whole. Source: RFC 7519, 2.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(transparent)]
struct NumericDate(f64);

impl NumericDate {
    /// The instant; one beyond the range of [`Timestamp`] becomes the end of that range.
    fn timestamp(self) -> Timestamp {
        Timestamp::from_micros((self.0 * 1e6).round() as i64)
    }

    /// Reads a claim that may be absent, but not `null`.
    fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Self::deserialize(deserializer).map(Some)
    }
}

/// The claims that say for how long a token is valid.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Lifetime {
    exp: NumericDate,
    #[serde(default, deserialize_with = "NumericDate::present")]
    nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "NumericDate::present")]
    iat: Option<NumericDate>,
}

impl Lifetime {
    /// When the token ends: at its `exp`, and at most a year after its `iat`. In the instant that it names a token has ended, as a
    /// session by it has. Source: RFC 7519, 4.1.4.
    pub(crate) fn end(&self) -> Timestamp {
        let longest = self.iat.map_or(LAST_INSTANT, |iat| iat.timestamp().plus(TTL_MAX));
        self.exp.timestamp().min(longest).min(LAST_INSTANT)
    }

    /// Whether it says when it was issued.
    pub(super) fn says_when_issued(&self) -> bool {
        self.iat.is_some()
    }

    /// Refuses a token that has ended at the instant `now`, has not begun, was issued later, or would live for more than a year from then; the issuer's
    /// clock may differ by `leeway`.
    ///
    /// # Errors
    /// `ExpiredSignature`, `ImmatureSignature` or `InvalidToken`.
    pub(super) fn require(&self, now: Timestamp, leeway: Duration) -> Result<(), jsonwebtoken::errors::Error> {
        if self.end().plus(leeway) <= now {
            return Err(ErrorKind::ExpiredSignature.into());
        }
        if self.nbf.is_some_and(|nbf| nbf.timestamp() > now.plus(leeway)) {
            return Err(ErrorKind::ImmatureSignature.into());
        }
        let issued_later = self.iat.is_some_and(|iat| iat.timestamp() > now.plus(CLOCKS_DIFFER));
        if issued_later || self.end() > now.plus(TTL_MAX).plus(CLOCKS_DIFFER) {
            return Err(ErrorKind::InvalidToken.into());
        }
        Ok(())
    }
}

/// What the library verifies of a token: its signature by `algorithm`, its issuer and its audience. What depends on time is left to
/// [`Lifetime::require`]: the library asks the system's clock, which is not the one that tokens are made by.
pub(super) fn validation(algorithm: Algorithm, issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(claims: &str) -> Option<Lifetime> {
        serde_json::from_str(claims).ok()
    }

    /// Goal: every number is an instant, and nothing else is. Method: the forms that JSON has for numbers, and what is none.
    #[test]
    fn instants_are_numbers() {
        for (exp, micros) in [
            ("1700000000", 1_700_000_000_000_000),
            ("1700000000.25", 1_700_000_000_250_000),
            ("1.7e9", 1_700_000_000_000_000),
            ("17E+8", 1_700_000_000_000_000),
            ("0", 0),
            ("-1.5", -1_500_000),
            ("1e300", LAST_INSTANT.as_micros()),
            ("99999999999999999999", LAST_INSTANT.as_micros()),
        ] {
            let end = lifetime(&format!(r#"{{"exp":{exp}}}"#)).unwrap_or_else(|| panic!("{exp}")).end();
            assert_eq!(end.as_micros(), micros, "{exp}");
        }
        for claims in [
            r#"{"exp":"1700000000"}"#,
            r#"{"exp":true}"#,
            r#"{"exp":null}"#,
            r#"{"exp":[1700000000]}"#,
            r#"{"exp":1e400}"#,
            r#"{"exp":NaN}"#,
            r#"{"exp":1,"exp":2}"#,
            r#"{"exp":1,"iat":"1"}"#,
            r#"{"exp":1,"iat":null}"#,
            r#"{"exp":1,"nbf":"1"}"#,
            r#"{"exp":1,"nbf":null}"#,
            "{}",
        ] {
            assert!(lifetime(claims).is_none(), "{claims}");
        }
    }

    /// Goal: a token is valid from its `nbf` to its `exp`, never longer than a year, and by the issuer's clock within the leeway.
    /// Method: a table around each bound, at one instant.
    #[test]
    fn tokens_have_a_beginning_and_an_end() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        for (claims, leeway_s, valid) in [
            (r#"{"exp":1700000000.1}"#, 0, true),
            (r#"{"exp":1700000000}"#, 0, false),
            (r#"{"exp":1699999999.9}"#, 0, false),
            (r#"{"exp":1699999970.5}"#, 30, true),
            (r#"{"exp":1699999970}"#, 30, false),
            (r#"{"exp":-5}"#, 0, false),
            (r#"{"exp":1700000001,"nbf":1700000000}"#, 0, true),
            (r#"{"exp":1700000001,"nbf":1700000000.5}"#, 0, false),
            (r#"{"exp":1700000001,"nbf":1700000030.5}"#, 30, false),
            (r#"{"exp":1700000001,"nbf":-1e3}"#, 0, true),
            // 366 days are 31,622,400 s.
            (r#"{"exp":1731622400,"iat":1700000000}"#, 0, true),
            (r#"{"exp":1800000000,"iat":1700000000}"#, 0, true),
            (r#"{"exp":1800000000,"iat":1668377600.5}"#, 0, true),
            (r#"{"exp":1800000000,"iat":1668377600}"#, 0, false),
            (r#"{"exp":1e300,"iat":-1e300}"#, 0, false),
            (r#"{"exp":1731622700}"#, 0, true),
            (r#"{"exp":1731622701}"#, 0, false),
            (r#"{"exp":1800000001,"iat":1800000000}"#, 0, false),
            (r#"{"exp":1e300}"#, 0, false),
        ] {
            let outcome = lifetime(claims).unwrap_or_else(|| panic!("{claims}")).require(now, Duration::from_secs(leeway_s));
            assert_eq!(outcome.is_ok(), valid, "{claims}: {outcome:?}");
        }
    }

    /// Goal: a header that demands anything is refused, however it does. Method: a table.
    #[test]
    fn nothing_critical_is_supported() {
        for (header, accepted) in [
            (r#"{"alg":"EdDSA","kid":"a"}"#, true),
            (r#"{"alg":"EdDSA","kid":"a","typ":"JWT","x":1,"b64":true}"#, true),
            (r#"{"alg":"EdDSA","kid":"a","crit":["x"],"x":1}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","crit":["b64"],"b64":false}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","crit":["b64"],"b64":true}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","b64":false}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","crit":["alg"]}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","crit":[]}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","crit":null}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","crit":"exp"}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","crit":{}}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","cr\u0069t":["x"]}"#, false),
            (r#"{"alg":"EdDSA","kid":"a","kid":"b"}"#, false),
            (r#"{"alg":"EdDSA"}"#, false),
        ] {
            let token = format!("{}.e30.x", BASE64_URL_SAFE_NO_PAD.encode(header));
            assert_eq!(Header::of(&token).is_some(), accepted, "{header}");
        }
    }
}
