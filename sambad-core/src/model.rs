//! What is stored, as clients see it: field order is the order on the wire.

use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::id::{ContactId, MessageId, UserId};
use crate::phone::Phone;
use crate::time::{Day, Timestamp};

/// Whether a user may take part; every user may, so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// Takes part.
    #[default]
    Active,
}

/// A person, known by phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct User {
    /// Identity, made at the first login.
    pub id: UserId,
    /// The phone number again: the name by which events speak of the user.
    pub username: Phone,
    /// The national number at `sambad.local`.
    pub email: String,
    /// E.164 phone number, unique.
    pub phone: Phone,
    /// What the user wants to be called, if the first login said so.
    #[cfg_attr(feature = "schema", schema(max_length = 100))]
    pub name: Option<String>,
    /// Whether the user may take part.
    pub status: UserStatus,
    /// When the first login was committed.
    pub created_at: Timestamp,
    /// Last login, contact or message; moves at most once a minute.
    pub last_active_at: Timestamp,
}

/// A user as others see them: whoever may see everything of everybody gets the other fields as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OtherUser {
    /// Identity.
    pub id: UserId,
    /// The phone number again.
    pub username: Phone,
    /// The national number at `sambad.local`; absent for a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// E.164 phone number.
    pub phone: Phone,
    /// What the user wants to be called.
    #[cfg_attr(feature = "schema", schema(required, max_length = 100))]
    pub name: Option<String>,
    /// Whether the user may take part; absent for a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<UserStatus>,
    /// When the first login was committed; absent for a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Last login, contact or message; absent for a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_active_at: Option<Timestamp>,
}

impl OtherUser {
    /// Leaves what one user may see of another: id, phone and name.
    pub fn keep_what_users_see(&mut self) {
        (self.email, self.status, self.created_at, self.last_active_at) = (None, None, None, None);
    }
}

impl From<User> for OtherUser {
    fn from(user: User) -> Self {
        let User { id, username, email, phone, name, status, created_at, last_active_at } = user;
        let (email, status) = (Some(email), Some(status));
        let (created_at, last_active_at) = (Some(created_at), Some(last_active_at));
        Self { id, username, email, phone, name, status, created_at, last_active_at }
    }
}

/// One user's link to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(from = "AnyContact")]
pub struct Contact {
    /// Identity.
    pub id: ContactId,
    /// Who added.
    pub user_id: UserId,
    /// Phone of who added.
    pub user_username: Phone,
    /// Who was added.
    pub contact_user_id: UserId,
    /// Phone of who was added.
    pub contact_user_username: Phone,
    /// When it was committed.
    pub created_at: Timestamp,
    /// What the adding user calls the other; if that was not said, the other's own name, or else their phone.
    #[cfg_attr(feature = "schema", schema(max_length = 100))]
    pub name: String,
    /// Phone of who was added, again: by this name apps of the first backend read it.
    pub phone: Phone,
}

/// A contact as any version wrote it: older ones had no `phone`, and no `name` where none was said. Their answers are kept with
/// idempotency keys.
#[derive(Deserialize)]
struct AnyContact {
    id: ContactId,
    user_id: UserId,
    user_username: Phone,
    contact_user_id: UserId,
    contact_user_username: Phone,
    created_at: Timestamp,
    name: Option<String>,
}

impl From<AnyContact> for Contact {
    fn from(contact: AnyContact) -> Self {
        let AnyContact { id, user_id, user_username, contact_user_id, contact_user_username, created_at, name } = contact;
        let phone = contact_user_username.clone();
        let name = name.unwrap_or_else(|| phone.to_string());
        Self { id, user_id, user_username, contact_user_id, contact_user_username, created_at, name, phone }
    }
}

/// A contact with both its users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ContactWithUsers {
    /// The contact.
    #[serde(flatten)]
    pub contact: Contact,
    /// Who added.
    pub user: User,
    /// Who was added.
    pub contact_user: OtherUser,
}

/// A message from one user to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Message {
    /// Identity; newer messages have higher ids.
    pub id: MessageId,
    /// Who sent.
    pub from_user_id: UserId,
    /// Phone of who sent.
    pub from_username: Phone,
    /// To whom.
    pub to_user_id: UserId,
    /// Phone of whom.
    pub to_username: Phone,
    /// 1 to 4,096 characters.
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 4096))]
    pub content: String,
    /// What kind of content: `[a-z][a-z0-9_]{0,31}`.
    #[cfg_attr(feature = "schema", schema(pattern = "^[a-z][a-z0-9_]{0,31}$"))]
    #[serde(rename = "type")]
    pub message_type: String,
    /// When it was committed.
    pub created_at: Timestamp,
}

/// Counts of one UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DailyCounts {
    /// The day.
    pub date: Day,
    /// Users created on it.
    pub users: u64,
    /// Contacts added on it, whether or not they were removed since.
    pub contacts: u64,
    /// Messages sent on it.
    pub messages: u64,
}

/// The dashboard's figures, read from counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Analytics {
    /// Users in all.
    pub total_users: u64,
    /// Users created today (UTC).
    pub new_users: u64,
    /// Users seen in the last 7 UTC days, today included.
    pub active_users: u64,
    /// The other users.
    pub inactive_users: u64,
    /// New users in percent of all, two decimals.
    pub growth: f64,
    /// Contacts that exist.
    pub total_contacts: u64,
    /// Messages in all.
    pub total_messages: u64,
    /// The last 30 UTC days, oldest first, days without anything included.
    pub daily: Vec<DailyCounts>,
}

/// An entry of an address book, matched by phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KnownUser {
    /// The user with that phone.
    pub id: UserId,
    /// E.164 phone number.
    pub phone: Phone,
    /// The user's own name, else what the address book says.
    pub name: Option<String>,
}

/// Something read from the store, and the position in the log at which it was true.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot<T> {
    /// The head of the log in the very transaction that read `value`.
    pub cursor: Cursor,
    /// What was read.
    pub value: T,
}

impl<T> Snapshot<T> {
    /// Turns the value into another at the same position.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Snapshot<U> {
        Snapshot { cursor: self.cursor, value: f(self.value) }
    }
}
