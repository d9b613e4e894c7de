use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn spec(kind: Kind) -> Spec {
    Spec { kind, cores: Vec::new(), args: Vec::new(), folder: None, shared: None }
}

fn sambad() -> ServerProcess {
    ServerProcess::start(spec(Kind::Sambad)).unwrap()
}

/// A program that does what this shell script says.
fn script(folder: &TempDir, text: &str) -> Kind {
    let path = folder.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    Kind::Program(path)
}

fn send(server: &ServerProcess, request: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n");
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
    stream
}

fn ask(server: &ServerProcess, request: &str, body: &str) -> String {
    let mut answer = String::new();
    send(server, request, body).read_to_string(&mut answer).unwrap();
    answer
}

/// Goal: a killed server comes back as the same one. Method: a user stored before SIGKILL is there after it, at the same address.
#[test]
fn survives_kill9() {
    let mut server = sambad();
    let (url, pid) = (server.url(), server.pid().unwrap());
    let created = ask(&server, "POST /api/users/login", r#"{"mobileNumber":"9876543210","countryCode":"+91"}"#);
    assert!(created.starts_with("HTTP/1.1 20"), "{created}");
    // A connection that is open when it dies keeps the port busy for a minute, but for a server that asks to have it.
    let mut open = TcpStream::connect(server.address()).unwrap();
    server.kill9().unwrap();
    assert!(!server.is_alive() && server.pid().is_none() && !fs::exists(format!("/proc/{pid}")).unwrap());
    assert!(server.kill9().is_err() && server.pause().is_err());
    assert!(matches!(open.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(server.address()).is_err());
    let away = server.restart().unwrap();
    assert!(away > Duration::ZERO && away < START_TIMEOUT);
    assert_eq!(server.url(), url);
    assert!(ask(&server, "GET /api/users", "").contains("+919876543210"));
    // Also without a kill before.
    let pid = server.pid().unwrap();
    server.restart().unwrap();
    assert!(server.is_alive() && server.pid() != Some(pid));
    server.stop().unwrap();
}

/// Goal: a paused server stands still, goes on, and can be stopped while it is paused.
/// Method: a request that is answered only after the pause; a stop during a second one.
#[test]
fn pauses() {
    let mut server = sambad();
    server.pause().unwrap();
    let mut request = send(&server, "GET /livez", "");
    request.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(request.read(&mut [0; 1]).is_err() && server.is_alive());
    server.resume().unwrap();
    request.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    request.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.pause().unwrap();
    server.stop().unwrap();
}

/// Goal: whoever starts a server may end before it. Method: started in a thread that ends.
#[test]
fn outlives_the_thread_that_started_it() {
    let server = thread::spawn(sambad).join().unwrap();
    let mut server = thread::spawn(move || {
        let mut server = server;
        server.restart().unwrap();
        server
    })
    .join()
    .unwrap();
    assert!(ask(&server, "GET /livez", "").starts_with("HTTP/1.1 200") && server.is_alive());
}

/// Goal: a server that cannot start says why, at once. Method: a bad argument; a program that is not there; one that ends.
#[test]
fn says_why_it_did_not_start() {
    let folder = TempDir::new().unwrap();
    let dies = script(&folder, "for i in $(seq 20); do echo \"line $i\" >&2; done; exit 7");
    let bad_argument = Spec { args: vec!["--heartbeat-s=0".into()], ..spec(Kind::Sambad) };
    let missing = spec(Kind::Program("/nonexistent/sambad-server".into()));
    let asked_at = Instant::now();
    for (spec, words) in [
        (bad_argument, ["exited before it listened", "heartbeat"]),
        (missing, ["exited before it listened", "cannot run /nonexistent/sambad-server"]),
        (spec(dies), ["exit status: 7", "line 20"]),
    ] {
        let error = format!("{:#}", ServerProcess::start(spec).unwrap_err());
        assert!(words.iter().all(|word| error.contains(word)) && !error.contains("line 10\n"), "{error}");
    }
    assert!(asked_at.elapsed() < START_TIMEOUT);
}

/// Goal: a foreign program gets its arguments and its cores, never waits for a reader, and is gone once it is dropped.
/// Method: a script that writes more than any pipe holds, its arguments among it, then the line.
#[test]
#[cfg(target_os = "linux")]
fn runs_a_foreign_program() {
    let folder = TempDir::new().unwrap();
    let core = *super::super::pin::allowed().last().unwrap();
    let program = script(
        &folder,
        "echo \"$@\" >\"$0.args\"; head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero | tr '\\0' '\\n'
         echo 'It is listening on http://127.0.0.1:1'; head -c 300000 /dev/zero; echo done >\"$0.done\"; exec sleep 1000",
    );
    let mut server = ServerProcess::start(Spec { cores: vec![core], args: vec!["--more=1".into()], ..spec(program) }).unwrap();
    let args = fs::read_to_string(folder.path().join("program.args")).unwrap();
    let database = format!("--database=sqlite:{}", server.folder.path().join("sambad.db").display());
    assert_eq!(args.trim_end(), format!("--listen={} {database} --log=warn --more=1", server.address()));
    let pid = server.pid().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("Cpus_allowed_list:\t{core}\n")), "{status}");
    let begun = Instant::now();
    while !fs::exists(folder.path().join("program.done")).unwrap() {
        assert!(begun.elapsed() < PATIENCE, "it waits for a reader");
        thread::yield_now();
    }
    assert!(server.is_alive());
    let data = server.folder.path().to_owned();
    drop(server);
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap() && !fs::exists(data).unwrap());
}

/// Goal: an end that is none is an error. Method: a program that answers SIGTERM with a failure; one that ended by itself.
#[test]
fn says_when_it_failed() {
    let folder = TempDir::new().unwrap();
    let line = "echo 'It is listening on http://127.0.0.1:1'";
    let fails = script(&folder, &format!("trap 'echo broken >&2; exit 3' TERM; {line}; while :; do sleep 0.01; done"));
    let error = ServerProcess::start(spec(fails)).unwrap().stop().unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("broken"), "{error}");
    let ends = script(&folder, &format!("{line}; until [ -e \"$0.go\" ]; do sleep 0.01; done; echo over >&2"));
    let mut server = ServerProcess::start(spec(ends)).unwrap();
    fs::write(folder.path().join("program.go"), "").unwrap();
    while server.is_alive() {
        thread::yield_now();
    }
    let error = server.stop().unwrap_err().to_string();
    assert!(error.contains("has exited") && error.contains("over"), "{error}");
}

/// Goal: the floor is a server like the other. Method: started, asked, killed, started again, stopped.
#[test]
fn hosts_the_floor() {
    let mut server = ServerProcess::start(spec(Kind::Floor)).unwrap();
    let mut request = send(&server, "POST /", "{}");
    let mut answer = [0; 15];
    request.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    server.restart().unwrap();
    assert!(TcpStream::connect(server.address()).is_ok());
    server.stop().unwrap();
}
