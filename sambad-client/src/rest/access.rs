//! Tokens of users: renewing them and giving them back.

use std::time::Duration;

use reqwest::Method;
use sambad_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::token::{RefreshToken, Token};

/// How often a refresh is tried whose response is lost, and how long each try may take: all of them begin within the 30 s in which the
/// server repeats its response.
const REFRESH_TRIES: u32 = 3;
const REFRESH_TIMEOUT: Duration = Duration::from_secs(8);
const REFRESH_PAUSE: Duration = Duration::from_millis(500);

/// What a user goes on with after a login.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UserTokens {
    /// What requests are made with.
    pub token: Token,
    /// When that ends.
    pub token_expires_at: Timestamp,
    /// What the next pair is got by.
    pub refresh_token: RefreshToken,
}

impl Client {
    /// Gets a user's next tokens. The old refresh token is used up: after 30 s, or once the next one was used, using it again ends the
    /// login. Until then it gets the same refresh token again, so a request whose response is lost is repeated, three times in all
    /// with 8 s each.
    ///
    /// [`Client::with_refresh_token`] does this by itself.
    /// # Errors
    /// [`Error::Unauthorized`] when the refresh token is not valid, or was used before. After a
    /// [transient](Error::is_transient) one the same token may be tried once more.
    ///
    /// # Cancel safety
    /// The token may be used up already: a caller that stops waiting repeats the call within 30 s, or logs in again.
    pub async fn refresh(&self, refresh_token: &RefreshToken) -> Result<Answer<UserTokens>, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            refresh_token: &'a RefreshToken,
        }
        let call = Call::post("/api/users/refresh", &Body { refresh_token }).anonymous().timeout(REFRESH_TIMEOUT);
        for _ in 1..REFRESH_TRIES {
            match self.call(call.clone()).await {
                Err(Error::Timeout { .. } | Error::Transport { .. }) => tokio::time::sleep(REFRESH_PAUSE).await,
                outcome => return outcome,
            }
        }
        self.call(call).await
    }

    /// Ends the login of the user whose token this client has, with all its tokens and streams.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] and [`Error::Forbidden`], among others.
    pub async fn log_out(&self) -> Result<(), Error> {
        let _: Answer<serde_json::Value> = self.call(Call::new(Method::POST, "/api/users/logout")).await?;
        Ok(())
    }
}
