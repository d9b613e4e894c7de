//! The server's own tokens: made and verified here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, encode};
use sambad_core::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::jwt::{Lifetime, validation};
use super::keys::{self, Key};
use super::principal::{Principal, Role};

/// Who issues them, and for whom.
const ISSUER: &str = "sambad";

/// The claims of a token that is made here.
#[derive(Debug, Serialize)]
struct Signed {
    iss: &'static str,
    aud: &'static str,
    sub: String,
    roles: Vec<Role>,
    jti: String,
    /// The family of a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    fam: Option<String>,
    iat: i64,
    exp: i64,
}

/// The claims that are read; the library compares `iss` and `aud`.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    roles: Vec<Role>,
    jti: String,
    fam: Option<String>,
    #[serde(flatten)]
    lifetime: Lifetime,
}

/// What a token is to say.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) roles: Vec<Role>,
    pub(crate) subject: String,
    pub(crate) family: Option<String>,
    pub(crate) expires_at: Timestamp,
}

/// A token that was made.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) id: String,
    pub(crate) expires_at: Timestamp,
}

/// Makes and verifies the server's own tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    keys: Vec<Key>,
    validation: Validation,
}

impl Tokens {
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { keys: keys::load(path)?, validation: validation(Algorithm::EdDSA, ISSUER, ISSUER) })
    }

    /// Signs a token that begins at `now`.
    pub(crate) fn issue(&self, grant: Grant, now: Timestamp) -> Result<Issued, sambad_core::Error> {
        let now = now.as_micros().div_euclid(1_000_000);
        let exp = grant.expires_at.as_micros().div_euclid(1_000_000);
        let id = Uuid::now_v7().to_string();
        let claims = Signed {
            iss: ISSUER,
            aud: ISSUER,
            sub: grant.subject,
            roles: grant.roles,
            jti: id.clone(),
            fam: grant.family,
            iat: now,
            exp,
        };
        let key = &self.keys[0];
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let token = encode(&header, &claims, &key.signs).map_err(|error| sambad_core::Error::Internal {
            what: "token cannot be signed".into(),
            source: Some(error.into()),
        })?;
        Ok(Issued { token, id, expires_at: Timestamp::from_micros(exp.saturating_mul(1_000_000)) })
    }

    /// The refresh tokens that may follow a used one, the one by the signing key first. The key file and the used token are both needed
    /// to know them, so that a retry gets the same one from any server, and nothing needs to be stored in the clear.
    pub(crate) fn successors(&self, used: &str) -> impl Iterator<Item = String> {
        let derive = |key: &Key| BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key.derives, used.as_bytes()));
        self.keys.iter().map(derive)
    }

    /// The key that a token names, if it is one of these.
    pub(crate) fn key(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// Verifies a token that names `key`, at the instant `now`.
    pub(crate) fn verify(&self, token: &str, key: &Key, now: Timestamp) -> Result<Principal, jsonwebtoken::errors::Error> {
        let claims = decode::<Claims>(token, &key.verifies, &self.validation)?.claims;
        claims.lifetime.require(now, Duration::ZERO)?;
        if !claims.lifetime.says_when_issued() {
            return Err(ErrorKind::InvalidToken.into());
        }
        let is_user = claims.roles.contains(&Role::User);
        if is_user && claims.roles.len() > 1 {
            // What confines the one role would not the other.
            return Err(ErrorKind::InvalidToken.into());
        }
        let user = is_user.then(|| claims.sub.parse::<UserId>()).transpose();
        let user = user.map_err(|_| ErrorKind::InvalidSubject)?;
        Ok(Principal {
            roles: claims.roles,
            subject: claims.sub.into(),
            user,
            verified_phone: None,
            ids: std::iter::once(claims.jti).chain(claims.fam).map(Arc::from).collect(),
            expires_at: claims.lifetime.end(),
        })
    }
}

/// The id under which a token is revoked and when it ends, read without verifying it.
pub(crate) fn id_and_end(token: &str) -> Option<(String, Timestamp)> {
    #[derive(Deserialize)]
    struct Named {
        jti: Option<String>,
        #[serde(flatten)]
        lifetime: Lifetime,
    }
    let claims: Named = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
    let id = claims.jti.unwrap_or_else(|| super::token_digest(token));
    Some((id, claims.lifetime.end()))
}
