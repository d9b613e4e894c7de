//! Servers whose log cannot be written, while their database fails them.

use std::io::PipeReader;

use futures_util::future::join_all;
use sambad_server::testing::Postgres;
use serde_json::json;

use crate::harness::process::Process;
use crate::harness::soon;
use crate::harness::stderr::DeadStderr;
use crate::lives::ENDED;

/// Servers on one database, each with another kind of dead stderr.
async fn start(database: &str) -> Vec<(DeadStderr, Process, Option<PipeReader>)> {
    let start = async |stderr: DeadStderr| {
        let (server, reader) = stderr.start(&["--listen", "127.0.0.1:0", "--database", database, "--log", "debug"]).await;
        (stderr, server, reader)
    };
    join_all(DeadStderr::ALL.map(start)).await
}

async fn login(server: &Process, number: usize) -> u16 {
    server.api.post("/api/users/login", json!({ "phone": format!("+9198765432{number:02}") })).await.status
}

/// Goal: where the log cannot be written, an outage of the store is an outage and nothing more, a drain is a drain, and a server
/// whose log was replaced ends itself all the same. Method: a server on each kind of dead stderr; PostgreSQL stopped and started,
/// SIGTERM; then again, and a standby that takes over.
#[tokio::test(flavor = "multi_thread")]
async fn servers_outlive_a_log_that_cannot_be_written() {
    let mut postgres = Postgres::start().await;
    postgres.create("sambad").await;
    let servers = start(&postgres.url("sambad")).await;
    for (number, (stderr, server, _)) in servers.iter().enumerate() {
        assert_eq!(login(server, number).await, 200, "{stderr:?}");
        server.api.get("/nowhere").await.refused(404, "not_found");
    }
    postgres.stop().await;
    for (stderr, server, _) in &servers {
        assert_eq!(login(server, 10).await, 503, "{stderr:?}");
        assert_eq!(server.api.get("/livez").await.status, 200, "{stderr:?}");
        server.api.get("/readyz").await.refused(503, "unavailable");
    }
    postgres.start_again().await;
    for (number, (_, server, _)) in servers.iter().enumerate() {
        soon("writes that work again", async { while login(server, 20 + number).await != 200 {} }).await;
    }
    for (stderr, server, _reader) in servers {
        server.terminate().await;
        assert_eq!(server.end().await.code(), Some(0), "{stderr:?}");
    }

    let servers = start(&postgres.url("sambad")).await;
    let backup = postgres.base_backup().await;
    postgres.fail_over_to(backup).await;
    for (stderr, server, _reader) in servers {
        assert_eq!(server.end().await.code(), Some(ENDED), "{stderr:?}");
    }
}
