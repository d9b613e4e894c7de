//! What is stored, as clients see it: field order is the order on the wire.

use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::id::{ContactId, MessageId, UserId};
use crate::phone::Phone;
use crate::time::{Day, Timestamp};

/// The status of a user. All users are active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// The user is active.
    #[default]
    Active,
}

/// A user, identified by phone number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct User {
    /// The id, generated at the first login.
    pub id: UserId,
    /// The phone number again, as events name the user.
    pub username: Phone,
    /// The national phone number at `sambad.local`.
    pub email: String,
    /// The phone number, unique among users.
    pub phone: Phone,
    /// The name that the first login gave, if it gave one.
    #[cfg_attr(feature = "schema", schema(max_length = 100))]
    pub name: Option<String>,
    /// The status of the user.
    pub status: UserStatus,
    /// The time of the first login.
    pub created_at: Timestamp,
    /// The time of the last login, contact or message. It changes at most once a minute.
    pub last_active_at: Timestamp,
}

/// A user as another user sees them. Callers with other roles get all fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OtherUser {
    /// The id of the user.
    pub id: UserId,
    /// The phone number again.
    pub username: Phone,
    /// The national phone number at `sambad.local`. Absent for a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The phone number of the user.
    pub phone: Phone,
    /// The name of the user.
    #[cfg_attr(feature = "schema", schema(required, max_length = 100))]
    pub name: Option<String>,
    /// The status of the user. Absent for a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<UserStatus>,
    /// The time of the first login. Absent for a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// The time of the last login, contact or message. Absent for a user's token.
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

/// A contact: one user added another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(from = "AnyContact")]
pub struct Contact {
    /// The id of the contact.
    pub id: ContactId,
    /// The id of the user who added the contact.
    pub user_id: UserId,
    /// The phone number of the user who added the contact.
    pub user_username: Phone,
    /// The id of the user who was added.
    pub contact_user_id: UserId,
    /// The phone number of the user who was added.
    pub contact_user_username: Phone,
    /// The time at which the contact was added.
    pub created_at: Timestamp,
    /// The name that the adding user gave. Default: the name of the added user, or their phone number.
    #[cfg_attr(feature = "schema", schema(max_length = 100))]
    pub name: String,
    /// The phone number of the added user again, under the name that apps of the first backend read.
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

/// A contact with both users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ContactWithUsers {
    /// The contact.
    #[serde(flatten)]
    pub contact: Contact,
    /// The user who added the contact.
    pub user: User,
    /// The user who was added.
    pub contact_user: OtherUser,
}

/// A message from one user to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Message {
    /// The id of the message.
    pub id: MessageId,
    /// The id of the sender.
    pub from_user_id: UserId,
    /// The phone number of the sender.
    pub from_username: Phone,
    /// The id of the recipient.
    pub to_user_id: UserId,
    /// The phone number of the recipient.
    pub to_username: Phone,
    /// The text: 1 to 4,096 characters.
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 4096))]
    pub content: String,
    /// The kind of content, such as `text`.
    #[cfg_attr(feature = "schema", schema(pattern = "^[a-z][a-z0-9_]{0,31}$"))]
    #[serde(rename = "type")]
    pub message_type: String,
    /// The time at which the message was sent.
    pub created_at: Timestamp,
}

/// Counts of one UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DailyCounts {
    /// The day.
    pub date: Day,
    /// Users created on this day.
    pub users: u64,
    /// Contacts added on this day, including contacts that were removed later.
    pub contacts: u64,
    /// Messages sent on this day.
    pub messages: u64,
}

/// The figures of the dashboard, read from counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Analytics {
    /// All users.
    pub total_users: u64,
    /// Users created today (UTC).
    pub new_users: u64,
    /// Users who were active in the last 7 days (UTC), including today.
    pub active_users: u64,
    /// All other users.
    pub inactive_users: u64,
    /// New users as a percentage of all users, with two decimals.
    pub growth: f64,
    /// All contacts.
    pub total_contacts: u64,
    /// All messages.
    pub total_messages: u64,
    /// Counts of the last 30 days (UTC), oldest first. Days without events are included.
    pub daily: Vec<DailyCounts>,
}

/// A user whose phone number is in the address book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KnownUser {
    /// The id of the user.
    pub id: UserId,
    /// The phone number of the user.
    pub phone: Phone,
    /// The name of the user. Default: the name in the address book.
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
