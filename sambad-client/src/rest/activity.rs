//! What the dashboard shows: figures and recent events.

use sambad_core::model::Analytics;
use sambad_core::{Seq, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;

/// A recent event, told for people.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Activity {
    /// Type of the event.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Who did what to whom.
    pub description: String,
    /// When it was committed.
    pub time: Timestamp,
    /// Position in the log.
    pub seq: Seq,
    /// The event's particulars, as they came.
    pub data: Box<RawValue>,
}

impl Client {
    /// Reads the dashboard's figures.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn analytics(&self) -> Result<Answer<Analytics>, Error> {
        self.call(Call::get("/api/admin/analytics")).await
    }

    /// Lists recent events, newest first; 20 unless `limit` says otherwise.
    ///
    /// # Errors
    /// `invalid_field`, among others.
    pub async fn activity(&self, limit: Option<u32>) -> Result<Answer<Vec<Activity>>, Error> {
        self.call(Call::get("/api/admin/activity").query("limit", limit)).await
    }
}
