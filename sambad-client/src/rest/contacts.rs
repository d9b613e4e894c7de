//! Contacts: adding, listing and removing them, and matching an address book.

use reqwest::Method;
use sambad_core::model::{Contact, ContactWithUsers, KnownUser};
use sambad_core::{ContactId, UserId};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, PageToken};
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::rest::write;
use crate::user_ref::UserRef;

/// Who adds whom.
#[derive(Debug, Clone, Serialize)]
pub struct NewContact {
    /// Who adds.
    #[serde(rename = "userId")]
    pub user: UserRef,
    /// Who is added; must be a user already.
    #[serde(rename = "contactUserId")]
    pub contact: UserRef,
    /// What the one calls the other, at most 100 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl NewContact {
    /// A contact without a name of its own.
    pub fn new(user: impl Into<UserRef>, contact: impl Into<UserRef>) -> Self {
        Self { user: user.into(), contact: contact.into(), name: None }
    }
}

/// The outcome of adding a contact.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct AddedContact {
    /// The contact, new or not: it is new when the answer has a `seq`.
    pub contact: Contact,
}

/// Which contacts to list; the default is the first page of all.
#[derive(Debug, Clone, Default)]
pub struct ContactQuery {
    /// Contacts that this user added.
    pub user: Option<UserId>,
    /// Contacts of a page, 1 to 500; the server's default is 100.
    pub limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    pub after: Option<PageToken>,
}

/// An entry of somebody's address book.
#[derive(Debug, Clone, Serialize)]
pub struct AddressBookEntry {
    /// What the address book calls the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Phone number, in whatever form it was typed.
    pub phone: String,
}

/// Which of an address book's people are users.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct KnownContacts {
    /// Entries looked at.
    pub total_contacts: u64,
    /// Those who are users.
    pub sambad_users: Vec<KnownUser>,
}

/// What is sent of an address book.
#[derive(Serialize)]
struct AddressBook<'a> {
    #[serde(rename = "userId", skip_serializing_if = "Option::is_none")]
    user: Option<UserRef>,
    contacts: &'a [AddressBookEntry],
}

impl Client {
    /// Adds a contact. One that exists already is answered as it is, without a `seq`.
    ///
    /// # Errors
    /// `user_not_found` and `self_contact`, among others.
    pub async fn add_contact(&self, contact: &NewContact) -> Result<Answer<AddedContact>, Error> {
        write(self, Call::post("/api/contacts", contact)).await
    }

    /// Lists contacts with both their users; `next` of the answer leads on.
    ///
    /// # Errors
    /// `invalid_field`, among others.
    pub async fn contacts(&self, query: &ContactQuery) -> Result<Answer<Vec<ContactWithUsers>>, Error> {
        let call = Call::get("/api/contacts").query("userId", query.user);
        self.call(call.query("limit", query.limit).query("after", query.after.as_ref())).await
    }

    /// Removes a contact. Carries no idempotency key: a repeated removal is refused and harmless.
    ///
    /// # Errors
    /// `contact_not_found`, among others.
    pub async fn remove_contact(&self, id: ContactId) -> Result<Answer<Contact>, Error> {
        let answer: Answer<AddedContact> = write(self, Call::new(Method::DELETE, format!("/api/contacts/{id}"))).await?;
        Ok(answer.map(|removed| removed.contact))
    }

    /// Says which people of an address book (at most 5,000) are users; stores nothing.
    ///
    /// # Errors
    /// `invalid_field`, `body_too_large` and `rate_limited`, among others.
    pub async fn sync_contacts(&self, entries: &[AddressBookEntry]) -> Result<Answer<KnownContacts>, Error> {
        self.sync(&AddressBook { user: None, contacts: entries }).await
    }

    /// As [`Client::sync_contacts`], for a service that asks on behalf of `user`: new phones count against that user's budget.
    ///
    /// # Errors
    /// `user_not_found` and `rate_limited`, among others.
    pub async fn sync_contacts_for(
        &self,
        user: impl Into<UserRef>,
        entries: &[AddressBookEntry],
    ) -> Result<Answer<KnownContacts>, Error> {
        self.sync(&AddressBook { user: Some(user.into()), contacts: entries }).await
    }

    async fn sync(&self, book: &AddressBook<'_>) -> Result<Answer<KnownContacts>, Error> {
        self.call(Call::post("/api/sync-contacts", book)).await
    }
}
