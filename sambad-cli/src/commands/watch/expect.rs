//! Events that must be seen.

use std::fmt;
use std::str::FromStr;

use super::field::{Field, Shown};

/// Fields with the values that one event must have.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    conditions: Vec<(Field, String)>,
    text: String,
}

impl FromStr for Expectation {
    type Err = String;

    /// Reads `field=value,field=value`; a comma within a value is written `\,`.
    fn from_str(text: &str) -> Result<Self, String> {
        let condition = |part: &String| {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?}: expected FIELD=VALUE"))?;
            match name.parse()? {
                Field::Time | Field::LatencyMs => {
                    Err(format!("{name} changes with every run: use seq, type, timestamp or data.FIELD"))
                }
                field => Ok((field, value.to_owned())),
            }
        };
        let conditions = split(text).iter().map(condition).collect::<Result<_, _>>()?;
        Ok(Self { conditions, text: text.into() })
    }
}

impl Expectation {
    /// Whether an event is what is expected.
    pub(super) fn is_met_by(&self, shown: &Shown<'_>) -> bool {
        self.conditions.iter().all(|(field, value)| shown.get(field).is_some_and(|found| found == *value))
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits at commas that no backslash precedes.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, parts.last_mut()) {
            (',', _) => parts.push(String::new()),
            ('\\', Some(part)) if chars.peek() == Some(&',') => part.extend(chars.next()),
            (other, Some(part)) => part.push(other),
            (_, None) => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::field::sample;
    use super::*;

    /// Goal: an event meets an expectation when all fields agree. Method: a table over one event.
    #[test]
    fn all_fields_must_agree() {
        let event = sample("message_sent", r#"{"content":"a,b=c","n":2}"#);
        for (text, met) in [
            ("type=message_sent", true),
            ("type=message_sent,seq=7,data.n=2", true),
            (r"data.content=a\,b=c", true),
            ("type=message_sent,data.n=3", false),
            ("data.none=", false),
            ("type=message", false),
        ] {
            assert_eq!(text.parse::<Expectation>().unwrap().is_met_by(&Shown::now(&event)), met, "{text}");
        }
        for bad in ["", "type", "type=a,", "typ=a", "latency_ms=1", "type=a,,seq=1"] {
            assert!(bad.parse::<Expectation>().is_err(), "{bad}");
        }
    }
}
