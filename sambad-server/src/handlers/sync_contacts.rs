//! `/api/sync-contacts`: which people of an address book are users.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use axum::extract::State;
use axum::response::Response;
use sambad_core::discovery::{Asker, PhoneBudget};
use sambad_core::model::KnownUser;
use sambad_core::{CountryCode, Error, Phone, UserRef, WrittenPhone, limits};
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::documents::schema;
use crate::error::ApiError;
use crate::extract::{self, LargeJsonBody, Payload};
use crate::limits::Discovery;
use crate::reply;
use crate::router::AppState;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddressBook {
    /// The user for whom a service requests the match: a UUID or a phone number. Other callers' values are ignored.
    #[serde(default, deserialize_with = "extract::digits")]
    #[schema(schema_with = schema::any_digits)]
    user_id: Option<String>,
    /// The entries, at most 5,000.
    #[schema(required, value_type = Vec<Entry>, max_items = 5000)]
    contacts: Option<Entries>,
}

/// As many entries as a book may have: what is beyond is not read, as a million of the smallest would take a hundred times the
/// memory of their text.
#[derive(Debug)]
struct Entries(Vec<Entry>);

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

/// An entry of an address book. Fields that cannot be read are ignored.
#[derive(Debug, Default, ToSchema)]
#[schema(as = AddressBookEntry)]
struct Entry {
    /// The name of the person in the address book.
    name: Option<String>,
    /// The phone number. An entry without a readable number matches no user.
    #[schema(value_type = Option<schema::WrittenPhone>)]
    phone: Option<String>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

/// Passes over values that say nothing, which must not keep the rest of a book from being read.
macro_rules! pass_over {
    ($($visit:ident $value:ty;)*) => {
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("anything")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self::Value, A::Error> {
            while values.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }

        $(fn $visit<E>(self, _: $value) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        })*
    };
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    pass_over! { visit_bool bool; visit_i64 i64; visit_u64 u64; visit_f64 f64; visit_str &str; }

    fn visit_unit<E>(self) -> Result<Entry, E> {
        Ok(Entry::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Entry, A::Error> {
        let mut entry = Entry::default();
        while let Some(field) = fields.next_key::<Cow<'de, str>>()? {
            match &*field {
                "name" => entry.name = fields.next_value::<Text>()?.0,
                "phone" => entry.phone = fields.next_value::<Text>()?.0,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(entry)
    }
}

/// A text, or a whole number's digits, or nothing.
#[derive(Default)]
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    pass_over! { visit_bool bool; visit_i64 i64; visit_f64 f64; }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(Some(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
        Ok(Text(Some(number.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Text, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::default())
    }
}

impl LargeJsonBody for AddressBook {}

/// The people of an address book.
#[derive(Debug)]
pub(crate) struct People {
    /// Entries that were sent.
    pub(crate) total: usize,
    /// Those with a phone that can be read, in the order sent: the phone, and what the person is called.
    pub(crate) people: Vec<(WrittenPhone, Option<String>)>,
}

impl AddressBook {
    /// For whom a service asks, if it says so.
    fn acting(&self, default: &CountryCode) -> Result<Option<UserRef>, ApiError> {
        Ok(self.user_id.as_deref().map(|user| extract::user_ref("userId", user, default)).transpose()?)
    }

    /// Who is in it; entries without a phone that can be read are left out.
    pub(crate) fn into_people(self, default: &CountryCode) -> Result<People, ApiError> {
        let Entries(entries) = self.contacts.ok_or_else(|| Error::field("contacts", "missing"))?;
        let total = entries.len();
        let read = |entry: Entry| Some((WrittenPhone::read(&entry.phone?, default).ok()?, extract::name(entry.name)));
        Ok(People { total, people: entries.into_iter().filter_map(read).collect() })
    }
}

impl People {
    /// Every number that somebody in it may be stored under, each once.
    fn phones(&self) -> Vec<Phone> {
        let phones: HashSet<&Phone> = self.people.iter().flat_map(|(phone, _)| phone.readings()).collect();
        phones.into_iter().cloned().collect()
    }

    /// Those who are users, in the order sent, each once; the last entry of a user who has no name says what they are called.
    fn users(&self, found: Vec<KnownUser>) -> Vec<KnownUser> {
        let mut found: HashMap<Phone, (KnownUser, Option<usize>)> =
            found.into_iter().map(|user| (user.phone.clone(), (user, None))).collect();
        let mut users: Vec<KnownUser> = Vec::with_capacity(found.len());
        for (phone, name) in &self.people {
            let Some(stored) = phone.readings().find(|reading| found.contains_key(reading)) else { continue };
            let Some((user, place)) = found.get_mut(stored) else { continue };
            let place = *place.get_or_insert_with(|| {
                users.push(user.clone());
                users.len() - 1
            });
            if user.name.is_none() {
                users[place].name.clone_from(name);
            }
        }
        users
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
    summary = "Match an address book",
    description = "Returns the users whose phone numbers are in an address book. No event is stored.",
    request_body = AddressBook,
    params(("Idempotency-Key" = Option<schema::Key>, Header)),
    responses((status = 200, description = "The users that were found.", body = Matched)),
)]
pub(crate) async fn sync(
    State(state): State<AppState>,
    Discovery(budget): Discovery,
    payload: Payload<AddressBook>,
) -> Result<Response, ApiError> {
    let code = &state.config.default_country_code;
    let for_somebody = matches!(&budget, Some(PhoneBudget { asker: Asker::Service(_), .. }));
    let acting = if for_somebody { payload.body.acting(code)? } else { None };
    let people = payload.body.into_people(code)?;
    let phones = people.phones();
    if let Some(budget) = &budget {
        state.sambad.ask_phones(budget, acting.as_ref(), &phones).await?;
    }
    let found = state.sambad.known_users(&phones).await?;
    let total_contacts = people.total;
    Ok(reply::snapshot(&found.map(|found| Matched { success: true, total_contacts, sambad_users: people.users(found) })))
}
