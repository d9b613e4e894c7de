//! What is in the database's file, past the server; and a port at which a server comes back.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::page::Page;

/// Rows, by table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) users: u64,
    pub(crate) contacts: u64,
    pub(crate) messages: u64,
    pub(crate) head: u64,
}

impl Rows {
    pub(crate) async fn count(directory: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(directory.join("sambad.db")).read_only(true);
        let mut connection = options.connect().await.unwrap();
        let rows = Self {
            users: count(&mut connection, "select count(*) from users").await,
            contacts: count(&mut connection, "select count(*) from contacts").await,
            messages: count(&mut connection, "select count(*) from messages").await,
            head: count(&mut connection, "select head from log").await,
        };
        connection.close().await.unwrap();
        rows
    }

    /// Waits until the page shows these numbers.
    pub(crate) async fn are_shown_by(&self, page: &Page) {
        page.card_shows("total-users", self.users).await;
        page.card_shows("contacts", self.contacts).await;
        page.card_shows("messages", self.messages).await;
        page.shows(self.head).await;
    }
}

async fn count(connection: &mut SqliteConnection, sql: &'static str) -> u64 {
    let number: i64 = sqlx::query_scalar(sql).fetch_one(connection).await.unwrap();
    number.try_into().unwrap()
}

/// A port that stays free while its server is dead: below those that the kernel gives to outgoing connections.
pub(crate) fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = fastrand::u16(10_240..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
