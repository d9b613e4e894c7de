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
use crate::token::Token;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// By the server, with a code of the contract.
    Closed { code: u16, reason: String },
    /// The server is reached by TCP, and by this transport it is not: before the first frame it was refused by something
    /// else than the server, cut, or met with silence.
    Blocked(Error),
    /// By us, as the server said what the contract does not allow; what follows the cursor is asked for again.
    Faulty(Error),
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
        // Without a token it was not even asked, or only for a token.
        let not_about_the_way = matches!(
            error,
            Error::Connect { .. } | Error::NoToken { .. } | Error::Unauthorized(_) | Error::Forbidden(_) | Error::RateLimited(_)
        );
        Self::new(not_about_the_way, error)
    }

    /// What a refusal means: whether it is about the transport, or would meet any other as well.
    pub(super) fn refused(error: Error) -> Self {
        let about_the_transport = match &error {
            // The request could not even be understood that way.
            Error::Api { status: 501 | 505, .. } => true,
            // An outage, too much at once, or somebody who wants to know who we are.
            Error::Api { status: 500.. | 407 | 408, .. } | Error::Unauthorized(_) | Error::RateLimited(_) => false,
            Error::Forbidden(refusal) => refusal.code.is_empty(),
            // Without a code it was not the server who refused; with one of these, it does not know the path or the way.
            Error::Api { code, .. } => matches!(&**code, "" | "upgrade_required" | "not_found" | "method_not_allowed"),
            _ => true,
        };
        Self::new(!about_the_transport, error)
    }
}

/// What is dialled, and how.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) transport: Transport,
    pub(super) after: Option<After>,
    pub(super) filter: Filter,
    pub(super) limit: Duration,
}

impl Target {
    /// Connects by the client's token: by another than `refused`, if that is given, and by another still if this one is refused.
    pub(super) async fn dial(self, refused: Option<Token>) -> Result<(Wire, Option<Token>), End> {
        let client = &self.client;
        let token = match refused {
            Some(old) => client.renew(Some(&old)).await.map(Some),
            None => client.token().await,
        };
        let token = token.map_err(End::Failed)?;
        match Wire::dial(&self, token.as_ref()).await {
            Err(End::Failed(Error::Unauthorized(_))) if client.can_renew() => {
                let fresh = client.renew(token.as_ref()).await.map_err(End::Failed)?;
                Ok((Wire::dial(&self, Some(&fresh)).await?, Some(fresh)))
            }
            dialled => Ok((dialled?, token)),
        }
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
    /// Connects by `token`; the first frame must follow within what is left of the limit.
    pub(super) async fn dial(target: &Target, token: Option<&Token>) -> Result<Self, End> {
        match target.transport {
            Transport::Auto | Transport::WebSocket => Socket::dial(target, token).await.map(Self::WebSocket),
            Transport::Sse => Sse::dial(target, token).await.map(Self::Sse),
            // Each of its requests looks for a token itself.
            Transport::Poll => Poll::dial(target).await.map(Self::Poll),
        }
    }

    /// Tells the server by which token to go on, where there is a way to.
    pub(super) fn authenticate(&mut self, token: &Token) {
        match self {
            Self::WebSocket(socket) => socket.authenticate(token),
            Self::Sse(_) | Self::Poll(_) => {}
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
    use crate::error::Refusal;

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
            let end = End::refused(Refusal { status, code, message, request_id: None, retry_after: None }.into());
            assert_eq!(matches!(end, End::Blocked(_)), blocked, "{end:?}");
        }
    }
}
