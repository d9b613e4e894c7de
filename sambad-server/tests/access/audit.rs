//! The audit log: what was done, by whom, in a chain that shows where it was tampered with.

use sambad_core::access::AccessChange;
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use crate::harness::{ADMIN, PASSWORD, PASSWORD_HASH, World};

fn actions(entries: &Value) -> Vec<(&str, &str)> {
    let entries = entries.as_array().expect("a list").iter().rev();
    entries.map(|entry| (entry["action"].as_str().unwrap(), entry["actor"].as_str().unwrap())).collect()
}

/// Goal: everything that matters is in the log with who did it and from where, newest first, page by page. Method: one of
/// each, then the list; secrets must be nowhere in it.
#[tokio::test(flavor = "multi_thread")]
async fn what_matters_is_kept() {
    let world = World::start().await;
    world.add_admin(PASSWORD_HASH).await;
    world.log_in_as_admin("wrong horse battery").await;
    let cookie = world.log_in_as_admin(PASSWORD).await.cookie();
    let user = world.login("+919876543210").await;
    let by_cookie = [("cookie", cookie.as_str())];
    let path = format!("/api/messages?userId={}", user["id"].as_str().unwrap());
    assert_eq!(world.send("GET", &path, &by_cookie, None).await.status, 200);
    // Events hold messages as well, however they are read.
    let path = format!("/api/events?user={}", user["id"].as_str().unwrap());
    for path in [path.as_str(), "/api/admin/activity", "/api/events/stream"] {
        assert_eq!(world.send("GET", path, &by_cookie, None).await.status, 200);
    }
    drop(world.socket("", &by_cookie).await.expect("the cookie is good"));
    let refresh = async |token: &Value| world.post_as_nobody("/api/users/refresh", &json!({ "refresh_token": token })).await;
    let next = refresh(&user["refresh_token"]).await.json();
    assert_eq!(refresh(&next["refresh_token"]).await.status, 200);
    assert_eq!(refresh(&user["refresh_token"]).await.status, 401, "its successor was used");
    assert_eq!(world.send("POST", "/api/admin/logout", &by_cookie, None).await.status, 200);
    let answer = world.get("/api/admin/audit", &world.admin()).await;
    let entries = answer.json();
    let expected = [
        ("admin_added", "test"),
        ("login_failed", "anonymous"),
        ("admin_logged_in", ADMIN),
        ("user_logged_in", "backend"),
        ("messages_read", ADMIN),
        ("events_read", ADMIN),
        ("events_read", ADMIN),
        ("events_read", ADMIN),
        ("events_read", ADMIN),
        ("refresh_token_reused", "anonymous"),
        ("admin_logged_out", ADMIN),
    ];
    assert_eq!(actions(&entries), expected);
    let read = &entries[6];
    assert_eq!((&read["subject"], &read["remote"]), (&user["id"], &json!("127.0.0.1")));
    for secret in [PASSWORD, cookie.split_once('=').unwrap().1, user["refresh_token"].as_str().unwrap()] {
        assert!(!answer.text.contains(secret), "{secret}");
    }

    // The list has been read since.
    let page = world.get("/api/admin/audit?limit=6", &world.admin()).await;
    assert!(page.headers.contains_key("link"), "{page:?}");
    assert_eq!(actions(&page.json()).last(), Some(&("audit_read", "operator")));
    let next = page.headers["link"].to_str().unwrap().trim_start_matches('<').split('>').next().unwrap().to_owned();
    let rest = world.get(&next, &world.admin()).await;
    assert_eq!((page.json().as_array().unwrap().len(), actions(&rest.json()).len()), (6, 6));
    assert!(rest.headers.get("link").is_none(), "{rest:?}");
    world.stop().await;
}

/// Goal: whatever an admin reads about people leaves a trace, by whatever credentials, and a dashboard that polls does not fill the log:
/// the first read of an hour is an entry, the others one count. Method: every list of each kind, by two admins, twenty times; then what a
/// user and a service read, which leaves none; then the hour passes by the clock of what is counted.
#[tokio::test(flavor = "multi_thread")]
async fn admins_reads_leave_a_trace() {
    let world = World::start().await;
    world.add_admin(PASSWORD_HASH).await;
    let cookie = world.log_in_as_admin(PASSWORD).await.cookie();
    let user = world.login("+919876543210").await;
    let id = user["id"].as_str().unwrap();
    let reads = [
        ("/api/users", "users_read", "all users"),
        ("/api/admin/users?q=asha", "users_read", "all users"),
        (&format!("/api/users/{id}"), "users_read", id),
        ("/api/users/+919876543210", "users_read", id),
        ("/api/users/+919876543219", "users_read", "no such user"),
        ("/api/contacts", "contacts_read", "all users"),
        (&format!("/api/contacts?userId={id}"), "contacts_read", id),
        ("/api/admin/sessions", "sessions_read", "all sessions"),
        ("/api/admin/audit", "audit_read", "audit log"),
    ];
    for _ in 0..20 {
        for (path, ..) in reads {
            let status = if path.ends_with("219") { 404 } else { 200 };
            assert_eq!(world.send("GET", path, &[("cookie", &cookie)], None).await.status, status, "{path}");
            assert_eq!(world.get(path, &world.admin()).await.status, status, "{path}");
        }
    }
    let token = user["token"].as_str().unwrap();
    for path in ["/api/contacts", "/api/messages", "/api/events", &format!("/api/users/{id}")] {
        assert_eq!(world.get(path, token).await.status, 200, "{path}");
    }
    // Nor do figures, which say nothing about anybody.
    for path in ["/api/admin/analytics", "/metrics", "/api/health"] {
        assert_eq!(world.get(path, &world.admin()).await.status, 200, "{path}");
    }
    let kinds: Vec<_> = reads.iter().map(|(_, action, subject)| (*action, *subject)).collect();
    let mut expected: Vec<(String, String, String, i64)> = Vec::new();
    for actor in [ADMIN, "operator"] {
        for (action, subject) in &kinds {
            let entry = (actor.to_owned(), (*action).to_owned(), (*subject).to_owned(), 1);
            if !expected.contains(&entry) {
                expected.push(entry);
            }
        }
    }
    expected.sort();
    let entries = async || {
        let entries = world.server.sambad().audit(i64::MAX, 500).await.unwrap().value;
        let reads = entries.into_iter().filter(|entry| entry.action.ends_with("_read"));
        let mut reads: Vec<_> = reads.map(|entry| (entry.actor, entry.action, entry.subject, entry.count)).collect();
        reads.sort();
        reads
    };
    assert_eq!(entries().await, expected);

    let mut connection = SqliteConnection::connect(&world.server.database()).await.unwrap();
    sqlx::raw_sql("update audit_repeats set since = 0").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    world.change(AccessChange::Tidy).await;
    for (actor, action, subject, _) in expected.clone() {
        let paths = kinds.iter().filter(|kind| **kind == (action.as_str(), subject.as_str())).count();
        expected.push((actor, action, subject, 20 * i64::try_from(paths).unwrap() - 1));
    }
    expected.sort();
    assert_eq!(entries().await, expected);
    world.stop().await;
}

/// Goal: who may know what of the server's health: anyone whether it works, callers who authenticate where the log ends, admins how many
/// sessions there are; nobody is refused for their credentials. Method: each kind of caller, with good and bad credentials.
#[tokio::test(flavor = "multi_thread")]
async fn health_tells_strangers_nothing_of_the_log() {
    let world = World::start().await;
    world.add_admin(PASSWORD_HASH).await;
    let cookie = world.log_in_as_admin(PASSWORD).await.cookie();
    let user = world.login("+919876543210").await;
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let (own, service, admin) = (user["token"].as_str().unwrap(), world.service(), world.admin());
    for (who, headers, knows_log, knows_sessions) in [
        ("nobody", None, false, false),
        ("a bad token", Some(bearer("abc")), false, false),
        ("a bad cookie", Some(("cookie", "sambad_session=x".to_owned())), false, false),
        ("a user", Some(bearer(own)), true, false),
        ("a service", Some(bearer(&service)), true, false),
        ("an admin", Some(bearer(&admin)), true, true),
        ("an admin's cookie", Some(("cookie", cookie.clone())), true, true),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = world.send("GET", "/api/health", &headers, None).await;
        let health = answer.json();
        assert_eq!(
            (answer.status, &health["status"], &health["database"]),
            (200, &json!("healthy"), &json!("connected")),
            "{who}"
        );
        assert!(health["version"].is_string() && health["writable"] == true, "{who}: {health}");
        for known in [health.get("head").is_some(), health.get("first").is_some(), answer.headers.contains_key("sambad-cursor")] {
            assert_eq!(known, knows_log, "{who}: {answer:?}");
        }
        assert_eq!(health.get("sessions").is_some(), knows_sessions, "{who}: {health}");
    }
    world.stop().await;
}

/// Goal: whoever changes an entry, takes one out, or adds one of their own is found out. Method: the database of a server that
/// has ended, tampered with in each way past the triggers, and the real `check`; untouched, it finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn tampering_shows() {
    for (statement, found) in [
        ("select 1", None),
        ("update audit set actor = 'somebody else' where n = 2", Some("2 was changed")),
        ("delete from audit where n = 2", Some("2 is missing")),
        ("delete from audit where n = 1", Some("1 is missing")),
        ("update audit set count = 5 where n = 2", Some("2 was changed")),
        ("update audit set count = 1 where n = 3", Some("3 was changed")),
        (
            "insert into audit (n, at, actor, action, subject, remote, hash) select n + 1, at, actor, action, subject, remote, hash from audit where n = 3",
            Some("4 was changed"),
        ),
    ] {
        let world = World::start().await;
        world.add_admin(PASSWORD_HASH).await;
        // An entry, and a count that becomes one.
        for _ in 0..3 {
            world.login("+919876543210").await;
        }
        let mut connection = SqliteConnection::connect(&world.server.database()).await.unwrap();
        sqlx::raw_sql("update audit_repeats set since = 0").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        world.change(AccessChange::Tidy).await;
        let directory = world.server.stop().await;
        let database = format!("sqlite:{}", directory.path().join("sambad.db").display());
        let mut connection = SqliteConnection::connect(&database).await.unwrap();
        if found.is_some() && !statement.starts_with("insert") {
            assert!(sqlx::raw_sql(statement).execute(&mut connection).await.is_err(), "the log is append-only: {statement}");
        }
        let past = "drop trigger audit_entries_stay; drop trigger audit_entries_stay_as_they_are";
        sqlx::raw_sql(past).execute(&mut connection).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sambad-server"));
        let output = command.args(["check", "--listen", "127.0.0.1:0", "--database", &database]).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let line = stdout.lines().find(|line| line.contains("audit chain holds")).expect("it is examined");
        assert_eq!(line.starts_with("FAULT"), found.is_some(), "{statement}: {line}");
        assert!(line.contains(found.unwrap_or("3 entries")), "{statement}: {line}");
    }
}
