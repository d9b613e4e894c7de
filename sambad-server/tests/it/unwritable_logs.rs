//! A log that cannot be written costs lines of the log, and nothing else.

use std::io::{BufRead as _, BufReader, PipeReader};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::harness::process::{Process, database};
use crate::harness::scrape::Scrape;
use crate::harness::stderr::DeadStderr;
use crate::harness::{Dashboard, audit, soon};

/// Failed requests: each has a line, more of them than a pipe holds.
const FAILURES: usize = 400;
/// A path that is asked for once the log is read.
const LATER: &str = "/later";
const LOST: &str = "sambad_log_lines_lost_total";

async fn lost(server: &Process) -> f64 {
    Scrape::of(&server.api).await.value(LOST, &[])
}

/// Goal: a log that cannot be written costs lines, which are counted, and nothing else: requests that fail and succeed, sessions,
/// health, and the drain. Method: each kind of dead stderr, more failures than a pipe holds lines, a live session, SIGTERM.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_costs_lines_and_nothing_else() {
    for stderr in DeadStderr::ALL {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = database(directory.path());
        let args = ["--listen", "127.0.0.1:0", "--database", &database, "--log-requests", "all", "--log", "debug"];
        let (server, _reader) = stderr.start(&args).await;
        let mut dashboard = Dashboard::connect(server.address, "").await;
        for wave in 0..FAILURES / 100 {
            for answer in soon("answers", join_all((0..100).map(|_| server.api.get("/nowhere")))).await {
                answer.refused(404, "not_found");
            }
            server.api.user(&format!("+91987654321{wave}")).await;
            dashboard.seqs(1).await;
        }
        assert_eq!(server.api.get("/livez").await.status, 200, "{stderr:?}");
        assert_eq!(server.api.get("/readyz").await.status, 200, "{stderr:?}");
        assert_eq!(audit(&server.api).await.len(), FAILURES / 100, "{stderr:?}");
        match stderr {
            // Nothing is lost there that anybody could have read.
            DeadStderr::Closed => assert!(lost(&server).await < 1.0),
            DeadStderr::Full | DeadStderr::Abandoned => {
                soon("lost lines", async { while lost(&server).await < FAILURES as f64 {} }).await;
            }
            // They wait in memory, which has room for these few.
            DeadStderr::Unread => {}
        }
        server.terminate().await;
        soon("drain", dashboard.ended()).await;
        assert_eq!(server.end().await.code(), Some(0), "{stderr:?}");
    }
}

/// Goal: lost lines are reported once the log is read again, with their number, and the log goes on. Method: a pipe that nobody
/// reads, lines until some are lost, then a reader: the sum of what is reported.
#[tokio::test(flavor = "multi_thread")]
async fn lost_lines_are_reported_once_the_log_works_again() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = database(directory.path());
    let args = ["--listen", "127.0.0.1:0", "--database", &database, "--log-format", "json"];
    let args = [&args[..], &["--log-requests", "all", "--log", "trace"]].concat();
    let (server, reader) = DeadStderr::Unread.start(&args).await;
    let before = soon("lost lines", async {
        loop {
            join_all((0..100).map(|_| server.api.get("/nowhere"))).await;
            let lost = lost(&server).await;
            if lost > 0.0 {
                return lost;
            }
        }
    })
    .await;
    let (seen, mut sees) = mpsc::unbounded_channel();
    let reading = tokio::task::spawn_blocking(move || lines(reader.expect("it is a pipe"), &seen));
    // Its line may be lost as well, as long as there is no room.
    soon("line of a later request", async {
        while sees.try_recv().is_err() {
            server.api.get(LATER).await;
        }
    })
    .await;
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
    let lines = soon("end of the log", reading).await.expect("the log is lines of JSON");
    let reports = lines.iter().filter(|line| line["message"] == "log lines were lost");
    let reported: f64 = reports.map(|line| line["lines"].as_f64().expect("a number")).sum();
    assert!(reported >= before, "{reported} of at least {before}");
    assert_eq!(lines.last().expect("lines")["message"], "stopped", "the log goes on");
}

/// Reads a log to its end, and tells when it comes to the request that shows that it goes on.
fn lines(reader: PipeReader, seen: &mpsc::UnboundedSender<()>) -> Vec<Value> {
    let lines = BufReader::new(reader).lines().map(|line| line.expect("text")).filter(|line| !line.is_empty());
    let parse = |line: String| serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let look = |line: &Value| {
        if line["path"] == LATER {
            let _ = seen.send(());
        }
    };
    lines.map(parse).inspect(look).collect()
}
