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

/// How a transport is told where it is not the usual one.
fn by(transport: Transport) -> String {
    if transport == Transport::WebSocket { String::new() } else { format!(" by {transport}") }
}

/// The items so far, each as one word.
fn told(machine: &mut Machine) -> Vec<String> {
    let word = |item| match item {
        Item::Event(event) => format!("event {}", event.seq),
        Item::Resync(resync) => format!("resync {}", resync.cursor),
        Item::State(State::Connecting { attempt, transport }) => format!("connecting {attempt}{}", by(transport)),
        Item::State(State::Replaying { cursor, head, transport }) => format!("replaying {cursor} to {head}{}", by(transport)),
        Item::State(State::Live { cursor, transport }) => format!("live {cursor}{}", by(transport)),
        Item::State(State::Reconnecting { delay, .. }) => format!("reconnecting {}", delay.as_millis()),
        Item::State(State::TokenExpiring { why, .. }) => format!("token expiring: {why}"),
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

/// Goal: a delay that is for this session alone is kept, one that everybody is told is spread over a quarter more. Method:
/// both ends of each.
#[test]
fn the_servers_delay_is_kept() {
    let now = Instant::now();
    let asked = Some(Duration::from_millis(400));
    let refused =
        || Error::Api { status: 503, code: "unavailable".into(), message: String::new(), request_id: None, retry_after: asked };
    for (random, spread) in [(0.0, 400), (1.0, 500)] {
        let drained = Error::Closed { code: 4000, reason: "drain reconnect_after_ms=400".into() };
        assert_eq!(machine(None).lost(drained, asked, now, random).as_millis(), 400);
        assert_eq!(machine(None).lost(refused(), asked, now, random).as_millis(), spread);
    }
}

/// Goal: what does not get through gives way at once, and what works is kept. Method: down to the stream, cuts, an outage.
#[test]
fn the_transport_that_worked_is_kept() {
    let now = Instant::now();
    let mut machine = machine(None);
    machine.dialing();
    assert_eq!(machine.blocked(cut(), now, 1.0).unwrap(), Duration::ZERO);
    machine.dialing();
    machine.frame(connected("0000000a-5"), now);
    machine.frame(event(6), now);
    machine.lost(cut(), None, now, 1.0);
    machine.dialing();
    machine.lost(cut(), None, now, 1.0);
    machine.dialing();
    machine.frame(connected("0000000a-6"), now);
    machine.frame(live("0000000a-6"), now);
    let expected = [
        "connecting 1",
        "reconnecting 0",
        "connecting 2 by sse",
        "live 0000000a-5 by sse",
        "event 6",
        "reconnecting 100",
        "connecting 1 by sse",
        "reconnecting 200",
        "connecting 2 by sse",
        "replaying 0000000a-6 to 99 by sse",
        "live 0000000a-6 by sse",
    ];
    assert_eq!(told(&mut machine), expected);
}

/// Goal: when nothing gets through it begins again at the top, slower each time. Method: twice down the ladder.
#[test]
fn after_the_last_transport_comes_the_first() {
    let now = Instant::now();
    let mut machine = machine(None);
    for pause in [100, 200] {
        for (transport, delay) in [(Transport::WebSocket, 0), (Transport::Sse, 0), (Transport::Poll, pause)] {
            assert_eq!(machine.transport(), transport);
            assert_eq!(machine.blocked(cut(), now, 1.0).unwrap().as_millis(), delay);
        }
    }
}

/// Goal: a transport that was asked for is kept to. Method: each, blocked and lost.
#[test]
fn a_fixed_transport_stays() {
    let now = Instant::now();
    for transport in [Transport::WebSocket, Transport::Sse, Transport::Poll] {
        let mut machine = Machine::new(&EventStreamOptions { transport, ..EventStreamOptions::default() });
        assert!(machine.blocked(cut(), now, 1.0).is_err());
        machine.lost(cut(), None, now, 1.0);
        assert_eq!(machine.transport(), transport);
    }
}

/// Goal: a quiet reader's cursor moves along, and only forward. Method: ids without events, before and in a session.
#[test]
fn a_passed_position_is_resumed_from() {
    let now = Instant::now();
    let mut machine = machine(None);
    machine.frame(Frame::Passed(cursor("0000000a-3")), now);
    assert_eq!(machine.cursor(), None);
    machine.frame(connected("0000000a-5"), now);
    for (passed, after) in [("0000000a-9", "0000000a-9"), ("0000000a-7", "0000000a-9")] {
        machine.frame(Frame::Passed(cursor(passed)), now);
        assert_eq!(machine.after(), Some(cursor(after).into()));
    }
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

/// Goal: a transport that was blocked once is tried again some time later, at a reconnect. Method: reconnects on both sides of
/// the time.
#[test]
fn a_lower_transport_is_not_for_ever() {
    let begun = Instant::now();
    let mut machine = machine(None);
    machine.blocked(cut(), begun, 1.0).unwrap();
    for (after, transport) in [(CLIMB_AFTER / 2, Transport::Sse), (CLIMB_AFTER, Transport::WebSocket)] {
        machine.frame(connected("0000000a-5"), begun);
        let _ = machine.lost(cut(), None, begun + after, 1.0);
        assert_eq!(machine.transport(), transport);
    }
}
