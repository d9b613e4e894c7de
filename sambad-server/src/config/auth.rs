//! Who may come in.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use sambad_core::time::duration;

use crate::auth::jwt::TTL_MAX;
use crate::auth::{AuthConfig, IssuerConfig, TokenConfig};

/// Whether callers must authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// No authentication: every client has full access. Allowed on loopback only
    None,
    /// With a token, or an admin's cookie
    Token,
}

/// Where an issuer's keys are. Its query may be a secret, and is in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwks(String);

impl std::fmt::Debug for Jwks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (place, query) = self.0.split_once('?').map_or((self.0.as_str(), ""), |(place, _)| (place, "?…"));
        write!(f, "{place}{query}")
    }
}

/// Who may come in.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access")]
pub struct AuthArgs {
    /// Whether callers must authenticate
    #[arg(long, env = "SAMBAD_AUTH", value_enum, default_value_t = AuthMode::None)]
    pub auth: AuthMode,
    /// Allow --auth none on an address that other machines can reach
    #[arg(long, env = "SAMBAD_INSECURE_NO_AUTH")]
    pub insecure_no_auth: bool,
    /// Key file that signs tokens; create it with `sambad-server key generate FILE`
    #[arg(long, global = true, env = "SAMBAD_AUTH_KEY", value_name = "FILE")]
    pub auth_key: Option<PathBuf>,
    /// Published keys of an outside issuer whose tokens the server accepts as well
    #[arg(long, env = "SAMBAD_AUTH_JWKS", value_name = "URL|FILE", hide_env_values = true, requires = "auth_issuer", requires = "auth_audience", value_parser = jwks)]
    pub auth_jwks: Option<Jwks>,
    /// The `iss` claim of that issuer's tokens
    #[arg(long, env = "SAMBAD_AUTH_ISSUER", value_name = "TEXT")]
    pub auth_issuer: Option<String>,
    /// The `aud` claim of that issuer's tokens for this server
    #[arg(long, env = "SAMBAD_AUTH_AUDIENCE", value_name = "TEXT")]
    pub auth_audience: Option<String>,
    /// Origin whose pages can use this server, such as `https://admin.example`; repeatable. The server's own origin is always
    /// allowed
    #[arg(long, env = "SAMBAD_ALLOWED_ORIGIN", value_name = "ORIGIN", value_delimiter = ',', value_parser = origin)]
    pub allowed_origin: Vec<String>,
    /// Lifetime of a user's token, at most a year (366d)
    #[arg(long, env = "SAMBAD_TOKEN_TTL", default_value = "15m", value_name = "TIME", value_parser = token_ttl)]
    pub token_ttl: Duration,
    /// Lifetime of an unused refresh token
    #[arg(long, env = "SAMBAD_REFRESH_TTL", default_value = "30d", value_name = "TIME", value_parser = duration)]
    pub refresh_ttl: Duration,
    /// Lifetime of an admin's session
    #[arg(long, env = "SAMBAD_ADMIN_SESSION_TTL", default_value = "12h", value_name = "TIME", value_parser = duration)]
    pub admin_session_ttl: Duration,
}

impl AuthArgs {
    /// What the server is to be run with.
    ///
    /// # Errors
    /// When the key file is missing.
    pub fn config(&self) -> anyhow::Result<AuthConfig> {
        if self.auth == AuthMode::None {
            return Ok(AuthConfig::None);
        }
        let key_file = self.auth_key.clone().context(
            "--auth token needs --auth-key FILE: create it with `sambad-server key generate \
                FILE`",
        )?;
        let issuer = match (&self.auth_jwks, &self.auth_issuer, &self.auth_audience) {
            (Some(jwks), Some(issuer), Some(audience)) => {
                Some(IssuerConfig { jwks: jwks.0.clone(), issuer: issuer.clone(), audience: audience.clone() })
            }
            (None, None, None) => None,
            _ => bail!("--auth-jwks, --auth-issuer and --auth-audience need each other"),
        };
        let Self { token_ttl, refresh_ttl, admin_session_ttl, .. } = *self;
        Ok(AuthConfig::Token(TokenConfig { key_file, issuer, token_ttl, refresh_ttl, admin_session_ttl }))
    }

    /// Refuses to let everybody in on a network by accident.
    ///
    /// # Errors
    /// When callers need not say who they are, `listen` is not loopback, and nobody said that this is meant.
    pub fn refuse_to_be_open(&self, listen: std::net::SocketAddr) -> anyhow::Result<()> {
        if self.auth == AuthMode::None && !listen.ip().to_canonical().is_loopback() && !self.insecure_no_auth {
            bail!(
                "{listen} is not a loopback address, and --auth none gives all clients full access: use --auth token, or \
                 --insecure-no-auth if a proxy authenticates clients"
            );
        }
        Ok(())
    }
}

/// How long a token may live: no longer than its revocation.
pub(super) fn token_ttl(text: &str) -> Result<Duration, String> {
    let ttl = duration(text).map_err(|error| error.to_string())?;
    if ttl > TTL_MAX {
        return Err(format!("expected at most a year, which is {}d", TTL_MAX.as_secs() / 86_400));
    }
    Ok(ttl)
}

fn jwks(text: &str) -> Result<Jwks, String> {
    let authority = text.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    if authority.contains('@') {
        return Err("expected a URL without a user or a password: logs would show them".into());
    }
    Ok(Jwks(text.to_owned()))
}

fn origin(text: &str) -> Result<String, String> {
    let expected = "expected an origin such as https://admin.example, without a path";
    let (scheme, host) = text.split_once("://").ok_or(expected)?;
    let well_formed = matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', '*']);
    if well_formed { Ok(text.to_ascii_lowercase()) } else { Err(expected.into()) }
}
