//! The token that a run asks with, and passwords in URLs: in no report and in no message.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use hyper::header::HeaderValue;

use crate::exit::Exit;

/// A token as it was given.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// The value of the header that shows it.
    ///
    /// # Errors
    /// Usage, when no header can carry it.
    pub(crate) fn authorization(&self) -> anyhow::Result<HeaderValue> {
        let value = HeaderValue::try_from(format!("Bearer {}", self.0));
        let mut value =
            value.map_err(|_| Exit::Usage.because("--token: it contains characters that an HTTP header cannot contain"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Takes the token, and the passwords of databases, out of a command line.
pub(crate) fn hide(words: &mut [String]) {
    let mut is_next = false;
    for word in words {
        hide_password(word);
        if is_next || word.starts_with("--token=") {
            *word = if is_next { "…".into() } else { "--token=…".into() };
            is_next = false;
        } else {
            is_next = word == "--token";
        }
    }
}

/// Takes the password out of a URL, be it behind an option's name.
fn hide_password(word: &mut String) {
    let Some((before, rest)) = word.split_once("://") else { return };
    let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |end| rest.split_at(end));
    if let Some((user, host)) = authority.rsplit_once('@')
        && let Some((name, _)) = user.split_once(':')
    {
        *word = format!("{before}://{name}:…@{host}{path}");
    } else if path.contains("password=") {
        *word = format!("{before}://{authority}/…");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no report tells the token. Method: command lines of either form; what is printed of it.
    #[test]
    fn tokens_are_hidden() {
        for (line, hidden) in [
            ("sambad-bench run --token abc --rate 5", "sambad-bench run --token … --rate 5"),
            ("sambad-bench run --token=abc", "sambad-bench run --token=…"),
            ("sambad-bench run", "sambad-bench run"),
            ("run --postgres postgres://me:abc@h:1/d?x=1 --rate 5", "run --postgres postgres://me:…@h:1/d?x=1 --rate 5"),
            ("run --redis=redis://:abc@h", "run --redis=redis://:…@h"),
            ("run --postgres=postgres://h/d?password=abc", "run --postgres=postgres://h/…"),
            ("run --target http://127.0.0.1:4000", "run --target http://127.0.0.1:4000"),
        ] {
            let mut words: Vec<String> = line.split(' ').map(Into::into).collect();
            hide(&mut words);
            assert_eq!(words.join(" "), hidden);
        }
        let secret: Secret = "abc".parse().unwrap();
        let shown = format!("{secret:?} {:?}", secret.authorization().unwrap());
        assert!(!shown.contains("abc"), "{shown}");
    }
}
