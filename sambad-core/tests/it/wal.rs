//! The WAL stays short, whoever reads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use sambad_core::{After, Filter, Limits, Seq};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::database::TestDatabase;
use crate::harness::{Core, login};

/// Goal: readers who overlap without end do not keep the WAL from being emptied. Method: six readers that read the whole log
/// from the store again and again while 30,000 users are written; the WAL's length is looked at all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn constant_readers_do_not_pin_the_wal() {
    const BOUND: u64 = 1 << 20;
    let limits = Limits { tail_bytes_max: 0, wal_bytes_max: BOUND, ..Limits::default() };
    let core = Core::start(TestDatabase::sqlite(), limits).await;
    let done = AtomicBool::new(false);
    let read = async || {
        let mut pages = 0;
        while !done.load(Ordering::Relaxed) {
            let mut after = After::Seq(Seq(0));
            loop {
                let page = core.sambad.events(after, Filter::default(), 1000).await.unwrap();
                pages += 1;
                if page.events.is_empty() || done.load(Ordering::Relaxed) {
                    break;
                }
                after = page.cursor.into();
            }
        }
        pages
    };
    let mut wal = core.database.file().into_os_string();
    wal.push("-wal");
    let write = async {
        let mut longest = 0;
        for wave in 0..300 {
            join_all((0..100).map(|number| core.sambad.execute(login(wave * 100 + number), None))).await;
            longest = longest.max(std::fs::metadata(&wal).unwrap().len());
        }
        done.store(true, Ordering::Relaxed);
        longest
    };
    let lists = async {
        let list = async || {
            let mut pages = 0;
            while !done.load(Ordering::Relaxed) {
                let all = sambad_core::UserQuery::All { order: sambad_core::UserOrder::OldestFirst, after: None };
                core.sambad.users(&all, 500).await.unwrap();
                pages += 1;
            }
            pages
        };
        join_all((0..6).map(|_| list())).await
    };
    let readers = async {
        let (a, b) = tokio::join!(join_all((0..6).map(|_| read())), lists);
        [a, b].concat()
    };
    let (longest, pages) = tokio::time::timeout(Duration::from_secs(100), async { tokio::join!(write, readers) }).await.unwrap();
    println!("WAL at most {longest} bytes, {} pages read", pages.iter().sum::<u64>());
    assert!(longest < 32 << 20, "the WAL grew to {longest} bytes");
    core.stop().await;
}

/// Goal: a reader that stays, such as a backup, holds up nobody. Method: a transaction that reads and is kept open while far more is
/// written than is written back at a time; every write is answered; once it is gone the WAL is written back and begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stays_delays_no_writes() {
    let core = Core::start(TestDatabase::sqlite(), Limits::default()).await;
    core.sambad.execute(login(1_000_000), None).await.unwrap();
    let mut reader = SqliteConnectOptions::new().filename(core.database.file()).connect().await.unwrap();
    sqlx::query("begin; select count(*) from events").execute(&mut reader).await.unwrap();
    let mut wal = core.database.file().into_os_string();
    wal.push("-wal");
    let write = async |first: u64, waves: u64| {
        for wave in first..first + waves {
            let answers = join_all((0..100).map(|number| core.sambad.execute(login(wave * 100 + number), None)));
            let answers = tokio::time::timeout(Duration::from_secs(10), answers).await.expect("writers are not held up");
            assert!(answers.iter().all(Result::is_ok));
        }
        std::fs::metadata(&wal).unwrap().len()
    };
    let pinned = write(0, 100).await;
    assert!(pinned > 2 * 4096 * 1000, "{pinned} bytes are less than is written back at a time: nothing was tried");
    reader.close().await.unwrap();
    let longest = write(100, 100).await;
    assert!(longest < pinned + pinned / 2, "from {pinned} to {longest} bytes: the WAL did not begin anew");
    core.stop().await;
}
