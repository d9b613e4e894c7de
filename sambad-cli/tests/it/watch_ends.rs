//! `watch`: when it ends, how, and what it remembers.

use sambad_core::Limits;
use sambad_server::{config::ServerConfig, testing::TestServer};

use crate::faulty::Faulty;
use crate::harness::{ASHA, RAVI, SOON, Watch, contact, run, user};

/// Goal: each limit ends the watch with success. Method: count, time and idle time.
#[tokio::test]
async fn limits_end_it() {
    let server = TestServer::start().await;
    contact(server.url()).await;
    for (args, lines) in
        [(&["-n", "2"][..], 2), (&["--for", "2s"], 3), (&["--idle", "1s"], 3), (&["-n", "3", "--for", "1h", "--idle", "1h"], 3)]
    {
        let ran = run(server.url(), &[&["watch", "--after", "0"], args].concat()).await;
        assert_eq!(ran.ok().lines().count(), lines, "{args:?}");
    }
}

/// Goal: Ctrl-C and SIGTERM end it with success, and what was shown is remembered. Method: signals to a live watch.
#[cfg(unix)]
#[tokio::test]
async fn signals_end_it() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    for (index, signal) in ["-INT", "-TERM"].into_iter().enumerate() {
        let file = directory.path().join(signal);
        let mut watch = Watch::start(server.url(), &["--resume", file.to_str().unwrap()]).await;
        user(server.url(), &format!("+91987654321{index}")).await;
        watch.line().await;
        watch.signal(signal);
        assert_eq!(watch.end().await.code, 0, "{signal}");
        let cursor = std::fs::read_to_string(&file).unwrap();
        assert!(cursor.ends_with(&format!("-{}\n", index + 1)), "{signal}: {cursor}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "no temporary file is left");
}

/// Goal: when the reader of stdout goes, the watch goes too, content. Method: close the pipe, then cause an event.
#[tokio::test]
async fn a_closed_pipe_is_success() {
    let server = TestServer::start().await;
    let watch = Watch::start(server.url(), &[]).await.close_stdout();
    user(server.url(), ASHA).await;
    assert_eq!(watch.end().await, (0, String::new()));
}

/// Waits until a watch has written down where it begins: a moment after it says that it is live.
async fn exists(file: &std::path::Path) {
    let there = async {
        while !file.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, there).await.expect("where it begins is kept");
}

/// Goal: an event that nobody got is not remembered as shown. Method: closed pipe, then the file.
#[tokio::test]
async fn what_was_not_shown_comes_again() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cursor");
    let resume = ["--resume", file.to_str().unwrap(), "--format", "{seq}", "--idle", "1s"];
    let watch = Watch::start(server.url(), &resume[..4]).await.close_stdout();
    exists(&file).await;
    user(server.url(), ASHA).await;
    watch.end().await;
    assert_eq!(run(server.url(), &[&["watch"], &resume[..]].concat()).await.ok(), "1\n");
}

/// Goal: `--resume` misses nothing across stops and a restart of the server. Method: stop, write, restart, write, go on.
#[tokio::test]
async fn resumes_across_a_restart() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cursor");
    let args = ["watch", "--resume", file.to_str().unwrap(), "--format", "{seq}", "--idle", "1s", "--verify"];
    assert_eq!(run(server.url(), &args).await.ok(), "");
    user(server.url(), ASHA).await;
    let database = server.stop().await;
    let server = TestServer::start_in(database, ServerConfig::default(), Limits::default()).await;
    user(server.url(), RAVI).await;
    assert_eq!(run(server.url(), &args).await.ok(), "1\n2\n");
    assert_eq!(run(server.url(), &args).await.ok(), "");
}

/// Goal: a watch that was killed repeats at most the last events. Method: SIGKILL after a line, then go on.
#[tokio::test]
async fn survives_being_killed() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cursor");
    let args = ["--resume", file.to_str().unwrap(), "--format", "{seq}"];
    let mut watch = Watch::start(server.url(), &args).await;
    exists(&file).await;
    user(server.url(), ASHA).await;
    assert_eq!(watch.line().await, "1");
    watch.kill().await;
    user(server.url(), RAVI).await;
    let shown = run(server.url(), &[&["watch", "--idle", "1s"], &args[..]].concat()).await.ok();
    assert!(["1\n2\n", "2\n"].contains(&shown.as_str()), "{shown:?}");
}

/// Goal: a file that holds something else is not overwritten. Method: somebody's notes.
#[tokio::test]
async fn refuses_a_foreign_resume_file() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("notes");
    std::fs::write(&file, "buy milk\n").unwrap();
    run(server.url(), &["watch", "--resume", file.to_str().unwrap()]).await.failed(1, "does not contain a cursor");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "buy milk\n");
    let nowhere = directory.path().join("none/cursor");
    let ran = run(server.url(), &["watch", "--resume", nowhere.to_str().unwrap()]).await;
    ran.failed(1, "none/cursor");
}

/// Goal: expectations decide. Method: some that are met, in any order, and some that are not.
#[tokio::test]
async fn expectations() {
    let server = TestServer::start().await;
    contact(server.url()).await;
    let who = format!("type=contact_added,data.user_username={ASHA}");
    let met = ["watch", "--after", "0", "--for", "1h", "--format", "{seq}", "--expect", &who, "--expect", "type=user_created"];
    assert_eq!(run(server.url(), &met).await.ok(), "1\n2\n3\n");
    for ending in [&["--for", "2s"][..], &["--idle", "1s"], &["-n", "3"]] {
        let unmet = ["watch", "--after", "0", "--expect", "type=user_created", "--expect", "type=message_sent"];
        let ran = run(server.url(), &[&unmet, ending].concat()).await;
        assert_eq!((ran.code, ran.stdout.lines().count()), (1, 3), "{ending:?}: {ran:?}");
        assert!(ran.stderr.contains("no match in 3 events: type=message_sent\n"), "{ran:?}");
        assert!(!ran.stderr.contains("type=user_created"), "{ran:?}");
    }
}

/// Goal: a session that an admin closes ends the command, by each transport, with the exit code of those who are not let in. Method: the
/// first session that a real server lists.
#[tokio::test]
async fn an_admin_ends_it() {
    for transport in ["ws", "sse", "poll"] {
        let server = TestServer::start().await;
        let sessions = format!("{}/api/admin/sessions", server.url());
        let close = async {
            let http = reqwest::Client::new();
            loop {
                let listed = http.get(&sessions).send().await.unwrap().bytes().await.unwrap();
                let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
                let Some(id) = listed["sessions"][0]["session"].as_str() else { continue };
                if http.delete(format!("{sessions}/{id}")).send().await.unwrap().status() == 200 {
                    return;
                }
            }
        };
        let args = ["watch", "--transport", transport];
        let (ran, ()) = tokio::join!(run(server.url(), &args), close);
        assert!(ran.code == 4 && ran.stderr.contains("forbidden"), "{transport}: {ran:?}");
        assert!(!ran.stderr.contains("disconnected"), "{transport}: {ran:?}");
    }
}

/// Goal: the close codes of the server show in the exit code. Method: one that ends, one that forbids, one that drains.
#[tokio::test]
async fn the_server_ends_it() {
    for (code, reason, exit, told) in [
        (1000, "done", 0, "the server closed the stream"),
        (4500, "bad_frames", 1, "error: closed by the server: 4500 bad_frames"),
    ] {
        let server = Faulty::start().await;
        let script = async { server.accept("0000000a-5").await.close(code, reason).await };
        let ((), ran) = tokio::join!(script, run(&server.url, &["watch"]));
        assert!(ran.code == exit && ran.stderr.contains(told), "{ran:?}");
    }
    let server = Faulty::start().await;
    let script = async {
        server.accept("0000000a-5").await.close(4000, "drain reconnect_after_ms=0").await;
        let mut peer = server.accept("0000000a-5").await;
        peer.event(6).await;
        peer.close(1000, "done").await;
    };
    let ((), ran) = tokio::join!(script, run(&server.url, &["watch", "--format", "{seq}"]));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "6\n"), "{ran:?}");
    assert!(ran.stderr.contains("disconnected: closed by the server: 4000 drain"), "{ran:?}");
}
