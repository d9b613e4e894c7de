//! Whether the server is well.

use sambad_core::Seq;
use serde::Deserialize;

use crate::answer::Answer;
use crate::call::{Call, refusal};
use crate::client::Client;
use crate::error::Error;

/// What the server says about itself.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// `healthy`, or what is wrong.
    pub status: String,
    /// `connected`, or what is wrong with the store; empty when the server does not say.
    #[serde(default)]
    pub database: String,
    /// The server's version; empty when it does not say.
    #[serde(default)]
    pub version: String,
    /// Highest committed seq; `None` when the store does not answer, or to callers who do not authenticate.
    #[serde(default)]
    pub head: Option<Seq>,
    /// Whether the last attempt to write reached the disk; `None` when the server does not say.
    #[serde(default)]
    pub writable: Option<bool>,
    /// Seconds by which its last event lies ahead of its clock; 0 if all is well.
    #[serde(default)]
    pub log_ahead_s: Option<u64>,
}

impl Health {
    /// Whether all is well.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.status == "healthy"
    }
}

impl Client {
    /// Asks whether the server and its store work. A server that says it is unhealthy is an answer, not an error.
    ///
    /// # Errors
    /// When no such answer came.
    pub async fn health(&self) -> Result<Answer<Health>, Error> {
        // A token that is at hand brings more, and a renewal must not be waited for.
        let (status, headers, body) = self.once(Call::get("/api/health"), self.token_at_hand().as_ref()).await?;
        match self.answer(&headers, &body) {
            Ok(answer) => Ok(answer),
            Err(error) if status.is_success() => Err(error),
            Err(_) => Err(refusal(status, &headers, &body)),
        }
    }

    /// Asks whether the server takes requests; false while it starts or drains.
    ///
    /// # Errors
    /// When it answers something other than yes or 503, or not at all.
    pub async fn ready(&self) -> Result<bool, Error> {
        match self.exchange(Call::get("/readyz").anonymous()).await? {
            (status, ..) if status.is_success() => Ok(true),
            (status, ..) if status.as_u16() == 503 => Ok(false),
            (status, headers, body) => Err(refusal(status, &headers, &body)),
        }
    }
}
