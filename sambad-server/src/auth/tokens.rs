//! The server's own tokens: made and verified here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, encode};
use sambad_core::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{self, Key};
use super::principal::{Principal, Role};

/// How long a token may live. A revocation by id, which does not know when the token expires, lasts as long.
pub(crate) const TTL_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Who issues them, and for whom.
const ISSUER: &str = "sambad";

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    roles: Vec<Role>,
    jti: String,
    /// The family of a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    fam: Option<String>,
    iat: i64,
    exp: i64,
    /// Never in a token that is made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<f64>,
}

/// Leaves what depends on time to [`require_lives`]: the library asks the system's clock, which is not the one that tokens are
/// made by.
pub(super) fn by_our_clock(validation: &mut Validation) {
    validation.validate_exp = false;
    validation.validate_nbf = false;
}

/// Refuses a token that has ended at the instant `now`, or has not begun; the issuer's clock may differ by `leeway_s`.
///
/// In the second that it names a token has ended, as a session by it has. Source: RFC 7519, 4.1.4.
pub(super) fn require_lives(
    exp: i64,
    nbf: Option<f64>,
    now: Timestamp,
    leeway_s: i64,
) -> Result<(), jsonwebtoken::errors::Error> {
    let now = now.as_micros().div_euclid(1_000_000);
    if exp.saturating_add(leeway_s) <= now {
        return Err(ErrorKind::ExpiredSignature.into());
    }
    if nbf.is_some_and(|nbf| nbf > now.saturating_add(leeway_s) as f64) {
        return Err(ErrorKind::ImmatureSignature.into());
    }
    Ok(())
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
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        by_our_clock(&mut validation);
        Ok(Self { keys: keys::load(path)?, validation })
    }

    /// Signs a token that begins at `now`.
    pub(crate) fn issue(&self, grant: Grant, now: Timestamp) -> Result<Issued, sambad_core::Error> {
        let now = now.as_micros().div_euclid(1_000_000);
        let exp = grant.expires_at.as_micros().div_euclid(1_000_000);
        let id = Uuid::now_v7().to_string();
        let claims = Claims {
            iss: ISSUER.into(),
            aud: ISSUER.into(),
            sub: grant.subject,
            roles: grant.roles,
            jti: id.clone(),
            fam: grant.family,
            iat: now,
            exp,
            nbf: None,
        };
        let key = &self.keys[0];
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let token = encode(&header, &claims, &key.signs).map_err(|error| sambad_core::Error::Internal {
            what: "token cannot be signed".into(),
            source: Some(error.into()),
        })?;
        Ok(Issued { token, id, expires_at: Timestamp::from_micros(exp.saturating_mul(1_000_000)) })
    }

    /// The key that a token names, if it is one of these.
    pub(crate) fn key(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// Verifies a token that names `key`, at the instant `now`.
    pub(crate) fn verify(&self, token: &str, key: &Key, now: Timestamp) -> Result<Principal, jsonwebtoken::errors::Error> {
        let claims = decode::<Claims>(token, &key.verifies, &self.validation)?.claims;
        // Older versions issued tokens that live longer than their revocation may.
        let expires_at = Timestamp::from_micros(claims.exp.saturating_mul(1_000_000))
            .min(Timestamp::from_micros(claims.iat.saturating_mul(1_000_000)).plus(TTL_MAX));
        require_lives(expires_at.as_micros().div_euclid(1_000_000), claims.nbf, now, 0)?;
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
            expires_at,
        })
    }
}

/// The id under which a token is revoked and when it ends, read without verifying it.
pub(crate) fn id_and_end(token: &str) -> Option<(String, Timestamp)> {
    #[derive(Deserialize)]
    struct Named {
        jti: Option<String>,
        exp: i64,
    }
    let claims: Named = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
    let id = claims.jti.unwrap_or_else(|| super::token_digest(token));
    Some((id, Timestamp::from_micros(claims.exp.saturating_mul(1_000_000))))
}
