//! Real proxies in front: what they keep, what they say of the client's connection, and what an old one cannot carry.

use sambad_server::ServerConfig;
use sambad_server::testing::Balancer;
use serde_json::json;

use crate::harness::{PASSWORD, PASSWORD_HASH, World};

/// A message that nobody but its two people may read.
const SECRET: &str = "only for Asha and Ravi";

fn behind_a_proxy(config: &mut ServerConfig) {
    config.clients.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

/// The status, headers and text of a GET through a proxy.
async fn get(url: &str, headers: &[(&str, &str)]) -> (u16, reqwest::header::HeaderMap, String) {
    let request = headers.iter().fold(reqwest::Client::new().get(url), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.headers().clone(), answer.text().await.unwrap())
}

/// Goal: a proxy that keeps what it carries hands nobody what another one read, and nobody what was true a minute ago. Method:
/// nginx that keeps every 200 for a minute, whoever asked; one user's messages and events asked by the other user and without a
/// token, and asked again after a write.
#[tokio::test(flavor = "multi_thread")]
async fn a_cache_in_front_keeps_nothing() {
    let world = World::start_with(behind_a_proxy).await;
    let nginx = Balancer::nginx_with(
        &[world.address()],
        &[
            ("    upstream sambad {", "    proxy_cache_path kept keys_zone=kept:1m;\n    upstream sambad {"),
            (
                "        location / {\n",
                "        location / {\n            proxy_cache kept;\n            proxy_cache_valid 200 60s;\n",
            ),
        ],
    )
    .await;
    let (asha, ravi, mina) =
        (world.login("+919876543210").await, world.login("+919876543211").await, world.login("+919876543212").await);
    let bearer = |user: &serde_json::Value| format!("Bearer {}", user["token"].as_str().unwrap());
    let (of_asha, of_mina) = (bearer(&asha), bearer(&mina));
    let message = json!({ "fromUserId": asha["id"], "toUserId": ravi["id"], "content": SECRET });
    let send = async || {
        let sent = world.send("POST", "/api/messages", &[("authorization", &of_asha)], Some(&message)).await;
        assert_eq!(sent.status, 201, "{sent:?}");
    };
    send().await;
    for path in ["/api/messages", "/api/events?after=0", "/api/events?after=0&wait=1&types=message_sent"] {
        let url = format!("{}{path}", nginx.url());
        let (status, _, read) = get(&url, &[("authorization", &of_asha)]).await;
        assert_eq!((status, read.matches(SECRET).count() > 0), (200, true), "{path}: {read}");
        let (status, _, others) = get(&url, &[("authorization", &of_mina)]).await;
        assert_eq!((status, others.matches(SECRET).count()), (200, 0), "{path}: handed to another user");
        assert_eq!(get(&url, &[]).await.0, 401, "{path}: handed to a stranger");
        send().await;
        let (_, headers, again) = get(&url, &[("authorization", &of_asha)]).await;
        assert_eq!(again.matches(SECRET).count(), read.matches(SECRET).count() + 1, "{path}: as it was before");
        assert_eq!(
            (headers["cache-control"].to_str().unwrap(), headers["x-content-type-options"].to_str().unwrap()),
            ("no-store", "nosniff")
        );
    }
    world.stop().await;
}

/// Goal: a proxy that speaks HTTP/1.0 to the server learns what it lacks, instead of a socket that stays silent. Method:
/// `deploy/nginx.conf` without `proxy_http_version`, and a whole handshake through it; with it the handshake succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_proxy_is_told_what_it_lacks() {
    let world = World::start_with(behind_a_proxy).await;
    let token = format!("Bearer {}", world.admin());
    let handshake = [
        ("authorization", token.as_str()),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let old = Balancer::nginx_with(&[world.address()], &[("proxy_http_version 1.1;", "")]).await;
    let (status, headers, told) = get(&format!("{}/ws", old.url()), &handshake).await;
    assert_eq!((status, headers["sec-websocket-version"].to_str().unwrap()), (426, "13"), "{told}");
    assert!(told.contains("HTTP/1.1") && told.contains("proxy_http_version"), "{told}");
    assert_eq!(get(&format!("{}/api/health", old.url()), &[]).await.0, 200, "everything else works");
    let new = Balancer::nginx(&[world.address()]).await;
    let request = handshake
        .iter()
        .fold(reqwest::Client::new().get(format!("{}/ws", new.url())), |request, (name, value)| request.header(*name, *value));
    assert_eq!(request.send().await.unwrap().status(), 101);
    world.stop().await;
}

/// Goal: the proxies of `deploy/` say by which scheme a client came, so that a page of the same name without TLS is a foreign one
/// where there is TLS, and the other way round. Method: each of them, without TLS as the tests run them: a write by cookie from
/// pages of both schemes.
#[tokio::test(flavor = "multi_thread")]
async fn proxies_say_by_which_scheme_a_client_came() {
    let world = World::start_with(behind_a_proxy).await;
    world.add_admin(PASSWORD_HASH).await;
    let cookie = world.log_in_as_admin(PASSWORD).await.cookie();
    let servers = [world.address()];
    for (name, proxy) in [
        ("nginx", Balancer::nginx(&servers).await),
        ("haproxy", Balancer::haproxy(&servers).await),
        ("caddy", Balancer::caddy(&servers).await),
    ] {
        // Those with checks of their own look at the server first.
        while get(&format!("{}/api/health", proxy.url()), &[]).await.0 != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        for (scheme, expected) in [("http", 404), ("https", 403)] {
            let url = format!("{}/api/admin/sessions/01920000-0000-7000-8000-000000000000", proxy.url());
            let request = reqwest::Client::new().delete(url).header("cookie", &cookie);
            let answer = request.header("origin", format!("{scheme}://{}", proxy.address())).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), expected, "{name}: a page by {scheme}");
        }
    }
    world.stop().await;
}
