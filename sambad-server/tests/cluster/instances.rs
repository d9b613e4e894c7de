//! The harness itself: what a test relies on when it stops a database or breaks a link.

use std::time::Duration;

use sambad_server::testing::{Database, Loses, Postgres, Proxy, Redis};
use sqlx::Connection as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::soon;

const COUNT: &str = "select count(*) from kept";

/// Goal: an instance comes back where it was with what was committed, and an ended one has ended. Method: a row, then an
/// orderly and a disorderly end.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_comes_back_with_what_it_had() {
    let mut postgres = Postgres::start().await;
    postgres.create("mine").await;
    let url = postgres.url("mine");
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("create table kept (id bigint); insert into kept values (1)").execute(&mut connection).await.unwrap();
    postgres.restart().await;
    sqlx::query(COUNT).execute(&mut connection).await.unwrap_err();
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(COUNT).fetch_one(&mut connection).await.unwrap(), 1);
    postgres.crash().await;
    sqlx::PgConnection::connect(&url).await.unwrap_err();
    postgres.start_again().await;
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(COUNT).fetch_one(&mut connection).await.unwrap(), 1);
    for setting in ["fsync", "synchronous_commit"] {
        let value: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(&mut connection).await.unwrap();
        assert_eq!(value, "on", "{setting}");
    }
}

/// Goal: each test has a database of its own, and leaves none behind. Method: two of them, with a connection that stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_a_tests_own_and_goes() {
    let (one, other) = tokio::join!(Database::new(), Database::new());
    one.run("create table kept (id bigint)").await;
    assert_eq!(other.run("select to_regclass('kept') is null").await, "t");
    let url = one.url().to_owned();
    let connection = sqlx::PgConnection::connect(&url).await.unwrap();
    drop(one);
    sqlx::PgConnection::connect(&url).await.unwrap_err();
    drop(connection);
}

/// Goal: an instance of Redis is stopped and started as the test says, and asks for a password when it should. Method: `PING`
/// over a socket.
#[tokio::test(flavor = "multi_thread")]
async fn redis_comes_back_at_its_port() {
    let mut redis = Redis::start_with("opensesame").await;
    assert!(redis.url().contains(":opensesame@"), "{}", redis.url());
    let ask = |port: u16| async move {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    assert_eq!(&ask(redis.port()).await.unwrap(), b"-NOAUTH");
    redis.stop().await;
    ask(redis.port()).await.unwrap_err();
    redis.start_again().await;
    assert_eq!(&ask(redis.port()).await.unwrap(), b"-NOAUTH");
}

/// Somebody who says back what they hear, behind a proxy.
async fn echo() -> (Proxy, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await;
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut chunk = [0; 64];
        while let Ok(bytes @ 1..) = stream.read(&mut chunk).await {
            heard.extend(&chunk[..bytes]);
            if stream.write_all(&chunk[..bytes]).await.is_err() {
                break;
            }
        }
        heard
    });
    (proxy, heard)
}

/// Says something and hears it back.
async fn exchange(stream: &mut TcpStream, said: &[u8]) -> std::io::Result<()> {
    stream.write_all(said).await?;
    let mut heard = vec![0; said.len()];
    soon("echo", stream.read_exact(&mut heard)).await?;
    assert_eq!(heard, said);
    Ok(())
}

/// Goal: a link breaks at the words that the test names, and loses the side that it names. Method: somebody who says back what
/// they hear, and who remembers it.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_breaks_where_it_should() {
    for (loses, heard) in [(Loses::Question, &b"before"[..]), (Loses::Answer, b"before...COMMIT...")] {
        let (proxy, server) = echo().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        proxy.break_at(b"COMMIT", loses);
        exchange(&mut stream, b"before").await.unwrap();
        exchange(&mut stream, b"...COMMIT...").await.unwrap_err();
        soon("break", proxy.broken()).await;
        assert_eq!(soon("end", server).await.unwrap(), heard, "{loses:?}");
    }
}

/// Goal: a cut link has no connections, a frozen one keeps them and what was said. Method: an echo through each.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_cut_frozen_and_healed() {
    let (proxy, _) = echo().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    exchange(&mut stream, b"whole").await.unwrap();
    proxy.freeze();
    stream.write_all(b"late").await.unwrap();
    let mut answer = [0; 4];
    tokio::time::timeout(Duration::from_millis(200), stream.read_exact(&mut answer)).await.unwrap_err();
    proxy.heal();
    soon("echo", stream.read_exact(&mut answer)).await.unwrap();
    proxy.cut();
    exchange(&mut stream, b"cut").await.unwrap_err();
    let mut another = TcpStream::connect(proxy.address()).await.unwrap();
    exchange(&mut another, b"cut").await.unwrap_err();
}
