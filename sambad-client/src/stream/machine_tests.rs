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
        Item::Resync(Resync { reason: ResyncReason::Loss, cursor }) => format!("resync loss {cursor}"),
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
    machine.frame(connected("0000000a-5"), now).unwrap();
    assert_eq!(told(&mut machine), ["connecting 1", "live 0000000a-5"]);
    assert_eq!(machine.after(), Some(After::Cursor(cursor("0000000a-5"))));
    machine.frame(event(6), now).unwrap();
    machine.lost(cut(), None, now, 1.0);
    machine.dialing();
    assert_eq!(machine.after(), Some(After::Cursor(cursor("0000000a-6"))));
    machine.frame(connected("0000000a-6"), now).unwrap();
    machine.frame(event(7), now).unwrap();
    machine.frame(live("0000000a-7"), now).unwrap();
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
    machine.frame(connected("0000000a-3"), now).unwrap();
    assert_eq!(machine.cursor(), Some(cursor("0000000a-3")));
}

/// Goal: a resync is heard even when the connection breaks before it. Method: cut between `connected` and `resync`.
#[test]
fn a_resync_cannot_be_lost() {
    let now = Instant::now();
    let mut machine = machine(Some(After::Cursor(cursor("0000000a-5"))));
    machine.frame(connected("0000000b-2"), now).unwrap();
    machine.lost(cut(), None, now, 1.0);
    assert_eq!(machine.after(), Some(After::Cursor(cursor("0000000a-5"))));
    machine.frame(connected("0000000b-2"), now).unwrap();
    machine.frame(resync("0000000b-2"), now).unwrap();
    machine.frame(event(3), now).unwrap();
    assert_eq!(machine.cursor(), Some(Cursor { epoch: Epoch(0xb), seq: Seq(3) }));
    assert_eq!(told(&mut machine)[2..], ["replaying 0000000b-2 to 99", "resync 0000000b-2", "live 0000000b-2", "event 3"]);
}

/// A machine that asks for some events, so that there may be holes between them.
fn filtered() -> Machine {
    let filter = Filter { kinds: [sambad_core::EventKind::ContactAdded].into_iter().collect(), user: None };
    Machine::new(&EventStreamOptions { filter, ..EventStreamOptions::default() })
}

/// Goal: an event that comes again or late is a fault and is not passed on. Method: both, with and without a filter.
#[test]
fn repeats_are_faults() {
    let now = Instant::now();
    for (mut machine, late) in [
        (machine(None), Anomaly::Repeat { seq: Seq(6), last: Seq(7) }),
        (filtered(), Anomaly::Reorder { seq: Seq(6), last: Seq(7) }),
    ] {
        machine.frame(connected("0000000a-5"), now).unwrap();
        machine.frame(event(6), now).unwrap();
        machine.frame(event(7), now).unwrap();
        let repeat = Anomaly::Repeat { seq: Seq(7), last: Seq(7) };
        assert_eq!(machine.frame(event(7), now), Err(Fault::Anomaly(repeat)));
        assert_eq!(machine.frame(event(6), now), Err(Fault::Anomaly(late)));
        assert_eq!(told(&mut machine)[1..], ["event 6", "event 7"]);
        assert_eq!(machine.cursor(), Some(cursor("0000000a-7")));
    }
}

/// Goal: a hole causes one reconnect, then a loss is reported. Method: events, positions and `live` beyond the next event, each
/// on two connections; then the next hole, which is another.
#[test]
fn a_hole_causes_a_reconnect_and_then_a_loss() {
    let now = Instant::now();
    for (beyond, items, end) in [
        (
            r#"{"type":"x","data":{},"timestamp":"2025-01-15T12:00:00Z","seq":7}"#,
            &["resync loss 0000000a-6", "event 7"][..],
            "0000000a-7",
        ),
        (r#"{"type":"heartbeat","data":{"cursor":"0000000a-6"}}"#, &["resync loss 0000000a-6"], "0000000a-6"),
        (r#"{"type":"live","data":{"cursor":"0000000a-6"}}"#, &["resync loss 0000000a-6", "live 0000000a-6"], "0000000a-6"),
    ] {
        let beyond = || Frame::parse(beyond).unwrap();
        let mut machine = machine(Some(After::Cursor(cursor("0000000a-3"))));
        machine.frame(connected("0000000a-3"), now).unwrap();
        machine.frame(event(4), now).unwrap();
        let Err(Fault::Anomaly(hole)) = machine.frame(beyond(), now) else { panic!("a hole passes") };
        assert_eq!(hole, Anomaly::Gap { last: Seq(4), got: Seq(7) });
        assert_eq!(machine.faulty(Error::Anomaly(hole), now, 1.0).as_millis(), 100);
        assert_eq!(machine.after(), Some(cursor("0000000a-4").into()));
        machine.frame(connected("0000000a-4"), now).unwrap();
        let told_before = told(&mut machine).len();
        assert_eq!(told_before, 4, "replaying, an event, reconnecting, replaying");
        machine.frame(beyond(), now).unwrap();
        assert_eq!((told(&mut machine), machine.cursor()), (items.iter().map(ToString::to_string).collect(), Some(cursor(end))));
        assert!(machine.frame(event(9), now).is_err(), "the next hole is asked for again");
    }
}

/// Goal: a stream that gets a part of the events has holes by right. Method: a filter, and a token of one user.
#[test]
fn a_part_of_the_events_has_holes() {
    let now = Instant::now();
    let mut confined = machine(None);
    confined.dialled(true);
    for mut machine in [filtered(), confined] {
        machine.frame(connected("0000000a-5"), now).unwrap();
        machine.frame(event(8), now).unwrap();
        machine.frame(Frame::Passed(cursor("0000000a-20")), now).unwrap();
        machine.frame(event(21), now).unwrap();
        assert_eq!(told(&mut machine)[1..], ["event 8", "event 21"]);
    }
}

/// Goal: a position that goes back, is of another life without a resync, or comes before the greeting, is a fault and moves
/// nothing. Method: each sort of frame.
#[test]
fn positions_do_not_jump() {
    let now = Instant::now();
    for (frames, after) in [
        (vec![Frame::Passed(cursor("0000000a-4"))], "0000000a-5"),
        (vec![live("0000000a-4")], "0000000a-5"),
        (vec![live("0000000b-5")], "0000000a-5"),
        (vec![Frame::Passed(cursor("0000000b-9"))], "0000000a-5"),
        (vec![connected("0000000b-5"), event(6)], "0000000a-5"),
    ] {
        let mut machine = filtered();
        machine.frame(connected("0000000a-5"), now).unwrap();
        let last = frames.into_iter().map(|frame| machine.frame(frame, now)).last().unwrap();
        assert!(matches!(last, Err(Fault::Position(_))), "{last:?}");
        assert_eq!(machine.cursor(), Some(cursor(after)));
    }
    for frame in [event(6), live("0000000a-6"), resync("0000000a-6"), Frame::Passed(cursor("0000000a-6"))] {
        let mut machine = machine(None);
        assert!(machine.frame(frame, now).is_err());
        assert_eq!((machine.cursor(), told(&mut machine).len()), (None, 0));
    }
}

/// Goal: a bare seq that was asked for is where the stream begins, whatever the server says. Method: a server that begins later.
#[test]
fn a_server_cannot_begin_later_than_asked() {
    let now = Instant::now();
    let mut machine = machine(Some(After::Seq(Seq(3))));
    machine.frame(connected("0000000a-5"), now).unwrap();
    assert!(machine.frame(event(6), now).is_err());
    assert_eq!(machine.cursor(), Some(cursor("0000000a-3")));
}

/// Goal: faults that repeat themselves are met ever more slowly, by another transport each time, whatever came before them;
/// a hole is asked for by the same one. Method: events and a fault on each connection.
#[test]
fn faults_slow_the_stream_down() {
    let now = Instant::now();
    let repeat = || Error::Anomaly(Anomaly::Repeat { seq: Seq(6), last: Seq(6) });
    let mut machine = machine(None);
    for (seq, transport, delay) in
        [(6, Transport::WebSocket, 100), (7, Transport::Sse, 200), (8, Transport::Poll, 400), (9, Transport::WebSocket, 800)]
    {
        assert_eq!(machine.transport(), transport);
        machine.frame(connected("0000000a-5"), now).unwrap();
        machine.frame(event(seq), now).unwrap();
        assert_eq!(machine.faulty(repeat(), now, 1.0).as_millis(), delay);
    }
    let by = machine.transport();
    machine.faulty(Error::Anomaly(Anomaly::Gap { last: Seq(9), got: Seq(11) }), now, 1.0);
    assert_eq!(machine.transport(), by);
    let mut fixed = Machine::new(&EventStreamOptions { transport: Transport::Poll, ..EventStreamOptions::default() });
    fixed.faulty(repeat(), now, 1.0);
    assert_eq!(fixed.transport(), Transport::Poll);
}

/// Goal: delays start over after a connection that was of use, not after a mere handshake. Method: each sort in turn.
#[test]
fn only_success_resets_the_delay() {
    let now = Instant::now();
    let mut machine = machine(None);
    let mut delay = |frames: Vec<Frame>, lasted: Duration| {
        frames.into_iter().for_each(|frame| machine.frame(frame, now).unwrap());
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
    machine.frame(connected("0000000a-5"), now).unwrap();
    machine.frame(event(6), now).unwrap();
    machine.lost(cut(), None, now, 1.0);
    machine.dialing();
    machine.lost(cut(), None, now, 1.0);
    machine.dialing();
    machine.frame(connected("0000000a-6"), now).unwrap();
    machine.frame(live("0000000a-6"), now).unwrap();
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

/// Goal: a quiet reader's cursor moves along. Method: positions without events.
#[test]
fn a_passed_position_is_resumed_from() {
    let now = Instant::now();
    let mut machine = filtered();
    machine.frame(connected("0000000a-5"), now).unwrap();
    for passed in ["0000000a-9", "0000000a-9", "0000000a-12"] {
        machine.frame(Frame::Passed(cursor(passed)), now).unwrap();
        assert_eq!(machine.after(), Some(cursor(passed).into()));
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
        machine.frame(connected("0000000a-5"), begun).unwrap();
        let _ = machine.lost(cut(), None, begun + after, 1.0);
        assert_eq!(machine.transport(), transport);
    }
}
