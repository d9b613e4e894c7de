//! Judges and times every frame that a thread's sessions receive; knows no socket.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sambad_client::{Anomaly, Cursor, Seq, Verifier};

use super::seen::{Known, Seen, Timing};
use crate::audit;
use crate::load::ledger::state;
use crate::load::plan::Shared;
use crate::load::recorder::{Recorder, Tally};
use crate::load::wire::{EventText, SEQ_MAX};
use crate::load::workload::Origin;
use crate::report::LatencyKind;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sees every event.
    Dashboard(u32),
    /// Sees every event and reads at a trickle.
    SlowDashboard(u32),
    /// Sees the events of one user.
    App(u32),
}

impl Role {
    /// Which of its kind.
    pub(super) fn number(self) -> usize {
        let (Self::Dashboard(number) | Self::SlowDashboard(number) | Self::App(number)) = self;
        number as usize
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dashboard(number) => write!(f, "dashboard {number}"),
            Self::SlowDashboard(number) => write!(f, "slow dashboard {number}"),
            Self::App(user) => write!(f, "app session {user}"),
        }
    }
}

/// How far a session is.
#[derive(Debug)]
struct Standing {
    role: Role,
    /// Set by the first frame of its first connection.
    verifier: Option<Verifier>,
    cursor: Option<Cursor>,
}

/// What a control frame means for the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The stream begins, or begins again.
    Connected,
    /// An event, or a frame that changes nothing.
    Other,
}

/// All sessions of a thread, and what they have seen.
#[derive(Debug)]
pub(super) struct Judge {
    shared: Arc<Shared>,
    /// This thread's number among the watchers.
    thread: u32,
    sessions: Vec<Standing>,
    seen: Seen,
}

impl Judge {
    pub(super) fn new(shared: Arc<Shared>, thread: u32, roles: impl IntoIterator<Item = Role>) -> Self {
        let sessions = roles.into_iter().map(|role| Standing { role, verifier: None, cursor: None }).collect();
        Self { shared, thread, sessions, seen: Seen::default() }
    }

    pub(super) fn role(&self, session: usize) -> Role {
        self.sessions[session].role
    }

    /// Where the session has to resume; `None` before its first connection, and where there is no log to resume from.
    pub(super) fn resume_from(&self, session: usize) -> Option<Cursor> {
        let Standing { verifier, cursor, .. } = &self.sessions[session];
        let verifier = verifier.as_ref()?;
        cursor.map(|cursor| Cursor { seq: verifier.last(), ..cursor })
    }

    /// Starts a session where there is no first frame that says from which place: at what was seen last.
    pub(super) fn connected_without_log(&mut self, session: usize) {
        let start = Seq(self.seen.head());
        self.sessions[session].verifier.get_or_insert_with(|| Verifier::unfiltered(start));
    }

    /// Takes a text frame that arrived at `now_ns`.
    ///
    /// # Errors
    /// When it is no frame of the dialect.
    pub(super) fn receive(&mut self, session: usize, text: &str, now_ns: u64, recorder: &mut Recorder) -> Result<Frame, String> {
        recorder.tally.bytes_received += text.len() as u64;
        let standing = &mut self.sessions[session];
        let next = standing.verifier.as_ref().map(|verifier| verifier.last().next().0);
        if let Some(known) = next.and_then(|next| self.seen.get(next)).filter(|known| *known.text == *text) {
            let (place, timing) = (known.place, known.timing);
            deliver(&self.shared, self.thread, standing, place, timing, now_ns, recorder);
            return Ok(Frame::Other);
        }
        let event = match EventText::parse(text) {
            Ok(event) if event.seq.is_none_or(|seq| seq <= SEQ_MAX) => event,
            Ok(_) => return self.strange(session, "a frame with a seq above the maximum", &mut recorder.tally),
            Err(error) => return self.strange(session, &format!("an unreadable frame ({error})"), &mut recorder.tally),
        };
        let has_log = self.shared.plan.dialect.has_log();
        if has_log && event.seq.is_none() || !has_log && event.event_type == "connected" {
            return self.control(session, &event, &mut recorder.tally);
        }
        let origin = self.shared.workload.origin(&event);
        let place = match (event.seq, origin) {
            (Some(seq), _) if has_log => seq,
            (_, Origin::Op(k)) => self.seen.place_of(k),
            // Without a log, an event that is nobody's has no place in any order.
            (_, Origin::Impossible | Origin::Foreign) => {
                recorder.tally.deliveries += 1;
                self.unexplained(None, &event, &mut recorder.tally);
                return Ok(Frame::Other);
            }
        };
        let timing = self.timing(session, place, origin, &event, text, &mut recorder.tally);
        deliver(&self.shared, self.thread, &mut self.sessions[session], place, timing, now_ns, recorder);
        Ok(Frame::Other)
    }

    /// Counts a frame that has no place in the contract; before the first frame it means another kind of server.
    fn strange(&self, session: usize, what: &str, tally: &mut Tally) -> Result<Frame, String> {
        let Standing { role, verifier, .. } = &self.sessions[session];
        if verifier.is_none() {
            return Err(format!("{what}: is this a Sambad server?"));
        }
        tally.audit.unexplained += 1;
        tally.finding(|| format!("unexplained: {role} received {what}"));
        Ok(Frame::Other)
    }

    /// What the event's latencies count from; finds out whose it is, if it is new.
    fn timing(
        &mut self,
        session: usize,
        place: u64,
        origin: Origin,
        event: &EventText<'_>,
        text: &str,
        tally: &mut Tally,
    ) -> Option<Timing> {
        if let Some(known) = self.seen.get(place) {
            if *known.text != *text {
                tally.audit.unexplained += 1;
                let role = self.sessions[session].role;
                tally.finding(|| format!("unexplained: seq {place} at {role} differs from the same seq at another session"));
            }
            return known.timing;
        }
        let timing = self.origin(place, origin, event, tally);
        if let Origin::Op(k) = origin
            && !self.shared.ledger.is_same_text(k, hash(text))
        {
            tally.audit.unexplained += 1;
            let role = self.sessions[session].role;
            tally.finding(|| format!("unexplained: seq {place} at {role} differs from the same seq at another session"));
        }
        if !self.seen.is_past(place) {
            self.shared.ledger.raise_head(if self.shared.plan.dialect.has_log() { place } else { 0 });
            let k = if let Origin::Op(k) = origin { Some(k) } else { None };
            self.seen.insert(Known { place, k, text: text.into(), timing });
        }
        timing
    }

    /// Looks the operation of a new event up, and judges whether there may be one.
    fn origin(&self, place: u64, origin: Origin, event: &EventText<'_>, tally: &mut Tally) -> Option<Timing> {
        let Origin::Op(k) = origin else {
            self.unexplained(Some(place), event, tally);
            return None;
        };
        match self.shared.ledger.seen(k, place) {
            Some(Ok(entry)) => {
                if !entry.has(state::SEEN) && entry.has(state::REFUSED) {
                    audit::refused_arrived(k, tally);
                }
                tally.audit.unanswered_arrived += u64::from(!entry.has(state::SEEN) && entry.has(state::UNANSWERED));
                let committed_us = event.committed_us().filter(|_| self.shared.plan.dialect.has_log());
                Some(Timing { k, intended_ns: entry.intended_ns, sent_ns: entry.sent_ns, committed_us })
            }
            Some(Err(known)) => {
                if self.shared.is_first_to_judge(place) {
                    tally.audit.unexplained += 1;
                    tally.finding(|| format!("unexplained: operation {k} happened twice, as seq {known} and as seq {place}"));
                }
                None
            }
            // A reader that far behind is not timed.
            None if self.seen.is_past(place) => None,
            None => {
                if self.shared.is_first_to_judge(place) {
                    tally.audit.unexplained += 1;
                    tally.finding(|| format!("unexplained: seq {place} belongs to operation {k}, which was not sent"));
                }
                None
            }
        }
    }

    fn unexplained(&self, place: Option<u64>, event: &EventText<'_>, tally: &mut Tally) {
        if self.shared.plan.shared_target {
            // Each thread sees it; one of them counts.
            tally.audit.foreign += u64::from(self.thread == 0);
            return;
        }
        if place.is_some_and(|place| place <= self.shared.users.head || !self.shared.is_first_to_judge(place)) {
            return;
        }
        tally.audit.unexplained += 1;
        tally.finding(|| match place {
            Some(place) => format!("unexplained: seq {place}, a {}, belongs to no operation of this run", event.event_type),
            None => format!("unexplained: a {} belongs to no operation of this run", event.event_type),
        });
    }

    fn control(&mut self, session: usize, event: &EventText<'_>, tally: &mut Tally) -> Result<Frame, String> {
        let cursor = || -> Result<Cursor, String> {
            let text = event.data.cursor.as_deref().ok_or("no cursor: is this a Sambad server?")?;
            text.parse().map_err(|_| format!("an invalid cursor {text:?}"))
        };
        match &*event.event_type {
            "connected" if !self.shared.plan.dialect.has_log() => Ok(Frame::Connected),
            "connected" => {
                let cursor = cursor().map_err(|error| format!("the first frame has {error}"))?;
                let standing = &mut self.sessions[session];
                if standing.cursor.is_some_and(|known| known.epoch != cursor.epoch) {
                    replaced(standing.role, cursor, tally);
                    standing.cursor = Some(cursor);
                }
                if standing.verifier.is_none() {
                    standing.verifier = Some(match standing.role {
                        Role::App(_) => Verifier::filtered(cursor.seq),
                        Role::Dashboard(_) | Role::SlowDashboard(_) => Verifier::unfiltered(cursor.seq),
                    });
                    standing.cursor = Some(cursor);
                }
                Ok(Frame::Connected)
            }
            "resync" => {
                let to = cursor()?;
                let standing = &mut self.sessions[session];
                if standing.cursor.is_some_and(|cursor| cursor.epoch != to.epoch) {
                    replaced(standing.role, to, tally);
                }
                // What lies between shows as a hole as soon as an event follows.
                standing.cursor = Some(to);
                Ok(Frame::Other)
            }
            "heartbeat" => {
                let at = cursor()?.seq;
                let standing = &mut self.sessions[session];
                let passes = |verifier: &mut Verifier| verifier.check(at).is_ok();
                // From here on, an event up to there counts as out of order.
                if matches!(standing.role, Role::App(_)) && standing.verifier.as_mut().is_some_and(passes) {
                    return Ok(Frame::Other);
                }
                self.strange(session, &format!("a heartbeat at seq {at}, which is not new"), tally)
            }
            "live" | "token_expiring" => Ok(Frame::Other),
            other => {
                let what = format!("a frame of type {:?} without a seq", other.chars().take(40).collect::<String>());
                self.strange(session, &what, tally)
            }
        }
    }

    /// Counts a session that the server has ended for good.
    pub(super) fn ended(&self, session: usize, why: &str, tally: &mut Tally) {
        tally.audit.unexplained += 1;
        let role = self.sessions[session].role;
        tally.finding(|| format!("unexplained: {role} was closed permanently: {why}"));
    }

    /// Where every dashboard has to arrive.
    fn goal(&self) -> u64 {
        if self.shared.plan.dialect.has_log() { self.shared.goal() } else { self.seen.head() }
    }

    /// Whether every dashboard is where the log is.
    pub(super) fn is_caught_up(&self) -> bool {
        let head = self.goal();
        self.sessions.iter().all(|standing| match standing.role {
            Role::App(_) => true,
            Role::Dashboard(_) | Role::SlowDashboard(_) => {
                standing.verifier.as_ref().is_some_and(|verifier| verifier.last().0 >= head && verifier.missing() == 0)
            }
        })
    }

    /// Counts what is missing for good.
    pub(super) fn close(&self, tally: &mut Tally) {
        let head = self.goal();
        for Standing { role, verifier, .. } in &self.sessions {
            let (false, Some(verifier)) = (matches!(role, Role::App(_)), verifier) else { continue };
            let end = head.saturating_sub(verifier.last().0);
            tally.audit.lost += verifier.missing() + end;
            let holes = verifier.holes().chain((end > 0).then(|| verifier.last().0 + 1..=head));
            for seq in holes.flatten().take(crate::load::recorder::FINDINGS_MAX) {
                tally.finding(|| format!("lost: seq {seq} never reached {role}"));
            }
        }
    }
}

/// Judges one delivery by its place and records its latencies.
fn deliver(
    shared: &Shared,
    thread: u32,
    standing: &mut Standing,
    place: u64,
    timing: Option<Timing>,
    now_ns: u64,
    recorder: &mut Recorder,
) {
    let Standing { role, verifier: Some(verifier), .. } = standing else { return };
    let role = *role;
    let tally = &mut recorder.tally;
    tally.deliveries += 1;
    tally.audit.checked += 1;
    shared.progress(thread).deliveries.fetch_add(1, Ordering::Relaxed);
    let judged = verifier.check(Seq(place));
    let repeated = match role {
        Role::App(user) => !at_app(shared, user, timing, place, tally) || matches!(judged, Err(Anomaly::Repeat { .. })),
        Role::Dashboard(_) | Role::SlowDashboard(_) => matches!(judged, Err(Anomaly::Repeat { .. })),
    };
    match judged {
        _ if repeated => {
            tally.audit.duplicate += 1;
            tally.finding(|| format!("duplicate: seq {place} arrived again at {role}"));
            return;
        }
        Err(Anomaly::Gap { last, got }) => tally.missing_delta += i64::try_from(got.0 - last.0 - 1).unwrap_or(i64::MAX),
        Err(Anomaly::Reorder { last, .. }) => {
            tally.audit.reordered += 1;
            tally.missing_delta -= i64::from(!matches!(role, Role::App(_)));
            tally.finding(|| format!("reordered: seq {place} arrived at {role} after seq {last}"));
        }
        Ok(()) | Err(Anomaly::Repeat { .. }) => {}
    }
    match timing {
        Some(timing) if timing.intended_ns >= shared.measure_from_ns() => record(shared, role, timing, now_ns, recorder),
        Some(_) => {}
        None => tally.untimed += u64::from(place > shared.users.head),
    }
}

/// The log is another one than before.
fn replaced(role: Role, goes_on_from: Cursor, tally: &mut Tally) {
    tally.audit.unexplained += 1;
    tally.finding(|| {
        format!("unexplained: the log was replaced while {role} was disconnected (the session continues from {goes_on_from})")
    });
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Marks that an app session got its event; false when it had it already.
fn at_app(shared: &Shared, user: u32, timing: Option<Timing>, place: u64, tally: &mut Tally) -> bool {
    let Some(Timing { k, .. }) = timing else { return true };
    let involved = shared.workload.op(k).involved();
    let Some(position) = involved.iter().position(|involved| *involved == Some(u64::from(user))) else {
        tally.audit.unexplained += 1;
        tally.finding(|| format!("unexplained: seq {place} arrived at app session {user}, but does not involve that user"));
        return true;
    };
    let bit = state::AT_APP << position;
    shared.ledger.mark(k, bit).is_none_or(|before| before & bit == 0)
}

fn record(shared: &Shared, role: Role, timing: Timing, now_ns: u64, recorder: &mut Recorder) {
    let since_plan = now_ns.saturating_sub(timing.intended_ns);
    match role {
        Role::SlowDashboard(_) => recorder.record_ns(LatencyKind::SlowDelivery, since_plan),
        Role::App(_) => recorder.record_ns(LatencyKind::AppDelivery, since_plan),
        Role::Dashboard(_) => {
            recorder.record_ns(LatencyKind::Delivery, since_plan);
            recorder.record_ns(LatencyKind::DeliveryService, now_ns.saturating_sub(timing.sent_ns));
            // An event often comes before the answer to its write.
            let since_answer = shared.ledger.acknowledged_ns(timing.k).map_or(0, |at| now_ns.saturating_sub(at));
            recorder.record_ns(LatencyKind::AckToDashboard, since_answer);
            if let Some(committed_us) = timing.committed_us.filter(|_| shared.is_local()) {
                let since_commit = shared.clock.wall_us(now_ns) - committed_us;
                recorder.record_us(LatencyKind::CommitToDashboard, since_commit.try_into().unwrap_or(0));
            }
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
