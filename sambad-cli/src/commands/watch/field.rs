//! Fields of an event, as templates and expectations name them.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::str::FromStr;
use std::time::Duration;

use sambad_client::{Event, Timestamp};
use serde_json::Value;

use crate::text::Local;

/// The name of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Seq,
    Type,
    /// As the server sent it.
    Timestamp,
    /// In the local time zone.
    Time,
    LatencyMs,
    /// All of the particulars, or what the path leads to.
    Data(Vec<String>),
}

impl FromStr for Field {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "seq" => Self::Seq,
            "type" => Self::Type,
            "timestamp" => Self::Timestamp,
            "time" => Self::Time,
            "latency_ms" => Self::LatencyMs,
            "data" => Self::Data(Vec::new()),
            _ => match name.strip_prefix("data.") {
                Some(path) if path.split('.').all(|key| !key.is_empty()) => Self::Data(path.split('.').map(Into::into).collect()),
                _ => {
                    return Err(format!(
                        "unknown field {name:?}: expected seq, type, timestamp, time, latency_ms, data or data.FIELD"
                    ));
                }
            },
        })
    }
}

/// An event at the moment it is shown.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) event: &'a Event,
    pub(super) latency: Duration,
    /// Read only when a field of it is wanted.
    data: OnceCell<Value>,
}

impl<'a> Shown<'a> {
    pub(super) fn now(event: &'a Event) -> Self {
        Self { event, latency: Timestamp::now().since(event.timestamp), data: OnceCell::new() }
    }

    pub(super) fn latency_ms(&self) -> String {
        format!("{:.1}", self.latency.as_secs_f64() * 1000.0)
    }

    /// The text of a field; `None` when the event has no such field.
    pub(super) fn get(&self, field: &Field) -> Option<Cow<'_, str>> {
        Some(match field {
            Field::Seq => self.event.seq.to_string().into(),
            Field::Type => self.event.event_type.as_str().into(),
            Field::Timestamp => self.event.timestamp.to_string().into(),
            Field::Time => Local::of(self.event.timestamp).brief().into(),
            Field::LatencyMs => self.latency_ms().into(),
            Field::Data(path) if path.is_empty() => self.event.data.get().into(),
            Field::Data(path) => match self.follow(path)? {
                Value::String(text) => text.as_str().into(),
                other => other.to_string().into(),
            },
        })
    }

    /// A string of the particulars.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.data().get(key)?.as_str()
    }

    fn follow(&self, path: &[String]) -> Option<&Value> {
        path.iter().try_fold(self.data(), |value, key| match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            other => other.get(key),
        })
    }

    fn data(&self) -> &Value {
        self.data.get_or_init(|| self.event.decode().unwrap_or(Value::Null))
    }
}

/// An event for tests of this module's neighbours.
#[cfg(test)]
pub(super) fn sample(event_type: &str, data: &str) -> Event {
    let text = format!(r#"{{"type":"{event_type}","data":{data},"timestamp":"2025-01-15T12:00:00.000000Z","seq":7}}"#);
    serde_json::from_str(&text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every field is found under its name. Method: a table over one event.
    #[test]
    fn finds_fields() {
        let event = sample("x", r#"{"a":"text","n":1.5,"o":{"b":[10,"last"]},"z":null}"#);
        let shown = Shown::now(&event);
        for (name, value) in [
            ("seq", Some("7")),
            ("type", Some("x")),
            ("timestamp", Some("2025-01-15T12:00:00.000000Z")),
            ("data.a", Some("text")),
            ("data.n", Some("1.5")),
            ("data.o.b.1", Some("last")),
            ("data.o.b", Some(r#"[10,"last"]"#)),
            ("data.z", Some("null")),
            ("data.missing", None),
            ("data.a.deeper", None),
        ] {
            assert_eq!(shown.get(&name.parse().unwrap()).as_deref(), value, "{name}");
        }
    }

    /// Goal: a name that can never be right is refused. Method: a table.
    #[test]
    fn refuses_unknown_names() {
        for bad in ["", "sequence", "data.", "data..a", "Data", "user_username"] {
            assert!(bad.parse::<Field>().is_err(), "{bad}");
        }
    }
}
