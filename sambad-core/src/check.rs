//! What an examination of a database found.

use std::fmt;

/// The subject of the finding that [`repair_counters`](crate::maintenance::repair_counters) mends.
pub const COUNTERS: &str = "counters = rows";

/// The subject of the finding that [`reset_clock`](crate::maintenance::reset_clock) mends.
pub const CLOCK: &str = "no future timestamps";

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Works, and should be looked at.
    Warning,
    /// Wrong.
    Fault,
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was examined, for example "log is dense".
    pub subject: &'static str,
    /// What came of it.
    pub severity: Severity,
    /// The particulars, one line.
    pub detail: String,
    /// What to do about it; empty when nothing need be done.
    pub advice: &'static str,
}

impl Finding {
    /// All is well.
    pub fn fine(subject: &'static str, detail: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Fine, detail: detail.into(), advice: "" }
    }

    /// Something should be looked at.
    pub fn warning(subject: &'static str, detail: impl Into<String>, advice: &'static str) -> Self {
        Self { subject, severity: Severity::Warning, detail: detail.into(), advice }
    }

    /// Something is wrong.
    pub fn fault(subject: &'static str, detail: impl Into<String>, advice: &'static str) -> Self {
        Self { subject, severity: Severity::Fault, detail: detail.into(), advice }
    }

    /// Fine if `faults` is none, else a fault.
    pub(crate) fn unless(subject: &'static str, faults: Vec<String>, fine: impl Into<String>, advice: &'static str) -> Self {
        if faults.is_empty() { Self::fine(subject, fine) } else { Self::fault(subject, faults.join("; "), advice) }
    }
}

impl fmt::Display for Finding {
    /// One line, and a second one with the advice if there is any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.severity {
            Severity::Fine => "ok",
            Severity::Warning => "warn",
            Severity::Fault => "FAULT",
        };
        write!(f, "{mark:<6}{:<24}{}", self.subject, self.detail)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "\n{:30}{}", "", self.advice) }
    }
}
