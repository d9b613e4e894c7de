//! What an earlier run left: its people, and who knows whom.

use std::collections::HashMap;

use sambad_client::{Client, ContactQuery, Error, Phone, UserRef};

use super::cast::person;
use super::write::Contacts;

/// Rows of one page, the contract's bound.
const PAGE_ROWS: u32 = 500;
/// Pages of contacts looked at; older contacts are met when somebody adds them again, which changes nothing.
const PAGES_MAX: usize = 40;

/// What there is already.
#[derive(Debug)]
pub(super) struct Found {
    /// How many of the cast, from the first.
    pub(super) users: u32,
    /// Contacts among them.
    pub(super) contacts: Contacts,
}

impl Found {
    /// Looks for the first `users_max` of the cast.
    pub(super) async fn look(client: &Client, users_max: u32) -> Result<Self, Error> {
        let users = users(client, users_max).await?;
        let contacts = if users == 0 { Contacts::new() } else { contacts(client, users).await? };
        Ok(Self { users, contacts })
    }
}

/// How many have come: as they come one after the other, a search finds where they end.
async fn users(client: &Client, users_max: u32) -> Result<u32, Error> {
    // Most often there is nobody, or a handful: steps that double ask least then.
    let (mut come, mut beyond) = (0, 1);
    while beyond <= users_max && exists(client, beyond - 1).await? {
        come = beyond;
        beyond *= 2;
    }
    let mut beyond = beyond.min(users_max + 1);
    while beyond - come > 1 {
        let middle = come + (beyond - come) / 2;
        if exists(client, middle - 1).await? { come = middle } else { beyond = middle }
    }
    Ok(come)
}

async fn exists(client: &Client, who: u32) -> Result<bool, Error> {
    match client.user(&UserRef::from(person(who).phone)).await {
        Ok(_) => Ok(true),
        Err(error) if error.api_code() == Some("user_not_found") => Ok(false),
        Err(error) => Err(error),
    }
}

async fn contacts(client: &Client, users: u32) -> Result<Contacts, Error> {
    let places: HashMap<Phone, u32> = (0..users).map(|who| (person(who).phone, who)).collect();
    let (mut contacts, mut after) = (Contacts::new(), None);
    for _ in 0..PAGES_MAX {
        let page = client.contacts(&ContactQuery { user: None, limit: Some(PAGE_ROWS), after }).await?;
        for entry in page.value {
            let contact = entry.contact;
            if let (Some(who), Some(whom)) = (places.get(&contact.user_username), places.get(&contact.contact_user_username)) {
                contacts.insert((*who, *whom), contact.id);
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(contacts)
}
