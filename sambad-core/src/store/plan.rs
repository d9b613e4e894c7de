//! What a batch of commands does to the store, decided in memory: no SQL, no clock, no I/O.
//!
//! **Invariant:** commands take effect in the order they came, each seeing what those before it did, and a refused one leaves no trace.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::{ContextV7, Uuid};

use crate::clock::Clock;
use crate::command::{Command, Outcome, Receipt, UserRef};
use crate::cursor::{Cursor, Epoch, Seq};
use crate::error::Error;
use crate::event::{self, EventRow};
use crate::id::{ContactId, MessageId, UserId};
use crate::kind::{EventKind, Involved};
use crate::limits::{IDEMPOTENCY_KEY_TTL, LAST_ACTIVE_STEP};
use crate::model::{Contact, Message, User, UserStatus};
use crate::phone::{Phone, WrittenPhone};
use crate::store::Request;
use crate::time::{Day, Timestamp};

/// What must be read before a batch can be planned.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    pub(super) user_ids: HashSet<UserId>,
    pub(super) phones: HashSet<Phone>,
    pub(super) contact_ids: HashSet<ContactId>,
    pub(super) keys: HashSet<String>,
}

impl Lookups {
    pub(super) fn of(requests: &[Request]) -> Self {
        let mut lookups = Self::default();
        for request in requests {
            if let Some(key) = &request.key {
                lookups.keys.insert(key.key().to_owned());
            }
            match &request.command {
                Command::Login { phone, .. } => lookups.phones.extend(phone.readings().cloned()),
                Command::AddContact { user: a, contact: b, .. } | Command::SendMessage { from: a, to: b, .. } => {
                    lookups.add(a);
                    lookups.add(b);
                }
                Command::RemoveContact { id, .. } => {
                    lookups.contact_ids.insert(*id);
                }
            }
        }
        lookups
    }

    fn add(&mut self, user: &UserRef) {
        match user {
            UserRef::Id(id) => {
                self.user_ids.insert(*id);
            }
            UserRef::Phone(phone) => self.phones.extend(phone.readings().cloned()),
            // The service completes national numbers before it queues a command.
            UserRef::National(_) => {}
        }
    }
}

/// An answer given before, kept under its idempotency key.
#[derive(Debug, Clone)]
pub(super) struct KeptAnswer {
    pub(super) fingerprint: String,
    pub(super) outcome: Outcome,
    pub(super) seq: Option<Seq>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    users: HashMap<UserId, User>,
    by_phone: HashMap<Phone, UserId>,
    contacts: HashMap<ContactId, Contact>,
    by_pair: HashMap<(UserId, UserId), ContactId>,
    pub(super) answers: HashMap<String, KeptAnswer>,
}

impl Loaded {
    pub(super) fn add_user(&mut self, user: User) {
        self.by_phone.insert(user.phone.clone(), user.id);
        self.users.insert(user.id, user);
    }

    pub(super) fn add_contact(&mut self, contact: Contact) {
        self.by_pair.insert((contact.user_id, contact.contact_user_id), contact.id);
        self.contacts.insert(contact.id, contact);
    }

    /// The pairs of users that the batch wants to link: known once its users are.
    pub(super) fn pairs(&self, requests: &[Request]) -> HashSet<(UserId, UserId)> {
        let pair = |request: &Request| match &request.command {
            Command::AddContact { user, contact, .. } => Some((self.find(user)?.id, self.find(contact)?.id)),
            _ => None,
        };
        requests.iter().filter_map(pair).collect()
    }

    fn find(&self, user: &UserRef) -> Option<&User> {
        match user {
            UserRef::Id(id) => self.users.get(id),
            UserRef::Phone(phone) => self.user_of(phone),
            UserRef::National(_) => None,
        }
    }

    /// The user who has a number, in the first spelling that is stored.
    fn user_of(&self, phone: &WrittenPhone) -> Option<&User> {
        self.users.get(phone.readings().find_map(|reading| self.by_phone.get(reading))?)
    }
}

/// Where the log stands before the batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) epoch: Epoch,
    pub(super) head: Seq,
    /// The batch's one instant, which all of its rows and events have.
    pub(super) now: Timestamp,
    pub(super) keys: KeyAge,
}

/// When idempotency keys are stamped, and when they have expired.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyAge {
    /// The clock's instant, also where events have a later one.
    pub(super) now: Timestamp,
    /// Those of then and before have expired.
    pub(super) expired: Timestamp,
}

impl KeyAge {
    pub(super) fn by(clock: &Clock) -> Self {
        Self { now: clock.now(), expired: clock.expired(IDEMPOTENCY_KEY_TTL) }
    }
}

/// The head before a batch whose place in the log is known only once it is about to be committed: beyond every seq there is.
pub(super) const UNSETTLED: Seq = Seq(1 << 62);

/// Changes of one day's counters.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct DayDelta {
    pub(super) users: i64,
    pub(super) contacts: i64,
    pub(super) messages: i64,
    pub(super) last_active: i64,
}

/// Changes of the totals.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) users: i64,
    pub(super) contacts: i64,
    pub(super) messages: i64,
}

/// A contact that the batch adds.
#[derive(Debug)]
pub(super) struct NewContact {
    /// Of its event.
    pub(super) seq: Seq,
    pub(super) id: ContactId,
    /// What the adding user calls the other, if said: what a contact is called otherwise follows from the other's row.
    pub(super) name: Option<String>,
}

/// An idempotency key to keep, with the place of its answer among the results.
#[derive(Debug)]
pub(super) struct NewKey {
    pub(super) key: String,
    pub(super) answer: KeptAnswer,
}

/// Everything a batch writes, and every answer it gives.
#[derive(Debug)]
pub(super) struct Plan {
    start: Start,
    loaded: Loaded,
    /// Rows that the batch adds, each with the seq of its event.
    pub(super) new_users: Vec<(Seq, UserId)>,
    /// Users whose activity is noted, with when they were last active before.
    pub(super) touched: Vec<(UserId, Timestamp)>,
    pub(super) removed_contacts: Vec<ContactId>,
    pub(super) new_contacts: Vec<NewContact>,
    pub(super) new_messages: Vec<(Seq, Message)>,
    pub(super) events: Vec<EventRow>,
    pub(super) days: BTreeMap<Day, DayDelta>,
    pub(super) totals: Totals,
    pub(super) new_keys: Vec<NewKey>,
    pub(super) results: Vec<Result<Receipt, Error>>,
}

impl Plan {
    /// Carries out `requests` in memory.
    pub(super) fn make(requests: &[Request], loaded: Loaded, start: Start, ids: &ContextV7) -> Self {
        let mut plan = Self {
            start,
            loaded,
            new_users: Vec::new(),
            touched: Vec::new(),
            removed_contacts: Vec::new(),
            new_contacts: Vec::new(),
            new_messages: Vec::new(),
            events: Vec::new(),
            days: BTreeMap::new(),
            totals: Totals::default(),
            new_keys: Vec::new(),
            results: Vec::with_capacity(requests.len()),
        };
        for request in requests {
            let result = plan.answer(request, ids);
            plan.results.push(result);
        }
        plan
    }

    /// The head once the plan is carried out.
    pub(super) fn head(&self) -> Seq {
        self.events.last().map_or(self.start.head, |event| event.seq)
    }

    /// Gives a batch that was planned from [`UNSETTLED`] its place in the log, after `head`. Answers kept from before have
    /// theirs; those without an event are of what was read when the log reached to `seen`.
    pub(super) fn settle(&mut self, head: Seq, seen: Seq) {
        let settled = |seq: &mut Seq| {
            if let Some(place) = seq.0.checked_sub(UNSETTLED.0) {
                *seq = Seq(head.0 + place);
            }
        };
        self.start.head = head;
        self.events.iter_mut().for_each(|event| settled(&mut event.seq));
        for receipt in self.results.iter_mut().flatten() {
            receipt.seq.iter_mut().for_each(settled);
            receipt.cursor.seq = receipt.seq.unwrap_or(seen);
        }
    }

    /// Bytes that the batch adds to the log.
    pub(super) fn event_bytes(&self) -> usize {
        self.events.iter().map(|event| event.data.len()).sum()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.start.now
    }

    pub(super) fn keys(&self) -> KeyAge {
        self.start.keys
    }

    pub(super) fn user(&self, id: UserId) -> &User {
        &self.loaded.users[&id]
    }

    pub(super) fn contact(&self, id: ContactId) -> &Contact {
        &self.loaded.contacts[&id]
    }

    /// Whether the batch changes anything at all.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.touched.is_empty() && self.new_keys.is_empty()
    }

    fn answer(&mut self, request: &Request, ids: &ContextV7) -> Result<Receipt, Error> {
        let Some(key) = &request.key else {
            let (outcome, seq) = self.carry_out(&request.command, ids)?;
            return Ok(self.receipt(outcome, seq, false));
        };
        if let Some(kept) = self.loaded.answers.get(key.key()) {
            if !key.is_of(&kept.fingerprint) {
                return Err(Error::IdempotencyKeyReused);
            }
            return Ok(self.receipt(kept.outcome.clone(), kept.seq, true));
        }
        let (outcome, seq) = self.carry_out(&request.command, ids)?;
        let answer = KeptAnswer { fingerprint: key.fingerprint(), outcome: outcome.clone(), seq };
        self.loaded.answers.insert(key.key().to_owned(), answer.clone());
        self.new_keys.push(NewKey { key: key.key().to_owned(), answer });
        Ok(self.receipt(outcome, seq, false))
    }

    fn receipt(&self, outcome: Outcome, seq: Option<Seq>, replayed: bool) -> Receipt {
        let cursor = Cursor { epoch: self.start.epoch, seq: seq.unwrap_or_else(|| self.head()) };
        // Batches are the committer's to count.
        Receipt { outcome, seq, cursor, replayed, batch: 0 }
    }

    fn carry_out(&mut self, command: &Command, ids: &ContextV7) -> Result<(Outcome, Option<Seq>), Error> {
        match command {
            Command::Login { phone, name } => self.login(phone, name.as_deref(), ids),
            Command::AddContact { user, contact, name } => self.add_contact(user, contact, name.as_deref(), ids),
            Command::RemoveContact { id, owner } => self.remove_contact(*id, *owner),
            Command::SendMessage { from, to, content, message_type } => self.send_message(from, to, content, message_type, ids),
        }
    }

    fn login(&mut self, phone: &WrittenPhone, name: Option<&str>, ids: &ContextV7) -> Result<(Outcome, Option<Seq>), Error> {
        if let Some(id) = self.loaded.user_of(phone).map(|user| user.id) {
            self.touch(id);
            return Ok((Outcome::LoggedIn { user: self.user(id).clone(), created: false }, None));
        }
        let phone = phone.meant().map_err(|reason| Error::InvalidPhone { field: "phone", reason })?;
        let now = self.start.now;
        let user = User {
            id: UserId::new(new_uuid(now, ids)),
            username: phone.clone(),
            email: format!("{}@sambad.local", phone.national()),
            phone: phone.clone(),
            name: name.map(str::to_owned),
            status: UserStatus::Active,
            created_at: now,
            last_active_at: now,
        };
        let seq = self.push_event(EventKind::UserCreated, Involved { user: user.id, other: None }, event::user_data(&user));
        self.totals.users += 1;
        let day = self.today();
        day.users += 1;
        day.last_active += 1;
        self.new_users.push((seq, user.id));
        self.loaded.add_user(user.clone());
        Ok((Outcome::LoggedIn { user, created: true }, Some(seq)))
    }

    fn add_contact(
        &mut self,
        user: &UserRef,
        contact: &UserRef,
        name: Option<&str>,
        ids: &ContextV7,
    ) -> Result<(Outcome, Option<Seq>), Error> {
        let adder = self.loaded.find(user).ok_or_else(|| user.missing("userId", "user"))?;
        let added = self.loaded.find(contact).ok_or_else(|| contact.missing("contactUserId", "contact user"))?;
        if adder.id == added.id {
            return Err(Error::SelfContact);
        }
        let contact = Contact {
            id: ContactId::new(new_uuid(self.start.now, ids)),
            user_id: adder.id,
            user_username: adder.phone.clone(),
            contact_user_id: added.id,
            contact_user_username: added.phone.clone(),
            created_at: self.start.now,
            name: name.or(added.name.as_deref()).unwrap_or(added.phone.as_str()).to_owned(),
            phone: added.phone.clone(),
        };
        self.touch(contact.user_id);
        if let Some(existing) = self.loaded.by_pair.get(&(contact.user_id, contact.contact_user_id)) {
            return Ok((Outcome::ContactAdded { contact: self.contact(*existing).clone(), created: false }, None));
        }
        let seq = self.push_event(EventKind::ContactAdded, between(&contact), event::contact_data(&contact));
        self.totals.contacts += 1;
        self.today().contacts += 1;
        self.new_contacts.push(NewContact { seq, id: contact.id, name: name.map(str::to_owned) });
        self.loaded.add_contact(contact.clone());
        Ok((Outcome::ContactAdded { contact, created: true }, Some(seq)))
    }

    fn remove_contact(&mut self, id: ContactId, owner: Option<UserId>) -> Result<(Outcome, Option<Seq>), Error> {
        // Somebody else's is not there, as far as they can tell.
        let is_theirs = |contact: &Contact| owner.is_none_or(|owner| owner == contact.user_id);
        let found = self.loaded.contacts.get(&id).cloned().filter(is_theirs);
        let contact = found.ok_or(Error::ContactNotFound { id })?;
        self.loaded.contacts.remove(&id);
        self.loaded.by_pair.remove(&(contact.user_id, contact.contact_user_id));
        // What this batch added is not in the store yet: taking it out of the plan removes it.
        match self.new_contacts.iter().position(|new| new.id == id) {
            Some(index) => drop(self.new_contacts.remove(index)),
            None => self.removed_contacts.push(id),
        }
        let seq = self.push_event(EventKind::ContactRemoved, between(&contact), event::contact_data(&contact));
        self.totals.contacts -= 1;
        Ok((Outcome::ContactRemoved { contact }, Some(seq)))
    }

    fn send_message(
        &mut self,
        from: &UserRef,
        to: &UserRef,
        content: &str,
        message_type: &str,
        ids: &ContextV7,
    ) -> Result<(Outcome, Option<Seq>), Error> {
        let from = self.loaded.find(from).ok_or_else(|| from.missing("fromUserId", "sender"))?;
        let to = self.loaded.find(to).ok_or_else(|| to.missing("toUserId", "recipient"))?;
        let message = Message {
            id: MessageId::new(new_uuid(self.start.now, ids)),
            from_user_id: from.id,
            from_username: from.phone.clone(),
            to_user_id: to.id,
            to_username: to.phone.clone(),
            content: content.to_owned(),
            message_type: message_type.to_owned(),
            created_at: self.start.now,
        };
        self.touch(message.from_user_id);
        let involved = Involved { user: message.from_user_id, other: Some(message.to_user_id) };
        let seq = self.push_event(EventKind::MessageSent, involved, event::to_json(&message));
        self.totals.messages += 1;
        self.today().messages += 1;
        self.new_messages.push((seq, message.clone()));
        Ok((Outcome::MessageSent { message }, Some(seq)))
    }

    /// Moves `last_active_at`, at most once a minute, and the count of the day it falls on.
    fn touch(&mut self, id: UserId) {
        let now = self.start.now;
        let Some(user) = self.loaded.users.get_mut(&id) else { return };
        if now.since(user.last_active_at) < LAST_ACTIVE_STEP {
            return;
        }
        let before = std::mem::replace(&mut user.last_active_at, now);
        self.touched.push((id, before));
        if before.day() != now.day() {
            self.days.entry(before.day()).or_default().last_active -= 1;
            self.today().last_active += 1;
        }
    }

    fn today(&mut self) -> &mut DayDelta {
        self.days.entry(self.start.now.day()).or_default()
    }

    fn push_event(&mut self, kind: EventKind, involved: Involved, data: String) -> Seq {
        let seq = self.head().next();
        self.events.push(EventRow { seq, kind, involved, created_at: self.start.now, data });
        seq
    }
}

fn between(contact: &Contact) -> Involved {
    Involved { user: contact.user_id, other: Some(contact.contact_user_id) }
}

/// A UUID v7 of the batch's instant, so that ids and events agree on the order of time.
fn new_uuid(now: Timestamp, ids: &ContextV7) -> Uuid {
    let us = now.as_micros().unsigned_abs();
    let subsec_ns = u32::try_from(us % 1_000_000).expect("below a million") * 1000;
    Uuid::new_v7(uuid::Timestamp::from_unix(ids, us / 1_000_000, subsec_ns))
}
