//! The dashboard's files, as a browser asks for them.

use std::io::Read as _;

use flate2::read::GzDecoder;
use reqwest::Method;

use crate::harness::{Raw, World};

const PATHS: [&str; 3] = ["/dashboard", "/sambad.js", "/sambad.d.ts"];
/// The reference of the API, whose larger files lie packed in the binary.
const DOCS: [&str; 4] = ["/docs", "/docs/page.js", "/docs/swagger-ui.js", "/docs/swagger-ui.css"];

/// Goal: a browser that types the address sees the dashboard, and everybody else the text. Method: `/` with what browsers,
/// curl and a picky client accept.
#[tokio::test]
async fn browsers_are_sent_to_the_dashboard() {
    let world = World::start().await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let mut raw = Raw::connect(world.server.address()).await;
    let answer = raw.ask(format!("GET / HTTP/1.1\r\nHost: x\r\nAccept: {browser}\r\n\r\n")).await;
    assert_eq!((answer.status, answer.header("location"), answer.header("vary")), (303, Some("dashboard"), Some("accept")));
    for accept in ["*/*", "text/plain"] {
        let answer = world.api.request(Method::GET, "/", &[("accept", accept)], None).await;
        assert_eq!((answer.status, answer.text.lines().next()), (200, Some("Sambad Unified Backend is running!")), "{accept}");
    }
    let answer = raw.ask("GET /dashboard/ HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("location")), (308, Some("../dashboard")));
    world.finish().await;
}

/// Goal: files come packed to those who can unpack them, with a tag of their own, and not again to those who have them.
/// Method: each file plain and packed, unpacked and compared; asked again with each tag.
#[tokio::test]
async fn files_are_packed_and_not_sent_twice() {
    let world = World::start().await;
    for path in PATHS.iter().chain(&DOCS) {
        let plain = world.api.get(path).await;
        let url = format!("http://{}{path}", world.server.address());
        let packed =
            reqwest::Client::new().get(url).header("accept-encoding", "br, gzip;q=0.5").send().await.expect("it answers");
        let header = |name: &str| packed.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!((header("content-encoding").as_deref(), header("vary").as_deref()), (Some("gzip"), Some("accept-encoding")));
        let tags = [plain.header("etag").expect("a tag").to_owned(), header("etag").expect("a tag")];
        assert!(tags[0] != tags[1] && tags.iter().all(|tag| tag.starts_with('"')), "strong and different: {tags:?}");
        let bytes = packed.bytes().await.expect("it ends");
        let mut unpacked = String::new();
        GzDecoder::new(&*bytes).read_to_string(&mut unpacked).expect("it is gzip");
        assert!(unpacked == plain.text && unpacked.len() > bytes.len(), "{path}");

        for (encoding, tag, status) in [
            ("identity", &tags[0], 304),
            ("gzip", &tags[1], 304),
            ("gzip;q=0", &tags[0], 304),
            ("gzip", &tags[0], 200),
            ("identity", &format!("\"other\", W/{}", tags[0]), 304),
            ("identity", &"\"other\"".to_owned(), 200),
            ("identity", &"*".to_owned(), 304),
        ] {
            let headers = [("accept-encoding", encoding), ("if-none-match", tag.as_str())];
            let answer = world.api.request(Method::GET, path, &headers, None).await;
            assert_eq!((answer.status, answer.text.is_empty()), (status, status == 304), "{path} {encoding} {tag}");
            assert_eq!(answer.header("cache-control"), Some("no-cache"));
        }
    }
    world.finish().await;
}

/// Goal: a page cannot be made to run or load anything that is not the server's own. Method: the policy on every file, and no
/// word in it that loosens it.
#[tokio::test]
async fn the_policy_lets_nothing_in() {
    let world = World::start().await;
    for path in PATHS.iter().chain(&DOCS) {
        let answer = world.api.get(path).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        // The reference's icons are part of its style sheet, which is all that may be.
        let policy = policy.replace("img-src 'self' data:", if DOCS.contains(path) { "" } else { "data:" });
        for word in ["unsafe", "http:", "https:", "data:", "*"] {
            assert!(!policy.contains(word), "{word} in {policy}");
        }
        assert_eq!(policy.contains("require-trusted-types-for 'script'"), !DOCS.contains(path), "{policy}");
        assert_eq!(
            (answer.header("x-content-type-options"), answer.header("referrer-policy")),
            (Some("nosniff"), Some("no-referrer"))
        );
        assert!(answer.header("content-type").is_some_and(|media_type| media_type.ends_with("charset=utf-8")));
    }
    world.api.get("/dashboard/nothing.js").await.refused(404, "not_found");
    world.api.get("/dashboard/../Cargo.toml").await.refused(404, "not_found");
    world.finish().await;
}
