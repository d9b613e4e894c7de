//! Admins: accounts, cookies, and guesses at passwords.

use std::process::Stdio;
use std::time::Instant;

use sambad_core::Timestamp;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{ADMIN, PASSWORD, PASSWORD_HASH, World};

/// Goal: a login gives a cookie that scripts cannot read and other sites do not send; it works, and ends with the logout.
/// Method: the whole way, and the attributes word by word.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_works_until_the_logout() {
    let world = World::start().await;
    world.add_admin(PASSWORD_HASH).await;
    let login = world.log_in_as_admin(PASSWORD).await;
    assert_eq!(login.status, 200, "{login:?}");
    let cookie = login.headers["set-cookie"].to_str().unwrap();
    for attribute in ["Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"] {
        assert!(cookie.split("; ").any(|found| found == attribute), "{attribute}: {cookie}");
    }
    assert!(!cookie.contains("Secure"), "on loopback a browser without TLS must send it back");
    assert_eq!(login.headers["cache-control"], "no-store");
    let elsewhere = [("host", "sambad.example")];
    let body = json!({ "email": ADMIN, "password": PASSWORD });
    let login_elsewhere = world.send("POST", "/api/admin/login", &elsewhere, Some(&body)).await;
    assert!(login_elsewhere.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"));

    let cookie = login.cookie();
    let by_cookie = [("cookie", cookie.as_str())];
    assert_eq!(world.send("GET", "/api/admin/users", &by_cookie, None).await.status, 200);
    let logout = world.send("POST", "/api/admin/logout", &by_cookie, None).await;
    assert_eq!(logout.status, 200, "{logout:?}");
    assert!(logout.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(world.send("GET", "/api/admin/users", &by_cookie, None).await.status, 401);
    world.stop().await;
}

/// Goal: what is wrong with a login cannot be told from the answer; guessing locks its network out, the right password
/// included, and nobody else. Method: wrong passwords in a row from one address, then the right one from there and from another;
/// an unknown account beside it. Addresses are what a trusted proxy says.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_lock_their_network_out_and_say_nothing() {
    let world = World::start_with(|config| config.clients.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    world.add_admin(PASSWORD_HASH).await;
    let log_in = async |from: &str, email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        world.send("POST", "/api/admin/login", &[("x-forwarded-for", from)], Some(&body)).await
    };
    let unknown = log_in("10.0.0.1", "nobody@example.com", "wrong horse battery").await;
    let (stranger, neighbour, admin) = ("2001:db8::1", "2001:db8::2", "10.0.0.3");
    for _ in 0..5 {
        let wrong = log_in(stranger, ADMIN, "wrong horse battery").await;
        assert_eq!((wrong.status, &wrong.json()["error"]), (unknown.status, &unknown.json()["error"]));
    }
    for locked in [stranger, neighbour] {
        let locked = log_in(locked, ADMIN, PASSWORD).await;
        assert_eq!((locked.status, &locked.json()["error"]), (401, &unknown.json()["error"]));
    }
    assert_eq!(log_in(admin, ADMIN, PASSWORD).await.status, 200, "a stranger keeps no admin out");
    let entries = world.get("/api/admin/audit", &world.admin()).await.json();
    let failed = entries.as_array().unwrap().iter().filter(|entry| entry["action"] == "login_failed").count();
    assert_eq!(failed, 6, "those that were locked out are not told of one by one");
    assert!(!entries.to_string().contains("nobody"), "what was typed may be anything");
    let account = world.server.sambad().admin(ADMIN, "2001:db8:0:0::/64").await.unwrap().unwrap();
    assert!(account.locked_until > Timestamp::now());
    // A new password is what an operator has against a lock.
    world.add_admin(PASSWORD_HASH).await;
    assert_eq!(log_in(stranger, ADMIN, PASSWORD).await.status, 200);
    world.stop().await;
}

/// Goal: how long the answer takes does not tell whether there is an account. Method: logins at one that there is and at one
/// that there is not, in turn and each from an address of its own; their medians. A hash takes ten times what is around it.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_accounts_take_as_long() {
    let world = World::start_with(|config| config.clients.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    world.add_admin(PASSWORD_HASH).await;
    let mut took = [Vec::new(), Vec::new()];
    for i in 0..15 {
        for (email, took) in [ADMIN, "nobody@example.com"].into_iter().zip(&mut took) {
            let body = json!({ "email": email, "password": "wrong horse battery" });
            let begun = Instant::now();
            let answer =
                world.send("POST", "/api/admin/login", &[("x-forwarded-for", &format!("10.0.0.{i}"))], Some(&body)).await;
            took.push(begun.elapsed());
            assert_eq!(answer.status, 401, "{answer:?}");
        }
    }
    let [known, unknown] = took.map(|mut took| {
        took.sort_unstable();
        took[took.len() / 2].as_secs_f64()
    });
    assert!((0.5..2.0).contains(&(unknown / known)), "{unknown} s without an account, {known} s with one");
    world.stop().await;
}

/// Goal: guesses in parallel are no way around the lock. Method: sixty wrong passwords at once; at most so many are compared
/// as may be, and the right one is refused after.
#[tokio::test(flavor = "multi_thread")]
async fn parallel_guesses_lock_their_network_out() {
    let world = World::start().await;
    world.add_admin(PASSWORD_HASH).await;
    let guesses = (0..60).map(|i| world.log_in_as_admin(if i % 2 == 0 { "wrong horse battery" } else { "other horse battery" }));
    let mut answers = Vec::new();
    for guess in futures_util::future::join_all(guesses).await {
        answers.push(guess.status);
    }
    assert!(answers.iter().all(|status| [401, 429, 503].contains(status)), "{answers:?}");
    assert_eq!(world.log_in_as_admin(PASSWORD).await.status, 401, "it is locked");
    world.stop().await;
}

/// Goal: accounts are made at the command line while the server runs, and their removal ends their sessions at once for
/// requests. Method: the real commands on the server's database; the password by stdin.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_made_and_removed_while_the_server_runs() {
    let world = World::start().await;
    let database = world.server.database();
    let run = async |args: &[&str], stdin: &str| {
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_sambad-server"))
            .args(args)
            .args(["--database", &database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).await.unwrap();
        child.wait_with_output().await.unwrap()
    };
    let short = run(&["admin", "add", ADMIN], "short\n").await;
    assert!(!short.status.success());
    let added = run(&["admin", "add", "Root@Example.com"], &format!("{PASSWORD}\n")).await;
    assert!(added.status.success(), "{added:?}");
    let cookie = world.log_in_as_admin(PASSWORD).await.cookie();
    let by_cookie = [("cookie", cookie.as_str())];
    assert_eq!(world.send("GET", "/api/admin/users", &by_cookie, None).await.status, 200);
    let list = run(&["admin", "list"], "").await;
    assert!(String::from_utf8_lossy(&list.stdout).starts_with(ADMIN), "{list:?}");

    let removed = run(&["admin", "remove", ADMIN], "").await;
    assert!(removed.status.success(), "{removed:?}");
    assert_eq!(world.send("GET", "/api/admin/users", &by_cookie, None).await.status, 401);
    assert_eq!(world.log_in_as_admin(PASSWORD).await.status, 401);
    world.stop().await;
}
