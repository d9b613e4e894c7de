//! Disks that fail at chosen operations: COMMIT fails, a write goes in half, nothing can be written for a while.

use std::sync::Arc;

use crate::harness::process::Process;
use crate::harness::{audit, soon};
use crate::layer::{Action, EIO, ENOSPC, EROFS, FOR_EVER, Rule, file, op};
use crate::load::{self, Load};
use crate::readers::Readers;
use crate::rows;
use crate::world::{World, kill, seed, times};

/// Exit code of a server that ended itself.
const ENDED: i32 = 3;
const WRITERS: u64 = 16;
/// Faults in the suite.
const FAULTS: u64 = 48;
/// After so many faults the server is killed while the next one lasts.
const FAULTS_OF_A_PROCESS: u64 = 12;

/// Faults: the operations, the files, the most that pass before, whether writers notice.
struct Fault {
    name: &'static str,
    action: Action,
    ops: u64,
    files: u64,
    skip_max: u64,
    noticed: bool,
}

const FAULTS_OF_A_DISK: [Fault; 7] = [
    fault("COMMIT's fsync fails", Action::Fail(EIO), op::SYNC, file::WAL, 20, true),
    fault("a write of a batch fails", Action::Fail(EIO), op::WRITE, file::WAL, 200, true),
    fault("a batch finds no room", Action::Fail(ENOSPC), op::WRITE, file::WAL, 200, true),
    fault("a write goes in half", Action::Shorten, op::WRITE, file::WAL, 200, true),
    fault("a write-back fails", Action::Fail(EIO), op::WRITE, file::MAIN, 50, false),
    fault("a write-back finds no room", Action::Fail(ENOSPC), op::WRITE, file::MAIN, 50, false),
    fault("the file system is read-only", Action::Fail(EROFS), READ_ONLY, u64::MAX, 20, true),
];

/// What a file system that has become read-only refuses.
const READ_ONLY: u64 = op::CREATE | op::WRITE | op::TRUNCATE | op::UNLINK | op::OPEN;

const fn fault(name: &'static str, action: Action, ops: u64, files: u64, skip_max: u64, noticed: bool) -> Fault {
    Fault { name, action, ops, files, skip_max, noticed }
}

/// Goal: a disk that fails at any operation costs refusals (503) and nothing else: no session, no hole, nothing acknowledged, and
/// retries with a key tell the truth; and when it works again, so does the server. Method: faults of seven kinds at random
/// operations under load, the server killed in the middle of some, and the audits of the crash test.
/// SAMBAD_TEST_FAULTS faults (48), SAMBAD_TEST_SEED repeats the choices.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_to_a_disk_that_fails() {
    let seed = seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let world = Arc::new(World::new(false));
    let mut server = world.start().await;
    let readers = Readers::start(&world).await;
    let load = Load::start(&world, WRITERS, seed);
    let (faults, mut kills, mut cuts) = (times("SAMBAD_TEST_FAULTS", FAULTS), 0, 0);
    for i in 0..faults {
        let fault = &FAULTS_OF_A_DISK[usize::try_from(i).unwrap() % FAULTS_OF_A_DISK.len()];
        let ended = tokio::select! {
            // Acknowledgements, more than can be on their way, say that it lives: it may meet the fault after its last refusal.
            () = async {
                happen(&world, &load, fault, &mut rng).await;
                load.acknowledged(20).await;
            } => false,
            status = server.ends() => {
                // The fsync that failed was that of a write-back, by chance.
                assert_eq!((status.code(), fault.ops), (Some(ENDED), op::SYNC), "{}", fault.name);
                true
            }
        };
        if ended {
            world.layer.disarm(0);
            server = world.start().await;
            cuts = sessions_are_back(&server, &readers).await;
        }
        assert_eq!(readers.cuts(), cuts, "a session was lost: {}", fault.name);
        load.acknowledged(20).await;
        if (i + 1) % FAULTS_OF_A_PROCESS == 0 {
            // What a failed fsync left in the file comes back with the next start, or does not: both are "unknown".
            let fault = &FAULTS_OF_A_DISK[rng.usize(0..2)];
            world.layer.arm(0, fault.rule().times(FOR_EVER));
            world.layer.until_hit(0, 1).await;
            kill(server).await;
            world.layer.disarm(0);
            server = world.start().await;
            kills += 1;
            load.acknowledged(20).await;
            rows::check(&world.database()).await.unwrap();
            cuts = sessions_are_back(&server, &readers).await;
        }
    }
    let refused = load.answers().refused;
    let writes = load.stop().await;
    let tally = load::audit(&readers.finish().await, &writes);
    audit(&server.api).await;
    server.terminate().await;
    assert_eq!(server.end().await.code(), Some(0));
    rows::check(&world.database()).await.unwrap();
    println!("{faults} faults, {kills} kills during one, {refused} answers 503; {tally:?}; 0 lost");
}

/// Waits for every stream to have a session again; gives the cuts they met so far.
async fn sessions_are_back(server: &Process, readers: &Readers) -> u64 {
    soon("sessions that are back", async {
        while server.api.get("/api/health").await.json()["sessions"] != 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    readers.cuts()
}

impl Fault {
    fn rule(&self) -> Rule {
        Rule::new(self.action, self.ops, self.files)
    }
}

/// Has a fault begin at a random operation and last for a while, and ends it.
async fn happen(world: &World, load: &Load, fault: &Fault, rng: &mut fastrand::Rng) {
    let refused = load.answers().refused;
    let rule = fault.rule().skip(rng.u64(0..=fault.skip_max));
    if fault.action == Action::Shorten {
        // SQLite writes the other half with the next call, unless that fails.
        world.layer.arm(1, Rule { action: Action::Fail(ENOSPC), ..rule.skip(rule.skip + 1) });
        world.layer.arm(0, rule);
    } else {
        world.layer.arm(0, rule.times(FOR_EVER));
    }
    if fault.noticed {
        let enough = if fault.action == Action::Shorten { 1 } else { rng.u64(1..60) };
        load.until(fault.name, |answers| answers.refused >= refused + enough).await;
    } else {
        world.layer.until_hit(0, rng.u64(1..4)).await;
    }
    world.layer.disarm(0);
    world.layer.disarm(1);
}
