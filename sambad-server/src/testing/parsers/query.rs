//! Query strings of `/ws`, `/api/events` and `/api/events/stream`.

use std::time::Duration;

use sambad_core::After;
use serde_json::json;

use super::check_refusal;
use crate::extract::parse_query;
use crate::handlers::events::StreamQuery;
use crate::ws::ClientFrame;

/// A filter asked for by query is the one asked for by `subscribe`, and every bound of a page holds.
///
/// # Panics
/// When a promise does not hold.
pub fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let query: StreamQuery = match parse_query(text) {
        Ok(query) => query,
        Err(error) => return check_refusal(error),
    };
    match query.after() {
        Ok(after) => {
            let again = after.map(|after| after.to_string().parse::<After>());
            assert_eq!(again.transpose(), Ok(after));
        }
        Err(error) => check_refusal(error),
    }
    match query.limit() {
        Ok(limit) => assert!((1..=1000).contains(&limit), "limit {limit}"),
        Err(error) => check_refusal(error),
    }
    match query.wait() {
        Ok(wait) => assert!(wait <= Duration::from_secs(30), "wait {wait:?}"),
        Err(error) => check_refusal(error),
    }
    let frame = ClientFrame::parse(&subscribe(text));
    match query.filter() {
        Ok(filter) => assert_eq!(frame, Ok(ClientFrame::Subscribe(filter)), "{text}"),
        Err(error) => {
            assert_eq!(frame.map_err(|bad| bad.code), Err(error.code()), "{text}");
            check_refusal(error);
        }
    }
}

/// The frame that asks for the same, made from the query without the code that is under test.
fn subscribe(query: &str) -> String {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).expect("what was read as fields are pairs");
    let find = |name| pairs.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value);
    let mut frame = json!({"type": "subscribe"});
    let lists = pairs.iter().filter(|(key, value)| key == "types" && !value.is_empty());
    let types: Vec<&str> = lists.flat_map(|(_, value)| value.split(',')).map(str::trim).collect();
    if !types.is_empty() {
        frame["types"] = json!(types);
    }
    if let Some(user) = find("user") {
        frame["user"] = json!(user);
    }
    frame.to_string()
}
