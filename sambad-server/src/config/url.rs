//! URLs that may hold a password, and how they are shown.

use std::convert::Infallible;
use std::fmt::{self, Debug, Display, Formatter};
use std::ops::Deref;
use std::str::FromStr;

/// Stands for a value that nobody is to read.
pub(super) const REDACTED: &str = "(redacted)";

/// Where a database or a broker is, as it was given; shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl FromStr for SecretUrl {
    type Err = Infallible;

    /// Takes any text: whether it is a URL, whoever opens it says.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl Deref for SecretUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Display for SecretUrl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

impl Debug for SecretUrl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Debug::fmt(&redacted(&self.0), f)
    }
}

/// A URL without its password, wherever that may stand. Where a password holds what it should not, more is hidden than need be.
pub(super) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // What is no URL may be anything, a password among it.
        let plain = url.starts_with("sqlite:") || !url.contains(['@', ':', '=']);
        return if plain { url.into() } else { REDACTED.into() };
    };
    let host = rest.rfind('@').unwrap_or(0);
    let (place, query) = match rest[host..].split_once('?') {
        Some((_, query)) => (&rest[..rest.len() - query.len() - 1], Some(query)),
        None => (rest, None),
    };
    let query = match query {
        Some(query) if query.contains("pass") => format!("?{REDACTED}"),
        Some(query) => format!("?{query}"),
        None => String::new(),
    };
    match place.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}://{user}:{REDACTED}@{host}{query}"),
        None => format!("{scheme}://{place}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no password is shown. Method: URLs with and without one, wherever it may stand.
    #[test]
    fn passwords_are_left_out() {
        for (url, shown) in [
            ("postgres://me:hunter2@db:5432/x?y=z", "postgres://me:(redacted)@db:5432/x?y=z"),
            ("postgres://me:hunt@er2@db", "postgres://me:(redacted)@db"),
            ("postgres://me:hunt/er2?@db", "postgres://me:(redacted)@db"),
            ("postgres://me@db/x?sslmode=require&password=hunter2", "postgres://me@db/x?(redacted)"),
            ("redis://:hunter2@cache", "redis://:(redacted)@cache"),
            ("postgres://me@db/x", "postgres://me@db/x"),
            ("sqlite:sambad.db", "sqlite:sambad.db"),
            ("/etc/sambad/keys", "/etc/sambad/keys"),
            ("host=db user=me password=hunter2", "(redacted)"),
            ("postgres:/me:hunter2@db/x", "(redacted)"),
            (":hunter2@cache:6379", "(redacted)"),
        ] {
            assert_eq!(redacted(url), shown);
            let secret: SecretUrl = url.parse().unwrap();
            assert_eq!(format!("{secret} {secret:?}"), format!("{shown} {shown:?}"));
        }
    }
}
