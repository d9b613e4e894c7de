//! Readers without a socket: a core subscription whose calls are cancelled, and a caller that polls.

use std::sync::Arc;

use sambad_core::{After, Cursor, Delivery, Error, Seq, Subscription};
use tokio::time::{sleep, timeout};

use super::reader::Reader;
use super::world::{CATCH_UP_WITHIN, World};

/// Calls before a reader is patient.
const CALLS_MAX: usize = 15;

pub(super) async fn subscriber(world: Arc<World>) {
    let mut resume = None;
    loop {
        let (after, filter, stored) = (world.after(resume), world.filter(), world.store.bounds());
        if let Ok(subscription) = world.sambad.subscribe(after, filter).await {
            let start = subscription.cursor().seq;
            let asked = after.map(|after| (after, stored));
            let reader = Reader { position: start, filter };
            let mut listening = Listening { subscription, reader, asked, live_due: after.is_some(), start };
            if listening.listen(&world).await {
                return;
            }
            resume = Some(listening.subscription.cursor());
        }
        world.pause().await;
    }
}

struct Listening {
    subscription: Subscription,
    reader: Reader,
    /// Set until the first delivery.
    asked: Option<(After, sambad_core::LogBounds)>,
    live_due: bool,
    start: Seq,
}

impl Listening {
    /// Takes what comes; `true` when that was everything.
    async fn listen(&mut self, world: &World) -> bool {
        let chance = &world.conditions.chance;
        for _ in 0..CALLS_MAX {
            if world.last().is_some() {
                break;
            }
            // Dropped in the middle, be it in the middle of a read of the store.
            if let Ok(delivery) = timeout(chance.millis(30), self.subscription.next()).await {
                self.take(world, delivery);
            }
            match chance.below(20) {
                0 => return false,
                1..4 => {
                    self.reader.passes(&world.truth(), self.subscription.cursor().seq);
                    self.reader.filter = world.filter();
                    self.subscription.set_filter(self.reader.filter);
                }
                _ => {}
            }
            world.pause().await;
        }
        let last = world.calm().await;
        let catching_up = async {
            while self.missing(world, last).is_some() {
                let delivery = self.subscription.next().await;
                self.take(world, delivery);
            }
        };
        let in_time = timeout(CATCH_UP_WITHIN, catching_up).await.is_ok();
        assert!(in_time, "{:?} does not arrive at a subscription", self.missing(world, last));
        true
    }

    fn missing(&self, world: &World, last: Seq) -> Option<Seq> {
        self.reader.missing(&world.truth(), last)
    }

    fn take(&mut self, world: &World, delivery: Result<Delivery, Error>) {
        let asked = self.asked.take();
        let cursor = self.subscription.cursor().seq;
        if let (Some((after, _)), Ok(Delivery::Events(_) | Delivery::Live(_))) = (asked, &delivery) {
            Reader::begins(after, self.start, world.store.bounds());
        }
        match delivery {
            Ok(Delivery::Events(events)) => {
                let truth = world.truth();
                for event in &events {
                    self.reader.sees(&truth, event.seq, event.frame());
                }
                self.reader.passes(&truth, cursor);
                world.conditions.note("delivered", events.len() as u64, cursor.0);
            }
            Ok(Delivery::Live(at)) => {
                assert!(std::mem::take(&mut self.live_due), "live again, or without a replay");
                self.reader.passes(&world.truth(), at.seq);
            }
            Ok(Delivery::Resync { reason, cursor }) => {
                self.live_due = false;
                world.conditions.note("subscription resyncs", cursor.seq.0, 0);
                // The reason for a position that was asked for, or for the one that it had come to.
                self.reader.resyncs(world.store.bounds(), reason, cursor, asked);
            }
            Err(Error::Unavailable(_)) => {
                assert!(world.conditions.read_failed(), "the store answered");
                self.asked = asked;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads pages after a cursor, and waits when there is nothing.
pub(super) async fn poller(world: Arc<World>) {
    let filter = world.filter();
    let bounds = world.sambad.bounds();
    let mut reader = Reader { position: bounds.head, filter };
    loop {
        let after: After = Cursor { epoch: bounds.epoch, seq: reader.position }.into();
        let limit = u32::try_from(world.conditions.chance.between(1, 5)).unwrap();
        match world.sambad.events(after, filter, limit).await {
            Ok(page) => {
                let truth = world.truth();
                for event in &page.events {
                    reader.sees(&truth, event.seq, event.frame());
                }
                reader.passes(&truth, page.cursor.seq);
                assert!(page.bounds.head >= page.cursor.seq);
                world.conditions.note("page", page.events.len() as u64, page.cursor.seq.0);
            }
            Err(Error::CursorGone { reason }) => {
                let stored = world.store.bounds();
                world.conditions.note("poller resyncs", stored.head.0, 0);
                reader.resyncs(stored, reason, stored.head_cursor(), None);
            }
            Err(Error::Unavailable(_)) => assert!(world.conditions.read_failed(), "the store answered"),
            Err(error) => panic!("{error}"),
        }
        if let Some(last) = world.last()
            && reader.missing(&world.truth(), last).is_none()
        {
            return;
        }
        if world.conditions.strikes(200) {
            // A caller that is slow to come back: what it has not read may be trimmed.
            sleep(world.conditions.chance.millis(1_000)).await;
        }
        let grown = timeout(world.conditions.chance.millis(500), world.sambad.grown_beyond(reader.position));
        if grown.await.is_err() {
            // Nothing to fear: it asks again, as a caller does whose wait is over.
            world.pause().await;
        }
    }
}
