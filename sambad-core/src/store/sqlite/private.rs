//! Files that hold messages and hashes are for their owner alone, whatever the umask says.
//!
//! SQLite makes a WAL, shared memory and a rollback log with the mode of the database: the database is made here, before SQLite
//! opens it.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::file::PARTIAL;
use super::{DatabaseFile, with_suffix};

/// Reading and writing, by the owner.
const OWNER: u32 = 0o600;
/// Whatever else a mode allows.
const OTHERS: u32 = 0o077;
/// What may lie beside a database.
const BESIDE: [&str; 5] = ["-wal", "-shm", "-journal", ".lock", PARTIAL];

/// Makes a new file; the umask has no say.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(OWNER).open(path)?;
    file.set_permissions(Permissions::from_mode(OWNER))?;
    Ok(file)
}

/// Makes the file of a database if there is none; one that is there is restricted as by [`restrict_all`].
///
/// No connection of this process may have the file open: a descriptor that is closed takes SQLite's locks with it.
pub(super) fn prepare(file: &DatabaseFile) -> io::Result<()> {
    match create_new(file.path()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(drop),
    }
    restrict_all(file);
    Ok(())
}

/// Takes from others what they may do with a database, and with what lies beside it. What cannot be changed is logged and stays.
pub(super) fn restrict_all(file: &DatabaseFile) {
    restrict(file.path());
    BESIDE.iter().for_each(|suffix| restrict(&with_suffix(file.path(), suffix)));
}

fn restrict(path: &Path) {
    let Ok(found) = path.symlink_metadata() else { return };
    let mode = found.mode() & 0o777;
    if !found.is_file() || mode & OTHERS == 0 {
        return;
    }
    let changed = match own_user() {
        Some(user) if user != found.uid() => Err(io::Error::other("it belongs to another user")),
        // By its path: a descriptor that is closed would take SQLite's locks with it.
        _ => std::fs::set_permissions(path, Permissions::from_mode(mode & OWNER)),
    };
    // Some file systems take a change and do not make it.
    let mode_now = || path.symlink_metadata().map_or(mode, |found| found.mode() & 0o777);
    let changed = changed.and_then(|()| if mode_now() & OTHERS == 0 { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) });
    let (path, was) = (path.display(), format_args!("{mode:03o}"));
    match changed {
        Ok(()) => {
            tracing::warn!(%path, %was, "other users could read a file of the database: its mode is 600 now")
        }
        Err(error) => tracing::warn!(
            %path, mode = %was, error = &error as &dyn std::error::Error,
            "other users can read a file of the database, and its mode cannot be changed: chmod 600 it"
        ),
    }
}

/// `None` where it cannot be told; then the system decides whether the mode can be changed.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it is not known")]
fn own_user() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn own_user() -> Option<u32> {
    None
}
