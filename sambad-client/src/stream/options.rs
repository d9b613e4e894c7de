//! What a stream is asked for.

use std::time::Duration;

use sambad_core::{After, Filter};

use super::transport::Transport;

/// How to open a stream; the default is every event from now on.
///
/// # Examples
/// ```
/// use sambad_client::{After, EventStreamOptions, Seq};
///
/// let whole_log = EventStreamOptions { after: Some(After::Seq(Seq::ZERO)), ..EventStreamOptions::default() };
/// # drop(whole_log);
/// ```
#[derive(Debug, Clone)]
pub struct EventStreamOptions {
    /// The position to begin after; default `None`: from now on. Seq 0 is the whole stored log.
    pub after: Option<After>,
    /// Which events; default all.
    pub filter: Filter,
    /// How events travel; default `Auto`. Any other is kept to, whether it gets through or not.
    pub transport: Transport,
    /// First delay before a reconnect, default 100 ms; it doubles with each failure, less up to half by chance.
    pub backoff_initial: Duration,
    /// Longest delay before a reconnect, default 5 s, unless the server asks for a longer one.
    pub backoff_cap: Duration,
    /// How long past the server's heartbeat silence is borne, default 10 s; then the connection counts as dead.
    pub grace: Duration,
    /// How long a connection may take up to the server's first frame, default 10 s.
    pub connect_timeout: Duration,
}

impl Default for EventStreamOptions {
    fn default() -> Self {
        Self {
            after: None,
            filter: Filter::default(),
            transport: Transport::default(),
            backoff_initial: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(5),
            grace: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
        }
    }
}
