//! `/api/messages`: send, list.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use sambad_core::access::AuditAction;
use sambad_core::model::Message;
use sambad_core::{Command, CountryCode, Error, MessageQuery, Outcome, Sambad, Seq, UserRef};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::unexpected_outcome;
use crate::auth::Caller;
use crate::documents::schema;
use crate::error::ApiError;
use crate::extract::{self, JsonBody, Payload, Query, id_param, page_limit, param, recipient_ref, required, user_ref};
use crate::limits::Discovery;
use crate::reply;
use crate::router::AppState;

/// What a message is when the app does not say.
const DEFAULT_TYPE: &str = "text";

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendMessage {
    /// The sender: a UUID or a phone number.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(value_type = Option<schema::WrittenUserOrNothing>)]
    from_user_id: Option<String>,
    /// Older apps' name for `fromUserId`.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(value_type = Option<schema::ReadIfAlone>)]
    from_id: Option<String>,
    /// The recipient: a UUID or a phone number. A number without `+` is a national number of the sender's country.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(value_type = Option<schema::WrittenUserOrNothing>)]
    to_user_id: Option<String>,
    /// Older apps' name for `toUserId`.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(value_type = Option<schema::ReadIfAlone>)]
    to_id: Option<String>,
    /// The text: 1 to 4,096 characters.
    #[schema(required, value_type = String, min_length = 1, max_length = 4096, pattern = r"^[^\x00]+$")]
    content: Option<String>,
    /// The kind of content. Default: `text`.
    #[serde(rename = "type")]
    #[schema(pattern = r"^[a-z][a-z0-9_]{0,31}$")]
    message_type: Option<String>,
}

impl JsonBody for SendMessage {
    fn meaning(&self) -> impl Serialize {
        let message_type = self.message_type.as_deref().unwrap_or(DEFAULT_TYPE);
        (extract::named(self.from()), extract::named(self.to()), self.content.as_deref(), message_type)
    }
}

impl SendMessage {
    fn from(&self) -> Option<&str> {
        extract::said(self.from_user_id.as_deref()).or(self.from_id.as_deref())
    }

    fn to(&self) -> Option<&str> {
        extract::said(self.to_user_id.as_deref()).or(self.to_id.as_deref())
    }

    /// What the body asks for.
    pub(crate) fn into_command(self, default: &CountryCode) -> Result<Command, ApiError> {
        let from = user_ref("fromUserId", required("fromUserId", self.from())?, default)?;
        let to = recipient_ref("toUserId", required("toUserId", self.to())?, default)?;
        let content = self.content.ok_or_else(|| Error::field("content", "missing"))?;
        let message_type = self.message_type.unwrap_or_else(|| DEFAULT_TYPE.into());
        Ok(Command::SendMessage { from, to, content, message_type })
    }
}

#[derive(Serialize, ToSchema)]
struct Sent<'a> {
    #[serde(flatten)]
    fields: &'a Message,
    message: &'static str,
    seq: Option<Seq>,
}

/// `POST /api/messages`
#[utoipa::path(
    post,
    path = "/api/messages",
    operation_id = "sendMessage",
    summary = "Send a message",
    description = "Stores a message from one user to another, and the event `message_sent`.",
    request_body = SendMessage,
    params(("Idempotency-Key" = Option<schema::Key>, Header)),
    responses((status = 201, description = "The message was stored.", body = Sent)),
)]
pub(crate) async fn send(
    State(state): State<AppState>,
    caller: Caller,
    Discovery(budget): Discovery,
    payload: Payload<SendMessage>,
) -> Result<Response, ApiError> {
    let mut command = payload.body.into_command(&state.config.default_country_code)?;
    if let Command::SendMessage { from, .. } = &mut command {
        caller.must_be(from, &state.sambad).await?;
        // Whose phone it is was judged, and is not looked up again.
        *from = caller.user().map_or_else(|| from.clone(), UserRef::Id);
    }
    let receipt = state.sambad.execute_within(budget.as_ref(), command, payload.key).await?;
    let Outcome::MessageSent { message } = &receipt.outcome else { return Err(unexpected_outcome()) };
    let body = Sent { fields: message, message: "Message sent successfully", seq: receipt.seq };
    Ok(reply::receipt(&receipt, StatusCode::CREATED, body))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Messages that this user (a UUID) sent or received. Default: all messages.
    #[param(value_type = Option<schema::UuidOrNothing>)]
    user_id: Option<String>,
    /// Messages with this user, a UUID: of `userId` if it is given.
    #[param(value_type = Option<schema::UuidOrNothing>)]
    with_user_id: Option<String>,
    /// The number of rows of a page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Option<String>,
    /// The position of this page, from the header `Link` of the page before.
    #[param(value_type = Option<schema::ListToken>)]
    after: Option<String>,
}

/// `GET /api/messages`
#[utoipa::path(
    get,
    path = "/api/messages",
    operation_id = "listMessages",
    summary = "List messages",
    description = "Lists messages, newest first. A user gets only messages that they sent or received.",
    params(ListQuery),
    responses((status = 200, description = "A page of the list. The header `Link` has the address of the next page.", body = Vec<Message>, headers(("Link" = Option<String>)))),
)]
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
        after: param("after", query.after.as_deref())?,
    };
    caller.note_reading(AuditAction::MessagesRead, query.user, &sambad).await?;
    Ok(reply::page(&uri, &sambad.messages(&query, limit).await?))
}
