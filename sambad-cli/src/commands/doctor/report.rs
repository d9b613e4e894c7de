//! Findings, told as they come.

use std::fmt::Display;

use serde_json::Value;

use super::finding::{Finding, Severity};
use crate::exit::Exit;
use crate::output::{Output, Role};

/// Columns before the particulars, as `sambad-server check` has them.
const MARK_WIDTH: usize = 6;
const SUBJECT_WIDTH: usize = 24;

/// Tells findings, and counts those that are not fine.
#[derive(Debug)]
pub(super) struct Report<'a> {
    output: &'a mut Output,
    warnings: u32,
    faults: u32,
    /// What was advised last.
    advised: &'static str,
}

impl<'a> Report<'a> {
    pub(super) fn new(output: &'a mut Output) -> Self {
        Self { output, warnings: 0, faults: 0, advised: "" }
    }

    /// Tells a finding at once: the next one may take a minute.
    pub(super) fn tell(&mut self, finding: Finding) -> anyhow::Result<()> {
        match finding.severity {
            Severity::Fine => {}
            Severity::Warning => self.warnings += 1,
            Severity::Fault => self.faults += 1,
        }
        let text = if self.output.wants_json() { json(&finding) } else { self.text(&finding) };
        self.advised = finding.advice;
        self.output.line(text)?;
        Ok(self.output.flush()?)
    }

    /// Tells a finding, and hands on what goes with it.
    pub(super) fn take<T>(&mut self, (finding, value): (Finding, Option<T>)) -> anyhow::Result<Option<T>> {
        self.tell(finding)?;
        Ok(value)
    }

    /// Shows what is being waited for, to a person.
    pub(super) fn progress(&self, text: impl Display) {
        self.output.progress(text);
    }

    /// Says what it all comes to.
    pub(super) fn end(self) -> anyhow::Result<Exit> {
        if !self.output.wants_json() {
            self.output.line(format_args!("\n{}", summary(self.faults, self.warnings)))?;
        }
        Ok(if self.faults == 0 { Exit::Success } else { Exit::Failure })
    }

    fn text(&self, Finding { subject, severity, detail, advice, .. }: &Finding) -> String {
        let (mark, role) = match severity {
            Severity::Fine => ("ok", Role::Good),
            Severity::Warning => ("warn", Role::Warning),
            Severity::Fault => ("FAULT", Role::Bad),
        };
        let mark = self.output.paint(role, format_args!("{mark:MARK_WIDTH$}"));
        let mut text = format!("{mark}{subject:SUBJECT_WIDTH$}{detail}");
        let advice = if *advice == self.advised && !advice.is_empty() { "see above" } else { advice };
        for line in advice.lines() {
            text += &format!("\n{:1$}{line}", "", MARK_WIDTH + SUBJECT_WIDTH);
        }
        text
    }
}

fn json(Finding { subject, severity, detail, advice, facts }: &Finding) -> String {
    let severity = match severity {
        Severity::Fine => "fine",
        Severity::Warning => "warning",
        Severity::Fault => "fault",
    };
    let fixed = [("subject", *subject), ("severity", severity), ("detail", detail), ("advice", advice)];
    let fixed = fixed.map(|(name, value)| (name, Value::from(value)));
    let all = fixed.iter().chain(facts).map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", all.collect::<Vec<_>>().join(","))
}

fn summary(faults: u32, warnings: u32) -> String {
    let count = |count: u32, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (faults, warnings) {
        (0, 0) => "no problems found".into(),
        (0, warnings) => format!("no faults, {}", count(warnings, "warning")),
        (faults, 0) => count(faults, "fault"),
        (faults, warnings) => format!("{}, {}", count(faults, "fault"), count(warnings, "warning")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a finding is one line of JSON that any parser reads, with what was measured. Method: parse one with quotes in it.
    #[test]
    fn json_is_one_line() {
        let finding = Finding::warning("a", "said \"no\"\n", "do").fact("count", 3).fact("by", Value::Null);
        let text = json(&finding);
        assert_eq!(text.lines().count(), 1);
        let expected = serde_json::json!({
            "subject": "a", "severity": "warning", "detail": "said \"no\"\n", "advice": "do", "count": 3, "by": null,
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    /// Goal: the last line says what the exit code says. Method: each case.
    #[test]
    fn the_end_sums_up() {
        for (faults, warnings, text) in
            [(0, 0, "no problems found"), (0, 2, "no faults, 2 warnings"), (1, 0, "1 fault"), (2, 1, "2 faults, 1 warning")]
        {
            assert_eq!(summary(faults, warnings), text);
        }
    }
}
