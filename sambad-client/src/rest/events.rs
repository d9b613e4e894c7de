//! The event log, read page by page.

use std::time::Duration;

use sambad_core::{After, Cursor, Filter, KindSet, Seq};
use serde::Deserialize;

use crate::answer::Answer;
use crate::call::{ANSWER_TIMEOUT, Call};
use crate::client::Client;
use crate::error::Error;
use crate::event::Event;

/// The longest that the server holds a long poll.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Which events to read; the default is what the server chooses, without waiting.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// The position to read after; seq 0 is the whole stored log.
    pub after: Option<After>,
    /// Events of a page, 1 to 1,000.
    pub limit: Option<u32>,
    /// Which events.
    pub filter: Filter,
    /// How long the server may wait for an event when there is none yet: whole seconds, at most 30.
    pub wait: Option<Duration>,
}

/// A page of the event log.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct EventPage {
    /// The events, in order.
    pub events: Vec<Event>,
    /// Where the next page begins.
    pub cursor: Cursor,
    /// Highest committed seq.
    pub head: Seq,
    /// Lowest seq still stored.
    pub first: Seq,
}

impl Client {
    /// Reads a page of the log, or waits for one (long poll).
    ///
    /// # Errors
    /// `cursor_gone` when the position cannot be served: reload state and go on from the head.
    pub async fn events(&self, query: &EventQuery) -> Result<Answer<EventPage>, Error> {
        let wait = query.wait.map(|wait| wait.min(WAIT_MAX));
        let call = Call::get("/api/events")
            .query("after", query.after)
            .query("limit", query.limit)
            .query("types", types(query.filter.kinds))
            .query("user", query.filter.user)
            .query("wait", wait.map(|wait| wait.as_secs()))
            .timeout(ANSWER_TIMEOUT + wait.unwrap_or_default());
        self.call(call).await
    }
}

/// The value of the `types` parameter; `None` when every type is wanted, also those that this crate does not know.
pub(crate) fn types(kinds: KindSet) -> Option<String> {
    let names: Vec<_> = kinds.iter().map(sambad_core::EventKind::as_str).collect();
    (kinds != KindSet::ALL).then(|| names.join(","))
}

#[cfg(test)]
mod tests {
    use sambad_core::EventKind;

    use super::*;

    /// Goal: no filter means no parameter. Method: all kinds, two of them.
    #[test]
    fn names_the_types_asked_for() {
        assert_eq!(types(KindSet::ALL), None);
        let two = [EventKind::MessageSent, EventKind::ContactAdded].into_iter().collect();
        assert_eq!(types(two).as_deref(), Some("contact_added,message_sent"));
    }
}
