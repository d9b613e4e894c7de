//! What is done to the server on purpose while it is under load.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;

use super::target::Target;
use crate::load::clock::nanos;
use crate::report::ChaosSummary;

/// A fault and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL at that interval, and a start on the same database.
    Kill9 { every: Duration },
    /// SIGSTOP at that interval, and SIGCONT after the other.
    Pause { every: Duration, length: Duration },
}

/// Faults at their times.
#[derive(Debug)]
pub(crate) struct Chaos {
    fault: Option<Fault>,
    next_ns: u64,
    paused_until_ns: Option<u64>,
    summary: ChaosSummary,
}

impl Chaos {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self { fault, next_ns: u64::MAX, paused_until_ns: None, summary: ChaosSummary::default() }
    }

    pub(super) fn begin(&mut self, begin_ns: u64) {
        if let Some(fault) = self.fault {
            self.next_ns = begin_ns + nanos(fault.every());
        }
    }

    /// Does what is due; nothing after `end_ns`.
    pub(super) fn step(&mut self, now_ns: u64, end_ns: u64, target: &mut Target) -> anyhow::Result<()> {
        let (Some(fault), Target::Hosted(server)) = (self.fault, target) else { return Ok(()) };
        if let Some(until_ns) = self.paused_until_ns {
            if now_ns >= until_ns {
                server.resume().context("the server cannot be continued")?;
                self.paused_until_ns = None;
            }
            return Ok(());
        }
        if now_ns >= end_ns {
            self.next_ns = u64::MAX;
        }
        if now_ns < self.next_ns {
            return Ok(());
        }
        self.next_ns += nanos(fault.every());
        match fault {
            Fault::Kill9 { .. } => {
                server.kill9().context("the server cannot be killed")?;
                let downtime = server.restart().context("the server does not come back")?;
                self.summary.kills += 1;
                self.summary.downtimes_us.push(u64::try_from(downtime.as_micros()).unwrap_or(u64::MAX));
            }
            Fault::Pause { length, .. } => {
                server.pause().context("the server cannot be stopped")?;
                self.summary.pauses += 1;
                self.paused_until_ns = Some(now_ns + nanos(length));
            }
        }
        Ok(())
    }

    /// How long nothing is due.
    pub(super) fn next_in(&self, now_ns: u64) -> Duration {
        Duration::from_nanos(self.paused_until_ns.unwrap_or(self.next_ns).saturating_sub(now_ns))
    }

    /// Leaves no server stopped behind.
    pub(super) fn end(&mut self, target: &mut Target) -> anyhow::Result<()> {
        self.next_ns = u64::MAX;
        if let (Some(_), Target::Hosted(server)) = (self.paused_until_ns.take(), target) {
            server.resume().context("the server cannot be continued")?;
        }
        Ok(())
    }

    pub(super) fn summary(&self) -> Option<ChaosSummary> {
        self.fault.map(|_| self.summary.clone())
    }
}

impl Fault {
    fn every(self) -> Duration {
        match self {
            Self::Kill9 { every } | Self::Pause { every, .. } => every,
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected kill9=5s (SIGKILL every 5 s) or pause=5s/500ms (stopped for 500 ms every 5 s)";
        let (name, times) = text.split_once('=').ok_or(EXPECTED)?;
        let long_enough = |text: &str, least: Duration| {
            let duration = crate::values::duration(text).map_err(|error| format!("{error}: {EXPECTED}"))?;
            if duration < least { Err(format!("{text} is below {} ms: {EXPECTED}", least.as_millis())) } else { Ok(duration) }
        };
        match name {
            // A server needs some time to start; killing it before says nothing.
            "kill9" => Ok(Self::Kill9 { every: long_enough(times, Duration::from_millis(500))? }),
            "pause" => {
                let (every, length) = times.split_once('/').unwrap_or((times, "500ms"));
                let length = long_enough(length, Duration::from_millis(1))?;
                let every = long_enough(every, length + Duration::from_millis(100))?;
                Ok(Self::Pause { every, length })
            }
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill9 { every } => write!(f, "kill9={every:?}"),
            Self::Pause { every, length } => write!(f, "pause={every:?}/{length:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: faults are read as written and said what is wrong with. Method: good and bad texts.
    #[test]
    fn reads_faults() {
        for text in ["kill9=5s", "kill9=1.5s", "pause=5s/500ms"] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!("pause=2s".parse::<Fault>().unwrap().to_string(), "pause=2s/500ms");
        for text in ["", "kill9", "kill9=", "kill9=0s", "kill9=100ms", "kill9=-1s", "pause=1s/1s", "pause=1s/0ms", "reboot=5s"] {
            assert!(text.parse::<Fault>().unwrap_err().contains("expected"), "{text}");
        }
    }
}
