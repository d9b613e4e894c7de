//! Identities of rows: UUID v7, so that ids sort in the order in which rows were made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Says that a text is no hyphenated UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct InvalidId;

/// Reads the hyphenated form only: 32 bare digits could be meant as something else.
fn parse_hyphenated(text: &str) -> Result<Uuid, InvalidId> {
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return Err(InvalidId);
    }
    Uuid::try_parse(text).map_err(|_| InvalidId)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID of any version.
            #[must_use]
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            #[cfg(feature = "store")]
            pub(crate) const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_hyphenated(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id! {
    /// Identity of a user.
    UserId
}
id! {
    /// Identity of a contact: one user's link to another.
    ContactId
}
id! {
    /// Identity of a message.
    MessageId
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only the hyphenated form is an id, and it is written in lower case. Method: a table.
    #[test]
    fn reads_hyphenated_uuids_only() {
        let id: UserId = "0198F0C4-7B1E-7000-8000-00000000000A".parse().unwrap();
        assert_eq!(id.to_string(), "0198f0c4-7b1e-7000-8000-00000000000a");
        for bad in [
            "",
            "x",
            "0198f0c47b1e7000800000000000000a",
            "0198f0c4-7b1e-7000-8000-00000000000g",
            "{0198f0c4-7b1e-7000-8000-00000000000}",
        ] {
            assert_eq!(bad.parse::<UserId>(), Err(InvalidId), "{bad}");
        }
    }
}
