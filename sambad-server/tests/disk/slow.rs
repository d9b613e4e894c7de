//! A slow disk: latency rises, and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sambad_client::{NewMessage, NewUser};

use crate::harness::{Api, audit};
use crate::layer::{Action, FOR_EVER, Rule, file, op, read_log};
use crate::load::{self, Load};
use crate::platter::{Platter, Survives};
use crate::readers::{PHONE, Readers};
use crate::recording::{Recording, recover};
use crate::rows;
use crate::world::{World, kill};

const WRITERS: u64 = 16;
/// How much longer each fsync takes.
const STALL: Duration = Duration::from_millis(300);
/// The same, for the write that other requests are raced against.
const STALL_OF_ONE: Duration = Duration::from_secs(3);
/// Acknowledgements that are compared with the disk of their moment.
const COMPARED: usize = 60;

/// Goal: on a disk whose fsync takes long, a write is answered later, never before its fsync; nothing is lost, no session ends, and
/// health checks are answered meanwhile. Method: fsyncs held up by 300 ms under load; requests raced against a write whose fsync takes 3 s; and for
/// each acknowledgement the disk as a power cut at that very moment would leave it at worst.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_delays_writes_and_nothing_else() {
    let world = Arc::new(World::new(true));
    let server = world.start().await;
    let readers = Readers::start(&world).await;
    world.layer.arm(0, slow_by(STALL_OF_ONE));

    let client = world.client();
    // Logging in again changes nothing, and so waits for no disk.
    let user = client.login(&NewUser::new(PHONE)).await.unwrap().value.user.id;
    let begun = Instant::now();
    let write = tokio::spawn(async move { client.send_message(&NewMessage::text(user, user, "slow")).await });
    let slowest = answers_meanwhile(&server.api).await;
    assert!(!write.is_finished(), "requests that write nothing took as long as a write");
    write.await.unwrap().unwrap();
    let alone = begun.elapsed();
    assert!(alone >= STALL_OF_ONE, "a write was answered after {alone:?}, before it could be on disk");

    world.layer.arm(0, slow_by(STALL));
    let load = Load::start(&world, WRITERS, 1);
    load.acknowledged(200).await;
    assert_eq!(load.answers().refused, 0);
    assert_eq!(readers.cuts(), 0, "a session was lost to a slow disk");
    let writes = load.stop().await;
    let tally = load::audit(&readers.finish().await, &writes);
    audit(&server.api).await;
    let log = rows::log(&world.database()).await.unwrap();
    kill(server).await;

    let recording = Recording::new(read_log(world.layer.log().unwrap()), &writes, log);
    let compared = acknowledged_early(&recording).await;
    println!(
        "{} fsyncs held up by {STALL:?}: a write took {alone:?}, health checks meanwhile at most {slowest:?}; {} acknowledged, \
         {compared} compared with the disk of their moment: 0 early, 0 lost",
        world.layer.hits(0),
        tally.acknowledged
    );
}

fn slow_by(time: Duration) -> Rule {
    Rule::new(Action::Delay(time.as_millis().try_into().unwrap()), op::SYNC, file::WAL).times(FOR_EVER)
}

/// Asks for health while a write waits for the disk; gives the longest time that an answer took.
async fn answers_meanwhile(api: &Api) -> Duration {
    let mut slowest = Duration::ZERO;
    for path in ["/livez", "/api/health", "/readyz", "/api/users", "/api/health"] {
        let asked = Instant::now();
        assert_eq!(api.get(path).await.status, 200, "{path}");
        slowest = slowest.max(asked.elapsed());
    }
    slowest
}

/// Checks that each acknowledgement was on disk when it arrived: were the power cut then, and nothing but what was fsynced
/// left, it would be there. Gives how many were checked.
async fn acknowledged_early(recording: &Recording) -> usize {
    let (mut platter, mut done) = (Platter::default(), 0);
    let step = (recording.acknowledged.len() / COMPARED).max(1);
    let mut compared = 0;
    for (bytes, _) in recording.acknowledged.iter().step_by(step) {
        while recording.ops.get(done).is_some_and(|next| next.end <= *bytes) {
            platter.apply(&recording.ops, done);
            done += 1;
        }
        let state = platter.cut(&recording.ops, Survives::Nothing, &mut fastrand::Rng::with_seed(0));
        let what = format!("cut at an acknowledgement, after {done} operations");
        recover(state, recording.acknowledged_by(*bytes), Arc::clone(&recording.log), what).await.unwrap();
        compared += 1;
    }
    compared
}
