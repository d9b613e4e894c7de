//! A PostgreSQL that is as durable as one in production.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use super::{Account, Place, Program, Service, as_account, path_folders};

/// Connections of each server and of all servers together stay below.
const POSTGRES_CONNECTIONS: u32 = 300;

impl Service {
    /// A PostgreSQL whose commits are on disk before they are answered, with an empty database.
    ///
    /// # Errors
    /// When there is none to start, or it does not start.
    pub(crate) fn postgres(cores: &[usize], parent: Option<&Path>) -> anyhow::Result<Self> {
        let programs = postgres_programs().context(
            "there is no PostgreSQL to start: neither on the PATH nor in /usr/lib/postgresql/*/bin; install it \
             (Debian: apt install postgresql), or name one that runs with --postgres URL",
        )?;
        // PostgreSQL refuses to run as root.
        let account = if rustix::process::getuid().is_root() {
            let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
            Some(account(&passwd, "postgres").context("root cannot run PostgreSQL, and there is no user postgres")?)
        } else {
            None
        };
        let place = Place::new(parent)?;
        if let Some(Account { user, group }) = account {
            std::os::unix::fs::chown(place.folder.path(), Some(user), Some(group))
                .context("cannot change the owner of PostgreSQL's folder")?;
        }
        let data = place.folder.path().join("data");
        create_database(&programs, &data, account)?;
        let port = place.address.port();
        let mut args: Vec<OsString> = vec!["-D".into(), data.into()];
        // Of what makes a commit durable nothing is left to the defaults of whoever built it.
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            &format!("port={port}"),
            &format!("max_connections={POSTGRES_CONNECTIONS}"),
            "fsync=on",
            "synchronous_commit=on",
            "full_page_writes=on",
            "log_destination=stderr",
            "logging_collector=off",
            "lc_messages=C",
        ] {
            args.extend(["-c".into(), setting.into()]);
        }
        let program = Program {
            name: "PostgreSQL",
            path: programs.join("postgres"),
            args,
            account,
            mark: "database system is ready to accept connections",
            // A fast shutdown: sessions are ended, what they had not committed is rolled back.
            stop: Signal::INT,
        };
        Self::start(program, place, cores)
    }
}

fn create_database(programs: &Path, data: &Path, account: Option<Account>) -> anyhow::Result<()> {
    let mut command = Command::new(programs.join("initdb"));
    command.args(["--username=sambad", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions", "-D"]).arg(data);
    command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
    as_account(&mut command, account);
    let output = command.output().context("cannot run initdb")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "initdb failed: {}; the user that runs PostgreSQL needs access to {}: see --data-folder",
        said.trim(),
        data.display()
    );
    Ok(())
}

/// The folder with the programs of PostgreSQL: on the path, else the newest that Debian has put aside.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> =
        versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))).collect();
    versions.sort_unstable();
    let newest_first = versions.into_iter().rev().map(|(_, folder)| folder);
    path_folders().chain(newest_first).find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
}

/// Who that is, by the text of `/etc/passwd`.
fn account(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map(|field| field.parse().ok());
    Some(Account { user: numbers.next()??, group: numbers.next()?? })
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    /// Goal: a user's numbers are found. Method: a `/etc/passwd` as it occurs.
    #[test]
    fn finds_an_account() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres:x:104:111:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\nbad:x:y\n";
        assert_eq!(account(passwd, "postgres"), Some(Account { user: 104, group: 111 }));
        assert!(account(passwd, "post").is_none() && account(passwd, "bad").is_none());
    }

    /// Goal: a PostgreSQL starts, also for root, comes back, and leaves nothing. Method: it accepts before and after; its folder.
    #[test]
    fn postgres_comes_back() {
        let mut postgres = Service::postgres(&[], None).unwrap();
        let (address, folder) = (postgres.address(), postgres.place.folder.path().to_owned());
        assert!(TcpStream::connect(address).is_ok());
        postgres.restart().unwrap();
        assert!(TcpStream::connect(address).is_ok() && postgres.check().is_ok());
        assert!(postgres.cpu().unwrap() > Duration::ZERO);
        drop(postgres);
        assert!(TcpStream::connect(address).is_err() && !folder.exists());
    }
}
