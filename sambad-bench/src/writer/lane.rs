//! A lane: one connection that carries one operation at a time.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::bail;
use hyper::StatusCode;

use super::connection::{ANSWER_TIMEOUT, Connection, HttpAnswer, PostError};
use super::{Due, Writer, request};
use crate::audit;
use crate::load::clock::nanos;
use crate::load::dialect::Dialect;
use crate::load::ledger::state;
use crate::load::plan::{Phase, another};
use crate::load::wire::{SEQ_MAX, WriteAnswer};
use crate::report::LatencyKind;

/// Between attempts to connect to a server that is not there: it may be restarting.
const RETRY_DELAY: Duration = Duration::from_millis(5);
/// How long a server may be away before the run is given up.
const AWAY_MAX: Duration = Duration::from_secs(15);

/// Before a write is sent again whose outcome is not known.
const REPEAT_DELAY: Duration = Duration::from_millis(50);
/// How long it is sent again: longer than any fault lasts.
const REPEATING_MAX: Duration = Duration::from_secs(30);

/// How an operation ended.
enum Outcome {
    Acknowledged {
        seq: Option<u64>,
        has_event: bool,
    },
    Refused(String),
    /// Refused before it was tried: the server has too much to do.
    Overloaded(String),
    Unanswered,
}

/// What became of a request.
enum Sent {
    /// Its outcome is noted.
    Noted,
    /// It never left.
    Not,
    /// Its outcome is unknown, and it is to be sent again.
    Again,
}

/// Takes operations until there are none.
///
/// `home` is where it connects, if it can: with several servers, each gets its share of the lanes.
pub(super) async fn run(writer: Rc<Writer>, home: usize) -> anyhow::Result<()> {
    let shared = &writer.shared;
    let mut connection = None;
    // Before this instant the lane could not have sent: waiting for a free connection is the server's doing, not ours.
    let mut free_ns = 0;
    while let Some(due) = writer.next().await {
        let mut first_sent_ns = None;
        loop {
            let open = match connection.take().filter(Connection::is_usable) {
                Some(open) => open,
                None => {
                    let Some(open) = connect(&writer, home).await? else { return Ok(()) };
                    free_ns = shared.clock.now_ns();
                    open
                }
            };
            connection = Some(open);
            let Some(open) = &mut connection else { continue };
            match send(&writer, open, due, free_ns, &mut first_sent_ns).await? {
                Sent::Noted => {
                    free_ns = shared.clock.now_ns();
                    break;
                }
                Sent::Again => {
                    tokio::time::sleep(REPEAT_DELAY).await;
                    continue;
                }
                Sent::Not => {}
            }
            if shared.clock.now_ns() - due.queued_ns.max(free_ns) > nanos(AWAY_MAX) {
                bail!("the target accepts no requests: it has closed every connection for {} s", AWAY_MAX.as_secs());
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
    Ok(())
}

/// Connects, also to a server that comes back, or to another; `None` when the run is over.
async fn connect(writer: &Writer, home: usize) -> anyhow::Result<Option<Connection>> {
    let shared = &writer.shared;
    let places = &shared.places.writers;
    let mut at = home % places.len();
    let since_ns = shared.clock.now_ns();
    loop {
        let error = match Connection::open(&places[at], shared.plan.authorization.clone()).await {
            Ok(open) => return Ok(Some(open)),
            Err(error) => error,
        };
        if shared.phase() == Phase::Stopped {
            return Ok(None);
        }
        if shared.clock.now_ns() - since_ns > nanos(AWAY_MAX) {
            bail!("the target is gone: {} has been unreachable for {} s: {error}", places[at].authority, AWAY_MAX.as_secs());
        }
        at = another(at, places.len());
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Sends one operation and notes what became of it, if that is settled.
///
/// # Errors
/// When it timed out and nothing else was answered meanwhile: a target that hangs is not waited for.
async fn send(
    writer: &Writer,
    connection: &mut Connection,
    due: Due,
    free_ns: u64,
    first_sent_ns: &mut Option<u64>,
) -> anyhow::Result<Sent> {
    let shared = &writer.shared;
    let (path, body) = request::of(shared, due.k);
    let bytes = body.len() as u64;
    let sent_ns = first_sent_ns.unwrap_or_else(|| begin(writer, due));
    let key = shared.plan.retries.then(|| shared.workload.key(due.k));
    let answer = connection.post(path, body, key).await;
    let answered_ns = shared.clock.now_ns();
    let outcome = match answer {
        Err(PostError::NotSent) => return Ok(Sent::Not),
        Err(PostError::TimedOut) if writer.answered_ns.get() < sent_ns => {
            bail!("the target has not responded for {} s", ANSWER_TIMEOUT.as_secs());
        }
        Err(PostError::TimedOut | PostError::Unknown(_)) => Outcome::Unanswered,
        Ok(answer) => {
            writer.answered_ns.set(answered_ns);
            judge(shared.plan.dialect, path, &answer)
        }
    };
    let is_open = matches!(outcome, Outcome::Unanswered | Outcome::Overloaded(_));
    if shared.plan.retries && is_open && answered_ns - sent_ns < nanos(REPEATING_MAX) && shared.phase() < Phase::Stopped {
        *first_sent_ns = Some(sent_ns);
        writer.recorder.borrow_mut().tally.retried += 1;
        return Ok(Sent::Again);
    }
    let mut recorder = writer.recorder.borrow_mut();
    let tally = &mut recorder.tally;
    tally.bytes_sent += bytes;
    let measured = due.intended_ns >= shared.measure_from_ns();
    let one = u64::from(measured);
    match outcome {
        Outcome::Acknowledged { seq, has_event } => {
            tally.acknowledged_all += 1;
            shared.progress(writer.index).acknowledged.fetch_add(1, Ordering::Relaxed);
            tally.acknowledged += one;
            tally.without_event += if has_event { 0 } else { one };
            if shared.plan.dialect.has_log() && !has_event {
                audit::no_event(due.k, tally);
            }
            let bits = if has_event { state::ACKNOWLEDGED } else { state::ACKNOWLEDGED | state::WITHOUT_EVENT };
            if let Err(seen) = shared.ledger.answer(due.k, bits, answered_ns, seq) {
                audit::disagreement(due.k, seq.unwrap_or_default(), seen, tally);
            }
        }
        Outcome::Refused(text) | Outcome::Overloaded(text) => {
            tally.refused += one;
            tally.first_refusal.get_or_insert(text);
            audit::refused(shared, due.k, tally);
        }
        Outcome::Unanswered => {
            tally.unanswered += one;
            // Its event may have been seen already.
            let before = shared.ledger.mark(due.k, state::UNANSWERED).unwrap_or_default();
            tally.audit.unanswered_arrived += u64::from(before & state::SEEN != 0);
        }
    }
    if measured {
        // Also of a write that failed: for one without an answer it is a lower bound, and better than no sample.
        recorder.record_ns(LatencyKind::Response, answered_ns - due.intended_ns);
        recorder.record_ns(LatencyKind::Service, answered_ns - sent_ns);
        let late_ns = due.queued_ns - due.intended_ns + sent_ns.saturating_sub(due.queued_ns.max(free_ns));
        recorder.tally.late += u64::from(late_ns > nanos(shared.plan.late_after));
        recorder.record_ns(LatencyKind::Lateness, late_ns);
    }
    Ok(Sent::Noted)
}

/// Notes that an operation is sent, and when. One that is sent again may have been carried out: what is known of it stays.
fn begin(writer: &Writer, due: Due) -> u64 {
    let shared = &writer.shared;
    let now_ns = shared.clock.now_ns();
    let gone = shared.ledger.begin(due.k, due.intended_ns, now_ns);
    if let Some(gone) = gone.filter(|gone| gone.k != due.k) {
        audit::settle(shared, gone, &mut writer.recorder.borrow_mut().tally);
    }
    now_ns
}

/// What an answer means. A 5xx leaves open whether the write was carried out, but for a refusal before it was tried.
fn judge(dialect: Dialect, path: request::Path, answer: &HttpAnswer) -> Outcome {
    if answer.status.is_success() {
        return match serde_json::from_slice::<WriteAnswer>(&answer.body) {
            Ok(WriteAnswer { seq, .. }) if dialect.has_log() => {
                // No event has seq 0, nor one beyond what a signed column holds.
                let seq = seq.flatten().filter(|seq| (1..=SEQ_MAX).contains(seq));
                Outcome::Acknowledged { seq, has_event: seq.is_some() }
            }
            // Without a log, the status tells a new contact from one that was there, and `created` a new user.
            Ok(WriteAnswer { created, .. }) => {
                let existed = path == request::CONTACTS && answer.status != StatusCode::CREATED || created == Some(false);
                Outcome::Acknowledged { seq: None, has_event: !existed }
            }
            Err(error) => Outcome::Refused(format!("{} with invalid JSON: {error}", answer.status)),
        };
    }
    let text = String::from_utf8_lossy(&answer.body);
    let overloaded = answer.status == StatusCode::SERVICE_UNAVAILABLE && text.contains("\"overloaded\"");
    if answer.status.is_server_error() && !overloaded {
        return Outcome::Unanswered;
    }
    const SHOWN_CHARS: usize = 200;
    let shown = format!("{}: {}", answer.status, text.chars().take(SHOWN_CHARS).collect::<String>());
    if overloaded { Outcome::Overloaded(shown) } else { Outcome::Refused(shown) }
}
