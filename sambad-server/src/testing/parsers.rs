//! What must hold for every parser that faces the network or the command line, whatever it is given.
//!
//! Each function takes any bytes and panics where a promise does not hold. They stand here once, and are called by the
//! fuzz targets in `fuzz/`, by the property tests of the suite, and by the suite for every seed of the fuzz targets.

mod body;
mod frame;
mod query;
mod socket;
mod text;

pub use body::body;
pub use frame::client_frame;
pub use query::filter;
pub use socket::socket;
pub use text::{cursor, phone, setting};

use axum::http::StatusCode;
use sambad_core::Command;

use crate::error::ApiError;

/// Characters of what people are told about bad input, at most: nobody's own megabyte is sent back to them.
const MESSAGE_CHARS_MAX: usize = 300;

/// A check and the name of its fuzz target.
pub type Target = (&'static str, fn(&[u8]));

/// Every check of the server's parsers.
pub const TARGETS: [Target; 7] = [
    ("body", body),
    ("client_frame", client_frame),
    ("cursor", cursor),
    ("filter", filter),
    ("phone", phone),
    ("setting", setting),
    ("socket", socket),
];

/// A refusal of bad input is one that the contract names, and short.
fn check_refusal(error: impl Into<ApiError>) {
    let error = error.into();
    let known = ["invalid_json", "invalid_phone", "invalid_id", "invalid_field"];
    assert!(known.contains(&error.code()), "{} is no code for bad input", error.code());
    assert_eq!(error.status(), StatusCode::BAD_REQUEST, "{}", error.code());
    check_message(&error.message());
}

fn check_message(message: &str) {
    assert!(!message.is_empty(), "a refusal says what is wrong");
    let chars = message.chars().count();
    assert!(chars <= MESSAGE_CHARS_MAX, "{chars} characters: {:?}", message.chars().take(80).collect::<String>());
}

/// A command that the core would take is within the contract's bounds, here counted anew.
fn check_command(command: &Command) {
    if let Err(error) = command.validate() {
        return check_refusal(error);
    }
    match command {
        Command::Login { phone, name } => {
            text::check_written(phone);
            check_name(name.as_deref());
        }
        Command::AddContact { user, contact, name } => {
            text::check_user_ref(user);
            text::check_user_ref(contact);
            check_name(name.as_deref());
        }
        Command::RemoveContact { .. } => {}
        Command::SendMessage { from, to, content, message_type } => {
            text::check_user_ref(from);
            text::check_user_ref(to);
            assert!((1..=4096).contains(&content.chars().count()) && !content.contains('\0'), "content");
            let mut chars = message_type.chars();
            let first = chars.next().is_some_and(|c| c.is_ascii_lowercase());
            let rest = chars.all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit());
            assert!(first && rest && message_type.len() <= 32, "type {message_type:?}");
        }
    }
}

fn check_name(name: Option<&str>) {
    let Some(name) = name else { return };
    assert!((1..=100).contains(&name.chars().count()) && !name.contains('\0'), "name {name:?}");
    assert_eq!(name.trim(), name, "a name has no spaces around it");
}
