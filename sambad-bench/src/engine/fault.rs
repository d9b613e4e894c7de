//! Faults as they are written on the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A fault and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL at that interval, and a start on the same database; of several servers, one in turn.
    Kill9 { every: Duration },
    /// SIGSTOP at that interval, and SIGCONT after the other; likewise.
    Pause { every: Duration, length: Duration },
    /// Redis is ended and started again.
    RedisRestart { every: Duration },
    /// One server in turn is cut off from Redis: the link falls silent, and the next time it is closed.
    RedisCut { every: Duration, length: Duration },
    /// PostgreSQL is ended and started again.
    PostgresRestart { every: Duration },
}

const EXPECTED: &str = "expected kill9=5s (SIGKILL every 5 s) or pause=5s/500ms (stop for 500 ms every 5 s); with --servers \
    also redis-restart=11s, redis-cut=9s/3s or postgres-restart=17s";

impl Fault {
    pub(super) fn every(self) -> Duration {
        match self {
            Self::Kill9 { every }
            | Self::Pause { every, .. }
            | Self::RedisRestart { every }
            | Self::RedisCut { every, .. }
            | Self::PostgresRestart { every } => every,
        }
    }

    /// Whether it is one of what stands around several servers.
    pub(crate) fn needs_cluster(self) -> bool {
        !matches!(self, Self::Kill9 { .. } | Self::Pause { .. })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A process needs some time to start; ending it before says nothing.
        const START: Duration = Duration::from_millis(500);
        let (name, times) = text.split_once('=').ok_or(EXPECTED)?;
        let long_enough = |text: &str, least: Duration| {
            let duration = crate::values::duration(text).map_err(|error| format!("{error}: {EXPECTED}"))?;
            if duration < least { Err(format!("{text} is below {} ms: {EXPECTED}", least.as_millis())) } else { Ok(duration) }
        };
        let with_length = |default: &'static str| {
            let (every, length) = times.split_once('/').unwrap_or((times, default));
            let length = long_enough(length, Duration::from_millis(1))?;
            Ok::<_, String>((long_enough(every, length + Duration::from_millis(100))?, length))
        };
        match name {
            "kill9" => Ok(Self::Kill9 { every: long_enough(times, START)? }),
            "redis-restart" => Ok(Self::RedisRestart { every: long_enough(times, START)? }),
            "postgres-restart" => Ok(Self::PostgresRestart { every: long_enough(times, START)? }),
            "pause" => with_length("500ms").map(|(every, length)| Self::Pause { every, length }),
            "redis-cut" => with_length("3s").map(|(every, length)| Self::RedisCut { every, length }),
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill9 { every } => write!(f, "kill9={every:?}"),
            Self::Pause { every, length } => write!(f, "pause={every:?}/{length:?}"),
            Self::RedisRestart { every } => write!(f, "redis-restart={every:?}"),
            Self::RedisCut { every, length } => write!(f, "redis-cut={every:?}/{length:?}"),
            Self::PostgresRestart { every } => write!(f, "postgres-restart={every:?}"),
        }
    }
}

/// Faults in the form in which they are given.
pub(crate) fn list(faults: &[Fault]) -> Option<String> {
    let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
    (!words.is_empty()).then(|| words.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: faults are read as written and said what is wrong with. Method: good and bad texts.
    #[test]
    fn reads_faults() {
        for text in ["kill9=5s", "kill9=1.5s", "pause=5s/500ms", "redis-restart=11s", "redis-cut=9s/3s", "postgres-restart=17s"] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!("pause=2s".parse::<Fault>().unwrap().to_string(), "pause=2s/500ms");
        assert_eq!("redis-cut=9s".parse::<Fault>().unwrap().to_string(), "redis-cut=9s/3s");
        for text in [
            "",
            "kill9",
            "kill9=",
            "kill9=0s",
            "kill9=100ms",
            "kill9=-1s",
            "pause=1s/1s",
            "pause=1s/0ms",
            "redis-cut=3s",
            "postgres-restart=1ms",
            "reboot=5s",
        ] {
            assert!(text.parse::<Fault>().unwrap_err().contains("expected"), "{text}");
        }
        let faults: Vec<Fault> = ["kill9=5s", "redis-cut=9s/3s"].map(|text| text.parse().unwrap()).into();
        assert_eq!(list(&faults).as_deref(), Some("kill9=5s,redis-cut=9s/3s"));
        assert!(list(&[]).is_none() && faults[1].needs_cluster() && !faults[0].needs_cluster());
    }
}
