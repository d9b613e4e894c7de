//! What PostgreSQL does for a read, seen in its plans.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::ANSWER_TIMEOUT;
use super::super::pool::{Lease, RELEASE_TIMEOUT};
use super::*;
use crate::limits::Limits;
use crate::store::Store;
use crate::store::tests::database::TestDatabase;

/// 300 users, 100,000 events, and as many messages; the last user has half of all messages to himself.
const FILL: &str = "
    set session_replication_role = replica;
    insert into users select md5('user' || i)::uuid, '+1415' || (1000000 + i), 'a@b', 'Name ' || i, now(), now(), i
        from generate_series(1, 300) i;
    insert into users values ('ffffffff-0000-0000-0000-000000000000', '+14159999999', 'a@b', 'Name', now(), now(), 301);
    insert into events select i, case when i % 3 = 0 then 'user_created' else 'message_sent' end, md5('user' || (1 + i % 300))::uuid,
            case when i % 3 > 0 then md5('user' || (1 + i % 299))::uuid end, now(), repeat('x', 200)
        from generate_series(1, 100000) i;
    insert into messages select md5('message' || i)::uuid,
            case when i % 2 = 0 then 'ffffffff-0000-0000-0000-000000000000' else md5('user' || (1 + i % 300))::uuid end,
            md5('user' || (1 + i % 299))::uuid, 'hello', 'text', now(), i
        from generate_series(1, 100000) i;
    insert into contacts select md5('contact' || i)::uuid, 'ffffffff-0000-0000-0000-000000000000', md5('user' || i)::uuid, null, now(), i
        from generate_series(1, 300) i;
    insert into audit select i, now(), 'a', 'b', 'c', 'd', 'e' from generate_series(1, 2000) i;
    update log set head = 100000";

const READS: [(&str, &str); 22] = [
    (EVENTS_BY_SEQ, "50000, 51, 262144"),
    (EVENTS_BY_SEQ, "99990, 51, 262144"),
    (EVENTS_OF_USER, "0, 51, 262144, md5('user7')::uuid"),
    (EVENTS_OF_USER, "90000, 51, 262144, md5('user7')::uuid"),
    (NEWEST_EVENTS, "51"),
    (USER_BY_ID, "md5('user7')::uuid"),
    (USER_BY_PHONE, "'+14151000007', '+14151000008'"),
    (USERS_OLDEST_FIRST, "100, 51"),
    (USERS_NEWEST_FIRST, "200, 51"),
    (USERS_BY_PHONE_PREFIX, "'+1415', '+1416', '+1415', '+1416', '+14151000100', 51"),
    (USERS_BY_PHONE_PREFIX, "'+1', '+2', '+1415', '+1416', '+14151000100', 51"),
    (USERS_BY_NAME_PREFIX, "'name', 'namf', 51"),
    (USERS_BY_NAME_PREFIX_AFTER, "'name', 'namf', 51, md5('user7')::uuid"),
    (KNOWN_USERS, "array['+14151000007', '+14151000008', '+14151000009']"),
    (CONTACTS_NEWEST_FIRST, "9223372036854775807, 51"),
    (CONTACTS_OF_USER, "9223372036854775807, 51, 'ffffffff-0000-0000-0000-000000000000'"),
    (MESSAGES_NEWEST_FIRST, "9223372036854775807, 51"),
    (MESSAGES_OF_USER, "9223372036854775807, 51, 'ffffffff-0000-0000-0000-000000000000'"),
    (MESSAGES_OF_USER, "9223372036854775807, 51, md5('user7')::uuid"),
    (MESSAGES_OF_PAIR, "9223372036854775807, 51, 'ffffffff-0000-0000-0000-000000000000', md5('user7')::uuid"),
    (access::AUDIT, "1000, 51"),
    (ANALYTICS, "20000"),
];

/// Rows that any step of a statement gave or threw away.
async fn rows_touched(connection: &mut PgConnection, statement: &str, arguments: &str) -> (Vec<u64>, String) {
    let explain = format!(
        "deallocate all; prepare read as {statement}; explain (analyze, costs off, timing off) execute read ({arguments})"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(connection).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    let after = |word: &'static str| {
        plan.split(word).skip(1).filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
    };
    (after("rows=").chain(after("Rows Removed by Filter: ")).collect(), plan)
}

/// Goal: no read looks at more rows than it is asked for, from either of two indexes, however large the tables are, and whatever
/// PostgreSQL knows of them. Method: the plans as they were carried out, before and after statistics were gathered, on the
/// connections that read.
#[tokio::test]
async fn reads_look_at_no_more_rows_than_they_are_asked_for() {
    let database = TestDatabase::postgres().await;
    let (store, writer) = crate::store::open(&database.url(), &Limits::default()).await.unwrap();
    let Store::Postgres(reader) = &store else { panic!("{store:?}") };
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql(FILL).execute(&mut other).await.unwrap();
    for statistics in ["", "analyze"] {
        sqlx::raw_sql(statistics).execute(&mut other).await.unwrap();
        let mut lease = reader.pool.take().await.unwrap();
        for (statement, arguments) in READS {
            let (rows, plan) = rows_touched(lease.connection(), statement, arguments).await;
            assert!(rows.len() > 2, "{plan}");
            assert!(rows.iter().all(|rows| *rows <= 2 * 51), "{statement} of {arguments} {statistics}:\n{plan}");
        }
    }
    other.close().await.unwrap();
    writer.close().await.unwrap();
    store.close().await;
}

/// Passes bytes between a reader and PostgreSQL; while it is silent nothing passes, and nobody is told.
async fn gate(to: SocketAddr, silent: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut silent = silent.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let fell_silent = tokio::select! {
                    biased;
                    _ = silent.wait_for(|silent| *silent) => true,
                    _ = copy_bidirectional(&mut client, &mut server) => false,
                };
                if fell_silent {
                    drop(silent.wait_for(|silent| !silent).await);
                }
            });
        }
    });
    address
}

/// Goal: a host that vanishes costs each read a bounded time, and no connection for good. Method: a gate that falls silent: reads
/// that wait, more than there are connections, and reads that are given up; connections must come free in silence already, and
/// reads succeed as soon as the gate opens.
#[tokio::test]
async fn a_host_that_vanished_is_not_waited_for() {
    let database = TestDatabase::postgres().await;
    let (store, writer) = crate::store::open(&database.url(), &Limits::default()).await.unwrap();
    writer.close().await.unwrap();
    store.close().await;
    let options: PgConnectOptions = database.url().parse().unwrap();
    let to = tokio::net::lookup_host((options.get_host(), options.get_port())).await.unwrap().next().unwrap();
    let (falls_silent, silent) = watch::channel(false);
    let address = gate(to, silent).await;
    let reader = Reader::open(options.host("127.0.0.1").port(address.port()).into(), 4, None).await.unwrap();
    assert!(join_all((0..4).map(|_| reader.bounds())).await.iter().all(Result::is_ok));

    falls_silent.send(true).unwrap();
    let began = Instant::now();
    let given_up = timeout(Duration::from_millis(100), reader.bounds());
    let waiting = join_all((0..6).map(|_| reader.bounds()));
    let (given_up, results) = futures_util::future::join(given_up, waiting).await;
    assert!(given_up.is_err());
    assert!(results.iter().all(|result| matches!(result, Err(Error::Unavailable(_)))), "{results:?}");
    let longest = ANSWER_TIMEOUT + RELEASE_TIMEOUT + Duration::from_secs(2);
    while reader.readers().busy > 0 {
        assert!(began.elapsed() < longest, "{:?} are still waiting", reader.readers());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    falls_silent.send(false).unwrap();
    assert!(join_all((0..4).map(|_| reader.bounds())).await.iter().all(Result::is_ok));
    reader.close().await;
}

/// Goal: connections that ended while they were idle cost a read each at most, and are replaced. Method: all are ended at once,
/// as a restart does; more reads than
/// there are places, until none fails.
#[tokio::test]
async fn connections_that_ended_are_replaced() {
    let database = TestDatabase::postgres().await;
    let (store, writer) = crate::store::open(&database.url(), &Limits::default()).await.unwrap();
    let Store::Postgres(reader) = &store else { panic!("{store:?}") };
    // Held at the same time: a read may be answered before the next one begins.
    let mut leases = Vec::new();
    for _ in 0..4 {
        leases.push(reader.pool.take().await.unwrap());
    }
    leases.into_iter().for_each(Lease::done);
    assert_eq!((reader.readers().open, reader.readers().busy), (4, 0));
    let end_all = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'sambad reader'";
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    let ended = sqlx::raw_sql(end_all).fetch_all(&mut other).await.unwrap().len();
    assert_eq!(ended, 4);
    let mut failed = 0;
    loop {
        let results = join_all((0..9).map(|_| reader.bounds())).await;
        match results.iter().filter(|result| result.is_err()).count() {
            0 => break,
            some => failed += some,
        }
        assert!(failed <= ended, "{failed} reads failed, and {ended} connections had ended");
    }
    other.close().await.unwrap();
    writer.close().await.unwrap();
    store.close().await;
    assert!(matches!(reader.bounds().await, Err(Error::Unavailable(_))), "nobody reads after the end");
}
