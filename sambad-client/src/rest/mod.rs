//! The REST interface, one resource a file; every method is on [`Client`](crate::Client).

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;

pub(crate) mod access;
pub(crate) mod activity;
pub(crate) mod contacts;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod messages;
pub(crate) mod users;

/// The part that the answers to all writes have in common.
#[derive(Deserialize)]
struct Written {
    seq: Option<sambad_core::Seq>,
}

/// Makes a write: an answer whose content tells the seq of the event.
async fn write<T: for<'de> Deserialize<'de>>(client: &Client, call: Call) -> Result<Answer<T>, Error> {
    let answer = client.call::<Box<RawValue>>(call).await?;
    let unreadable = |error| client.protocol(format!("invalid JSON: {error}"));
    let Written { seq } = serde_json::from_str(answer.json.get()).map_err(unreadable)?;
    let value = serde_json::from_str(answer.json.get()).map_err(unreadable)?;
    Ok(Answer { seq, ..answer.map(|_| value) })
}
