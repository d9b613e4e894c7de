//! One connection to the server, by whichever transport.

use std::time::Duration;

use sambad_core::{After, Filter};

use super::frame::Frame;
use super::poll::Poll;
use super::socket::Socket;
use super::sse::Sse;
use super::transport::Transport;
use crate::client::Client;
use crate::error::Error;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// By the server, with a code of the contract.
    Closed { code: u16, reason: String },
    /// The server is reached by TCP, and by this transport it is not: before the first frame it was refused by something
    /// else than the server, cut, or met with silence.
    Blocked(Error),
    /// By anything else.
    Failed(Error),
}

impl End {
    /// What a failure means: before the first frame it speaks against the transport.
    pub(super) fn new(greeted: bool, error: Error) -> Self {
        if greeted { Self::Failed(error) } else { Self::Blocked(error) }
    }

    /// What it means that a request got no answer: that nobody is there, or else that something does not let it through.
    pub(super) fn unanswered(error: Error) -> Self {
        Self::new(matches!(error, Error::Connect { .. }), error)
    }

    /// What a refusal means: whether it is about the transport, or would meet any other as well.
    pub(super) fn refused(error: Error) -> Self {
        let about_the_transport = match &error {
            // The request could not even be understood that way.
            Error::Api { status: 501 | 505, .. } => true,
            // An outage, too much at once, or somebody who wants to know who we are.
            Error::Api { status: 500.. | 401 | 407 | 408 | 429, .. } => false,
            // Without a code it was not the server who refused; with one of these, it does not know the path or the way.
            Error::Api { code, .. } => matches!(&**code, "" | "upgrade_required" | "not_found" | "method_not_allowed"),
            _ => true,
        };
        Self::new(!about_the_transport, error)
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) enum Wire {
    WebSocket(Socket),
    Sse(Sse),
    Poll(Poll),
}

impl Wire {
    /// Connects; the first frame must follow within what is left of `limit`.
    pub(super) async fn dial(
        transport: Transport,
        client: Client,
        after: Option<After>,
        filter: Filter,
        limit: Duration,
    ) -> Result<Self, End> {
        match transport {
            Transport::Auto | Transport::WebSocket => Socket::dial(&client, after, filter, limit).await.map(Self::WebSocket),
            Transport::Sse => Sse::dial(client, after, filter, limit).await.map(Self::Sse),
            Transport::Poll => Poll::dial(client, after, filter, limit).await.map(Self::Poll),
        }
    }

    /// Takes note that the server was heard, and how long silence is borne from now on.
    pub(super) fn expect_heartbeat(&mut self, patience: Duration) {
        match self {
            Self::WebSocket(socket) => socket.expect_heartbeat(patience),
            Self::Sse(sse) => sse.expect_heartbeat(patience),
            Self::Poll(poll) => poll.expect_heartbeat(patience),
        }
    }

    /// The next frame. Cancel safe: what has arrived, and what was asked, stays with the connection.
    pub(super) async fn read(&mut self) -> Result<Frame, End> {
        match self {
            Self::WebSocket(socket) => socket.read().await,
            Self::Sse(sse) => sse.read().await,
            Self::Poll(poll) => poll.read().await,
        }
    }

    /// Says goodbye, where there is a way to.
    pub(super) async fn close(self) {
        match self {
            Self::WebSocket(socket) => socket.close().await,
            Self::Sse(_) | Self::Poll(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what another transport would meet as well is no reason to change. Method: refusals of servers and of proxies.
    #[test]
    fn tells_blocked_from_refused() {
        for (status, code, blocked) in [
            (200, "", true),
            (302, "", true),
            (400, "", true),
            (400, "invalid_field", false),
            (401, "", false),
            (403, "", true),
            (403, "forbidden", false),
            (404, "", true),
            (404, "not_found", true),
            (405, "method_not_allowed", true),
            (407, "", false),
            (426, "upgrade_required", true),
            (429, "", false),
            (500, "", false),
            (500, "internal", false),
            (501, "", true),
            (502, "", false),
            (503, "unavailable", false),
            (504, "", false),
            (505, "", true),
        ] {
            let (code, message) = (code.into(), String::new());
            let end = End::refused(Error::Api { status, code, message, request_id: None, retry_after: None });
            assert_eq!(matches!(end, End::Blocked(_)), blocked, "{end:?}");
        }
    }
}
