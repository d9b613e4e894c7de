//! An SQLite database with rows of every kind, and what its readers keep of it.

use std::fmt::Write as _;
use std::time::Duration;

use sambad_core::access::{AccessChange, Actor};
use sambad_core::{
    Command, Config, Cursor, IdempotencyKey, LogBounds, Outcome, Receipt, Retention, Sambad, Seq, Timestamp, UserRef, maintenance,
};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tempfile::TempDir;

use crate::harness::{login, user_id};

pub(crate) const PASSWORD_HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaA";

/// A database that a server has left.
pub(crate) struct Filled {
    pub(crate) directory: TempDir,
    pub(crate) bounds: LogBounds,
    /// Of a client that has not seen the last events.
    pub(crate) cursor: Cursor,
    /// Requests with keys, and their answers: with an event, and without one.
    pub(crate) answered: [(Command, &'static str, Receipt); 2],
}

pub(crate) fn actor() -> Actor {
    Actor { name: "test".into(), remote: "192.0.2.1".into() }
}

fn soon() -> Timestamp {
    Timestamp::now().plus(Duration::from_secs(3600))
}

pub(crate) fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name, [7; 32]).unwrap()
}

impl Filled {
    /// 41 users, 20 contacts of which 10 are removed again, 20 messages, of whose events 30 are kept; accounts, sessions, tokens.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let retention = Retention::Events(30);
        let sambad = Sambad::open(Config { retention, ..Config::new(url(&directory)) }).await.unwrap();
        let mut ids = Vec::new();
        for number in 0..41 {
            ids.push(user_id(&sambad.execute(login(number), None).await.unwrap()));
        }
        for (number, pair) in ids[1..].chunks(2).enumerate() {
            let (user, contact) = (UserRef::Id(pair[0]), UserRef::Id(pair[1]));
            let name = (number % 2 == 0).then(|| "Ärger \"Ö\" \u{1f600}\n".into());
            let add = Command::AddContact { user: user.clone(), contact: contact.clone(), name };
            let Outcome::ContactAdded { contact: added, .. } = sambad.execute(add, None).await.unwrap().outcome else { panic!() };
            let message = Command::SendMessage {
                from: user,
                to: contact,
                content: "no \\u0000, 'quotes'".into(),
                message_type: "text".into(),
            };
            sambad.execute(message, None).await.unwrap();
            if number < 10 {
                sambad.execute(Command::RemoveContact { id: added.id, owner: None }, None).await.unwrap();
            }
        }
        let send = Command::SendMessage {
            from: UserRef::Id(ids[0]),
            to: UserRef::Id(ids[1]),
            content: "once".into(),
            message_type: "text".into(),
        };
        let again = login(3);
        let answered = [
            (send.clone(), "with-seq", sambad.execute(send, Some(key("with-seq"))).await.unwrap()),
            (again.clone(), "without", sambad.execute(again, Some(key("without"))).await.unwrap()),
        ];
        assert!(answered[0].2.seq.is_some() && answered[1].2.seq.is_none());
        for change in access(ids[5]) {
            sambad.change_access(change, actor()).await.unwrap();
        }
        while sambad.bounds().first == Seq(1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let bounds = sambad.bounds();
        let cursor = Cursor { epoch: bounds.epoch, seq: Seq(bounds.head.0 - 10) };
        sambad.shutdown().await;
        drop(sambad);
        let filled = Self { directory, bounds, cursor, answered };
        // Its number must not come again although nothing is left of it.
        filled.run("delete from revocations where n = (select max(n) from revocations)").await;
        filled.run("update log set last_at = last_at + 3600000000").await;
        assert!(maintenance::reset_clock(&filled.url()).await.unwrap().is_some());
        filled
    }

    pub(crate) fn url(&self) -> String {
        url(&self.directory)
    }

    pub(crate) async fn run(&self, sql: &'static str) {
        let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

fn access(user: sambad_core::UserId) -> Vec<AccessChange> {
    let (email, network) = (String::from("root@example.com"), String::from("198.51.100.0/24"));
    let add = |email: &str| AccessChange::AddAdmin { email: email.into(), password_hash: PASSWORD_HASH.into() };
    let revoke = |id: &str| AccessChange::Revoke { id: id.into(), expires_at: soon() };
    vec![
        add(&email),
        add("gone@example.com"),
        AccessChange::LoginAdmin {
            email: email.clone(),
            password_hash: PASSWORD_HASH.into(),
            network: network.clone(),
            digest: "cookie".into(),
            expires_at: soon(),
        },
        AccessChange::RemoveAdmin { email: "gone@example.com".into() },
        AccessChange::FailLogin { email: Some(email), network: network.clone() },
        AccessChange::FailLogin { email: None, network },
        AccessChange::StartFamily {
            user,
            family: "family".into(),
            digest: "first".into(),
            expires_at: soon(),
            revoked_until: soon(),
            by_service: false,
        },
        AccessChange::Refresh { digest: "first".into(), next: "second".into(), expires_at: soon(), revoked_until: soon() },
        revoke("token-1"),
        revoke("token-2"),
        revoke("token-3"),
    ]
}

pub(crate) fn url(directory: &TempDir) -> String {
    format!("sqlite:{}", directory.path().join("test.db").display())
}

/// All that an SQLite database holds, but for what sqlx notes and what a copy leaves behind: a line a row.
pub(crate) async fn contents(url: &str) -> String {
    const TABLES: &str = "select m.name, (select group_concat(name) from pragma_table_info(m.name)) from sqlite_master m
        where type = 'table' and m.name not in ('_sqlx_migrations', 'discovery', 'askers', 'asked_phones') order by 1";
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    let mut text = String::new();
    for (table, columns) in sqlx::query_as::<_, (String, String)>(TABLES).fetch_all(&mut connection).await.unwrap() {
        let select = format!("select json_array({columns}) from {table} order by 1");
        for row in sqlx::query_scalar::<_, String>(AssertSqlSafe(select)).fetch_all(&mut connection).await.unwrap() {
            writeln!(text, "{table} {row}").unwrap();
        }
    }
    connection.close().await.unwrap();
    text
}
