//! Which rows are listed, and in which order.

use crate::id::{ContactId, MessageId, UserId};
use crate::phone::Phone;

/// In which order users are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserOrder {
    /// As they were created.
    OldestFirst,
    /// The newest first.
    NewestFirst,
}

/// Which users are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserQuery {
    /// All of them; `after` is the id that ended the page before.
    All {
        /// In this order.
        order: UserOrder,
        /// Where the page starts.
        after: Option<UserId>,
    },
    /// Those whose phone begins so, by phone; `after` is the phone that ended the page before.
    PhonePrefix {
        /// `+` and digits.
        prefix: String,
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

/// Which messages are listed, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageQuery {
    /// Those this user sent or received; `None` lists all.
    pub user: Option<UserId>,
    /// Of those, the ones exchanged with this user.
    pub with: Option<UserId>,
    /// The id that ended the page before.
    pub after: Option<MessageId>,
}

/// Which contacts are listed, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContactQuery {
    /// Those this user added; `None` lists all.
    pub user: Option<UserId>,
    /// The id that ended the page before.
    pub after: Option<ContactId>,
}
