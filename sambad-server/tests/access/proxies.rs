//! Real proxies in front: what they keep, what they say of the client's connection, and what an old one cannot carry.

use sambad_server::ServerConfig;
use sambad_server::testing::Balancer;

use crate::harness::{PASSWORD, PASSWORD_HASH, World};

fn behind_a_proxy(config: &mut ServerConfig) {
    config.clients.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
}

/// The status, headers and text of a GET through a proxy.
async fn get(url: &str, headers: &[(&str, &str)]) -> (u16, reqwest::header::HeaderMap, String) {
    let request = headers.iter().fold(reqwest::Client::new().get(url), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.headers().clone(), answer.text().await.unwrap())
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
