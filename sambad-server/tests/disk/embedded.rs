//! A program that embeds the core, on a disk that fails while the log is written back: the program goes on, and opens it again.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sambad_core::{After, Command, Config, ErrorKind, Fatal, Filter, Limits, Outcome, Sambad, Seq, UserId, UserRef};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;

use crate::harness::soon;
use crate::layer::{Action, EIO, Rule, file, op, read_log};
use crate::power_cut::cut;
use crate::recording::Recording;
use crate::rows;
use crate::world::{World, seed};

/// The program's database, and the layer's log of operations.
const DATABASE: &str = "SAMBAD_TEST_EMBEDDED_DATABASE";
const LAYER_LOG: &str = "SAMBAD_TEST_EMBEDDED_LAYER_LOG";
const WRITERS: usize = 16;
/// Acknowledgements before the disk fails, and after the core was opened again.
const ANSWERS: usize = 700;
const STATES: u64 = 60;

/// Goal: where the disk fails while the log is written back, a program that embeds the core lives on, is refused everything, and can
/// open the core again without a loss, also to a power cut. Method: such a program under load on the failing disk, its own
/// assertions, and states of the disk after power cuts, each against what had been acknowledged by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_outlives_a_write_back_that_fails() {
    let seed = seed();
    let world = World::new(true);
    let mut program = tokio::process::Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "embedded::program", "--ignored", "--nocapture"]).kill_on_drop(true);
    program.envs(world.layer.env(&world.database())).env(DATABASE, world.database()).env(LAYER_LOG, world.layer.log().unwrap());
    let mut child = program.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    while let Some(line) = soon("line of the program", lines.next_line()).await.unwrap() {
        let Some((bytes, seq)) = line.strip_prefix("acknowledged ").and_then(|line| line.split_once(' ')) else {
            println!("{line}");
            continue;
        };
        acknowledged.push((bytes.parse().unwrap(), seq.parse().unwrap()));
        if acknowledged.len() == ANSWERS {
            world.layer.arm(0, Rule::new(Action::Fail(EIO), op::SYNC, file::MAIN));
        }
    }
    assert!(soon("end of the program", child.wait()).await.unwrap().success(), "see above");
    acknowledged.sort_unstable();
    let ops = read_log(world.layer.log().unwrap());
    assert_eq!(ops.iter().filter(|done| done.op == op::FAILED_SYNC).count(), 1);
    let log = rows::log(&world.database()).await.unwrap();
    let recording = Recording { ops, acknowledged, log: log.into() };
    let found = cut(&recording, STATES, &mut fastrand::Rng::with_seed(seed)).await;
    assert_eq!((found.lost, found.first), (0, None));
}

/// Goal: the program of the test above, which holds the core to its promises from within. Method: load until the core has stopped, each
/// face of it then, and the core opened again under load.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the test above runs it"]
async fn program() {
    let database = format!("sqlite:{}", std::env::var(DATABASE).unwrap());
    // Readers read the store, so that some write-backs are cut short.
    let limits = Limits { tail_bytes_max: 0, ..Limits::default() };
    let open = async || Sambad::open(Config { limits: limits.clone(), ..Config::new(&database) }).await.unwrap();
    let sambad = open().await;
    let user = user(&sambad).await;
    let mut events = sambad.subscribe(None, Filter::default()).await.unwrap();
    let last = load(&sambad, user, usize::MAX).await;

    let Some(Fatal::DiskFailed(error)) = sambad.fatal() else { panic!("{:?}", sambad.fatal()) };
    assert!(matches!(sambad.stopped().await, Fatal::DiskFailed(_)), "{error}");
    let unavailable = |error: sambad_core::Error| assert_eq!(error.kind(), ErrorKind::Unavailable);
    unavailable(sambad.execute(message(user), None).await.unwrap_err());
    unavailable(sambad.would_take(1).unwrap_err());
    unavailable(sambad.user(&UserRef::Id(user)).await.unwrap_err());
    unavailable(sambad.stored_bounds().await.unwrap_err());
    unavailable(sambad.events(After::Seq(Seq(0)), Filter::default(), 1).await.unwrap_err());
    unavailable(sambad.subscribe(None, Filter::default()).await.unwrap_err());
    unavailable(sambad.log().locate(After::Seq(Seq(1))).await.unwrap_err());
    unavailable(events.next().await.unwrap_err());
    soon("end of the core", sambad.shutdown()).await;
    drop((sambad, events));

    let sambad = open().await;
    assert!(sambad.fatal().is_none() && sambad.bounds().head.0 >= last, "{} of {last}", sambad.bounds().head);
    load(&sambad, user, ANSWERS).await;
    sambad.shutdown().await;
}

async fn user(sambad: &Sambad) -> UserId {
    let login = Command::Login { phone: "+919876543210".parse().unwrap(), name: None };
    match sambad.execute(login, None).await.unwrap().outcome {
        Outcome::LoggedIn { user, .. } => user.id,
        other => panic!("{other:?}"),
    }
}

fn message(user: UserId) -> Command {
    let user = UserRef::Id(user);
    Command::SendMessage { from: user.clone(), to: user, content: "x".repeat(500), message_type: "text".into() }
}

/// Writes and reads until so many writes were acknowledged or the core has stopped; the highest seq that was.
async fn load(sambad: &Sambad, user: UserId, answers: usize) -> u64 {
    let (mut tasks, last) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
    for _ in 0..WRITERS {
        let (sambad, last) = (sambad.clone(), Arc::clone(&last));
        tasks.spawn(async move {
            for _ in 0..answers.div_ceil(WRITERS) {
                let Ok(receipt) = sambad.execute(message(user), None).await else { break };
                let seq = receipt.seq.unwrap().0;
                last.fetch_max(seq, Ordering::Relaxed);
                let bytes = std::fs::metadata(Path::new(&std::env::var_os(LAYER_LOG).unwrap())).unwrap().len();
                println!("acknowledged {bytes} {seq}");
            }
        });
    }
    let reading = async {
        while sambad.events(After::Seq(Seq(0)), Filter::default(), 1000).await.is_ok() {}
        std::future::pending().await
    };
    tokio::select! {
        written = tasks.join_all() => drop::<Vec<()>>(written),
        never = reading => never,
    }
    last.load(Ordering::Relaxed)
}
