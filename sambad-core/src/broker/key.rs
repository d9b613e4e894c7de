//! The key of a log's messages, and the channel that they are published on.
//!
//! Both are derived from the log's secret, its epoch, and the place of the database: a program that cannot read the database
//! cannot forge a message, and two copies of one database, or two lives of one log, do not understand each other.

use std::fmt;

use aws_lc_rs::hmac;

use crate::cursor::Epoch;
use crate::store::LogSecret;

/// Bytes of a message's authentication code.
pub(super) const CODE_BYTES: usize = 32;
/// Bytes of the digest in a channel's name.
const CHANNEL_BYTES: usize = 8;

/// Authenticates messages by HMAC-SHA256.
pub(super) struct MessageKey {
    key: hmac::Key,
    channel: String,
}

impl MessageKey {
    pub(super) fn new(secret: &LogSecret, epoch: Epoch) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &secret.secret);
        let derive = |purpose: &[u8]| hmac::sign(&root, &[purpose, &epoch.0.to_be_bytes(), secret.place.as_bytes()].concat());
        let digest: String = derive(b"channel").as_ref().iter().take(CHANNEL_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derive(b"message").as_ref()), channel: format!("sambad:{epoch}:{digest}") }
    }

    /// The channel of a log on Redis.
    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// Appends the authentication code of `bytes` to them.
    pub(super) fn sign(&self, bytes: &mut Vec<u8>) {
        let code = hmac::sign(&self.key, bytes);
        bytes.extend_from_slice(code.as_ref());
    }

    /// Whether `code` is that of `bytes`; takes as long wherever they differ.
    pub(super) fn verifies(&self, bytes: &[u8], code: &[u8]) -> bool {
        hmac::verify(&self.key, bytes, code).is_ok()
    }
}

impl fmt::Debug for MessageKey {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageKey").field("channel", &self.channel).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: whatever differs between two logs, they share neither a channel nor a key; and neither shows the secret. Method: a
    /// secret, an epoch and a place, each changed alone.
    #[test]
    fn keys_differ_with_all_they_are_made_of() {
        let key = |secret: &[u8], epoch, place: &str| {
            MessageKey::new(&LogSecret { secret: secret.into(), place: place.into() }, Epoch(epoch))
        };
        let mut signed = b"message".to_vec();
        let one = key(&[1; 32], 1, "7/5/9");
        one.sign(&mut signed);
        let (bytes, code) = signed.split_at(signed.len() - CODE_BYTES);
        assert!(one.verifies(bytes, code) && key(&[1; 32], 1, "7/5/9").verifies(bytes, code));
        for other in [key(&[2; 32], 1, "7/5/9"), key(&[1; 32], 2, "7/5/9"), key(&[1; 32], 1, "7/6/9"), key(&[1; 32], 1, "/5/9")] {
            assert!(!other.verifies(bytes, code), "{other:?}");
            assert_ne!(other.channel(), one.channel());
        }
        let secret = LogSecret { secret: vec![171; 32], place: "7/5/9".into() };
        let shown = format!("{secret:?} {:?}", MessageKey::new(&secret, Epoch(1)));
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"), "{shown}");
    }
}
