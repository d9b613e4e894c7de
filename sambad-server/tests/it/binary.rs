//! The binary as people run it: what it prints, how it ends, its flags and their environment twins.

use std::path::Path;

use serde_json::json;

use crate::harness::process::{Process, database, run};
use crate::harness::{Dashboard, Ended, audit, soon};

/// Goal: scripts learn where server and database are, those of the first backend included. Method: all lines, word by word.
#[tokio::test]
async fn it_says_where_it_listens() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Process::start(directory.path()).await;
    let file = directory.path().join("sambad.db");
    let expected = [
        format!("Database: {}", file.display()),
        format!("Sambad unified backend listening on http://{}", server.address),
        format!("✅ Unified backend listening on port {}", server.address.port()),
    ];
    assert_eq!(server.printed, expected);
    assert!(file.exists());
    server.api.get("/").await;
}

/// Goal: two servers never share a file. Method: a second one, which must say why it ends; then the first goes on.
#[tokio::test]
async fn a_second_server_on_the_file_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Process::start(directory.path()).await;
    let output = run(&["--listen", "127.0.0.1:0", "--database", &database(directory.path()), "--log", "off"], &[]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
    let path = directory.path().join("sambad.db");
    let expected = format!(
        "error: cannot start: database {} is in use by another server: stop it, or choose another file\n",
        path.display()
    );
    assert_eq!(told, expected);
    server.api.user("+919876543210").await;
}

/// Goal: what cannot work is refused at start, with the reason and the contract's exit code. Method: a table.
#[tokio::test]
async fn bad_settings_are_refused_at_start() {
    let server = Process::start(tempfile::tempdir().expect("a temporary directory").path()).await;
    let taken = server.address.to_string();
    let memory = ["--listen", "127.0.0.1:0", "--database", "sqlite::memory:"];
    let foreign = ["--listen", "127.0.0.1:0", "--database", "mysql://localhost/x"];
    let nowhere = ["--listen", "127.0.0.1:0", "--database", "sqlite:/nonexistent/sambad.db"];
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = format!("sqlite:{}", directory.path().join("sambad.db").display());
    let no_keys = ["--listen", "127.0.0.1:0", "--database", &database, "--auth", "token", "--auth-key", "/nonexistent/keys.json"];
    for (args, code, told) in [
        (&["--nonsense"][..], 2, "--nonsense"),
        (&["--listen", "nowhere"], 2, "--listen"),
        (&["--default-country-code", "India"], 2, "--default-country-code"),
        (&["--sessions-max", "0"], 2, "--sessions-max"),
        (&["--log-format", "xml"], 2, "--log-format"),
        (&["--log", "a=b=c"], 1, "log filter"),
        (&["--listen", &taken], 1, &taken),
        (&memory, 1, "database"),
        (&foreign, 1, "database"),
        (&nowhere, 1, "/nonexistent/sambad.db"),
        (&no_keys, 1, "/nonexistent/keys.json"),
    ] {
        let output = run(args, &[]).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains("error: ") && stderr.contains(told), "{args:?}: {stderr}");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(!stdout.contains("listening"), "{args:?}: {stdout}");
    }
}

/// Goal: SIGTERM ends the server cleanly and within 10 s. Method: sessions and an idle connection open; exit code, close frame.
#[tokio::test]
async fn sigterm_drains_and_exits_0() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let server = Process::start(directory.path()).await;
    server.api.users(3).await;
    let mut dashboard = Dashboard::connect(server.address, "").await;
    let idle = tokio::net::TcpStream::connect(server.address).await.expect("the server accepts");
    let begun = std::time::Instant::now();
    server.terminate().await;
    let Ended::Closed(4000, reason) = dashboard.ended().await else { panic!("expected a drain") };
    assert!(reason.starts_with("drain reconnect_after_ms="), "{reason}");
    assert_eq!(server.end().await.code(), Some(0));
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    drop(idle);
    let server = Process::start(directory.path()).await;
    assert_eq!(audit(&server.api).await.len(), 3);
}

/// Goal: who is in a hurry can end a drain, and loses nothing that was acknowledged. Method: a drain announced for a minute, a
/// write meanwhile, a second SIGTERM; the exit code, and the write after a restart.
#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let args = ["--listen", "127.0.0.1:0", "--drain-delay", "60s", "--database", &database(directory.path())];
    let server = Process::start_with(&args, &[]).await;
    let begun = std::time::Instant::now();
    server.terminate().await;
    soon("readiness to fail", async { while server.api.get("/readyz").await.status == 200 {} }).await;
    server.api.users(3).await;
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(1));
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    assert_eq!(audit(&Process::start(directory.path()).await.api).await.len(), 3);
}

/// Goal: every flag has an environment twin, and the flag wins. Method: a country code and a bound, from each side.
#[tokio::test]
async fn flags_have_environment_twins() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let env = [
        ("SAMBAD_LISTEN", "127.0.0.1:0"),
        ("SAMBAD_DATABASE", &database(directory.path())),
        ("SAMBAD_DEFAULT_COUNTRY_CODE", "+1"),
        ("SAMBAD_SESSIONS_MAX", "1"),
        ("SAMBAD_HEARTBEAT_S", "7"),
        ("SAMBAD_LOG", "off"),
        ("SAMBAD_LOG_FORMAT", "json"),
        ("SAMBAD_TAIL_BYTES_MAX", "1000"),
        ("SAMBAD_QUEUE_COMMANDS_MAX", "10"),
        ("SAMBAD_BATCH_COMMANDS_MAX", "5"),
    ];
    for (args, phone) in [(&[][..], "+15551234567"), (&["--default-country-code", "44"], "+445551234567")] {
        let server = Process::start_with(args, &env).await;
        let login = server.api.post("/api/users/login", json!({ "mobileNumber": "5551234567" })).await;
        assert_eq!(login.text_at("phone"), phone);
        let dashboard = Dashboard::connect(server.address, "").await;
        assert!(dashboard.connected.contains(r#""heartbeat_s":7}"#), "{}", dashboard.connected);
        assert!(Dashboard::try_connect(server.address, "").await.is_err(), "the second session is one too many");
        server.terminate().await;
        assert_eq!(server.end().await.code(), Some(0));
    }
    let output = run(&[], &[("SAMBAD_SESSIONS_MAX", "many")]).await;
    assert_eq!(output.status.code(), Some(2));
}

/// Goal: what `--help` says is changed on purpose only. Method: a snapshot; SAMBAD_UPDATE_SNAPSHOTS=1 writes it anew.
#[tokio::test]
async fn help_is_the_snapshot() {
    let output = run(&["--help"], &[]).await;
    let help = String::from_utf8(output.stdout).expect("help is text");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/help.txt");
    if std::env::var_os("SAMBAD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &help).expect("the snapshot can be written");
    }
    let snapshot = std::fs::read_to_string(&path).expect("the snapshot can be read");
    assert!(help == snapshot, "--help differs from {}:\n{help}", path.display());
}
