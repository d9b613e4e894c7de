//! `/api/messages`: send, list.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use sambad_core::model::Message;
use sambad_core::{Command, Error, MessageQuery, Outcome, Sambad, Seq};
use serde::{Deserialize, Serialize};

use super::unexpected_outcome;
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

#[derive(Serialize)]
struct Sent<'a> {
    #[serde(flatten)]
    fields: &'a Message,
    message: &'static str,
    seq: Option<Seq>,
}

/// `POST /api/messages`
pub(crate) async fn send(State(sambad): State<Sambad>, payload: Payload<SendMessage>) -> Result<Response, ApiError> {
    let SendMessage { from_user_id, from_id, to_user_id, to_id, content, message_type } = payload.body;
    let from = user_ref("fromUserId", required("fromUserId", from_user_id.or(from_id).as_deref())?)?;
    let to = recipient_ref("toUserId", required("toUserId", to_user_id.or(to_id).as_deref())?)?;
    let content = content.ok_or_else(|| Error::field("content", "missing"))?;
    let message_type = message_type.unwrap_or_else(|| DEFAULT_TYPE.into());
    let receipt = sambad.execute(Command::SendMessage { from, to, content, message_type }, payload.key).await?;
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
pub(crate) async fn list(State(sambad): State<Sambad>, uri: Uri, Query(query): Query<ListQuery>) -> Result<Response, ApiError> {
    let limit = page_limit(query.limit.as_deref())?;
    let query = MessageQuery {
        user: id_param("userId", query.user_id.as_deref())?,
        with: id_param("withUserId", query.with_user_id.as_deref())?,
        after: id_param("after", query.after.as_deref())?,
    };
    Ok(reply::page(&uri, &sambad.messages(&query, limit).await?))
}
