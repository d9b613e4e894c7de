//! The settings that a server runs with, and where each came from.

use std::fmt::{self, Debug, Display, Formatter};
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use sambad_settings::{Loaded, notes};

use super::file;
use super::url::{REDACTED, redacted};

/// Column at which the sources begin, where values are short enough.
const SOURCE_COLUMN: usize = 44;

/// The source of a setting that nothing says.
const DEFAULT: &str = "default";

/// Every setting, in the order of the help; displayed it is a file that means the same.
#[derive(Clone, Default)]
pub struct Settings {
    file: Option<PathBuf>,
    all: Vec<Setting>,
    warnings: Vec<String>,
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
    pub(super) fn of(command: &Command, file: Option<PathBuf>, loaded: Loaded) -> Self {
        let all = file::settings(command).map(|(arg, key)| {
            let values = loaded.matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
            let values = values.map(|value| shown(arg, &value.to_string_lossy())).collect();
            let source = loaded.source(arg.get_id()).unwrap_or(DEFAULT).to_owned();
            Setting { key: key.to_owned(), value: Value::of(arg, values), source }
        });
        Self { file, all: all.collect(), warnings: loaded.warnings }
    }

    /// What is wrong with settings that do not count, and with variables that are none: a sentence each, without a value that is
    /// secret.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Where the settings came from that a message names as flags, as an end of it: messages cannot know.
    #[must_use]
    pub fn origins(&self, message: &str) -> String {
        let places = self.all.iter().filter(|setting| setting.source != DEFAULT && !setting.source.starts_with("flag "));
        let notes = notes(message, places.map(|setting| (setting.key.as_str(), &setting.source)));
        if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) }
    }

    /// The settings that are not defaults, on one line and without secrets: `heartbeat-s = 30, log-format = "json"`.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        let changed: Vec<_> = self.all.iter().filter(|setting| setting.source != DEFAULT).map(Setting::line).collect();
        (!changed.is_empty()).then(|| changed.join(", "))
    }

    /// The file that was read, if one was.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
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

impl Setting {
    /// As a line of a file.
    fn line(&self) -> String {
        let key = &self.key;
        match &self.value {
            Value::Unset => format!("# {key} is not set"),
            Value::One(value) => format!("{key} = {}", literal(value)),
            Value::Many(values) => {
                format!("{key} = [{}]", values.iter().map(|value| literal(value)).collect::<Vec<_>>().join(", "))
            }
            Value::Switch(value) => format!("{key} = {value}"),
        }
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:SOURCE_COLUMN$} # {}", self.line(), self.source)
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

/// The file only: `config` prints the values.
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
