//! Clients that lost their network: neither FIN nor RST reports it, so the kernel has to notice.

use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// Time between two probes of an idle connection.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Unanswered probes after which a connection is lost.
const PROBES: u32 = 3;
/// How much longer the kernel waits than the server: a client that lives and does not read keeps its window closed, which the
/// kernel counts as well. The server is to notice it first, and to close its session as stalled.
const MARGIN: Duration = Duration::from_secs(2);

/// Has the kernel end a connection whose peer acknowledges nothing for a little longer than `patience`, whether or not anything
/// is sent to it.
///
/// What is sent and not acknowledged falls under the user timeout: with a heartbeat every 25 s and a patience of 30 s, a session
/// ends 57 s after its client's network did. A connection on which nothing is sent is probed in the last 6 s of that time only.
/// That is later than the next heartbeat, whose acknowledgement starts the time anew: a phone with a session is never woken by
/// a probe.
///
/// Linux alone knows the user timeout. Elsewhere probes end an idle connection likewise, and what is not acknowledged is
/// retransmitted for as long as the system likes, some minutes. A system that refuses an option keeps its own behaviour.
pub(crate) fn notice_lost_peer(stream: &TcpStream, patience: Duration) {
    let patience = patience + MARGIN;
    let idle = patience.saturating_sub(PROBE_INTERVAL * PROBES).max(Duration::from_secs(1));
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, idle);
    let _ = sockopt::set_tcp_keepintvl(stream, PROBE_INTERVAL);
    let _ = sockopt::set_tcp_keepcnt(stream, PROBES);
    #[cfg(target_os = "linux")]
    let _ = sockopt::set_tcp_user_timeout(stream, u32::try_from(patience.as_millis()).unwrap_or(u32::MAX));
}
