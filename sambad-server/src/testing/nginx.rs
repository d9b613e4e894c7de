//! nginx for tests: a load balancer in front of servers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use super::daemon::{Daemon, command, find};

/// What it says of its way to wait for events, which it does once it has its sockets.
const READY: &str = "event method";

/// nginx on the loopback interface, in front of some servers, each in turn.
#[derive(Debug)]
pub struct Nginx {
    _daemon: Daemon,
    port: u16,
    _directory: TempDir,
}

impl Nginx {
    /// Starts nginx in front of `servers`; it accepts connections when this returns.
    ///
    /// What it does not hear of a server within 5 s counts as failed, but for sockets. A request that a server cannot have
    /// seen goes to the next one; a GET also where it may have seen it.
    ///
    /// # Panics
    /// When nginx is not installed, or does not start.
    pub async fn start(servers: &[SocketAddr]) -> Self {
        let directory = tempfile::tempdir().expect("tests need a temporary directory");
        let start = |port| nginx(directory.path(), port, servers);
        let (daemon, port) = Daemon::start_on_a_port("nginx", start, READY).await;
        Self { _daemon: daemon, port, _directory: directory }
    }

    /// The base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn nginx(directory: &Path, port: u16, servers: &[SocketAddr]) -> Command {
    let nginx = find("nginx", &[PathBuf::from("/usr/sbin")]).expect("nginx is not installed: not on the PATH, nor in /usr/sbin");
    let file = directory.join("nginx.conf");
    std::fs::write(&file, configuration(directory, port, servers)).expect("the directory is writable");
    let mut command = command(nginx, None);
    command.arg("-c").arg(file).arg("-p").arg(directory).args(["-e", "stderr"]);
    command
}

/// One process without a master, as that would leave others behind when it is killed.
fn configuration(directory: &Path, port: u16, servers: &[SocketAddr]) -> String {
    let mut upstreams = String::new();
    for server in servers {
        // A server that was dead is tried again after a second.
        let _ = writeln!(upstreams, "        server {server} max_fails=1 fail_timeout=1s;");
    }
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {}/{name};\n", directory.display()))
        .collect();
    format!(
        r#"daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr notice;
events {{
    worker_connections 4096;
}}
http {{
    access_log off;
{folders}    upstream sambad {{
{upstreams}        keepalive 32;
    }}
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        "" "";
    }}
    server {{
        listen 127.0.0.1:{port};
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_connect_timeout 2s;
        location / {{
            proxy_pass http://sambad;
            proxy_read_timeout 5s;
        }}
        location ~ ^/(ws|api/events/stream)$ {{
            proxy_pass http://sambad;
            proxy_buffering off;
            proxy_read_timeout 60s;
        }}
    }}
}}
"#,
        directory = directory.display()
    )
}
