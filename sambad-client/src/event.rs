//! An event as it arrives.

use std::str::FromStr;

use sambad_core::{EventKind, Seq, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Something that happened, at its position in the log; serialises to the very JSON that the server sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// What happened. Kept as text, since a newer server may send types that this crate does not know.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The particulars, as they came.
    pub data: Box<RawValue>,
    /// When it was committed, by the server's clock.
    pub timestamp: Timestamp,
    /// Position in the log.
    pub seq: Seq,
}

impl Event {
    /// The type as a value; `None` for one that this crate does not know.
    #[must_use]
    pub fn kind(&self) -> Option<EventKind> {
        EventKind::from_str(&self.event_type).ok()
    }

    /// Reads the particulars, for example as a [`Contact`](crate::model::Contact) or a [`serde_json::Value`].
    ///
    /// # Errors
    /// When they are not of that shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.get())
    }
}
