//! `sambad.toml`: settings by the names of their flags.
//!
//! The command line is the one list of settings, so that a flag is a key of the file without a line here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error, Id};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How alike a name must be to what was written, from 0 to 1, to be suggested.
const LIKENESS_MIN: f64 = 0.6;

/// A file that was read, each entry of it found right.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) entries: Vec<Entry>,
}

/// One key of the file.
#[derive(Debug)]
pub(super) struct Entry {
    /// The setting's name among clap's arguments.
    pub(super) id: Id,
    /// Counted from 1.
    pub(super) line: usize,
    /// The command line that says the same.
    pub(super) args: Vec<OsString>,
}

/// The arguments that are settings: what has a long name, but for `--config` itself.
pub(super) fn settings(command: &Command) -> impl Iterator<Item = (&Arg, &str)> {
    let named = command.get_arguments().filter_map(|arg| Some((arg, arg.get_long()?)));
    named.filter(|(arg, long)| !["config", "help", "version"].contains(long) && !arg.is_hide_set())
}

/// Reads the file at `path`.
///
/// # Errors
/// When it cannot be read, is no TOML, or has a key or a value that no flag would take: all of these at once, with their lines.
pub(super) fn read(command: &Command, path: &Path) -> Result<File, Error> {
    let refuse = |told: String| Error::raw(ErrorKind::ValueValidation, format!("{told}\n"));
    let text = std::fs::read_to_string(path).map_err(|error| refuse(format!("cannot read {}: {error}", path.display())))?;
    let table = DeTable::parse(&text).map_err(|error| refuse(format!("{} is no TOML: {error}", path.display())))?;
    // What the environment says is no concern of the file's.
    let alone = command.clone().mut_args(|arg| arg.env(Resettable::Reset));
    let mut keys: Vec<_> = table.get_ref().iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let (mut entries, mut complaints) = (Vec::new(), Vec::new());
    for (key, value) in keys {
        let line = text[..key.span().start].matches('\n').count() + 1;
        match entry(&alone, key.get_ref(), value.get_ref()) {
            Ok((id, args)) => entries.push(Entry { id, line, args }),
            Err(complaint) => complaints.push(format!("{}:{line}: {}: {complaint}", path.display(), key.get_ref())),
        }
    }
    match complaints.is_empty() {
        true => Ok(File { path: path.to_owned(), entries }),
        false => Err(refuse(complaints.join("\n"))),
    }
}

fn entry(command: &Command, key: &str, value: &DeValue<'_>) -> Result<(Id, Vec<OsString>), String> {
    let Some((arg, long)) = settings(command).find(|(_, long)| *long == key) else {
        let nearest = nearest(key, settings(command).map(|(_, long)| long));
        return Err(nearest.map_or("no such setting".into(), |name| format!("no such setting; did you mean `{name}`?")));
    };
    let refuse = |told: &str| format!("{told}; expected {}", expected(arg));
    let args = args(arg, long, value).map_err(refuse)?;
    match command.clone().try_get_matches_from([&["".into()], args.as_slice()].concat()) {
        // What this setting needs beside it is judged where all of them are known.
        Err(error) if !matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict) => {
            let told = error.to_string();
            let told = told.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            Err(refuse(&told.split_whitespace().collect::<Vec<_>>().join(" ")))
        }
        _ => Ok((arg.get_id().clone(), args)),
    }
}

/// The command line that says that the setting has this value.
fn args(arg: &Arg, long: &str, value: &DeValue<'_>) -> Result<Vec<OsString>, &'static str> {
    let say = |value: &DeValue<'_>| Ok(format!("--{long}={}", text(value)?).into());
    match (arg.get_action().takes_values(), value) {
        (false, DeValue::Boolean(true)) => Ok(vec![format!("--{long}").into()]),
        (false, DeValue::Boolean(false)) => Ok(Vec::new()),
        (false, _) => Err("is a switch"),
        (true, DeValue::Array(items)) if is_list(arg) => items.iter().map(Spanned::get_ref).map(say).collect(),
        (true, value) => Ok(vec![say(value)?]),
    }
}

/// A value as one would write it on the command line.
fn text(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            number.map(|number| number.to_string()).map_err(|_| "is no number of 64 bits")
        }
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(_) => Err("is not a switch"),
        DeValue::Datetime(_) => Err("is not a date"),
        DeValue::Array(_) => Err("is not a list"),
        DeValue::Table(_) => Err("is not a table"),
    }
}

/// Whether the setting can have several values.
pub(super) fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append) || arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

/// What a value of the setting looks like.
fn expected(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return "true or false".into();
    }
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let names: Vec<_> = possible.iter().map(|value| format!("\"{}\"", value.get_name())).collect();
        return names.join(" or ");
    }
    let name = placeholder(arg);
    match arg.get_default_values() {
        [] => name,
        defaults => format!("{name}, such as {}", defaults[0].to_string_lossy()),
    }
}

/// The word that stands for the value in the help.
fn placeholder(arg: &Arg) -> String {
    arg.get_value_names().and_then(|names| names.first()).map_or_else(|| "a value".into(), ToString::to_string)
}

fn nearest<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let key = key.to_lowercase().replace('_', "-");
    let likeness = |name: &&str| strsim::normalized_damerau_levenshtein(&key, name);
    names.filter(|name| likeness(name) >= LIKENESS_MIN).max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}
