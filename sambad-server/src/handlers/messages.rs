//! `/api/messages`: send, list.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use sambad_core::access::{AccessChange, AuditAction};
use sambad_core::model::Message;
use sambad_core::{Command, Error, MessageQuery, Outcome, Sambad, Seq};
use serde::{Deserialize, Serialize};

use super::unexpected_outcome;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{JsonBody, Payload, Query, id_param, page_limit, recipient_ref, required, user_ref};
use crate::reply;

/// What a message is when the app does not say.
const DEFAULT_TYPE: &str = "text";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendMessage {
    from_user_id: Option<String>,
    /// Older apps' name for `fromUserId`.
    from_id: Option<String>,
    to_user_id: Option<String>,
    /// Older apps' name for `toUserId`.
    to_id: Option<String>,
    content: Option<String>,
    #[serde(rename = "type")]
    message_type: Option<String>,
}

impl JsonBody for SendMessage {}

impl SendMessage {
    /// What the body asks for.
    pub(crate) fn into_command(self) -> Result<Command, ApiError> {
        let from = user_ref("fromUserId", required("fromUserId", self.from_user_id.or(self.from_id).as_deref())?)?;
        let to = recipient_ref("toUserId", required("toUserId", self.to_user_id.or(self.to_id).as_deref())?)?;
        let content = self.content.ok_or_else(|| Error::field("content", "missing"))?;
        let message_type = self.message_type.unwrap_or_else(|| DEFAULT_TYPE.into());
        Ok(Command::SendMessage { from, to, content, message_type })
    }
}

#[derive(Serialize)]
struct Sent<'a> {
    #[serde(flatten)]
    fields: &'a Message,
    message: &'static str,
    seq: Option<Seq>,
}

/// `POST /api/messages`
pub(crate) async fn send(
    State(sambad): State<Sambad>,
    caller: Caller,
    payload: Payload<SendMessage>,
) -> Result<Response, ApiError> {
    let command = payload.body.into_command()?;
    if let Command::SendMessage { from, .. } = &command {
        caller.must_be(from, &sambad).await?;
    }
    let receipt = sambad.execute(command, payload.key).await?;
    let Outcome::MessageSent { message } = &receipt.outcome else { return Err(unexpected_outcome()) };
    let body = Sent { fields: message, message: "Message sent successfully", seq: receipt.seq };
    Ok(reply::receipt(&receipt, StatusCode::CREATED, body))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListQuery {
    user_id: Option<String>,
    with_user_id: Option<String>,
    limit: Option<String>,
    after: Option<String>,
}

/// `GET /api/messages`
pub(crate) async fn list(
    State(sambad): State<Sambad>,
    caller: Caller,
    uri: Uri,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let limit = page_limit(query.limit.as_deref())?;
    let query = MessageQuery {
        user: caller.confine(id_param("userId", query.user_id.as_deref())?)?,
        with: id_param("withUserId", query.with_user_id.as_deref())?,
        after: id_param("after", query.after.as_deref())?,
    };
    if caller.is_admin() {
        // Before they are handed out: what cannot be told afterwards is not read.
        let subject = query.user.map_or_else(|| "all users".to_owned(), |user| user.to_string());
        let note = AccessChange::Note { action: AuditAction::MessagesRead, subject };
        sambad.change_access(note, caller.actor()).await?;
    }
    Ok(reply::page(&uri, &sambad.messages(&query, limit).await?))
}
