//! `sambad.toml`: settings by the names of their flags.
//!
//! The command line is the one list of settings, so that a flag is a key of the file without a line here.

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, Command, Error, Id};
use sambad_settings::{Entry, Given, clean, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The arguments that are settings: what has a long name, but for `--config` itself.
pub(super) fn settings(command: &Command) -> impl Iterator<Item = (&Arg, &str)> {
    let named = command.get_arguments().filter_map(|arg| Some((arg, arg.get_long()?)));
    named.filter(|(arg, long)| !["config", "help", "version"].contains(long) && !arg.is_hide_set())
}

/// Reads the file at `path`, which `place` names. An entry that no flag would take is a complaint with its line.
///
/// # Errors
/// When it cannot be read, or is no TOML.
pub(super) fn read(given: &Given, path: &Path, place: Option<&str>) -> Result<Vec<Entry>, Error> {
    let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
    let refuse = |told: String| Error::raw(ErrorKind::ValueValidation, format!("{told}\n"));
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| refuse(format!("cannot read {}: {error}{place}", path.display())))?;
    let table = DeTable::parse(&text).map_err(|error| refuse(format!("{} is not TOML: {error}", path.display())))?;
    let mut keys: Vec<_> = table.get_ref().iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let entries = keys.into_iter().map(|(key, value)| {
        let line = text[..key.span().start].matches('\n').count() + 1;
        let (id, said) = entry(given, key.get_ref(), value.get_ref());
        let said = said.map_err(|complaint| format!("{}:{line}: {}: {complaint}", path.display(), key.get_ref()));
        Entry { id, source: format!("file {}:{line}", path.display()), said }
    });
    Ok(entries.collect())
}

fn entry(given: &Given, key: &str, value: &DeValue<'_>) -> (Option<Id>, Result<Vec<OsString>, String>) {
    let names = || settings(given.bare());
    let Some((arg, long)) = names().find(|(_, long)| *long == key) else {
        let nearest = nearest(&key.to_lowercase().replace('_', "-"), names().map(|(_, long)| long));
        let told = nearest.map_or("no such setting".into(), |name| format!("no such setting; did you mean `{name}`?"));
        return (None, Err(told));
    };
    let args = args(arg, long, value).and_then(|args| given.check(arg, args));
    (Some(arg.get_id().clone()), args.map_err(|told| format!("{told}; expected {}", expected(arg))))
}

/// The command line that says that the setting has this value.
fn args(arg: &Arg, long: &str, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    let say = |value: &DeValue<'_>| {
        let text = text(value)?;
        match clean(text.as_ref()) {
            Ok("") => Err("is empty".to_owned()),
            Ok(text) => Ok(format!("--{long}={text}").into()),
            Err(refused) => Err(refused.to_string()),
        }
    };
    match (arg.get_action().takes_values(), value) {
        (false, DeValue::Boolean(true)) => Ok(vec![format!("--{long}").into()]),
        (false, DeValue::Boolean(false)) => Ok(Vec::new()),
        (false, _) => Err("is a switch".to_owned()),
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
            number.map(|number| number.to_string()).map_err(|_| "is not a 64-bit number")
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
