//! Requests by route, and those that were refused.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use axum::http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::shown::Seconds;
use crate::routes::ROUTES;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

/// Requests that were answered, and those that are being.
#[derive(Debug)]
pub(crate) struct Requests {
    answered: Family<RequestLabels, Counter>,
    took: Family<RouteLabels, Seconds, fn() -> Seconds>,
    refused: Family<RefusalLabels, Counter>,
    in_flight: Gauge<i64, AtomicI64>,
    /// Lines of the log that were left out.
    pub(crate) lines_left_out: Counter,
}

/// A request that is being answered, or was given up by its client.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a Gauge<i64, AtomicI64>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The labels of a request: a method and path of the route table, one pair for all files, and one for everything that no
/// handler answers. Whatever clients invent, there are no others.
fn labels(method: &Method, matched: Option<&str>) -> (&'static str, &'static str) {
    const UNSERVED: (&str, &str) = ("other", "none");
    let Some(matched) = matched else { return UNSERVED };
    // A handler of GET answers HEAD as well.
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let mut routes = ROUTES.iter().filter(|route| route.path == matched).peekable();
    if routes.peek().is_none() && *method == Method::GET {
        return ("GET", "files");
    }
    routes.find(|route| route.method == *method).map_or(UNSERVED, |route| (route.method.as_str(), route.path))
}

impl Requests {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let this = Self {
            answered: Family::default(),
            took: Family::new_with_constructor(Seconds::new),
            refused: Family::default(),
            in_flight: Gauge::default(),
            lines_left_out: Counter::default(),
        };
        registry.register("requests", "Requests with a response", this.answered.clone());
        registry.register(
            "request_seconds",
            "Time from the headers of a request to the headers of its response",
            this.took.clone(),
        );
        registry.register("requests_refused", "Requests rejected by a limit or under load", this.refused.clone());
        registry.register("requests_in_flight", "Requests in progress", this.in_flight.clone());
        registry.register(
            "request_lines_left_out",
            "Log lines of failed requests dropped by the rate limit",
            this.lines_left_out.clone(),
        );
        this
    }

    /// A request has come.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// A request was answered, whose path matched this pattern.
    pub(crate) fn answered(&self, method: &Method, matched: Option<&str>, status: u16, took: Duration) {
        let (method, route) = labels(method, matched);
        self.answered.get_or_create(&RequestLabels { method, route, status }).inc();
        self.took.get_or_create(&RouteLabels { method, route }).0.add_duration(took, 1);
    }

    /// A request, or a connection, was turned away, for a reason out of a table.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&RefusalLabels { reason }).inc();
    }
}
