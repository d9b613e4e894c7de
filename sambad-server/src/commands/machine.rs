//! Whether this machine can carry the server: descriptors, the port, the disk and its file system.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{StatVfs, statfs, statvfs};
use rustix::process::{Resource, getrlimit};
use sambad_core::check::Finding;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::config::Cli;

/// Descriptors for everything that is no session: database, logs, requests.
const OTHER_DESCRIPTORS: u64 = 100;
/// Free space below which the next hours are in danger.
const FREE_BYTES_WARN: u64 = 1 << 30;
/// Free space below which the next minutes are.
const FREE_BYTES_FAULT: u64 = 64 << 20;
/// How long a server on the port may take to say that it is one of ours.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of its answer, at most.
const ANSWER_BYTES_MAX: u64 = 4096;

/// File systems by their magic numbers.
///
/// Source: Linux `include/uapi/linux/magic.h`, and statfs(2).
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
const NETWORK: [u64; 5] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997];

/// Examines what the server of `cli` would meet here.
pub(super) async fn examine(cli: &Cli) -> Vec<Finding> {
    let mut findings = vec![descriptors(cli.limits.sessions_max), port(cli).await];
    if let Some(folder) = cli.database_file().ok().flatten().map(folder) {
        findings.push(statvfs(&folder).map_or_else(|error| unknown("disk has space", &error.into()), space));
        findings.push(file_system(&folder));
    }
    findings
}

fn folder(database: PathBuf) -> PathBuf {
    // Where a symbolic link leads to another disk, that one is asked.
    let path = database.canonicalize().unwrap_or(database);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

fn unknown(subject: &'static str, error: &io::Error) -> Finding {
    Finding::warning(subject, format!("unknown: {error}"), "Check it by hand.")
}

/// The server raises the soft limit itself, so that the hard one counts.
fn descriptors(sessions_max: usize) -> Finding {
    let subject = "descriptors suffice";
    let needed = sessions_max as u64 + OTHER_DESCRIPTORS;
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < needed => {
            let detail = format!("{limit} allowed, {needed} needed for {sessions_max} sessions");
            let advice = "Raise the hard limit (LimitNOFILE= in a systemd unit, ulimit -Hn), or lower --sessions-max.";
            Finding::warning(subject, detail, advice)
        }
        limit => {
            Finding::fine(subject, format!("{} allowed, {needed} needed", limit.map_or("any number".into(), |n| n.to_string())))
        }
    }
}

async fn port(cli: &Cli) -> Finding {
    let subject = "port is available";
    let address = cli.listen;
    match TcpListener::bind(address).await {
        Ok(_) => Finding::fine(subject, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match is_sambad(cli).await {
            true => Finding::fine(subject, format!("a Sambad server responds at {address}")),
            false => {
                Finding::fault(subject, format!("another program listens on {address}"), "Stop it, or choose another --listen.")
            }
        },
        Err(error) => Finding::fault(subject, format!("{address}: {error}"), "Choose another --listen."),
    }
}

async fn is_sambad(cli: &Cli) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(cli.listen).await?;
        stream.write_all(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        io::Result::Ok(String::from_utf8_lossy(&answer).to_lowercase())
    };
    matches!(timeout(ANSWER_TIMEOUT, ask).await, Ok(Ok(answer)) if answer.contains(r#","database":""#))
}

fn space(system: StatVfs) -> Finding {
    let subject = "disk has space";
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let detail = format!("{} MiB free", free >> 20);
    let advice = "Free some space: on a full disk every write fails. --retain-events limits the log.";
    match free {
        ..FREE_BYTES_FAULT => Finding::fault(subject, detail, advice),
        FREE_BYTES_FAULT..FREE_BYTES_WARN => Finding::warning(subject, detail, advice),
        _ => Finding::fine(subject, detail),
    }
}

fn file_system(folder: &Path) -> Finding {
    let subject = "file system keeps data";
    let magic = match statfs(folder) {
        Ok(system) => u64::try_from(system.f_type).unwrap_or_default(),
        Err(error) => return unknown(subject, &error.into()),
    };
    if NETWORK.contains(&magic) {
        let advice = "SQLite's WAL needs a local disk: move the database to one.";
        return Finding::fault(subject, "a network file system", advice);
    }
    if IN_MEMORY.contains(&magic) {
        return Finding::warning(subject, "it is in memory", "Acknowledged writes are lost when the power fails: use a disk.");
    }
    Finding::fine(subject, "a local disk")
}
