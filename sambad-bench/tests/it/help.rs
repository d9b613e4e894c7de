//! The help texts, as they are. `SAMBAD_UPDATE_SNAPSHOTS=1` writes the files anew; the diff is then for a person to judge.

use std::path::PathBuf;

use sambad_server::testing;

use crate::harness::run_words;

/// Goal: help changes only on purpose. Method: compare each command's `--help` with a file.
#[tokio::test(flavor = "multi_thread")]
async fn help_is_as_recorded() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let update = std::env::var_os("SAMBAD_UPDATE_SNAPSHOTS").is_some_and(|value| value == "1");
    let mut helps = Vec::new();
    for command in ["", "run", "find-max", "connect", "report", "compare", "simulate"] {
        let words: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let help = run_words(&words).await;
        assert_eq!(help.code, 0, "{help:?}");
        let name = format!("help {command}").trim().replace(' ', "-");
        let path = directory.join(format!("{name}.txt"));
        if update {
            std::fs::write(&path, &help.stdout).unwrap();
        }
        let recorded = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(help.stdout, recorded, "help of {command:?} differs from {}", path.display());
        helps.push((format!("sambad-bench {command}").trim_end().to_owned(), recorded));
    }
    let page = testing::commands(helps.iter().map(|(command, help)| (command.as_str(), help.as_str())));
    testing::is_generated("docs/reference/cli.md", "sambad-bench", &page);
}
