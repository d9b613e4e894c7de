//! The settings that a server runs with, and where each came from.

use std::fmt::{self, Debug, Display, Formatter};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::file::{self, File};
use super::url::{REDACTED, redacted};

/// Column at which the sources begin, where values are short enough.
const SOURCE_COLUMN: usize = 44;

/// Every setting, in the order of the help; displayed it is a file that means the same.
#[derive(Clone, Default)]
pub struct Settings {
    file: Option<PathBuf>,
    all: Vec<Setting>,
}

#[derive(Debug, Clone)]
struct Setting {
    key: String,
    value: Value,
    source: String,
}

#[derive(Debug, Clone)]
enum Value {
    Unset,
    One(String),
    Many(Vec<String>),
    Switch(String),
}

impl Settings {
    /// Of `given`, which the command line and the environment say, and `effective`, which has the file in it.
    pub(super) fn of(command: &Command, file: Option<&File>, given: &ArgMatches, effective: &ArgMatches) -> Self {
        let all = file::settings(command).map(|(arg, key)| {
            let values = effective.get_raw(arg.get_id().as_str()).into_iter().flatten();
            let values = values.map(|value| shown(arg, &value.to_string_lossy())).collect();
            Setting { key: key.to_owned(), value: Value::of(arg, values), source: source(arg, file, given) }
        });
        Self { file: file.map(|file| file.path.clone()), all: all.collect() }
    }

    /// The file that was read, if one was.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// The one place which decides who is asked first: flag, environment, file, default.
fn source(arg: &Arg, file: Option<&File>, given: &ArgMatches) -> String {
    let entry = file.and_then(|file| file.entries.iter().find(|entry| entry.id == *arg.get_id()).map(|entry| (file, entry)));
    match (said(arg, given), entry) {
        (Some(said), _) => said,
        (None, Some((file, entry))) => format!("file {}:{}", file.path.display(), entry.line),
        (None, None) => "default".into(),
    }
}

/// Where the command line or the environment says something of a setting, which is where the file does not count.
pub(super) fn said(arg: &Arg, given: &ArgMatches) -> Option<String> {
    if given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
        return Some(format!("flag --{}", arg.get_long()?));
    }
    let name = arg.get_env().filter(|name| std::env::var_os(name).is_some())?;
    Some(format!("environment {}", name.to_string_lossy()))
}

/// A value without what is secret in it: all of it where the help hides it too, unless it is a URL.
fn shown(arg: &Arg, value: &str) -> String {
    match (arg.is_hide_env_values_set(), value.contains("://") || value.starts_with("sqlite:")) {
        (_, true) => redacted(value),
        (true, false) => REDACTED.into(),
        (false, false) => value.into(),
    }
}

impl Value {
    fn of(arg: &Arg, mut values: Vec<String>) -> Self {
        match values.len() {
            0 => Self::Unset,
            _ if file::is_list(arg) => Self::Many(values),
            _ if arg.get_action().takes_values() => Self::One(values.swap_remove(0)),
            _ => Self::Switch(values.swap_remove(0)),
        }
    }
}

/// As TOML: a number where it reads the same as one, else a string.
fn literal(value: &str) -> String {
    match value.parse::<i64>() {
        Ok(number) if number.to_string() == value => value.to_owned(),
        // The escapes of a JSON string are TOML's.
        _ => serde_json::Value::from(value).to_string(),
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let line = match &self.value {
            Value::Unset => format!("# {key} is not set"),
            Value::One(value) => format!("{key} = {}", literal(value)),
            Value::Many(values) => {
                format!("{key} = [{}]", values.iter().map(|value| literal(value)).collect::<Vec<_>>().join(", "))
            }
            Value::Switch(value) => format!("{key} = {value}"),
        };
        write!(f, "{line:SOURCE_COLUMN$} # {}", self.source)
    }
}

impl Display for Settings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => writeln!(f, "# file: {}", file.display())?,
            None => writeln!(f, "# file: none")?,
        }
        self.all.iter().try_for_each(|setting| writeln!(f, "{setting}"))
    }
}

/// The file only: the log has the values.
impl Debug for Settings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Settings").field(&self.file).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no secret is shown. Method: a setting whose value the help hides, and addresses with and without a password.
    #[test]
    fn secrets_are_left_out() {
        let (plain, secret) = (Arg::new("a").long("a"), Arg::new("b").long("b").hide_env_values(true));
        assert_eq!(shown(&secret, "hunter2"), "(redacted)");
        for (value, expected) in [
            ("postgres://me:hunter2@db:5432/x?y=z", "postgres://me:(redacted)@db:5432/x?y=z"),
            ("postgres://me:hunt@er2@db", "postgres://me:(redacted)@db"),
            ("postgres://me@db/x", "postgres://me@db/x"),
            ("sqlite:sambad.db", "sqlite:sambad.db"),
            ("/etc/sambad/keys", "/etc/sambad/keys"),
        ] {
            assert_eq!(shown(&plain, value), expected);
        }
    }
}
