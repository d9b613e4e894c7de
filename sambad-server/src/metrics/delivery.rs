//! Events on their way to sockets.

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sambad_core::ResyncReason;
use sambad_core::stats::{Count, Distribution};

use super::shown::Seconds;
use crate::sessions::Transport;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabels {
    transport: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResyncLabels {
    transport: &'static str,
    reason: &'static str,
}

/// What shards, streams and polls add to; clones share the figures.
#[derive(Debug, Clone)]
pub(crate) struct Deliveries {
    websocket: Counter,
    sse: Counter,
    poll: Counter,
    /// From COMMIT to the write of the socket.
    latency: Arc<Distribution>,
    blocked: Arc<Count>,
    resyncs: Family<ResyncLabels, Counter>,
}

impl Default for Deliveries {
    /// Figures that nobody prints.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl Deliveries {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let events = Family::<TransportLabels, Counter>::default();
        let of = |transport: Transport| events.get_or_create_owned(&TransportLabels { transport: transport.as_str() });
        let (latency, blocked) = (Seconds::new(), Arc::<Count>::default());
        let resyncs = Family::default();
        let this = Self {
            websocket: of(Transport::WebSocket),
            sse: of(Transport::Sse),
            poll: of(Transport::Poll),
            latency: Arc::clone(&latency.0),
            blocked: Arc::clone(&blocked),
            resyncs: resyncs.clone(),
        };
        registry.register("deliveries", "Events handed to sockets", events);
        let help = "Time from the COMMIT of the oldest event in a write to that write, for live WebSocket sessions";
        registry.register("delivery_seconds", help, latency);
        registry.register("sessions_blocked", "Times that the socket of a WebSocket session was full", super::Total(blocked));
        registry.register("resyncs", "Requested positions that the log no longer had", resyncs);
        this
    }

    /// `events` were handed to a socket.
    pub(crate) fn add(&self, transport: Transport, events: u64) {
        let counter = match transport {
            Transport::WebSocket => &self.websocket,
            Transport::Sse => &self.sse,
            Transport::Poll => &self.poll,
        };
        counter.inc_by(events);
    }

    /// A socket took no more.
    pub(crate) fn blocked(&self) {
        self.blocked.add(1);
    }

    /// Somebody was told to reload.
    pub(crate) fn resync(&self, transport: Transport, reason: ResyncReason) {
        self.resyncs.get_or_create(&ResyncLabels { transport: transport.as_str(), reason: reason.as_str() }).inc();
    }
}

/// What a shard has written since it last told.
///
/// Telling takes the time and four additions, and is done as often as the shard yields: each write costs an addition that
/// nobody else sees, and is counted with an instant at most a turn too late.
#[derive(Debug)]
pub(crate) struct Tally {
    /// When the oldest event that is being written became readable.
    since: Option<Instant>,
    writes: u64,
    events: u64,
}

impl Tally {
    pub(crate) fn new(since: Option<Instant>) -> Self {
        Self { since, writes: 0, events: 0 }
    }

    /// A write handed over `events`.
    pub(crate) fn wrote(&mut self, events: u64) {
        self.writes += 1;
        self.events += events;
    }

    /// Tells, and begins anew.
    pub(crate) fn tell(&mut self, deliveries: &Deliveries) {
        let (writes, events) = (std::mem::take(&mut self.writes), std::mem::take(&mut self.events));
        if writes == 0 {
            return;
        }
        deliveries.websocket.inc_by(events);
        if let Some(since) = self.since {
            deliveries.latency.add_duration(since.elapsed(), writes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is told is told once, and a write whose event's instant nobody knows is counted still. Method: two tellings.
    #[test]
    fn a_tally_tells_once() {
        let deliveries = Deliveries::default();
        let mut tally = Tally::new(Some(Instant::now()));
        tally.wrote(3);
        tally.wrote(0);
        tally.tell(&deliveries);
        tally.tell(&deliveries);
        let mut unknown = Tally::new(None);
        unknown.wrote(4);
        unknown.tell(&deliveries);
        assert_eq!(deliveries.websocket.get(), 7);
        assert_eq!(deliveries.latency.buckets().map(|(_, count)| count).sum::<u64>(), 2);
    }
}
