//! A log that is trimmed, as clients see it.

use crate::harness::process::{Process, database};
use crate::harness::{Dashboard, EventSource, soon};

/// Goal: a position that was trimmed away is told so by every transport, with where to go on, and what is stored is served.
/// Method: the real binary with ten events kept and fifty written; old, new and bare positions.
#[tokio::test]
async fn an_expired_cursor_is_told_so_by_every_transport() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = database(directory.path());
    let args = ["--listen", "127.0.0.1:0", "--database", &database, "--retain-events", "10"];
    let server = Process::start_with(&args, &[]).await;
    let epoch = server.api.cursor().await.split_once('-').expect("a cursor").0.to_owned();
    server.api.users(50).await;
    soon("trimmed log", async {
        while server.api.get("/api/health").await.json()["first"] != 41 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (old, head) = (format!("{epoch}-7"), format!("{epoch}-50"));

    let gone = server.api.get(&format!("/api/events?after={old}")).await;
    gone.refused(410, "cursor_gone");
    assert_eq!((gone.json()["reason"].as_str(), gone.cursor()), (Some("cursor_expired"), head.as_str()));
    let mut dashboard = Dashboard::connect(server.address, &format!("after={old}")).await;
    let resync = dashboard.expect("resync").await;
    assert_eq!((resync["data"]["reason"].as_str(), resync["data"]["cursor"].as_str()), (Some("cursor_expired"), Some(&*head)));
    let mut source = EventSource::open(server.address, &format!("after={old}")).await;
    source.skip(1).await;
    let resync = source.message().await.expect("a message");
    assert!(resync.starts_with(&format!("id: {head}\nevent: resync\n")) && resync.contains("cursor_expired"), "{resync}");

    for after in ["0".to_owned(), format!("{epoch}-40")] {
        let mut dashboard = Dashboard::connect(server.address, &format!("after={after}")).await;
        assert_eq!(dashboard.seqs(10).await, (41..=50).collect::<Vec<_>>(), "{after}");
    }
    assert_eq!(server.api.walk("/api/users?limit=500").await.0.len(), 50, "rows are untouched");
}
