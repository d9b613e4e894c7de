//! `compare`: whether two sides differ, by the kept reports of their runs.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::compare::{Comparison, LABEL_CHARS_MAX, Run, Side, Verdict, compare, render};
use crate::exit::Exit;
use crate::report::file;
use crate::report::fmt::harmless;

const AFTER_HELP: &str = "\
One run of each side is not enough for a verdict: a verdict needs 3 runs of each side, and is precise with 5 or more.

Measure the sides in turn (base, new, base, new, ...), so that a change of the machine affects both.";

/// Which reports, and when that is a failure.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CompareArgs {
    /// Report of the base's run, written with `--json`
    #[arg(value_name = "BASE.json", required_unless_present = "base", requires = "new_run", conflicts_with_all = ["base", "new"])]
    base_run: Option<PathBuf>,
    /// Report of the run to compare with the base
    #[arg(value_name = "NEW.json")]
    new_run: Option<PathBuf>,
    /// Reports of several runs of the base
    #[arg(long, value_name = "FILE.json", num_args = 1.., requires = "new")]
    base: Vec<PathBuf>,
    /// Reports of several runs to compare with the base
    #[arg(long, value_name = "FILE.json", num_args = 1.., requires = "base")]
    new: Vec<PathBuf>,
    /// Names of the two columns, such as express,sambad
    #[arg(long, value_name = "BASE,NEW", default_value = "base,new", value_parser = labels)]
    labels: [String; 2],
    /// Exit with 1 if p50 or p99 of write → dashboard shows this verdict for the new side (p50 or p99 of the response, if a side
    /// has no deliveries); with 2 if a side has fewer than 3 runs; with 3 or 4 if a run itself failed its audit or was invalid
    #[arg(long, value_name = "VERDICT", value_enum)]
    fail_if: Option<FailIf>,
}

/// Which verdict is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailIf {
    /// One of the two is slower, or both
    Slower,
    /// One of the two is faster, or both
    Faster,
    /// One of the two is slower or faster, or both
    Different,
}

impl CompareArgs {
    /// Shows the comparison on stdout, in colours if that is a terminal, and judges it if asked to.
    ///
    /// # Errors
    /// A report could not be read, stands for two runs of a side, or the output could not be written; with `--fail-if`,
    /// when there are too few runs for a verdict.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        self.show(&mut anstream::stdout().lock())
    }

    fn show(&self, out: &mut impl Write) -> anyhow::Result<Exit> {
        let (base, new) = match (&self.base_run, &self.new_run) {
            (Some(base), Some(new)) => (std::slice::from_ref(base), std::slice::from_ref(new)),
            _ => (self.base.as_slice(), self.new.as_slice()),
        };
        let [base_label, new_label] = &self.labels;
        let comparison = compare(side(base_label, base)?, side(new_label, new)?);
        out.write_all(render(&comparison, true).as_bytes())?;
        out.flush()?;
        self.fail_if.map_or(Ok(Exit::Fine), |fail_if| fail_if.judge(&comparison))
    }
}

impl FailIf {
    /// # Errors
    /// There is no verdict: a gate that cannot close must not look like one that was passed.
    fn judge(self, comparison: &Comparison) -> anyhow::Result<Exit> {
        let fails = |verdict: &Verdict| match self {
            Self::Slower => *verdict == Verdict::Slower,
            Self::Faster => *verdict == Verdict::Faster,
            Self::Different => *verdict != Verdict::NotShown,
        };
        match (comparison.spoiled(), comparison.headline()) {
            (Some(exit), _) => Ok(exit),
            (None, Some(headline)) => Ok(if headline.iter().any(fails) { Exit::Missed } else { Exit::Fine }),
            (None, None) => Err(Exit::Usage.because("--fail-if needs 3 runs of each side with deliveries, or with responses")),
        }
    }
}

/// Reads a side's reports.
fn side(label: &str, paths: &[PathBuf]) -> anyhow::Result<Side> {
    let mut runs: Vec<Run> = Vec::with_capacity(paths.len());
    for path in paths {
        let run = Run { name: harmless(&path.display().to_string()), report: file::read(path)? };
        // The same run again has no noise: three of it would prove anything.
        if let Some(same) = runs.iter().find(|other| other.report == run.report) {
            return Err(Exit::Usage.because(format!("{} and {} are the same run, given twice", same.name, run.name)));
        }
        runs.push(run);
    }
    Ok(Side { label: label.to_owned(), runs })
}

/// Two names with a comma between them.
fn labels(text: &str) -> Result<[String; 2], String> {
    let fits = |label: &&str| (1..=LABEL_CHARS_MAX).contains(&label.chars().count()) && !label.contains(char::is_control);
    match text.split(',').map(str::trim).filter(fits).collect::<Vec<_>>()[..] {
        [base, new] if text.matches(',').count() == 1 => Ok([base.to_owned(), new.to_owned()]),
        _ => Err(format!("expected two names of at most {LABEL_CHARS_MAX} characters with a comma between them")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::report::{LatencyKind, Report, sample};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: CompareArgs,
    }

    /// Writes reports named `a0`, `b3` and so on, each a run with its own latency, and runs the command line.
    fn outcome(words: &str, change: impl Fn(&str, &mut Report)) -> anyhow::Result<Exit> {
        let folder = tempfile::tempdir().unwrap();
        let words = words.split(' ').map(|word| {
            let Some(at) = word.strip_suffix(".json").and_then(|word| word.get(1..)) else { return word.to_owned() };
            let mut report = sample::empty();
            let median = at.parse::<u64>().unwrap() * 10 + if word.starts_with('a') { 1000 } else { 3000 };
            report.latencies = vec![sample::latency(LatencyKind::Delivery, [median; 9])];
            change(word, &mut report);
            let path = folder.path().join(word);
            file::write(&path, serde_json::to_vec(&report).unwrap()).unwrap();
            path.to_str().unwrap().to_owned()
        });
        Cli::try_parse_from(std::iter::once("compare".to_owned()).chain(words))?.args.show(&mut std::io::sink())
    }

    /// Goal: the gate closes when it should. Method: a slower side against each verdict, and swapped.
    #[test]
    fn gates_close() {
        let (slower, faster) = (
            "--base a1.json a2.json a3.json --new b1.json b2.json b3.json",
            "--base b1.json b2.json b3.json --new a1.json a2.json a3.json",
        );
        for (sides, verdict, exit) in [
            (slower, "slower", Exit::Missed),
            (slower, "faster", Exit::Fine),
            (slower, "different", Exit::Missed),
            (faster, "slower", Exit::Fine),
            (faster, "faster", Exit::Missed),
        ] {
            let shown = outcome(&format!("--labels old,new {sides} --fail-if {verdict}"), |_, _| {});
            assert_eq!(shown.unwrap(), exit, "{sides} {verdict}");
        }
        let invalid = outcome(&format!("{slower} --fail-if faster"), |name, report| {
            report.judgement.exit_code = if name == "a2.json" { 4 } else { 0 };
        });
        assert_eq!(invalid.unwrap(), Exit::Invalid);
    }

    /// Goal: two runs can be looked at, and no more is made of them. Method: with and without a gate; one run given twice.
    #[test]
    fn few_runs_prove_nothing() {
        assert_eq!(outcome("a1.json b1.json", |_, _| {}).unwrap(), Exit::Fine);
        for (words, expected) in [
            ("a1.json b1.json --fail-if slower", "3 runs of each side"),
            ("--base a1.json a2.json a1.json --new b1.json", "the same run, given twice"),
        ] {
            let error = outcome(words, |_, _| {}).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(Exit::of(&error), Exit::Usage);
        }
    }

    /// Goal: a wrong command line is refused. Method: sides that are missing or too many, and labels that are no two names.
    #[test]
    fn wrong_words_are_refused() {
        for words in
            ["", "a.json", "a.json b.json c.json", "--base a.json", "--new a.json", "a.json b.json --base c.json --new d.json"]
        {
            let words = std::iter::once("compare").chain(words.split(' ').filter(|word| !word.is_empty()));
            assert!(Cli::try_parse_from(words.clone()).is_err(), "{:?}", words.collect::<Vec<_>>());
        }
        assert_eq!(labels("express, sambad"), Ok(["express".to_owned(), "sambad".to_owned()]));
        for text in ["", "a", "a,", ",b", "a,b,", "a,b,c", "a,12345678901", "a,\u{1b}"] {
            assert!(labels(text).is_err(), "{text:?}");
        }
    }
}
