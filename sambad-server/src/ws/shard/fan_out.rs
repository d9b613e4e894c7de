//! What was committed goes to the live sessions that ask for it.

use std::collections::HashMap;

use sambad_core::{Event, Filter, KindSet, Seq, UserId};

use super::audience::{Audience, SessionKey, Sessions};
use super::outbound::{Phase, Sent};
use super::run::Run;
use super::socket::Socket;
use super::turn::{Shard, leave_live};
use crate::metrics::Tally;

impl<S: Socket> Shard<S> {
    /// Hands the next slice of what was committed to every live session that asks for it.
    ///
    /// One slice only: under a log that always grows there is always another.
    pub(super) async fn fan_out(&mut self) {
        match self.log.recent(self.position, &Filter::default(), self.bounds.run_events) {
            None => self.fall_off(),
            Some(slice) if slice.through > self.position => {
                self.deliver(&slice.events).await;
                self.position = slice.through;
                self.head.mark_changed();
            }
            Some(_) => {}
        }
        for key in std::mem::take(&mut self.ahead) {
            if let Some(session) = self.sessions.get_mut(key).filter(|session| session.phase == Phase::Ahead) {
                session.phase = Phase::Behind;
                self.make_ready(key);
            }
        }
    }

    /// The tail no longer reaches back to the shard's position, or has a hole: every session reads on by itself.
    fn fall_off(&mut self) {
        let live: Vec<SessionKey> =
            self.sessions.iter().filter(|(_, session)| session.phase == Phase::Live).map(|(key, _)| key).collect();
        for key in live {
            if let Some(session) = self.sessions.get_mut(key) {
                leave_live(session, self.position);
            }
            self.make_ready(key);
        }
        self.position = self.log.bounds().head;
    }

    /// Writes `events`, which follow the shard's position, to the live sessions that ask for them.
    async fn deliver(&mut self, events: &[Event]) {
        let mut writes = 0;
        let mut ended = Vec::new();
        let mut tally = Tally::new(self.log.readable_since(self.position));
        for (kinds, members) in &self.audience.by_kinds {
            let Some(run) = Run::of(events.iter().filter(|event| kinds.contains(event.kind))) else { continue };
            for key in members {
                ended.extend(send_live(&mut self.sessions, *key, &run, self.position, &mut tally));
                writes += 1;
                if writes % self.bounds.writes == 0 {
                    tally.tell(&self.deliveries);
                    tokio::task::yield_now().await;
                }
            }
        }
        for (members, events) in concerned(&self.audience, events) {
            let mut runs: HashMap<KindSet, Option<Run>> = HashMap::new();
            for key in members {
                let Some(kinds) = self.sessions.get(*key).map(|session| session.filter.kinds) else { continue };
                let asked_for = || Run::of(events.iter().copied().filter(|event| kinds.contains(event.kind)));
                if let Some(run) = runs.entry(kinds).or_insert_with(asked_for) {
                    ended.extend(send_live(&mut self.sessions, *key, run, self.position, &mut tally));
                }
                writes += 1;
                if writes % self.bounds.writes == 0 {
                    tally.tell(&self.deliveries);
                    tokio::task::yield_now().await;
                }
            }
        }
        tally.tell(&self.deliveries);
        for (key, sent) in ended {
            if sent == Sent::Blocked { self.wait_for_socket(key) } else { self.depart(key) }
        }
    }
}

/// Sends a run to a session if it is live; says so if that was not the end of it.
fn send_live<S: Socket>(
    sessions: &mut Sessions<S>,
    key: SessionKey,
    run: &Run,
    position: Seq,
    tally: &mut Tally,
) -> Option<(SessionKey, Sent)> {
    let session = sessions.get_mut(key).filter(|session| session.phase == Phase::Live)?;
    let handed_over = session.events;
    let sent = session.send(run, position);
    tally.wrote(session.events - handed_over);
    match sent {
        Sent::All => None,
        sent => {
            session.phase = Phase::Behind;
            Some((key, sent))
        }
    }
}

/// Those of `events` that involve somebody who is followed, by follower, in the order of the log.
fn concerned<'a>(audience: &'a Audience, events: &'a [Event]) -> Vec<(&'a [SessionKey], Vec<&'a Event>)> {
    let mut found: Vec<(&[SessionKey], Vec<&Event>)> = Vec::new();
    if audience.by_user.is_empty() {
        return found;
    }
    let mut places: HashMap<UserId, usize> = HashMap::new();
    for event in events {
        let other = event.involved.other.filter(|other| *other != event.involved.user);
        for user in std::iter::once(event.involved.user).chain(other) {
            if let Some(members) = audience.by_user.get(&user) {
                let place = *places.entry(user).or_insert_with(|| {
                    found.push((members.as_slice(), Vec::new()));
                    found.len() - 1
                });
                found[place].1.push(event);
            }
        }
    }
    found
}
