//! `/api/sync-contacts`: which people of an address book are users.

use std::collections::HashMap;
use std::fmt;

use axum::extract::State;
use axum::response::Response;
use sambad_core::discovery::{Asker, PhoneBudget};
use sambad_core::model::KnownUser;
use sambad_core::{CountryCode, Error, Phone, UserRef, limits};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::documents::schema;
use crate::error::ApiError;
use crate::extract::{self, LargeJsonBody, Payload};
use crate::limits::Discovery;
use crate::object::Object;
use crate::reply;
use crate::router::AppState;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddressBook {
    /// For whom a service asks; of anybody else's it is not looked at.
    #[schema(value_type = Option<schema::UserName>)]
    user_id: Option<String>,
    #[schema(required, value_type = Vec<Entry>, max_items = 5000)]
    contacts: Option<Entries>,
}

/// As many entries as a book may have: what is beyond is not read, as a million of the smallest would take a hundred times the
/// memory of their text.
#[derive(Debug)]
struct Entries(Vec<Object<Entry>>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Entries, A::Error> {
        let mut read = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if read.len() == limits::SYNC_CONTACTS_MAX {
                return Err(A::Error::custom(format!("expected at most {} entries", limits::SYNC_CONTACTS_MAX)));
            }
            read.push(entry);
        }
        Ok(Entries(read))
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AddressBookEntry)]
struct Entry {
    name: Option<String>,
    phone: Option<String>,
}

impl LargeJsonBody for AddressBook {}

/// The people of an address book.
#[derive(Debug)]
pub(crate) struct People {
    /// Entries that were sent.
    pub(crate) total: usize,
    /// The phones that could be read, in the order sent, each once.
    pub(crate) phones: Vec<Phone>,
    /// What each is called.
    pub(crate) names: HashMap<Phone, Option<String>>,
}

impl AddressBook {
    /// For whom a service asks, if it says so.
    fn acting(&self) -> Result<Option<UserRef>, ApiError> {
        Ok(self.user_id.as_deref().map(|user| extract::user_ref("userId", user)).transpose()?)
    }

    /// Who is in it; entries without a phone that can be read are left out.
    pub(crate) fn into_people(self, default: &CountryCode) -> Result<People, ApiError> {
        let Entries(entries) = self.contacts.ok_or_else(|| Error::field("contacts", "missing"))?;
        let total = entries.len();
        let mut people = People { total, phones: Vec::with_capacity(total), names: HashMap::with_capacity(total) };
        for Object(entry) in entries {
            let phone = entry.phone.and_then(|text| Phone::parse(&text, default).ok());
            let Some(phone) = phone else { continue };
            if people.names.insert(phone.clone(), extract::name(entry.name)).is_none() {
                people.phones.push(phone);
            }
        }
        Ok(people)
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Matched {
    success: bool,
    total_contacts: usize,
    sambad_users: Vec<KnownUser>,
}

/// `POST /api/sync-contacts`; entries without a phone that can be read match nobody.
#[utoipa::path(
    post,
    path = "/api/sync-contacts",
    operation_id = "syncContacts",
    summary = "Finds the users of an address book.",
    description = "",
    request_body = AddressBook,
    params(("Idempotency-Key" = Option<schema::Key>, Header)),
    responses((status = 200, description = "Who is a user.", body = Matched)),
)]
pub(crate) async fn sync(
    State(state): State<AppState>,
    Discovery(budget): Discovery,
    payload: Payload<AddressBook>,
) -> Result<Response, ApiError> {
    let for_somebody = matches!(&budget, Some(PhoneBudget { asker: Asker::Service(_), .. }));
    let acting = if for_somebody { payload.body.acting()? } else { None };
    let People { total, phones, mut names } = payload.body.into_people(&state.config.default_country_code)?;
    if let Some(budget) = &budget {
        state.sambad.ask_phones(budget, acting.as_ref(), &phones).await?;
    }
    let found = state.sambad.known_users(&phones).await?;
    let place: HashMap<&Phone, usize> = phones.iter().enumerate().map(|(place, phone)| (phone, place)).collect();
    let matched = found.map(|mut users| {
        users.sort_by_key(|user| place.get(&user.phone).copied());
        for user in &mut users {
            if user.name.is_none() {
                user.name = names.remove(&user.phone).flatten();
            }
        }
        Matched { success: true, total_contacts: total, sambad_users: users }
    });
    Ok(reply::snapshot(&matched))
}
