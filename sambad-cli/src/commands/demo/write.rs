//! One act as the write that it is.

use std::collections::HashMap;

use sambad_client::{Client, ContactId, Error, NewContact, NewMessage, NewUser, Seq};
use serde_json::value::RawValue;

use super::cast::person;
use super::story::Act;

/// An act and the key by which the server knows it when it comes again.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) act: Act,
    pub(super) key: String,
    /// Of an act that removes a contact.
    contact: Option<ContactId>,
}

/// What the server said.
#[derive(Debug)]
pub(super) struct Written {
    /// `None` when nothing happened, as somebody else had done it.
    pub(super) seq: Option<Seq>,
    /// The contact that an act was about.
    pub(super) contact: Option<ContactId>,
    pub(super) json: Option<Box<RawValue>>,
    /// Users that had to be made once more.
    pub(super) mended: u64,
}

/// Contacts by the places of their two users.
pub(super) type Contacts = HashMap<(u32, u32), ContactId>;

impl Attempt {
    pub(super) fn new(act: Act, key: String, contacts: &Contacts) -> Self {
        let contact = match act {
            Act::Remove { who, whom } => contacts.get(&(who, whom)).copied(),
            _ => None,
        };
        Self { act, key, contact }
    }

    /// Writes it once.
    pub(super) async fn send(&self, client: &Client) -> Result<Written, Error> {
        let client = client.with_idempotency_key(&self.key)?;
        match self.once(&client).await {
            // The database was replaced by another, in which these people have not been yet.
            Err(error) if error.api_code() == Some("user_not_found") => {
                let mut mended = 0;
                for who in self.act.people() {
                    let key = format!("{}-{who}", self.key);
                    mended += u64::from(log_in(&client.with_idempotency_key(&key)?, who).await?.seq.is_some());
                }
                Ok(Written { mended, ..self.once(&client).await? })
            }
            outcome => outcome,
        }
    }

    async fn once(&self, client: &Client) -> Result<Written, Error> {
        match self.act {
            Act::LogIn { who } => log_in(client, who).await,
            Act::Add { who, whom } => {
                let (one, other) = (person(who), person(whom));
                let contact = NewContact { name: Some(other.given.into()), ..NewContact::new(one.phone, other.phone) };
                let answer = client.add_contact(&contact).await?;
                let contact = Some(answer.value.contact.id);
                Ok(Written { seq: answer.seq, contact, json: Some(answer.json), mended: 0 })
            }
            Act::Say { who, whom, line } => {
                let answer = client.send_message(&NewMessage::text(person(who).phone, person(whom).phone, line)).await?;
                Ok(Written { seq: answer.seq, contact: None, json: Some(answer.json), mended: 0 })
            }
            Act::Remove { .. } => {
                let nothing = Written { seq: None, contact: None, json: None, mended: 0 };
                let Some(id) = self.contact else { return Ok(nothing) };
                match client.remove_contact(id).await {
                    Ok(answer) => Ok(Written { seq: answer.seq, json: Some(answer.json), ..nothing }),
                    // Removed by the attempt before, whose answer was lost, or by somebody else.
                    Err(error) if error.api_code() == Some("contact_not_found") => Ok(nothing),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

async fn log_in(client: &Client, who: u32) -> Result<Written, Error> {
    let person = person(who);
    let answer = client.login(&NewUser { name: Some(person.name), ..NewUser::new(person.phone.as_str()) }).await?;
    Ok(Written { seq: answer.seq, contact: None, json: Some(answer.json), mended: 0 })
}
