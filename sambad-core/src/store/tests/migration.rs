//! What becomes of the rows of an older version.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::*;

on_every_database!(rows_of_an_older_version_get_their_places);

/// Migrations of the version that stored no places.
const BEFORE: i64 = 3;
/// Three users and their rows, none in the order of its id: the log begins at 5, with the third user.
const ROWS: &str = "
    insert into users (id, phone, email, name, created_at, last_active_at) values
        ('00000000-0000-7000-8000-0000000000a3', '+919876543210', 'a@b', null, AT(1), AT(1)),
        ('00000000-0000-7000-8000-0000000000a1', '+919876543211', 'a@b', null, AT(2), AT(2)),
        ('00000000-0000-7000-8000-0000000000a2', '+14155550100', 'a@b', null, AT(5), AT(5));
    insert into contacts (id, user_id, contact_user_id, name, created_at) values
        ('00000000-0000-7000-8000-0000000000c2', USER(3), USER(1), null, AT(3)),
        ('00000000-0000-7000-8000-0000000000c1', USER(1), USER(2), null, AT(6));
    insert into messages (id, from_user_id, to_user_id, content, type, created_at) values
        ('00000000-0000-7000-8000-0000000000f9', USER(3), USER(1), 'trimmed', 'text', AT(4)),
        ('00000000-0000-7000-8000-0000000000f2', USER(3), USER(1), 'first', 'text', AT(9)),
        ('00000000-0000-7000-8000-0000000000f1', USER(1), USER(3), 'second', 'text', AT(7));
    insert into events (seq, kind, user_id, other_id, created_at, data) values
        (5, 'user_created', USER(2), null, AT(5), DATA(a2, 5)),
        (6, 'contact_added', USER(1), USER(2), AT(6), DATA(c1, 6)),
        (7, 'message_sent', USER(3), USER(1), AT(9), DATA(f2, 9)),
        (8, 'message_sent', USER(1), USER(3), AT(9), DATA(f1, 7));
    insert into daily (day, users, contacts, messages, last_active) values (0, 3, 2, 3, 3);
    update log set head = 8, last_at = AT(9), users = 3, contacts = 2, messages = 3,
        event_bytes = (select sum(octet_length(data)) from events)";

/// `ROWS` for one of the databases: instants are so many seconds of 1970.
fn rows(url: &str) -> String {
    let is_sqlite = url.starts_with("sqlite:");
    let mut text = ROWS.to_owned();
    for n in 1..=9 {
        let at = if is_sqlite { format!("{n}000000") } else { format!("timestamptz '1970-01-01 00:00:0{n}Z'") };
        text = text.replace(&format!("AT({n})"), &at);
        text = text.replace(&format!("USER({n})"), &format!("'00000000-0000-7000-8000-0000000000a{n}'"));
        for id in ["a2", "c1", "f1", "f2"] {
            let data =
                format!(r#"'{{"id":"00000000-0000-7000-8000-0000000000{id}","created_at":"1970-01-01T00:00:0{n}.000000Z"}}'"#);
            text = text.replace(&format!("DATA({id}, {n})"), &data);
        }
    }
    if is_sqlite { text } else { text + ", first = 5" }
}

/// Goal: lists of a database that an older version wrote are in the order of its log, with rows whose events were trimmed before
/// all others, and go on so. Method: its schema, rows in another order than their ids, two of three kinds with a trimmed one; then
/// the lists, what `check` says, and writes.
async fn rows_of_an_older_version_get_their_places(database: TestDatabase) {
    let url = database.url();
    older_version(&url).await;
    let mut fixture = Fixture::on(database).await;
    let names = |users: Vec<User>| users.iter().map(|user| user.phone.as_str().to_owned()).collect::<Vec<_>>();
    let all = |order, after| UserQuery::All { order, after };
    let users = fixture.store.users(&all(UserOrder::OldestFirst, None), 10).await.unwrap().value;
    assert_eq!(names(users.items), [A, B, C]);
    let newest = fixture.store.users(&all(UserOrder::NewestFirst, None), 2).await.unwrap().value;
    let after = newest.next.map(|token| token.parse().unwrap());
    assert_eq!(names(newest.items), [C, B]);
    assert_eq!(names(fixture.store.users(&all(UserOrder::NewestFirst, after), 2).await.unwrap().value.items), [A]);
    let contacts = fixture.store.contacts(&ContactQuery { user: None, after: None }, 10).await.unwrap().value.items;
    assert_eq!(contacts.iter().map(|entry| entry.contact.user_username.as_str()).collect::<Vec<_>>(), [B, A]);
    fixture.clock = Timestamp::from_micros(20_000_000);
    fixture.commit(vec![message(A, B, "third"), message(B, A, "fourth")]).await;
    for user in [None, Some("00000000-0000-7000-8000-0000000000a3".parse().unwrap())] {
        let query = MessageQuery { user, with: None, after: None };
        let messages = fixture.store.messages(&query, 10).await.unwrap().value.items;
        let said: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(said, ["fourth", "third", "second", "first", "trimmed"]);
    }
    let findings = check(&url).await.unwrap();
    let faults: Vec<_> = findings.iter().filter(|finding| finding.severity == crate::check::Severity::Fault).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Makes a database as the version before would have left it.
async fn older_version(url: &str) {
    let folder = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(name);
    let rows = AssertSqlSafe(rows(url));
    if url.starts_with("sqlite:") {
        let options = url.parse::<SqliteConnectOptions>().unwrap().create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        Migrator::new(folder("sqlite")).await.unwrap().run_to(BEFORE, &mut connection).await.unwrap();
        sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        Migrator::new(folder("postgres")).await.unwrap().run_to(BEFORE, &mut connection).await.unwrap();
        sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}
