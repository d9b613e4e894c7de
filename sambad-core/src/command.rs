//! Requested changes, and what became of them.

use serde::{Deserialize, Serialize};

use crate::cursor::{Cursor, Seq};
use crate::error::Error;
use crate::id::{ContactId, UserId};
use crate::limits;
use crate::model::{Contact, Message, User};
use crate::phone::WrittenPhone;

/// How a command names a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// By identity.
    Id(UserId),
    /// By phone.
    Phone(WrittenPhone),
    /// By a number as somebody wrote it: without a `+` it is one of the country of whoever acts.
    National(String),
}

impl From<UserId> for UserRef {
    fn from(id: UserId) -> Self {
        Self::Id(id)
    }
}

impl UserRef {
    /// What is wrong where nobody is found: a number that cannot be anybody's, or `role` of nobody.
    #[must_use]
    pub fn missing(&self, field: &'static str, role: &'static str) -> Error {
        match self {
            Self::Phone(phone) => {
                phone.meant().err().map_or(Error::UserNotFound { role }, |reason| Error::InvalidPhone { field, reason })
            }
            Self::Id(_) | Self::National(_) => Error::UserNotFound { role },
        }
    }

    /// Bytes that a caller decides on; the other forms have their bound in themselves.
    const fn text_bytes(&self) -> usize {
        match self {
            Self::Id(_) | Self::Phone(_) => 0,
            Self::National(number) => number.len(),
        }
    }
}

/// A requested change. Either it happens wholly, with its event, or not at all.
#[derive(Debug, Clone)]
pub enum Command {
    /// Finds the user with a phone, or creates one.
    Login {
        /// The phone.
        phone: WrittenPhone,
        /// What a new user is called, at most 100 characters; an existing user keeps their name.
        name: Option<String>,
    },
    /// Links one user to another, unless they are linked already.
    AddContact {
        /// Who adds.
        user: UserRef,
        /// Who is added; not the same.
        contact: UserRef,
        /// What the adding user calls the other, at most 100 characters.
        name: Option<String>,
    },
    /// Removes a link.
    RemoveContact {
        /// The link.
        id: ContactId,
        /// Whose it must be; anybody's if not given.
        owner: Option<UserId>,
    },
    /// Stores a message.
    SendMessage {
        /// Who sends.
        from: UserRef,
        /// To whom; oneself is allowed, as a note.
        to: UserRef,
        /// 1 to 4,096 characters.
        content: String,
        /// `[a-z][a-z0-9_]{0,31}`.
        message_type: String,
    },
}

impl Command {
    /// Checks every bound that needs no look at the store.
    ///
    /// # Errors
    /// `Invalid`, naming the field.
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Self::Login { name, .. } | Self::AddContact { name, .. } => {
                name.as_deref().map_or(Ok(()), |name| check_text("name", name, 1, limits::NAME_CHARS_MAX))
            }
            Self::RemoveContact { .. } => Ok(()),
            Self::SendMessage { content, message_type, .. } => {
                check_text("content", content, 1, limits::CONTENT_CHARS_MAX)?;
                check_message_type(message_type)
            }
        }
    }

    /// Who acts, and to whom, of a command in which one user does something to another.
    pub(crate) fn parties(&self) -> Option<[&UserRef; 2]> {
        match self {
            Self::AddContact { user, contact, .. } => Some([user, contact]),
            Self::SendMessage { from, to, .. } => Some([from, to]),
            Self::Login { .. } | Self::RemoveContact { .. } => None,
        }
    }

    /// Bytes of text that came with the command: what it adds to a batch.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Login { name, .. } | Self::AddContact { name, .. } => name.as_ref().map_or(0, String::len),
            Self::RemoveContact { .. } => 0,
            Self::SendMessage { from, to, content, .. } => from.text_bytes() + to.text_bytes() + content.len(),
        }
    }
}

/// Counts characters, not bytes; U+0000 is refused because not every database stores it.
fn check_text(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), Error> {
    let chars = text.chars().take(max + 1).count();
    if chars < min || chars > max {
        return Err(Error::field(field, format!("expected {min} to {max} characters")));
    }
    if text.contains('\0') {
        return Err(Error::field(field, "U+0000 is not allowed"));
    }
    Ok(())
}

fn check_message_type(text: &str) -> Result<(), Error> {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if first && rest && text.len() <= limits::MESSAGE_TYPE_CHARS_MAX {
        Ok(())
    } else {
        Err(Error::field("type", "expected [a-z][a-z0-9_]{0,31}"))
    }
}

/// Marks a request so that a retry of it gets the first answer instead of a second effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    key: String,
    fingerprint: [u8; 32],
    /// Of the request's bytes, where a version that compared those may have stored the key.
    bytes: Option<[u8; 32]>,
}

impl IdempotencyKey {
    /// Takes the caller's key, 1 to 255 visible ASCII characters, and a digest of what the request asks for.
    ///
    /// # Errors
    /// `Invalid` when the key has another form.
    pub fn new(key: impl Into<String>, fingerprint: [u8; 32]) -> Result<Self, Error> {
        let key = key.into();
        let valid = (1..=limits::IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        if valid {
            Ok(Self { key, fingerprint, bytes: None })
        } else {
            Err(Error::field("Idempotency-Key", "expected 1 to 255 visible ASCII characters"))
        }
    }

    /// The same key as one of this caller's: others may use it for something else.
    #[must_use]
    pub fn of(self, caller: &str) -> Self {
        // A line break is in no key that a caller can choose.
        Self { key: format!("{caller}\n{}", self.key), ..self }
    }

    /// The same key with a digest of the request's bytes, by which versions before this one told requests apart: a request
    /// whose answer such a version stored is known by it.
    #[must_use]
    pub fn of_bytes(self, digest: [u8; 32]) -> Self {
        Self { bytes: Some(digest), ..self }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// What is stored with the key. Its mark is in no digest of bytes, which were stored without one.
    pub(crate) fn fingerprint(&self) -> String {
        format!("command {}", hex(&self.fingerprint))
    }

    /// Whether `stored` is of the same request.
    pub(crate) fn is_of(&self, stored: &str) -> bool {
        stored == self.fingerprint() || self.bytes.is_some_and(|bytes| stored == hex(&bytes))
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a command came to. Stored with its idempotency key, so that a retry gets the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The user with that phone.
    LoggedIn {
        /// The user.
        user: User,
        /// Whether this login created it.
        created: bool,
    },
    /// The link between the two users.
    ContactAdded {
        /// The link.
        contact: Contact,
        /// Whether this command made it; otherwise it existed.
        created: bool,
    },
    /// The link as it was.
    ContactRemoved {
        /// The link.
        contact: Contact,
    },
    /// The message as stored.
    MessageSent {
        /// The message.
        message: Message,
    },
}

/// The answer to an accepted command: it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What came of it.
    pub outcome: Outcome,
    /// Position of the event it caused, if it caused one.
    pub seq: Option<Seq>,
    /// The event's cursor; without an event, the head when the command was carried out.
    pub cursor: Cursor,
    /// Whether this is the stored answer to an earlier request with the same idempotency key.
    pub replayed: bool,
    /// The batch that it was committed, or answered, with: counted from 1 since the core was opened, and named in its log.
    pub batch: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: &str, message_type: &str) -> Result<(), Error> {
        let anybody = UserRef::National("1".into());
        Command::SendMessage { from: anybody.clone(), to: anybody, content: content.into(), message_type: message_type.into() }
            .validate()
    }

    /// Goal: bounds count characters and hold on both sides. Method: the longest that passes, and one more.
    #[test]
    fn bounds_hold_on_both_sides() {
        assert!(message(&"ü".repeat(limits::CONTENT_CHARS_MAX), "text").is_ok());
        assert!(message(&"x".repeat(limits::CONTENT_CHARS_MAX + 1), "text").is_err());
        assert!(message("", "text").is_err());
        assert!(message("a\0b", "text").is_err());
        assert!(message("x", &format!("a{}", "0".repeat(31))).is_ok());
        for bad in ["", "Text", "1a", "_a", "a-b", &format!("a{}", "0".repeat(32))] {
            assert!(message("x", bad).is_err(), "{bad}");
        }
    }

    /// Goal: a key is known by what its request asks for, or by its bytes where an older version stored it. Method: both, and
    /// other digests.
    #[test]
    fn stored_fingerprints_of_both_kinds_are_known() {
        let key = IdempotencyKey::new("k", [1; 32]).unwrap();
        assert!(key.is_of(&key.fingerprint()));
        assert!(!key.is_of(&hex(&[1; 32])) && !key.is_of(&hex(&[2; 32])), "no digest of bytes is known");
        let key = key.of_bytes([2; 32]);
        assert!(key.is_of(&key.fingerprint()) && key.is_of(&hex(&[2; 32])));
        assert!(!key.is_of(&hex(&[1; 32])) && !key.is_of(&hex(&[3; 32])));
    }

    /// Goal: only visible ASCII makes a key. Method: a table around the bounds.
    #[test]
    fn keys_are_visible_ascii() {
        assert!(IdempotencyKey::new("k".repeat(255), [0; 32]).is_ok());
        for bad in ["", "with space", "tab\t", "ü", &"k".repeat(256)] {
            assert!(IdempotencyKey::new(bad, [0; 32]).is_err(), "{bad}");
        }
    }
}
