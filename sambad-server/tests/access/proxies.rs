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
