//! Exit codes: part of the interface for scripts.

use std::process::ExitCode;

/// How the program ends. 2 (usage) is given by the reading of the arguments, before anything runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done; also when stdout was closed by its reader, or `watch` was interrupted.
    Success,
    /// 1: the server refused or could not be reached, or what was expected did not come.
    Failure,
    /// 3: events were missing, repeated or out of order.
    Verification,
    /// 4: the server wants another token, or one at all: logging in again may help, trying again will not.
    Denied,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Verification => 3,
            Exit::Denied => 4,
        })
    }
}
