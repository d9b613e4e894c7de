//! What holds messages, hashes or keys is for its owner alone: files, whatever the umask says, and the memory of a crash.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::harness::process::{Process, database, run};
use crate::harness::soon;
use crate::harness::tls::Certificate;

/// The modes of the files in a folder.
fn modes(folder: &Path) -> BTreeMap<String, u32> {
    let entries = fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("entries can be read"));
    let files = entries.filter(|entry| entry.file_type().expect("it has a type").is_file());
    files
        .map(|file| {
            let mode = file.metadata().expect("it is there").permissions().mode() & 0o777;
            (file.file_name().to_string_lossy().into_owned(), mode)
        })
        .collect()
}

#[track_caller]
fn are_private(folder: &Path, names: &[&str]) {
    let modes = modes(folder);
    assert!(names.iter().all(|name| modes.contains_key(*name)), "{names:?}: {modes:?}");
    assert!(modes.values().all(|mode| *mode == 0o600), "{modes:?}");
}

/// Goal: no umask opens or closes a file. Method: a server under three umasks, with a backup and a copy made of that meanwhile; every
/// file in the folders.
#[tokio::test]
async fn files_are_for_their_owner_alone() {
    for umask in ["000", "022", "077", "777"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (data, logs) = (directory.path().join("data"), directory.path().join("log"));
        fs::create_dir(&data).expect("the folder can be made");
        let line = format!("umask {umask}");
        let server = Process::start_after(&line, &data, &[], &logs).await;
        server.api.user("+919876543210").await;
        are_private(&data, &["sambad.db", "sambad.db-wal", "sambad.db-shm", "sambad.db.lock"]);
        let (source, copy) = (database(&data), data.join("copy.db"));
        let target = format!("sqlite:{}", data.join("restored.db").display());
        let copy = copy.to_str().expect("the path is text");
        for args in [&["backup", copy, "--database", &source][..], &["restore", copy, "--database", &target]] {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &format!("{line}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_sambad-server")]).args(args);
            let output = soon("end of the command", command.stdout(Stdio::piped()).output()).await.expect("it runs");
            assert!(output.status.success(), "{output:?}");
        }
        are_private(&data, &["copy.db", "restored.db", "restored.db.lock"]);
        server.terminate().await;
        assert_eq!(server.end().await.code(), Some(0));
    }
}

/// Goal: the files of an older version are changed at start, and the log says so. Method: a database and what a crash leaves beside
/// it, open to all; a second start, which has nothing to say.
#[tokio::test]
async fn older_files_are_changed_at_start() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    fs::create_dir(&data).expect("the folder can be made");
    let mut server = Process::start_after("true", &data, &[], &log).await;
    server.api.user("+919876543210").await;
    server.signal("KILL").await;
    soon("end of the process", server.ends()).await;
    for name in ["sambad.db", "sambad.db-wal", "sambad.db-shm", "sambad.db.lock"] {
        fs::set_permissions(data.join(name), Permissions::from_mode(0o644)).expect("the mode can be changed");
    }
    for said in [true, false] {
        let server = Process::start_after("true", &data, &[], &log).await;
        server.api.user("+919876543211").await;
        are_private(&data, &["sambad.db", "sambad.db-wal"]);
        server.terminate().await;
        assert_eq!(server.end().await.code(), Some(0));
        let log = fs::read_to_string(&log).expect("the log can be read");
        assert_eq!(log.contains("others could read a file of the database"), said, "{log}");
    }
}

/// Goal: a backup whose name looks like a URL of SQLite is a file of that name. Method: one, in the folder where it is made.
#[tokio::test]
async fn a_backup_has_the_name_that_was_given() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database = database(directory.path());
    assert!(run(&["migrate", "--database", &database], &[]).await.status.success());
    let output = crate::harness::process::run_in(directory.path(), &["backup", "file:x.db", "--database", &database], &[]).await;
    assert!(output.status.success(), "{output:?}");
    are_private(directory.path(), &["file:x.db"]);
}

/// Goal: a key of TLS that others may read is told of and used. Method: modes that Kubernetes, Debian and a careful operator give.
#[tokio::test]
async fn a_shared_key_is_told_of() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = Certificate::new();
    let (cert, key) = certificate.write(directory.path());
    let args = ["--tls-cert", cert.to_str().expect("text"), "--tls-key", key.to_str().expect("text")];
    for (mode, told) in [(0o644, true), (0o640, true), (0o600, false), (0o400, false)] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).expect("the mode can be changed");
        let log = directory.path().join("log");
        let server = Process::start_after("true", directory.path(), &args, &log).await;
        server.terminate().await;
        assert_eq!(server.end().await.code(), Some(0));
        let log = fs::read_to_string(&log).expect("the log can be read");
        assert_eq!(log.contains("others than its owner may use the key"), told, "{mode:o}: {log}");
    }
}

/// Goal: a crash writes no memory to disk, unless an operator wants it. Method: SIGABRT to servers that may dump as much as they like,
/// where this system dumps at all.
#[tokio::test]
async fn a_crash_dumps_no_memory() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let mut dumped = Vec::new();
    for args in [&[][..], &["--allow-core-dumps"]] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = directory.path().join("log");
        let mut server = Process::start_after("ulimit -c unlimited", directory.path(), args, &log).await;
        server.signal("ABRT").await;
        dumped.push(soon("end of the process", server.ends()).await.core_dumped());
    }
    assert!(!dumped[0], "{pattern}");
    // Elsewhere dumps may be forbidden altogether.
    if pattern.trim() == "core" {
        assert!(dumped[1], "the dump that is allowed is not there: the test would not notice one that is not");
    }
}
