#![doc = include_str!("../README.md")]

pub mod cursor;
pub mod error;
pub mod id;
pub mod kind;
pub mod limits;
pub mod model;
pub mod phone;
pub mod text;
pub mod time;

#[cfg(feature = "store")]
pub mod access;
#[cfg(feature = "store")]
mod broker;
#[cfg(feature = "store")]
pub mod check;
#[cfg(feature = "store")]
mod clock;
#[cfg(feature = "store")]
pub mod command;
#[cfg(feature = "store")]
mod committer;
#[cfg(feature = "store")]
pub mod discovery;
#[cfg(feature = "store")]
pub mod event;
#[cfg(feature = "store")]
mod fatal;
#[cfg(feature = "store")]
mod figures;
#[cfg(feature = "store")]
mod follower;
#[cfg(feature = "store")]
mod hub;
#[cfg(feature = "store")]
mod log;
#[cfg(feature = "store")]
pub mod maintenance;
#[cfg(feature = "store")]
mod merge;
#[cfg(feature = "store")]
mod outage;
#[cfg(feature = "store")]
mod retention;
#[cfg(feature = "schema")]
pub mod schema;
#[cfg(feature = "store")]
mod service;
#[cfg(feature = "store")]
pub mod stats;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "store")]
mod tail;

pub use cursor::{After, Cursor, Epoch, LogBounds, ResyncReason, Seq};
pub use error::{Error, ErrorKind};
pub use id::{ContactId, MessageId, UserId};
pub use kind::{EventKind, Filter, Involved, KindSet};
pub use limits::Limits;
pub use phone::{CountryCode, InvalidPhone, Phone};
pub use time::{Day, Timestamp};

#[cfg(feature = "store")]
pub use crate::{
    broker::{Broker, RedisUrl},
    clock::Clock,
    command::{Command, IdempotencyKey, Outcome, Receipt, UserRef},
    event::Event,
    fatal::Fatal,
    figures::{Figures, TailFigures},
    hub::{Delivery, Subscription},
    log::{Log, LogSlice},
    phone::WrittenPhone,
    retention::{InvalidRetention, Retention},
    service::{Activity, Config, EventPage, Sambad},
    stats::Stats,
    store::{ContactQuery, InvalidListPosition, ListPosition, MessageQuery, Page, UserOrder, UserQuery},
};

/// A store whose faults are chosen by a script: for deterministic simulation, never for a server.
#[cfg(feature = "simulation")]
pub mod simulation {
    pub use crate::store::memory::{Fault, FaultPoint, FaultScript, PageBounds, RowCounts, SimulatedStore};
}
