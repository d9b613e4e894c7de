//! JSON bodies of requests.

use sambad_core::{Command, CountryCode};
use serde_json::Value;

use super::{check_command, check_refusal, text};
use crate::config::ClientLimits;
use crate::error::ApiError;
use crate::extract::{JsonBody, parse};
use crate::handlers::contacts::AddContact;
use crate::handlers::messages::SendMessage;
use crate::handlers::sync_contacts::{AddressBook, People};
use crate::handlers::users::Login;

/// Whatever a POST carries is refused by the contract's codes or becomes a command within the contract's bounds, which says
/// what any other reader of JSON finds in the body.
///
/// # Panics
/// When a promise does not hold.
pub fn body(bytes: &[u8]) {
    let india = CountryCode::default();
    let value = serde_json::from_slice::<Value>(bytes).ok();
    let command = |read: Result<Command, ApiError>| match read {
        Err(error) => check_refusal(error),
        Ok(command) => {
            check_command(&command);
            if let Some(value) = &value {
                check_reading(&command, value);
            }
        }
    };
    command(read::<Login>(bytes).and_then(|login| login.into_command(&india)));
    command(read::<AddContact>(bytes).and_then(|contact| contact.into_command(&india)));
    command(read::<SendMessage>(bytes).and_then(|message| message.into_command(&india)));
    match read::<AddressBook>(bytes).and_then(|book| book.into_people(&india)) {
        Err(error) => check_refusal(error),
        Ok(people) => check_people(&people, value.as_ref()),
    }
}

/// A body that is too large is refused before it is read; here it is as good as an empty one.
fn read<T: JsonBody>(bytes: &[u8]) -> Result<T, ApiError> {
    parse(if bytes.len() > T::bytes_max(&ClientLimits::default()) { b"" } else { bytes })
}

fn check_reading(command: &Command, body: &Value) {
    assert!(body.is_object(), "a body is an object: {body}");
    match command {
        Command::Login { name, .. } | Command::AddContact { name, .. } => {
            let there = body["name"].as_str().map(str::trim).filter(|name| !name.is_empty());
            assert_eq!(name.as_deref(), there);
        }
        Command::RemoveContact { .. } => {}
        Command::SendMessage { content, message_type, .. } => {
            assert_eq!(Some(&**content), body["content"].as_str());
            assert_eq!(&**message_type, body["type"].as_str().unwrap_or("text"));
        }
    }
}

fn check_people(people: &People, body: Option<&Value>) {
    assert!(people.total <= 5000, "{} entries", people.total);
    assert!(people.people.len() <= people.total, "nobody is made up");
    people.people.iter().for_each(|(phone, _)| text::check_written(phone));
    if let Some(body) = body {
        let entries = body["contacts"].as_array().expect("an address book is a list");
        assert_eq!(entries.len(), people.total);
    }
}
