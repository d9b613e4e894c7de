//! Pages of other sites: a browser sends the cookie along whatever page asks.

use serde_json::json;

use crate::harness::{PASSWORD, PASSWORD_HASH, World};

/// Goal: a foreign page can neither open a socket nor read or write in the name of whoever looks at it, and our own and named ones
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
        for path in ["/api/users", "/api/admin/audit", "/api/events"] {
            let read = world.send("GET", path, &headers, None).await;
            assert_eq!(read.status, if allowed { 200 } else { 403 }, "{path} from {origin:?}");
        }
    }
    for site in ["cross-site", "same-site"] {
        let headers = [("cookie", cookie.as_str()), ("sec-fetch-site", site)];
        assert_eq!(world.send("POST", "/api/admin/logout", &headers, None).await.status, 403, "{site}");
        assert_eq!(world.send("GET", "/api/messages", &headers, None).await.status, 403, "{site}");
        assert_eq!(world.send("GET", "/livez", &headers, None).await.status, 200, "a link to what is for anyone, {site}");
    }
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

/// Goal: the scheme that a trusted proxy says is part of the server's own origin, and decides the cookie's name; what anybody
/// else says counts for nothing. Method: sockets and logins with every value of `X-Forwarded-Proto`, to a server that trusts the
/// proxy and to one that does not.
#[tokio::test(flavor = "multi_thread")]
async fn the_scheme_is_what_a_trusted_proxy_says() {
    for trusted in [true, false] {
        let proxies: Vec<_> = if trusted { vec!["127.0.0.0/8".parse().unwrap()] } else { Vec::new() };
        let world = World::start_with(|config| config.clients.trusted_proxies = proxies).await;
        world.add_admin(PASSWORD_HASH).await;
        let login = json!({ "email": "root@example.com", "password": PASSWORD });
        for (said, https, http) in [
            (Some("https"), true, false),
            (Some("http"), false, true),
            (Some("http, https"), true, false),
            (Some("https, http"), false, true),
            (Some("nonsense"), true, true),
            (None, true, true),
        ] {
            let mut headers = vec![("host", "sambad.example")];
            headers.extend(said.map(|said| ("x-forwarded-proto", said)));
            let answer = world.send("POST", "/api/admin/login", &headers, Some(&login)).await;
            let cookie = answer.cookie();
            assert!(cookie.starts_with("__Host-sambad_session="), "{said:?}: {cookie}");
            let hsts = answer.headers.get("strict-transport-security").map(|hsts| hsts.to_str().unwrap());
            let is_https = trusted && https && !http;
            assert_eq!(hsts, is_https.then_some("max-age=31536000"), "{said:?}");
            headers.push(("cookie", &cookie));
            for (origin, own) in [("https://sambad.example", https), ("http://sambad.example", http)] {
                let headers: Vec<_> = headers.iter().copied().chain([("origin", origin)]).collect();
                let refused = world.socket("", &headers).await.err();
                assert_eq!(refused, (trusted && !own).then_some(403), "{said:?} from {origin}, trusted: {trusted}");
            }
            // The name without the prefix can be planted by a neighbour.
            let planted = [headers[0], ("cookie", cookie.trim_start_matches("__Host-"))];
            assert_eq!(world.send("GET", "/api/admin/users", &planted, None).await.status, 401, "{said:?}");
        }
        // A browser on the server's own machine, without TLS, has the name without the prefix; with it the other.
        for (said, prefix) in [(None, "sambad_session="), (Some("https"), if trusted { "__Host-" } else { "sambad_session=" })] {
            let headers: Vec<_> = said.map(|said| ("x-forwarded-proto", said)).into_iter().collect();
            let answer = world.send("POST", "/api/admin/login", &headers, Some(&login)).await;
            let cookie = answer.cookie();
            assert!(cookie.starts_with(prefix), "{said:?}: {cookie}");
            assert!(!answer.headers.contains_key("strict-transport-security"), "never for an address");
            let headers: Vec<_> = headers.into_iter().chain([("cookie", cookie.as_str())]).collect();
            assert_eq!(world.send("GET", "/api/admin/users", &headers, None).await.status, 200, "{said:?}");
        }
        world.stop().await;
    }
}

/// Goal: several origins are none, and a page that names none of its own gets in by no spelling. Method: a cookie with each.
#[tokio::test(flavor = "multi_thread")]
async fn strange_origins_are_foreign() {
    let world = World::start().await;
    world.add_admin(PASSWORD_HASH).await;
    let cookie = world.log_in_as_admin(PASSWORD).await.cookie();
    let own = format!("http://{}", world.address());
    for origins in
        [format!("{own}, {own}"), format!("{own} {own}"), format!("{own}/"), "file://".into(), "null".into(), String::new()]
    {
        let headers = [("cookie", cookie.as_str()), ("origin", origins.as_str())];
        assert_eq!(world.socket("", &headers).await.err(), Some(403), "{origins:?}");
    }
    let headers = [("cookie", cookie.as_str()), ("origin", own.as_str()), ("origin", "https://evil.example")];
    let path = "/api/admin/sessions/01920000-0000-7000-8000-000000000000";
    assert_eq!(world.send("DELETE", path, &headers, None).await.status, 403);
    world.stop().await;
}
