//! The command line as the binary reads it: flags, then environment, then file, then defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Error, FromArgMatches as _};

use super::{Cli, Settings, file, settings};

/// The file that is read where none is named, if it is there.
const FILE: &str = "sambad.toml";

impl Cli {
    /// Reads a command line, program name first, with the file of settings that belongs to it.
    ///
    /// The file's values are put on the command line where neither a flag nor the environment says anything, so that what
    /// holds between flags holds whatever said them. [`clap::Parser::parse`] reads no file: that is for programs which start a
    /// server of their own.
    ///
    /// # Errors
    /// When a flag, the environment or the file is wrong; also when help is asked for, as clap has it.
    pub fn load(args: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let mut command = Self::command();
        let mut args: Vec<OsString> = args.into_iter().collect();
        // What is wrong on the command line is told below, where it is read as a whole.
        let given = command.clone().ignore_errors(true).try_get_matches_from(&args)?;
        let named = given.get_one::<PathBuf>("config").map(PathBuf::as_path);
        let path = named.or_else(|| Some(Path::new(FILE)).filter(|path| path.exists()));
        let file = path.map(|path| file::read(&command, path)).transpose()?;
        let unsaid = file.iter().flat_map(|file| &file.entries).filter(|entry| {
            let mut arguments = command.get_arguments();
            arguments.any(|arg| *arg.get_id() == entry.id && settings::said(arg, &given).is_none())
        });
        // Before the subcommand, where every setting is known.
        let unsaid: Vec<OsString> = unsaid.flat_map(|entry| entry.args.clone()).collect();
        let program = args.len().min(1);
        args.splice(program..program, unsaid);
        let effective = command.clone().try_get_matches_from(&args)?;
        let mut cli = Self::from_arg_matches(&effective).map_err(|error| error.format(&mut command))?;
        cli.settings = Settings::of(&command, file.as_ref(), &given, &effective);
        Ok(cli)
    }
}
