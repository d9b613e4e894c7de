//! Frames that no sound server sends, and what is said of them.

use clap::Parser as _;

use super::*;
use crate::args::{Cli, Command};
use crate::load::clock::Clock;
use crate::load::plan::{Place, Places, Users};
use crate::load::workload::Workload;

/// What a run with one message an operation shares.
fn shared() -> Arc<Shared> {
    shared_behind(0)
}

/// ... whose users were created up to that seq.
fn shared_behind(head: u64) -> Arc<Shared> {
    let words = ["sambad-bench", "run", "--users", "10", "--mix", "message=1", "--warmup", "0s"];
    let Some(Command::Run(run)) = Cli::try_parse_from(words).unwrap().command else { panic!("it is a run") };
    let plan = run.load.plan(&run.target, 2).unwrap();
    let workload = Workload::new(plan.mix.clone(), plan.seed, 7, 10);
    let place = Place { address: ([127, 0, 0, 1], 1).into(), authority: String::new() };
    let places = Places { writers: vec![place.clone()], sessions: vec![place] };
    let shared = Shared::new(plan, places, Clock::start(), workload, Users { head, ..Users::default() });
    shared.set_begin(0);
    shared.ledger.begin(0, 10, 20);
    shared
}

fn judge(shared: &Arc<Shared>, thread: u32) -> (Judge, Recorder) {
    let mut judge = Judge::new(Arc::clone(shared), thread, [Role::Dashboard(thread)]);
    let mut recorder = Recorder::default();
    let connected = r#"{"type":"connected","data":{"cursor":"0000000a-5"}}"#;
    assert_eq!(judge.receive(0, connected, 100, &mut recorder), Ok(Frame::Connected));
    (judge, recorder)
}

/// The event of operation 0, with this id.
fn event(shared: &Shared, id: &str) -> String {
    let [actor, other] = shared.workload.op(0).involved().map(|user| shared.workload.phone(user.unwrap()));
    let content = shared.workload.content(0);
    format!(
        r#"{{"type":"message_sent","data":{{"id":"{id}","from_username":"{actor}","to_username":"{other}","content":"{content}"}},"seq":6}}"#
    )
}

/// Goal: a frame that the contract does not know is a fault, and the session goes on. Method: one of each sort, then an event.
#[test]
fn strange_frames_are_unexplained() {
    for frame in [
        r#"{"type":"surprise"}"#,
        r#"{"type":"message_sent","data":{"id":"x"}}"#,
        r#"{"type":"message_sent","data":{},"seq":18446744073709551615}"#,
        r#"{"type":"connected","data":{"cursor":"0000000b-5"}}"#,
        r#"{"type":"resync","data":{"reason":"epoch_changed","cursor":"0000000b-5"}}"#,
        r#"{"type":"heartbeat","data":{"cursor":"0000000a-5"}}"#,
        "no JSON",
    ] {
        let shared = shared();
        let (mut judge, mut recorder) = judge(&shared, 0);
        assert!(judge.receive(0, frame, 100, &mut recorder).is_ok(), "{frame}");
        assert!(judge.receive(0, &event(&shared, "a"), 200, &mut recorder).is_ok());
        let audit = &recorder.tally.audit;
        assert_eq!((audit.unexplained, audit.checked, audit.findings.len()), (1, 1, 1), "{frame}: {audit:?}");
    }
}

/// Goal: the position that a session of one user gets is held against the events. Method: one beyond the last event, the same
/// again, and an event that it passed over.
#[test]
fn a_position_passes_over_no_event() {
    let shared = shared();
    let mut judge = Judge::new(Arc::clone(&shared), 0, [Role::App(0)]);
    let mut recorder = Recorder::default();
    judge.receive(0, r#"{"type":"connected","data":{"cursor":"0000000a-5"}}"#, 100, &mut recorder).unwrap();
    let heartbeat = r#"{"type":"heartbeat","data":{"cursor":"0000000a-9"}}"#;
    for (frame, expected) in [(heartbeat, 0), (heartbeat, 1), (&*event(&shared, "a"), 2)] {
        judge.receive(0, frame, 200, &mut recorder).unwrap();
        assert_eq!(recorder.tally.audit.findings.len(), expected, "{frame}: {:?}", recorder.tally.audit);
    }
}

/// Goal: a session on a server that has not heard of all users yet may see them. Method: the event of a user that was there
/// before the load, at a place among theirs, and behind it.
#[test]
fn users_of_the_setup_are_explained() {
    for (head, unexplained, untimed) in [(6, 0, 0), (5, 1, 1)] {
        let shared = shared_behind(head);
        let (mut judge, mut recorder) = judge(&shared, 0);
        let username = shared.workload.phone(0);
        let text = format!(r#"{{"type":"user_created","data":{{"username":"{username}"}},"seq":6}}"#);
        assert!(judge.receive(0, &text, 100, &mut recorder).is_ok());
        let found = (recorder.tally.audit.unexplained, recorder.tally.untimed, recorder.tally.audit.checked);
        assert_eq!(found, (unexplained, untimed, 1), "{head}");
    }
}

/// Goal: every session gets the same bytes, whichever thread it belongs to. Method: two threads, the same event and another.
#[test]
fn an_altered_event_is_noticed_across_threads() {
    for (id, unexplained) in [("a", 0), ("b", 1)] {
        let shared = shared();
        let ((mut one, mut first), (mut other, mut second)) = (judge(&shared, 0), judge(&shared, 1));
        assert!(one.receive(0, &event(&shared, "a"), 200, &mut first).is_ok());
        assert!(other.receive(0, &event(&shared, id), 200, &mut second).is_ok());
        assert_eq!((first.tally.audit.unexplained, second.tally.audit.unexplained), (0, unexplained), "{id}");
    }
}

/// Goal: what is missing in the end is counted, and what came in time is not. Method: a log that is one event further.
#[test]
fn the_end_of_the_log_is_owed() {
    let shared = shared();
    let (mut judge, mut recorder) = judge(&shared, 0);
    assert!(judge.receive(0, &event(&shared, "a"), 200, &mut recorder).is_ok());
    shared.set_goal();
    assert!(judge.is_caught_up());
    shared.ledger.raise_head(8);
    shared.set_goal();
    assert!(!judge.is_caught_up());
    judge.close(&mut recorder.tally);
    assert_eq!(recorder.tally.audit.lost, 2);
    assert!(recorder.tally.audit.findings[0].contains("seq 7 never reached dashboard 0"));
}
