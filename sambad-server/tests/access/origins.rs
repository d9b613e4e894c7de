//! Pages of other sites: a browser sends the cookie along whatever page asks.

use serde_json::json;

use crate::harness::{PASSWORD, PASSWORD_HASH, World};

/// Goal: a foreign page can neither open a socket nor write in the name of whoever looks at it, and our own and named ones
/// can. Method: a valid cookie with every kind of `Origin` and `Sec-Fetch-Site`, as browsers send them.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_cannot_use_the_cookie() {
    let world = World::start_with(|config| config.allowed_origins = vec!["https://admin.example".into()]).await;
    world.add_admin(PASSWORD_HASH).await;
    let cookie = world.log_in_as_admin(PASSWORD).await.cookie();
    let own = format!("http://{}", world.address());
    for (origin, allowed) in [
        (Some(own.as_str()), true),
        (Some("https://admin.example"), true),
        (None, true),
        (Some("https://evil.example"), false),
        (Some("null"), false),
    ] {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let socket = world.socket("", &headers).await;
        assert_eq!(socket.err(), (!allowed).then_some(403), "socket from {origin:?}");
        // There is no such session: whoever is let through to it is told so.
        let path = "/api/admin/sessions/01920000-0000-7000-8000-000000000000";
        let closed = world.send("DELETE", path, &headers, None).await;
        assert_eq!(closed.status, if allowed { 404 } else { 403 }, "write from {origin:?}");
    }
    let headers = [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
    assert_eq!(world.send("POST", "/api/admin/logout", &headers, None).await.status, 403);
    let login = json!({ "email": "root@example.com", "password": PASSWORD });
    let foreign = world.send("POST", "/api/admin/login", &[("origin", "https://evil.example")], Some(&login)).await;
    assert_eq!(foreign.status, 403, "nor log somebody in");
    world.stop().await;
}

/// Goal: only named origins may read answers. Method: what a browser asks before, and what it is told with an answer.
#[tokio::test(flavor = "multi_thread")]
async fn only_named_origins_may_read_answers() {
    let world = World::start_with(|config| config.allowed_origins = vec!["https://admin.example".into()]).await;
    for (origin, allowed) in [("https://admin.example", true), ("https://evil.example", false)] {
        let ask = [
            ("origin", origin),
            ("access-control-request-method", "DELETE"),
            ("access-control-request-headers", "authorization"),
        ];
        let preflight = world.send("OPTIONS", "/api/contacts/x", &ask, None).await;
        let answer = world.send("GET", "/api/health", &[("origin", origin)], None).await;
        for told in [&preflight, &answer] {
            let named = told.headers.get("access-control-allow-origin").map(|named| named.to_str().unwrap());
            assert_eq!(named, allowed.then_some(origin), "{told:?}");
        }
    }
    world.stop().await;
}
