//! `report`: a kept report shown again, or made into other forms.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::report::{file, hgrm, html, table};

/// Which report, and what becomes of it.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Report that a run wrote with `--json`
    #[arg(value_name = "FILE.json")]
    report: PathBuf,
    /// Write an HTML page to FILE, or next to the report; `-` is stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    html: Option<Option<PathBuf>>,
    /// Write the percentiles in milliseconds to FILE, for HdrHistogram's plotter; `-` is stdout
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
}

impl ReportArgs {
    /// Writes the files asked for; without any, the table to stdout, in colours if that is a terminal.
    ///
    /// # Errors
    /// The report could not be read, or something not be written.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        let report = file::read(&self.report)?;
        if let Some(path) = &self.html {
            let path = path.clone().unwrap_or_else(|| self.report.with_extension("html"));
            file::write(&path, html::render(&report))?;
        }
        if let Some(path) = &self.hgrm {
            file::write(path, hgrm::render(&report)?)?;
        }
        if self.html.is_none() && self.hgrm.is_none() {
            let mut stdout = anstream::stdout().lock();
            stdout.write_all(table::render(&report, true).as_bytes())?;
            stdout.flush()?;
        }
        Ok(Exit::Fine)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::report::sample;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: ReportArgs,
    }

    /// Goal: every form is written, and a wrong file is an error. Method: a kept sample made into both; then no file.
    #[test]
    fn reports_become_other_forms() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let run = || {
            let words = ["report", &path("r.json"), "--html", &path("r.html"), "--hgrm", &path("r.hgrm")];
            Cli::try_parse_from(words).unwrap().args.run()
        };
        assert!(run().unwrap_err().to_string().contains("no such file"));
        file::write(path("r.json").as_ref(), serde_json::to_vec(&sample::report()).unwrap()).unwrap();
        assert_eq!(run().unwrap(), Exit::Fine);
        assert!(std::fs::read_to_string(path("r.html")).unwrap().starts_with("<!doctype html>"));
        let beside = Cli::try_parse_from(["report", &path("r.json"), "--html"]).unwrap();
        std::fs::remove_file(path("r.html")).unwrap();
        assert_eq!(beside.args.run().unwrap(), Exit::Fine);
        assert!(std::fs::exists(path("r.html")).unwrap());
        assert!(std::fs::read_to_string(path("r.hgrm")).unwrap().starts_with("       Value     Percentile"));
    }
}
