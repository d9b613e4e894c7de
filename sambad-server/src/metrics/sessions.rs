//! Sessions as they come and go: counted, and a line of the log when one ends.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sambad_core::{Cursor, UserId};
use uuid::Uuid;

use crate::sessions::{Remote, Transport};

/// The target of the lines about sessions, by which a filter chooses them.
pub(crate) const SESSION: &str = "sambad_server::session";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabels {
    transport: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    transport: &'static str,
    reason: String,
}

/// WebSocket sessions and event streams, as they come and go.
#[derive(Debug)]
pub(crate) struct Sessions {
    opened: Family<TransportLabels, Counter>,
    resumed: Family<TransportLabels, Counter>,
    ended: Family<EndLabels, Counter>,
}

/// All there is to say about a session that is over.
#[derive(Debug)]
pub(crate) struct SessionEnd {
    pub(crate) id: Uuid,
    pub(crate) transport: Transport,
    pub(crate) client: Remote,
    /// The user whose events it asked for, if it did.
    pub(crate) user: Option<UserId>,
    pub(crate) lived: Duration,
    /// Events handed to its socket.
    pub(crate) events: u64,
    /// Where it stood.
    pub(crate) cursor: Cursor,
    /// The close code, of a WebSocket that the server closed.
    pub(crate) code: Option<u16>,
    /// The key of the close reason, `client_closed` or `connection_lost`: from a table, never a client's text.
    pub(crate) reason: String,
}

impl Sessions {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let this = Self { opened: Family::default(), resumed: Family::default(), ended: Family::default() };
        for transport in [Transport::WebSocket, Transport::Sse] {
            // There from the start: a rate needs a first value.
            let labels = TransportLabels { transport: transport.as_str() };
            drop((this.opened.get_or_create_owned(&labels), this.resumed.get_or_create_owned(&labels)));
        }
        registry.register("sessions_opened", "Sessions opened", this.opened.clone());
        registry.register("sessions_resumed", "Sessions opened with a cursor: reconnects", this.resumed.clone());
        registry.register("sessions_ended", "Sessions closed", this.ended.clone());
        this
    }

    /// A session began, after a cursor or from now on.
    pub(crate) fn opened(&self, transport: Transport, resuming: bool) {
        let labels = TransportLabels { transport: transport.as_str() };
        self.opened.get_or_create(&labels).inc();
        if resuming {
            self.resumed.get_or_create(&labels).inc();
        }
    }

    /// A session is over.
    pub(crate) fn ended(&self, end: SessionEnd) {
        let SessionEnd { id, transport, client, user, lived, events, cursor, code, reason } = end;
        tracing::info!(
            target: SESSION, session = %id, transport = transport.as_str(), %client, user = user.map(tracing::field::display),
            lived_s = lived.as_secs_f64(), events, %cursor, code, reason, "session ended"
        );
        self.ended.get_or_create(&EndLabels { transport: transport.as_str(), reason }).inc();
    }
}
