//! One client is one client, however its address is written.

use std::net::{IpAddr, SocketAddr};

use reqwest::Client;
use serde_json::{Value, json};

use crate::harness::PATIENCE;
use crate::harness::process::{Process, database, run, run_with_stdin};

const ADMIN: &str = "root@example.com";
const PASSWORD: &str = "correct horse battery";

/// A server that listens on all addresses of both families by one socket, with an account.
struct DualStack {
    _directory: tempfile::TempDir,
    server: Process,
}

impl DualStack {
    async fn start(args: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (keys, database) = (directory.path().join("keys.json"), database(directory.path()));
        let keys = keys.to_str().expect("the path is text");
        assert!(run(&["key", "generate", keys], &[]).await.status.success());
        let serve = ["--listen", "[::]:0", "--database", &database, "--auth", "token", "--auth-key", keys];
        let server = Process::start_with(&[&serve, args].concat(), &[]).await;
        let added = run_with_stdin(&["admin", "add", ADMIN, "--database", &database], &format!("{PASSWORD}\n")).await;
        assert!(added.status.success(), "{added:?}");
        Self { _directory: directory, server }
    }

    /// A request by IPv4 from an address of this machine; its status, its cookie and its body.
    async fn request(&self, from: &str, headers: &[(&str, &str)], path: &str, body: Option<&Value>) -> (u16, String, Value) {
        let from: IpAddr = from.parse().expect("an address");
        let client = Client::builder().timeout(PATIENCE).local_address(from).build().expect("a plain client can be built");
        let url = format!("http://{}{path}", SocketAddr::from(([127, 0, 0, 1], self.server.address.port())));
        let request = body.map_or_else(|| client.get(&url), |body| client.post(&url).json(body));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.expect("the server answers");
        let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().expect("cookies are ASCII").to_owned());
        let cookie = cookie.and_then(|cookie| Some(cookie.split_once(';')?.0.to_owned())).unwrap_or_default();
        (answer.status().as_u16(), cookie, answer.json().await.expect("answers are JSON"))
    }

    /// Tries to log in; the status and the cookie.
    async fn log_in(&self, from: &str, headers: &[(&str, &str)], password: &str) -> (u16, String) {
        let body = json!({ "email": ADMIN, "password": password });
        let (status, cookie, _) = self.request(from, headers, "/api/admin/login", Some(&body)).await;
        (status, cookie)
    }
}

/// Goal: guesses by one IPv4 client lock no other IPv4 client out of a `[::]` listener, and are told by its address. Method: five
/// wrong passwords from 127.0.0.2, the right one from there and from 127.0.0.3; the audit log.
#[tokio::test]
async fn ipv4_clients_of_a_dual_stack_listener_are_apart() {
    let world = DualStack::start(&[]).await;
    for _ in 0..5 {
        assert_eq!(world.log_in("127.0.0.2", &[], "wrong horse battery").await.0, 401);
    }
    let (status, cookie) = world.log_in("127.0.0.3", &[], PASSWORD).await;
    assert_eq!(status, 200, "a stranger keeps no admin out");
    assert_eq!(world.log_in("127.0.0.2", &[], PASSWORD).await.0, 401, "who guessed is locked out");
    let (status, _, entries) = world.request("127.0.0.3", &[("cookie", &cookie)], "/api/admin/audit", None).await;
    assert_eq!(status, 200);
    let remotes = entries.as_array().expect("a list").iter().map(|entry| (&entry["action"], &entry["remote"]));
    let remotes: Vec<String> = remotes.map(|(action, remote)| format!("{action} {remote}")).collect();
    for expected in [r#""login_failed" "127.0.0.2""#, r#""admin_logged_in" "127.0.0.3""#] {
        assert!(remotes.iter().any(|found| found == expected), "{expected}: {remotes:?}");
    }
    world.server.terminate().await;
}

/// Goal: an IPv4 proxy is trusted on a `[::]` listener, and whom it names is one client in every spelling. Method: wrong passwords
/// of one address in five spellings, then the right one in a sixth, and of a neighbour.
#[tokio::test]
async fn a_client_behind_a_proxy_has_one_address() {
    let world = DualStack::start(&["--trusted-proxy", "127.0.0.9"]).await;
    let proxied =
        async |client: &str, password: &str| world.log_in("127.0.0.9", &[("x-forwarded-for", client)], password).await.0;
    for spelling in ["::ffff:192.0.2.1", "192.0.2.1", "[::ffff:192.0.2.1]:55", "192.0.2.1:55", "::FFFF:c000:0201"] {
        assert_eq!(proxied(spelling, "wrong horse battery").await, 401);
    }
    for spelling in ["192.0.2.1", "::ffff:192.0.2.1"] {
        assert_eq!(proxied(spelling, PASSWORD).await, 401, "{spelling} is locked out");
    }
    assert_eq!(proxied("::ffff:192.0.2.2", PASSWORD).await, 200, "a stranger keeps no admin out");
    assert_eq!(world.log_in("127.0.0.8", &[("x-forwarded-for", "192.0.2.1")], PASSWORD).await.0, 200, "no proxy is believed");
    world.server.terminate().await;
}
