//! Which file the name of a database leads to.
//!
//! **Invariant:** a database is locked, opened and looked at under one path, whatever it was called. SQLite keeps the WAL beside
//! the path that it is given: two paths for one file are two logs, each of which overwrites what the other acknowledged.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::with_suffix;
use crate::error::Error;

/// What a copy has as long as it is not known to be whole.
pub(super) const PARTIAL: &str = ".partial";
/// Symbolic links followed from one to the next, as many as Linux follows.
const LINKS_MAX: usize = 40;
/// Where the head of a file says how it is written, and what it says where that is by a WAL.
const WRITE_VERSION_AT: u64 = 18;
const WRITTEN_BY_WAL: [u8; 1] = [2];
/// How often the kernel's list of locks is read: it comes in pages, and a lock moves from one to the other while others come and go.
const LOOKS: usize = 5;
/// How long a process that closes the file may hold locks on it after it deleted its shared memory.
const CLOSING_MAX: Duration = Duration::from_secs(2);
/// Pause between two looks at them.
const PAUSE: Duration = Duration::from_millis(20);

/// The file of a database, under its one path; displayed as it was called.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseFile {
    named: PathBuf,
    path: PathBuf,
}

impl fmt::Display for DatabaseFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named.display().fmt(f)?;
        match std::path::absolute(&self.named) {
            Ok(absolute) if absolute != self.path => write!(f, " ({})", self.path.display()),
            _ => Ok(()),
        }
    }
}

impl DatabaseFile {
    /// Finds the file that `named` leads to, or the place where it is to be created.
    ///
    /// # Errors
    /// `Internal` for a file that other names lead to as well: hard links, or a mount of the file alone.
    pub(super) fn find(named: &Path) -> Result<Self, Error> {
        let file = Self::find_at_rest(named)?;
        let links = file.links()?;
        if links > 1 {
            return Err(internal(format!(
                "database {file} has {links} names (hard links), and SQLite would keep a log beside each: \
                 remove the other names, or use a copy"
            )));
        }
        if is_mounted(&file.path) {
            return Err(internal(format!(
                "database {file} is mounted without its folder, where SQLite keeps its log: mount the folder"
            )));
        }
        Ok(file)
    }

    /// As [`DatabaseFile::find`], for a file that may have other names since it is only read, and has no log.
    pub(super) fn find_at_rest(named: &Path) -> Result<Self, Error> {
        let path = resolve(named).map_err(|error| Error::Internal {
            what: format!("cannot open database {}", named.display()),
            source: Some(error.into()),
        })?;
        Ok(Self { named: named.into(), path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn into_path(self) -> PathBuf {
        self.path
    }

    /// The names that the file has; 0 when it is not there, 1 for what is no file.
    ///
    /// Asked of the file system alone: a descriptor of this process that is closed beside SQLite's takes SQLite's locks with it.
    pub(super) fn links(&self) -> Result<u64, Error> {
        let metadata = match self.path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            found => found.map_err(|error| super::cannot_open(self, sqlx::Error::Io(error)))?,
        };
        // A copy that was cut short when it got its name has kept the other one.
        let partial = with_suffix(&self.path, PARTIAL);
        let is_copy = metadata.nlink() == 2
            && partial.symlink_metadata().is_ok_and(|other| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino()));
        let links = if is_copy && std::fs::remove_file(&partial).is_ok() { 1 } else { metadata.nlink() };
        Ok(if metadata.is_file() { links } else { 1 })
    }

    /// Whether SQLite writes to it by way of a WAL, as to a database that was served, and not to a backup.
    ///
    /// The file itself says so: SQLite would make a WAL to look. No connection of this process may have the file open, which would
    /// lose its locks.
    ///
    /// Source: <https://sqlite.org/fileformat2.html#file_format_version_numbers>.
    pub(super) fn has_log(&self) -> bool {
        let version = || {
            let mut version = [0];
            File::open(&self.path)?.read_exact_at(&mut version, WRITE_VERSION_AT)?;
            io::Result::Ok(version)
        };
        version().is_ok_and(|version| version == WRITTEN_BY_WAL)
    }

    /// Refuses a file that a process has open under another name, as after `mv` while a server runs. A process that has it open
    /// under this name has its shared memory beside it, unless it reads a backup, which has none.
    ///
    /// To be asked before SQLite opens the file, which makes shared memory for this name.
    ///
    /// On Linux, of processes that this one can see: elsewhere nothing says who has locked which file.
    pub(super) async fn require_unopened_elsewhere(&self) -> Result<(), Error> {
        let deadline = Instant::now() + CLOSING_MAX;
        while let Some(process) = self.opened_elsewhere() {
            if Instant::now() >= deadline {
                return Err(internal(format!(
                    "database {self} is open under another name in process {process}: stop that server; move a database \
                     only while no server runs on it"
                )));
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn opened_elsewhere(&self) -> Option<String> {
        let metadata = self.path.metadata().ok().filter(|_| !with_suffix(&self.path, "-shm").exists())?;
        let (device, inode) = (metadata.dev(), metadata.ino());
        // As the C library takes a device's number apart.
        let (major, minor) = (((device >> 8) & 0xfff) | ((device >> 32) & !0xfff), (device & 0xff) | ((device >> 12) & !0xff));
        let file = format!("{major:02x}:{minor:02x}:{inode}");
        let look = |_| lock_holder(&std::fs::read_to_string("/proc/locks").ok()?, &file);
        let holder = (0..LOOKS).find_map(look)?;
        (holder == std::process::id().to_string() || self.has_log()).then_some(holder)
    }
}

fn internal(what: String) -> Error {
    Error::Internal { what, source: None }
}

/// Follows symbolic links, of the folders and of the file, also of one that is not there yet. Where there is no folder for it,
/// the path stays as it is, and whoever opens it says so.
fn resolve(named: &Path) -> io::Result<PathBuf> {
    let mut path = named.to_path_buf();
    for _ in 0..LINKS_MAX {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (Ok(folder), Some(name)) = (folder.canonicalize(), path.file_name()) else { return Ok(path) };
        let place = folder.join(name);
        match place.read_link() {
            Ok(target) => path = folder.join(target),
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Whether something is mounted at `path` itself.
///
/// Source: proc_pid_mountinfo(5); the fifth field is the path, with blanks, backslashes and ends of lines as octal numbers.
fn is_mounted(path: &Path) -> bool {
    let Some(path) = path.to_str() else { return false };
    let escaped = path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|mount| mount.split(' ').nth(4) == Some(&escaped))
}

/// The process that holds a lock of SQLite's kind on a file, whose device and inode are named as in `/proc/locks`.
///
/// Source: proc_locks(5): number, kind, whether advisory, mode, process, file, range; `->` marks who waits.
fn lock_holder(locks: &str, file: &str) -> Option<String> {
    let holder = |lock: &str| {
        let fields: Vec<&str> = lock.split_whitespace().collect();
        (fields.get(1) == Some(&"POSIX") && fields.get(5) == Some(&file)).then(|| fields[4].to_owned())
    };
    locks.lines().find_map(holder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Goal: one file has one path, whatever leads to it. Method: names through folders, dots, links of folders and files, links
    /// to links, links whose file is to be created.
    #[test]
    fn a_file_has_one_path() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        symlink("real", root.join("folder")).unwrap();
        symlink(root.join("real/x.db"), root.join("absolute.db")).unwrap();
        symlink("../x.db", root.join("real/deep/relative.db")).unwrap();
        symlink("absolute.db", root.join("twice.db")).unwrap();
        let names = [
            "real/x.db",
            "real/../real/./x.db",
            "folder/x.db",
            "folder/deep/../x.db",
            "absolute.db",
            "twice.db",
            "real/deep/relative.db",
            "folder/deep/relative.db",
        ];
        for exists in [false, true] {
            for name in names {
                assert_eq!(resolve(&root.join(name)).unwrap(), root.join("real/x.db"), "{name}, exists: {exists}");
            }
            std::fs::write(root.join("real/x.db"), "").unwrap();
        }
        symlink("loop.db", root.join("loop.db")).unwrap();
        assert!(resolve(&root.join("loop.db")).is_err());
        let nowhere = root.join("nowhere/x.db");
        assert_eq!(resolve(&nowhere).unwrap(), nowhere, "whoever opens it says that there is no folder");
    }

    /// Goal: whoever holds a lock on a file is found, and nobody else. Method: lines as Linux writes them.
    #[test]
    fn the_holder_of_a_lock_is_found() {
        let locks = "1: FLOCK  ADVISORY  WRITE 7 fe:00:11 0 EOF\n2: POSIX  ADVISORY  READ 8 fe:00:12 128 128\n\
                     3: POSIX  ADVISORY  READ 9 fe:00:13 1073741826 1073742335\n3: -> POSIX  ADVISORY  WRITE 10 fe:00:14 1 1\n";
        assert_eq!(lock_holder(locks, "fe:00:13").as_deref(), Some("9"));
        for other in ["fe:00:11", "fe:00:14", "fe:00:1", "fe:01:13"] {
            assert_eq!(lock_holder(locks, other), None);
        }
    }
}
