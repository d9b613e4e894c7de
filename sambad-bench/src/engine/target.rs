//! What is measured: a server that somebody runs, one of our own, or several.

use std::time::Duration;

use clap::ValueEnum;

use crate::host::usage::{self, Usage};
use crate::host::{Cluster, ServerProcess};

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
    /// Several of ours over one database.
    Cluster(Box<Cluster>, DashboardsOn),
}

/// Which servers of a cluster the sessions are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DashboardsOn {
    /// All servers, as for the writers
    Any,
    /// The server that receives all writes
    Same,
    /// A server other than the one that receives all writes
    Other,
}

/// Addresses of servers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Urls {
    pub(super) writers: Vec<String>,
    pub(super) sessions: Vec<String>,
}

impl Target {
    /// Where it is; of several servers, the first.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Remote { url, .. } => url.clone(),
            Self::Hosted(process) => process.url(),
            Self::Cluster(cluster, _) => cluster.urls().into_iter().next().unwrap_or_default(),
        }
    }

    /// Where writers and sessions connect.
    pub(super) fn places(&self) -> Urls {
        match self {
            Self::Cluster(cluster, dashboards) => shared_out(cluster.urls(), *dashboards),
            Self::Remote { .. } | Self::Hosted(_) => Urls { writers: vec![self.url()], sessions: vec![self.url()] },
        }
    }

    /// What its processes needed so far; `None` when that is not known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match self {
            Self::Remote { pid, .. } => usage::of((*pid)?),
            Self::Hosted(process) => usage::of(process.pid()?),
            Self::Cluster(cluster, _) => cluster.usage(),
        }
    }

    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        self.usage().map(|usage| usage.rss_bytes)
    }

    /// CPU time of what was started around the servers, by name.
    pub(super) fn services(&self) -> Vec<(&'static str, Duration)> {
        match self {
            Self::Cluster(cluster, _) => cluster.services(),
            Self::Remote { .. } | Self::Hosted(_) => Vec::new(),
        }
    }

    /// The servers that can be killed and paused.
    pub(super) fn servers(&mut self) -> &mut [ServerProcess] {
        match self {
            Self::Remote { .. } => &mut [],
            Self::Hosted(process) => std::slice::from_mut(&mut **process),
            Self::Cluster(cluster, _) => cluster.servers(),
        }
    }

    /// Says why a server of ours is gone, if it is, with the end of what it logged.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Remote { .. } => Ok(()),
            Self::Hosted(process) => process.check(),
            Self::Cluster(cluster, _) => cluster.check(),
        }
    }
}

fn shared_out(urls: Vec<String>, dashboards: DashboardsOn) -> Urls {
    match (dashboards, &urls[..]) {
        (DashboardsOn::Same, [first, ..]) => Urls { writers: vec![first.clone()], sessions: vec![first.clone()] },
        (DashboardsOn::Other, [first, .., last]) => Urls { writers: vec![first.clone()], sessions: vec![last.clone()] },
        _ => Urls { writers: urls.clone(), sessions: urls },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: writers and sessions are where they were asked to be. Method: three servers, each way.
    #[test]
    fn servers_are_shared_out() {
        let all = || vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        for (dashboards, writers, sessions) in [
            (DashboardsOn::Any, &["a", "b", "c"][..], &["a", "b", "c"][..]),
            (DashboardsOn::Same, &["a"], &["a"]),
            (DashboardsOn::Other, &["a"], &["c"]),
        ] {
            let urls = shared_out(all(), dashboards);
            assert_eq!(
                (&urls.writers[..], &urls.sessions[..]),
                (
                    &writers.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                    &sessions.iter().map(ToString::to_string).collect::<Vec<_>>()[..]
                )
            );
        }
    }
}
