//! The rule for values on a command line, before clap reads it.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

use crate::clean;

/// A command line on the way from its beginning to its end.
struct Line<'a> {
    /// From the program to the subcommand that was met last.
    commands: Vec<&'a Command>,
    /// How many of the last one's positional arguments were met.
    positionals: usize,
    /// The arguments whose values are taken as typed.
    as_typed: &'a [&'a str],
}

/// What an argument that begins with a dash is.
struct Flag<'a> {
    arg: &'a Arg,
    /// What is before the value in the same argument, and the value, if it has one.
    inline: Option<(String, String)>,
}

/// Applies the rule to all values, but for those of the arguments `as_typed`. What is no UTF-8, or unknown, is clap's to judge.
pub(crate) fn clean_args(command: &Command, as_typed: &[&str], mut args: Vec<OsString>) -> Result<Vec<OsString>, Error> {
    let mut line = Line { commands: vec![command], positionals: 0, as_typed };
    let (mut at, mut may_be_flag) = (1, true);
    while let Some(text) = args.get(at) {
        let text = text.to_str().unwrap_or_default().to_owned();
        at += 1;
        if may_be_flag && text == "--" {
            may_be_flag = false;
        } else if may_be_flag && is_dashed(&text) {
            let Some(flag) = line.flag(&text) else { continue };
            if let Some((before, value)) = flag.inline {
                args[at - 1] = format!("{before}{}", line.cleaned(flag.arg, &value)?).into();
                continue;
            }
            let end = flag.arg.get_num_args().map_or(1, |range| range.max_values()).saturating_add(at).min(args.len());
            while at < end && (flag.arg.is_allow_hyphen_values_set() || !args[at].to_str().is_some_and(is_dashed)) {
                line.clean(flag.arg, &mut args[at])?;
                at += 1;
            }
        } else if let Some(command) = line.last().find_subcommand(&text).filter(|_| may_be_flag) {
            if command.get_positionals().any(Arg::is_trailing_var_arg_set) {
                // Another program's command line.
                break;
            }
            line.commands.push(command);
            line.positionals = 0;
        } else if let Some(arg) = line.positional() {
            line.clean(arg, &mut args[at - 1])?;
        }
    }
    Ok(args)
}

/// Whether clap takes it for a flag; `-` alone is a value.
fn is_dashed(text: &str) -> bool {
    text.len() > 1 && text.starts_with('-')
}

impl<'a> Line<'a> {
    fn last(&self) -> &'a Command {
        self.commands[self.commands.len() - 1]
    }

    /// The next positional argument; the last one may be repeated.
    fn positional(&mut self) -> Option<&'a Arg> {
        self.positionals += 1;
        self.last().get_positionals().take(self.positionals).last()
    }

    /// The flag in an argument, if it is one that has a value.
    fn flag(&self, text: &str) -> Option<Flag<'a>> {
        let find = |is: &dyn Fn(&Arg) -> bool| {
            let mut all = self.commands.iter().rev().flat_map(|command| command.get_arguments());
            all.find(|arg| is(arg)).filter(|arg| arg.get_action().takes_values())
        };
        if let Some(long) = text.strip_prefix("--") {
            let (long, value) = long.split_once('=').map_or((long, None), |(long, value)| (long, Some(value)));
            let arg = find(&|arg| arg.get_long() == Some(long))?;
            return Some(Flag { arg, inline: value.map(|value| (format!("--{long}="), value.to_owned())) });
        }
        let short = text.chars().nth(1)?;
        let arg = find(&|arg| arg.get_short() == Some(short))?;
        let (before, value) = text.split_at(1 + short.len_utf8());
        Some(Flag { arg, inline: (!value.is_empty()).then(|| (before.to_owned(), value.to_owned())) })
    }

    fn clean(&self, arg: &Arg, value: &mut OsString) -> Result<(), Error> {
        if let Some(text) = value.to_str() {
            *value = self.cleaned(arg, text)?.into();
        }
        Ok(())
    }

    fn cleaned(&self, arg: &Arg, value: &str) -> Result<String, Error> {
        if self.as_typed.contains(&arg.get_id().as_str()) {
            return Ok(value.to_owned());
        }
        let told = match clean(value.as_ref()) {
            Ok("") if arg.is_required_set() => "is empty".to_owned(),
            Ok("") => "is empty: omit it to use the default".to_owned(),
            Ok(value) => return Ok(value.to_owned()),
            Err(why) => why.to_string(),
        };
        Err(Error::raw(ErrorKind::ValueValidation, format!("{} {told}\n", name(arg))))
    }
}

/// How messages call an argument.
pub(crate) fn name(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_value_names().and_then(<[_]>::first)) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(name)) => format!("<{name}>"),
        (None, None) => format!("<{}>", arg.get_id().as_str().to_uppercase()),
    }
}
