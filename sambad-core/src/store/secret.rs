//! By what servers of one log authenticate their messages to each other.

use std::fmt;

/// The log's secret, and where the log lies: copies of a database share the secret until one is renewed, and lie elsewhere.
pub(crate) struct LogSecret {
    pub(crate) secret: Vec<u8>,
    /// What differs between a database and its copies, as far as it can be known.
    pub(crate) place: String,
}

impl fmt::Debug for LogSecret {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSecret").field("place", &self.place).finish_non_exhaustive()
    }
}
