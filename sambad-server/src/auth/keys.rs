//! The file of keys that the server's own tokens are signed with.
//!
//! Each key is bound to one algorithm, whatever a token's header says. The first signs; the others still verify, so that keys
//! can be changed without a token becoming invalid.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Keys in one file, at most.
const KEYS_MAX: usize = 16;
/// Bytes of such a file, at most.
const FILE_BYTES_MAX: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct KeyFile {
    keys: Vec<StoredKey>,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredKey {
    kid: String,
    /// `EdDSA`
    alg: String,
    /// Base64 of PKCS #8.
    pkcs8: String,
}

/// A key that signs and verifies.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) signs: EncodingKey,
    pub(crate) verifies: DecodingKey,
    /// Derives refresh tokens from those that they follow.
    pub(crate) derives: hmac::Key,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Makes a file with one new key that only its owner may read; with `add`, puts a new key first into one that is there.
///
/// # Errors
/// When the file is there without `add`, is not there with it, or cannot be written.
pub(crate) fn generate(path: &Path, add: bool) -> anyhow::Result<String> {
    let pair = Ed25519KeyPair::generate().map_err(|_| anyhow::anyhow!("the system returned no random bytes for a key"))?;
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| anyhow::anyhow!("key cannot be encoded"))?;
    let kid = Uuid::now_v7().to_string();
    let new = StoredKey { kid: kid.clone(), alg: "EdDSA".into(), pkcs8: BASE64_STANDARD.encode(pkcs8.as_ref()) };
    let mut keys = vec![new];
    if add {
        keys.extend(read(path)?.keys);
        keys.truncate(KEYS_MAX);
    }
    let target = if add { path.with_added_extension("new") } else { path.to_owned() };
    let file = File::options().write(true).create_new(true).mode(0o600).open(&target);
    let mut file = file.with_context(|| format!("cannot create {}", target.display()))?;
    file.write_all(serde_json::to_string_pretty(&KeyFile { keys })?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    if add {
        // At once, and whole: a server that starts meanwhile finds either file.
        fs::rename(&target, path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    Ok(kid)
}

/// Reads the keys, the signing one first.
///
/// # Errors
/// When the file cannot be read, may be read by others, or holds no key.
pub(crate) fn load(path: &Path) -> anyhow::Result<Vec<Key>> {
    let keys = read(path)?.keys.into_iter().map(|key| decode(&key)).collect::<anyhow::Result<Vec<Key>>>();
    let keys = keys.with_context(|| format!("{} is not a key file", path.display()))?;
    if keys.is_empty() {
        bail!("{} has no key", path.display());
    }
    Ok(keys)
}

fn read(path: &Path) -> anyhow::Result<KeyFile> {
    let about = fs::metadata(path).with_context(|| format!("cannot read key file {}", path.display()))?;
    if about.permissions().mode() & 0o077 != 0 {
        bail!("{} is readable by other users: chmod 600 it, and replace its keys, which others may know", path.display());
    }
    if about.len() > FILE_BYTES_MAX {
        bail!("{} is not a key file: it is too large", path.display());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read key file {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not a key file: create one with `sambad-server key generate`", path.display()))
}

fn decode(key: &StoredKey) -> anyhow::Result<Key> {
    if key.alg != "EdDSA" {
        bail!("key {} is for {}, and only EdDSA is supported", key.kid, key.alg);
    }
    let pkcs8 = BASE64_STANDARD.decode(&key.pkcs8).context("a key is not base64")?;
    let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|error| anyhow::anyhow!("key {}: {error}", key.kid))?;
    let public = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let verifies = DecodingKey::from_ed_components(&public).context("a key cannot be used")?;
    // A key of its own, so that nothing that is signed is also an HMAC.
    let secret = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &pkcs8), b"sambad: successors of refresh tokens");
    let derives = hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref());
    Ok(Key { kid: key.kid.clone(), signs: EncodingKey::from_ed_der(&pkcs8), verifies, derives })
}
