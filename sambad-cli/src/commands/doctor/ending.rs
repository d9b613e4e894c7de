//! How a connection ended.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use super::finding::span;

/// How a connection ended, or might as well have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// By a close frame.
    Closed { code: u16, reason: String },
    /// An event stream was told to come back later.
    Drained,
    /// Without a word.
    Cut(String),
    /// It stands, and nothing comes.
    Silent { after: Duration },
    /// It stood while nothing was asked of it, and then gave no answer.
    Unanswered,
}

impl Ending {
    /// What the failure of a WebSocket was.
    pub(super) fn of_socket(error: Option<&WsError>) -> Self {
        match error {
            None | Some(WsError::ConnectionClosed | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                Self::Cut("without a close frame".into())
            }
            Some(error) => Self::Cut(format!("({})", root_cause(error))),
        }
    }

    /// What the failure of an answer that was being read was.
    pub(super) fn of_answer(error: &(dyn Error + 'static)) -> Self {
        let end = |error: &(dyn Error + 'static)| {
            error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
        };
        if chain(error).any(end) {
            return Self::Cut("in the middle of the response".into());
        }
        Self::Cut(format!("({})", root_cause(error)))
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { code, reason } if reason.is_empty() => write!(f, "closed with {code}"),
            Self::Closed { code, reason } => write!(f, "closed with {code} {reason}"),
            Self::Drained => f.write_str("drained by the server"),
            Self::Cut(how) => write!(f, "cut {how}"),
            Self::Unanswered => f.write_str("no pong for a ping"),
            Self::Silent { after } => write!(f, "silent for {}", span(*after)),
        }
    }
}

/// The innermost message of a chain: "connection reset by peer" tells more than "error decoding response body".
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
}
