//! Whether connections on which nothing happens are left in peace.

use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_tungstenite::tungstenite::Message;

use super::ending::Ending;
use super::finding::{Finding, Trouble, span};
use super::report::Report;
use super::target::Target;
use super::{pings, socket, sse};

const SOCKET: &str = "quiet WebSocket";
const STREAM: &str = "quiet event stream";
/// How late a heartbeat may be, before silence counts as death; what clients bear.
const GRACE: Duration = Duration::from_secs(10);
/// How often a person is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

const IDLE_TIMEOUT: &str = "\
an idle timeout on the path is shorter than the server's heartbeat: raise it above the heartbeat
nginx    proxy_read_timeout and proxy_send_timeout (default 60 s)
HAProxy  timeout tunnel (WebSocket), timeout server and timeout client (event stream)
others   the idle timeout of the load balancer, firewall or NAT
until then clients reconnect and resume from their cursor: no event is lost, but each cut costs a reconnect";
const LIFETIME: &str = "\
heartbeats arrived, so this is not an idle timeout: something limits the lifetime of a connection (a load balancer's
response timeout, a restart of the proxy or of the server)
clients reconnect and resume from their cursor: no event is lost, but each cut costs a reconnect";
const GOING: &str =
    "the server shut down during the test and announced it; clients reconnect automatically: run the doctor again when it is up";
const UNANSWERED: &str =
    "the server received no pong for its ping: a proxy or firewall on the path drops pings or pongs; let control frames pass";
const BLACK_HOLE: &str = "\
a NAT or firewall on the path dropped the connection and notified neither end: raise its idle timeout above the heartbeat
clients detect the silence, reconnect and resume from their cursor: no event is lost, but events arrive late by that time";

/// Which of the two gets through at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct What {
    pub(super) upgrades: bool,
    pub(super) streams: bool,
}

/// How a connection fared.
#[derive(Debug, Clone)]
struct Held {
    heartbeat: Duration,
    /// From the first frame to the end.
    lasted: Duration,
    /// From the last sign of life to the end.
    quiet: Duration,
    heartbeats: u32,
    /// `None` when it still works.
    ending: Option<Ending>,
}

/// Holds what gets through at the same time, so that it takes the time of one.
pub(super) async fn examine(target: &Target, hold: Duration, what: What, report: &Report<'_>) -> Vec<Finding> {
    let begun = Instant::now();
    let both = async {
        let socket = async { if what.upgrades { Some(hold_socket(target, hold).await) } else { None } };
        let stream = async { if what.streams { Some(hold_stream(target, hold).await) } else { None } };
        tokio::join!(socket, stream)
    };
    tokio::pin!(both);
    let mut ticks = interval(TELL_EVERY);
    let (socket, stream) = loop {
        // Whichever comes first: ticks only speak, and go on for as long as it takes.
        tokio::select! {
            ended = &mut both => break ended,
            _ = ticks.tick() => report.progress(format_args!(
                "holding quiet connections: {} of {} s", begun.elapsed().as_secs(), hold.as_secs_f64()
            )),
        }
    };
    report.progress("");
    let finding = |subject, held: Result<Held, Trouble>| match held {
        Ok(held) => judge(subject, &held),
        Err(trouble) => Finding::fault(subject, trouble),
    };
    socket.map(|held| finding(SOCKET, held)).into_iter().chain(stream.map(|held| finding(STREAM, held))).collect()
}

async fn hold_socket(target: &Target, hold: Duration) -> Result<Held, Trouble> {
    let (mut socket, _) = socket::open(target).await?;
    let mut watch = Watch::new(socket.greeting.heartbeat, hold);
    let ending = loop {
        match socket.next(watch.deadline()).await {
            // Answered with the next read.
            Ok(Message::Ping(_)) => watch.heartbeat(),
            Ok(_) => watch.heard(),
            // It stood, as far as we can see: whether it works shows when something is asked.
            Err(Ending::Silent { .. }) if watch.is_over() => match pings::once(&mut socket, target.limit).await {
                Ok(_) => break None,
                Err(Ending::Silent { .. }) => break Some(Ending::Unanswered),
                Err(ending) => break Some(ending),
            },
            Err(ending) => break Some(ending),
        }
    };
    let held = watch.end(ending);
    if held.ending.is_none() {
        socket.close().await;
    }
    Ok(held)
}

async fn hold_stream(target: &Target, hold: Duration) -> Result<Held, Trouble> {
    let (mut sse, _) = sse::open(target).await?;
    let mut watch = Watch::new(sse.greeting.heartbeat, hold);
    loop {
        match sse.next(watch.deadline()).await {
            Ok(()) => watch.heartbeat(),
            Err(Ending::Silent { .. }) if watch.is_over() => return Ok(watch.end(None)),
            Err(ending) => return Ok(watch.end(Some(ending))),
        }
    }
}

/// Times a connection.
#[derive(Debug)]
struct Watch {
    heartbeat: Duration,
    begun: Instant,
    until: Instant,
    last: Instant,
    heartbeats: u32,
}

impl Watch {
    fn new(heartbeat: Duration, hold: Duration) -> Self {
        let now = Instant::now();
        Self { heartbeat, begun: now, until: now + hold, last: now, heartbeats: 0 }
    }

    /// The end of the hold, or of patience with silence.
    fn deadline(&self) -> Instant {
        self.until.min(self.last + self.heartbeat + GRACE)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn heard(&mut self) {
        self.last = Instant::now();
    }

    fn heartbeat(&mut self) {
        self.heartbeats += 1;
        self.heard();
    }

    fn end(self, ending: Option<Ending>) -> Held {
        let Self { heartbeat, begun, last, heartbeats, .. } = self;
        Held { heartbeat, lasted: begun.elapsed(), quiet: last.elapsed(), heartbeats, ending }
    }
}

/// What it means.
fn judge(subject: &'static str, held: &Held) -> Finding {
    let Held { heartbeat, lasted, quiet, heartbeats, ending } = held;
    let beats = match heartbeats {
        0 => format!("before the first heartbeat (every {})", span(*heartbeat)),
        1 => format!("{} after the heartbeat", span(*quiet)),
        n => format!("{} after the last of {n} heartbeats", span(*quiet)),
    };
    let finding = match ending {
        None => {
            let beats = match heartbeats {
                0 => format!("no heartbeat due (every {})", span(*heartbeat)),
                n => format!("heartbeats: {n}"),
            };
            Finding::fine(subject, format!("still open after {}, {beats}", span(*lasted)))
        }
        Some(ending @ (Ending::Drained | Ending::Closed { code: 1001 | 4000, .. })) => {
            Finding::warning(subject, format!("{ending} after {}", span(*lasted)), GOING)
        }
        Some(ending) => {
            let advice = match ending {
                Ending::Closed { code: 4008, .. } => UNANSWERED,
                Ending::Silent { .. } | Ending::Unanswered => BLACK_HOLE,
                _ if *heartbeats == 0 => IDLE_TIMEOUT,
                _ => LIFETIME,
            };
            Finding::fault(subject, Trouble::new(format!("{ending} after {}, {beats}", span(*lasted)), advice))
        }
    };
    finding.time("lasted_ms", *lasted).fact("heartbeats", *heartbeats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Severity;

    /// Goal: each ending gets the advice that fits it. Method: a table of how connections fare.
    #[test]
    fn endings_are_told_apart() {
        let closed = |code, reason: &str| Some(Ending::Closed { code, reason: reason.into() });
        let cut = || Some(Ending::Cut("without a close frame".into()));
        let silent = || Some(Ending::Silent { after: Duration::from_secs(35) });
        for (ending, heartbeats, severity, advice, detail) in [
            (None, 0, Severity::Fine, "", "still open after 20.0 s, no heartbeat due (every 25.0 s)"),
            (None, 2, Severity::Fine, "", "still open after 20.0 s, heartbeats: 2"),
            (cut(), 0, Severity::Fault, IDLE_TIMEOUT, "cut without a close frame after 20.0 s, before the first heartbeat"),
            (cut(), 3, Severity::Fault, LIFETIME, "after 20.0 s, 5.0 s after the last of 3 heartbeats"),
            (silent(), 1, Severity::Fault, BLACK_HOLE, "silent for 35.0 s after 20.0 s, 5.0 s after the heartbeat"),
            (Some(Ending::Unanswered), 0, Severity::Fault, BLACK_HOLE, "no pong for a ping after 20.0 s"),
            (closed(4008, "idle"), 1, Severity::Fault, UNANSWERED, "closed with 4008 idle after 20.0 s"),
            (closed(1006, ""), 0, Severity::Fault, IDLE_TIMEOUT, "closed with 1006 after 20.0 s"),
            (closed(4000, "drain"), 1, Severity::Warning, GOING, "closed with 4000 drain after 20.0 s"),
            (Some(Ending::Drained), 0, Severity::Warning, GOING, "drained by the server after 20.0 s"),
        ] {
            let [heartbeat, lasted, quiet] = [25, 20, 5].map(Duration::from_secs);
            let finding = judge(SOCKET, &Held { heartbeat, lasted, quiet, heartbeats, ending });
            assert_eq!((finding.severity, finding.advice), (severity, advice), "{}", finding.detail);
            assert!(finding.detail.contains(detail), "{}", finding.detail);
        }
    }
}
