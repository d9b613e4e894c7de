//! Wrong usage, and servers that are not there.

use tokio::net::TcpListener;

use sambad_server::testing::TestServer;

use crate::harness::{ASHA, command, finish, run};

/// Goal: wrong usage ends with 2 and says what is wrong, before any server is asked. Method: a table.
#[tokio::test]
async fn wrong_usage_is_2() {
    let nowhere = "http://127.0.0.1:1";
    for (args, reason) in [
        (&[][..], "Usage: sambad-cli"),
        (&["dance"], "unrecognized subcommand 'dance'"),
        (&["--bogus"], "unexpected argument '--bogus'"),
        (&["stats", "--server", "nonsense"], "expected a URL such as http://127.0.0.1:4000"),
        (&["stats", "--server", "ftp://example.org"], "expected http://HOST:PORT or https://HOST"),
        (&["user", "show", "bob"], "not a user id (UUID) or phone number"),
        (&["user", "list", "--limit", "0"], "--limit"),
        (&["user", "list", "--limit", "5", "--all"], "cannot be used with"),
        (&["contact", "add", ASHA], "<CONTACT>"),
        (&["contact", "remove", ASHA], "add the user who was added"),
        (&["message", "list", "--with", ASHA], "required"),
        (&["watch", "--type", "contact_lost"], "possible values: user_created"),
        (&["watch", "--after", "yesterday"], "expected a cursor such as 9f3a01c7-1042"),
        (&["watch", "--for", "soon"], "expected a time such as 30s"),
        (&["watch", "--count", "0"], "--count"),
        (&["watch", "--format", "{sequence}"], "unknown field \"sequence\""),
        (&["watch", "--format", "prety"], "expected `pretty`"),
        (&["watch", "--expect", "contact_added"], "expected FIELD=VALUE"),
        (&["watch", "--color", "blue"], "possible values: auto, always, never"),
        (&["demo", "--rate", "0"], "expected a number per second, from 0.1 to 500"),
        (&["demo", "--rate", "501"], "expected a number per second, from 0.1 to 500"),
        (&["demo", "--users", "1"], "1 is not in 2..=10000"),
        (&["demo", "--users", "10001"], "10001 is not in 2..=10000"),
        (&["demo", "--seed", "x"], "--seed"),
        (&["demo", "--duration", "soon"], "expected a time such as 30s"),
        (&["completions", "cmd"], "possible values: bash"),
    ] {
        let ran = run(nowhere, args).await;
        assert!(ran.code == 2 && ran.stderr.contains(reason) && ran.stdout.is_empty(), "{args:?}, {reason:?}: {ran:?}");
    }
}

/// Goal: a server that does not run is named, with exit code 1. Method: a port that was just free; each kind of command.
#[tokio::test]
async fn a_missing_server_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for args in [&["stats"][..], &["user", "create", ASHA], &["contact", "list", ASHA], &["watch"]] {
        let ran = run(&url, args).await;
        ran.failed(1, &format!("connect to {url}: Connection refused"));
        assert!(ran.stderr.contains("Is the server running?"), "{ran:?}");
    }
}

/// Goal: completions, help and the version are for any environment. Method: variables that are all wrong.
#[tokio::test]
async fn completions_need_no_setting() {
    for args in [&["completions", "bash"][..], &["--help"], &["--version"], &["watch", "--help"], &["help", "watch"]] {
        let mut command = command("nonsense", args);
        command.env("SAMBAD_CA_FILE", "/nonexistent").env("SAMBAD_TOKEN", "\u{1b}").env("SAMBAD_SERVR", "x");
        let ran = finish(command).await;
        assert!(ran.code == 0 && !ran.stdout.is_empty() && ran.stderr.is_empty(), "{args:?}: {ran:?}");
    }
}

/// Goal: variables are read by the rule of all binaries. Method: line ends, an empty one, a wrong one below a flag and without it, one
/// that is none, and one of the server's.
#[tokio::test]
async fn variables_follow_the_rule() {
    let server = TestServer::start().await;
    let url = server.url();
    for (given, args, code, said) in [
        (format!("{url}\n"), &["stats"][..], 0, ""),
        (format!("{url}\r\n"), &["stats"], 0, ""),
        ("nonsense".into(), &["stats", "--server", url], 0, "warning: SAMBAD_SERVER: invalid value '(redacted)'"),
        ("nonsense".into(), &["--server", url, "stats"], 0, "ignored, because flag --server overrides it"),
        ("nonsense".into(), &["stats"], 2, "error: SAMBAD_SERVER: invalid value '(redacted)'"),
        (format!("{url}\u{7}"), &["stats"], 2, "error: SAMBAD_SERVER: contains the control character U+0007"),
        (url.into(), &["stats", "--server="], 2, "--server is empty"),
    ] {
        let mut command = command(&given, args);
        command.env("SAMBAD_CA_FILE", "").env("SAMBAD_TOKEN", "\n").env("SAMBAD_LISTEN", "of the server");
        let ran = finish(command).await;
        assert!(ran.code == code && ran.stderr.contains(said), "{given:?} {args:?}: {ran:?}");
        assert!(!said.is_empty() || ran.stderr.is_empty(), "{ran:?}");
    }
    let mut command = command(url, &["stats"]);
    command.env("SAMBAD_SERVR", "x");
    let ran = finish(command).await;
    assert!(ran.code == 0 && ran.stderr.contains("SAMBAD_SERVR is not a setting; did you mean SAMBAD_SERVER?"), "{ran:?}");
    server.stop().await;
}

/// Goal: a token's file goes before a variable that is wrong, too. Method: both, with a file and without; the flag before and behind
/// the subcommand.
#[tokio::test]
async fn a_token_file_goes_before_a_wrong_variable() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "abc\n").unwrap();
    let file = format!("{}\n", file.display());
    for args in [&["stats", "--token-file", &file][..], &["--token-file", &file, "stats"]] {
        let mut command = command(server.url(), args);
        command.env("SAMBAD_TOKEN", "hunter2\u{1}");
        let ran = finish(command).await;
        let told =
            "warning: SAMBAD_TOKEN: contains the control character U+0001; ignored, because flag --token-file overrides it";
        assert!(ran.code == 0 && ran.stderr.contains(told) && !ran.stderr.contains("hunter2"), "{args:?}: {ran:?}");
    }
    let mut command = command(server.url(), &["stats"]);
    command.env("SAMBAD_TOKEN", "hunter2\u{1}");
    finish(command).await.failed(2, "error: SAMBAD_TOKEN: contains the control character U+0001");
    server.stop().await;
}

/// Goal: values of commands follow the rule, and what people say is sent as typed. Method: a message with a line end and a tab; limits
/// and kinds with a line end, an empty one, and one with a control character.
#[tokio::test]
async fn values_follow_the_rule_and_words_do_not() {
    let server = TestServer::start().await;
    let url = server.url();
    for phone in [ASHA, "+919876543211"] {
        run(url, &["user", "create", phone]).await.ok();
    }
    run(url, &["message", "send", ASHA, "+919876543211", "one\ttwo\n"]).await.ok();
    let listed = run(url, &["message", "list", "--limit", "1\n", "--json"]).await.ok();
    assert!(listed.contains(r#""one\ttwo\n""#), "{listed}");
    for (args, said) in [
        (&["message", "list", "--limit", ""][..], "--limit is empty"),
        (&["activity", "-n", "1\t"], "--limit contains the control character U+0009"),
        (&["watch", "--type=contact_added\n\n"], "--type contains the control character U+000A"),
        (&["watch", "--resume", "\n"], "--resume is empty"),
    ] {
        run(url, args).await.failed(2, said);
    }
    let mut command = command("x", &["stats"]);
    command.env_remove("SAMBAD_TOKEN");
    finish(command).await.failed(2, "error: SAMBAD_SERVER: invalid value '(redacted)' for '--server <URL>': ");
    server.stop().await;
}
