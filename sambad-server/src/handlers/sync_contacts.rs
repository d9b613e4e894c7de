//! `/api/sync-contacts`: which people of an address book are users.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use sambad_core::model::KnownUser;
use sambad_core::{Error, Phone, limits};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::extract::{self, LargeJsonBody, Payload};
use crate::reply;
use crate::router::AppState;

#[derive(Debug, Deserialize)]
pub(crate) struct AddressBook {
    contacts: Option<Vec<Entry>>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: Option<String>,
    phone: Option<String>,
}

impl LargeJsonBody for AddressBook {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Matched {
    success: bool,
    total_contacts: usize,
    sambad_users: Vec<KnownUser>,
}

/// `POST /api/sync-contacts`; entries without a phone that can be read match nobody.
pub(crate) async fn sync(State(state): State<AppState>, payload: Payload<AddressBook>) -> Result<Response, ApiError> {
    let entries = payload.body.contacts.ok_or_else(|| Error::field("contacts", "missing"))?;
    if entries.len() > limits::SYNC_CONTACTS_MAX {
        return Err(Error::field("contacts", format!("expected at most {} entries", limits::SYNC_CONTACTS_MAX)).into());
    }
    let total_contacts = entries.len();
    let mut names: HashMap<Phone, Option<String>> = HashMap::with_capacity(total_contacts);
    let mut phones = Vec::with_capacity(total_contacts);
    for entry in entries {
        let phone = entry.phone.and_then(|text| Phone::parse(&text, &state.config.default_country_code).ok());
        let Some(phone) = phone else { continue };
        if names.insert(phone.clone(), extract::name(entry.name)).is_none() {
            phones.push(phone);
        }
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
        Matched { success: true, total_contacts, sambad_users: users }
    });
    Ok(reply::snapshot(&matched))
}
