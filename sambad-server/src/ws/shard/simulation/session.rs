//! A client over a socket, as its session's reading half sees it: asks, changes its mind, stalls, leaves and comes back.

use std::sync::Arc;
use std::time::Duration;

use sambad_core::{Cursor, Seq, event};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::reader::Reader;
use super::socket::{Due, FakeSocket, Link};
use super::world::{CATCH_UP_WITHIN, World};
use crate::sessions::About;
use crate::ws::close::CloseReason;
use crate::ws::frames::ServerFrame;
use crate::ws::shard::{Opening, ShardHandle, WriteHalf};

/// What a client does on one socket before it only waits for the end.
const ACTIONS_MAX: usize = 25;
/// A close frame without a reason.
const CLOSE_FRAME: [u8; 2] = [0x88, 0];
/// An empty ping.
const PING_FRAME: [u8; 2] = [0x89, 0];

/// Whether a client comes back.
enum Then {
    Again,
    End,
}

/// One socket of a client.
struct Life {
    world: Arc<World>,
    link: Arc<Link>,
    write: WriteHalf<FakeSocket>,
    given_up: oneshot::Receiver<CloseReason>,
    /// Whether the reading half has said that it hears nothing.
    silent: bool,
}

pub(super) async fn session(world: Arc<World>, shards: Vec<ShardHandle<FakeSocket>>) {
    let mut resume = None;
    loop {
        let shard = shards[world.conditions.chance.index(shards.len())].clone();
        if let Some(mut life) = Life::begin(&world, shard, resume).await {
            let then = life.live().await;
            resume = life.end(resume).await;
            if matches!(then, Then::End) {
                return;
            }
        }
        world.pause().await;
    }
}

impl Life {
    /// As a session begins; `None` when the store would not say where.
    async fn begin(world: &Arc<World>, shard: ShardHandle<FakeSocket>, resume: Option<Cursor>) -> Option<Self> {
        let (after, filter) = (world.after(resume), world.filter());
        let stored = world.store.bounds();
        let (at, bounds) = match after {
            Some(after) => world.sambad.log().locate(after).await.ok()?,
            None => {
                let bounds = world.sambad.bounds();
                (Ok(bounds.head), bounds)
            }
        };
        if let (Some(after), Ok(start)) = (after, at) {
            Reader::begins(after, start, world.store.bounds());
        }
        let cursor = Cursor { epoch: bounds.epoch, seq: at.unwrap_or(bounds.head) };
        let connected = ServerFrame::connected("", Uuid::nil(), cursor, bounds, 25);
        let mut greeting = event::text_frame(&connected.to_json());
        let mut due = vec![Due::Connected(cursor)];
        if let Err(reason) = at {
            greeting.extend(event::text_frame(&ServerFrame::resync(reason, cursor).to_json()));
            due.push(Due::Resync(after.expect("a position was refused"), stored));
        }
        let replaying = after.is_some() && at.is_ok();
        let link = Link::new(world, cursor, filter, replaying, due);
        let (notice, given_up) = oneshot::channel();
        let socket = FakeSocket(Arc::clone(&link));
        // However long the upgrade takes.
        world.pause().await;
        let (about, cursor) = (About::nobody(), cursor.seq);
        let opening = Opening { about, socket, greeting, cursor, filter, replaying, notice };
        let write = shard.open(opening).await.expect("shards outlive sessions");
        world.conditions.note("opened", link.number, cursor.0);
        Some(Self { world: Arc::clone(world), link, write, given_up, silent: false })
    }

    async fn live(&mut self) -> Then {
        for _ in 0..ACTIONS_MAX {
            if self.world.last().is_some() {
                break;
            }
            self.world.pause().await;
            if let Some(then) = self.is_given_up().await {
                return then;
            }
            if let Some(then) = self.act().await {
                return then;
            }
        }
        self.link.make_room(None);
        let last = tokio::select! {
            biased;
            last = self.world.calm() => last,
            reason = &mut self.given_up => return self.farewell(reason.ok()).await,
        };
        let Self { link, write, given_up, .. } = &mut *self;
        let all = async {
            link.caught_up(last).await;
            passes(link, write, last).await;
        };
        tokio::select! {
            biased;
            reason = given_up => self.farewell(reason.ok()).await,
            in_time = timeout(CATCH_UP_WITHIN, all) => {
                assert!(in_time.is_ok(), "{:?} does not arrive", self.link.missing(last));
                Then::End
            }
        }
    }

    /// Does something that clients do.
    async fn act(&mut self) -> Option<Then> {
        let conditions = &self.world.conditions;
        let (chance, odds) = (&conditions.chance, conditions.odds);
        if conditions.strikes(odds.breaks) {
            conditions.note("breaks", self.link.number, 0);
            self.link.break_off();
            return chance.hits(500).then_some(Then::Again);
        }
        if conditions.strikes(odds.stalls) {
            conditions.note("stalls", self.link.number, 0);
            sleep(self.world.stall_timeout * 2).await;
            return None;
        }
        match chance.below(23) {
            0..9 => self.link.make_room(Some(chance.between(1, 900))),
            9 => self.link.make_room(None),
            10..13 => {
                let pongs = chance.between(1, 3);
                let pong = event::text_frame(&ServerFrame::Pong.to_json());
                self.link.state().due.extend((0..pongs).map(|_| Due::Pong));
                self.write.answer(pong.repeat(pongs)).await;
            }
            13..16 => {
                let filter = self.world.filter();
                self.link.state().due.push_back(Due::Subscribed(filter));
                self.write.filter(filter).await;
            }
            16 if chance.hits(300) => {
                self.silent = true;
                self.write.silence().await;
            }
            17 if chance.hits(300) => return Some(self.close().await),
            18 if chance.hits(300) => return Some(Then::Again),
            19..22 => heartbeat(&self.link, &self.write).await,
            _ => {}
        }
        None
    }

    /// Whether the shard has given the session up, and for a reason that holds.
    async fn is_given_up(&mut self) -> Option<Then> {
        match self.given_up.try_recv() {
            Ok(reason) => Some(self.farewell(Some(reason)).await),
            Err(oneshot::error::TryRecvError::Closed) => Some(self.farewell(None).await),
            Err(oneshot::error::TryRecvError::Empty) => None,
        }
    }

    async fn farewell(&mut self, reason: Option<CloseReason>) -> Then {
        let (what, is_true) = match reason {
            None => ("given up: broken", self.link.state().broken),
            Some(CloseReason::Idle) => ("given up: idle", self.silent),
            Some(CloseReason::Stalled) => ("given up: stalled", self.link.is_stalled()),
            Some(CloseReason::Drain { .. }) => ("given up: drain", self.world.conditions.read_failed()),
            Some(CloseReason::BadFrames | CloseReason::RateLimited | CloseReason::Unauthorized) => {
                panic!("a shard does not read")
            }
            Some(CloseReason::Forbidden) => panic!("nobody expels anybody here"),
        };
        self.world.conditions.note(what, self.link.number, 0);
        assert!(is_true, "{what}, without a cause");
        if reason.is_some() { self.close().await } else { Then::Again }
    }

    /// Says goodbye: the close frame comes last, however long the client takes to answer it, unless the socket takes too long for it.
    async fn close(&mut self) -> Then {
        self.write.heartbeat(Vec::new()).await;
        self.write.close(CLOSE_FRAME.to_vec()).await;
        self.world.pause().await;
        let hung_up = timeout(Duration::from_secs(1), self.write.hang_up()).await.is_ok();
        assert!(!hung_up || self.link.is_let_go(), "the shard says that it has hung up, and keeps the socket");
        Then::Again
    }

    /// Leaves the socket; gives the cursor of a frame that the client may have been the last to read.
    async fn end(self, resume: Option<Cursor>) -> Option<Cursor> {
        let Self { world, link, write, .. } = self;
        drop(write);
        let resume = {
            let cursors = &link.state().cursors;
            let unread = world.conditions.chance.index(3.min(cursors.len()));
            cursors.len().checked_sub(unread + 1).map(|last_read| cursors[last_read]).or(resume)
        };
        assert!(timeout(CATCH_UP_WITHIN, link.let_go()).await.is_ok(), "the shard keeps a socket that nobody wants");
        resume
    }
}

async fn heartbeat(link: &Link, write: &WriteHalf<FakeSocket>) {
    link.state().due.push_back(Due::Ping);
    write.heartbeat(PING_FRAME.to_vec()).await;
}

/// Heartbeats bring the position of every client to the last event, once nothing goes wrong any more.
async fn passes(link: &Link, write: &WriteHalf<FakeSocket>, last: Seq) {
    while link.state().reader.position < last {
        heartbeat(link, write).await;
        sleep(Duration::from_secs(1)).await;
    }
}
