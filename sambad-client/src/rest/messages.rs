//! Messages: sending and reading them.

use sambad_core::UserId;
use sambad_core::model::Message;
use serde::Serialize;

use crate::answer::{Answer, PageToken};
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::rest::write;
use crate::user_ref::UserRef;

/// A message to be sent.
#[derive(Debug, Clone, Serialize)]
pub struct NewMessage {
    /// Who sends.
    #[serde(rename = "fromUserId")]
    pub from: UserRef,
    /// To whom.
    #[serde(rename = "toUserId")]
    pub to: UserRef,
    /// 1 to 4,096 characters.
    pub content: String,
    /// What kind of content: `[a-z][a-z0-9_]{0,31}`.
    #[serde(rename = "type")]
    pub message_type: String,
}

impl NewMessage {
    /// A message of the type `text`.
    pub fn text(from: impl Into<UserRef>, to: impl Into<UserRef>, content: impl Into<String>) -> Self {
        Self { from: from.into(), to: to.into(), content: content.into(), message_type: "text".into() }
    }
}

/// Which messages to list; the default is the first page of all.
#[derive(Debug, Clone, Default)]
pub struct MessageQuery {
    /// Messages from or to this user.
    pub user: Option<UserId>,
    /// Of these, the ones exchanged with this other user.
    pub with: Option<UserId>,
    /// Messages of a page, 1 to 500; the server's default is 100.
    pub limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    pub after: Option<PageToken>,
}

impl Client {
    /// Sends a message.
    ///
    /// # Errors
    /// `user_not_found` and `invalid_field`, among others.
    pub async fn send_message(&self, message: &NewMessage) -> Result<Answer<Message>, Error> {
        write(self, Call::post("/api/messages", message)).await
    }

    /// Lists messages, newest first; `next` of the answer leads on.
    ///
    /// # Errors
    /// `invalid_field`, among others.
    pub async fn messages(&self, query: &MessageQuery) -> Result<Answer<Vec<Message>>, Error> {
        let call = Call::get("/api/messages").query("userId", query.user).query("withUserId", query.with);
        self.call(call.query("limit", query.limit).query("after", query.after.as_ref())).await
    }
}
