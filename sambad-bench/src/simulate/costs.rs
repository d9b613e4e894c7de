//! What things cost, each with where it comes from: the one place in which these numbers stand.
//!
//! "Fitted" means chosen so that the simulation comes to the measured figures (see [`super::measured`]); "assumed" means
//! that nothing here has measured it yet.

use clap::Args;
use serde::Serialize;

/// Costs of the parts; microseconds of CPU unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Args, Serialize)]
#[command(next_help_heading = "Costs")]
pub(crate) struct Costs {
    /// CPU of a write outside its batch: request and response (µs)
    // Source: fitted to the 44 µs a write of docs/explanation/performance.md, "Writes".
    #[arg(long, value_name = "US", default_value_t = 9.0)]
    pub(crate) http_us: f64,
    /// CPU of a write in its batch, with SQLite (µs)
    // Source: fitted likewise.
    #[arg(long, value_name = "US", default_value_t = 18.0)]
    pub(crate) write_us: f64,
    /// CPU of a batch a millisecond after the last one, with SQLite (µs)
    // Source: fitted to 370 µs a write at 1,000/s, docs/explanation/performance.md, "Sessions that should cost nothing".
    #[arg(long, value_name = "US", default_value_t = 334.0)]
    pub(crate) batch_us: f64,
    /// Additional CPU for each factor of ten in the time between two batches, as caches go cold (µs)
    // Source: fitted to "0.6 to 1 ms" for a write alone in its batch, docs/explanation/performance.md, "Delivery".
    #[arg(long, value_name = "US", default_value_t = 200.0)]
    pub(crate) batch_cold_us: f64,
    /// Time until a commit is on disk; the CPU is free in this time (µs)
    // Source: "fdatasync: 0.3 ms as a rule", docs/explanation/performance.md, "How".
    #[arg(long, value_name = "US", default_value_t = 300.0)]
    pub(crate) fsync_us: f64,
    /// CPU to start the delivery of events to the sessions of a core (µs)
    // Source: fitted to the difference between 0 and 10 dashboards at 1,000 writes/s, sambad-bench/runs.
    #[arg(long, value_name = "US", default_value_t = 40.0)]
    pub(crate) wake_us: f64,
    /// CPU of a write to a session's socket, a millisecond after the last one (µs)
    // Source: fitted to the table of docs/explanation/performance.md, "Delivery", and to sambad-bench/runs.
    #[arg(long, value_name = "US", default_value_t = 4.0)]
    pub(crate) flush_us: f64,
    /// Additional CPU for each factor of ten in the time between two writes to a socket (µs)
    // Source: fitted likewise; the bare server of the same table shows it as well (4.50, 5.85, 7.45 µs).
    #[arg(long, value_name = "US", default_value_t = 1.35)]
    pub(crate) flush_cold_us: f64,
    /// CPU of each event in such a write (µs)
    // Source: fitted to 1,000 dashboards × 1,000/s, docs/explanation/performance.md, "Delivery".
    #[arg(long, value_name = "US", default_value_t = 0.1)]
    pub(crate) event_us: f64,
    /// CPU of an open, idle session per second (µs)
    // Source: docs/explanation/performance.md, "Sessions".
    #[arg(long, value_name = "US", default_value_t = 0.44)]
    pub(crate) session_us: f64,
    /// Memory of an open session (bytes)
    // Source: docs/explanation/performance.md, "Sessions".
    #[arg(long, value_name = "BYTES", default_value_t = 4200.0)]
    pub(crate) session_bytes: f64,
    /// Size of an event as a session receives it (bytes)
    // Source: bytes_received / deliveries of sambad-bench/runs, with the default mix.
    #[arg(long, value_name = "BYTES", default_value_t = 357.0)]
    pub(crate) event_bytes: f64,
    /// Bytes that WebSocket, TCP, IP and Ethernet add to each write to a socket (bytes)
    // Source: 4 (RFC 6455, above 125 bytes) + 32 (TCP with timestamps) + 20 (IP) + 38 (Ethernet with preamble and gap).
    #[arg(long, value_name = "BYTES", default_value_t = 94.0)]
    pub(crate) packet_bytes: f64,
    #[command(flatten)]
    pub(crate) shared: SharedCosts,
}

/// Costs of what servers share.
#[derive(Debug, Clone, Copy, PartialEq, Args, Serialize)]
#[command(next_help_heading = "Costs of PostgreSQL and Redis")]
pub(crate) struct SharedCosts {
    /// CPU of the server for a batch on PostgreSQL (µs)
    // Source: scripts/bench-cluster.sh, docs/explanation/performance.md, More than one server: a write alone.
    #[arg(long, value_name = "US", default_value_t = 340.0)]
    pub(crate) pg_batch_us: f64,
    /// CPU of the server for each write in the batch (µs)
    // Source: scripts/bench-cluster.sh, docs/explanation/performance.md, More than one server: the default mix, less HTTP and its part of a batch.
    #[arg(long, value_name = "US", default_value_t = 18.0)]
    pub(crate) pg_write_us: f64,
    /// CPU of PostgreSQL for a batch (µs)
    // Source: scripts/bench-cluster.sh, docs/explanation/performance.md, More than one server: a write alone.
    #[arg(long, value_name = "US", default_value_t = 660.0)]
    pub(crate) db_batch_us: f64,
    /// CPU of PostgreSQL for each write in the batch (µs)
    // Source: scripts/bench-cluster.sh, docs/explanation/performance.md, More than one server: the default mix, less its part of a batch.
    #[arg(long, value_name = "US", default_value_t = 31.0)]
    pub(crate) db_write_us: f64,
    /// Time for which a batch locks the row with the log's head: its update, COMMIT and the disk (µs)
    // Source: assumed: the disk's 300 µs and a turn over loopback.
    #[arg(long, value_name = "US", default_value_t = 400.0)]
    pub(crate) head_us: f64,
    /// Additional time for each event, which is written while the row is locked (µs)
    // Source: assumed, likewise.
    #[arg(long, value_name = "US", default_value_t = 10.0)]
    pub(crate) head_event_us: f64,
    /// Bytes that PostgreSQL writes to its disk per write: WAL and tables (bytes)
    // Source: docs/explanation/performance.md, More than one server: 1,250 of WAL and 790 of tables, with the default mix.
    #[arg(long, value_name = "BYTES", default_value_t = 2050.0)]
    pub(crate) db_bytes: f64,
    /// CPU of a server to publish a batch (µs)
    // Source: assumed: too little to be told apart in scripts/bench-cluster.sh.
    #[arg(long, value_name = "US", default_value_t = 20.0)]
    pub(crate) publish_us: f64,
    /// CPU of a server for each message from the broker (µs)
    // Source: assumed, likewise.
    #[arg(long, value_name = "US", default_value_t = 15.0)]
    pub(crate) receive_us: f64,
    /// CPU of a server for each event in the message (µs)
    // Source: assumed, likewise.
    #[arg(long, value_name = "US", default_value_t = 1.0)]
    pub(crate) receive_event_us: f64,
    /// CPU of the broker (Redis or PostgreSQL) for a message (µs)
    // Source: scripts/bench-cluster.sh, docs/explanation/performance.md, More than one server: Redis' CPU of a batch with three servers is both together.
    #[arg(long, value_name = "US", default_value_t = 20.0)]
    pub(crate) broker_us: f64,
    /// CPU of the broker for each server that receives the message (µs)
    // Source: scripts/bench-cluster.sh, docs/explanation/performance.md, More than one server, likewise.
    #[arg(long, value_name = "US", default_value_t = 8.0)]
    pub(crate) broker_server_us: f64,
    /// Network time of a message, without queueing (µs)
    // Source: scripts/bench-cluster.sh, docs/explanation/performance.md, More than one server: half of what Redis adds on loopback; a network adds its own.
    #[arg(long, value_name = "US", default_value_t = 40.0)]
    pub(crate) hop_us: f64,
    /// CPU of PostgreSQL for a server's read of new events, if messages contain only the log's head (µs)
    // Source: scripts/bench-cluster.sh, docs/explanation/performance.md, More than one server: what PostgreSQL does more with NOTIFY than with Redis, by two servers that read.
    #[arg(long, value_name = "US", default_value_t = 160.0)]
    pub(crate) read_us: f64,
}

impl Costs {
    /// CPU of a batch with SQLite that begins so long after the last one.
    pub(super) fn batch(&self, gap_ns: u64) -> f64 {
        self.batch_us + self.batch_cold_us * decades(gap_ns)
    }

    /// CPU of a write to a socket that was last written to so long ago.
    pub(super) fn flush(&self, gap_ns: u64) -> f64 {
        self.flush_us + self.flush_cold_us * decades(gap_ns)
    }
}

#[cfg(test)]
impl Costs {
    /// What the command line has where nothing is said.
    pub(super) fn as_given() -> Self {
        use clap::Parser as _;

        #[derive(Debug, clap::Parser)]
        struct Cli {
            #[command(flatten)]
            costs: Costs,
        }
        Cli::parse_from(["costs"]).costs
    }
}

/// Factors of ten beyond a millisecond; what was not measured, below that and above a second, is taken for the bound.
#[expect(clippy::cast_precision_loss, reason = "a second of nanoseconds")]
fn decades(gap_ns: u64) -> f64 {
    (gap_ns.clamp(1_000_000, 1_000_000_000) as f64 / 1e6).log10()
}
