//! Keys of a test's own, and tokens signed with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sambad_core::Timestamp;
use tempfile::TempDir;

use crate::auth::tokens::{Grant, Tokens};
use crate::auth::{AuthConfig, Role, TokenConfig, keys};

/// A key file that goes when this goes.
#[derive(Debug)]
pub struct TestKeys {
    path: PathBuf,
    _directory: TempDir,
}

impl Default for TestKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl TestKeys {
    /// Makes a file with one key.
    ///
    /// # Panics
    /// When there is no place for temporary files.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("tests need a temporary directory");
        let path = directory.path().join("keys.json");
        keys::generate(&path, false).expect("a key can be made");
        Self { path, _directory: directory }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a server is to be run with so that it takes tokens of these keys.
    #[must_use]
    pub fn config(&self) -> AuthConfig {
        AuthConfig::Token(TokenConfig::new(&self.path))
    }

    /// A token that lives for ten minutes and has these roles; a user's subject is the user's id.
    ///
    /// # Panics
    /// When the key file is gone.
    #[must_use]
    pub fn token(&self, roles: &[Role], subject: &str) -> String {
        self.token_for(roles, subject, Duration::from_secs(600))
    }

    /// As [`TestKeys::token`], with another life.
    ///
    /// # Panics
    /// As [`TestKeys::token`].
    #[must_use]
    pub fn token_for(&self, roles: &[Role], subject: &str, lives: Duration) -> String {
        let tokens = Tokens::load(&self.path).expect("the key file is there");
        let now = Timestamp::now();
        let grant = Grant { roles: roles.to_vec(), subject: subject.to_owned(), family: None, expires_at: now.plus(lives) };
        tokens.issue(grant, now).expect("a token can be signed").token
    }
}
