//! `kill -9` at any instant: what was acknowledged is on disk once, and every stream sees each event once.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::Duration;

use sambad_client::Event;

use crate::harness::process::Process;
use crate::harness::{audit, soon};
use crate::layer::{Action, Rule, file, op};
use crate::load::{self, Load, Outcome, Subject, Tally};
use crate::readers::Readers;
use crate::rows;
use crate::world::{World, kill, seed, times};

/// Kills that one database lives through before the next begins: an audit costs as much as there is to audit.
const KILLS_OF_A_LIFE: u64 = 36;
const WRITERS: u64 = 16;
const SIGKILL: i32 = 9;

/// Where the layer can kill, how, and how many such operations it lets pass at most.
const POINTS: [(&str, Action, u64, u64, u64); 9] = [
    ("after the fsync of COMMIT, before publish", Action::KillAfter, op::SYNC, file::WAL, 60),
    ("before the fsync of COMMIT", Action::KillBefore, op::SYNC, file::WAL, 60),
    ("in the middle of a batch", Action::KillAfter, op::WRITE, file::WAL, 600),
    ("in the middle of a write-back", Action::KillAfter, op::WRITE, file::MAIN, 100),
    ("after the write-back, before its fsync", Action::KillBefore, op::SYNC, file::MAIN, 1),
    ("after the fsync of the write-back", Action::KillAfter, op::SYNC, file::MAIN, 1),
    // These two are reached at start, when the index of the log is made anew.
    ("in recovery, index emptied", Action::KillAfter, op::TRUNCATE, file::SHM, 1),
    ("in recovery, index growing", Action::KillAfter, op::WRITE, file::SHM, 8),
    ("anywhere on the disk", Action::KillBefore, op::WRITE | op::SYNC | op::TRUNCATE, file::MAIN | file::WAL, 2000),
];

/// How a server is killed.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// By the test, after so many acknowledgements and microseconds.
    AnyTime { answers: u64, us: u64 },
    /// By the layer, at one of the points.
    AtPoint(usize, u64),
}

/// Goal: whatever dies whenever, an acknowledged write is one row and one event, others are wholly there or not at all, retries
/// with a key store nothing twice, and every stream sees each event once and in order. Method: the binary under load over many
/// connections, killed at random instants and at chosen operations of the disk, and audits after each restart and in the end.
/// SAMBAD_TEST_KILLS kills (36), SAMBAD_TEST_SEED repeats the choices.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_to_kills() {
    let seed = seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let kills = times("SAMBAD_TEST_KILLS", KILLS_OF_A_LIFE);
    // Half by the test, half by the layer, each point in turn.
    let any_time = |rng: &mut fastrand::Rng| Death::AnyTime { answers: rng.u64(0..300), us: rng.u64(0..3000) };
    let at_point = |point: usize, rng: &mut fastrand::Rng| Death::AtPoint(point, rng.u64(0..POINTS[point].4));
    let turns = (0_usize..).take(usize::try_from(kills).unwrap());
    let turn = |i: usize| if i.is_multiple_of(2) { any_time(&mut rng) } else { at_point(i / 2 % POINTS.len(), &mut rng) };
    let mut deaths: Vec<Death> = turns.map(turn).collect();
    rng.shuffle(&mut deaths);

    let (mut sum, mut at_points) = (Tally::default(), [0_u64; POINTS.len()]);
    for (life, deaths) in deaths.chunks(usize::try_from(KILLS_OF_A_LIFE).unwrap()).enumerate() {
        let tally = live(seed.wrapping_add(life as u64 * 1000), deaths).await;
        sum.acknowledged += tally.acknowledged;
        sum.replayed += tally.replayed;
        sum.unknown_stored += tally.unknown_stored;
        sum.unknown_absent += tally.unknown_absent;
    }
    for death in &deaths {
        if let Death::AtPoint(point, _) = death {
            at_points[*point] += 1;
        }
    }
    println!("{kills} kills: {} at any time", kills - at_points.iter().sum::<u64>());
    for ((name, ..), count) in POINTS.iter().zip(at_points) {
        println!("  {count} {name}");
    }
    println!(
        "{} acknowledged, {} of them by a retry that found the write stored; unanswered: {} stored, {} absent; 0 lost",
        sum.acknowledged, sum.replayed, sum.unknown_stored, sum.unknown_absent
    );
    assert!(sum.unknown_stored + sum.replayed > 0 && sum.unknown_absent > 0, "the kills hit no write: {sum:?}");
}

/// One database from its creation through `deaths` to an orderly end.
async fn live(seed: u64, deaths: &[Death]) -> Tally {
    let world = Arc::new(World::new(false));
    let mut server = world.start().await;
    let readers = Readers::start(&world).await;
    let load = Load::start(&world, WRITERS, seed);
    let mut log = Vec::new();
    for death in deaths {
        server = die(&world, server, &load, *death).await;
        recount(&world, &load, &mut log).await;
    }
    assert!(readers.cuts() >= deaths.len() as u64, "the streams lived through fewer deaths than there were");
    let writes = load.stop().await;
    let tally = load::audit(&readers.finish().await, &writes);
    audit(&server.api).await;
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
    rows::check(&world.database()).await.unwrap();
    tally
}

/// Has the server die, and starts it again.
async fn die(world: &World, server: Process, load: &Load, death: Death) -> Process {
    let (point, skip) = match death {
        Death::AnyTime { answers, us } => {
            load.acknowledged(answers).await;
            // Any instant is meant, not the one right after an answer.
            tokio::time::sleep(Duration::from_micros(us)).await;
            kill(server).await;
            return world.start().await;
        }
        Death::AtPoint(point, skip) => (POINTS[point], skip),
    };
    let (name, action, ops, files, _) = point;
    let rule = Rule::new(action, ops, files).skip(skip);
    if files == file::SHM {
        kill(server).await;
        world.layer.arm(0, rule);
        assert!(world.try_start().await.is_err(), "the server was not killed {name}");
    } else {
        world.layer.arm(0, rule);
        let status = soon("death at the point", server.end()).await;
        assert_eq!(status.signal(), Some(SIGKILL), "{name}");
    }
    assert_eq!(world.layer.hits(0), 1, "{name}");
    world.layer.disarm(0);
    world.start().await
}

/// Reads what the log holds more than before, and compares rows, events and what was acknowledged up to now.
async fn recount(world: &World, load: &Load, log: &mut Vec<Event>) {
    let writes = load.writes();
    log.extend(world.log_after(log.len() as u64).await);
    for write in &writes {
        if let Outcome::Acknowledged { seq, .. } = write.outcome {
            let event = log.get(usize::try_from(seq).unwrap() - 1);
            assert_eq!(event.map(Subject::of).as_ref(), Some(&write.subject), "{seq} was acknowledged");
        }
    }
    rows::check(&world.database()).await.unwrap();
}
