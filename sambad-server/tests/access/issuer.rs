//! Tokens of an outside issuer, whose keys come from a file or over HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm};
use sambad_core::Command;
use sambad_server::config::{AuthConfig, IssuerConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{World, now, sign};

/// A key of the issuer's: how it signs, and what is published of it.
struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Jwk,
}

impl Signer {
    fn new(kid: &'static str, algorithm: Algorithm, with: &'static SignatureAlgorithm) -> Self {
        let pair = KeyPair::generate_for(with).expect("a key can be made");
        let der = pair.serialize_der();
        let key = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("an RSA key"),
            Algorithm::ES256 => EncodingKey::from_ec_der(&der),
            _ => EncodingKey::from_ed_der(&der),
        };
        let mut jwk = match algorithm {
            Algorithm::EdDSA => {
                let x = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key_raw());
                serde_json::from_value(json!({ "kty": "OKP", "crv": "Ed25519", "x": x })).expect("a key can be published")
            }
            _ => Jwk::from_encoding_key(&key, algorithm).expect("a key can be published"),
        };
        jwk.common.key_id = Some(kid.into());
        Self { kid, algorithm, key, jwk }
    }

    fn token(&self, change: &[(&str, Value)]) -> String {
        let mut claims = json!({ "iss": "https://id.example", "aud": "sambad-app", "sub": "abc", "exp": now() + 60 });
        for (name, value) in change {
            claims[*name] = value.clone();
        }
        sign(self.algorithm, self.kid, &self.key, &claims)
    }
}

/// A server of published keys, which counts how often it is asked, and may be told to fail.
struct Published {
    address: String,
    set: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Published {
    async fn start(set: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let published = Self { address, set: Arc::new(Mutex::new(set)), asked: Arc::default() };
        let (set, asked) = (Arc::clone(&published.set), Arc::clone(&published.asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) = set.lock().unwrap().clone().map_or((500, String::new()), |set| (200, set));
                let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        published
    }
}

fn set_of(signers: &[&Signer]) -> String {
    serde_json::to_string(&JwkSet { keys: signers.iter().map(|signer| signer.jwk.clone()).collect() }).unwrap()
}

async fn world(jwks: &str) -> World {
    let issuer = IssuerConfig { jwks: jwks.into(), issuer: "https://id.example".into(), audience: "sambad-app".into() };
    World::start_with(|config| {
        if let AuthConfig::Token(tokens) = &mut config.auth {
            tokens.issuer = Some(issuer);
        }
    })
    .await
}

/// Goal: an outside issuer's tokens are taken when they are signed by one of its keys in that key's way, for this audience;
/// what they say about roles counts, and they log in whom they vouch for, and nobody else. Method: each kind of key; then
/// tokens that differ in one thing.
#[tokio::test(flavor = "multi_thread")]
async fn outside_tokens_log_in_whom_they_vouch_for() {
    let signers = [
        Signer::new("rsa", Algorithm::RS256, &PKCS_RSA_SHA256),
        Signer::new("ec", Algorithm::ES256, &PKCS_ECDSA_P256_SHA256),
        Signer::new("ed", Algorithm::EdDSA, &PKCS_ED25519),
    ];
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), set_of(&signers.each_ref())).unwrap();
    let world = world(file.path().to_str().unwrap()).await;
    let verified = [("phone_number", json!("+919876543210")), ("phone_number_verified", json!(true))];
    let login = json!({ "phone": "+919876543210" });
    for signer in &signers {
        let answer = world.post("/api/users/login", &signer.token(&verified), &login).await;
        assert_eq!(answer.status, 200, "{}: {answer:?}", signer.kid);
        let own = answer.json();
        assert_eq!(world.get("/api/contacts", own["token"].as_str().unwrap()).await.status, 200);
        let admin = signer.token(&[("sambad_roles", json!(["admin"]))]);
        assert_eq!(world.get("/api/users", &admin).await.status, 200);
        assert_eq!(world.get("/api/users", &signer.token(&verified)).await.status, 403, "a phone is no role");
    }
    let [rsa, ec, ed] = &signers;
    let login_of = world.login("+919876543215").await;
    let mixed = ed.token(&[("sambad_user", login_of["id"].clone()), ("sambad_roles", json!(["admin"]))]);
    assert_eq!(world.get("/api/contacts", &mixed).await.status, 200);
    assert_eq!(world.get("/api/users", &mixed).await.status, 403, "a user is a user and nothing else");
    let firebase = [("phone_number", json!("+919876543210")), ("firebase", json!({ "sign_in_provider": "phone" }))];
    assert_eq!(world.post("/api/users/login", &ed.token(&firebase), &login).await.status, 200);
    // Whoever an older version stored under another spelling of the number is somebody else.
    let old = Command::Login { phone: "+9109876543210".parse().unwrap(), name: None };
    world.server.sambad().execute(old, None).await.unwrap();
    let spelled = world.post("/api/users/login", &ed.token(&verified), &json!({ "mobileNumber": "09876543210" })).await;
    assert_eq!(spelled.json()["phone"], "+919876543210", "{spelled:?}");
    let old = world.post("/api/users/login", &ed.token(&verified), &json!({ "phone": "+9109876543219" })).await;
    assert_eq!(old.status, 403);
    let stranger = Signer::new("ed", Algorithm::EdDSA, &PKCS_ED25519);
    let confused = sign(
        Algorithm::ES256,
        "rsa",
        &ec.key,
        &json!({ "iss": "https://id.example", "aud": "sambad-app", "sub": "x", "exp": now() + 60, "sambad_roles": ["admin"] }),
    );
    for (what, token, status) in [
        ("another's phone", ed.token(&[("phone_number", json!("+919876543219")), ("phone_number_verified", json!(true))]), 403),
        (
            "a phone that is not verified",
            ed.token(&[("phone_number", json!("+919876543210")), ("phone_number_verified", json!(false))]),
            403,
        ),
        ("a phone without a word", ed.token(&[("phone_number", json!("+919876543210"))]), 403),
        ("no phone", rsa.token(&[]), 403),
        ("a role of user without a user", rsa.token(&[("sambad_roles", json!(["user"]))]), 403),
        ("another audience", rsa.token(&[("aud", json!("other"))]), 401),
        ("another issuer", rsa.token(&[("iss", json!("https://other.example"))]), 401),
        ("expired", rsa.token(&[("exp", json!(now() - 120))]), 401),
        ("another's key under a known name", stranger.token(&verified), 401),
        ("another algorithm than the key's", confused, 401),
    ] {
        let answer = world.post("/api/users/login", &token, &login).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    world.stop().await;
}

/// Goal: a new key of the issuer's is found by itself, its absence does no harm to those known, and strangers' tokens cannot
/// make the server ask all the time. Method: an issuer that is away, comes, and goes again; tokens that name unknown keys.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_when_needed_and_kept() {
    let (first, second) = (Signer::new("1", Algorithm::EdDSA, &PKCS_ED25519), Signer::new("2", Algorithm::EdDSA, &PKCS_ED25519));
    let published = Published::start(None).await;
    let world = world(&published.address).await;
    let admin = |signer: &Signer| signer.token(&[("sambad_roles", json!(["admin"]))]);
    published.set.lock().unwrap().replace(set_of(&[&first]));
    assert_eq!(world.get("/api/users", &admin(&first)).await.status, 200, "it was away at the start, and is there now");

    let asked = published.asked.load(Ordering::SeqCst);
    published.set.lock().unwrap().take();
    for _ in 0..50 {
        assert_eq!(world.get("/api/users", &admin(&second)).await.status, 401);
    }
    assert!(published.asked.load(Ordering::SeqCst) <= asked + 2, "strangers make it ask");
    assert_eq!(world.get("/api/users", &admin(&first)).await.status, 200, "the last good keys stay");
    world.stop().await;
}

/// Goal: keys never come over a network in the clear. Method: the configuration that would let them.
#[tokio::test]
async fn keys_do_not_come_in_the_clear() {
    let (keys, directory) = (sambad_server::testing::TestKeys::new(), tempfile::tempdir().unwrap());
    let database = format!("sqlite:{}", directory.path().join("sambad.db").display());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sambad-server"))
        .args(["--listen", "127.0.0.1:0", "--database", &database, "--auth", "token", "--auth-key"])
        .arg(keys.path())
        .args(["--auth-jwks", "http://id.example/jwks", "--auth-issuer", "x", "--auth-audience", "y"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("https"), "{stderr}");
}
