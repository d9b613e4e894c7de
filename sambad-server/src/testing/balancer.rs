//! Load balancers for tests, set up as `deploy/` shows it: what is shipped is what is run.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use super::daemon::{Daemon, Ready, command, find};

/// What nginx says of its way to wait for events, which it does once it has its sockets.
const NGINX_READY: &str = "event method";
const CADDY_READY: &str = "serving initial configuration";

/// A load balancer on the loopback interface, in front of some servers.
#[derive(Debug)]
pub struct Balancer {
    _daemon: Daemon,
    address: SocketAddr,
    _directory: TempDir,
}

impl Balancer {
    /// Starts nginx as `deploy/nginx.conf` sets it up; it accepts connections when this returns.
    ///
    /// # Panics
    /// When nginx is not installed, or does not start.
    pub async fn nginx(servers: &[SocketAddr]) -> Self {
        Self::nginx_with(servers, &[]).await
    }

    /// As [`Balancer::nginx`], with parts of `deploy/nginx.conf` replaced: pairs of a text that stands in it once, and another.
    ///
    /// # Panics
    /// As [`Balancer::nginx`], and when a text does not stand in the file once.
    pub async fn nginx_with(servers: &[SocketAddr], changes: &[(&str, &str)]) -> Self {
        let shipped = include_str!("../../deploy/nginx.conf").to_owned();
        let changed = changes.iter().fold(shipped, |text, (from, to)| replaced(&text, from, to));
        Self::start("nginx", servers, |directory, port| {
            let file = write(directory, "nginx.conf", &nginx(&changed, directory, port, servers));
            // One process without a master, as that would leave others behind when it is killed.
            let globals = "daemon off; master_process off; error_log stderr notice;";
            let globals = format!("{globals} pid {}/nginx.pid;", directory.display());
            let mut command = program("nginx");
            command.arg("-c").arg(file).arg("-p").arg(directory).args(["-e", "stderr", "-g", &globals]);
            (command, Ready::Says(NGINX_READY))
        })
        .await
    }

    /// Starts HAProxy as `deploy/haproxy.cfg` sets it up; it accepts connections when this returns.
    ///
    /// # Panics
    /// When HAProxy is not installed, or does not start.
    pub async fn haproxy(servers: &[SocketAddr]) -> Self {
        Self::start("haproxy", servers, |directory, port| {
            let mut command = program("haproxy");
            command.arg("-db").arg("-f").arg(write(directory, "haproxy.cfg", &haproxy(port, servers)));
            // It says nothing when all is well.
            (command, Ready::Accepts(port))
        })
        .await
    }

    /// Starts Caddy as `deploy/Caddyfile` sets it up, without TLS; it accepts connections when this returns.
    ///
    /// # Panics
    /// When Caddy is not installed, or does not start.
    pub async fn caddy(servers: &[SocketAddr]) -> Self {
        Self::start("caddy", servers, |directory, port| {
            let mut command = program("caddy");
            command.args(["run", "--adapter", "caddyfile", "--config"]);
            command.arg(write(directory, "Caddyfile", &caddy(port, servers)));
            // Where it keeps what it remembers.
            command.env("HOME", directory).env("XDG_DATA_HOME", directory).env("XDG_CONFIG_HOME", directory);
            (command, Ready::Says(CADDY_READY))
        })
        .await
    }

    async fn start(name: &'static str, servers: &[SocketAddr], set_up: impl Fn(&Path, u16) -> (Command, Ready)) -> Self {
        assert!(!servers.is_empty(), "a load balancer needs servers");
        let directory = tempfile::tempdir().expect("tests need a temporary directory");
        let (daemon, port) = Daemon::start_on_a_port(name, |port| set_up(directory.path(), port)).await;
        Self { _daemon: daemon, address: SocketAddr::from(([127, 0, 0, 1], port)), _directory: directory }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn program(name: &str) -> Command {
    let program = find(name, &[PathBuf::from("/usr/sbin")]);
    command(program.unwrap_or_else(|| panic!("{name} is not installed: not on the PATH, nor in /usr/sbin")), None)
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    std::fs::write(&file, text).expect("the directory is writable");
    file
}

fn nginx(shipped: &str, directory: &Path, port: u16, servers: &[SocketAddr]) -> String {
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {}/{name};\n", directory.display()))
        .collect();
    let text = replaced(shipped, "listen 80;", &format!("listen 127.0.0.1:{port};"));
    let text = replaced(&text, "http {\n", &format!("http {{\n{folders}"));
    with_servers(&text, "        server ", servers)
}

fn haproxy(port: u16, servers: &[SocketAddr]) -> String {
    let shipped = include_str!("../../deploy/haproxy.cfg");
    let text = replaced(shipped, "bind :80 ", &format!("bind 127.0.0.1:{port} "));
    // It will not start with fewer descriptors than its connections may take.
    with_servers(&text.replace("maxconn 90000", "maxconn 1000"), "    server ", servers)
}

fn caddy(port: u16, servers: &[SocketAddr]) -> String {
    let shipped = include_str!("../../deploy/Caddyfile");
    let addresses: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
    // By whatever name it is called.
    let site = format!("http://:{port} {{\n\tbind 127.0.0.1");
    let text = replaced(shipped, "sambad.example.com {", &site);
    let text = replaced(&text, "10.0.0.11:4000 10.0.0.12:4000", &addresses.join(" "));
    format!("{{\n\tadmin off\n}}\n{text}")
}

/// The text with what stands in it once replaced by something else.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} is to be there once");
    text.replace(from, to)
}

/// The text with other servers: each line that begins with `start` names one, and what follows its address stays.
fn with_servers(text: &str, start: &str, servers: &[SocketAddr]) -> String {
    let (mut lines, mut written) = (String::new(), false);
    for line in text.lines() {
        let named = line.strip_prefix(start).and_then(|rest| rest.split_once(":4000"));
        match named {
            Some((name, options)) if !written => {
                for (i, server) in servers.iter().enumerate() {
                    // HAProxy's servers have names.
                    let name = if name.contains(' ') { format!("server{i} ") } else { String::new() };
                    let _ = writeln!(lines, "{start}{name}{server}{options}");
                }
                written = true;
            }
            Some(_) => {}
            None => lines.extend([line, "\n"]),
        }
    }
    assert!(written, "no line names a server");
    lines
}
