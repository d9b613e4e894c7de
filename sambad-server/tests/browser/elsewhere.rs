//! A page of another origin that uses the client library of a server.

use sambad_core::Limits;
use sambad_server::ServerConfig;
use sambad_server::testing::{TestKeys, TestServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::browser::{Browser, Watched};
use crate::harness::soon;

/// Goal: `/sambad.js` loads from any origin, also into a page that takes from elsewhere only what says that it may be taken.
/// Method: a page on a port of its own, with `Cross-Origin-Embedder-Policy: require-corp`, of a server that lets no other origin
/// use its API: the library as a module with `crossorigin`, as an import, and its declarations by `fetch`.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_loads_the_library() {
    let keys = TestKeys::new();
    let config = ServerConfig { auth: keys.config(), ..ServerConfig::default() };
    let server = TestServer::start_with(config, Limits::default()).await;
    let url = server.url().to_owned();
    let page = format!(
        "<!doctype html><title>elsewhere</title><script type=module crossorigin src={url}/sambad.js \
         onload=\"document.documentElement.dataset.script='loaded'\" onerror=\"document.documentElement.dataset.script='failed'\"></script>\
         <script type=module>
         const data = document.documentElement.dataset;
         try {{ data.imported = typeof (await import('{url}/sambad.js')).connect; }} catch (error) {{ data.imported = error; }}
         try {{ data.fetched = (await fetch('{url}/sambad.d.ts')).status; }} catch (error) {{ data.fetched = error; }}
         try {{ data.refused = (await fetch('{url}/api/health')).status; }} catch {{ data.refused = 'refused'; }}
         </script>"
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncross-origin-embedder-policy: require-corp\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = listener.local_addr().unwrap();
    let pages = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let browser = Browser::start(Watched::Console).await;
    browser.client.goto(&format!("http://{elsewhere}/")).await.unwrap();
    let seen = "const done = arguments[0], look = () => {
        const data = document.documentElement.dataset;
        if (data.script && data.imported && data.fetched && data.refused) done([data.script, data.imported, data.fetched, data.refused]);
        else setTimeout(look, 10);
    };
    look();";
    let seen = soon("end of the page's scripts", browser.client.execute_async(seen, Vec::new())).await.unwrap();
    assert_eq!(seen, serde_json::json!(["loaded", "function", "200", "refused"]));
    pages.abort();
    drop(browser);
    server.stop().await;
}
