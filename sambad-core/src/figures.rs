//! How a core stands at this moment, for a host that reports on it.

use std::path::PathBuf;
use std::time::Duration;

use crate::cursor::{LogBounds, Seq};

/// How a core stands. Each figure is true of a moment of its own, a few microseconds apart.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The log's bounds as announced to readers.
    pub bounds: LogBounds,
    /// Commands that wait for the committer.
    pub queue_commands: usize,
    /// How many may.
    pub queue_commands_max: usize,
    /// Bytes of the commands that wait: their text, and 512 each.
    pub queue_bytes: usize,
    /// How many may.
    pub queue_bytes_max: usize,
    /// The newest events in memory.
    pub tail: TailFigures,
    /// Connections that read the store.
    pub readers: u32,
    /// Those of them that are reading.
    pub readers_busy: u32,
    /// Whether the last attempt to write reached the disk.
    pub writable: bool,
    /// By how much the log's last instant lies ahead of the clock; events get that instant until the clock has reached it.
    pub log_ahead: Duration,
    /// Whether the clock has agreed with elapsed time for long enough; until then nothing is deleted for its age.
    pub clock_trusted: bool,
    /// The database's file; `None` of one that has none.
    pub file: Option<PathBuf>,
    /// Whether messages of other servers come in; `None` without a broker.
    pub broker_connected: Option<bool>,
}

/// How far the tail reaches.
#[derive(Debug, Clone, Copy)]
pub struct TailFigures {
    /// The oldest event in memory; the seq after the head when there is none.
    pub first: Seq,
    /// Events in memory.
    pub events: usize,
    /// Bytes they take.
    pub bytes: usize,
}

/// Connections that read the store.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Readers {
    pub(crate) open: u32,
    pub(crate) busy: u32,
}
