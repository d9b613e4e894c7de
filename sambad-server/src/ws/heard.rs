//! What a session hears: every message and every failure of the socket, as what it means.

use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::FRAME_BYTES_MAX;
use super::boundaries::FRAGMENTS_BYTES_MAX;
use super::frames::{BadFrame, ClientFrame};
use super::inbound::EndlessMessage;

/// What came from a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A frame of the contract.
    Frame(ClientFrame),
    /// A frame that is refused; the session goes on.
    Bad(BadFrame),
    /// A protocol ping, which is to be answered at once.
    Ping,
    /// A sign of life and nothing else.
    Life,
    /// The client's goodbye.
    Goodbye,
    /// Bytes after which the next frame cannot be found: the session ends, and the client is told why.
    Broken(BadFrame),
    /// The connection is lost, and there is nobody to tell.
    Gone,
}

impl From<Result<Message, WsError>> for Heard {
    fn from(read: Result<Message, WsError>) -> Self {
        match read {
            Ok(Message::Text(text)) => ClientFrame::parse(&text).map_or_else(Self::Bad, Self::Frame),
            Ok(Message::Binary(_)) => Self::Bad(BadFrame::new("binary_frame", "expected a text frame")),
            Ok(Message::Close(_)) => Self::Goodbye,
            Ok(Message::Ping(_)) => Self::Ping,
            Ok(Message::Pong(_) | Message::Frame(_)) => Self::Life,
            Err(error) => Self::failure(error),
        }
    }
}

impl Heard {
    fn failure(error: WsError) -> Self {
        match error {
            WsError::Capacity(_) => {
                Self::Broken(BadFrame::new("frame_too_large", format!("expected at most {FRAME_BYTES_MAX} bytes")))
            }
            // A client that hung up without a goodbye did nothing wrong.
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            WsError::Utf8(_) => Self::Broken(BadFrame::new("invalid_utf8", "expected UTF-8")),
            WsError::Io(error) if error.get_ref().is_some_and(|error| error.is::<EndlessMessage>()) => {
                let message = format!("expected the fragments of a message to end within {FRAGMENTS_BYTES_MAX} bytes");
                Self::Broken(BadFrame::new("frame_too_large", message))
            }
            WsError::Protocol(error) => Self::Broken(BadFrame::new("invalid_frame", error.to_string())),
            _ => Self::Gone,
        }
    }
}
