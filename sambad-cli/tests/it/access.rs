//! Against a server that asks who calls: logging in, staying in, being let out.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use sambad_core::Limits;
use sambad_server::config::{AuthConfig, Role, ServerConfig, TokenConfig};
use sambad_server::testing::{TestKeys, TestServer};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::acceptor::Acceptor;
use crate::harness::{ASHA, RAVI, Ran, Watch, command, contact, finish, run};

/// A server that asks, and somebody with a place for settings.
struct World {
    server: TestServer,
    keys: TestKeys,
    home: TempDir,
}

impl World {
    async fn start(token_ttl: Duration) -> Self {
        let keys = TestKeys::new();
        let auth = AuthConfig::Token(TokenConfig { token_ttl, ..TokenConfig::new(keys.path()) });
        let server = TestServer::start_with(ServerConfig { auth, ..ServerConfig::default() }, Limits::default()).await;
        Self { server, keys, home: tempfile::tempdir().unwrap() }
    }

    fn operator(&self) -> String {
        self.keys.token(&[Role::Service, Role::Admin], "operator")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(self.server.url(), args);
        command.env("XDG_CONFIG_HOME", self.home.path());
        command
    }

    async fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args)).await
    }

    /// Runs it as somebody who has this token in the environment.
    async fn run_as(&self, token: &str, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        command.env("SAMBAD_TOKEN", token);
        finish(command).await
    }

    async fn log_in(&self, phone: &str) {
        self.run_as(&self.operator(), &["login", phone]).await.ok();
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("sambad/credentials.json")
    }

    fn kept(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap_or_default()
    }
}

const LONG: Duration = Duration::from_secs(900);

/// Goal: one token is enough for every command. Method: flow, watch and demo with it in the environment and in a file.
#[tokio::test]
async fn one_token_does_everything() {
    let world = World::start(LONG).await;
    let token = world.operator();
    let told = world.run_as(&token, &["flow"]).await.ok();
    assert!(told.contains("all 12 steps passed in "), "{told}");
    let file = world.home.path().join("token");
    std::fs::write(&file, format!("token 1 of operator, until tomorrow:\n{token}\n")).unwrap();
    let file = file.to_str().unwrap();
    let seen = world.run(&["watch", "--after", "beginning", "--token-file", file, "--count", "4"]).await.ok();
    assert_eq!(seen.lines().count(), 4, "{seen}");
    for transport in ["sse", "poll"] {
        let watch = ["watch", "--after", "beginning", "--token-file", file, "--count", "4", "--transport", transport];
        assert_eq!(world.run(&watch).await.ok(), seen);
    }
    let ran = world.run_as(&token, &["demo", "--rate", "50", "--duration", "1s"]).await;
    assert!(ran.code == 0 && ran.stderr.contains("users") && !ran.stderr.contains("waits"), "{ran:?}");
}

/// Goal: without a token, or with the wrong one, it says what to do, and shows no token. Method: each refusal, its exit code.
#[tokio::test]
async fn whoever_is_not_let_in_hears_what_to_do() {
    let world = World::start(LONG).await;
    let service = world.keys.token(&[Role::Service], "backend");
    for args in [&["stats"][..], &["watch", "--count", "1"], &["demo"], &["flow"]] {
        let ran = world.run(args).await;
        assert!(ran.code == 4 && ran.stderr.contains("Run `sambad-cli login`"), "{ran:?}");
    }
    for args in [&["stats"][..], &["watch", "--count", "1"], &["demo"]] {
        let ran = world.run_as(&service, args).await;
        assert!(ran.code == 4 && ran.stderr.contains("sambad-cli whoami"), "{ran:?}");
        assert!(!ran.stderr.contains(&service), "{ran:?}");
    }
    let expired = world.keys.token_for(&[Role::Admin], "operator", Duration::ZERO);
    // A token counts to the end of its last second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for bad in [&*expired, "not.a.token", "two words"] {
        let ran = world.run_as(bad, &["stats"]).await;
        assert!(ran.code != 0 && !ran.stderr.contains(bad) && ran.stdout.is_empty(), "{ran:?}");
    }
    // As if it were not there.
    assert_eq!(world.run_as("", &["stats"]).await.code, 4);
    world.run(&["whoami"]).await.failed(4, "none is stored for");
}

/// Goal: a token from stdin is kept for nobody else's eyes, used by every command, and forgotten. Method: its whole life.
#[tokio::test]
async fn a_token_is_kept_and_forgotten() {
    let world = World::start(LONG).await;
    let token = world.operator();
    let mut login = world.command(&["login", "--token"]);
    let mut child = login.stdin(Stdio::piped()).spawn().unwrap();
    let text = format!("token 1 of operator, until tomorrow:\n{token}\n");
    child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains("as operator (service, admin), until "), "{told}");
    assert!(!told.contains(&token));
    assert_eq!(std::fs::metadata(world.file()).unwrap().permissions().mode() & 0o777, 0o600);
    world.run(&["stats"]).await.ok();
    let who = world.run(&["whoami"]).await.ok();
    assert!(who.contains("operator") && who.contains("service, admin") && who.contains(world.server.url()), "{who}");
    let json: serde_json::Value = serde_json::from_str(&world.run(&["whoami", "--json"]).await.ok()).unwrap();
    assert_eq!((&json["subject"], &json["roles"]), (&"operator".into(), &serde_json::json!(["service", "admin"])));
    world.run(&["logout"]).await.ok();
    assert!(!world.kept().contains(&token));
    world.run(&["stats"]).await.failed(4, "Credentials are missing");
    // A token that the server does not take is not kept.
    let bad = world.run_as("not.a.token", &["login"]).await;
    assert!(bad.code == 4 && bad.stderr.contains("not stored") && !world.kept().contains("not.a.token"), "{bad:?}");
}

/// Goal: a file that others may read is not used, and its secret told to nobody. Method: change its mode; damage it.
#[tokio::test]
async fn a_file_for_all_eyes_is_refused() {
    let world = World::start(LONG).await;
    world.run_as(&world.operator(), &["login"]).await.ok();
    std::fs::set_permissions(world.file(), std::fs::Permissions::from_mode(0o640)).unwrap();
    world.run(&["stats"]).await.failed(1, "other users can access");
    world.run(&["completions", "bash"]).await.ok();
    world.run_as(&world.operator(), &["stats"]).await.ok();
    std::fs::set_permissions(world.file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let half = world.kept().replace('}', "");
    std::fs::write(world.file(), half).unwrap();
    let ran = world.run(&["stats"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("is damaged") && !ran.stderr.contains("eyJ"), "{ran:?}");
}

/// Goal: many programs of one user renew one pair without the server seeing one twice. Method: three rounds of eight at once,
/// each after the token has ended.
#[tokio::test]
async fn programs_share_a_login() {
    let world = World::start(Duration::from_secs(1)).await;
    world.log_in(ASHA).await;
    let mut pairs = vec![world.kept()];
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let all = futures_util::future::join_all((0..8).map(|_| world.run(&["contact", "list"]))).await;
        assert!(all.iter().all(|ran| ran.code == 0), "{all:?}");
        pairs.push(world.kept());
    }
    pairs.dedup();
    assert_eq!(pairs.len(), 4, "each round renewed it");
    world.run(&["logout"]).await.ok();
    world.run(&["contact", "list"]).await.failed(4, "Credentials are missing");
    let refresh =
        |pair: &str| pair.split("refresh_token\": \"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    let last = sambad_client::RefreshToken::new(refresh(&pairs[3]).unwrap());
    let again = sambad_client::Client::new(world.server.url()).unwrap().refresh(&last).await;
    assert!(matches!(again, Err(sambad_client::Error::Unauthorized(_))), "logout ends it at the server: {again:?}");
}

/// Goal: a watch outlives the tokens of its user. Method: tokens of four seconds; the file changes twice; then an event.
#[tokio::test]
async fn a_watch_goes_on() {
    let world = World::start(Duration::from_secs(4)).await;
    world.log_in(ASHA).await;
    let mut child = world.command(&["watch", "--count", "1", "--type", "contact_added"]);
    let mut watch = Watch::of(&mut child);
    watch.says("live at").await;
    let mut seen = world.kept();
    for _ in 0..2 {
        while world.kept() == seen {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        seen = world.kept();
    }
    world.run_as(&world.operator(), &["user", "create", RAVI]).await.ok();
    world.run_as(&world.operator(), &["contact", "add", ASHA, RAVI]).await.ok();
    let ran = watch.end().await;
    assert!(ran.code == 0 && ran.stdout.contains("contact_added") && !ran.stderr.contains("disconnected"), "{ran:?}");
}

/// Goal: a watch whose token cannot be renewed says so, and ends as one that is not let in. Method: a token of two seconds.
#[tokio::test]
async fn a_watch_ends_with_its_token() {
    let world = World::start(LONG).await;
    let token = world.keys.token_for(&[Role::Admin], "operator", Duration::from_secs(2));
    let ran = world.run_as(&token, &["watch"]).await;
    assert!(ran.code == 4 && ran.stderr.contains("the token expires at ") && ran.stderr.contains("4501"), "{ran:?}");
}

/// Goal: `doctor` tells an open server, a missing, a good and a bad token apart. Method: each of them.
#[tokio::test]
async fn doctor_looks_at_the_token() {
    let world = World::start(LONG).await;
    let args = ["doctor", "--hold", "0s"];
    let none = world.run(&args).await;
    assert!(none.code == 1 && none.stdout.contains("the server requires authentication, and there is no token"), "{none:?}");
    let good = world.run_as(&world.operator(), &args).await.ok();
    assert!(
        good.contains("the token is valid: operator (service, admin), expires in ") && good.contains("no problems found"),
        "{good}"
    );
    let service = world.run_as(&world.keys.token(&[Role::Service], "backend"), &args).await.ok();
    assert!(service.contains("may not read events"), "{service}");
    let bad = world.run_as("not.a.token", &args).await;
    assert!(bad.code == 1 && bad.stdout.contains("the server rejects the token"), "{bad:?}");
    let open = TestServer::start().await;
    assert!(run(open.url(), &args).await.ok().contains("the server does not require authentication"));
}

/// Goal: an https:// server is trusted by a file of certificates, and not without. Method: TLS before a real server.
#[tokio::test]
async fn certificates_can_be_given() {
    let server = TestServer::start().await;
    contact(server.url()).await;
    let acceptor = Acceptor::start(server.url()).await;
    let directory = tempfile::tempdir().unwrap();
    let (file, other) = (directory.path().join("ca.pem"), directory.path().join("other.pem"));
    std::fs::write(&file, acceptor.certificate()).unwrap();
    std::fs::write(&other, Acceptor::start(server.url()).await.certificate()).unwrap();
    let (url, file, other) = (acceptor.url("localhost"), file.to_str().unwrap(), other.to_str().unwrap());
    run(&url, &["stats", "--ca-file", file]).await.ok();
    let seen = run(&url, &["watch", "--after", "beginning", "--count", "3", "--ca-file", file]).await.ok();
    assert_eq!(seen.lines().count(), 3, "{seen}");
    let told = run(&url, &["doctor", "--hold", "0s", "--ca-file", file]).await.ok();
    assert!(told.contains("upgraded and connected"), "{told}");
    run(&url, &["stats", "--ca-file", other]).await.failed(1, "invalid peer certificate");
    run(&url, &["stats", "--ca-file", "/nonexistent/ca.pem"]).await.failed(1, "read /nonexistent/ca.pem");
}
