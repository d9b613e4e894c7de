//! Kinds of events, and which of them a reader asks for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::UserId;

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A user logged in for the first time.
    UserCreated,
    /// A user added a contact.
    ContactAdded,
    /// A contact was removed.
    ContactRemoved,
    /// A user sent a message.
    MessageSent,
}

/// Says that a text names no kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a type of event: expected user_created, contact_added, contact_removed or message_sent")]
pub struct InvalidEventKind;

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::UserCreated, Self::ContactAdded, Self::ContactRemoved, Self::MessageSent];

    /// The stable name on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserCreated => "user_created",
            Self::ContactAdded => "contact_added",
            Self::ContactRemoved => "contact_removed",
            Self::MessageSent => "message_sent",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl FromStr for EventKind {
    type Err = InvalidEventKind;

    fn from_str(text: &str) -> Result<Self, InvalidEventKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(InvalidEventKind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of kinds; its order means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindSet(u8);

impl KindSet {
    /// Every kind.
    pub const ALL: Self = Self((1 << EventKind::ALL.len()) - 1);

    /// Whether `kind` is in the set.
    #[must_use]
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// The kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl Default for KindSet {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromIterator<EventKind> for KindSet {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | kind.bit()))
    }
}

/// Which events a reader asks for; the default is all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// Events of these kinds.
    pub kinds: KindSet,
    /// Events that involve this user, as the one who acts or the one acted upon.
    pub user: Option<UserId>,
}

/// The one or two users that an event involves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Involved {
    /// Who acted.
    pub user: UserId,
    /// Towards whom, if anybody.
    pub other: Option<UserId>,
}

impl Filter {
    /// Whether an event of `kind` between `involved` is asked for.
    #[must_use]
    pub fn matches(&self, kind: EventKind, involved: Involved) -> bool {
        let concerned = |user| involved.user == user || involved.other == Some(user);
        self.kinds.contains(kind) && self.user.is_none_or(concerned)
    }
}
