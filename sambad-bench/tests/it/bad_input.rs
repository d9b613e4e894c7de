//! What cannot be done is said at once, with what to change, and leaves nothing behind.

use std::fs;

use sambad_server::testing::TestServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::Command;

use crate::harness::{Bench, events, quiet, run, run_words};

/// Goal: contradictions end before anything is started. Method: command lines, and words of each answer.
#[tokio::test(flavor = "multi_thread")]
async fn contradictions_are_refused() {
    for (options, words) in [
        ("--rate 0", &["--rate", "above 0"][..]),
        ("--mix message=0", &["--mix", "sum to 0"]),
        ("--users 10 --rate 100 --duration 10s", &["10 users", "use --users"]),
        ("--users 10 --app-sessions 11", &["--app-sessions 11", "its own user"]),
        ("--chaos kill9=1s --target http://127.0.0.1:1", &["--chaos", "--target", "cannot be used with"]),
        ("--chaos kill9=1ms", &["--chaos", "below 500 ms"]),
        ("--target 127.0.0.1:1", &["127.0.0.1:1", "http://"]),
        ("--target https://127.0.0.1:1", &["https://127.0.0.1:1", "TLS"]),
        ("--target http://127.0.0.1:1/path", &["path"]),
        ("--hgrm /nonexistent/x.hgrm", &["cannot write /nonexistent/x.hgrm"]),
        ("--html FOLDER", &["cannot write", "a directory"]),
    ] {
        run(options).await.failed(2, words);
    }
}

/// Goal: whoever mistypes an address learns which. Method: a port that somebody holds and nobody listens at.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap().to_string();
    for dialect in ["sambad", "broadcast"] {
        let ran = run(&format!("--target http://{address} --dialect {dialect} --duration 1s")).await;
        ran.failed(2, &[&address, "is a server running there?"]);
    }
}

/// Goal: a target that is something else is told from a Sambad server before the load. Method: servers that give one answer to
/// everything.
#[tokio::test(flavor = "multi_thread")]
async fn other_servers_are_refused() {
    let page = "<html>hello</html>";
    let answer = |status: &str, kind: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    for (answer, words) in [
        (answer("404 Not Found", "text/html", page), &["is not a Sambad server", "404"][..]),
        (answer("200 OK", "text/html", page), &["is not a Sambad server"]),
        (answer("200 OK", "application/json", r#"{"ok":true}"#), &["is not a Sambad server"]),
        (answer("503 Unavailable", "application/json", r#"{"status":"unhealthy","database":"gone"}"#), &["unhealthy", "gone"]),
        ("SSH-2.0-OpenSSH_9.9\r\n".to_owned(), &["is not a Sambad server"]),
        (String::new(), &["is not a Sambad server"]),
    ] {
        let url = always(answer).await;
        run(&format!("--target {url} --duration 1s")).await.failed(2, &[&[url.as_str()], words].concat());
    }
}

/// A server that answers every request so, and closes the connection.
async fn always(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 4096];
            // Whoever is refused may hang up first.
            let _ = client.read(&mut request).await;
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    url
}

/// Goal: a report that cannot be written is found out before the load, not after it. Method: paths that cannot be, and a
/// server's log in which nothing happened.
#[tokio::test(flavor = "multi_thread")]
async fn unwritable_reports_are_found_out_first() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "kept").unwrap();
    for path in ["missing/report.json", "file/report.json", ""] {
        let path = folder.path().join(path);
        let ran = run_words(&["run", "--target", server.url(), "--duration", "1s", "--json", path.to_str().unwrap()]).await;
        ran.failed(2, &["cannot write", path.to_str().unwrap()]);
    }
    assert!(events(server.url()).await.is_empty());
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "kept");
}

/// Goal: more sessions than the system allows are refused with advice, and a low soft limit is no obstacle. Method: the program
/// under a hard limit of 200 descriptors, then under a soft one of 100 alone.
#[tokio::test(flavor = "multi_thread")]
async fn descriptors_are_counted_first() {
    let server = TestServer::start().await;
    let limited = |limit: &str, options: &str| {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("report.json");
        let mut command = Command::new("sh");
        let words = format!("ulimit {limit}; exec \"$0\" run {options} --warmup 0s --ramp-up 0s --json {}", json.display());
        command.args(["-c", &words, env!("CARGO_BIN_EXE_sambad-bench")]);
        quiet(&mut command, folder.path());
        Bench::spawn(command, folder)
    };
    let target = format!("--target {} --users 10 --duration 500ms --rate 20 --mix message=1", server.url());
    let refused = limited("-n 200", &format!("{target} --dashboards 500")).end().await;
    refused.failed(2, &["500 sessions", "only 200 are allowed", "ulimit -n", "LimitNOFILE"]);
    let ran = limited("-Sn 100", &format!("{target} --dashboards 150 --connections 10")).end().await;
    ran.is_sound();
    assert_eq!(ran.number("/counts/sessions"), 150);
}

/// Goal: a wrong file is told from a report. Method: none, damaged ones, and one of a later version.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_reports_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.json");
    let path = path.to_str().unwrap();
    let html = folder.path().join("page.html");
    for (content, words) in [
        (None, "no such file"),
        (Some(""), "not JSON"),
        (Some("{\"schema\":1,\"tool\""), "not JSON"),
        (Some("{\"schema\":1}"), "missing field"),
        (Some("{\"schema\":999}"), "schema 999"),
        (Some("\u{0}\u{1}"), "not JSON"),
    ] {
        if let Some(content) = content {
            fs::write(path, content).unwrap();
        }
        run_words(&["report", path]).await.failed(1, &[words, path]);
        run_words(&["report", path, "--html", html.to_str().unwrap()]).await.failed(1, &[words, path]);
        assert!(!html.exists());
    }
}

/// Goal: variables and flags are read by the rule of all binaries. Method: a token with a line end, one that is none, one of the server's, and
/// a name that is none; help with all of them.
#[tokio::test(flavor = "multi_thread")]
async fn variables_follow_the_rule() {
    let run = async |words: &[&str], token: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = crate::harness::command(folder.path(), words);
        command.env("SAMBAD_TOKEN", token).env("SAMBAD_LISTEN", "of the server").env("SAMBAD_TOKN", "x");
        let output = command.output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let nowhere = ["run", "--target", "http://127.0.0.1:1", "--duration", "1s"];
    let (code, said) = run(&nowhere, "abc\n").await;
    assert!(code == Some(2) && said.contains("is a server running there?"), "{said}");
    assert!(
        said.contains("SAMBAD_TOKN is not a setting; did you mean SAMBAD_TOKEN?") && !said.contains("SAMBAD_LISTEN"),
        "{said}"
    );
    let (code, said) = run(&nowhere, "ab\u{7}c").await;
    assert!(code == Some(2) && said.contains("error: SAMBAD_TOKEN: contains the control character U+0007"), "{said}");
    let (code, said) = run(&[&nowhere[..], &["--token", "abc"]].concat(), "ab\u{7}c").await;
    assert!(
        code == Some(2) && said.contains("is a server running there?") && said.contains("flag --token overrides it"),
        "{said}"
    );
    let target = ["run", "--target", "http://127.0.0.1:1\n", "--duration", "1s\n", "--json", "r.json\n"];
    let (code, said) = run(&target, "").await;
    assert!(code == Some(2) && said.contains("is a server running there?"), "{said}");
    let (code, said) = run(&["run", "--target", "http://127.0.0.1:1\u{1}"], "").await;
    assert!(code == Some(2) && said.contains("--target contains the control character U+0001"), "{said}");
    let (code, said) = run(&["report", ""], "").await;
    assert!(code == Some(2) && said.contains("<FILE.json> is empty"), "{said}");
    assert_eq!(run(&["--help"], "\u{7}").await, (Some(0), String::new()));
}
