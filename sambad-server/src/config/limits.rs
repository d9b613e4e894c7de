//! How much clients and queues may take.

use clap::Args;
use sambad_core::Limits;

/// Bounds that can be chosen at start.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Sessions (WebSocket or event stream) at a time; more get 503
    #[arg(long, env = "SAMBAD_SESSIONS_MAX", default_value_t = 100_000, value_name = "N", value_parser = at_least_one)]
    pub sessions_max: usize,
    /// Seconds between pings; a session whose client is silent for 10 s after a ping is closed
    #[arg(long, env = "SAMBAD_HEARTBEAT_S", default_value_t = 25, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub heartbeat_s: u64,
    /// Writes waiting for the disk at a time; more get 503
    #[arg(long, env = "SAMBAD_QUEUE_COMMANDS_MAX", default_value_t = Limits::default().queue_commands_max, value_name = "N", value_parser = at_least_one)]
    pub queue_commands_max: usize,
    /// Writes in one transaction
    #[arg(long, env = "SAMBAD_BATCH_COMMANDS_MAX", default_value_t = Limits::default().batch_commands_max, value_name = "N", value_parser = at_least_one)]
    pub batch_commands_max: usize,
    /// Bytes of text in the writes that wait for the disk; more get 503
    #[arg(long, env = "SAMBAD_QUEUE_BYTES_MAX", default_value_t = Limits::default().queue_bytes_max, value_name = "BYTES", value_parser = at_least_one_body)]
    pub queue_bytes_max: usize,
    /// Bytes of the newest events kept in memory; older ones are read from disk
    #[arg(long, env = "SAMBAD_TAIL_BYTES_MAX", default_value_t = Limits::default().tail_bytes_max, value_name = "BYTES")]
    pub tail_bytes_max: usize,
    /// Database connections for reading; a read waits up to 5 s for one, then gets 503
    #[arg(long, env = "SAMBAD_READERS_MAX", default_value_t = Limits::default().readers_max, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub readers_max: u32,
}

/// Parses a bound of which 0 would mean a server that does nothing; the upper end is what a semaphore can count.
fn at_least_one(text: &str) -> Result<usize, String> {
    const MAX: usize = 1 << 24;
    match text.parse() {
        Ok(number) if (1..=MAX).contains(&number) => Ok(number),
        _ => Err(format!("expected a number from 1 to {MAX}")),
    }
}

/// Parses a bound of which less than a body would refuse that body for ever.
fn at_least_one_body(text: &str) -> Result<usize, String> {
    const MIN: usize = 128 << 10;
    const MAX: usize = 1 << 30;
    match text.parse() {
        Ok(number) if (MIN..=MAX).contains(&number) => Ok(number),
        _ => Err(format!("expected a number from {MIN} to {MAX}")),
    }
}
