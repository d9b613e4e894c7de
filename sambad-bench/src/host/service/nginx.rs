//! A load balancer in front of servers.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use rustix::process::Signal;

use super::{Place, Program, Service, find};

/// Descriptors that nginx asks for: two for each session.
const NGINX_CONNECTIONS: u32 = 16_384;

impl Service {
    /// An nginx in front of servers; `None` when it is not installed.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn nginx(cores: &[usize], servers: &[SocketAddr]) -> anyhow::Result<Option<Self>> {
        let Some(path) = find("nginx") else { return Ok(None) };
        let place = Place::new(None)?;
        let folder = place.folder.path();
        let config = folder.join("nginx.conf");
        fs::write(&config, nginx_config(folder, place.address, servers)).context("cannot write nginx's configuration")?;
        let args = vec!["-e".into(), "stderr".into(), "-p".into(), folder.into(), "-c".into(), config.into()];
        let program = Program { name: "nginx", path, args, account: None, mark: "", stop: Signal::TERM };
        Self::start(program, place, cores).map(Some)
    }
}

fn nginx_config(folder: &Path, address: SocketAddr, servers: &[SocketAddr]) -> String {
    let servers: Vec<String> = servers.iter().map(|server| format!("server {server} max_fails=1 fail_timeout=1s;")).collect();
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("{what}_temp_path {folder}/{what};"));
    format!(
        "daemon off;
# One process: it ends as this program ends, and leaves no others behind.
master_process off;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {NGINX_CONNECTIONS}; }}
http {{
    access_log off;
    {temporary}
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream sambad {{
        {servers}
        keepalive 256;
        # Below the 60 s after which a server closes a connection without requests.
        keepalive_timeout 20s;
    }}
    server {{
        listen {address} backlog=4096;
        keepalive_requests 1000000;
        location / {{
            proxy_pass http://sambad;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_connect_timeout 2s;
            # Beyond the 25 s after which a server pings.
            proxy_read_timeout 75s;
        }}
    }}
}}
",
        temporary = temporary.join("\n    "),
        servers = servers.join("\n        "),
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::super::tests::ask;
    use super::*;

    /// Goal: nginx hands requests on. Method: a server that answers once, asked through it.
    #[test]
    fn nginx_is_in_front() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let behind = server.local_addr().unwrap();
        let mut nginx = Service::nginx(&[], &[behind]).unwrap().expect("nginx is installed");
        let answers = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        });
        let answer = ask(nginx.address(), "GET /livez HTTP/1.1\r\nhost: h\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answers.join().unwrap().starts_with("GET /livez HTTP/1.1"));
        assert!(nginx.check().is_ok() && nginx.end().is_ok());
    }
}
