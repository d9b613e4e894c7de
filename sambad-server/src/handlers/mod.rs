//! One resource a file: extract, one call to the core, wire type.

pub(crate) mod access;
pub(crate) mod admin;
pub(crate) mod audit;
pub(crate) mod contacts;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod messages;
pub(crate) mod sync_contacts;
pub(crate) mod users;

/// The core answered a command with the outcome of another: a defect.
fn unexpected_outcome() -> crate::error::ApiError {
    sambad_core::Error::Internal { what: "outcome of another command".into(), source: None }.into()
}
