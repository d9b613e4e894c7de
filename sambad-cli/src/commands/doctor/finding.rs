//! What was examined, and what came of it.

use std::time::Duration;

use serde_json::Value;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// As it should be.
    Fine,
    /// Works, and should be looked at.
    Warning,
    /// Wrong.
    Fault,
}

/// One thing that was examined.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) subject: &'static str,
    pub(super) severity: Severity,
    /// The particulars, one line.
    pub(super) detail: String,
    /// What to do about it; empty when nothing need be done.
    pub(super) advice: &'static str,
    /// What was measured, for programs.
    pub(super) facts: Vec<(&'static str, Value)>,
}

/// Why something does not work, and what to do about it.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) detail: String,
    pub(super) advice: &'static str,
}

impl Trouble {
    pub(super) fn new(detail: impl Into<String>, advice: &'static str) -> Self {
        Self { detail: detail.into(), advice }
    }
}

impl Finding {
    pub(super) fn fine(subject: &'static str, detail: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Fine, detail: detail.into(), advice: "", facts: Vec::new() }
    }

    pub(super) fn warning(subject: &'static str, detail: impl Into<String>, advice: &'static str) -> Self {
        Self { severity: Severity::Warning, advice, ..Self::fine(subject, detail) }
    }

    pub(super) fn fault(subject: &'static str, Trouble { detail, advice }: Trouble) -> Self {
        Self { severity: Severity::Fault, advice, ..Self::fine(subject, detail) }
    }

    /// Adds something that was measured.
    pub(super) fn fact(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    /// Adds a time that was measured, in milliseconds.
    pub(super) fn time(self, name: &'static str, time: Duration) -> Self {
        // Hundredths: what is finer is noise between two machines.
        self.fact(name, (time.as_secs_f64() * 100_000.0).round() / 100.0)
    }
}

/// A time for people: three digits are enough to compare.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.9995 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: times read well from microseconds to minutes. Method: a table.
    #[test]
    fn times_are_readable() {
        for (us, text) in [(0, "0.0 ms"), (213, "0.2 ms"), (300_000, "300.0 ms"), (999_900, "1.0 s"), (60_012_000, "60.0 s")] {
            assert_eq!(span(Duration::from_micros(us)), text);
        }
    }
}
