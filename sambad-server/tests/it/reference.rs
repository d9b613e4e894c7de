//! The pages of `docs/reference` that are generated from the command line. `scripts/snapshots.sh` writes them anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use sambad_server::config::Cli;
use sambad_server::testing;

/// Text of a help as one cell of a table: its paragraphs as sentences.
fn cell(help: &str) -> String {
    let paragraphs = help.split("\n\n").map(|paragraph| {
        let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let ends = paragraph.ends_with(['.', ':']);
        if ends { paragraph } else { paragraph + "." }
    });
    paragraphs.collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_long_help().or(arg.get_help()).map(|help| cell(&help.to_string())).unwrap_or_default();
    let values = if arg.get_action().takes_values() { arg.get_possible_values() } else { Vec::new() };
    for value in values.iter().filter(|value| !value.is_hide_set()) {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = write!(text, " `{}`: {}", PossibleValue::get_name(value), cell(&help));
    }
    if matches!(arg.get_action(), ArgAction::Append) {
        text.push_str(" A list.");
    }
    if arg.is_hide_env_values_set() {
        text.push_str(" It may contain a secret, which `config` hides.");
    }
    text
}

/// A row of the table of settings.
fn row(arg: &Arg) -> String {
    let long = arg.get_long().expect("settings have names");
    let takes_values = arg.get_action().takes_values();
    let name = arg.get_value_names().filter(|_| takes_values).map(|names| format!(" {}", names[0])).unwrap_or_default();
    let variable = arg.get_env().map(|variable| format!("`{}`", variable.to_string_lossy())).unwrap_or_default();
    // The file cannot name itself.
    let key = if long == "config" { "–".to_owned() } else { format!("`{long}`") };
    let defaults: Vec<String> = arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    let default = match (takes_values, arg.is_hide_default_value_set()) {
        (false, _) => "`false`".to_owned(),
        (true, true) => "hidden".to_owned(),
        (true, false) if defaults.is_empty() => "not set".to_owned(),
        (true, false) => defaults.join(", "),
    };
    let flag = format!("--{long}{name}").replace('|', "\\|");
    format!("| `{flag}` | {variable} | {key} | {default} | {} |", meaning(arg))
}

/// Goal: the page has every setting of the server, as the help and the code have it. Method: the table is generated from the
/// command line, which is the list of settings.
#[test]
fn settings_are_the_command_line() {
    let command = Cli::command();
    let arguments = || command.get_arguments().filter(|arg| arg.get_env().is_some() && !arg.is_hide_set());
    let mut headings: Vec<Option<&str>> = arguments().map(Arg::get_help_heading).collect();
    headings.dedup();
    let mut text = String::new();
    for heading in headings {
        let _ = writeln!(text, "### {}\n", heading.unwrap_or("General"));
        text.push_str("| flag | variable | key in the file | default | meaning |\n|---|---|---|---|---|\n");
        for arg in arguments().filter(|arg| arg.get_help_heading() == heading) {
            let _ = writeln!(text, "{}", row(arg));
        }
        text.push('\n');
    }
    testing::is_generated("docs/reference/settings.md", "settings", &text);
}

/// Goal: the page has the variables of the other programs. Method: each name in the table of the settings crate has a row.
#[test]
fn variables_of_clients_are_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/settings.md");
    let page = fs::read_to_string(path).expect("the page can be read");
    for name in sambad_settings::CLIENTS {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name} has no row");
    }
}

/// Adds the help of a command and of those below it. Options that every command has are in the program's own help.
fn helps(command: &Command, name: &str, all: &mut Vec<(String, String)>) {
    let is_whole = all.is_empty();
    let shown = command.clone().mut_args(|arg| {
        let is_hidden = !is_whole && arg.is_global_set();
        arg.hide(is_hidden).hide_env_values(true)
    });
    let help = shown.term_width(100).render_long_help().to_string();
    all.push((name.to_owned(), help));
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        helps(below, &format!("{name} {}", below.get_name()), all);
    }
}

/// Goal: the page has every command of the server with its options. Method: the help of each is generated from the command line.
#[test]
fn commands_are_the_command_line() {
    let mut command = Cli::command();
    command.build();
    let mut all = Vec::new();
    helps(&command, "sambad-server", &mut all);
    let page = testing::commands(all.iter().map(|(name, help)| (name.as_str(), help.as_str())));
    testing::is_generated("docs/reference/cli.md", "sambad-server", &page);
}
