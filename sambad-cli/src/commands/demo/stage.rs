//! The loop of `demo`: has the next thing happen when it is due, and waits for a server that is away.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use sambad_client::reconnect::Backoff;
use sambad_client::{Client, Error};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::DemoArgs;
use super::found::Found;
use super::pace::Pace;
use super::story::{Act, Story};
use super::tally::Tally;
use super::write::{Attempt, Contacts, Written};
use crate::commands::interrupts::Interrupts;
use crate::exit::Exit;
use crate::output::{Output, Role};

/// Events a second that one write after the other can bear, also on a slow disk. Up to it the log tells the story in its order.
const RATE_EACH: f64 = 25.0;
/// The first and the longest wait for a server that is away.
pub(super) const WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];
/// How long the end waits for writes under way.
const GRACE: Duration = Duration::from_secs(2);
/// How often a person is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(500);

type UnderWay = FuturesUnordered<BoxFuture<'static, (Attempt, Result<Written, Error>)>>;

pub(super) struct Stage {
    client: Client,
    story: Story,
    pace: Pace,
    tally: Tally,
    contacts: Contacts,
    /// Writes at a time.
    lanes: usize,
    /// Told apart from other runs of the same story, whose writes the server must not take for these.
    run: u64,
    number: u64,
    under_way: UnderWay,
    /// Who takes part in what is under way or must be tried again: between two people, one thing happens after the other.
    busy: HashSet<[u32; 2]>,
    /// Drawn, and held up by who takes part.
    held_up: Option<Act>,
    again: VecDeque<Attempt>,
    outage: Option<Outage>,
    backoff: Backoff,
    begun: Instant,
    ends_at: Option<Instant>,
    tell_at: Instant,
}

/// The server is away, or refuses.
#[derive(Debug)]
struct Outage {
    since: Instant,
    retry_at: Instant,
}

/// What woke the loop.
enum Wake {
    Answered(Attempt, Result<Written, Error>),
    Due,
    Stop,
    Tell,
}

impl Stage {
    pub(super) fn new(args: &DemoArgs, client: &Client, found: Found, seed: u64) -> Self {
        let mut contacts: Vec<_> = found.contacts.keys().copied().collect();
        // A map has no order, and the story draws from it.
        contacts.sort_unstable();
        let now = Instant::now();
        Self {
            client: client.clone(),
            story: Story::new(seed, args.users, found.users, contacts),
            pace: Pace::new(seed, args.rate),
            tally: Tally::default(),
            contacts: found.contacts,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 20")]
            lanes: (args.rate / RATE_EACH).ceil() as usize,
            run: fastrand::u64(..),
            number: 0,
            under_way: UnderWay::new(),
            busy: HashSet::new(),
            held_up: None,
            again: VecDeque::new(),
            outage: None,
            backoff: Backoff::new(WAITS[0], WAITS[1]),
            begun: now,
            ends_at: args.duration.map(|duration| now + duration),
            tell_at: now,
        }
    }

    pub(super) async fn run(mut self, output: &mut Output, interrupts: &mut Interrupts) -> anyhow::Result<Exit> {
        loop {
            match self.wait(interrupts).await {
                Wake::Answered(attempt, outcome) => self.answered(attempt, outcome, output)?,
                Wake::Due => self.act(),
                Wake::Tell => self.tell(output),
                Wake::Stop => break,
            }
        }
        // What is under way may be stored already: it is told if it can be, unless somebody is in a hurry.
        let until = Instant::now() + GRACE;
        let rest = async {
            while let Ok(Some((attempt, outcome))) = timeout_at(until, self.under_way.next()).await {
                if outcome.is_ok() {
                    self.answered(attempt, outcome, output)?;
                }
            }
            anyhow::Ok(())
        };
        tokio::select! {
            rest = rest => rest?,
            () = interrupts.next() => {}
        }
        output.progress("");
        output.note(Role::Aside, format_args!("stopped after {:.1} s; {}", self.begun.elapsed().as_secs_f64(), self.tally));
        Ok(Exit::Success)
    }

    async fn wait(&mut self, interrupts: &mut Interrupts) -> Wake {
        let due = self.due();
        tokio::select! {
            // In this order: a fast story must neither outrun the clock nor drown a Ctrl-C.
            biased;
            () = interrupts.next() => Wake::Stop,
            () = at(self.ends_at) => Wake::Stop,
            Some((attempt, outcome)) = self.under_way.next() => Wake::Answered(attempt, outcome),
            () = at(due) => Wake::Due,
            () = sleep_until(self.tell_at) => Wake::Tell,
        }
    }

    /// When the next write may begin; `None`: once one that is under way has ended.
    fn due(&self) -> Option<Instant> {
        let held_up = self.held_up.is_some_and(|act| self.must_wait(act));
        match &self.outage {
            // One tries for all.
            Some(outage) => self.under_way.is_empty().then_some(outage.retry_at),
            None if self.under_way.len() >= self.lanes => None,
            None if !self.again.is_empty() => Some(Instant::now()),
            None => (!held_up).then(|| self.pace.due()),
        }
    }

    /// Whether an act must not begin before what is under way has ended.
    fn must_wait(&self, act: Act) -> bool {
        if let Act::LogIn { .. } = act {
            // Newcomers come one after the other, so that another run can search for where they end.
            return self.busy.iter().any(|[one, other]| one == other);
        }
        let [one, other] = act.people();
        [[one, other], [one, one], [other, other]].iter().any(|people| self.busy.contains(people))
    }

    /// Begins the next write: one that must be tried again, else what the story has next.
    fn act(&mut self) {
        let attempt = if let Some(attempt) = self.again.pop_front() {
            attempt
        } else {
            let act = self.held_up.take().unwrap_or_else(|| self.story.next());
            if self.must_wait(act) {
                self.held_up = Some(act);
                return;
            }
            self.pace.happened(Instant::now());
            self.number += 1;
            Attempt::new(act, format!("demo-{:016x}-{}", self.run, self.number), &self.contacts)
        };
        self.busy.insert(attempt.act.people());
        let client = self.client.clone();
        self.under_way.push(Box::pin(async move {
            let outcome = attempt.send(&client).await;
            (attempt, outcome)
        }));
    }

    fn answered(&mut self, attempt: Attempt, outcome: Result<Written, Error>, output: &mut Output) -> anyhow::Result<()> {
        let act = attempt.act;
        let again = match outcome {
            Ok(written) => {
                self.back(output);
                self.tally.count(act, &written);
                match (act, written.contact) {
                    (Act::Add { who, whom }, Some(id)) => drop(self.contacts.insert((who, whom), id)),
                    (Act::Remove { who, whom }, _) => drop(self.contacts.remove(&(who, whom))),
                    _ => {}
                }
                if let Some(json) = written.json.filter(|_| output.wants_json()) {
                    output.line(json)?;
                    output.flush()?;
                }
                false
            }
            // Nothing of the story would be let in.
            Err(error) if error.is_denied() => return Err(error.into()),
            Err(error) => {
                self.away(&error, output);
                // What is refused for good would be refused again; the story goes on without it.
                error.is_transient()
            }
        };
        if again {
            self.again.push_back(attempt);
        } else {
            self.busy.remove(&act.people());
        }
        Ok(())
    }

    /// Takes note of a failure; what is told is that there is one.
    fn away(&mut self, error: &Error, output: &Output) {
        let now = Instant::now();
        let since = self.outage.as_ref().map_or(now, |outage| outage.since);
        if self.outage.is_none() {
            output.progress("");
            output.note(Role::Warning, format_args!("waiting for the server: {error}"));
        } else if self.outage.as_ref().is_some_and(|outage| outage.retry_at > now) {
            // Others that were under way fail for the same reason.
            return;
        }
        let wait = self.backoff.next(fastrand::f64()).max(error.retry_after().unwrap_or_default());
        self.outage = Some(Outage { since, retry_at: now + wait });
    }

    /// Takes note of a success, which ends an outage unless it is of a write from before.
    fn back(&mut self, output: &Output) {
        if let Some(outage) = self.outage.take_if(|outage| outage.retry_at <= Instant::now()) {
            self.backoff.reset();
            output.progress("");
            output.note(Role::Good, format_args!("continuing, after {:.1} s", outage.since.elapsed().as_secs_f64()));
        }
    }

    fn tell(&mut self, output: &Output) {
        self.tell_at = Instant::now() + TELL_EVERY;
        if self.outage.is_none() {
            output.progress(format_args!("{} s; {}", self.begun.elapsed().as_secs(), self.tally));
        }
    }
}

/// Waits for an instant; for ever, if there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
