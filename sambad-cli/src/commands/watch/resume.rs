//! The file that remembers how far a watch came.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use sambad_client::Cursor;
use tokio::time::Instant;

/// How rarely the file is written while events come; each write is a new file and a rename.
const SAVE_EVERY: Duration = Duration::from_millis(250);
/// How often a file that is up to date is compared with the stream, whose position also moves without an event.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A cursor in a file. It is replaced, never changed in place: whoever reads it finds the old or the new, whole.
#[derive(Debug)]
pub(super) struct Resume {
    path: PathBuf,
    saved: Option<Cursor>,
    /// The position of what has reached stdout.
    current: Option<Cursor>,
    saved_at: Option<Instant>,
}

impl Resume {
    /// Reads the file, if there is one.
    pub(super) fn open(path: PathBuf) -> anyhow::Result<Self> {
        let saved = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.trim().parse().with_context(|| format!("{} does not contain a cursor", path.display()))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Self { path, saved, current: saved, saved_at: None })
    }

    /// The position to begin after.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.saved
    }

    /// Notes that everything up to `cursor` has reached stdout.
    pub(super) fn note(&mut self, cursor: Option<Cursor>) {
        self.current = cursor.or(self.current);
    }

    /// When the file is to be written, or while it is up to date, when to look whether it still is.
    pub(super) fn next_look(&self) -> Instant {
        let behind = self.current.is_some() && self.current != self.saved;
        if behind { self.saved_at.map_or_else(Instant::now, |at| at + SAVE_EVERY) } else { Instant::now() + LOOK_EVERY }
    }

    /// Writes the file, unless it is up to date.
    pub(super) fn save(&mut self) -> anyhow::Result<()> {
        let Some(cursor) = self.current.filter(|_| self.current != self.saved) else { return Ok(()) };
        self.write(cursor).with_context(|| format!("cannot write {}", self.path.display()))?;
        (self.saved, self.saved_at) = (self.current, Some(Instant::now()));
        Ok(())
    }

    fn write(&self, cursor: Cursor) -> io::Result<()> {
        // Beside the file, since a rename is atomic only within a file system; named after the process, since two
        // watches may share a file by mistake.
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = self.path.with_file_name(name);
        let mut file = std::fs::File::create(&temporary)?;
        let written = writeln!(file, "{cursor}").and_then(|()| std::fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}
