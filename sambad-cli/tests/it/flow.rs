//! `flow`, which QA scripts rely on.

use sambad_server::testing::TestServer;

use crate::harness::{contact, run};

/// Goal: a good server passes, also one in use. Method: twice on the same database; then as JSON.
#[tokio::test]
async fn a_good_server_passes() {
    let server = TestServer::start().await;
    contact(server.url()).await;
    for _ in 0..2 {
        let told = run(server.url(), &["flow"]).await.ok();
        assert_eq!(told.lines().filter(|line| line.starts_with("ok  ")).count(), 12, "{told}");
        assert!(told.contains("all 12 steps passed in "), "{told}");
    }
    let json = run(server.url(), &["flow", "--json"]).await.ok();
    assert_eq!(json.lines().count(), 12);
    assert!(json.starts_with(r#"{"step":1,"what":"the server is healthy","ok":true,"ms":"#), "{json}");
}

/// Goal: the first step that fails is named, and the exit code is 1. Method: nothing listens.
#[tokio::test]
async fn a_bad_server_fails() {
    let server = TestServer::start().await;
    let url = server.url().to_owned();
    server.stop().await;
    let ran = run(&url, &["flow"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.starts_with("FAIL  1  the server is healthy") && ran.stdout.lines().count() == 1, "{ran:?}");
    assert!(ran.stderr.contains(&format!("error: step 1, the server is healthy: cannot connect to {url}")), "{ran:?}");
}
