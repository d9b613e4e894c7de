//! A copy of the database is another life of the log.

use std::process::Stdio;

use sambad_server::testing::Database;
use tokio::process::Command;

use crate::harness::process::{Process, run};
use crate::harness::{Dashboard, audit_shared, soon};

/// Goal: a copy made by PostgreSQL's own tools while a server writes is sound, and who has seen more than the copy has is told to
/// reload. Method: `pg_dump` into another database under load, then a server on that.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_sound_and_another_life() {
    let (original, copy) = tokio::join!(Database::new(), Database::new());
    let start =
        async |database: &Database| Process::start_with(&["--listen", "127.0.0.1:0", "--database", database.url()], &[]).await;
    let server = start(&original).await;
    server.api.users(20).await;
    let pipe = "pg_dump \"$1\" | psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --output /dev/null \"$2\"";
    let mut dump = Command::new("sh");
    dump.args(["-c", pipe, "sh", original.url(), copy.url()]).stdin(Stdio::null());
    let mut dump = dump.spawn().unwrap();
    let mut written = 0_u64;
    let dumped = loop {
        let phone = format!("+4420{written:08}");
        tokio::select! {
            status = dump.wait() => break status.unwrap(),
            _ = server.api.user(&phone) => written += 1,
        }
    };
    assert!(dumped.success());
    server.api.user("+442071838750").await;
    let cursor = server.api.cursor().await;

    // What docs/guides/scale-out.md has an operator run before servers start on a copy.
    let renewed = run(&["epoch", "--renew", "--database", copy.url()], &[]).await;
    assert!(renewed.status.success(), "{renewed:?}");
    let restored = start(&copy).await;
    let log = audit_shared(&restored.api).await;
    assert!((20..21 + written).contains(&(log.len() as u64)), "{} of {written} and 20", log.len());
    assert_eq!(audit_shared(&server.api).await[..log.len()], log[..], "the copy is no beginning of the log");
    let mut dashboard = Dashboard::connect(restored.address, &format!("after={cursor}")).await;
    let told = soon("resync", dashboard.frame()).await;
    assert_eq!((told["type"].as_str(), told["data"]["reason"].as_str()), (Some("resync"), Some("epoch_changed")), "{told}");
}
