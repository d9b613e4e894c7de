//! Tells the program which commit it was built from.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

/// What the program is built from, from the workspace's root: another file does not make another program.
const SOURCES: [&str; 15] = [
    "Cargo.lock",
    "Cargo.toml",
    "sambad-bench/Cargo.toml",
    "sambad-bench/build.rs",
    "sambad-bench/src",
    "sambad-client/Cargo.toml",
    "sambad-client/src",
    "sambad-core/Cargo.toml",
    "sambad-core/build.rs",
    "sambad-core/migrations",
    "sambad-core/src",
    "sambad-server/Cargo.toml",
    "sambad-server/src",
    "sambad-settings/Cargo.toml",
    "sambad-settings/src",
];
/// `cargo package` notes the commit in this file of the package.
const PACKAGED: &str = ".cargo_vcs_info.json";

fn main() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let package = std::env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    // A package lies in no repository of Sambad: git would report whichever repository is around it.
    if let Ok(packaged) = std::fs::read_to_string(Path::new(&package).join(PACKAGED)) {
        writeln!(stdout, "cargo::rerun-if-changed={PACKAGED}")?;
        if let Some(commit) = packaged_commit(&packaged) {
            writeln!(stdout, "cargo::rustc-env=SAMBAD_BENCH_COMMIT={commit}")?;
        }
        return Ok(());
    }
    let root = Path::new(&package).parent().unwrap_or(Path::new("."));
    let sources = SOURCES.into_iter().filter(|source| root.join(source).exists());
    // The files that make it dirty, and where the commit is noted: the branch's name, the branches, and those that
    // git has packed. A path that does not exist would have this run at every build.
    let mut watched: Vec<_> = sources.clone().map(|source| root.join(source)).collect();
    for name in ["HEAD", "refs/heads", "packed-refs"] {
        watched.extend(git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path)).filter(|path| path.exists()));
    }
    for path in watched {
        writeln!(stdout, "cargo::rerun-if-changed={}", path.display())?;
    }
    if let Some(commit) = git(root, &["rev-parse", "--short=12", "HEAD"]) {
        // Without locks: a build must not be in the way of a git that runs at the same time.
        let status: Vec<_> = ["--no-optional-locks", "status", "--porcelain", "--"].into_iter().chain(sources).collect();
        let dirty = git(root, &status).is_none_or(|status| !status.is_empty());
        writeln!(stdout, "cargo::rustc-env=SAMBAD_BENCH_COMMIT={commit}{}", if dirty { "-dirty" } else { "" })?;
    }
    Ok(())
}

/// What git answers; `None` where there is no git or no repository.
fn git(root: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The commit that [`PACKAGED`] names, as short as [`git`] has it.
fn packaged_commit(packaged: &str) -> Option<String> {
    let (_, after) = packaged.split_once("\"sha1\": \"")?;
    let dirty = if packaged.contains("\"dirty\": true") { "-dirty" } else { "" };
    Some(format!("{}{dirty}", after.get(..12)?))
}
