//! What the exit code says.

use std::fmt;
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything asked for was done and holds.
    Fine = 0,
    /// An objective was missed, a comparison failed, or a file could not be read or written.
    Missed = 1,
    /// The command line cannot be carried out.
    Usage = 2,
    /// Events were lost, repeated, reordered or unexplained.
    AuditFailed = 3,
    /// The figures mean nothing: the generator was the limit, or the target went away.
    Invalid = 4,
}

impl Exit {
    /// An error that ends the command with this code.
    pub(crate) fn because(self, why: impl fmt::Display) -> anyhow::Error {
        Ended { exit: self, why: why.to_string() }.into()
    }

    /// What an exit code means.
    pub(crate) const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Fine,
            2 => Self::Usage,
            3 => Self::AuditFailed,
            4 => Self::Invalid,
            _ => Self::Missed,
        }
    }

    /// The code that an error ends the command with.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        error.downcast_ref::<Ended>().map_or(Self::Missed, |ended| ended.exit)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure that knows its exit code.
#[derive(Debug)]
struct Ended {
    exit: Exit,
    why: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Ended {}
