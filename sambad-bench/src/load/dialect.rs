//! What a target speaks.

use std::fmt;

use clap::ValueEnum;

/// What a target speaks, and so what can be audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// Sambad's contract: events have a seq, sessions resume by cursor
    Sambad,
    /// The same REST and `/ws`, but events without a seq, as a server that broadcasts sends them. A session that disconnects loses the
    /// events until it reconnects
    Broadcast,
    /// A bare server that sends each POST's body to every session
    Floor,
}

impl Dialect {
    /// Whether events carry their place in a log. Without it, events are numbered as they are first seen.
    pub(crate) const fn has_log(self) -> bool {
        matches!(self, Self::Sambad)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sambad => "sambad",
            Self::Broadcast => "broadcast",
            Self::Floor => "floor",
        })
    }
}
