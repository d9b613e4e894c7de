//! From flags, variables and a file to the one command line that clap reads.

use std::collections::HashMap;
use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Error, Id, Parser};

use crate::typed::{clean_args, name};
use crate::{clean, names};

/// Stands for a value that nobody is to read.
const REDACTED: &str = "(redacted)";
/// Bytes of a secret that is found wherever a message has it; a shorter one is part of words.
const SECRET_MIN: usize = 4;

/// What is particular to a program.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exceptions {
    /// The subcommands for which no variable is looked at.
    pub unread: &'static [&'static str],
    /// The arguments whose values are taken as typed: what people say and are called, and what is another program's.
    pub as_typed: &'static [&'static str],
    /// Settings, each with an argument that goes before it: what is wrong with the setting does not count where that is given.
    pub above: &'static [(&'static str, &'static str)],
}

/// What one place, a variable or a line of a file, says of one setting.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The setting's name among clap's arguments; `None` for what is none, which counts in any case.
    pub id: Option<Id>,
    /// The place, such as `environment SAMBAD_LISTEN`.
    pub source: String,
    /// The command line that says the same, or a complaint that names the place.
    pub said: Result<Vec<OsString>, String>,
}

/// What flags and variables say; a file may be added before it is finished.
#[derive(Debug)]
pub struct Given {
    /// The command line as it is shown in help.
    command: Command,
    /// The same without its variables, which clap would read by rules of its own.
    bare: Command,
    args: Vec<OsString>,
    flags: ArgMatches,
    /// What lies below the flags, the higher place first.
    entries: Vec<Entry>,
    warnings: Vec<String>,
    /// The settings that another argument goes before, with what messages call it.
    above: HashMap<Id, String>,
}

/// All settings, and where each came from.
#[derive(Debug)]
pub struct Loaded {
    /// For `clap::FromArgMatches`.
    pub matches: ArgMatches,
    /// What is wrong and does not count, a sentence each.
    pub warnings: Vec<String>,
    sources: HashMap<Id, String>,
}

/// Reads the settings of a program that has no file, and the warnings.
///
/// # Errors
/// As [`Given::read`] and [`Given::finish`].
pub fn load<P: Parser>(
    args: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    exceptions: Exceptions,
) -> Result<(P, Vec<String>), Error> {
    let given = Given::read(P::command(), args, variables, exceptions)?;
    let loaded = given.finish()?;
    let parsed = P::from_arg_matches(&loaded.matches).map_err(|error| error.format(&mut P::command()))?;
    Ok((parsed, loaded.warnings))
}

impl Given {
    /// Reads flags, program name first, then variables.
    ///
    /// # Errors
    /// When a flag is wrong, or help is asked for; what is wrong with a variable may not count, and is told in the end.
    pub fn read(
        command: Command,
        args: impl IntoIterator<Item = OsString>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        exceptions: Exceptions,
    ) -> Result<Self, Error> {
        let bare = without_variables(command.clone());
        let args: Vec<OsString> = args.into_iter().collect();
        let args = clean_args(&command, exceptions.as_typed, args)?;
        let flags = match bare.clone().try_get_matches_from(&args) {
            // What a flag needs beside it, a variable or the file may say.
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
                bare.clone().ignore_errors(true).try_get_matches_from(&args)?
            }
            read => read.map_err(|error| with_help_of(&command, &args, error))?,
        };
        let mut given = Self { command, bare, args, flags, entries: Vec::new(), warnings: Vec::new(), above: HashMap::new() };
        let above = exceptions.above.iter();
        given.above =
            above.filter_map(|(id, above)| Some(((*id).into(), argument(&given.command, &given.flags, above)?))).collect();
        if !given.flags.subcommand_name().is_some_and(|name| exceptions.unread.contains(&name)) {
            let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
            given.warnings = names::warnings(&variables, &own_names(&given.command));
            let variables: HashMap<OsString, OsString> = variables.into_iter().collect();
            given.entries = given.settings().filter_map(|arg| given.entry(arg, &variables)).collect();
        }
        Ok(given)
    }

    /// The text of a setting that a flag or a variable says, and which of them; `None` if neither does.
    ///
    /// # Errors
    /// When it is the variable that counts, and is wrong.
    pub fn text(&self, id: &str) -> Result<Option<(OsString, String)>, Error> {
        if self.is_flag(id) {
            let value = self.flags.get_raw(id).and_then(|mut values| values.next()).map(ToOwned::to_owned);
            return Ok(value.zip(self.flag(id)));
        }
        let Some(Entry { source, said, .. }) = self.entries.iter().find(|entry| entry.id.as_ref().is_some_and(|of| of == id))
        else {
            return Ok(None);
        };
        let args = said.as_ref().map_err(|complaint| refused(complaint))?;
        let value = args.first().and_then(|arg| arg.to_str()?.split_once('='));
        Ok(value.map(|(_, value)| (value.into(), source.clone())))
    }

    /// The command line without variables, by which a lower place can be read.
    #[must_use]
    pub fn bare(&self) -> &Command {
        &self.bare
    }

    /// Adds what a lower place says.
    pub fn add(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.entries.extend(entries);
    }

    /// Puts on the command line what counts of each setting, and reads it.
    ///
    /// # Errors
    /// When a value that counts is wrong, or those that count do not go together.
    pub fn finish(mut self) -> Result<Loaded, Error> {
        let (mut sources, mut added, mut complaints) = (HashMap::new(), Vec::new(), Vec::new());
        for Entry { id, source, said } in std::mem::take(&mut self.entries) {
            let above = id.as_ref().and_then(|id| self.flag(id.as_str()).or_else(|| sources.get(id).cloned()));
            let other = id.as_ref().and_then(|id| self.above.get(id).cloned());
            match (if said.is_ok() { above } else { above.or(other) }, said) {
                (Some(_), Ok(_)) => {}
                (Some(above), Err(complaint)) => {
                    self.warnings.push(format!("{complaint}; ignored, because {above} overrides it"))
                }
                (None, said) => {
                    sources.extend(id.map(|id| (id, source)));
                    match said {
                        Ok(args) => added.extend(args),
                        Err(complaint) => complaints.push(complaint),
                    }
                }
            }
        }
        if !complaints.is_empty() {
            return Err(refused(&complaints.join("\n")));
        }
        // Before the subcommand, where every setting is known, unless the settings are the subcommand's own.
        let at = if self.holder().0 { 2 } else { 1 }.min(self.args.len());
        self.args.splice(at..at, added);
        let read = self.bare.clone().try_get_matches_from(&self.args);
        let matches = read.map_err(|error| self.explained(with_help_of(&self.command, &self.args, error), &sources))?;
        let flags = self.settings().filter_map(|arg| Some((arg.get_id().clone(), self.flag(arg.get_id().as_str())?)));
        sources.extend(flags.collect::<Vec<_>>());
        Ok(Loaded { matches, warnings: self.warnings, sources })
    }

    /// The command that has the settings, and whether it is a subcommand that has its own.
    fn holder(&self) -> (bool, &Command) {
        let own = self.command.is_args_conflicts_with_subcommands_set();
        let subcommand = self.flags.subcommand_name().filter(|_| own).and_then(|name| self.command.find_subcommand(name));
        subcommand.map_or((false, &self.command), |subcommand| (true, subcommand))
    }

    fn settings(&self) -> impl Iterator<Item = &Arg> {
        self.holder().1.get_arguments().filter(|arg| arg.get_env().is_some())
    }

    fn is_flag(&self, id: &str) -> bool {
        let of = |matches: &ArgMatches| {
            let known = matches.try_contains_id(id).is_ok();
            known && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        let subcommand = self.flags.subcommand().filter(|_| self.holder().0);
        of(&self.flags) || subcommand.is_some_and(|(_, matches)| of(matches))
    }

    /// The flag of a setting, if it is given.
    fn flag(&self, id: &str) -> Option<String> {
        let arg = self.holder().1.get_arguments().find(|arg| arg.get_id() == id).filter(|_| self.is_flag(id))?;
        Some(format!("flag --{}", arg.get_long()?))
    }

    /// What the variable of a setting says, if it says something.
    fn entry(&self, arg: &Arg, variables: &HashMap<OsString, OsString>) -> Option<Entry> {
        let name = arg.get_env()?.to_string_lossy();
        let said = match clean(variables.get(arg.get_env()?)?) {
            Ok("") => return None,
            Ok(value) => args_of(arg, value).and_then(|args| self.check(arg, args)),
            Err(refused) => Err(refused.to_string()),
        };
        let said = said.map_err(|complaint| format!("{name}: {complaint}"));
        Some(Entry { id: Some(arg.get_id().clone()), source: format!("environment {name}"), said })
    }

    /// Whether a setting takes what a place says, whatever else is said.
    ///
    /// # Errors
    /// What clap says of it, on one line.
    pub fn check(&self, arg: &Arg, args: Vec<OsString>) -> Result<Vec<OsString>, String> {
        let bare = without_variables(self.holder().1.clone());
        match bare.try_get_matches_from([&["".into()], args.as_slice()].concat()) {
            // What this setting needs beside it is judged where all of them are known.
            Err(error)
                if matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::InvalidUtf8) =>
            {
                let value = args.first().and_then(|arg| Some(arg.to_str()?.split_once('=')?.1)).unwrap_or_default();
                let told = error.to_string();
                let told = told.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
                let told = if arg.is_hide_env_values_set() { without(told, value) } else { told.into() };
                Err(told.split_whitespace().collect::<Vec<_>>().join(" "))
            }
            _ => Ok(args),
        }
    }

    /// An error with where the settings came from that it names as flags.
    fn explained(&self, error: Error, sources: &HashMap<Id, String>) -> Error {
        let told = error.to_string();
        let named = self.settings().filter_map(|arg| Some((arg.get_long()?, sources.get(arg.get_id())?)));
        let notes = notes(&told, named);
        if notes.is_empty() {
            return error;
        }
        let told = told.trim_start_matches("error: ").trim_end();
        Error::raw(error.kind(), format!("{told}\n\n{}\n", notes.join("\n")))
    }
}

impl Loaded {
    /// Where a setting came from: a flag, or the place that an [`Entry`] named; `None` if it has its default.
    #[must_use]
    pub fn source(&self, id: &Id) -> Option<&str> {
        self.sources.get(id).map(String::as_str)
    }
}

/// For each setting that a text names as a flag, where it came from.
#[must_use]
pub fn notes<'a>(told: &str, sources: impl Iterator<Item = (&'a str, &'a String)>) -> Vec<String> {
    let words: Vec<&str> = told.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    let named = sources.filter(|(long, _)| words.iter().any(|word| word.strip_prefix("--") == Some(long)));
    let mut notes: Vec<String> = named.map(|(long, source)| format!("--{long} comes from {source}")).collect();
    notes.sort();
    notes
}

/// A message without a secret.
fn without(told: &str, secret: &str) -> String {
    let told = told.replace(&format!("'{secret}'"), &format!("'{REDACTED}'"));
    if secret.len() < SECRET_MIN { told } else { told.replace(secret, REDACTED) }
}

/// What messages call an argument, if the command line gives it, before or behind the subcommand.
fn argument(command: &Command, matches: &ArgMatches, id: &str) -> Option<String> {
    let known = matches.try_contains_id(id).is_ok();
    if known && matches.value_source(id) == Some(ValueSource::CommandLine) {
        let arg = command.get_arguments().find(|arg| arg.get_id() == id)?;
        return Some(arg.get_long().map_or_else(|| name(arg), |long| format!("flag --{long}")));
    }
    let (subcommand, matches) = matches.subcommand()?;
    argument(command.find_subcommand(subcommand)?, matches, id)
}

fn refused(told: &str) -> Error {
    Error::raw(ErrorKind::ValueValidation, format!("{told}\n"))
}

/// Help shows variables, which the command that was read does not have.
fn with_help_of(command: &Command, args: &[OsString], error: Error) -> Error {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::DisplayVersion
    );
    let again = is_help.then(|| command.clone().try_get_matches_from(args).err()).flatten();
    again.filter(|again| again.kind() == error.kind()).unwrap_or(error)
}

/// The variables are those of a command and of its subcommands; what lies deeper reads its own.
fn without_variables(command: Command) -> Command {
    let bare = |command: Command| command.mut_args(|arg| arg.env(Resettable::Reset));
    let subcommands: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    subcommands.into_iter().fold(bare(command), |command, name| command.mut_subcommand(name, bare))
}

fn own_names(command: &Command) -> Vec<String> {
    let commands = std::iter::once(command).chain(command.get_subcommands());
    commands.flat_map(Command::get_arguments).filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned())).collect()
}

/// The command line that says that the setting has this value.
fn args_of(arg: &Arg, value: &str) -> Result<Vec<OsString>, String> {
    let long = arg.get_long().unwrap_or_default();
    match (arg.get_action().takes_values(), value) {
        (true, value) => Ok(vec![format!("--{long}={value}").into()]),
        (false, "true") => Ok(vec![format!("--{long}").into()]),
        (false, "false") => Ok(Vec::new()),
        (false, value) => Err(format!("invalid value '{value}'; expected true or false")),
    }
}

#[cfg(test)]
#[path = "given_tests.rs"]
mod tests;
