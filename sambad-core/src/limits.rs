//! Every bound on what comes from outside, in one place.

use std::time::Duration;

/// Characters of a user's or contact's name, at most.
pub const NAME_CHARS_MAX: usize = 100;
/// Characters of a message's content, at most; at least 1.
pub const CONTENT_CHARS_MAX: usize = 4096;
/// Characters of a message's type, at most.
pub const MESSAGE_TYPE_CHARS_MAX: usize = 32;
/// Entries of one address book sent to be matched.
pub const SYNC_CONTACTS_MAX: usize = 5000;
/// Visible ASCII characters of an idempotency key.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// How long a retry with the same idempotency key gets the first answer.
pub const IDEMPOTENCY_KEY_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long the clock must have agreed with elapsed time, when the host does not say.
pub const CLOCK_SETTLE_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// Rows of one page of a list, at most.
pub const PAGE_ROWS_MAX: u32 = 500;
/// Rows of one page of a list, when the caller does not say.
pub const PAGE_ROWS_DEFAULT: u32 = 100;
/// Events of one page of the log, at most.
pub const PAGE_EVENTS_MAX: u32 = 1000;
/// Bytes of events read from the log at once, exceeded by one event at most: bounds what a reader holds.
pub const SLICE_BYTES_MAX: usize = 256 << 10;
/// Entries of the activity feed, when the caller does not say.
pub const ACTIVITY_ROWS_DEFAULT: u32 = 20;
/// How often the head of a log that other servers write to is looked at, when the host does not say.
pub const POLL_INTERVAL_DEFAULT: Duration = Duration::from_millis(250);
/// How rarely `last_active_at` of one user moves.
pub const LAST_ACTIVE_STEP: Duration = Duration::from_secs(60);
/// Days, today included, that count as recent: a user seen in them is active.
pub const ACTIVE_DAYS: i64 = 7;
/// Days, today included, in the daily series of the analytics.
pub const DAILY_DAYS: i64 = 30;

/// Bounds that the host may choose.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Commands in one transaction. Default 1,024; the rest waits for the next transaction.
    pub batch_commands_max: usize,
    /// Bytes of text in the commands of one transaction, exceeded by one command at most. Default 4 MiB.
    pub batch_bytes_max: usize,
    /// Commands waiting for the committer. Default 8,192; beyond it a command is refused as overloaded.
    pub queue_commands_max: usize,
    /// Bytes of text in the commands that wait for the committer. Default 16 MiB; beyond it a command is refused as overloaded.
    pub queue_bytes_max: usize,
    /// Bytes of the newest events kept in memory. Default 32 MiB; older ones are read from the store.
    pub tail_bytes_max: usize,
    /// Connections that read the store. Default 4; a read waits up to 5 s for one, then is refused as unavailable.
    pub readers_max: u32,
    /// Bytes up to which SQLite's WAL may grow before writes wait for a checkpoint. Default 64 MiB; what comes in within a
    /// second, and what a long reader outside this process pins, may exceed it.
    pub wal_bytes_max: u64,
    /// How long the clock must have agreed with elapsed time, after a start or a step, before data is stamped by it again and
    /// deleted for its age. Default 5 min; until then nothing grows old.
    pub clock_settle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_commands_max: 1024,
            batch_bytes_max: 4 << 20,
            queue_commands_max: 8192,
            queue_bytes_max: 16 << 20,
            tail_bytes_max: 32 << 20,
            readers_max: 4,
            wal_bytes_max: 64 << 20,
            clock_settle: CLOCK_SETTLE_DEFAULT,
        }
    }
}
