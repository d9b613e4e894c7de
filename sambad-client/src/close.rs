//! What the end of a WebSocket means for its reader.

use std::time::Duration;

/// The longest delay that is taken from a server; a mistyped one must not silence a dashboard for a day.
const ASKED_DELAY_MAX: Duration = Duration::from_secs(60);

/// What a close code asks of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No, and nothing is wrong.
    Done,
    /// No: it would end the same way.
    Final,
    /// Yes, and not before that time, if one is given.
    Reconnect {
        /// What the server asked for, at most a minute.
        after: Option<Duration>,
    },
}

/// Looks up a close code and its reason in the contract's table. The server begins no close with a code below 4000: such a
/// code comes from something on the way, and says nothing about another attempt.
#[must_use]
pub fn judge(code: u16, reason: &str) -> Verdict {
    match code {
        // Reserved for the server, together with this reason.
        1000 if reason == "done" => Verdict::Done,
        4500..=4999 => Verdict::Final,
        _ => Verdict::Reconnect { after: asked_delay(reason) },
    }
}

/// Reads `reconnect_after_ms` out of a reason of the form `key key=value`.
fn asked_delay(reason: &str) -> Option<Duration> {
    let millis = reason.split(' ').find_map(|word| word.strip_prefix("reconnect_after_ms="))?;
    millis.parse().ok().map(|millis| Duration::from_millis(millis).min(ASKED_DELAY_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every code has the meaning that the contract gives it. Method: both ends of each range.
    #[test]
    fn codes_say_whether_to_come_back() {
        let back = |ms: Option<u64>| Verdict::Reconnect { after: ms.map(Duration::from_millis) };
        for (code, reason, verdict) in [
            (1000, "done", Verdict::Done),
            (1000, "", back(None)),
            (1000, "bye", back(None)),
            (1001, "", back(None)),
            (1002, "", back(None)),
            (1003, "", back(None)),
            (1006, "", back(None)),
            (1007, "", back(None)),
            (1008, "", back(None)),
            (1008, "policy", back(None)),
            (1009, "", back(None)),
            (1010, "", back(None)),
            (1011, "", back(None)),
            (1012, "", back(None)),
            (3000, "", back(None)),
            (3999, "done", back(None)),
            (4000, "drain reconnect_after_ms=250", back(Some(250))),
            (4000, "drain reconnect_after_ms=99999999", back(Some(60_000))),
            (4000, "drain reconnect_after_ms=soon", back(None)),
            (4008, "idle", back(None)),
            (4499, "", back(None)),
            (4500, "bad_frames", Verdict::Final),
            (4503, "forbidden reconnect_after_ms=1", Verdict::Final),
            (4999, "", Verdict::Final),
        ] {
            assert_eq!(judge(code, reason), verdict, "{code} {reason}");
        }
    }
}
