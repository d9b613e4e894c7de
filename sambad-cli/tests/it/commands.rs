//! Each command but `watch` and `flow`: what it prints, and what it says when refused.

use sambad_core::Limits;
use sambad_server::ServerConfig;
use sambad_server::testing::TestServer;

use crate::harness::{ASHA, RAVI, command, contact, run, user};

/// The only word of a text that is a UUID.
fn id(text: &str) -> &str {
    text.split([' ', ',', '(', ')', '\n']).find(|word| word.len() == 36).expect("an id is shown")
}

/// Goal: users are created once, listed and shown. Method: both forms of a phone; table, fields and JSON.
#[tokio::test]
async fn users() {
    let server = TestServer::start().await;
    let url = server.url();
    let created = run(url, &["user", "create", ASHA, "--name", "Asha"]).await.ok();
    let id = id(&created);
    assert_eq!(created, format!("created {ASHA} {id} (seq 1)\n"));
    assert_eq!(run(url, &["user", "create", "98765 43210"]).await.ok(), format!("exists  {ASHA} {id}\n"));
    for reference in [ASHA, "9876543210", id] {
        let shown = run(url, &["user", "show", reference]).await.ok();
        assert!(shown.starts_with(&format!("phone        {ASHA}\nname         Asha\nid           {id}\n")), "{shown}");
    }
    let listed = run(url, &["user", "list"]).await.ok();
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("PHONE          NAME  ID "), "{listed}");
    assert!(lines[1].starts_with(&format!("{ASHA}  Asha  {id}  20")), "{listed}");
    let json = run(url, &["user", "show", ASHA, "--json"]).await.ok();
    assert!(json.starts_with(&format!(r#"{{"id":"{id}","username":"{ASHA}","email""#)) && json.ends_with("}\n"), "{json}");
    assert_eq!(run(url, &["--json", "user", "list"]).await.ok(), json);
    run(url, &["user", "show", RAVI]).await.failed(1, "404 user_not_found");
    run(url, &["user", "create", "letters"]).await.failed(1, "400 invalid_phone");
}

/// Goal: a list of more than a page is shown as asked. Method: 501 users, one more than a page can hold.
#[tokio::test]
async fn long_lists() {
    let server = TestServer::start().await;
    for n in 0..501 {
        user(server.url(), &format!("+91{}", 9_000_000_000_u64 + n)).await;
    }
    for (args, rows) in
        [(&[][..], 100), (&["--limit", "3"], 3), (&["--limit", "501"], 501), (&["--all"], 501), (&["-q", "+91900000000"], 10)]
    {
        let listed = run(server.url(), &[&["user", "list"], args].concat()).await.ok();
        assert_eq!(listed.lines().count(), rows + 1, "{args:?}");
        let json = run(server.url(), &[&["user", "list", "--json"], args].concat()).await.ok();
        assert_eq!(json.lines().count(), rows, "{args:?}");
    }
}

/// Goal: a number is the server's to read, as it was typed, whatever country the server is in. Method: a server in +1 with users of
/// two countries, and every command that takes a phone.
#[tokio::test]
async fn numbers_are_the_servers_to_read() {
    let config = ServerConfig { default_country_code: "+1".parse().unwrap(), ..ServerConfig::default() };
    let server = TestServer::start_with(config, Limits::default()).await;
    let url = server.url();
    assert!(run(url, &["user", "create", "(415) 555-0100"]).await.ok().contains(" +14155550100 "));
    for phone in ["1 415.555.0101", ASHA, RAVI] {
        run(url, &["user", "create", phone]).await.ok();
    }
    let (emma, noah) = ("+14155550100", "+14155550101");
    let shown = run(url, &["user", "show", "415/555/0101"]).await.ok();
    assert!(shown.contains(noah), "{shown}");
    let added = run(url, &["contact", "add", "415 555 0100", "1-415-555-0101"]).await.ok();
    assert!(added.starts_with(&format!("{emma} added {noah}")), "{added}");
    assert!(run(url, &["contact", "list", "4155550100"]).await.ok().contains(noah));
    assert!(
        run(url, &["contact", "remove", "4155550100", "415.555.0101"]).await.ok().starts_with(&format!("{emma} removed {noah}"))
    );
    // To whoever has it in the country of the sender.
    let sent = run(url, &["message", "send", "4155550100", "415-555-0101", "x"]).await.ok();
    assert!(sent.starts_with(&format!("sent {emma} to {noah}")), "{sent}");
    let sent = run(url, &["message", "send", ASHA, "098765 43211", "x"]).await.ok();
    assert!(sent.starts_with(&format!("sent {ASHA} to {RAVI}")), "{sent}");
    let listed = run(url, &["message", "list", "4155550100", "--with", "(415) 5550101"]).await.ok();
    assert_eq!(listed.lines().count(), 2, "{listed}");
    run(url, &["message", "send", emma, "5550101", "x"]).await.failed(1, "too short for +1");
    run(url, &["user", "show", "letters"]).await.failed(2, "not a user id");
}

/// Goal: contacts are added once, listed, and removed by either name. Method: their life.
#[tokio::test]
async fn contacts() {
    let server = TestServer::start().await;
    let url = server.url();
    user(url, ASHA).await;
    user(url, RAVI).await;
    let added = run(url, &["contact", "add", ASHA, RAVI, "--name", "Bhai"]).await.ok();
    let contact = id(&added);
    assert_eq!(added, format!("{ASHA} added {RAVI} (contact {contact}, seq 3)\n"));
    let again = run(url, &["contact", "add", "9876543210", "9876543211"]).await.ok();
    assert_eq!(again, format!("{ASHA} already has {RAVI} (contact {contact})\n"));
    let listed = run(url, &["contact", "list", ASHA]).await.ok();
    assert!(listed.contains(&format!("\n{ASHA}  {RAVI}  Bhai  {contact}  20")), "{listed}");
    assert_eq!(run(url, &["contact", "list"]).await.ok(), listed);
    assert_eq!(run(url, &["contact", "list", RAVI]).await.ok(), "");
    let removed = run(url, &["contact", "remove", contact]).await.ok();
    assert_eq!(removed, format!("{ASHA} removed {RAVI} (contact {contact}, seq 4)\n"));
    run(url, &["contact", "remove", contact]).await.failed(1, "404 contact_not_found");
    run(url, &["contact", "remove", ASHA, RAVI]).await.failed(1, "+919876543211 is not a contact of +919876543210");
    run(url, &["contact", "add", RAVI, ASHA]).await.ok();
    let removed = run(url, &["contact", "remove", RAVI, ASHA, "--json"]).await.ok();
    assert!(
        removed.starts_with(r#"{"id":""#) && removed.contains(r#""message":"Contact removed","contact":{"id":""#),
        "{removed}"
    );
    run(url, &["contact", "add", ASHA, ASHA]).await.failed(1, "400 self_contact");
    run(url, &["contact", "add", ASHA, "+919000000000"]).await.failed(1, "404 user_not_found");
}

/// Goal: messages are sent and listed, and cannot harm a terminal. Method: content with an escape and a line end.
#[tokio::test]
async fn messages() {
    let server = TestServer::start().await;
    let url = server.url();
    contact(url).await;
    let sent = run(url, &["message", "send", ASHA, RAVI, "hi\n\u{1b}[31m"]).await.ok();
    assert_eq!(sent, format!("sent {ASHA} to {RAVI} (message {}, seq 4)\n", id(&sent)));
    run(url, &["message", "send", RAVI, ASHA, "photo.jpg", "--type", "image"]).await.ok();
    for args in [&[][..], &[ASHA], &[ASHA, "--with", RAVI]] {
        let listed = run(url, &[&["message", "list"], args].concat()).await.ok();
        let rows: Vec<_> = listed.lines().skip(1).map(|row| row[21..].to_owned()).collect();
        let expected = [format!("{RAVI}  {ASHA}  image  photo.jpg"), format!(r"{ASHA}  {RAVI}  text   hi\n\u{{1b}}[31m")];
        assert_eq!(rows, expected, "{args:?}");
    }
    run(url, &["message", "send", ASHA, RAVI, ""]).await.failed(1, "400 invalid_field");
    run(url, &["message", "list", "+919000000000"]).await.failed(1, "find user +919000000000: User not found");
}

/// Goal: the dashboard's figures and feed are shown. Method: known events; numbers and order.
#[tokio::test]
async fn stats_and_activity() {
    let server = TestServer::start().await;
    let url = server.url();
    contact(url).await;
    let stats = run(url, &["stats"]).await.ok();
    for line in
        ["users               2\n", "  new today         2 (100 %)\n", "contacts            1\n", "messages            0\n"]
    {
        assert!(stats.contains(line), "{stats}");
    }
    assert_eq!(stats.lines().count(), 15, "six totals, a blank line, a header, seven days: {stats}");
    assert!(run(url, &["stats", "--json"]).await.ok().starts_with(r#"{"totalUsers":2,"#));
    let activity = run(url, &["activity"]).await.ok();
    let rows: Vec<_> = activity.lines().map(|row| row[19..].trim()).collect();
    let expected = [
        "SEQ  TYPE           DESCRIPTION".to_owned(),
        format!("3  contact_added  {ASHA} added {RAVI}"),
        format!("2  user_created   {RAVI} joined"),
        format!("1  user_created   {ASHA} joined"),
    ];
    assert_eq!(rows, expected);
    assert_eq!(run(url, &["activity", "-n", "1", "--json"]).await.ok().lines().count(), 1);
}

/// Goal: each shell gets a script. Method: the name of the program is in it; no server is asked.
#[tokio::test]
async fn completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run("http://127.0.0.1:1", &["completions", shell]).await.ok();
        assert!(script.contains("sambad-cli") && script.contains("watch"), "{shell}");
    }
}

/// Goal: colours come and go as asked. Method: every combination of flag and environment, on a pipe.
#[tokio::test]
async fn colours() {
    let server = TestServer::start().await;
    user(server.url(), ASHA).await;
    for (flag, variables, coloured) in [
        ("auto", &[][..], false),
        ("auto", &["CLICOLOR_FORCE"], true),
        ("auto", &["CLICOLOR_FORCE", "NO_COLOR"], false),
        ("always", &["NO_COLOR"], true),
        ("never", &["CLICOLOR_FORCE"], false),
    ] {
        let mut list = command(server.url(), &["user", "list", "--color", flag]);
        list.envs(variables.iter().map(|name| (name, "1")));
        let output = crate::harness::finish(list).await.ok();
        assert_eq!(output.contains('\u{1b}'), coloured, "{flag} {variables:?}: {output:?}");
    }
}
