//! Secrets that say who asks. None of them is in an error or in what `Debug` prints.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::header::HeaderValue;
use sambad_core::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;

/// Bytes of a token, at most; the server takes no longer ones.
const BYTES_MAX: usize = 8 << 10;

/// A bearer token: whoever has it is let in as whom it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: String,
    claims: Option<TokenClaims>,
}

/// What a token says about itself, read without verifying it: for people, and to know when to renew.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenClaims {
    /// Who: a user's id, or a service's or an operator's name.
    pub subject: String,
    /// What it may do: `user`, `service`, `admin`.
    pub roles: Vec<String>,
    /// When it was made.
    pub issued_at: Option<Timestamp>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether it is of one user, who gets what is theirs and nothing else, whatever is asked for.
    pub(crate) confined: bool,
}

impl Token {
    /// Takes a token as it was issued.
    ///
    /// # Errors
    /// [`Error::InvalidToken`] unless it is 1 to 8,192 visible ASCII characters.
    pub fn new(secret: impl Into<String>) -> Result<Self, Error> {
        let secret = secret.into();
        if !is_secret(&secret) {
            return Err(Error::InvalidToken);
        }
        let claims = claims(&secret);
        Ok(Self { secret, claims })
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What it says about itself; `None` if it is no JWT.
    #[must_use]
    pub fn claims(&self) -> Option<&TokenClaims> {
        self.claims.as_ref()
    }

    /// The value of an `Authorization` header.
    pub(crate) fn authorization(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.secret)).expect("a token is visible ASCII");
        value.set_sensitive(true);
        value
    }
}

impl TokenClaims {
    /// For how long it was made; a minute if it does not say.
    pub(crate) fn life(&self) -> Duration {
        self.issued_at.map_or(Duration::from_secs(60), |issued_at| self.expires_at.since(issued_at))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("claims", &self.claims).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.secret)
    }
}

/// What a user's next token is got by. Each answer brings the next one; the used one is good for a repetition within 30 s, and no more.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RefreshToken(String);

impl RefreshToken {
    /// Takes a refresh token as it was issued.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

fn is_secret(text: &str) -> bool {
    (1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn claims(token: &str) -> Option<TokenClaims> {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
        #[serde(default)]
        roles: Vec<String>,
        /// Seconds, which need not be whole.
        iat: Option<f64>,
        exp: f64,
        /// Of an outside issuer: which user it is about.
        sambad_user: Option<String>,
    }
    let body = token.split('.').nth(1)?;
    let Claims { sub, roles, iat, exp, sambad_user } = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
    // A cast that ends at the bounds of the range.
    let at = |seconds: f64| Timestamp::from_micros((seconds * 1e6).round() as i64);
    let confined = sambad_user.is_some() || roles.iter().any(|role| role == "user");
    Some(TokenClaims { subject: sub, roles, issued_at: iat.map(at), expires_at: at(exp), confined })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only what a header can carry is a token. Method: a table.
    #[test]
    fn refuses_what_no_header_carries() {
        for bad in ["", "a b", "a\nb", "é", &"x".repeat(BYTES_MAX + 1)] {
            assert!(matches!(Token::new(bad), Err(Error::InvalidToken)), "{bad:?}");
        }
        assert!(Token::new("x".repeat(BYTES_MAX)).is_ok());
    }

    /// Goal: whose stream has holes by right is known. Method: tokens of each sort, by this server and an outside issuer.
    #[test]
    fn knows_a_users_token() {
        for (claims, confined) in [
            (r#"{"sub":"u","roles":["user"],"exp":120}"#, true),
            (r#"{"sub":"u","sambad_user":"0198f0c4-7b1e-7000-8000-00000000000a","exp":120}"#, true),
            (r#"{"sub":"ops","roles":["admin","service"],"exp":120}"#, false),
            (r#"{"sub":"ops","sambad_roles":["admin"],"exp":120}"#, false),
        ] {
            let token = Token::new(format!("head.{}.x", BASE64_URL_SAFE_NO_PAD.encode(claims))).unwrap();
            assert_eq!(token.claims().unwrap().confined, confined, "{claims}");
        }
    }

    /// Goal: who looks at a log finds no secret. Method: print everything that holds one.
    #[test]
    fn debug_shows_no_secret() {
        let body = BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"asha","roles":["user"],"iat":60,"exp":120}"#);
        let token = Token::new(format!("head.{body}.hunter2")).unwrap();
        let shown = format!("{token:?} {:?} {:?}", token.authorization(), RefreshToken::new("hunter2"));
        assert!(!shown.contains("hunter2") && !shown.contains(&body) && shown.contains("asha"), "{shown}");
        assert_eq!(token.claims().unwrap().life(), Duration::from_secs(60));
        let body = BASE64_URL_SAFE_NO_PAD.encode(r#"{"sub":"asha","iat":1.6e1,"exp":76.5}"#);
        let fractional = Token::new(format!("head.{body}.x")).unwrap();
        assert_eq!(fractional.claims().unwrap().life(), Duration::from_millis(60_500));
        assert_eq!(Token::new("opaque").unwrap().claims(), None);
    }
}
