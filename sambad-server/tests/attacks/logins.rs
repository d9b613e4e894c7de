//! Guesses at passwords, and refresh tokens that were stolen.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::soon;
use crate::siege::{Siege, connect_from};

const ADMIN: &str = "root@example.com";
const PASSWORD: &str = "correct horse battery";

/// Posts `body` from 127.0.0.`host`, with a connection of its own; the status.
pub(crate) async fn post(host: u8, address: SocketAddr, path: &str, body: &str) -> Option<u16> {
    answer(host, address, path, body).await?.split(' ').nth(1)?.parse().ok()
}

/// As [`post`]: the whole answer.
async fn answer(host: u8, address: SocketAddr, path: &str, body: &str) -> Option<String> {
    let mut stream = connect_from(host, address).await.ok()?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    soon("answer", stream.read_to_end(&mut answer)).await.ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn counted(statuses: impl IntoIterator<Item = Option<u16>>) -> BTreeMap<Option<u16>, usize> {
    statuses.into_iter().fold(BTreeMap::new(), |mut counted, status| {
        *counted.entry(status).or_default() += 1;
        counted
    })
}

/// Goal: a thousand guesses at once are turned away, most of them before a password is hashed, and the account locked to them; a
/// client notices nothing. Method: from fifty addresses, half of them at an account that there is, half at others.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_parallel_wrong_logins() {
    let siege = Siege::start_closed(ADMIN, PASSWORD).await;
    let address = siege.address();
    let guess = |i: usize| async move {
        let email = if i.is_multiple_of(2) { ADMIN.to_owned() } else { format!("nobody{i}@example.com") };
        let body = format!(r#"{{"email":"{email}","password":"wrong horse battery {i}"}}"#);
        post(10 + u8::try_from(i % 50).unwrap_or_default(), address, "/api/admin/login", &body).await
    };
    let statuses = siege.during("wrong logins", join_all((0..1000).map(guess))).await;
    let statuses = counted(statuses);
    println!("{statuses:?}");
    assert!(statuses.keys().all(|status| matches!(status, Some(401 | 429 | 503))), "{statuses:?}");
    assert!(statuses.get(&Some(401)).is_some_and(|hashed| *hashed < 500), "most are not worth a hash: {statuses:?}");
    let right = format!(r#"{{"email":"{ADMIN}","password":"{PASSWORD}"}}"#);
    assert_eq!(post(90, address, "/api/admin/login", &right).await, Some(200), "its owner, elsewhere, is let in");
    let found = siege.check().await;
    assert!(found.lines().any(|line| line.starts_with("ok") && line.contains("audit chain holds")), "{found}");
}

/// Goal: a stolen refresh token is worth nothing, however often it is tried, and costs others nothing. Method: one that was
/// used up, five hundred times from ten addresses; its family must have ended, and another login must not.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_refresh_token_again_and_again() {
    let siege = Siege::start_closed(ADMIN, PASSWORD).await;
    let address = siege.address();
    let body = |token: &serde_json::Value| format!(r#"{{"refresh_token":{token}}}"#);
    let (stolen, other) = (siege.login("+919876543211").await, siege.login("+919876543212").await);
    let stolen = body(&stolen["refresh_token"]);
    let next = answer(9, address, "/api/users/refresh", &stolen).await.expect("its owner was first");
    let next: serde_json::Value = serde_json::from_str(next.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    assert_eq!(post(9, address, "/api/users/refresh", &body(&next["refresh_token"])).await, Some(200), "and continued");
    let attempt = |i: u8| post(10 + i % 10, address, "/api/users/refresh", &stolen);
    let attack = stream::iter(0..500_u16).map(|i| attempt(u8::try_from(i % 10).unwrap_or_default())).buffer_unordered(50);
    let statuses = counted(siege.during("replayed refresh tokens", attack.collect::<Vec<_>>()).await);
    println!("{statuses:?}");
    assert!(statuses.keys().all(|status| matches!(status, Some(401 | 429))), "{statuses:?}");
    assert_eq!(post(9, address, "/api/users/refresh", &body(&other["refresh_token"])).await, Some(200));
}
