//! The power is cut: what was acknowledged was fsynced before, and the rest leaves no trace that SQLite cannot take back.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::{JoinError, JoinSet};

use crate::harness::process::Process;
use crate::layer::{Action, EIO, FOR_EVER, Op, Rule, file, op, read_log};
use crate::load::{self, Load};
use crate::platter::{Platter, Survives};
use crate::readers::Readers;
use crate::recording::{Recording, recover};
use crate::rows;
use crate::world::{World, kill, seed, times};

/// Exit code of a server that ended itself.
const ENDED: i32 = 3;
const WRITERS: u64 = 16;
/// Acknowledgements between the ends of the server.
const ANSWERS: u64 = 700;
/// States looked at in the suite.
const STATES: u64 = 400;
/// States being opened at a time.
const AT_ONCE: usize = 3;

/// How the server first ends.
#[derive(Debug, Clone, Copy)]
enum FirstEnd {
    /// By SIGKILL.
    Killed,
    /// By SIGKILL, once this rule has been hit.
    KilledAt(Rule),
    /// By itself, when it meets this rule.
    OfItself(Rule),
}

/// Records a server that is made, ends under load, is started again, stopped in order, and started again. `rules` are in force
/// all the time, and begin anew with the second start, or when the server ended of itself.
async fn record(seed: u64, rules: &[Rule], end: FirstEnd) -> (Recording, Arc<World>) {
    let world = Arc::new(World::new(true));
    world.layer.arm_all(rules);
    let mut server = world.start().await;
    let readers = Readers::start(&world).await;
    let load = Load::start(&world, WRITERS, seed);
    acknowledged(&world, &mut server, &load, rules).await;
    if let FirstEnd::KilledAt(last) | FirstEnd::OfItself(last) = end {
        world.layer.arm_all(&[last]);
        world.layer.until_hit(0, 1).await;
    }
    match end {
        FirstEnd::Killed | FirstEnd::KilledAt(_) => kill(server).await,
        FirstEnd::OfItself(_) => assert_eq!(server.end().await.code(), Some(ENDED)),
    }
    // Recovery itself is to succeed: a server whose disk fails then does not start.
    world.layer.arm_all(&[]);
    let mut server = world.start().await;
    world.layer.arm_all(rules);
    acknowledged(&world, &mut server, &load, rules).await;
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
    let server = world.start().await;
    load.acknowledged(ANSWERS / 2).await;
    if rules.iter().any(|rule| matches!(rule.action, Action::Fail(_))) {
        assert_ne!(load.answers().refused, 0, "it ended where it should have refused");
    }
    let writes = load.stop().await;
    load::audit(&readers.finish().await, &writes);
    let log = rows::log(&world.database()).await.unwrap();
    kill(server).await;
    let ops = read_log(world.layer.log().unwrap());
    (Recording::new(ops, &writes, log), world)
}

/// Waits for acknowledgements. An fsync of the log that fails may be that of a write-back, which the server does not survive: it is
/// started again on a disk that works, and the rules begin anew.
async fn acknowledged(world: &World, server: &mut Process, load: &Load, rules: &[Rule]) {
    let mut answered = std::pin::pin!(load.acknowledged(ANSWERS));
    loop {
        tokio::select! {
            () = &mut answered => return,
            status = server.ends() => {
                assert!(rules.iter().any(|rule| matches!(rule.action, Action::Fail(_))), "the server ended");
                assert_eq!(status.code(), Some(ENDED));
                world.layer.arm_all(&[]);
                *server = world.start().await;
                world.layer.arm_all(rules);
            }
        }
    }
}

impl Recording {
    /// Numbers of operations after which to cut: right before and after fsyncs, and anywhere.
    fn cuts(&self, count: u64, rng: &mut fastrand::Rng) -> Vec<usize> {
        let syncs: Vec<usize> = (0..self.ops.len()).filter(|i| self.ops[*i].op == op::SYNC).collect();
        let cut = |i| match i % 4 {
            0 => syncs[rng.usize(..syncs.len())],
            1 => syncs[rng.usize(..syncs.len())] + 1,
            // The first syncs are those of the database's making, which few random choices meet.
            2 if i / 4 < syncs.len() as u64 / 4 => syncs[usize::try_from(i / 4).unwrap()] + 1,
            _ => rng.usize(..=self.ops.len()),
        };
        let mut cuts: Vec<usize> = (0..count).map(cut).collect();
        cuts.sort_unstable();
        cuts
    }
}

/// What came of cutting.
#[derive(Debug, Default)]
pub(crate) struct Found {
    states: u64,
    torn: u64,
    /// States with less than was acknowledged, or otherwise wrong, and the first of what was found in them.
    pub(crate) lost: u64,
    pub(crate) first: Option<String>,
}

/// Cuts the power `count` times, and opens what is left of the disk each time.
pub(crate) async fn cut(recording: &Recording, count: u64, rng: &mut fastrand::Rng) -> Found {
    let (mut platter, mut done, mut found, mut open) = (Platter::default(), 0, Found::default(), JoinSet::new());
    for (i, cut) in recording.cuts(count, rng).into_iter().enumerate() {
        while done < cut {
            platter.apply(&recording.ops, done);
            done += 1;
        }
        let survives = Survives::ALL[i % Survives::ALL.len()];
        let state = platter.cut(&recording.ops, survives, rng);
        let bytes = cut.checked_sub(1).map_or(0, |last| recording.ops[last].end);
        found.states += 1;
        found.torn += state.torn;
        if open.len() == AT_ONCE {
            found.add(open.join_next().await);
        }
        let what = format!("cut after {cut} operations, {survives:?} survives");
        let acknowledged = recording.acknowledged_by(bytes);
        open.spawn(recover(state, acknowledged, Arc::clone(&recording.log), what));
    }
    while let Some(ended) = open.join_next().await {
        found.add(Some(ended));
    }
    found
}

impl Found {
    fn add(&mut self, ended: Option<Result<Result<(), String>, JoinError>>) {
        if let Some(Err(wrong)) = ended.map(|ended| ended.expect("opening a state does not panic")) {
            self.lost += 1;
            self.first.get_or_insert(wrong);
        }
    }
}

/// Goal: what was acknowledged survives a power cut at any moment, and the rest is wholly there or absent. Method: the binary's
/// operations on its files are recorded under load, over a kill and a stop; for many moments the files are built as a disk may
/// have them, opened by the core, and compared with what writers had been told by then. SAMBAD_TEST_STATES states (400).
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_to_power_cuts() {
    let seed = seed();
    let (recording, world) = record(seed, &[], FirstEnd::Killed).await;
    the_model_is_the_disk(&recording.ops, &world.database());
    let writes_back = recording.ops.iter().filter(|done| (done.op, done.file) == (op::SYNC, file::MAIN)).count();
    assert!(writes_back > 2, "the log was never written back");
    let begun = Instant::now();
    let found = cut(&recording, times("SAMBAD_TEST_STATES", STATES), &mut fastrand::Rng::with_seed(seed)).await;
    println!(
        "{} operations, {} acknowledgements, {writes_back} write-backs; {} states, {} torn writes in them: {} lost something ({:.1?})",
        recording.ops.len(),
        recording.acknowledged.len(),
        found.states,
        found.torn,
        found.lost,
        begun.elapsed(),
    );
    assert_eq!((found.lost, found.first), (0, None));
    assert!(found.torn > 0);
}

/// Goal: the model can find a loss. Method: a disk that answers fsync of the write-ahead log and does not do it.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_lies_is_found_out() {
    let seed = seed();
    let (recording, world) = record(seed, &[Rule::new(Action::Lie, op::SYNC, file::WAL).times(FOR_EVER)], FirstEnd::Killed).await;
    assert!(world.layer.hits(0) > 100, "the disk was hardly asked");
    let found = cut(&recording, 60, &mut fastrand::Rng::with_seed(seed)).await;
    println!("{} states, {} lost something, for example: {:?}", found.states, found.lost, found.first);
    assert!(found.lost > found.states / 4, "{found:?}");
}

/// Goal: an fsync of the write-ahead log that fails, after which the kernel forgets what it could not write, loses nothing that is
/// acknowledged later. Method: fsyncs fail here and there under load and before the kill, what was to be written is gone for good,
/// and the power is cut as above.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_to_fsyncs_that_fail() {
    let seed = seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let failing = |skip| Rule::new(Action::Fail(EIO), op::SYNC, file::WAL).skip(skip);
    let rules = [failing(rng.u64(20..30)).times(rng.u64(1..3)), failing(rng.u64(32..42)).times(rng.u64(1..3))];
    let (recording, _world) = record(seed, &rules, FirstEnd::KilledAt(failing(0).times(FOR_EVER))).await;
    let failed = recording.ops.iter().filter(|done| done.op == op::FAILED_SYNC).count();
    assert!(failed >= 5, "hardly an fsync failed");
    let found = cut(&recording, times("SAMBAD_TEST_STATES", STATES) / 2, &mut rng).await;
    println!(
        "{failed} fsyncs failed; {} states, {} torn writes in them: {} lost something",
        found.states, found.torn, found.lost
    );
    assert_eq!((found.lost, found.first), (0, None));
}

/// Goal: a write-back whose fsync fails, after which the kernel forgets what it could not write, loses nothing: the server ends of
/// itself, and the next start writes everything back anew. Method: that fsync fails under load, and the power is cut as above.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_to_write_backs_that_fail() {
    let seed = seed();
    let failing = Rule::new(Action::Fail(EIO), op::SYNC, file::MAIN);
    let (recording, _world) = record(seed, &[], FirstEnd::OfItself(failing)).await;
    let failed = recording.ops.iter().filter(|done| done.op == op::FAILED_SYNC).count();
    let mut rng = fastrand::Rng::with_seed(seed);
    let found = cut(&recording, times("SAMBAD_TEST_STATES", STATES) / 2, &mut rng).await;
    println!(
        "{failed} write-backs failed; {} states, {} torn writes in them: {} lost something",
        found.states, found.torn, found.lost
    );
    assert_eq!((failed, found.lost, found.first), (1, 0, None));
}

/// The log of operations is all that was done: replayed, it gives the files.
fn the_model_is_the_disk(ops: &[Op], database: &Path) {
    let mut platter = Platter::default();
    (0..ops.len()).for_each(|i| platter.apply(ops, i));
    let state = platter.now(ops);
    for (which, suffix) in [(file::MAIN, ""), (file::WAL, "-wal")] {
        let found = std::fs::read(format!("{}{suffix}", database.display())).unwrap();
        assert!(state.file(which) == Some(&found), "the log of operations does not tell what {suffix} holds");
    }
}
