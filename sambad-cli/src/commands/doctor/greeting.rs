//! The first frame of a stream.

use std::time::Duration;

use sambad_client::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

/// Heartbeats that are believed; a longer one would make the examination of silence endless.
const HEARTBEAT_MAX_S: f64 = 3600.0;

/// What the `connected` frame says, and what it says about clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Greeting {
    /// How often something is heard from the server, at the least.
    pub(super) heartbeat: Duration,
    /// From the request to the frame.
    pub(super) took: Duration,
    /// The server's clock minus ours, in microseconds.
    pub(super) ahead_us: i64,
}

impl Greeting {
    /// Reads the frame that answers a request of `begun`, and has just come. `None` when it is another.
    pub(super) fn read(text: &str, begun: Instant) -> Option<Self> {
        let (now, took) = (Timestamp::now(), begun.elapsed());
        let frame: Value = serde_json::from_str(text).ok()?;
        let heartbeat = frame["data"]["heartbeat_s"].as_f64().filter(|_| frame["type"] == "connected")?;
        let heartbeat = Duration::try_from_secs_f64(heartbeat.min(HEARTBEAT_MAX_S)).ok()?;
        let timestamp: Timestamp = frame["timestamp"].as_str()?.parse().ok()?;
        // The server wrote it at some time between; nobody can know when, so half the way is the best guess.
        let ours = now.minus(took / 2);
        Some(Self { heartbeat, took, ahead_us: timestamp.as_micros().saturating_sub(ours.as_micros()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only the contract's first frame is a greeting. Method: one, and what is close to it.
    #[test]
    fn reads_the_first_frame_only() {
        let frame = |kind: &str, heartbeat: &str, at: &str| {
            format!(r#"{{"type":"{kind}","data":{{"heartbeat_s":{heartbeat}}},"timestamp":"{at}"}}"#)
        };
        let now = Timestamp::now().to_string();
        let greeting = Greeting::read(&frame("connected", "25", &now), Instant::now()).unwrap();
        assert_eq!(greeting.heartbeat, Duration::from_secs(25));
        assert!(greeting.ahead_us.abs() < 1_000_000, "{greeting:?}");
        let late = Greeting::read(&frame("connected", "1e9", "1970-01-01T00:00:00Z"), Instant::now()).unwrap();
        assert!(late.ahead_us < -1_000_000 && late.heartbeat == Duration::from_secs(3600), "{late:?}");
        for text in [&*frame("live", "25", &now), &frame("connected", "-1", &now), &frame("connected", "25", "noon"), "hello", ""]
        {
            assert!(Greeting::read(text, Instant::now()).is_none(), "{text}");
        }
    }
}
