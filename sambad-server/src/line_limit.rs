//! How many lines each place in the code may log: no client fills the disk by making the server log the same thing again.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::request_log::{Lines, REQUEST};

/// Lines a second that one place in a library may log: they are written for whoever debugs that library.
const FOREIGN_LINES_MAX: u64 = 10;
/// Lines a second that one place in Sambad may log.
const OWN_LINES_MAX: u64 = 100;
/// How the targets of Sambad's crates begin.
const OWN: &str = "sambad";
/// What bounds itself or must be whole: requests ([`Lines`] counts the failed ones), entries of the audit log, and batches,
/// which an operator switches on to find each request's.
const EXEMPT: [&str; 3] = [REQUEST, "sambad_core::store::admission", "sambad_core::committer"];

/// Leaves out events of a place that logs too much, and reports how many with the place's next line.
#[derive(Debug)]
pub(crate) struct LineLimit {
    since: Instant,
    /// As many as there are places in the code.
    places: RwLock<HashMap<Identifier, Arc<Lines>>>,
}

impl LineLimit {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), places: RwLock::default() }
    }

    fn allows(&self, metadata: &'static Metadata<'static>) -> bool {
        let target = metadata.target();
        if EXEMPT.contains(&target) {
            return true;
        }
        let lines_max = if target.starts_with(OWN) { OWN_LINES_MAX } else { FOREIGN_LINES_MAX };
        // No lock is held where the line about lines is logged: it comes through here as well.
        self.lines(metadata.callsite()).take_at(self.since.elapsed().as_secs(), lines_max, |left_out| {
            tracing::warn!(lines = left_out, of = target, at = metadata.name(), "log lines were dropped");
        })
    }

    fn lines(&self, place: Identifier) -> Arc<Lines> {
        if let Some(lines) = self.places.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return Arc::clone(lines);
        }
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(place).or_insert_with(|| Arc::new(Lines::new())))
    }
}

impl<S: Subscriber> Layer<S> for LineLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.allows(event.metadata())
    }
}
