//! Gauges: set when somebody asks, from figures that others hold.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sambad_core::{Figures, Sambad};

use crate::router::AppState;
use crate::sessions::Transport;
use crate::ws::shard::census::Census;

type Level = Gauge<u64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SessionLabels {
    transport: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabels {
    file: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

/// Every gauge.
#[derive(Debug)]
pub(super) struct Levels {
    queue_commands: Level,
    queue_commands_max: Level,
    queue_bytes: Level,
    queue_bytes_max: Level,
    tail_first_seq: Level,
    tail_events: Level,
    tail_bytes: Level,
    log_head_seq: Level,
    log_first_seq: Level,
    log_ahead_seconds: Level,
    clock_trusted: Level,
    readers: Level,
    readers_busy: Level,
    writable: Level,
    draining: Level,
    broker_connected: Level,
    database_bytes: Family<FileLabels, Level>,
    /// Without a value where there is no file.
    disk_free_bytes: Family<NoLabels, Level>,
    sessions: Family<SessionLabels, Level>,
    sessions_max: Level,
    session_lag_events_max: Level,
    session_lag_events: Level,
}

/// What is known of the server at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    core: Figures,
    websockets: Census,
    streams: Census,
    polls: Census,
    sessions_max: usize,
    draining: bool,
}

impl Reading {
    /// Asks the core, the shards and the streams.
    pub(super) async fn take(state: &AppState) -> Self {
        let websockets = state.shards.census().await;
        let core = Sambad::figures(&state.sambad);
        let head = core.bounds.head;
        Self {
            websockets,
            streams: state.sessions.census(Transport::Sse, head),
            polls: state.sessions.census(Transport::Poll, head),
            core,
            sessions_max: state.config.sessions_max,
            draining: state.drain.is_announced(),
        }
    }
}

impl Levels {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut level = |name: &str, help: &str| {
            let level = Level::default();
            registry.register(name, help, level.clone());
            level
        };
        let this = Self {
            queue_commands: level("queue_commands", "Commands that wait for the committer"),
            queue_commands_max: level("queue_commands_max", "Limit of the commands that wait"),
            queue_bytes: level("queue_bytes", "Bytes of the commands that wait"),
            queue_bytes_max: level("queue_bytes_max", "Limit of the bytes that wait"),
            tail_first_seq: level("tail_first_seq", "Seq of the oldest event in memory"),
            tail_events: level("tail_events", "Events in memory"),
            tail_bytes: level("tail_bytes", "Bytes of the events in memory"),
            log_head_seq: level("log_head_seq", "Seq of the newest event of the log"),
            log_first_seq: level("log_first_seq", "Seq of the oldest event of the log"),
            log_ahead_seconds: level("log_ahead_seconds", "Seconds by which the log's last timestamp is ahead of the clock"),
            clock_trusted: level("clock_trusted", "1 if the clock has agreed with elapsed time for long enough"),
            readers: level("readers", "Database connections for reading"),
            readers_busy: level("readers_busy", "Database connections that are reading"),
            writable: level("writable", "1 if the last write reached the disk"),
            draining: level("draining", "1 while the server shuts down"),
            broker_connected: level("broker_connected", "1 if messages of other servers arrive, or none are expected"),
            sessions_max: level("sessions_max", "Limit of open sessions"),
            session_lag_events_max: level("session_lag_events_max", "Largest lag of a session, in events"),
            session_lag_events: level("session_lag_events", "Sum of the lags of all sessions, in events"),
            database_bytes: Family::default(),
            disk_free_bytes: Family::default(),
            sessions: Family::default(),
        };
        registry.register("database_bytes", "Size of the database's files", this.database_bytes.clone());
        registry.register("disk_free_bytes", "Free space of the database's file system", this.disk_free_bytes.clone());
        registry.register("sessions", "Open sessions", this.sessions.clone());
        this
    }

    /// Sets all. Looks at files: not for the threads that serve.
    pub(super) fn set(&self, reading: &Reading) {
        let Figures { bounds, tail, readers, readers_busy, writable, ref file, .. } = reading.core;
        self.queue_commands.set(reading.core.queue_commands as u64);
        self.queue_commands_max.set(reading.core.queue_commands_max as u64);
        self.queue_bytes.set(reading.core.queue_bytes as u64);
        self.queue_bytes_max.set(reading.core.queue_bytes_max as u64);
        self.tail_first_seq.set(tail.first.0);
        self.tail_events.set(tail.events as u64);
        self.tail_bytes.set(tail.bytes as u64);
        self.log_head_seq.set(bounds.head.0);
        self.log_first_seq.set(bounds.first.0);
        self.log_ahead_seconds.set(reading.core.log_ahead.as_secs());
        self.clock_trusted.set(reading.core.clock_trusted.into());
        self.readers.set(readers.into());
        self.readers_busy.set(readers_busy.into());
        self.writable.set(writable.into());
        self.draining.set(reading.draining.into());
        self.broker_connected.set(reading.core.broker_connected.unwrap_or(true).into());
        self.sessions_max.set(reading.sessions_max as u64);
        self.set_sessions(reading);
        if let Some(file) = file {
            self.set_disk(file);
        }
    }

    fn set_sessions(&self, reading: &Reading) {
        let of = |transport: Transport, state: &'static str, count: u64| {
            self.sessions.get_or_create(&SessionLabels { transport: transport.as_str(), state }).set(count);
        };
        let Reading { websockets, streams, polls, .. } = reading;
        of(Transport::WebSocket, "live", websockets.live);
        of(Transport::WebSocket, "replaying", websockets.replaying);
        of(Transport::WebSocket, "parked", websockets.parked);
        of(Transport::WebSocket, "closing", websockets.closing);
        of(Transport::Sse, "live", streams.live);
        of(Transport::Sse, "replaying", streams.replaying);
        of(Transport::Poll, "live", polls.live);
        self.session_lag_events_max.set(websockets.lag_max.max(streams.lag_max));
        self.session_lag_events.set(websockets.lag_sum + streams.lag_sum);
    }

    fn set_disk(&self, database: &Path) {
        let mut wal = database.as_os_str().to_owned();
        wal.push("-wal");
        for (file, path) in [("database", database.to_owned()), ("wal", PathBuf::from(wal))] {
            let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            self.database_bytes.get_or_create(&FileLabels { file }).set(bytes);
        }
        if let Ok(disk) = rustix::fs::statvfs(database) {
            self.disk_free_bytes.get_or_create(&NoLabels {}).set(disk.f_bavail.saturating_mul(disk.f_frsize));
        }
    }
}
