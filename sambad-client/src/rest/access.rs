//! Tokens of users: renewing them and giving them back.

use reqwest::Method;
use sambad_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::token::{RefreshToken, Token};

/// What a user goes on with after a login.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UserTokens {
    /// What requests are made with.
    pub token: Token,
    /// When that ends.
    pub token_expires_at: Timestamp,
    /// What the next pair is got by. It can be used once.
    pub refresh_token: RefreshToken,
}

impl Client {
    /// Gets a user's next tokens. The old refresh token is used up: using it again ends the login.
    ///
    /// [`Client::with_refresh_token`] does this by itself.
    /// # Errors
    /// [`Error::Unauthorized`] when the refresh token is not valid, or was used before.
    pub async fn refresh(&self, refresh_token: &RefreshToken) -> Result<Answer<UserTokens>, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            refresh_token: &'a RefreshToken,
        }
        self.call(Call::post("/api/users/refresh", &Body { refresh_token }).anonymous()).await
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
