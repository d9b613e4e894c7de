//! The file that keeps what a person is let in by: one entry a server, for nobody else's eyes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sambad_client::{RefreshToken, Token, UserTokens};
use serde::{Deserialize, Serialize};

/// The file; it need not be there.
#[derive(Debug, Clone)]
pub(crate) struct CredentialsFile {
    path: PathBuf,
}

/// What one server lets us in by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) token: Token,
    /// Of a user: what the next token is got by, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<RefreshToken>,
}

impl From<UserTokens> for Entry {
    fn from(tokens: UserTokens) -> Self {
        Self { token: tokens.token, refresh_token: Some(tokens.refresh_token) }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    #[serde(default)]
    servers: BTreeMap<String, Entry>,
}

impl CredentialsFile {
    /// The file of whoever runs the program; `None` if they have no place for settings.
    ///
    /// Source: XDG Base Directory Specification; on Windows, the folder for settings of the user's profile.
    pub(crate) fn of_user() -> Option<Self> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let settings = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")))
            .or_else(|| absolute("APPDATA"))?;
        Some(Self { path: settings.join("sambad/credentials.json") })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What there is for a server.
    ///
    /// # Errors
    /// When others may read the file, or it cannot be read.
    pub(crate) fn entry(&self, server: &str) -> anyhow::Result<Option<Entry>> {
        Ok(self.read()?.servers.remove(server))
    }

    /// Keeps an entry, or with `None` deletes it; gives the one before.
    pub(crate) fn set(&self, _lock: &Lock, server: &str, entry: Option<Entry>) -> anyhow::Result<Option<Entry>> {
        let mut content = self.read()?;
        let before = match entry {
            Some(entry) => content.servers.insert(server.into(), entry),
            None => content.servers.remove(server),
        };
        self.write(&content).with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(before)
    }

    /// Keeps other processes from changing the file, until what is returned is dropped; waits for one that does.
    pub(crate) async fn lock(&self) -> anyhow::Result<Lock> {
        let path = self.path.with_extension("lock");
        let lock = move || {
            if let Some(directory) = path.parent() {
                private::folder(directory)?;
            }
            let file = private::options().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            io::Result::Ok(Lock { _file: file })
        };
        let locked = tokio::task::spawn_blocking(lock).await.context("cannot wait for the lock")?;
        locked.with_context(|| format!("cannot lock {}", self.path.display()))
    }

    fn read(&self) -> anyhow::Result<Content> {
        let reading = || format!("cannot read {}", self.path.display());
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
            Err(error) => return Err(error).with_context(reading),
        };
        if let Some(mode) = private::exposed(&file.metadata().with_context(reading)?) {
            let path = self.path.display();
            bail!("other users can access {path} (mode {mode:o}): run chmod 600 {path}, and replace the tokens in it");
        }
        let text = io::read_to_string(&mut file).with_context(reading)?;
        // A parser's message would quote the secret.
        serde_json::from_str(&text).map_err(|error| {
            anyhow::anyhow!("{} is damaged at line {}: delete it and log in again", self.path.display(), error.line())
        })
    }

    /// Replaces the file: whoever reads it, or is left by a crash, finds the old or the new one, whole.
    fn write(&self, content: &Content) -> io::Result<()> {
        let temporary = self.path.with_extension(format!("json.{}.tmp", std::process::id()));
        let replace = || {
            let mut file = private::options().create(true).truncate(true).write(true).open(&temporary)?;
            serde_json::to_writer_pretty(&file, content)?;
            writeln!(file)?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)
        };
        replace().inspect_err(|_| drop(fs::remove_file(&temporary)))
    }
}

/// What keeps other users of the machine from the file: its mode.
#[cfg(unix)]
mod private {
    use std::fs::{DirBuilder, Metadata, OpenOptions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
    use std::path::Path;

    /// The permissions of other users.
    const OTHERS: u32 = 0o077;

    pub(super) fn folder(path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    pub(super) fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.mode(0o600);
        options
    }

    /// The mode of a file that other users can access.
    pub(super) fn exposed(file: &Metadata) -> Option<u32> {
        let mode = file.permissions().mode();
        (mode & OTHERS != 0).then_some(mode & 0o777)
    }
}

/// Elsewhere the folder of the user's profile is not accessible to other users.
#[cfg(not(unix))]
mod private {
    use std::fs::{self, Metadata, OpenOptions};
    use std::io;
    use std::path::Path;

    pub(super) fn folder(path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    pub(super) fn options() -> OpenOptions {
        OpenOptions::new()
    }

    pub(super) fn exposed(_file: &Metadata) -> Option<u32> {
        None
    }
}

/// The right to change the file.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Unlocked when it is closed.
    _file: File,
}
