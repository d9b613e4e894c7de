//! How a person is named in a request.

use std::fmt;
use std::str::FromStr;

use sambad_core::{Phone, UserId};
use serde::{Serialize, Serializer};

/// A user, named by id or by phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// By identity.
    Id(UserId),
    /// By phone number, as somebody wrote it: the server reads it. Without `+` it is one of the server's country, or of the
    /// sender's where a message is sent to it.
    Phone(String),
}

/// Says that a text names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a user id (UUID) or phone number such as +919876543210")]
pub struct InvalidUserRef;

impl FromStr for UserRef {
    type Err = InvalidUserRef;

    /// Reads a UUID, or takes what has digits and no letters for a phone, as it is; `tel:` may stand before it.
    fn from_str(text: &str) -> Result<Self, InvalidUserRef> {
        let text = text.trim();
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let number =
            text.split_at_checked(4).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("tel:")).map_or(text, |(_, number)| number);
        let is_number = number.chars().any(char::is_numeric) && !number.chars().any(char::is_alphabetic);
        if is_number { Ok(Self::Phone(text.to_owned())) } else { Err(InvalidUserRef) }
    }
}

impl fmt::Display for UserRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Phone(phone) => f.write_str(phone),
        }
    }
}

impl From<UserId> for UserRef {
    fn from(id: UserId) -> Self {
        Self::Id(id)
    }
}

impl From<Phone> for UserRef {
    fn from(phone: Phone) -> Self {
        Self::Phone(phone.to_string())
    }
}

impl Serialize for UserRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what people type names a user, or nobody. Method: a table.
    #[test]
    fn reads_ids_and_phones() {
        for (typed, meant) in [
            ("+919876543210", "+919876543210"),
            // The server knows its country.
            ("9876543210", "9876543210"),
            ("tel:+91-98765-43210", "tel:+91-98765-43210"),
            ("TEL:9876543210", "TEL:9876543210"),
            (" +1 (415) 555-0100 ", "+1 (415) 555-0100"),
            ("0198F0C4-7B1E-7000-8000-00000000000A", "0198f0c4-7b1e-7000-8000-00000000000a"),
        ] {
            assert_eq!(typed.parse::<UserRef>().unwrap().to_string(), meant, "{typed}");
        }
        for bad in ["", "bob", "+91abc", "0198f0c4-7b1e-7000-8000-00000000000"] {
            assert_eq!(bad.parse::<UserRef>(), Err(InvalidUserRef), "{bad}");
        }
    }
}
