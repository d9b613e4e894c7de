//! What is measured: a server that somebody runs, or one of our own.

use crate::host::ServerProcess;
use crate::host::usage::{self, Usage};

/// The server under load.
#[derive(Debug)]
pub(crate) enum Target {
    /// Started by somebody else.
    Remote {
        url: String,
        /// Its process, if it runs here and was named.
        pid: Option<u32>,
    },
    /// A process of ours.
    Hosted(Box<ServerProcess>),
}

impl Target {
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Remote { url, .. } => url.clone(),
            Self::Hosted(process) => process.url(),
        }
    }

    /// What its process needed so far; `None` when that is not known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        usage::of(match self {
            Self::Remote { pid, .. } => (*pid)?,
            Self::Hosted(process) => process.pid()?,
        })
    }

    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        self.usage().map(|usage| usage.rss_bytes)
    }

    /// Says why a server of ours is gone, if it is, with the end of what it logged.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Remote { .. } => Ok(()),
            Self::Hosted(process) => process.check(),
        }
    }
}
