//! The latencies that a run measures, by what they run from and to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a latency runs from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LatencyKind {
    /// Intended start of a write to its event's arrival at each dashboard: end to end, the headline.
    Delivery,
    /// Actual send of a write to its event's arrival at each dashboard.
    DeliveryService,
    /// Intended start of a write to its acknowledgement.
    Response,
    /// Actual send of a write to its acknowledgement.
    Service,
    /// Acknowledgement of a write to its event's arrival at each dashboard; 0 when the event came first.
    AckToDashboard,
    /// The event's timestamp to its arrival at each dashboard, by the clock of one machine.
    CommitToDashboard,
    /// Intended start of a write to its event's arrival at the app sessions of the users it involves.
    AppDelivery,
    /// As `Delivery`, to the dashboards that read at a trickle.
    SlowDelivery,
    /// Intended begin of a session to its first frame, failed attempts and the wait for a free place included.
    Connect,
    /// The last attempt alone, from the TCP connection to the first frame.
    ConnectService,
    /// Loss of a connection to the first frame of the next.
    Reconnect,
    /// How long after its intended start the generator got round to a write: its own delay.
    Lateness,
}

impl LatencyKind {
    /// All kinds, in the order in which they are shown.
    pub(crate) const ALL: [Self; 12] = [
        Self::Delivery,
        Self::DeliveryService,
        Self::Response,
        Self::Service,
        Self::AckToDashboard,
        Self::CommitToDashboard,
        Self::AppDelivery,
        Self::SlowDelivery,
        Self::Connect,
        Self::ConnectService,
        Self::Reconnect,
        Self::Lateness,
    ];

    /// The words for people.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Delivery => "write → dashboard",
            Self::DeliveryService | Self::Service | Self::ConnectService => "  service time",
            Self::Response => "write → acknowledgement",
            Self::AckToDashboard => "acknowledgement → dashboard",
            Self::CommitToDashboard => "commit → dashboard",
            Self::AppDelivery => "write → app session",
            Self::SlowDelivery => "write → slow dashboard",
            Self::Connect => "connect",
            Self::Reconnect => "reconnect",
            Self::Lateness => "generator's own delay",
        }
    }

    /// The stable name in JSON and file names.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::DeliveryService => "delivery_service",
            Self::Response => "response",
            Self::Service => "service",
            Self::AckToDashboard => "ack_to_dashboard",
            Self::CommitToDashboard => "commit_to_dashboard",
            Self::AppDelivery => "app_delivery",
            Self::SlowDelivery => "slow_delivery",
            Self::Connect => "connect",
            Self::ConnectService => "connect_service",
            Self::Reconnect => "reconnect",
            Self::Lateness => "lateness",
        }
    }
}

impl fmt::Display for LatencyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}
