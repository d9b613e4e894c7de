//! The help texts, as they are. `SAMBAD_UPDATE_SNAPSHOTS=1` writes the files anew; the diff is then for a person to judge.

use std::path::PathBuf;

use sambad_server::testing;

use crate::harness::run;

/// Goal: help changes only on purpose. Method: compare each command's `--help` with a file.
#[tokio::test]
async fn help_is_as_recorded() {
    let commands = [
        "",
        "login",
        "logout",
        "whoami",
        "user",
        "user create",
        "user list",
        "user show",
        "contact",
        "contact add",
        "contact list",
        "contact remove",
        "message",
        "message send",
        "message list",
        "watch",
        "demo",
        "activity",
        "stats",
        "flow",
        "doctor",
        "completions",
    ];
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let update = std::env::var_os("SAMBAD_UPDATE_SNAPSHOTS").is_some_and(|value| value == "1");
    let mut helps = Vec::new();
    for command in commands {
        let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let help = run("http://127.0.0.1:1", &args).await.ok();
        let name = format!("help {command}").trim().replace(' ', "-");
        let path = directory.join(format!("{name}.txt"));
        if update {
            std::fs::write(&path, &help).unwrap();
        }
        let recorded = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(help, recorded, "help of {command:?} differs from {}", path.display());
        let shown = if command.is_empty() { help } else { without_global_options(&help) };
        helps.push((format!("sambad-cli {command}").trim_end().to_owned(), shown));
    }
    let page = testing::commands(helps.iter().map(|(command, help)| (command.as_str(), help.as_str())));
    testing::is_generated("docs/reference/cli.md", "sambad-cli", &page);
}

/// The help of a command without the options that every command has: the page shows them once.
fn without_global_options(help: &str) -> String {
    let mut is_global = false;
    let kept = help.lines().filter(|line| {
        is_global = *line == "Global options:" || is_global && (line.is_empty() || line.starts_with(' '));
        !is_global
    });
    kept.collect::<Vec<_>>().join("\n")
}
