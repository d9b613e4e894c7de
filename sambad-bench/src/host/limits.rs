//! How many descriptors a process may have: each session and each connection is one.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything that is neither a session nor a connection: database, logs, pipes, runtimes.
const OTHERS: u64 = 100;

/// Raises this process's limit as far as that is allowed; processes started from now on have it too.
///
/// Returns the limit that holds now, `u64::MAX` for none.
pub(crate) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Refused where "unlimited" is more than the system knows, as on macOS: then the old limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Checks that so many sessions and connections for writes can be open, here and in a server started from here.
///
/// # Errors
/// When they cannot, with what to do about it.
pub(crate) fn require(sessions: usize, connections: usize) -> anyhow::Result<()> {
    check(sessions, connections, getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// Sessions that can be open beside so many connections for writes.
pub(crate) fn sessions_max(connections: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(connections as u64 + OTHERS)).unwrap_or(usize::MAX)
}

fn check(sessions: usize, connections: usize, limit: u64) -> anyhow::Result<()> {
    let needed = sessions as u64 + connections as u64 + OTHERS;
    ensure!(
        needed <= limit,
        "{sessions} sessions and {connections} connections need {needed} descriptors and only {limit} are allowed: \
         raise the limit with `ulimit -n {needed}` (as root, where the hard limit is lower), \
         or with LimitNOFILE={needed} in a systemd unit, or ask for fewer sessions"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: too many sessions are refused before the first is opened, in words that help. Method: both sides of the bound.
    #[test]
    fn says_what_is_needed() {
        assert!(check(900, 24, 1024).is_ok());
        let error = check(901, 24, 1024).unwrap_err().to_string();
        for word in ["901 sessions", "24 connections", "need 1025", "only 1024", "ulimit -n 1025", "LimitNOFILE=1025"] {
            assert!(error.contains(word), "{word}: {error}");
        }
    }

    /// Goal: the limit is raised to the hard one, and never lowered. Method: this process's.
    #[test]
    fn raises_the_soft_limit() {
        let limit = getrlimit(Resource::Nofile);
        let raised = raise();
        assert!(raised >= limit.current.unwrap_or(u64::MAX));
        #[cfg(target_os = "linux")]
        assert_eq!(Some(raised), limit.maximum.or(Some(u64::MAX)));
        assert!(require(1, 1).is_ok());
    }
}
