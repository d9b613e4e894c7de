//! Which rows are listed, and in which order.

use std::fmt;
use std::str::FromStr;

use crate::id::UserId;
use crate::phone::Phone;

/// Where a page of a list ended: the place in the log of its last row. Its text is the page token that clients pass on.
///
/// Rows whose events were trimmed before places were stored have one below 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPosition(i64);

impl ListPosition {
    /// Before every row.
    pub(super) const FIRST: Self = Self(i64::MIN);
    /// Behind every row.
    pub(super) const LAST: Self = Self(i64::MAX);

    pub(super) fn new(seq: i64) -> Self {
        Self(seq)
    }

    pub(super) fn seq(self) -> i64 {
        self.0
    }
}

/// Says that a text is no page token of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the page token of a `Link` header: tokens of older versions are no longer valid, start the list again")]
pub struct InvalidListPosition;

impl FromStr for ListPosition {
    type Err = InvalidListPosition;

    /// A position has one spelling.
    fn from_str(text: &str) -> Result<Self, InvalidListPosition> {
        let position = text.parse().map(Self).map_err(|_| InvalidListPosition)?;
        if position.to_string() == text { Ok(position) } else { Err(InvalidListPosition) }
    }
}

impl fmt::Display for ListPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// In which order users are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserOrder {
    /// The oldest first, in the order of the log.
    OldestFirst,
    /// The newest first.
    NewestFirst,
}

/// Which users are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserQuery {
    /// All of them.
    All {
        /// In this order.
        order: UserOrder,
        /// Where the page before ended.
        after: Option<ListPosition>,
    },
    /// Those whose phone begins in one of two ways, by phone; `after` is the phone that ended the page before.
    PhonePrefix {
        /// `+` and digits; the same twice where there is one way.
        prefixes: [String; 2],
        /// Where the page starts.
        after: Option<Phone>,
    },
    /// Those whose name begins so, ASCII letters compared without case, by name and id.
    NamePrefix {
        /// At least one character.
        prefix: String,
        /// The id that ended the page before.
        after: Option<UserId>,
    },
}

/// Which messages are listed, the newest first, in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageQuery {
    /// Those this user sent or received; `None` lists all.
    pub user: Option<UserId>,
    /// Of those, the ones exchanged with this user.
    pub with: Option<UserId>,
    /// Where the page before ended.
    pub after: Option<ListPosition>,
}

/// Which contacts are listed, the newest first, in the order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContactQuery {
    /// Those this user added; `None` lists all.
    pub user: Option<UserId>,
    /// Where the page before ended.
    pub after: Option<ListPosition>,
}
