//! The token that a run asks with: in no report and in no message.

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
        let mut value = value.map_err(|_| Exit::Usage.because("--token: no header can carry it"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Takes the token out of a command line.
pub(crate) fn hide(words: &mut [String]) {
    let mut is_next = false;
    for word in words {
        if is_next || word.starts_with("--token=") {
            *word = if is_next { "…".into() } else { "--token=…".into() };
            is_next = false;
        } else {
            is_next = word == "--token";
        }
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
