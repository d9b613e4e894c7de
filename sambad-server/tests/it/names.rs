//! One database file by several names: links, folders, mounts, and a move while a server runs.

use std::fs::{hard_link, remove_file, rename};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::process::{Process, run, run_in};
use crate::harness::{audit, soon};

const BINARY: &str = env!("CARGO_BIN_EXE_sambad-server");

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

async fn serve(path: &Path) -> Process {
    Process::start_with(&["--listen", "127.0.0.1:0", "--database", &url(path)], &[]).await
}

async fn stop(server: Process) {
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
}

/// Runs a command that must fail, and gives what it says.
async fn refused(directory: &Path, args: &[&str]) -> String {
    let output = run_in(directory, args, &[]).await;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
    stderr
}

/// A folder with `real/sambad.db`, which is not there yet, and links to it.
fn named() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path();
    std::fs::create_dir(root.join("real")).expect("a folder");
    symlink("real/sambad.db", root.join("link.db")).expect("a link");
    symlink(root.join("link.db"), root.join("twice.db")).expect("a link");
    symlink("real", root.join("folder")).expect("a link");
    directory
}

/// Goal: a second server is refused by whatever path it calls the file, and the first goes on. Method: a server through a link whose
/// file is not there yet; then others through that link, a link to it, a link to the folder, dots and a relative path; writes.
#[tokio::test]
async fn a_second_server_is_refused_by_any_path() {
    let directory = named();
    let root = directory.path();
    let server = serve(&root.join("link.db")).await;
    assert!(root.join("real/sambad.db").is_file() && root.join("real/sambad.db.lock").is_file(), "all is beside the file");
    server.api.users(2).await;
    let absolute = url(&root.join("real/sambad.db"));
    let names = ["sqlite:link.db", "sqlite:twice.db", "sqlite:folder/sambad.db", "sqlite:real/../folder/./sambad.db"];
    for name in names.into_iter().chain(["sqlite:real/sambad.db", &*absolute]) {
        for command in [&["--listen", "127.0.0.1:0"][..], &["migrate"], &["epoch", "--renew"]] {
            let said = refused(root, &[command, &["--database", name]].concat()).await;
            assert!(said.contains("is in use by another server"), "{name} {command:?}: {said}");
            assert!(said.contains(name.trim_start_matches("sqlite:")), "{name} is called as it was: {said}");
        }
    }
    server.api.user("+919999999999").await;
    assert_eq!(audit(&server.api).await.len(), 3);
    stop(server).await;
    assert!(!root.join("link.db-wal").exists() && !root.join("link.db.lock").exists());
}

/// Goal: what a killed server acknowledged is served by whatever path the next one calls the file. Method: written through a link,
/// SIGKILL, read through the file itself, and the other way round; checked and saved through the other name meanwhile.
#[tokio::test]
async fn the_log_of_a_killed_server_is_found_by_any_path() {
    let directory = named();
    let root = directory.path();
    let names = ["twice.db", "real/sambad.db", "folder/sambad.db"].map(|name| root.join(name));
    for (n, name) in names.iter().enumerate() {
        let mut server = serve(name).await;
        assert_eq!(server.api.whole_log().await.len(), 2 * n, "{}", name.display());
        for user in 0..2 {
            server.api.user(&format!("+9190000000{n}{user}")).await;
        }
        let (other, copy) = (url(&names[(n + 1) % 3]), root.join(format!("copy-{n}.db")));
        let copied = run(&["backup", copy.to_str().unwrap(), "--database", &other], &[]).await;
        let said = String::from_utf8_lossy(&copied.stdout).into_owned();
        assert!(copied.status.success() && said.contains(&format!("-{}\n", 2 * n + 2)), "{said}: {copied:?}");
        let checked = run(&["check", "--listen", "127.0.0.1:0", "--database", &other], &[]).await;
        assert!(checked.status.success(), "{checked:?}");
        server.child.kill().await.expect("it runs");
    }
}

/// Goal: a file with two names is refused by whichever is used, also by a name that it is given while a server runs, which goes on.
/// Method: a hard link beside a running server; every command by the new name; a restart, before and after the link is gone.
#[tokio::test]
async fn a_file_with_two_names_is_refused() {
    let directory = named();
    let root = directory.path();
    let server = serve(&root.join("real/sambad.db")).await;
    server.api.users(2).await;
    hard_link(root.join("real/sambad.db"), root.join("other.db")).expect("a link");
    symlink("other.db", root.join("to-other.db")).expect("a link");
    let commands: [&[&str]; 9] = [
        &["--listen", "127.0.0.1:0"],
        &["check", "--listen", "127.0.0.1:0"],
        &["check", "--repair", "--listen", "127.0.0.1:0"],
        &["backup", "copy.db"],
        &["migrate"],
        &["migrate", "--check"],
        &["admin", "list"],
        &["epoch"],
        &["epoch", "--renew"],
    ];
    for name in ["sqlite:other.db", "sqlite:to-other.db", "sqlite:real/sambad.db"] {
        for command in commands {
            let said = refused(root, &[command, &["--database", name]].concat()).await;
            assert!(said.contains("has 2 names (hard links)"), "{command:?} by {name}: {said}");
        }
    }
    let said = refused(root, &["copy", "--from", "sqlite:other.db", "--to", "postgres://nobody@127.0.0.1:1/nothing"]).await;
    assert!(said.contains("has 2 names (hard links)"), "{said}");
    let said = refused(root, &["restore", "other.db", "--database", "sqlite:restored.db"]).await;
    assert!(said.contains("is not a backup and has several names"), "{said}");
    assert!(!root.join("other.db-wal").exists() && !root.join("copy.db").exists() && !root.join("restored.db").exists());
    server.api.user("+919999999999").await;
    assert_eq!(audit(&server.api).await.len(), 3);
    stop(server).await;
    let said = refused(root, &["--listen", "127.0.0.1:0", "--database", "sqlite:real/sambad.db"]).await;
    assert!(said.contains("has 2 names (hard links)"), "{said}");
    remove_file(root.join("other.db")).expect("the link goes");
    let server = serve(&root.join("real/sambad.db")).await;
    assert_eq!(audit(&server.api).await.len(), 3);
    stop(server).await;
}

/// Goal: a file that was moved, or lost its old name, while a server runs is not served by a second one. Method: `mv`, and a link
/// whose original is removed; the second server and commands by the new name; moved back, the first goes on.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_was_moved_in_use_is_refused() {
    let directory = named();
    let root = directory.path();
    let (old, new) = (root.join("real/sambad.db"), root.join("moved.db"));
    let server = serve(&old).await;
    server.api.users(2).await;
    rename(&old, &new).expect("it can be moved");
    let commands: [&[&str]; 7] = [
        &["--listen", "127.0.0.1:0"],
        &["check", "--listen", "127.0.0.1:0"],
        &["check", "--repair", "--listen", "127.0.0.1:0"],
        &["backup", "copy.db"],
        &["migrate"],
        &["epoch", "--renew"],
        &["admin", "remove", "a@example.com"],
    ];
    // Each waits a moment for a process that is closing the file.
    let at_once = commands.map(async |command| refused(root, &[command, &["--database", "sqlite:moved.db"]].concat()).await);
    for said in join_all(at_once).await {
        assert!(said.contains("is open under another name in process "), "{said}");
    }
    assert!(!root.join("moved.db-wal").exists(), "the second server wrote");
    hard_link(&new, &old).expect("a link");
    remove_file(&new).expect("the link goes");
    server.api.user("+919999999999").await;
    assert_eq!(audit(&server.api).await.len(), 3);
    stop(server).await;
    let server = serve(&old).await;
    assert_eq!(audit(&server.api).await.len(), 3);
    stop(server).await;
}

/// Goal: a file that is mounted alone is refused: its log would lie in another folder, which a container loses. Method: a mount of the
/// file in a namespace of its own; a mount of the folder is served, and the lock in it seen through the other path.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_is_mounted_alone_is_refused() {
    let directory = named();
    let root = directory.path();
    let server = serve(&root.join("real/sambad.db")).await;
    server.api.users(2).await;
    std::fs::create_dir(root.join("mounted")).expect("a folder");
    std::fs::write(root.join("alone.db"), "").expect("a file");
    let mounted = [("real/sambad.db", "alone.db", "alone.db"), ("real", "mounted", "mounted/sambad.db")];
    for ((from, to, name), says) in mounted.into_iter().zip(["is mounted without its folder", "is in use by another server"]) {
        let script = "mount --bind \"$1\" \"$2\" || exit 77; exec \"$0\" --listen 127.0.0.1:0 --database \"sqlite:$3\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, BINARY, from, to, name]);
        command.current_dir(root).env_remove("SAMBAD_DATABASE").kill_on_drop(true);
        let output = soon("end of the second server", command.output()).await.expect("unshare runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Where a kernel lets nobody mount, as in most containers, the rest is the same without it.
        if output.status.code() == Some(77) || said.contains("unshare failed") {
            println!("SKIPPED: nothing can be mounted here: {said}");
            continue;
        }
        assert!(output.status.code() == Some(1) && said.contains(says), "{name}: {said}");
    }
    stop(server).await;
}

/// Goal: a database is restored to where a link leads, and from a backup that a rotation gave a second name; nothing that is there is
/// replaced. Method: a backup with a hard link, restored through a link to a file that is not there, then to one that is; a copy
/// that was cut short after it got its name.
#[tokio::test]
async fn backups_and_links() {
    let directory = named();
    let root = directory.path();
    let server = serve(&root.join("first.db")).await;
    server.api.users(2).await;
    let first = url(&root.join("first.db"));
    let backup = async |to| run_in(root, &["backup", to, "--database", &first], &[]).await;
    assert!(backup("copy.db").await.status.success());
    symlink("nothing.db", root.join("dangling.db")).expect("a link");
    for taken in ["copy.db", "dangling.db", "first.db", "link.db/../first.db"] {
        assert!(!backup(taken).await.status.success(), "{taken} was replaced");
    }
    assert!(!root.join("nothing.db").exists());
    stop(server).await;

    hard_link(root.join("copy.db"), root.join("daily.db")).expect("a link");
    let restored = run_in(root, &["restore", "daily.db", "--database", "sqlite:twice.db"], &[]).await;
    assert!(restored.status.success(), "{restored:?}");
    assert!(root.join("real/sambad.db").is_file() && root.join("twice.db").is_symlink() && root.join("link.db").is_symlink());
    let said = refused(root, &["restore", "daily.db", "--database", "sqlite:link.db"]).await;
    assert!(said.contains("exists: move it away"), "{said}");

    hard_link(root.join("real/sambad.db"), root.join("real/sambad.db.partial")).expect("a link");
    let server = serve(&root.join("link.db")).await;
    assert_eq!(audit(&server.api).await.len(), 2);
    stop(server).await;
    let file = root.join("real/sambad.db").metadata().expect("it is there");
    assert!(file.nlink() == 1 && !root.join("real/sambad.db.partial").exists());
}
