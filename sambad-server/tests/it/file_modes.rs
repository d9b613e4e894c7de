//! What holds messages, hashes or keys is for its owner alone: files, whatever the umask says, and the memory of a crash.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::harness::process::{Process, database, run, run_with_stdin};
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
        assert_eq!(log.contains("other users could read a file of the database"), said, "{log}");
    }
}

/// Goal: commands change the files of an older version as a start does, and leave none beside them that others can read; a backup that
/// is read, and a database of another program, stay as they are. Method: a database open to all, after a crash, for each command.
#[tokio::test]
async fn commands_change_older_files() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let crashed = directory.path().join("crashed");
    fs::create_dir(&crashed).expect("the folder can be made");
    let mut server = Process::start_after("true", &crashed, &[], &directory.path().join("log")).await;
    server.api.user("+919876543210").await;
    server.signal("KILL").await;
    soon("end of the process", server.ends()).await;
    let backup = directory.path().join("backup.db").display().to_string();
    let target = format!("sqlite:{}", directory.path().join("y.db").display());
    for (number, args) in [
        &["admin", "add", "a@example.com"][..],
        &["admin", "list"],
        &["backup", &backup],
        &["check"],
        &["check", "--repair"],
        &["epoch"],
        &["epoch", "--renew"],
        &["token", "revoke", "0123456789abcdef0123456789abcdef"],
        &["migrate"],
        &["copy", "--from", "", "--to", "postgres://127.0.0.1:1/x"],
    ]
    .into_iter()
    .enumerate()
    {
        let folder = directory.path().join(number.to_string());
        fs::create_dir(&folder).expect("the folder can be made");
        for (name, _) in modes(&crashed) {
            fs::copy(crashed.join(&name), folder.join(&name)).expect("it can be copied");
            fs::set_permissions(folder.join(&name), Permissions::from_mode(0o644)).expect("the mode can be changed");
        }
        let name = database(&folder);
        let args = match args {
            ["copy", from, _, rest @ ..] => [&["copy", *from, &name][..], rest].concat(),
            args => [args, &["--database", &name]].concat(),
        };
        let output = run_with_stdin(&args, "a long enough password\n").await;
        // Nothing listens where the copy is to go, which is found out when the source is open.
        assert_eq!(output.status.success(), args[0] != "copy", "{args:?}: {output:?}");
        let left = modes(&folder);
        assert!(left.contains_key("sambad.db") && left.values().all(|mode| *mode == 0o600), "{args:?}: {left:?}");
    }
    fs::set_permissions(&backup, Permissions::from_mode(0o640)).expect("the mode can be changed");
    assert!(run(&["restore", &backup, "--database", &target], &[]).await.status.success());
    assert_eq!(fs::metadata(&backup).expect("it is there").permissions().mode() & 0o777, 0o640, "a backup may be handed on");
    let foreign = directory.path().join("foreign.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&foreign).create_if_missing(true);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.expect("it opens");
    sqlx::query("create table t (a)").execute(&mut connection).await.expect("it can be written");
    sqlx::Connection::close(connection).await.expect("it closes");
    fs::set_permissions(&foreign, Permissions::from_mode(0o644)).expect("the mode can be changed");
    let name = format!("sqlite:{}", foreign.display());
    assert!(!run(&["epoch", "--renew", "--database", &name], &[]).await.status.success());
    assert_eq!(fs::metadata(&foreign).expect("it is there").permissions().mode() & 0o777, 0o644, "it is not ours");
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
        assert_eq!(log.contains("other users can read the key"), told, "{mode:o}: {log}");
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
