//! What clients accept: media types and codings by weight, and compressed answers.

use std::io::Read as _;

use flate2::read::GzDecoder;
use reqwest::Method;

use crate::harness::World;

/// Paths whose answers may come compressed, once the world has 40 users.
const PACKED: [&str; 6] =
    ["/api/users", "/api/admin/users", "/api/events?after=0", "/api/openapi.json", "/api/asyncapi.json", "/metrics"];

/// Goal: weights decide between page and text, and between the two forms of metrics; what cannot be read is passed over.
/// Method: a table for each.
#[tokio::test]
async fn weights_of_accept_count() {
    let world = World::start().await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    for (accept, page) in [
        (None, false),
        (Some("text/html"), true),
        (Some("TEXT/HTML"), true),
        (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), true),
        (Some("text/html, application/xhtml+xml, */*"), true),
        (Some("text/html;q=0"), false),
        (Some("text/html;q=0, */*"), false),
        (Some("text/html;q=0.0, text/plain;q=0"), false),
        (Some("text/html;q=0.3, text/plain;q=0.4"), false),
        (Some("text/html;q=0.5, text/plain;q=0.4"), true),
        (Some("text/html;level=1;q=0.5, text/plain;q=0.4"), true),
        (Some("text/html ; Q=0.5 , */* ; q=0.1"), true),
        (Some("text/*"), false),
        (Some("*/*"), false),
        (Some("text/*;q=0.5, text/html;q=0.1"), false),
        (Some("application/json"), false),
        (Some("text/html;q=nonsense"), false),
        (Some("text/htmlx, nonsense, ;;;, text/plain"), false),
        (Some(""), false),
    ] {
        let request = client.get(format!("{}/", world.server.url()));
        let request = accept.into_iter().fold(request, |request, accept| request.header("accept", accept));
        let answer = request.send().await.expect("the server answers");
        assert_eq!(answer.status().as_u16(), if page { 303 } else { 200 }, "{accept:?}");
        assert!(answer.headers().get_all("vary").iter().any(|vary| vary == "accept"), "{accept:?}");
    }
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, open) in [
        (None, false),
        (Some("*/*"), false),
        (Some("text/plain"), false),
        (Some(prometheus), true),
        (Some("application/openmetrics-text"), true),
        (Some("application/openmetrics-text; version=1.0.0; charset=utf-8"), true),
        (Some("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5, text/plain;q=0.2"), true),
        (Some("application/openmetrics-text;version=0.0.1"), false),
        (Some("application/openmetrics-text;q=0, text/plain;q=0.1"), false),
        (Some("application/openmetrics-text;q=0.1, text/plain;version=0.0.4;q=0.9"), false),
        (Some("application/openmetrics-text-x"), false),
    ] {
        let request = client.get(format!("{}/metrics", world.server.url()));
        let request = accept.into_iter().fold(request, |request, accept| request.header("accept", accept));
        let answer = request.send().await.expect("the server answers");
        let kind = answer.headers()["content-type"].to_str().expect("ASCII");
        assert_eq!(kind.starts_with("application/openmetrics-text"), open, "{accept:?}");
        assert!(answer.headers().get_all("vary").iter().any(|vary| vary == "accept"), "{accept:?}");
    }
    world.finish().await;
}

/// Goal: lists, documents and figures come compressed to those who ask for it and to no others, and caches are told that there
/// are two forms. Method: a table of `Accept-Encoding` on each path; what comes is unpacked and compared.
#[tokio::test]
async fn answers_are_compressed_on_request() {
    let world = World::start().await;
    world.api.users(40).await;
    for path in PACKED {
        let plain = world.api.get(path).await;
        assert!(plain.header("content-encoding").is_none(), "{path}");
        for (accept, packed) in [
            (None, false),
            (Some("gzip"), true),
            (Some("x-gzip"), true),
            (Some("GZip"), true),
            (Some("br, gzip;q=0.5"), true),
            (Some("gzip, deflate, br, zstd"), true),
            (Some("*"), true),
            (Some("*;q=0.1"), true),
            (Some("br, *"), true),
            (Some("identity;q=0, *"), true),
            (Some("gzip;q=0.5, identity;q=0.5"), true),
            (Some("gzip;q=0.4, identity;q=0.5"), false),
            (Some("gzip;q=0"), false),
            (Some("gzip;q=0, *"), false),
            (Some("gzip; Q=0.000"), false),
            (Some("*;q=0"), false),
            (Some("identity"), false),
            (Some("br"), false),
            (Some("gzipx"), false),
            (Some("gzip;q=nonsense"), false),
            (Some("identity;q=0"), false),
            (Some(""), false),
        ] {
            let request = reqwest::Client::new().get(format!("{}{path}", world.server.url()));
            let request = accept.into_iter().fold(request, |request, accept| request.header("accept-encoding", accept));
            let answer = request.send().await.expect("the server answers");
            assert_eq!(answer.status(), 200);
            let encoding = answer.headers().get("content-encoding").map(|encoding| encoding.to_str().expect("ASCII").to_owned());
            assert_eq!(encoding.as_deref(), packed.then_some("gzip"), "{path} {accept:?}");
            let varies = answer.headers().get_all("vary").iter().any(|vary| vary == "accept-encoding");
            assert!(varies, "{path} {accept:?}: {:?}", answer.headers());
            assert!(answer.headers().contains_key("content-length"), "{path}");
            let kind = answer.headers()["content-type"].to_str().expect("ASCII").to_owned();
            assert_eq!(Some(kind.as_str()), plain.header("content-type"), "{path}");
            let bytes = answer.bytes().await.expect("it ends");
            let mut text = String::new();
            if packed {
                GzDecoder::new(&*bytes).read_to_string(&mut text).expect("it is gzip");
                assert!(bytes.len() * 2 < text.len(), "{path}: {} bytes of {}", bytes.len(), text.len());
            } else {
                text = String::from_utf8(bytes.to_vec()).expect("it is text");
            }
            assert!(path == "/metrics" || text == plain.text, "{path} {accept:?}");
        }
    }
    world.finish().await;
}

/// Goal: what is short, secret or without end is not compressed. Method: short answers, a login, a refusal and an event stream
/// by a client that takes everything; a short one by a client that takes nothing else.
#[tokio::test]
async fn short_answers_and_streams_are_sent_as_they_are() {
    let world = World::start().await;
    let user = world.api.user("+919876543210").await;
    let ask = [("accept-encoding", "gzip"), ("content-type", "application/json")];
    for (method, path, body) in [
        (Method::GET, "/api/users".to_owned(), None),
        (Method::GET, format!("/api/users/{user}"), None),
        (Method::GET, "/api/events?after=0".into(), None),
        (Method::GET, "/api/users?limit=0".into(), None),
        (Method::POST, "/api/users/login".into(), Some(r#"{"phone":"+919876543211"}"#.to_owned())),
    ] {
        let answer = world.api.request(method, &path, &ask, body).await;
        assert_eq!(answer.header("content-encoding"), None, "{path}");
        answer.json();
    }
    let url = format!("{}/api/users", world.server.url());
    let picky = reqwest::Client::new().get(url).header("accept-encoding", "gzip, identity;q=0").send().await.expect("an answer");
    assert_eq!(picky.headers()["content-encoding"], "gzip");
    let headers = [("accept-encoding", "gzip")];
    let mut stream = crate::harness::EventSource::open_with(world.server.address(), "after=0", &headers).await;
    assert!(!stream.headers.contains_key("content-encoding"));
    assert!(stream.message().await.expect("the stream is open").contains("connected"));
    drop(stream);
    world.finish().await;
}
