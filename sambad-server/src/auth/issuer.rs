//! Tokens of an outside issuer, by its published keys.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, decode};
use sambad_core::{Timestamp, UserId};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::jwt::{Header, Lifetime, validation};
use super::principal::{Principal, Role, VerifiedPhone};

/// How rarely an unknown key makes the set be read again.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// How old the set may be before it is read again all the same: a key that the issuer withdrew must go.
const AGE_MAX: Duration = Duration::from_secs(600);
/// How long the issuer may take to answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a set of keys, at most.
const SET_BYTES_MAX: usize = 1 << 20;
/// By how much the issuer's clock may differ from ours.
const LEEWAY: Duration = Duration::from_secs(30);

/// Bytes of an RSA key's modulus: 2,048 to 8,192 bits, the lengths that can verify. Source: RFC 7518, 3.3.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Where the issuer's keys are, and what its tokens must say.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// A file, or an address: `https://…`, on loopback also `http://…`.
    pub jwks: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` that says that a token is meant for this server.
    pub audience: String,
}

/// By their ids and the one algorithm of each: an issuer may have keys of two kinds under one id.
type Keys = HashMap<(String, Algorithm), DecodingKey>;

/// An outside issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    source: Source,
    issuer: String,
    audience: String,
    keys: RwLock<Arc<Keys>>,
    /// When the set was last asked for; held while it is.
    asked: Mutex<Option<Instant>>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Address(reqwest::Client, reqwest::Url),
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    #[serde(flatten)]
    lifetime: Lifetime,
    jti: Option<String>,
    phone_number: Option<String>,
    phone_number_verified: Option<bool>,
    firebase: Option<Firebase>,
    sambad_user: Option<UserId>,
    #[serde(default)]
    sambad_roles: Vec<Role>,
}

/// Firebase has no `phone_number_verified`, and says instead how somebody signed in.
#[derive(Debug, Deserialize)]
struct Firebase {
    sign_in_provider: Option<String>,
}

impl Issuer {
    /// Reads the keys; of an address that does not answer now, later.
    pub(super) async fn open(config: &IssuerConfig) -> anyhow::Result<Self> {
        let source = source(&config.jwks)?;
        let mut asked = Some(Instant::now());
        let keys = match (source.read().await, &source) {
            (Ok(keys), _) => keys,
            (Err(error), Source::File(_)) => return Err(error),
            (Err(error), Source::Address(..)) => {
                tracing::warn!(error = format!("{error:#}"), "cannot read the issuer's keys; the first token starts a retry");
                asked = None;
                Keys::new()
            }
        };
        let (issuer, audience) = (config.issuer.clone(), config.audience.clone());
        Ok(Self { source, issuer, audience, keys: RwLock::new(Arc::new(keys)), asked: Mutex::new(asked) })
    }

    /// Verifies a token with this header; `None` if there is no such key.
    pub(super) async fn verify(
        self: &Arc<Self>,
        token: &str,
        header: Header,
        now: Timestamp,
    ) -> Option<Result<Principal, jsonwebtoken::errors::Error>> {
        let (algorithm, name) = (header.alg, (header.kid, header.alg));
        let key = match self.key(&name) {
            Some(found) => {
                // Nobody with a good key waits for an issuer that answers slowly.
                if self.is_old() {
                    let issuer = Arc::clone(self);
                    tokio::spawn(async move { issuer.refresh(AGE_MAX).await });
                }
                found
            }
            None => {
                self.refresh(REFRESH_PAUSE).await;
                self.key(&name)?
            }
        };
        let validation = validation(algorithm, &self.issuer, &self.audience);
        let claims = decode::<Claims>(token, &key, &validation).map(|decoded| decoded.claims);
        Some(claims.and_then(|claims| {
            claims.lifetime.require(now, LEEWAY)?;
            if claims.are_text() { Ok(claims.into_principal(token)) } else { Err(ErrorKind::InvalidToken.into()) }
        }))
    }

    fn key(&self, name: &(String, Algorithm)) -> Option<DecodingKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn is_old(&self) -> bool {
        self.asked.try_lock().is_ok_and(|asked| asked.is_none_or(|at| at.elapsed() >= AGE_MAX))
    }

    /// Reads the set again unless that was tried within `pause`; what cannot be read leaves the last good set.
    async fn refresh(&self, pause: Duration) {
        // Whoever comes while it is read waits for it, and then need not read it again.
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        *asked = Some(Instant::now());
        match self.source.read().await {
            Ok(keys) => *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "cannot read the issuer's keys; the last ones stay \
                valid"
            ),
        }
    }
}

impl Claims {
    /// Whether what is stored and logged of them is plain text.
    fn are_text(&self) -> bool {
        let mut stored = self.sub.chars().chain(self.jti.iter().flat_map(|jti| jti.chars()));
        !stored.any(char::is_control)
    }

    fn into_principal(self, token: &str) -> Principal {
        let by_phone = self.firebase.and_then(|firebase| firebase.sign_in_provider).is_some_and(|provider| provider == "phone");
        let verified = self.phone_number_verified.unwrap_or(by_phone);
        let phone = self.phone_number.filter(|_| verified).map(|claim| VerifiedPhone::of(&claim));
        let mut roles = self.sambad_roles;
        // Without the user it is about, that role would not be confined; with one, no other role is taken.
        roles.retain(|role| *role != Role::User && self.sambad_user.is_none());
        if self.sambad_user.is_some() {
            roles.push(Role::User);
        }
        Principal {
            roles,
            subject: self.sub.into(),
            user: self.sambad_user,
            verified_phone: phone,
            ids: vec![self.jti.unwrap_or_else(|| super::token_digest(token)).into()],
            expires_at: self.lifetime.end(),
        }
    }
}

fn source(jwks: &str) -> anyhow::Result<Source> {
    if !jwks.contains("://") {
        return Ok(Source::File(jwks.into()));
    }
    let url: reqwest::Url = jwks.parse().with_context(|| format!("{jwks} is not a URL"))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
        bail!("{jwks}: the URL of an issuer's keys must begin with https");
    }
    let client = reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none()).build();
    Ok(Source::Address(client.context("cannot create a client for the issuer's keys")?, url))
}

impl Source {
    async fn read(&self) -> anyhow::Result<Keys> {
        let bytes = match self {
            Self::File(path) => tokio::fs::read(path).await.with_context(|| format!("cannot read {}", path.display()))?,
            Self::Address(client, url) => {
                // Without its query, which may be a secret.
                let place = url.as_str().split(['?', '#']).next().unwrap_or_default();
                fetch(client, url).await.with_context(|| format!("cannot get {place}"))?
            }
        };
        keys_of(&bytes)
    }
}

/// Reads a set of keys. A key that cannot be used is left out, whatever is wrong with it. Source: RFC 7517, 5.
///
/// # Errors
/// When the set is not valid, or none of its keys can be used: such a set must not replace a good one.
fn keys_of(set: &[u8]) -> anyhow::Result<Keys> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(set).context("not a key set (RFC 7517)")?;
    let published = set.keys.len();
    let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys: Keys = jwks.filter_map(|jwk| usable(&jwk)).collect();
    if keys.is_empty() {
        bail!("none of the {published} keys in the set can be used: expected RS256, ES256 or EdDSA keys with an id");
    }
    Ok(keys)
}

async fn fetch(client: &reqwest::Client, url: &reqwest::Url) -> anyhow::Result<Vec<u8>> {
    let response = client.get(url.clone()).send().await.and_then(reqwest::Response::error_for_status);
    let mut response = response.map_err(reqwest::Error::without_url)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > SET_BYTES_MAX {
            bail!("the set is larger than {SET_BYTES_MAX} bytes");
        }
    }
    Ok(bytes)
}

/// A key with its id and the one algorithm that it is for, if it is whole.
fn usable(jwk: &Jwk) -> Option<((String, Algorithm), DecodingKey)> {
    let kid = jwk.common.key_id.clone()?;
    let of_use = jwk.common.public_key_use.as_ref().is_none_or(|key_use| *key_use == PublicKeyUse::Signature);
    let of_operations = jwk.common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    if !of_use || !of_operations {
        return None;
    }
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|stated| stated != name) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let parsed = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } if !RSA_BYTES.contains(&n.len()) => return None,
        DecodingKeyKind::RsaModulusExponent { n, e } => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        }
        DecodingKeyKind::SecretOrDer(bytes) if algorithm == Algorithm::ES256 => {
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes)
        }
        DecodingKeyKind::SecretOrDer(bytes) => ParsedPublicKey::new(&ED25519, bytes),
    };
    parsed.is_ok().then_some(((kid, algorithm), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"ec","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

    /// Goal: a set counts by the keys in it that can be used: any other key is left out, and a set of none is an error. Method: two
    /// keys of the RFCs alone, beside each kind of unusable key, and those without them.
    #[test]
    fn unusable_keys_are_left_out() {
        let unusable = [
            ED.replace("\"kid\":\"ed\",", ""),
            ED.replace("OKP", "XYZ"),
            ED.replace("Ed25519", "Ed448"),
            ED.replace("HURo", ""),
            ED.replace("\"kid\"", "\"alg\":\"RS256\",\"kid\""),
            ED.replace("\"kid\"", "\"use\":\"enc\",\"kid\""),
            ED.replace("\"kid\"", "\"key_ops\":[\"sign\"],\"kid\""),
            EC.replace("P-256", "P-384"),
            EC.replace("4Etl", "5Etl"),
            r#"{"kty":"RSA","kid":"rsa","n":"AQAB","e":"AQAB"}"#.into(),
            r#"{"kty":"RSA","kid":"rsa"}"#.into(),
            r#"{"kty":"oct","kid":"oct","k":"AQAB"}"#.into(),
            "null".into(),
            "7".into(),
        ];
        let of = |keys: &[&str]| keys_of(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes());
        for bad in &unusable {
            let names = of(&[bad, ED, EC]).unwrap_or_else(|error| panic!("{bad}: {error}"));
            assert_eq!(names.len(), 2, "{bad}");
            assert!(of(&[bad]).is_err(), "{bad}");
        }
        let same_id = EC.replace("\"ec\"", "\"ed\"");
        assert_eq!(of(&[ED, &same_id]).unwrap().len(), 2, "keys of two kinds may share an id");
        for set in ["", "{}", "[]", "<html>", r#"{"keys":[]}"#, r#"{"keys":{}}"#, r#"{"keys":null}"#] {
            assert!(keys_of(set.as_bytes()).is_err(), "{set}");
        }
    }
}
