//! Requests that are made to have something counted.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream;
use reqwest::Method;
use sambad_server::testing::routes;

use crate::harness::scrape::Scrape;
use crate::siege::Siege;

/// Bytes of `/metrics`, at most, whatever was asked for.
const FIGURES_BYTES_MAX: usize = 160 << 10;

/// Goal: what a stranger asks for adds nothing to the figures but what the table of routes has. Method: every route, every kind
/// of file and some paths that there are not, by every method and some that there are not; the pairs of labels, and the bytes.
#[tokio::test(flavor = "multi_thread")]
async fn methods_and_paths_that_there_are_not() {
    let siege = Siege::start(&["--address-requests-per-s", "0"]).await;
    let api = &siege.server.api;
    let table = routes();
    let files = ["/dashboard", "/dashboard/", "/docs/", "/dashboard/app.js", "/sambad.js"];
    let paths = table.iter().map(|(_, path, _)| *path).chain(files).chain(["/no/such/path", "/api/users/1/2"]);
    let paths: BTreeSet<&str> = paths.collect();
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECTED", "FOO", "get", "A-1"];
    let before = api.get("/metrics").await.text.len();
    siege
        .during("invented methods", async {
            let asked = paths.iter().flat_map(|path| methods.map(|method| (*path, method)));
            // A stream of events has no end.
            let asked = asked.filter(|(path, method)| *path != "/api/events/stream" || *method != "GET");
            let ask = |(path, method): (&'static str, &'static str)| async move {
                let method = Method::from_bytes(method.as_bytes()).expect("methods are tokens");
                api.request(method, path, &[], None).await.status
            };
            let statuses: Vec<u16> = stream::iter(asked).map(ask).buffer_unordered(8).collect().await;
            assert!(statuses.iter().filter(|status| **status == 405).count() > 100, "{statuses:?}");
        })
        .await;
    let text = api.get("/metrics").await.text;
    println!("{before} bytes before, {} after", text.len());
    assert!(text.len() < FIGURES_BYTES_MAX, "{} bytes", text.len());
    let mut expected: BTreeSet<(String, String)> =
        table.iter().map(|(method, path, _)| (method.clone(), (*path).into())).collect();
    expected.extend([("GET", "files"), ("other", "none")].map(|(method, route)| (method.into(), route.into())));
    let scrape = Scrape::of(api).await;
    for name in ["sambad_requests_total", "sambad_request_seconds_count"] {
        let samples = scrape.samples.iter().filter(|sample| sample.name == name);
        let found = samples.map(|sample| (sample.labels["method"].clone(), sample.labels["route"].clone()));
        let found: BTreeSet<_> = found.collect();
        assert!(found.is_subset(&expected), "{:?}", found.difference(&expected).collect::<Vec<_>>());
    }
    siege.end().await;
}
