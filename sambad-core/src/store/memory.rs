//! A store in memory for deterministic simulation: the real plan, no disk, and a fault wherever a database has one.
//!
//! It promises what a database promises, no more: what a fault script does to it is what a full disk, a broken COMMIT or
//! a slow read does. Lists of rows, which nobody simulates, are refused.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::ContextV7;

use super::plan::{KeptAnswer, KeyAge, Loaded, Lookups, NewContact, Plan, Start};
use super::{Committed, LogPage, Request, Trimmed};
use crate::clock::Clock;
use crate::command::UserRef;
use crate::cursor::{Epoch, LogBounds, Seq};
use crate::error::Error;
use crate::event::{self, Event, EventRow};
use crate::id::{ContactId, UserId};
use crate::kind::{Filter, KindSet};
use crate::limits::{IDEMPOTENCY_KEY_TTL, SLICE_BYTES_MAX};
use crate::model::{Contact, Message, Snapshot, User};
use crate::phone::Phone;
use crate::retention::{Extent, Oldest, Retention};
use crate::time::Timestamp;

/// Rows looked at in one page when only some kinds are asked for, as many as the SQLite store looks at.
const SCANNED_ROWS: usize = 512;
/// Events trimmed at once, as many as the SQLite store trims.
const TRIMMED_ROWS: usize = 1024;

/// Where a simulated store asks its script what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultPoint {
    /// A batch is about to be read for and planned. A failure answers `Unavailable`; nothing is stored.
    Begin,
    /// COMMIT is about to be sent. A failure answers `OutcomeUnknown`; nothing is stored.
    Commit,
    /// COMMIT has taken effect, its answer is on the way. A failure answers `OutcomeUnknown`; everything is stored.
    Committed,
    /// The oldest events are about to be trimmed. A failure answers `Unavailable`; nothing is trimmed.
    Trim,
    /// They are trimmed, the answer is on the way. A failure answers `Unavailable` all the same.
    Trimmed,
    /// A read is about to begin. A failure answers `Unavailable`.
    Read,
    /// A read has its snapshot, its answer is on the way. A failure answers `Unavailable`.
    HaveRead,
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Others have this many turns first.
    Yield(u32),
    /// It takes this long.
    Wait(Duration),
    /// It fails, as the point says.
    Fail,
}

/// Decides what happens at each point, in the order in which they are reached.
pub type FaultScript = Box<dyn FnMut(FaultPoint) -> Fault + Send>;

/// Bounds that are small in a simulation, so that a short log has many pages.
#[derive(Debug, Clone, Copy)]
pub struct PageBounds {
    /// Bytes of data after which a page of the log ends.
    pub bytes_max: usize,
    /// Events looked at, at least, when only some kinds are asked for.
    pub scanned_rows: usize,
    /// Events trimmed at once, at most.
    pub trimmed_rows: usize,
}

impl Default for PageBounds {
    /// Those of a real store.
    fn default() -> Self {
        Self { bytes_max: SLICE_BYTES_MAX, scanned_rows: SCANNED_ROWS, trimmed_rows: TRIMMED_ROWS }
    }
}

/// A store in memory with a script of faults; cloning shares it. What it shows is what is stored, announced or not.
#[derive(Clone)]
pub struct SimulatedStore {
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<FaultScript>,
    page: PageBounds,
    started: Instant,
    /// A std lock: no section awaits.
    rows: Mutex<Rows>,
}

/// Everything that is stored.
struct Rows {
    epoch: Epoch,
    head: Seq,
    last_at: Timestamp,
    events: VecDeque<EventRow>,
    /// Beside the store: what an audit compares with, from seq 1 on.
    ever_stored: Vec<EventRow>,
    users: HashMap<UserId, User>,
    by_phone: HashMap<Phone, UserId>,
    contacts: HashMap<ContactId, Contact>,
    by_pair: HashMap<(UserId, UserId), ContactId>,
    messages: Vec<Message>,
    answers: HashMap<String, (KeptAnswer, Timestamp)>,
}

/// How many rows of each table are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowCounts {
    /// Users.
    pub users: usize,
    /// Contacts.
    pub contacts: usize,
    /// Messages.
    pub messages: usize,
    /// Idempotency keys.
    pub keys: usize,
}

impl fmt::Debug for SimulatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedStore").field("bounds", &self.bounds()).finish_non_exhaustive()
    }
}

impl SimulatedStore {
    /// An empty store of the life `epoch`, to be made where the simulation's clock runs.
    #[must_use]
    pub fn new(epoch: Epoch, page: PageBounds, script: FaultScript) -> Self {
        let rows = Rows {
            epoch,
            head: Seq::ZERO,
            last_at: Timestamp::from_micros(0),
            events: VecDeque::new(),
            ever_stored: Vec::new(),
            users: HashMap::new(),
            by_phone: HashMap::new(),
            contacts: HashMap::new(),
            by_pair: HashMap::new(),
            messages: Vec::new(),
            answers: HashMap::new(),
        };
        Self { shared: Arc::new(Shared { script: Mutex::new(script), page, started: Instant::now(), rows: Mutex::new(rows) }) }
    }

    /// What is stored right now.
    #[must_use]
    pub fn bounds(&self) -> LogBounds {
        self.rows().bounds()
    }

    /// Every event that was ever stored after `after`, announced or not, trimmed since or not.
    #[must_use]
    pub fn ever_stored_after(&self, after: Seq) -> Vec<Event> {
        let rows = self.rows();
        let known = usize::try_from(after.0).unwrap_or(usize::MAX);
        event::encode(rows.ever_stored.get(known..).unwrap_or_default())
    }

    /// Counts the stored rows.
    #[must_use]
    pub fn row_counts(&self) -> RowCounts {
        let rows = self.rows();
        RowCounts {
            users: rows.users.len(),
            contacts: rows.contacts.len(),
            messages: rows.messages.len(),
            keys: rows.answers.len(),
        }
    }

    /// Deletes the events up to `through`, as retention does; rows stay.
    pub fn trim(&self, through: Seq) {
        self.rows().events.retain(|row| row.seq > through);
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.shared.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The simulation's time of day: that since the store was made, after noon of an ordinary day.
    fn now(&self) -> Timestamp {
        const NOON_US: i64 = 1_736_942_400_000_000;
        let since = i64::try_from(self.shared.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(NOON_US.saturating_add(since))
    }

    /// Lets the script have its way at `point`; `false` when it wants a failure.
    async fn passes(&self, point: FaultPoint) -> bool {
        let fault = (self.shared.script.lock().unwrap_or_else(PoisonError::into_inner))(point);
        match fault {
            Fault::None => {}
            Fault::Yield(turns) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
            Fault::Wait(time) => tokio::time::sleep(time).await,
            Fault::Fail => return false,
        }
        true
    }
}

impl Rows {
    fn bounds(&self) -> LogBounds {
        let first = self.events.front().map_or(self.head.next(), |row| row.seq);
        LogBounds { epoch: self.epoch, first, head: self.head }
    }

    /// Reads what `requests` refer to.
    fn load(&self, requests: &[Request], now: Timestamp) -> Loaded {
        let lookups = Lookups::of(requests);
        let mut loaded = Loaded::default();
        let by_phone = lookups.phones.iter().filter_map(|phone| self.by_phone.get(phone));
        for user in lookups.user_ids.iter().chain(by_phone).filter_map(|id| self.users.get(id)) {
            loaded.add_user(user.clone());
        }
        let pairs = loaded.pairs(requests);
        let by_pair = pairs.iter().filter_map(|pair| self.by_pair.get(pair));
        for contact in lookups.contact_ids.iter().chain(by_pair).filter_map(|id| self.contacts.get(id)) {
            loaded.add_contact(contact.clone());
        }
        let oldest = now.minus(IDEMPOTENCY_KEY_TTL);
        for key in lookups.keys {
            if let Some((answer, _)) = self.answers.get(&key).filter(|(_, kept_at)| *kept_at > oldest) {
                loaded.answers.insert(key, answer.clone());
            }
        }
        loaded
    }

    fn apply(&mut self, plan: &Plan) {
        for id in plan.new_users.iter().map(|(_, id)| id).chain(plan.touched.iter().map(|(id, _)| id)) {
            let user = plan.user(*id).clone();
            self.by_phone.insert(user.phone.clone(), user.id);
            self.users.insert(user.id, user);
        }
        for id in &plan.removed_contacts {
            if let Some(contact) = self.contacts.remove(id) {
                self.by_pair.remove(&(contact.user_id, contact.contact_user_id));
            }
        }
        for NewContact { id, .. } in &plan.new_contacts {
            let contact = plan.contact(*id).clone();
            self.by_pair.insert((contact.user_id, contact.contact_user_id), contact.id);
            self.contacts.insert(contact.id, contact);
        }
        self.messages.extend(plan.new_messages.iter().map(|(_, message)| message.clone()));
        for new in &plan.new_keys {
            self.answers.insert(new.key.clone(), (new.answer.clone(), plan.now()));
        }
        self.events.extend(plan.events.iter().cloned());
        self.ever_stored.extend(plan.events.iter().cloned());
        self.head = plan.head();
        self.last_at = plan.now();
    }

    /// Deletes up to `rows_max` of the oldest events, those that `retention` does not keep.
    fn trim(&mut self, retention: Retention, now: Timestamp, rows_max: usize) -> Option<Trimmed> {
        let data_bytes = |row: &EventRow| row.data.len() as u64;
        let extent =
            Extent { head: self.head, data_bytes: self.events.iter().map(data_bytes).sum(), events: self.events.len() as u64 };
        let oldest = |row: &EventRow| Oldest { seq: row.seq, created_at: row.created_at, data_bytes: data_bytes(row) };
        let oldest: Vec<Oldest> = self.events.iter().take(rows_max).map(oldest).collect();
        let expired = retention.expired(extent, &oldest, &[], Some(now));
        let last = expired.checked_sub(1).map(|last| oldest[last].seq)?;
        self.events.drain(..expired);
        Some(Trimmed { first: last.next(), events: expired, more: expired == rows_max })
    }

    /// As the SQLite store reads a page: bounded in rows looked at, in bytes, and in matching events.
    fn page(&self, after: Seq, filter: &Filter, limit: usize, bounds: PageBounds) -> LogPage {
        let scanned_max = if filter.kinds == KindSet::ALL { limit } else { limit.max(bounds.scanned_rows) };
        let concerns =
            |row: &&EventRow| filter.user.is_none_or(|user| row.involved.user == user || row.involved.other == Some(user));
        let mut bytes = 0;
        let mut rows = Vec::new();
        for row in self.events.iter().filter(|row| row.seq > after).filter(concerns).take(scanned_max) {
            if bytes >= bounds.bytes_max {
                break;
            }
            bytes += row.data.len();
            rows.push(row.clone());
        }
        let cut_off = bytes >= bounds.bytes_max || rows.len() == scanned_max;
        let mut through = match rows.last() {
            Some(last) if cut_off => last.seq,
            _ => self.head.max(after),
        };
        rows.retain(|row| filter.matches(row.kind, row.involved));
        if rows.len() > limit {
            rows.truncate(limit);
            through = rows.last().map_or(after, |last| last.seq);
        }
        LogPage { bounds: self.bounds(), rows, through }
    }
}

/// The reading side.
#[derive(Debug, Clone)]
pub(crate) struct Reader(pub(crate) SimulatedStore);

/// The writing side.
#[derive(Debug)]
pub(crate) struct Writer {
    store: SimulatedStore,
    ids: ContextV7,
}

impl Writer {
    pub(crate) fn new(store: SimulatedStore) -> Self {
        Self { store, ids: ContextV7::new() }
    }

    /// Carries out `requests` at the simulation's own instant.
    pub(crate) async fn commit(&mut self, requests: &[Request]) -> Result<Committed, Error> {
        if !self.store.passes(FaultPoint::Begin).await {
            return Err(Error::Unavailable(None));
        }
        let plan = {
            let rows = self.store.rows();
            let now = self.store.now().max(rows.last_at);
            let keys = KeyAge { now, expired: now.minus(IDEMPOTENCY_KEY_TTL) };
            let start = Start { epoch: rows.epoch, head: rows.head, now, keys };
            Plan::make(requests, rows.load(requests, now), start, &self.ids)
        };
        if !self.store.passes(FaultPoint::Commit).await {
            return Err(Error::OutcomeUnknown(None));
        }
        if !plan.is_empty() {
            self.store.rows().apply(&plan);
        }
        if !self.store.passes(FaultPoint::Committed).await {
            return Err(Error::OutcomeUnknown(None));
        }
        let written = !plan.is_empty();
        Ok(Committed { events: event::encode(&plan.events), head: plan.head(), written, results: plan.results })
    }

    /// Trims as the SQLite store does, at the simulation's own instant.
    pub(crate) async fn trim(&mut self, retention: Retention, _aged: Option<Timestamp>) -> Result<Option<Trimmed>, Error> {
        if !self.store.passes(FaultPoint::Trim).await {
            return Err(Error::Unavailable(None));
        }
        let trimmed = self.store.rows().trim(retention, self.store.now(), self.store.shared.page.trimmed_rows);
        if self.store.passes(FaultPoint::Trimmed).await { Ok(trimmed) } else { Err(Error::Unavailable(None)) }
    }

    /// The simulation's own, as it stands: nothing here asks it.
    pub(crate) fn clock(&self) -> Clock {
        Clock::fixed(self.store.now())
    }
}

impl Reader {
    async fn read<T>(&self, read: impl FnOnce(&Rows) -> T) -> Result<T, Error> {
        let Self(store) = self;
        if !store.passes(FaultPoint::Read).await {
            return Err(Error::Unavailable(None));
        }
        let found = read(&store.rows());
        if store.passes(FaultPoint::HaveRead).await { Ok(found) } else { Err(Error::Unavailable(None)) }
    }

    pub(crate) async fn bounds(&self) -> Result<LogBounds, Error> {
        self.read(Rows::bounds).await
    }

    pub(crate) async fn log_page(&self, after: Seq, filter: &Filter, limit: u32) -> Result<LogPage, Error> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.read(|rows| rows.page(after, filter, limit, self.0.shared.page)).await
    }

    pub(crate) async fn user(&self, user: &UserRef) -> Result<Snapshot<Option<User>>, Error> {
        self.read(|rows| {
            let id = match user {
                UserRef::Id(id) => Some(id),
                UserRef::Phone(phone) => phone.readings().find_map(|reading| rows.by_phone.get(reading)),
                UserRef::National(_) => None,
            };
            Snapshot { cursor: rows.bounds().head_cursor(), value: id.and_then(|id| rows.users.get(id)).cloned() }
        })
        .await
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
