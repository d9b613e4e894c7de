//! `/api/contacts`: add, list, remove.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use sambad_core::access::AuditAction;
use sambad_core::model::{Contact, ContactWithUsers};
use sambad_core::{Command, ContactQuery, CountryCode, Error, Outcome, Receipt, Sambad, Seq, UserRef};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::unexpected_outcome;
use crate::auth::{Caller, user_or_all};
use crate::documents::schema;
use crate::error::ApiError;
use crate::extract::{self, JsonBody, Payload, Query, Segment, id_param, page_limit, param, required, user_ref};
use crate::limits::Discovery;
use crate::reply;
use crate::router::AppState;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddContact {
    /// The user who adds the contact: a UUID or a phone number.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(required, value_type = schema::WrittenUser)]
    user_id: Option<String>,
    /// The user to add: a UUID or a phone number.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(value_type = Option<schema::WrittenUserOrNothing>)]
    contact_user_id: Option<String>,
    /// The phone number of the user to add, if `contactUserId` is absent.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(value_type = Option<schema::ReadIfAlone>)]
    phone: Option<String>,
    /// The name that the adding user gives to the contact.
    #[schema(max_length = 100, pattern = r"^[^\x00]*$")]
    name: Option<String>,
}

impl JsonBody for AddContact {
    fn meaning(&self) -> impl Serialize {
        let contact = extract::said(self.contact_user_id.as_deref()).or(self.phone.as_deref());
        (extract::named(self.user_id.as_deref()), extract::named(contact), extract::name(self.name.clone()))
    }
}

impl AddContact {
    /// What the body asks for.
    pub(crate) fn into_command(self, default: &CountryCode) -> Result<Command, ApiError> {
        let user = user_ref("userId", required("userId", self.user_id.as_deref())?, default)?;
        let contact = match (extract::said(self.contact_user_id.as_deref()), &self.phone) {
            (Some(id), _) => user_ref("contactUserId", id, default)?,
            (None, Some(phone)) => UserRef::Phone(extract::phone("phone", phone, default)?),
            (None, None) => return Err(Error::field("contactUserId", "missing").into()),
        };
        Ok(Command::AddContact { user, contact, name: extract::name(self.name) })
    }
}

#[derive(Serialize, ToSchema)]
struct ContactReply<'a> {
    #[serde(flatten)]
    fields: &'a Contact,
    message: &'static str,
    contact: &'a Contact,
    seq: Option<Seq>,
}

/// `POST /api/contacts`
#[utoipa::path(
    post,
    path = "/api/contacts",
    operation_id = "addContact",
    summary = "Add a contact",
    description = "Adds a user to the contacts of another, and stores the event `contact_added`.",
    request_body = AddContact,
    params(("Idempotency-Key" = Option<schema::Key>, Header)),
    responses((status = 201, description = "The contact was added.", body = ContactReply), (status = 200, description = "The contact already exists. No event was stored.", body = ContactReply)),
)]
pub(crate) async fn add(
    State(state): State<AppState>,
    caller: Caller,
    Discovery(budget): Discovery,
    payload: Payload<AddContact>,
) -> Result<Response, ApiError> {
    let mut command = payload.body.into_command(&state.config.default_country_code)?;
    if let Command::AddContact { user, .. } = &mut command {
        caller.must_be(user, &state.sambad).await?;
        // Whose phone it is was judged, and is not looked up again.
        *user = caller.user().map_or_else(|| user.clone(), UserRef::Id);
    }
    let receipt = state.sambad.execute_within(budget.as_ref(), command, payload.key).await?;
    let Outcome::ContactAdded { contact, created } = &receipt.outcome else { return Err(unexpected_outcome()) };
    let (status, message) =
        if *created { (StatusCode::CREATED, "Contact added successfully") } else { (StatusCode::OK, "Contact already exists") };
    Ok(answer(&receipt, status, message, contact))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Contacts of this user. Default: all contacts.
    #[param(value_type = Option<schema::UuidOrNothing>)]
    user_id: Option<String>,
    /// The number of rows of a page.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500, default = 100)]
    limit: Option<String>,
    /// The position of this page, from the header `Link` of the page before.
    #[param(value_type = Option<schema::ListToken>)]
    after: Option<String>,
}

/// `GET /api/contacts`
#[utoipa::path(
    get,
    path = "/api/contacts",
    operation_id = "listContacts",
    summary = "List contacts",
    description = "Lists contacts with both users, newest first. A user gets only their own contacts.",
    params(ListQuery),
    responses((status = 200, description = "A page of the list. The header `Link` has the address of the next page.", body = Vec<ContactWithUsers>, headers(("Link" = Option<String>)))),
)]
pub(crate) async fn list(
    State(sambad): State<Sambad>,
    caller: Caller,
    uri: Uri,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let limit = page_limit(query.limit.as_deref())?;
    let user = caller.confine(id_param("userId", query.user_id.as_deref())?)?;
    let query = ContactQuery { user, after: param("after", query.after.as_deref())? };
    caller.count_reading(AuditAction::ContactsRead, user_or_all(user), &sambad).await?;
    let mut page = sambad.contacts(&query, limit).await?;
    if caller.user().is_some() {
        page.value.items.iter_mut().for_each(|entry| entry.contact_user.keep_what_users_see());
    }
    Ok(reply::page(&uri, &page))
}

/// `DELETE /api/contacts/{id}`
#[utoipa::path(
    delete,
    path = "/api/contacts/{id}",
    operation_id = "removeContact",
    summary = "Remove a contact",
    description = "Removes a contact, and stores the event `contact_removed`.",
    params(("id" = schema::Uuid, Path)),
    responses((status = 200, description = "The contact was removed.", body = ContactReply)),
)]
pub(crate) async fn remove(State(sambad): State<Sambad>, caller: Caller, Segment(id): Segment) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| Error::InvalidId { field: "id" })?;
    let receipt = sambad.execute(Command::RemoveContact { id, owner: caller.user() }, None).await?;
    let Outcome::ContactRemoved { contact } = &receipt.outcome else { return Err(unexpected_outcome()) };
    Ok(answer(&receipt, StatusCode::OK, "Contact removed", contact))
}

fn answer(receipt: &Receipt, status: StatusCode, message: &'static str, contact: &Contact) -> Response {
    reply::receipt(receipt, status, ContactReply { fields: contact, message, contact, seq: receipt.seq })
}
