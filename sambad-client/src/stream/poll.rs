//! The log by long poll: requests one after the other, told as if they were one connection.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use sambad_core::{After, Cursor, Filter, ResyncReason, Seq};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::frame::{Connected, Frame, Position, Resync};
use super::wire::{End, Target};
use crate::call::{Call, refusal, text};
use crate::client::Client;
use crate::error::Error;
use crate::rest::events::{EventPage, types};
use crate::verifier::Anomaly;

/// How long the server may hold a request that finds nothing: below its own bound, and below a usual proxy's patience.
const WAIT: Duration = Duration::from_secs(25);
/// Events of a page.
const PAGE_EVENTS: u32 = 1000;
/// The least time from one request that was answered with nothing to the next: a server that drains answers at once.
const PAUSE: Duration = Duration::from_secs(1);
/// Answers in a row that bring nothing and come at once, at most: a cache that kept one would keep the reader deaf.
const HASTY_MAX: u32 = 3;

/// A reader of the log.
pub(super) struct Poll {
    client: Client,
    filter: Filter,
    /// Where the next request continues.
    cursor: Cursor,
    live: bool,
    /// What the last answer brought and was not read: a page and what is said of it, at most.
    ready: VecDeque<Frame>,
    /// The answer to the first request, until the greeting was read.
    first: Option<Answer>,
    /// Answers in a row that brought nothing and came at once.
    hasty: u32,
    /// Whether the last answer was that the position cannot be served.
    gone: bool,
    /// The request under way. Kept here, so that a reader that goes away for a while finds its answer.
    request: Option<Request>,
    patience: Duration,
}

type Request = Pin<Box<dyn Future<Output = Result<Answer, End>> + Send>>;

/// What the server says to a request.
enum Answer {
    Page {
        page: EventPage,
        /// Whether it took a time as if it had waited for an event.
        waited: bool,
    },
    /// The position cannot be served.
    Gone(Resync),
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Question {
    after: After,
    filter: Filter,
    limit: u32,
    wait: Duration,
}

impl Poll {
    /// Makes the first request, which waits for nothing, within the limit.
    pub(super) async fn dial(target: &Target) -> Result<Self, End> {
        let Target { after, filter, limit, .. } = *target;
        let client = target.client.clone();
        // Who begins now only asks where "now" is.
        let (asked, events) = after.map_or((After::Seq(Seq::ZERO), 1), |after| (after, PAGE_EVENTS));
        let question = Question { after: asked, filter, limit: events, wait: Duration::ZERO };
        let answer = ask(client.clone(), question, limit, false).await?;
        let start = match (&answer, after) {
            (Answer::Gone(resync), _) => resync.cursor,
            (Answer::Page { page, .. }, None) => Cursor { seq: page.head, ..page.cursor },
            (Answer::Page { .. }, Some(After::Cursor(cursor))) => cursor,
            (Answer::Page { page, .. }, Some(After::Seq(seq))) => Cursor { seq: seq.max(page.first.prev()), ..page.cursor },
        };
        let head = if let Answer::Page { page, .. } = &answer { page.head } else { start.seq };
        let connected = Frame::Connected(Connected::new(start, head, WAIT));
        let (ready, first) = (VecDeque::from([connected]), after.is_some().then_some(answer));
        let (live, request) = (after.is_none(), None);
        Ok(Self { client, filter, cursor: start, live, ready, first, hasty: 0, gone: false, request, patience: limit })
    }

    /// Sets how long an answer may take from now on.
    pub(super) fn expect_heartbeat(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The next frame. Cancel safe: the request under way goes on with the next call.
    pub(super) async fn read(&mut self) -> Result<Frame, End> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(frame);
            }
            if let Some(answer) = self.first.take() {
                self.take(answer)?;
                continue;
            }
            // A server that has yet to hear of what others stored gives a page that leads nowhere: it says when there is more.
            let wait = if self.live || self.hasty > 0 { WAIT } else { Duration::ZERO };
            let question = Question { after: self.cursor.into(), filter: self.filter, limit: PAGE_EVENTS, wait };
            let new = || Box::pin(ask(self.client.clone(), question, self.patience, true)) as Request;
            let answer = self.request.get_or_insert_with(new).await;
            self.request = None;
            self.take(answer?)?;
        }
    }

    /// Turns an answer into what a connection would have brought; of one that cannot be right, into nothing.
    fn take(&mut self, answer: Answer) -> Result<(), End> {
        match answer {
            Answer::Gone(resync) => {
                if std::mem::replace(&mut self.gone, true) {
                    return Err(self.faulty(format!("the server cannot resume after {} either", self.cursor)));
                }
                (self.cursor, self.live) = (resync.cursor, true);
                self.ready.push_back(Frame::Resync(resync));
            }
            Answer::Page { page, waited } => {
                self.check(&page)?;
                let in_vain = page.events.is_empty() && page.cursor == self.cursor;
                let hasty = in_vain && !waited && (self.live || page.cursor.seq < page.head);
                self.hasty = if hasty { self.hasty + 1 } else { 0 };
                if self.hasty == HASTY_MAX {
                    return Err(
                        self.faulty(format!("{HASTY_MAX} empty responses in a row after {}, each without waiting", self.cursor))
                    );
                }
                self.gone = false;
                self.ready.extend(page.events.into_iter().map(Frame::Event));
                self.ready.push_back(Frame::Passed(page.cursor));
                self.cursor = page.cursor;
                if !self.live && page.cursor.seq >= page.head {
                    self.live = true;
                    self.ready.push_back(Frame::Live(Position { cursor: page.cursor }));
                }
            }
        }
        Ok(())
    }

    /// Checks that a page continues where it was asked for, before any of it is passed on: a cache may give an old one.
    fn check(&self, page: &EventPage) -> Result<(), End> {
        let (asked, end) = (self.cursor, page.cursor);
        if end.epoch != asked.epoch {
            return Err(self.faulty(format!("the position changed from {asked} to {end} without a resync")));
        }
        let mut last = asked.seq;
        for seq in page.events.iter().map(|event| event.seq) {
            if seq <= last {
                let repeated = seq <= asked.seq || seq == last;
                let anomaly = if repeated { Anomaly::Repeat { seq, last } } else { Anomaly::Reorder { seq, last } };
                return Err(End::Faulty(Error::Anomaly(anomaly)));
            }
            last = seq;
        }
        if end.seq < last {
            return Err(self.faulty(format!("the position went back to {end} after seq {last}")));
        }
        Ok(())
    }

    fn faulty(&self, what: String) -> End {
        End::Faulty(self.client.protocol(what))
    }
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll").field("cursor", &self.cursor).field("live", &self.live).finish_non_exhaustive()
    }
}

/// Makes a request and reads its answer within `patience`.
async fn ask(client: Client, question: Question, patience: Duration, greeted: bool) -> Result<Answer, End> {
    let Question { after, filter, limit, wait } = question;
    let call = Call::get("/api/events")
        .query("after", Some(after))
        .query("limit", Some(limit))
        .query("types", types(filter.kinds))
        .query("user", filter.user)
        .query("wait", Some(wait.as_secs()).filter(|wait| *wait > 0))
        .timeout(patience);
    let begun = Instant::now();
    let (status, headers, body) = match timeout(patience, client.exchange(call)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if greeted && matches!(error, Error::Timeout { .. }) => {
            return Err(End::Failed(Error::Silent { after: patience }));
        }
        Ok(Err(error)) if greeted => return Err(End::Failed(error)),
        Ok(Err(error)) => return Err(End::unanswered(error)),
        Err(_) if greeted => return Err(End::Failed(Error::Silent { after: patience })),
        Err(_) => return Err(End::Blocked(Error::Timeout { url: client.url().into(), after: patience })),
    };
    match status {
        StatusCode::OK => {
            // Whatever says 200 and is no page is not the server: a portal that wants a login, between two polls as well.
            let page: EventPage = client.answer(&headers, &body).map_err(End::Blocked)?.value;
            let drained = text(&headers, "sambad-reconnect-after-ms").filter(|_| page.events.is_empty());
            if let Some(millis) = drained {
                // Readers are told the same as of a WebSocket.
                return Err(End::Closed { code: 4000, reason: format!("drain reconnect_after_ms={millis}") });
            }
            let waited = !wait.is_zero() && begun.elapsed() >= wait / 2;
            if page.events.is_empty() && !wait.is_zero() {
                sleep(PAUSE.saturating_sub(begun.elapsed())).await;
            }
            Ok(Answer::Page { page, waited })
        }
        StatusCode::GONE => match gone(&headers, &body) {
            Some((reason, Some(cursor))) => Ok(Answer::Gone(Resync { reason, cursor })),
            // Something on the way dropped the header of a server that does not put it into the body.
            Some((reason, None)) => Ok(Answer::Gone(Resync { reason, cursor: head(&client, filter, patience, greeted).await? })),
            None => Err(End::refused(refusal(status, &headers, &body))),
        },
        _ => Err(End::refused(refusal(status, &headers, &body))),
    }
}

/// Reads why a position cannot be served, and where to go on, if that is said.
fn gone(headers: &HeaderMap, body: &[u8]) -> Option<(ResyncReason, Option<Cursor>)> {
    #[derive(Deserialize)]
    struct Gone {
        reason: ResyncReason,
        cursor: Option<Cursor>,
    }
    let Gone { reason, cursor } = serde_json::from_slice(body).ok()?;
    Some((reason, text(headers, "sambad-cursor").and_then(|cursor| cursor.parse().ok()).or(cursor)))
}

/// Asks where the log ends.
async fn head(client: &Client, filter: Filter, patience: Duration, greeted: bool) -> Result<Cursor, End> {
    let question = Question { after: After::Seq(Seq::ZERO), filter, limit: 1, wait: Duration::ZERO };
    match Box::pin(ask(client.clone(), question, patience, greeted)).await? {
        Answer::Page { page, .. } => Ok(Cursor { seq: page.head, ..page.cursor }),
        Answer::Gone(Resync { cursor, .. }) => Ok(cursor),
    }
}
