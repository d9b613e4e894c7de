//! Admins' passwords: hashed with argon2id, a few at a time.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use sambad_core::Error;
use tokio::sync::Semaphore;

/// Characters of a password, at least.
///
/// Source: NIST SP 800-63B-4, 3.1.1.2 asks for 15 where a password is all there is; 12 with the lock is the lower bound here.
const CHARS_MIN: usize = 12;
/// Bytes of a password, at most.
pub(crate) const BYTES_MAX: usize = 256;
/// Passwords hashed at a time: each takes 19 MiB and some 20 ms of a core.
const HASHES_MAX: usize = 1;
/// Logins that may wait for their turn; more are refused as overloaded.
const WAITING_MAX: usize = 32;
/// Compared with where there is no account, so that the answer takes as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FtYmFkLW5vYm9keS1zYWx0$Fbg2ZpXGs5hNHtKdcEDLEgTzSHX7zoC8r2eKcKLnbzI";

/// Compares passwords, one after the other.
#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Semaphore,
    waiting: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Semaphore::new(HASHES_MAX), waiting: Semaphore::new(WAITING_MAX) }
    }
}

impl Passwords {
    /// Whether `password` is the one of `hash`; without a hash it is not, and takes as long.
    ///
    /// # Errors
    /// `Overloaded` when too many wait.
    pub(crate) async fn are_equal(&self, password: String, hash: Option<String>) -> Result<bool, Error> {
        let _waits = self.waiting.try_acquire().map_err(|_| Error::Overloaded)?;
        let _turn = self.turns.acquire().await.map_err(|_| Error::Overloaded)?;
        let compare = move || {
            let known = hash.is_some();
            verify(&password, hash.as_deref().unwrap_or(NOBODY)) && known
        };
        tokio::task::spawn_blocking(compare).await.map_err(|error| internal("password could not be compared", error))
    }
}

fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Hashes a password for keeping, if it may be one.
///
/// # Errors
/// `Invalid` when it is too short or too long.
pub(crate) fn hash(password: &str) -> Result<String, Error> {
    if password.chars().count() < CHARS_MIN || password.len() > BYTES_MAX {
        return Err(Error::field("password", format!("expected {CHARS_MIN} characters to {BYTES_MAX} bytes")));
    }
    let hashed = Argon2::default().hash_password(password.as_bytes());
    hashed.map(|hash| hash.to_string()).map_err(|error| internal("password could not be hashed", error))
}

fn internal(what: &str, error: impl Into<sambad_core::error::Source>) -> Error {
    Error::Internal { what: what.into(), source: Some(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a hash knows its password and no other, and the stand-in for nobody costs what a real one costs. Method: both,
    /// and the stand-in's parameters.
    #[test]
    fn hashes_know_their_password() {
        let kept = hash("correct horse battery").unwrap();
        assert!(verify("correct horse battery", &kept));
        assert!(!verify("correct horse batterz", &kept));
        assert!(hash("short").is_err() && hash(&"x".repeat(BYTES_MAX + 1)).is_err());
        let parameters = |hash: &str| hash.rsplitn(3, '$').nth(2).unwrap().to_owned();
        assert_eq!(parameters(&kept), parameters(NOBODY));
        assert!(PasswordHash::new(NOBODY).is_ok());
    }
}
