//! What is read of frames and answers: no more than measuring and auditing need, and without copying.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// Highest seq that there can be: what a signed 64-bit column holds.
pub(crate) const SEQ_MAX: u64 = i64::MAX as u64;

/// A text frame: an event, if it has data that says whose, else a control frame.
#[derive(Debug, Deserialize)]
pub(crate) struct EventText<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) event_type: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) data: EventData<'a>,
    #[serde(borrow)]
    pub(crate) timestamp: Option<Cow<'a, str>>,
    pub(crate) seq: Option<u64>,
}

/// What tells whose an event is, and where a stream stands.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct EventData<'a> {
    #[serde(borrow)]
    pub(crate) username: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) user_username: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) contact_user_username: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) from_username: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) to_username: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) content: Option<Cow<'a, str>>,
    /// Of `connected` and `resync`: where the stream goes on from.
    #[serde(borrow)]
    pub(crate) cursor: Option<Cow<'a, str>>,
}

impl<'a> EventText<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The time of the commit, in microseconds since 1970.
    pub(crate) fn committed_us(&self) -> Option<i64> {
        let timestamp: jiff::Timestamp = self.timestamp.as_deref()?.parse().ok()?;
        Some(timestamp.as_microsecond())
    }
}

/// The answer to a write.
#[derive(Debug, Deserialize)]
pub(crate) struct WriteAnswer {
    /// Absent in answers of servers without a log, null for a write that caused no event.
    #[serde(default, deserialize_with = "present")]
    pub(crate) seq: Option<Option<u64>>,
    #[serde(default)]
    pub(crate) created: Option<bool>,
    /// Of the user, for a login.
    #[serde(default)]
    pub(crate) id: Option<String>,
}

/// Tells null (`Some(None)`) from absent (the default, `None`).
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
