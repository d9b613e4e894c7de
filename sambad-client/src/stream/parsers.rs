//! What must hold for everything that a server sends, whatever it is.
//!
//! Each function takes any bytes and panics where a promise does not hold; the fuzz targets in `fuzz/` and the suite call it.

use std::time::Duration;

use sambad_core::Cursor;

use super::decoder::{Decoder, Message};
use super::frame::Frame;
use crate::event::Event;
use crate::rest::events::EventPage;

/// A check and the name of its fuzz target.
pub type Target = (&'static str, fn(&[u8]));

/// Every check of the client's parsers.
pub const TARGETS: [Target; 2] = [("event_stream", event_stream), ("server_frame", server_frame)];

/// Frames of a WebSocket or event stream, and pages of a long poll: events keep their bytes, and every position that a frame
/// gives can be asked for.
///
/// # Panics
/// When a promise does not hold.
pub fn server_frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(page) = serde_json::from_str::<EventPage>(text) {
        check_position(page.cursor);
        page.events.iter().for_each(|event| check_event(event, page.cursor, text));
    }
    let Ok(frame) = Frame::parse(text) else { return };
    assert!(text.trim_start().starts_with('{'), "a frame is an object: {text}");
    match frame {
        Frame::Connected(connected) => {
            check_position(connected.cursor);
            check_position(Cursor { seq: connected.head, ..connected.cursor });
            assert!(connected.heartbeat() <= Duration::from_secs(3600), "{:?}", connected.heartbeat());
        }
        Frame::Event(event) => check_event(&event, "00000001-0".parse().expect("a cursor"), text),
        Frame::Live(position) => check_position(position.cursor),
        Frame::Resync(resync) => check_position(resync.cursor),
        Frame::Passed(cursor) => check_position(cursor),
        Frame::TokenExpiring(_) | Frame::Authenticated | Frame::Refused { .. } | Frame::Closed { .. } | Frame::Other => {}
    }
}

/// Where a client would come back to is a cursor that servers read.
fn check_position(cursor: Cursor) {
    assert_eq!(cursor.to_string().parse(), Ok(cursor));
}

fn check_event(event: &Event, at: Cursor, text: &str) {
    check_position(Cursor { seq: event.seq, ..at });
    assert!(text.contains(event.data.get()), "the particulars are as they came");
    let written = serde_json::to_string(event).expect("an event is plain data");
    let Ok(Frame::Event(again)) = Frame::parse(&written) else { panic!("no event: {written}") };
    let all = |event: &Event| (event.event_type.clone(), event.data.get().to_owned(), event.timestamp, event.seq);
    assert_eq!(all(&again), all(event));
    // What was written once has the server's form, and keeps it.
    assert_eq!(serde_json::to_string(&again).ok(), Some(written));
}

/// An event stream: the messages do not depend on how the network cuts the bytes, and hold no more than was sent.
///
/// # Panics
/// When a promise does not hold.
pub fn event_stream(bytes: &[u8]) {
    let whole = decode(bytes, [bytes.len().max(1)]);
    for cuts in [[1, 1, 1], [2, 3, 1], [7, 64, 5], [1021, 1, 0]] {
        assert_eq!(decode(bytes, cuts), whole, "cut by {cuts:?}");
    }
    let held = whole.0.iter().map(|message| {
        let id = message.id.as_deref().unwrap_or_default();
        let data = message.data.as_deref().unwrap_or_default();
        assert!(!id.contains(['\n', '\r', '\0']) && !data.contains('\r'), "{message:?}");
        id.len() + data.len()
    });
    // A byte that is not UTF-8 becomes a character of three.
    assert!(held.sum::<usize>() <= 3 * bytes.len(), "{whole:?}");
}

/// Every message of a stream whose chunks have these lengths in turn, and the delay before another connection.
fn decode<const N: usize>(mut bytes: &[u8], lengths: [usize; N]) -> (Vec<Message>, Option<Duration>) {
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    for length in lengths.into_iter().cycle() {
        let (chunk, rest) = bytes.split_at(length.min(bytes.len()));
        decoder.push(chunk);
        // An error needs a message longer than what is tried here.
        while let Some(message) = decoder.next().expect("a message below the bound is read") {
            messages.push(message);
        }
        if rest.is_empty() {
            break;
        }
        bytes = rest;
    }
    (messages, decoder.retry())
}
