//! How a session ends: one closed table. Codes from 4000 to 4499 say "reconnect from your cursor", from 4500 on "don't".

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Why the server ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The server shuts down: come back after this time.
    Drain { reconnect_after: Duration },
    /// Nothing arrived for too long after a ping.
    Idle,
    /// The socket accepted no byte for too long.
    Stalled,
    /// The client sent frames faster than it may.
    RateLimited,
    /// The client sent too much that is no frame of the contract.
    BadFrames,
    /// The token has ended or was revoked.
    Unauthorized,
    /// An admin closed the session.
    Forbidden,
}

impl CloseReason {
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Drain { .. } => 4000,
            Self::Idle => 4008,
            Self::Stalled => 4009,
            Self::RateLimited => 4029,
            Self::BadFrames => 4500,
            Self::Unauthorized => 4501,
            Self::Forbidden => 4503,
        }
    }

    /// What stands for it in logs and figures, and begins the reason.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Drain { .. } => "drain",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::RateLimited => "rate_limited",
            Self::BadFrames => "bad_frames",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
        }
    }

    /// `key` or `key key=value`, at most 123 bytes.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Drain { reconnect_after } => format!("drain reconnect_after_ms={}", reconnect_after.as_millis()),
            other => other.key().into(),
        }
    }

    pub(crate) fn frame(self) -> CloseFrame {
        CloseFrame { code: CloseCode::from(self.code()), reason: self.reason().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the codes are the contract's and every reason fits a control frame. Method: the whole table.
    #[test]
    fn the_table_is_the_contract() {
        let drain = CloseReason::Drain { reconnect_after: Duration::from_millis(1500) };
        for (reason, code, text) in [
            (drain, 4000, "drain reconnect_after_ms=1500"),
            (CloseReason::Idle, 4008, "idle"),
            (CloseReason::Stalled, 4009, "stalled"),
            (CloseReason::RateLimited, 4029, "rate_limited"),
            (CloseReason::BadFrames, 4500, "bad_frames"),
            (CloseReason::Unauthorized, 4501, "unauthorized"),
            (CloseReason::Forbidden, 4503, "forbidden"),
        ] {
            assert_eq!((reason.code(), reason.reason().as_str()), (code, text));
            assert!(reason.reason().len() <= 123);
        }
    }
}
