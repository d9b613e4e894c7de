use sambad_core::{Epoch, Seq};

use super::*;

const CAP: Duration = Duration::from_secs(5);

fn machine(after: Option<After>) -> Machine {
    Machine::new(&EventStreamOptions { after, ..EventStreamOptions::default() })
}

fn cursor(text: &str) -> Cursor {
    text.parse().unwrap()
}

fn connected(cursor: &str) -> Frame {
    let text = format!(r#"{{"type":"connected","data":{{"cursor":"{cursor}","head":99,"first":1,"heartbeat_s":25}}}}"#);
    Frame::parse(&text).unwrap()
}

fn event(seq: u64) -> Frame {
    Frame::parse(&format!(r#"{{"type":"x","data":{{}},"timestamp":"2025-01-15T12:00:00Z","seq":{seq}}}"#)).unwrap()
}

fn live(cursor: &str) -> Frame {
    Frame::parse(&format!(r#"{{"type":"live","data":{{"cursor":"{cursor}"}}}}"#)).unwrap()
}

fn resync(cursor: &str) -> Frame {
    Frame::parse(&format!(r#"{{"type":"resync","data":{{"reason":"epoch_changed","cursor":"{cursor}"}}}}"#)).unwrap()
}

fn cut() -> Error {
    Error::Silent { after: Duration::ZERO }
}

/// The items so far, each as one word.
fn told(machine: &mut Machine) -> Vec<String> {
    let word = |item| match item {
        Item::Event(event) => format!("event {}", event.seq),
        Item::Resync(resync) => format!("resync {}", resync.cursor),
        Item::State(State::Connecting { attempt }) => format!("connecting {attempt}"),
        Item::State(State::Replaying { cursor, head }) => format!("replaying {cursor} to {head}"),
        Item::State(State::Live { cursor }) => format!("live {cursor}"),
        Item::State(State::Reconnecting { delay, .. }) => format!("reconnecting {}", delay.as_millis()),
        Item::State(State::Closed) => "closed".into(),
    };
    std::iter::from_fn(|| machine.take()).map(word).collect()
}

/// Goal: without a position the stream is live at once, and resumes after what it passed on. Method: a cut, two lives.
#[test]
fn a_fresh_stream_resumes_after_its_last_event() {
    let now = Instant::now();
    let mut machine = machine(None);
    machine.dialing();
    machine.frame(connected("0000000a-5"), now);
    assert_eq!(told(&mut machine), ["connecting 1", "live 0000000a-5"]);
    assert_eq!(machine.after(), Some(After::Cursor(cursor("0000000a-5"))));
    machine.frame(event(6), now);
    machine.lost(cut(), None, now, 1.0);
    machine.dialing();
    assert_eq!(machine.after(), Some(After::Cursor(cursor("0000000a-6"))));
    machine.frame(connected("0000000a-6"), now);
    machine.frame(event(7), now);
    machine.frame(live("0000000a-7"), now);
    let expected = ["event 6", "reconnecting 100", "connecting 1", "replaying 0000000a-6 to 99", "event 7", "live 0000000a-7"];
    assert_eq!(told(&mut machine), expected);
}

/// Goal: a bare seq is asked for until the server has named the epoch. Method: a failed attempt, then a good one.
#[test]
fn a_bare_seq_becomes_a_cursor() {
    let now = Instant::now();
    let mut machine = machine(Some(After::Seq(Seq(3))));
    machine.lost(cut(), None, now, 1.0);
    assert_eq!((machine.after(), machine.cursor()), (Some(After::Seq(Seq(3))), None));
    machine.frame(connected("0000000a-3"), now);
    assert_eq!(machine.cursor(), Some(cursor("0000000a-3")));
}

/// Goal: a resync is heard even when the connection breaks before it. Method: cut between `connected` and `resync`.
#[test]
fn a_resync_cannot_be_lost() {
    let now = Instant::now();
    let mut machine = machine(Some(After::Cursor(cursor("0000000a-5"))));
    machine.frame(connected("0000000b-2"), now);
    machine.lost(cut(), None, now, 1.0);
    assert_eq!(machine.after(), Some(After::Cursor(cursor("0000000a-5"))));
    machine.frame(connected("0000000b-2"), now);
    machine.frame(resync("0000000b-2"), now);
    machine.frame(event(3), now);
    assert_eq!(machine.cursor(), Some(Cursor { epoch: Epoch(0xb), seq: Seq(3) }));
    assert_eq!(told(&mut machine)[2..], ["replaying 0000000b-2 to 99", "resync 0000000b-2", "live 0000000b-2", "event 3"]);
}

/// Goal: what the server repeats is passed on, but not asked for again. Method: a repeated and an older event.
#[test]
fn repeats_do_not_move_the_cursor_back() {
    let now = Instant::now();
    let mut machine = machine(None);
    machine.frame(connected("0000000a-5"), now);
    for seq in [6, 7, 7, 6] {
        machine.frame(event(seq), now);
    }
    assert_eq!(told(&mut machine)[1..], ["event 6", "event 7", "event 7", "event 6"]);
    assert_eq!(machine.cursor(), Some(cursor("0000000a-7")));
}

/// Goal: delays start over after a connection that was of use, not after a mere handshake. Method: each sort in turn.
#[test]
fn only_success_resets_the_delay() {
    let now = Instant::now();
    let mut machine = machine(None);
    let mut delay = |frames: Vec<Frame>, lasted: Duration| {
        frames.into_iter().for_each(|frame| machine.frame(frame, now));
        machine.lost(cut(), None, now + lasted, 1.0).as_millis()
    };
    assert_eq!(delay(vec![], CAP), 100);
    assert_eq!(delay(vec![connected("0000000a-5")], Duration::ZERO), 200);
    assert_eq!(delay(vec![connected("0000000a-5")], Duration::ZERO), 400);
    assert_eq!(delay(vec![connected("0000000a-5"), event(6)], Duration::ZERO), 100);
    assert_eq!(delay(vec![], CAP), 200);
    assert_eq!(delay(vec![connected("0000000a-5")], CAP), 100);
}

/// Goal: a delay that the server asks for is kept, plus at most a quarter. Method: both ends.
#[test]
fn the_servers_delay_is_a_lower_bound() {
    let now = Instant::now();
    let asked = Some(Duration::from_millis(400));
    assert_eq!(machine(None).lost(cut(), asked, now, 0.0).as_millis(), 400);
    assert_eq!(machine(None).lost(cut(), asked, now, 1.0).as_millis(), 500);
}

/// Goal: the address says exactly what is asked. Method: nothing, and everything.
#[test]
fn the_address_carries_the_question() {
    let base = Url::parse("http://h:1/sambad").unwrap();
    assert_eq!(address(&base, None, Filter::default()).as_str(), "http://h:1/sambad/ws");
    let filter = Filter {
        kinds: [sambad_core::EventKind::ContactAdded].into_iter().collect(),
        user: Some("0198f0c4-7b1e-7000-8000-00000000000a".parse().unwrap()),
    };
    assert_eq!(
        address(&base, Some(cursor("0000000a-5").into()), filter).as_str(),
        "http://h:1/sambad/ws?after=0000000a-5&types=contact_added&user=0198f0c4-7b1e-7000-8000-00000000000a"
    );
}
