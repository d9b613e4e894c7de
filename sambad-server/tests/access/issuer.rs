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

use crate::harness::{World, now, sign, sign_text};
use crate::tokens::{critical_headers, numbers};

/// A key of the issuer's: how it signs, and what is published of it.
pub(crate) struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    pkcs8: Vec<u8>,
    jwk: Jwk,
}

impl Signer {
    pub(crate) fn new(kid: &'static str, algorithm: Algorithm, with: &'static SignatureAlgorithm) -> Self {
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
        Self { kid, algorithm, key, pkcs8: der, jwk }
    }

    pub(crate) fn token(&self, change: &[(&str, Value)]) -> String {
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

pub(crate) fn set_of(signers: &[&Signer]) -> String {
    serde_json::to_string(&JwkSet { keys: signers.iter().map(|signer| signer.jwk.clone()).collect() }).unwrap()
}

pub(crate) async fn world(jwks: &str) -> World {
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

/// Goal: a phone of an outside issuer names one number without this server's help: anything but E.164 logs nobody in, least of all
/// the user whose number it would be if it were completed. Method: servers of two countries, one with users of both numbers; each
/// other way to write them, as a claim, with the number in full or as it is claimed; the answer must say why.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuers_phone_is_never_completed() {
    let signer = Signer::new("ed", Algorithm::EdDSA, &PKCS_ED25519);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), set_of(&[&signer])).unwrap();
    for code in ["+91", "+1"] {
        let issuer = IssuerConfig {
            jwks: file.path().to_str().unwrap().into(),
            issuer: "https://id.example".into(),
            audience: "sambad-app".into(),
        };
        let world = World::start_with(|config| {
            config.default_country_code = code.parse().unwrap();
            if let AuthConfig::Token(tokens) = &mut config.auth {
                tokens.issuer = Some(issuer);
            }
        })
        .await;
        for phone in ["+919876543210", "+19876543210"] {
            world.login(phone).await;
            let vouched = signer.token(&[("phone_number", json!(phone)), ("phone_number_verified", json!(true))]);
            assert_eq!(world.post("/api/users/login", &vouched, &json!({ "phone": phone })).await.status, 200);
        }
        for claim in [
            "(987) 654-3210",
            "9876543210",
            "09876543210",
            "919876543210",
            "00919876543210",
            "+91 98765 43210",
            "+91-98765-43210",
            "+91(98765)43210",
            " +919876543210",
            "+919876543210\n",
            "+91\u{a0}9876543210",
            "\u{ff0b}919876543210",
            "tel:+919876543210",
            "",
        ] {
            for how in [("phone_number_verified", json!(true)), ("firebase", json!({ "sign_in_provider": "phone" }))] {
                let vouched = signer.token(&[("phone_number", json!(claim)), how]);
                for body in [
                    json!({ "phone": "+919876543210" }),
                    json!({ "phone": "+19876543210" }),
                    json!({ "mobileNumber": "9876543210" }),
                    json!({ "mobileNumber": "9876543210", "countryCode": "+91" }),
                ] {
                    let answer = world.post("/api/users/login", &vouched, &body).await;
                    assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{claim:?} {body}: {answer:?}");
                    assert!(answer.text.contains("phone_number is not E.164"), "{answer:?}");
                }
            }
        }
        world.stop().await;
    }
}

/// Goal: an outside token is held to the standard like our own: nothing critical is passed over, and its instants are numbers.
/// Method: each such header and number, signed by the issuer's key.
#[tokio::test(flavor = "multi_thread")]
async fn outside_tokens_are_held_to_the_standard() {
    let signer = Signer::new("ed", Algorithm::EdDSA, &PKCS_ED25519);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), set_of(&[&signer])).unwrap();
    let world = world(file.path().to_str().unwrap()).await;
    let claims = |instants: &str| {
        format!(r#"{{"iss":"https://id.example","aud":["x","sambad-app"],"sub":"abc","sambad_roles":["admin"],{instants}}}"#)
    };
    let (header, good) = (r#"{"alg":"EdDSA","kid":"ed"}"#, claims(&format!(r#""exp":{}"#, now() + 100)));
    for header in critical_headers("ed") {
        assert_eq!(world.get("/api/users", &sign_text(&header, &good, &signer.pkcs8)).await.status, 401, "{header}");
    }
    let mut tried = vec![(format!(r#""exp":{}"#, now() + 100), 200)];
    for (early, late) in numbers(now() - 100).into_iter().zip(numbers(now() + 100)) {
        tried.push((format!(r#""iat":{early},"nbf":{early},"exp":{late}"#), 200));
        tried.push((format!(r#""exp":{early}"#), 401));
        tried.push((format!(r#""nbf":{late},"exp":{late}"#), 401));
    }
    // Nothing lives for more than a year after it was issued, or from now.
    let year = 366 * 86_400;
    tried.push((format!(r#""iat":{},"exp":1e300"#, now() - 100), 200));
    tried.push((format!(r#""iat":{},"exp":{}"#, now() - year - 60, now() + 60), 401));
    tried.push((format!(r#""exp":{}"#, now() + year - 60), 200));
    tried.push((format!(r#""exp":{}"#, now() + year + 600), 401));
    tried.push((format!(r#""iat":{0},"exp":{0}"#, now() + year + 600), 401));
    tried.push((format!(r#""exp":"{}""#, now() + 100), 401));
    tried.push((format!(r#""iat":"{}","exp":{}"#, now(), now() + 100), 401));
    for (instants, status) in tried {
        let answer = world.get("/api/users", &sign_text(header, &claims(&instants), &signer.pkcs8)).await;
        assert_eq!(answer.status, status, "{instants}: {answer:?}");
    }
    world.stop().await;
}

/// Goal: whatever an issuer publishes by mistake, the last good keys stay until there are good ones again. Method: sets without a
/// usable key, and bodies that are no set, each fetched because a token names an unknown key; then a set with a new key beside
/// unusable ones.
#[tokio::test]
async fn a_set_without_keys_replaces_nothing() {
    let (first, second) = (Signer::new("1", Algorithm::EdDSA, &PKCS_ED25519), Signer::new("2", Algorithm::EdDSA, &PKCS_ED25519));
    let published = Published::start(Some(set_of(&[&first]))).await;
    let admin = |signer: &Signer| signer.token(&[("sambad_roles", json!(["admin"]))]);
    for bad in [
        r#"{"keys":[]}"#.to_owned(),
        "{}".into(),
        "[]".into(),
        "null".into(),
        "<html>maintenance</html>".into(),
        String::new(),
        r#"{"keys":[{"kty":"oct","kid":"1","k":"AQAB"},{"kty":"OKP","crv":"Ed25519","kid":"1","x":"AQAB"}]}"#.into(),
        format!(r#"{{"keys":[],"padding":"{}"}}"#, "x".repeat(1 << 20)),
    ] {
        published.set.lock().unwrap().replace(set_of(&[&first]));
        let world = world(&published.address).await;
        assert_eq!(world.get("/api/users", &admin(&first)).await.status, 200, "the good set was read");
        let asked = published.asked.load(Ordering::SeqCst);
        published.set.lock().unwrap().replace(bad.clone());
        // The set is read again 10 s after it was read last at the earliest, which is forgotten here.
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(11)).await;
        tokio::time::resume();
        assert_eq!(world.get("/api/users", &admin(&second)).await.status, 401);
        assert!(published.asked.load(Ordering::SeqCst) > asked, "it was not read again");
        let answer = world.get("/api/users", &admin(&first)).await;
        assert_eq!(answer.status, 200, "the last good keys stay after {:?}: {answer:?}", bad.get(..80).unwrap_or(&bad));
        world.stop().await;
    }
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
