//! The command line as the binary reads it: flags, then environment, then file, then defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Error, FromArgMatches as _};
use sambad_settings::{Exceptions, Given};

use super::{Cli, Settings, file};

/// The file that is read where none is named, if it is there.
const FILE: &str = "sambad.toml";
/// What commands are told instead of a setting: `health URL`, and `copy --from`, which has `--to` beside it.
const EXCEPTIONS: Exceptions = Exceptions { unread: &[], as_typed: &[], above: &[("listen", "url"), ("database", "from")] };

impl Cli {
    /// Reads a command line, program name first, with the environment and the file of settings that belong to it.
    ///
    /// What counts of each setting is put on one command line, so that what holds between flags holds whatever said them.
    /// [`clap::Parser::parse`] reads no file, and the environment by clap's own rules: that is for programs which start a server of
    /// their own.
    ///
    /// # Errors
    /// When what counts is wrong in a flag, the environment or the file; also when help is asked for, as clap has it.
    pub fn load(args: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let mut command = Self::command();
        let mut given = Given::read(command.clone(), args, std::env::vars_os(), EXCEPTIONS)?;
        let named = given.text("config")?.map(|(path, place)| (PathBuf::from(path), Some(place)));
        let found = || Some(PathBuf::from(FILE)).filter(|path: &PathBuf| Path::exists(path)).map(|path| (path, None));
        let file = named.or_else(found);
        if let Some((path, place)) = &file {
            let entries = file::read(&given, path, place.as_deref())?;
            given.add(entries);
        }
        let loaded = given.finish()?;
        let mut cli = Self::from_arg_matches(&loaded.matches).map_err(|error| error.format(&mut command))?;
        cli.settings = Settings::of(&command, file.map(|(path, _)| path), loaded);
        Ok(cli)
    }
}
