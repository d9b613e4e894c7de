//! Text frames from clients.

use sambad_core::{Cursor, Epoch, Seq};
use serde_json::{Value, json};

use super::check_message;
use crate::ws::{BadFrame, ClientFrame, ServerFrame};

/// A frame has one reading, and a refusal is one that the contract names.
///
/// # Panics
/// When a promise does not hold.
pub fn client_frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let frame = match ClientFrame::parse(text) {
        Ok(frame) => frame,
        Err(bad) => return check_bad_frame(bad),
    };
    // Written anew, with the last of repeated keys and in another order, it must mean the same. What this reader cannot hold
    // (nesting beyond its bound, numbers beyond a double) stands in fields that nobody asks for.
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        assert!(value.is_object(), "a frame is an object: {text}");
        assert_eq!(ClientFrame::parse(&value.to_string()).as_ref(), Ok(&frame), "{text}");
    }
    if let ClientFrame::Subscribe(filter) = frame {
        let told = ServerFrame::subscribed(&filter, Cursor { epoch: Epoch(1), seq: Seq(1) }).to_json();
        let told: Value = serde_json::from_str(&told).expect("control frames are JSON");
        let again = json!({"type": "subscribe", "types": told["data"]["types"], "user": told["data"]["user"]});
        assert_eq!(ClientFrame::parse(&again.to_string()), Ok(ClientFrame::Subscribe(filter)), "what was told can be asked for");
    }
}

/// The `error` frame names a code of the contract and is short.
pub(super) fn check_bad_frame(bad: BadFrame) {
    let known = [
        "invalid_json",
        "invalid_field",
        "invalid_id",
        "unknown_type",
        "binary_frame",
        "invalid_utf8",
        "invalid_frame",
        "frame_too_large",
    ];
    assert!(known.contains(&bad.code), "{} is no code of an error frame", bad.code);
    check_message(&bad.message);
    let json = ServerFrame::error(bad).to_json();
    assert!(serde_json::from_str::<Value>(&json).is_ok_and(|value| value["type"] == "error"), "{json}");
}
