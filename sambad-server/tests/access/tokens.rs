//! What a token must be: signed by the right key in the right way, for this server, and now.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use sambad_core::Timestamp;
use sambad_server::config::Role;
use sambad_server::testing::TestKeys;
use serde_json::{Value, json};

use crate::harness::{World, now, sign, sign_text};

/// The key file's first key: its id, and its secret half.
pub(crate) fn key_of(keys: &TestKeys) -> (String, Vec<u8>) {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(keys.path()).unwrap()).unwrap();
    let key = &file["keys"][0];
    (key["kid"].as_str().unwrap().into(), BASE64_STANDARD.decode(key["pkcs8"].as_str().unwrap()).unwrap())
}

fn claims(change: &[(&str, Value)]) -> Value {
    let mut claims = json!({ "iss": "sambad", "aud": "sambad", "sub": "x", "roles": ["admin"], "jti": "0123456789abcdef", "iat": now(), "exp": now() + 60 });
    for (name, value) in change {
        claims[*name] = value.clone();
    }
    claims
}

/// Tokens that look right, each wrong in one way.
pub(crate) fn forged(keys: &TestKeys) -> Vec<(&'static str, String)> {
    let (kid, secret) = key_of(keys);
    let key = EncodingKey::from_ed_der(&secret);
    let (other_kid, other_secret) = key_of(&TestKeys::new());
    let other = EncodingKey::from_ed_der(&other_secret);
    let good = claims(&[]);
    let signed = |change: &[(&str, Value)]| sign(Algorithm::EdDSA, &kid, &key, &claims(change));
    // What a confused server would check an HMAC with: the key that everybody may know.
    let public = EncodingKey::from_secret(&secret[secret.len() - 32..]);
    let none = |alg: &str| {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({ "alg": alg, "kid": kid, "typ": "JWT" })), part(&good))
    };
    let mut broken = signed(&[]);
    let last = broken.pop().unwrap();
    broken.insert(broken.rfind('.').unwrap() + 1, if last == 'A' { 'B' } else { 'A' });
    vec![
        ("empty", String::new()),
        ("no token", "abc".into()),
        ("another's key", sign(Algorithm::EdDSA, &kid, &other, &good)),
        ("unknown key", sign(Algorithm::EdDSA, &other_kid, &other, &good)),
        ("HMAC with the public key", sign(Algorithm::HS256, &kid, &public, &good)),
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg EdDSA without signature", none("EdDSA")),
        ("broken signature", broken),
        ("expired", signed(&[("exp", json!(now() - 1))])),
        ("older than a year", signed(&[("iat", json!(now() - 367 * 86_400)), ("exp", json!(now() + 60))])),
        ("never expires", {
            let mut claims = claims(&[]);
            claims.as_object_mut().unwrap().remove("exp");
            sign(Algorithm::EdDSA, &kid, &key, &claims)
        }),
        ("not valid yet", signed(&[("nbf", json!(now() + 600))])),
        ("another audience", signed(&[("aud", json!("other"))])),
        ("another issuer", signed(&[("iss", json!("other"))])),
        ("unknown role", signed(&[("roles", json!(["root"]))])),
        ("a user that is no id", signed(&[("roles", json!(["user"]))])),
        ("too long", format!("{}{}", signed(&[]), "A".repeat(9000))),
    ]
}

/// Goal: nothing but a token signed by our key, in its one way, for us, and valid now is let in. Method: one good token, and
/// many that differ from it in one thing.
#[tokio::test(flavor = "multi_thread")]
async fn only_good_tokens_are_let_in() {
    let world = World::start().await;
    let (kid, secret) = key_of(&world.keys);
    let good = sign(Algorithm::EdDSA, &kid, &EncodingKey::from_ed_der(&secret), &claims(&[]));
    assert_eq!(world.get("/api/users", &good).await.status, 200, "without this, what follows proves nothing");
    for (what, token) in forged(&world.keys) {
        let answer = world.get("/api/users", &token).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{what}: {answer:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let by_query = world.send("GET", &format!("/api/users?token={good}&access_token={good}"), &[], None).await;
    assert_eq!(by_query.status, 401, "never by the address");
    world.stop().await;
}

/// Goal: keys can be changed without anybody being logged out. Method: a token of the first key on a server whose file has a
/// second one before it; and one of the second.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_older_keys_stay_valid() {
    let keys = TestKeys::new();
    let old = keys.token(&[Role::Admin], "operator");
    let (first, _) = key_of(&keys);
    let added = std::process::Command::new(env!("CARGO_BIN_EXE_sambad-server"))
        .args(["key", "generate", "--add"])
        .arg(keys.path())
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    assert_ne!(key_of(&keys).0, first);
    let auth = keys.config();
    let world = World::start_with(|config| config.auth = auth).await;
    for token in [&old, &keys.token(&[Role::Admin], "operator")] {
        assert_eq!(world.get("/api/users", token).await.status, 200);
    }
    world.stop().await;
}

/// Goal: a key file that others may read is refused, in words that say what to do. Method: the real binary on such a file.
#[tokio::test]
async fn keys_that_others_may_read_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (keys, directory) = (TestKeys::new(), tempfile::tempdir().unwrap());
    assert_eq!(std::fs::metadata(keys.path()).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(keys.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let database = format!("sqlite:{}", directory.path().join("sambad.db").display());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sambad-server"))
        .args(["--listen", "127.0.0.1:0", "--database", &database, "--auth", "token", "--auth-key"])
        .arg(keys.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("chmod 600"), "{stderr}");
}

/// Goal: nobody listens on a network and lets everybody in by accident. Method: the real binary, with and without the word.
#[tokio::test]
async fn an_open_server_on_a_network_must_be_meant() {
    let directory = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", directory.path().join("sambad.db").display());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sambad-server"))
        .args(["--listen", "0.0.0.0:0", "--database", &database])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("--insecure-no-auth"), "{stderr}");
    assert!(!directory.path().join("sambad.db").exists(), "nothing was opened");
}

/// Goal: no token outlives its revocation. Method: the command line, which must refuse to issue one for more than a year, and
/// one for a year, revoked by its id.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_live_for_a_year_at_most() {
    let world = World::start().await;
    let (database, keys) = (world.server.database(), world.keys.path().to_str().unwrap().to_owned());
    let run = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sambad-server"));
        command.args(args).args(["--database", &database, "--auth-key", &keys]).output().await.unwrap()
    };
    for ttl in ["367d", "9000h", "10000d"] {
        let refused = run(&["token", "create", "--role", "admin", "--ttl", ttl]).await;
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("--ttl") && stderr.contains("expected at most a year, which is 366d"), "{stderr}");
    }
    let created = run(&["token", "create", "--role", "admin", "--ttl", "366d"]).await;
    let stdout = String::from_utf8_lossy(&created.stdout).into_owned();
    let token = stdout.lines().last().unwrap();
    assert_eq!(world.get("/api/users", token).await.status, 200, "{created:?}");
    let id = stdout.split(' ').nth(1).unwrap();
    assert!(run(&["token", "revoke", id]).await.status.success());
    let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(token).unwrap();
    let revocation = world.server.sambad().revocations(0, 10).await.unwrap().pop().unwrap();
    assert!(revocation.expires_at.as_micros() / 1_000_000 > claims["exp"].as_i64().unwrap(), "{revocation:?}");
    // Nothing says that the token whose id this is expires within a year.
    assert!(revocation.expires_at > Timestamp::now().plus(Duration::from_secs(100 * 366 * 86_400)), "{revocation:?}");

    // Of a token that is given whole it is known, however its end is written.
    let (kid, secret) = key_of(&world.keys);
    let (header, end) = (format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#), now() + 600);
    let claims = format!(
        r#"{{"iss":"sambad","aud":"sambad","sub":"x","roles":["admin"],"jti":"fedcba9876543210","iat":{}.5,"exp":{end}.5}}"#,
        now() - 1
    );
    let token = sign_text(&header, &claims, &secret);
    assert_eq!(world.get("/api/users", &token).await.status, 200);
    let revoked = run(&["token", "revoke", &token]).await;
    assert!(revoked.status.success(), "{revoked:?}");
    let revocation = world.server.sambad().revocations(0, 10).await.unwrap().pop().unwrap();
    let expected = Timestamp::from_micros(end * 1_000_000 + 500_000).plus(Duration::from_secs(300));
    assert_eq!((revocation.id.as_str(), revocation.expires_at), ("fedcba9876543210", expected));
    world.stop().await;
}

/// Headers that demand an extension, or say wrongly that they do: a token with any of them is refused.
pub(crate) fn critical_headers(kid: &str) -> Vec<String> {
    let demands = [
        r#""crit":["x"],"x":1"#,
        r#""crit":["exp"],"exp":1"#,
        r#""crit":["b64"],"b64":false"#,
        r#""crit":["b64"],"b64":true"#,
        r#""b64":false"#,
        r#""crit":["alg"]"#,
        r#""crit":["missing"]"#,
        r#""crit":["x","x"],"x":1"#,
        r#""crit":[]"#,
        r#""crit":[7]"#,
        r#""crit":null"#,
        r#""crit":"exp""#,
        r#""crit":{"x":1}"#,
        r#""crit":false"#,
        r#""crit":["x"],"crit":[]"#,
    ];
    demands.iter().map(|demand| format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}",{demand}}}"#)).collect()
}

/// Instants that are valid from `at` on: each form that JSON has for a number.
pub(crate) fn numbers(at: i64) -> Vec<String> {
    vec![format!("{at}.25"), format!("{at}.0"), format!("{}e1", at / 10 + 1), format!("{:.12}E+9", (at + 1) as f64 / 1e9)]
}

/// Goal: a header that calls an extension critical is refused, in every form, since none is supported; without one it is let in.
/// Method: a token of our own key beside each such header.
#[tokio::test(flavor = "multi_thread")]
async fn critical_extensions_are_refused() {
    let world = World::start().await;
    let (kid, secret) = key_of(&world.keys);
    let claims = claims(&[]).to_string();
    let plain = format!(r#"{{"alg":"EdDSA","kid":"{kid}","x":1,"b64":true}}"#);
    assert_eq!(world.get("/api/users", &sign_text(&plain, &claims, &secret)).await.status, 200);
    for header in critical_headers(&kid) {
        let answer = world.get("/api/users", &sign_text(&header, &claims, &secret)).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{header}: {answer:?}");
    }
    world.stop().await;
}

/// Goal: `exp`, `nbf` and `iat` are numbers that need not be whole, and nothing but numbers. Method: our own key; each form of a
/// number in each claim, then what is no number, what has ended by a fraction, and what is said twice.
#[tokio::test(flavor = "multi_thread")]
async fn instants_of_tokens_are_numbers() {
    let world = World::start().await;
    let (kid, secret) = key_of(&world.keys);
    let header = format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#);
    let token = |instants: &str| {
        let claims =
            format!(r#"{{"iss":"sambad","aud":"sambad","sub":"x","roles":["admin"],"jti":"0123456789abcdef",{instants}}}"#);
        sign_text(&header, &claims, &secret)
    };
    let (past, end) = (now() - 100, now() + 100);
    for (early, late) in numbers(past).into_iter().zip(numbers(end)) {
        let instants = format!(r#""iat":{early},"nbf":{early},"exp":{late}"#);
        assert_eq!(world.get("/api/users", &token(&instants)).await.status, 200, "{instants}");
        let instants = format!(r#""iat":{early},"exp":{early}"#);
        let answer = world.get("/api/users", &token(&instants)).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("Token has expired")), "{instants}");
        let instants = format!(r#""iat":{early},"nbf":{late},"exp":{late}"#);
        let answer = world.get("/api/users", &token(&instants)).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("Token is not valid yet")), "{instants}");
    }
    for instants in [
        format!(r#""iat":{past},"exp":"{end}""#),
        format!(r#""iat":"{past}","exp":{end}"#),
        format!(r#""iat":{past},"nbf":"{past}","exp":{end}"#),
        format!(r#""iat":{past},"exp":true"#),
        format!(r#""iat":{past},"exp":null"#),
        format!(r#""iat":{past},"nbf":null,"exp":{end}"#),
        format!(r#""iat":{past},"exp":[{end}]"#),
        format!(r#""iat":{past},"exp":-{end}"#),
        format!(r#""iat":{past},"exp":1e400"#),
        format!(r#""iat":{past},"exp":{past},"exp":{end}"#),
        format!(r#""iat":{past},"exp":{end},"exp":{end}"#),
        format!(r#""exp":{end}"#),
        // Neither lives for a year at most.
        r#""iat":1e300,"exp":1e300"#.to_owned(),
        format!(r#""iat":{0},"exp":{0}.5"#, end + 370 * 86_400),
        // Issued an hour from now.
        format!(r#""iat":{},"exp":{}"#, now() + 3600, now() + 7200),
    ] {
        assert_eq!(world.get("/api/users", &token(&instants)).await.status, 401, "{instants}");
    }
    world.stop().await;
}
