//! Who may come in, and who may do what.

mod cookie;
mod credentials;
mod issuer;
pub(crate) mod jwt;
pub(crate) mod keys;
mod origin;
mod pass;
pub(crate) mod passwords;
mod policy;
mod principal;
mod revocations;
pub(crate) mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use sambad_core::access::hex;
use sambad_core::{Sambad, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

pub use issuer::IssuerConfig;
pub use principal::Role;
pub(crate) use {
    cookie::{COOKIE_NAME, SessionCookie},
    credentials::{Credentials, TOKEN_BYTES_MAX, chosen_subprotocol},
    origin::Origins,
    pass::{Notice, Pass},
    policy::{Who, authorise},
    principal::{Caller, Principal, VerifiedPhone, user_or_all},
};

use crate::error::ApiError;
use issuer::Issuer;
use jwt::Header;
use passwords::Passwords;
use revocations::Revocations;
use tokens::Tokens;

/// How long a revocation outlives its token: an outside issuer's are accepted a little longer than they say, and servers' clocks
/// differ.
pub(crate) const BEYOND_EXPIRY: Duration = Duration::from_secs(5 * 60);

/// Whether callers have to say who they are.
#[derive(Debug, Clone, Default)]
pub enum AuthConfig {
    /// Nobody has to: whoever reaches the server may do everything.
    #[default]
    None,
    /// By a token, or by an admin's cookie.
    Token(TokenConfig),
}

/// How callers say who they are.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// The file of keys that the server's own tokens are signed with.
    pub key_file: PathBuf,
    /// An outside issuer whose tokens are taken as well.
    pub issuer: Option<IssuerConfig>,
    /// How long a user's token lives. Default 15 min.
    pub token_ttl: Duration,
    /// How long a refresh token lives unused. Default 30 days.
    pub refresh_ttl: Duration,
    /// How long an admin's session lives. Default 12 h.
    pub admin_session_ttl: Duration,
}

impl TokenConfig {
    /// The defaults with the keys in `key_file`.
    #[must_use]
    pub fn new(key_file: impl Into<PathBuf>) -> Self {
        Self {
            key_file: key_file.into(),
            issuer: None,
            token_ttl: Duration::from_secs(15 * 60),
            refresh_ttl: Duration::from_secs(30 * 86_400),
            admin_session_ttl: Duration::from_secs(12 * 3600),
        }
    }
}

/// Decides who a caller is.
#[derive(Debug)]
pub(crate) struct Auth {
    pub(crate) config: TokenConfig,
    pub(crate) tokens: Tokens,
    pub(crate) passwords: Passwords,
    pub(crate) revocations: Arc<Revocations>,
    issuer: Option<Arc<Issuer>>,
    sambad: Sambad,
}

impl Auth {
    /// Reads the keys and what is revoked; the returned future keeps the latter up to date until `stop`.
    pub(crate) async fn open(
        config: TokenConfig,
        sambad: Sambad,
        stop: CancellationToken,
    ) -> anyhow::Result<(Arc<Self>, impl Future<Output = ()> + Send + 'static)> {
        let tokens = Tokens::load(&config.key_file)?;
        let issuer = match &config.issuer {
            Some(issuer) => Some(Arc::new(Issuer::open(issuer).await?)),
            None => None,
        };
        let revocations = Arc::new(Revocations::load(&sambad).await.context("cannot read revocations")?);
        let upkeep = Arc::clone(&revocations).keep_up(sambad.clone(), stop);
        let auth = Self { config, tokens, passwords: Passwords::default(), revocations, issuer, sambad };
        Ok((Arc::new(auth), upkeep))
    }

    /// The instant by which is decided what has ended: the core's, which no step of the system's clock moves at once.
    pub(crate) fn now(&self) -> Timestamp {
        self.sambad.clock().now()
    }

    /// Who brings these credentials.
    pub(crate) async fn authenticate(&self, credentials: Option<Credentials<'_>>) -> Result<Principal, ApiError> {
        match credentials {
            None => Err(ApiError::Unauthorized("credentials are missing")),
            Some(Credentials::Token(token)) => self.verify(token).await,
            Some(Credentials::Cookie(secret)) => self.admin(secret).await,
        }
    }

    /// Who a token is for, if it is valid now.
    pub(crate) async fn verify(&self, token: &str) -> Result<Principal, ApiError> {
        const INVALID: ApiError = ApiError::Unauthorized("token is not valid");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(INVALID);
        }
        let header = Header::of(token).ok_or(INVALID)?;
        let now = self.now();
        let verified = match (self.tokens.key(&header.kid), &self.issuer) {
            (Some(key), _) => self.tokens.verify(token, key, now),
            (None, Some(issuer)) => issuer.verify(token, header, now).await.ok_or(INVALID)?,
            (None, None) => return Err(INVALID),
        };
        let principal = verified.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => ApiError::Unauthorized("token has expired"),
            ErrorKind::ImmatureSignature => ApiError::Unauthorized("token is not valid yet"),
            _ => INVALID,
        })?;
        self.unless_revoked(principal)
    }

    async fn admin(&self, secret: &str) -> Result<Principal, ApiError> {
        let digest = digest(secret);
        let found = self.sambad.admin_session(&digest).await?;
        let (email, expires_at) = found.ok_or(ApiError::Unauthorized("session has ended"))?;
        self.unless_revoked(Principal {
            roles: vec![Role::Admin],
            subject: email.into(),
            user: None,
            verified_phone: None,
            ids: vec![digest.into()],
            expires_at,
        })
    }

    fn unless_revoked(&self, principal: Principal) -> Result<Principal, ApiError> {
        if self.revocations.concern(&principal) { Err(ApiError::Unauthorized("token was revoked")) } else { Ok(principal) }
    }
}

/// A secret that cannot be guessed, in text that a header can carry.
pub(crate) fn new_secret() -> Result<String, sambad_core::Error> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| sambad_core::Error::Internal {
        what: "the system returned no random bytes for a secret".into(),
        source: None,
    })?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// What a token without an id is known by: all of it but the signature, which can be written in more than one way.
pub(crate) fn token_digest(token: &str) -> String {
    digest(token.rsplit_once('.').map_or(token, |(signed, _)| signed))
}

/// What is stored of a secret: it has all the randomness that it needs, so that a plain hash says nothing about it.
pub(crate) fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}
