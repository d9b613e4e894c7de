//! Whether pings come back, and how fast: those of the contract, and those of the WebSocket protocol.

use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use super::ending::Ending;
use super::finding::{Finding, Trouble, span};
use super::socket::Socket;

/// Round trips that are measured: enough for a median.
const PINGS: usize = 10;
const PING: &str = r#"{"type":"ping"}"#;
/// By which the answer is known: a proxy that pongs by itself cannot know it.
const PAYLOAD: &[u8] = b"sambad-cli doctor";

/// Sends the contract's own pings, which only the server answers.
pub(super) async fn application(socket: &mut Socket, limit: Duration) -> (Finding, Option<()>) {
    const SUBJECT: &str = "pings";
    const ADVICE: &str = "\
a proxy or firewall on the path passes the server's frames but not the client's, or cuts right after the upgrade: look for
WebSocket inspection there";
    let mut times = Vec::with_capacity(PINGS);
    for number in 1..=PINGS {
        match once(socket, limit).await {
            Ok(time) => times.push(time),
            Err(ending) => {
                let trouble = Trouble::new(format!("ping {number} of {PINGS}: {ending}"), ADVICE);
                return (Finding::fault(SUBJECT, trouble), None);
            }
        }
    }
    times.sort_unstable();
    let (median, max) = (times[PINGS / 2], times[PINGS - 1]);
    let detail = format!("{PINGS} of {PINGS} pongs, median {}, longest {}", span(median), span(max));
    (Finding::fine(SUBJECT, detail).time("median_ms", median).time("max_ms", max), Some(()))
}

/// Sends one of the contract's pings.
pub(super) async fn once(socket: &mut Socket, limit: Duration) -> Result<Duration, Ending> {
    socket.round_trip(Message::text(PING), is_pong, limit).await
}

/// Sends a ping of the WebSocket protocol; the server finds out by these who is still there.
pub(super) async fn protocol(socket: &mut Socket, limit: Duration) -> Finding {
    const SUBJECT: &str = "protocol ping";
    const ADVICE: &str = "\
a proxy or firewall on the path drops pings or pongs: let control frames pass there. The server pings too, and closes
with 4008 a connection that sends no pong";
    let ping = Message::Ping(PAYLOAD.into());
    match socket.round_trip(ping, |message| matches!(message, Message::Pong(payload) if payload == PAYLOAD), limit).await {
        Ok(time) => Finding::fine(SUBJECT, format!("pong after {}", span(time))).time("round_trip_ms", time),
        Err(ending) => Finding::fault(SUBJECT, Trouble::new(ending.to_string(), ADVICE)),
    }
}

fn is_pong(message: &Message) -> bool {
    let Message::Text(text) = message else { return false };
    serde_json::from_str::<serde_json::Value>(text).is_ok_and(|frame| frame["type"] == "pong")
}
