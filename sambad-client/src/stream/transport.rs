//! The ways that events can travel.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How events travel from the server; a cursor is the same on each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Transport {
    /// By WebSocket; where that does not get through by Server-Sent Events, and where neither does by long poll.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// WebSocket.
    #[serde(rename = "ws")]
    WebSocket,
    /// Server-Sent Events: an HTTP answer that does not end.
    #[serde(rename = "sse")]
    Sse,
    /// Long poll: one HTTP request for every answer.
    #[serde(rename = "poll")]
    Poll,
}

/// Says that a text names no transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a transport: expected auto, ws, sse or poll")]
pub struct InvalidTransport;

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 4] = [Self::Auto, Self::WebSocket, Self::Sse, Self::Poll];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::WebSocket => "ws",
            Self::Sse => "sse",
            Self::Poll => "poll",
        }
    }

    /// What is tried first.
    pub(super) const fn first(self) -> Self {
        match self {
            Self::Auto => Self::WebSocket,
            fixed => fixed,
        }
    }

    /// What asks less of those between than this one does.
    pub(super) const fn below(self) -> Option<Self> {
        match self {
            Self::Auto | Self::WebSocket => Some(Self::Sse),
            Self::Sse => Some(Self::Poll),
            Self::Poll => None,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Transport {
    type Err = InvalidTransport;

    fn from_str(text: &str) -> Result<Self, InvalidTransport> {
        Self::ALL.into_iter().find(|transport| transport.as_str() == text).ok_or(InvalidTransport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: one name everywhere. Method: each transport through text and JSON.
    #[test]
    fn names_are_stable() {
        for transport in Transport::ALL {
            assert_eq!(transport.to_string().parse(), Ok(transport));
            assert_eq!(serde_json::to_string(&transport).unwrap(), format!("\"{transport}\""));
        }
        assert_eq!("websocket".parse::<Transport>(), Err(InvalidTransport));
    }
}
