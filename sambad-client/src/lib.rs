#![doc = include_str!("../README.md")]

mod answer;
mod backoff;
mod call;
mod client;
mod close;
mod credentials;
mod error;
mod event;
mod rest;
mod stream;
mod tls;
mod token;
mod user_ref;
mod verifier;

/// When to come back: for those who read a session's frames themselves instead of through an [`EventStream`].
pub mod reconnect {
    pub use crate::backoff::Backoff;
    pub use crate::close::{Verdict, judge};
}

/// What the fuzz targets and the suite check of the parsers.
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing {
    pub use crate::stream::parsers;
}

pub use sambad_core::text::is_deceptive;
pub use sambad_core::{
    After, ContactId, Cursor, Epoch, EventKind, Filter, KindSet, MessageId, Phone, Seq, Timestamp, UserId, model,
};

pub use crate::{
    answer::{Answer, PageToken},
    client::Client,
    error::{Error, Refusal},
    event::Event,
    rest::{
        access::UserTokens,
        activity::Activity,
        contacts::{AddedContact, AddressBookEntry, ContactQuery, KnownContacts, NewContact},
        events::{EventPage, EventQuery},
        health::Health,
        messages::{MessageQuery, NewMessage},
        users::{LoggedIn, NewUser, UserQuery},
    },
    stream::{EventStream, EventStreamOptions, InvalidTransport, Item, Resync, ResyncReason, State, Transport},
    tls::Duplex,
    token::{RefreshToken, Token, TokenClaims},
    user_ref::{InvalidUserRef, UserRef},
    verifier::{Anomaly, Verifier},
};
